use std::fmt;

use serde::Serialize;

/// What the bytes of a disk or a partition say about whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Content {
    /// A member of a RAID of the Linux kernel (md).
    LinuxRaid,
    /// A member of a RAID that firmware made (Intel's, or DDF).
    FirmwareRaid,
    /// A physical volume of LVM.
    Lvm,
    /// A member of a ZFS pool.
    Zfs,
    /// A BlueStore of Ceph.
    Ceph,
    /// A LUKS volume.
    Luks,
    /// A BitLocker volume.
    BitLocker,
    /// ext2, ext3 or ext4.
    Ext,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
    /// FAT.
    Fat,
    /// exFAT.
    ExFat,
    /// NTFS.
    Ntfs,
    /// EROFS.
    Erofs,
    /// SquashFS.
    Squashfs,
    /// ISO 9660.
    Iso9660,
    /// Swap.
    Swap,
    /// Bytes that say nothing to us.
    Unknown,
}

/// How many bytes of the start tell all that the start tells: a label of ZFS, which has 256 KiB, and the superblock of
/// btrfs at 64 KiB.
pub const HEAD: usize = 256 << 10;
/// How many bytes of the end: ZFS puts its last label into the last whole 256 KiB.
pub const TAIL: usize = 512 << 10;

/// Linux `include/uapi/linux/raid/md_p.h`, `MD_SB_MAGIC`.
const MD: [u8; 4] = 0xa92b_4efc_u32.to_le_bytes();
/// OpenZFS `include/sys/uberblock_impl.h`, `UBERBLOCK_MAGIC`.
const UBERBLOCK: u64 = 0x00ba_b10c;
const ZFS_LABEL: u64 = 256 << 10;
const ZFS_UBERBLOCKS: usize = 128 << 10;
const KIB: u64 = 1024;

impl Content {
    /// Recognises what a device of `size` bytes holds by its first and last bytes, of which [`HEAD`] and [`TAIL`] are
    /// enough; none when they are zeros. What makes it a part of something larger is said before anything else: a mirror
    /// of the kernel looks like the file system in it.
    pub fn of(head: &[u8], tail: &[u8], size: u64) -> Option<Self> {
        let ends = Ends { head, tail, size };
        let zeros = || head.iter().chain(tail).all(|byte| *byte == 0);
        ends.member().or_else(|| ends.alone()).or_else(|| (!zeros()).then_some(Self::Unknown))
    }

    /// Whether other disks may belong to the same thing: erasing this one may damage what is on them.
    pub const fn is_member(self) -> bool {
        match self {
            Self::LinuxRaid | Self::FirmwareRaid | Self::Lvm | Self::Zfs | Self::Ceph => true,
            Self::Luks
            | Self::BitLocker
            | Self::Ext
            | Self::Xfs
            | Self::Btrfs
            | Self::Fat
            | Self::ExFat
            | Self::Ntfs
            | Self::Erofs
            | Self::Squashfs
            | Self::Iso9660
            | Self::Swap
            | Self::Unknown => false,
        }
    }
}

/// Both ends of a device.
struct Ends<'a> {
    head: &'a [u8],
    tail: &'a [u8],
    size: u64,
}

