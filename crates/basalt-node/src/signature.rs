use std::fmt;

use basalt_spec::FileSystem;
use serde::Serialize;

/// What the start of a partition says about its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "content", content = "kind")]
pub enum Signature {
    /// Zeros only.
    Nothing,
    /// A file system that an image may ask for.
    FileSystem(FileSystem),
    /// A LUKS volume.
    Luks,
    /// Something else.
    Unknown,
}

impl Signature {
    /// How many bytes from the start must be read to tell: btrfs puts its superblock at 64 KiB.
    pub const BYTES: usize = 0x1_1000;

    /// Looks for the magic numbers of ext2 to ext4 (`s_magic`, offset 0x438, Linux
    /// `Documentation/filesystems/ext4/super.rst`), XFS (`sb_magicnum`, offset 0), btrfs (offset 0x10040) and LUKS
    /// (offset 0).
    pub fn of(start: &[u8]) -> Self {
        let at = |offset: usize, magic: &[u8]| start.get(offset..offset + magic.len()) == Some(magic);
        if at(0, b"LUKS\xba\xbe") {
            Self::Luks
        } else if at(0x438, &[0x53, 0xef]) {
            Self::FileSystem(FileSystem::Ext4)
        } else if at(0, b"XFSB") {
            Self::FileSystem(FileSystem::Xfs)
        } else if at(0x1_0040, b"_BHRfS_M") {
            Self::FileSystem(FileSystem::Btrfs)
        } else if start.iter().all(|byte| *byte == 0) {
            Self::Nothing
        } else {
            Self::Unknown
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::FileSystem(kind) => f.write_str(kind.name()),
            Self::Luks => f.write_str("a LUKS volume"),
            Self::Unknown => f.write_str("something unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_numbers_are_known() {
        let with = |offset: usize, magic: &[u8]| {
            let mut bytes = vec![0; Signature::BYTES];
            bytes[offset..offset + magic.len()].copy_from_slice(magic);
            Signature::of(&bytes)
        };
        assert_eq!(with(0, b""), Signature::Nothing);
        assert_eq!(with(0x438, &[0x53, 0xef]), Signature::FileSystem(FileSystem::Ext4));
        assert_eq!(with(0, b"XFSB"), Signature::FileSystem(FileSystem::Xfs));
        assert_eq!(with(0x1_0040, b"_BHRfS_M"), Signature::FileSystem(FileSystem::Btrfs));
        assert_eq!(with(0, b"LUKS\xba\xbe"), Signature::Luks);
        assert_eq!(with(100, b"x"), Signature::Unknown);
        assert_eq!(Signature::of(&[]), Signature::Nothing);
    }
}
