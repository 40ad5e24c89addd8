use std::{fmt, str::FromStr};

use basalt_types::{ByteSize, SizeError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::serde_as_string;

/// How a disk is divided. It is in the image too (`image.json`), for the first boot makes what a raw disk lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping such as `esp: 1GiB`")]
pub struct Disk {
    /// The EFI system partition: boot loader, and one kernel image for each slot.
    #[serde(default = "one_gib")]
    pub esp: ByteSize,
    /// Each slot's root partition. `auto`: twice the content and at least 2 GiB, for nothing makes it larger later.
    #[serde(default)]
    pub slot: SlotSize,
    /// Whether there is a second slot, which upgrades need.
    #[serde(default = "yes")]
    pub slot_b: bool,
    /// Whether there is a recovery slot, which holds a known-good release.
    #[serde(default = "yes")]
    pub recovery: bool,
    /// The least size of the data partition (`/var`); it grows to the end of the disk.
    #[serde(default = "one_gib")]
    pub data: ByteSize,
    /// The data partition's file system.
    #[serde(default)]
    pub data_file_system: FileSystem,
    /// How the root file system is compressed.
    #[serde(default)]
    pub compression: Compression,
}

/// How the root file system is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Zstandard where the image's kernel reads it (Linux 6.10 and later), else LZ4HC.
    #[default]
    Auto,
    /// Not at all.
    None,
    /// LZ4: the fastest to write and to read, the largest.
    Lz4,
    /// LZ4 with a longer search: as fast to read, smaller, slower to write.
    Lz4hc,
    /// Zstandard: the smallest.
    Zstd,
}

/// The size of a slot's root partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlotSize {
    /// From the content.
    #[default]
    Auto,
    /// Exactly this; content that doesn't fit is an error.
    Fixed(ByteSize),
}

/// A file system for data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileSystem {
    /// ext4, made by `mkfs.ext4` of the package e2fsprogs.
    #[default]
    Ext4,
    /// XFS, made by `mkfs.xfs` of the package xfsprogs.
    Xfs,
    /// btrfs, made by `mkfs.btrfs` of the package btrfs-progs.
    Btrfs,
}

impl FileSystem {
    /// The package that makes it, named alike by all distributions.
    pub const fn package(self) -> &'static str {
        match self {
            Self::Ext4 => "e2fsprogs",
            Self::Xfs => "xfsprogs",
            Self::Btrfs => "btrfs-progs",
        }
    }

    /// The name for `mount -t` and after `mkfs.`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            esp: one_gib(),
            slot: SlotSize::Auto,
            slot_b: true,
            recovery: true,
            data: one_gib(),
            data_file_system: FileSystem::Ext4,
            compression: Compression::Auto,
        }
    }
}

impl FromStr for SlotSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" { Ok(Self::Auto) } else { text.parse().map(Self::Fixed) }
    }
}

impl fmt::Display for SlotSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(size) => write!(f, "{size}"),
        }
    }
}

serde_as_string!(
    SlotSize,
    schemars::json_schema!({
        "type": "string", "description": "`auto`, or a size such as `2GiB`",
        "pattern": "^(auto|[0-9]+ *(B|KiB|MiB|GiB|TiB)?)$"
    })
);

const fn one_gib() -> ByteSize {
    ByteSize::gib(1)
}

const fn yes() -> bool {
    true
}
