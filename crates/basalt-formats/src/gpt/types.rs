//! Partition types that we write or look for: UEFI 2.10 table 5-8 and the discoverable partitions specification
//! (UAPI.2).

use basalt_types::{Architecture, Guid};

/// EFI system partition.
pub const ESP: Guid = Guid::from_u128(0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b);
/// Root file system for x86-64.
pub const ROOT_X86_64: Guid = Guid::from_u128(0x4f68bce3_e8cd_4db1_96e7_fbcaf984b709);
/// dm-verity hash tree of an x86-64 root.
pub const ROOT_VERITY_X86_64: Guid = Guid::from_u128(0x2c7357ed_ebd2_46d9_aec1_23d437ec2bf5);
/// Root file system for 64-bit Arm.
pub const ROOT_ARM64: Guid = Guid::from_u128(0xb921b045_1df0_41c3_af44_4c6f280d3fae);
/// dm-verity hash tree of a 64-bit Arm root.
pub const ROOT_VERITY_ARM64: Guid = Guid::from_u128(0xdf3300ce_d69f_4c92_978c_9bfb0f38d820);
/// `/var`: what persists.
pub const VAR: Guid = Guid::from_u128(0x4d21b016_b534_45c2_a9fb_5c16e091fd2d);
/// Any Linux data, mounted by nobody unless asked.
pub const LINUX_DATA: Guid = Guid::from_u128(0x0fc63daf_8483_4772_8e79_3d69d8477de4);

/// The type of a root file system.
pub const fn root(architecture: Architecture) -> Guid {
    match architecture {
        Architecture::Amd64 => ROOT_X86_64,
        Architecture::Arm64 => ROOT_ARM64,
    }
}

/// The type of the hash tree of a root file system.
pub const fn root_verity(architecture: Architecture) -> Guid {
    match architecture {
        Architecture::Amd64 => ROOT_VERITY_X86_64,
        Architecture::Arm64 => ROOT_VERITY_ARM64,
    }
}
