//! The headers of one entry: the fields of `ustar`, and an extended header for what they can't hold.

use std::str;

use super::{
    TarError,
    header::{BLOCK, Flavour, Header, fits},
    lossy,
};
use crate::tree::{Device, Kind, Node};

/// Room for a name and for a link's target.
const NAME: usize = 100;
/// Room for what goes before a name.
const PREFIX: usize = 155;
/// Where extended headers would be unpacked by what does not know them.
const PAX_NAME: &[u8] = b"PaxHeaders/";
/// What goes before the name of an extended attribute: star's record, which GNU tar, libarchive and containers use.
const XATTR: &str = "SCHILY.xattr.";

/// One name of the tree.
pub(super) struct Named<'a> {
    pub(super) path: &'a [u8],
    pub(super) node: &'a Node,
    /// The path that has the node already.
    pub(super) first: Option<&'a [u8]>,
    /// Bytes of data.
    pub(super) size: u64,
}

/// Extended header if there is need of one, and header.
pub(super) fn headers(named: &Named<'_>, newest: i64) -> Result<Vec<u8>, TarError> {
    let Named { path, node, first, size } = *named;
    let metadata = &node.metadata;
    let mut records = Records::default();
    let (prefix, name) = records.place_path(path);
    let Special { kind, target, device } = special(named)?;
    let link = first.unwrap_or(target);
    records.string("linkpath", link, link.len() <= NAME);
    for (key, value, place) in
        [("uid", metadata.uid.into(), 8), ("gid", metadata.gid.into(), 8), ("size", size, 12)]
    {
        if !fits(place, value) {
            records.add(key.as_bytes(), value.to_string().as_bytes());
        }
    }
    let (mtime, nanos) = (metadata.mtime, metadata.mtime_nanos);
    let (mtime, nanos) = if mtime < newest { (mtime, nanos) } else { (newest, 0) };
    let seconds = u64::try_from(mtime).ok().filter(|seconds| fits(12, *seconds));
    if nanos > 0 || seconds.is_none() {
        records.add(b"mtime", decimal(mtime, nanos).as_bytes());
    }
    for (name, value) in metadata.xattrs.iter().filter(|_| first.is_none()) {
        if name.iter().any(|byte| matches!(byte, b'=' | 0)) {
            return Err(TarError::Attribute { path: lossy(path), name: lossy(name) });
        }
        records.add(&[XATTR.as_bytes(), name].concat(), value);
    }
    let header = Header {
        flavour: Flavour::Ustar,
        name,
        prefix,
        mode: if kind == b'2' { 0o777 } else { metadata.mode },
        uid: metadata.uid.into(),
        gid: metadata.gid.into(),
        size,
        mtime: seconds.unwrap_or(0),
        kind,
        link,
        device,
    };
    let mut bytes = records.encode(path, header.mtime);
    bytes.extend_from_slice(&header.encode());
    Ok(bytes)
}

/// What the kinds of nodes differ in.
struct Special<'a> {
    kind: u8,
    target: &'a [u8],
    device: (u32, u32),
}

fn special<'a>(named: &Named<'a>) -> Result<Special<'a>, TarError> {
    let plain = |kind| Special { kind, target: b"", device: (0, 0) };
    let device = |kind, Device { major, minor }| Special { device: (major, minor), ..plain(kind) };
    Ok(match &named.node.kind {
        Kind::Socket => return Err(TarError::Socket(lossy(named.path))),
        _ if named.first.is_some() => plain(b'1'),
        Kind::File(_) => plain(b'0'),
        Kind::Symlink(target) => Special { target, ..plain(b'2') },
        Kind::CharDevice(number) => device(b'3', *number),
        Kind::BlockDevice(number) => device(b'4', *number),
        Kind::Directory(_) => plain(b'5'),
        Kind::Fifo => plain(b'6'),
    })
}

