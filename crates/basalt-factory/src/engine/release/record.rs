//! The files of a release, and what is known of it without reading them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use basalt_formats::erofs;
use basalt_image::layout::LayoutSpec;
use basalt_types::{ByteSize, Digest};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::engine::{keys::Enrolment, stores::OpenFile};

/// The root file system: EROFS.
pub(super) const ROOT: &str = "root.erofs";
/// Its hash tree: superblock and levels.
pub(super) const VERITY: &str = "root.verity";
/// What the root holds, by content, for later builds.
pub(super) const INDEX: &str = "root.index";
/// The unified kernel image.
pub(super) const UKI: &str = "uki.efi";
/// The boot loader.
pub(super) const LOADER: &str = "loader.efi";
/// The program before the boot loader.
pub(super) const GUARD: &str = "guard.efi";
/// The [`Record`].
pub(super) const RECORD: &str = "release.json";

/// `release.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// The identity of the release.
    pub id: Digest,
    /// The root hash of the verity tree.
    pub root_hash: Digest,
    /// The size of the root file system.
    pub root_size: ByteSize,
    /// The sizes that a machine's partitions grow to.
    pub layout: LayoutSpec,
    /// The kernel's version.
    pub kernel: String,
}

/// A release that was made, opened.
#[derive(Debug)]
pub struct Release {
    /// What is known of it.
    pub record: Record,
    /// The root file system.
    pub root: OpenFile,
    /// Its hash tree.
    pub verity: OpenFile,
    /// The unified kernel image.
    pub uki: Vec<u8>,
    /// The boot loader.
    pub loader: Vec<u8>,
    /// The program before the boot loader.
    pub guard: Vec<u8>,
    /// The keys that machines enrol, when it is signed.
    pub enrolment: Option<Enrolment>,
}

/// An earlier release whose compressed files a new one can take over.
#[derive(Debug)]
pub struct Donor {
    root: OpenFile,
    index: erofs::Index,
}

impl Donor {
    /// Opens the release in `folder`.
    ///
    /// # Errors
    /// When its root or the index of it is missing or damaged.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let index = erofs::Index::from_bytes(&fs::read(folder.join(INDEX))?).map_err(io::Error::other)?;
        Ok(Self { root: OpenFile::open(&folder.join(ROOT))?, index })
    }

    pub(super) fn as_erofs(&self) -> erofs::Donor<'_> {
        erofs::Donor { image: &self.root, index: &self.index }
    }
}

/// Why a release can't be opened.
#[derive(Debug, Error)]
#[error("the release in the cache at {path} can't be used")]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Record {
    /// The text of its file.
    ///
    /// # Errors
    /// Never in practice: strings and numbers always fit into JSON.
    pub fn to_json(&self) -> io::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl Release {
    /// Opens the release in `folder`.
    ///
    /// # Errors
    /// When a file is missing or no record.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let fail = |name: &str| {
            let path = folder.join(name);
            move |source| OpenError { path, source }
        };
        let open = |name: &str| OpenFile::open(&folder.join(name)).map_err(fail(name));
        let read = |name: &str| fs::read(folder.join(name)).map_err(fail(name));
        let record = serde_json::from_slice(&read(RECORD)?).map_err(io::Error::from).map_err(fail(RECORD))?;
        let (root, verity) = (open(ROOT)?, open(VERITY)?);
        let (uki, loader, guard) = (read(UKI)?, read(LOADER)?, read(GUARD)?);
        Ok(Self { record, root, verity, uki, loader, guard, enrolment: None })
    }
}
