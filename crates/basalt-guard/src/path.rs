//! Device paths (UEFI 2.10, chapter 10): a sequence of nodes `type u8, subtype u8, length u16 LE, …`, which an end node ends.

/// Bytes of a node's header.
pub(crate) const HEADER: usize = 4;
/// Type and subtype of the node that ends a whole path (section 10.3.1).
const END: [u8; 2] = [0x7f, 0xff];
/// Type and subtype of a file's path on the medium, in UTF-16 with a zero at the end (section 10.3.5.4).
const FILE_PATH: [u8; 2] = [0x04, 0x04];

/// Room for a device's path and a file's name.
pub(crate) const ROOM: usize = 1024;

/// What a node's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// It has this many bytes, and another one follows.
    Inner(usize),
    /// It ends the path.
    End,
    /// It is shorter than its own header.
    Damaged,
}

/// Reads a header.
pub(crate) fn node(header: [u8; HEADER]) -> Node {
    let [kind, subkind, low, high] = header;
    match (usize::from(u16::from_le_bytes([low, high])), [kind, subkind]) {
        (_, END) => Node::End,
        (0..HEADER, _) => Node::Damaged,
        (length, _) => Node::Inner(length),
    }
}

/// A path that is put together in place.
pub(crate) struct Path {
    bytes: [u8; ROOM],
    used: usize,
}

impl Path {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; ROOM], used: 0 }
    }

    /// Adds a byte; none when there is no room.
    pub(crate) fn push(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(self.used)? = byte;
        self.used += 1;
        Some(())
    }

    /// Adds a file's node and the end.
    pub(crate) fn end_with(&mut self, file: &str) -> Option<()> {
        let units = file.encode_utf16().count() + 1;
        let length = u16::try_from(HEADER + 2 * units).ok()?;
        self.all(&FILE_PATH)?;
        self.all(&length.to_le_bytes())?;
        for unit in file.encode_utf16().chain([0]) {
            self.all(&unit.to_le_bytes())?;
        }
        self.all(&END)?;
        self.all(&4_u16.to_le_bytes())
    }

    fn all(&mut self, bytes: &[u8]) -> Option<()> {
        bytes.iter().try_for_each(|byte| self.push(*byte))
    }

    pub(crate) const fn as_ptr(&self) -> *const u8 {
        self.bytes.as_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_with_the_file() {
        let mut path = Path::new();
        // A PCI device (section 10.3.2.1).
        for byte in [1, 1, 6, 0, 2, 31] {
            path.push(byte).unwrap();
        }
        path.end_with(r"\a").unwrap();
        let expected = [1, 1, 6, 0, 2, 31, 4, 4, 10, 0, b'\\', 0, b'a', 0, 0, 0, 0x7f, 0xff, 4, 0];
        assert_eq!(path.bytes[..path.used], expected);
    }

    #[test]
    fn a_name_without_room_is_refused() {
        let mut path = Path::new();
        assert_eq!(path.end_with(&"n".repeat(ROOM)), None);
        assert_eq!(path.end_with(&"n".repeat(40_000)), None);
    }

    #[test]
    fn headers_say_what_follows() {
        assert_eq!(node([1, 1, 6, 0]), Node::Inner(6));
        assert_eq!(node([0x7f, 0xff, 4, 0]), Node::End);
        assert_eq!(node([1, 1, 3, 0]), Node::Damaged);
    }
}