impl Ends<'_> {
    fn at(&self, offset: usize, magic: &[u8]) -> bool {
        self.head.get(offset..offset + magic.len()) == Some(magic)
    }

    /// Whether these bytes are at this place of the device, as far as it is in the tail.
    fn at_end(&self, offset: Option<u64>, magic: &[u8]) -> bool {
        let start = self.size.checked_sub(self.tail.len() as u64);
        let place = offset.zip(start).and_then(|(offset, start)| offset.checked_sub(start));
        let place = place.and_then(|place| usize::try_from(place).ok());
        place.and_then(|place| self.tail.get(place..place + magic.len())) == Some(magic)
    }

    fn member(&self) -> Option<Content> {
        let before = |distance: u64| self.size.checked_sub(distance);
        // Versions 1.1 and 1.2 at the start, 1.0 and 0.90 at the end (md(4), "MD SUPER BLOCK").
        let md_one = before(8 * KIB).map(|at| at & !(4 * KIB - 1));
        let md_old = (self.size & !(64 * KIB - 1)).checked_sub(64 * KIB);
        if self.at(0, &MD) || self.at(4096, &MD) || self.at_end(md_one, &MD) || self.at_end(md_old, &MD) {
            return Some(Content::LinuxRaid);
        }
        // Intel's signature in the last but one sector; DDF's anchor in the last (SNIA, "Common RAID Disk Data Format").
        if self.at_end(before(1024), b"Intel Raid ISM Cfg Sig. ")
            || self.at_end(before(512), &0xde11_de11_u32.to_be_bytes())
        {
            return Some(Content::FirmwareRaid);
        }
        // LVM2 `lib/label/label.h`: in one of the first four sectors.
        if (0..4).any(|sector| self.at(sector * 512, b"LABELONE") && self.at(sector * 512 + 24, b"LVM2 001"))
        {
            return Some(Content::Lvm);
        }
        if self.at(0, b"bluestore block device\n") {
            return Some(Content::Ceph);
        }
        self.zfs().then_some(Content::Zfs)
    }

    /// An uberblock in the first label or in the last.
    fn zfs(&self) -> bool {
        let last = (self.size & !(ZFS_LABEL - 1)).checked_sub(ZFS_LABEL);
        (0..128).map(|number| ZFS_UBERBLOCKS + number * 1024).any(|place| {
            let magics = [UBERBLOCK.to_le_bytes(), UBERBLOCK.to_be_bytes()];
            let in_last = last.map(|last| last + place as u64);
            magics.iter().any(|magic| self.at(place, magic) || self.at_end(in_last, magic))
        })
    }

    fn alone(&self) -> Option<Content> {
        let fat = self.at(510, &[0x55, 0xaa]) && (self.at(82, b"FAT32   ") || self.at(54, b"FAT1"));
        // Offsets as in util-linux's libblkid, `libblkid/src/superblocks`.
        let known = [
            (self.at(0, b"LUKS\xba\xbe"), Content::Luks),
            (self.at(3, b"-FVE-FS-"), Content::BitLocker),
            (self.at(0x438, &[0x53, 0xef]), Content::Ext),
            (self.at(0, b"XFSB"), Content::Xfs),
            (self.at(0x1_0040, b"_BHRfS_M"), Content::Btrfs),
            (self.at(3, b"NTFS    "), Content::Ntfs),
            (self.at(3, b"EXFAT   "), Content::ExFat),
            (self.at(1024, &0xe0f5_e1e2_u32.to_le_bytes()), Content::Erofs),
            (self.at(0, b"hsqs"), Content::Squashfs),
            (self.at(4086, b"SWAPSPACE2"), Content::Swap),
            (self.at(0x8001, b"CD001"), Content::Iso9660),
            (fat, Content::Fat),
        ];
        known.into_iter().find(|(found, _)| *found).map(|(_, content)| content)
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LinuxRaid => "a member of a Linux RAID",
            Self::FirmwareRaid => "a member of a firmware's RAID",
            Self::Lvm => "a physical volume of LVM",
            Self::Zfs => "a member of a ZFS pool",
            Self::Ceph => "a BlueStore of Ceph",
            Self::Luks => "a LUKS volume",
            Self::BitLocker => "a BitLocker volume",
            Self::Ext => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Fat => "fat",
            Self::ExFat => "exfat",
            Self::Ntfs => "ntfs",
            Self::Erofs => "erofs",
            Self::Squashfs => "squashfs",
            Self::Iso9660 => "iso9660",
            Self::Swap => "swap",
            Self::Unknown => "something unknown",
        })
    }
}