/// The records of an extended header, in the order in which they come.
#[derive(Default)]
struct Records {
    bytes: Vec<u8>,
    /// Whether it was said that names may be no text.
    binary: bool,
}

impl Records {
    /// Splits a path over the header's two places, and adds a record when it has no room there.
    fn place_path<'a>(&mut self, path: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let split = if path.len() <= NAME { Some((b"".as_slice(), path)) } else { split(path) };
        self.string("path", path, split.is_some());
        split.unwrap_or((b"", path))
    }

    /// Adds a record for a name that has no room, or that readers with another character set would change.
    fn string(&mut self, key: &str, value: &[u8], has_room: bool) {
        let text = str::from_utf8(value);
        if has_room && (value.is_ascii() || text.is_err()) {
            return;
        }
        if text.is_err() && !self.binary {
            // POSIX: without this, records are UTF-8.
            self.add(b"hdrcharset", b"BINARY");
            self.binary = true;
        }
        self.add(key.as_bytes(), value);
    }

    /// Appends `LENGTH KEY=VALUE\n`, where the length counts its own digits.
    fn add(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        self.bytes.extend_from_slice(format!("{length} ").as_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.push(b'=');
        self.bytes.extend_from_slice(value);
        self.bytes.push(b'\n');
    }

    /// The extended header; nothing without records.
    fn encode(self, path: &[u8], mtime: u64) -> Vec<u8> {
        if self.bytes.is_empty() {
            return Vec::new();
        }
        let base = path.strip_suffix(b"/").unwrap_or(path).rsplit(|byte| *byte == b'/').next();
        let name = [PAX_NAME, base.unwrap_or(path)].concat();
        let size = self.bytes.len() as u64;
        let header = Header { name: &name[..name.len().min(NAME)], size, mtime, kind: b'x', ..Header::EMPTY };
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(&self.bytes);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }
}

/// Splits at a `/` so that both sides have room.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let from = path.len().checked_sub(NAME + 1)?;
    // The last byte may be a directory's `/`, behind which is no name.
    let candidates = from..path.len().saturating_sub(1).min(PREFIX + 1);
    let at = candidates.into_iter().find(|at| path[*at] == b'/' && *at > 0)?;
    Some((&path[..at], &path[at + 1..]))
}

/// Seconds since 1970 with what is behind the point.
fn decimal(seconds: i64, nanos: u32) -> String {
    match (seconds, nanos) {
        (_, 0) => seconds.to_string(),
        (0.., _) => format!("{seconds}.{nanos:09}"),
        // Nanoseconds count upward, digits away from zero.
        (_, _) => format!("-{}.{:09}", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanos),
    }
}

#[cfg(test)]
mod tests {
    use super::{decimal, split};

    #[test]
    fn times_are_decimal_numbers() {
        assert_eq!(decimal(0, 0), "0");
        assert_eq!(decimal(5, 250_000_000), "5.250000000");
        assert_eq!(decimal(-5, 0), "-5");
        assert_eq!(decimal(-5, 250_000_000), "-4.750000000");
        assert_eq!(decimal(-1, 999_999_999), "-0.000000001");
        assert_eq!(decimal(i64::MIN, 1), "-9223372036854775807.999999999");
    }

    #[test]
    fn a_path_is_split_where_both_sides_have_room() {
        let check = |path: String, wanted: Option<(usize, usize)>| {
            let found = split(path.as_bytes()).map(|(prefix, name)| (prefix.len(), name.len()));
            assert_eq!(found, wanted, "{path}");
        };
        let part = |length| "x".repeat(length);
        check(format!("{}/{}", part(1), part(100)), Some((1, 100)));
        check(format!("{}/{}", part(155), part(100)), Some((155, 100)));
        check(format!("{}/{}", part(156), part(99)), None);
        check(format!("{}/{}", part(1), part(101)), None);
        check(format!("{}/{}/", part(1), part(100)), None);
        check(format!("{}/", part(150)), None);
        check(part(150), None);
        check(format!("/{}", part(100)), None);
    }
}
