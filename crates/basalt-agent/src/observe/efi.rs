//! Variables of the Boot Loader Interface (systemd.io/BOOT_LOADER_INTERFACE), which any user may read.

use std::{fs, io, path::Path};

use basalt_node::status::{Fact, LoaderTimes, Unknown};

const VARIABLES: &str = "/sys/firmware/efi/efivars";
/// The interface's vendor id.
const VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// efivarfs puts the attributes before the value.
const ATTRIBUTES: usize = 4;

/// When the boot loader started, and when it started the kernel.
pub(super) fn loader_times() -> Fact<LoaderTimes> {
    let init = microseconds("LoaderTimeInitUSec");
    let exec = microseconds("LoaderTimeExecUSec");
    init.and_then(|init| exec.and_then(|exec| Fact::Known(LoaderTimes { init: *init, exec: *exec })))
}

fn microseconds(name: &str) -> Fact<u64> {
    match fs::read(Path::new(VARIABLES).join(format!("{name}-{VENDOR}"))) {
        Ok(bytes) => number(&bytes).map_or(Fact::unknown(Unknown::Unreadable), Fact::Known),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Fact::unknown(Unknown::Absent),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Fact::unknown(Unknown::NeedsRoot),
        Err(_) => Fact::unknown(Unknown::Unreadable),
    }
}

/// A decimal number in UTF-16 with a NUL behind it.
fn number(variable: &[u8]) -> Option<u64> {
    let units: Vec<u16> = variable
        .get(ATTRIBUTES..)?
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    // What is no number is told as unreadable.
    String::from_utf16_lossy(&units).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_text_behind_the_attributes() {
        let bytes: Vec<u8> =
            [6, 0, 0, 0].into_iter().chain("1234\0".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(number(&bytes), Some(1234));
        assert_eq!(number(&bytes[..2]), None);
        assert_eq!(number(&[6, 0, 0, 0, b'x', 0]), None);
    }
}
