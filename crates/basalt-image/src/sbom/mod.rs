//! The bill of materials: which packages and files an image is made of, by digest, with licences and suppliers.
//!
//! ```text
//! let digests = FileDigests::compute(&tree, &content, &known)?;     // parallel; SHA-256s that are known are taken
//! let inventory = Inventory::observe(Subject { about, lock, tree, content, digests })?;
//! cyclonedx::document(&inventory)                                   // CycloneDX 1.6, JSON
//! spdx::document(&inventory)                                        // SPDX 2.3, JSON
//! ```
//!
//! What is in the tree decides, not what was asked for: packages are those that dpkg's database in the tree calls
//! installed, and a file is the package's whose list names it. The lock adds the digest and the address of each `.deb`.
//! Files that no package lists are listed as nobody's.
//!
//! Guarantees: the same image gives the same bytes. Times are the image's epoch; ids derive from the image's id.
//!
//! Not here: writing files, and judging what was found ([`crate::lint`] does).

mod copyright;
pub mod cyclonedx;
mod database;
mod files;
mod inventory;
mod licence;
pub mod spdx;

#[cfg(test)]
mod tests;

use std::io;

use basalt_spec::Manifest;
use basalt_types::{Digest, Guid};
use thiserror::Error;

pub use copyright::{Extracted, Licence};
pub use database::{Contact, InstalledPackage};
pub use files::{FileDigest, FileDigests};
pub use inventory::{Distribution, File, Inventory, Package, Subject};

pub(crate) use database::Database;

/// What a bill says of the image as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The image's name.
    pub name: String,
    /// The image's version.
    pub version: String,
    /// The image's id.
    pub id: Digest,
    /// Seconds since 1970, the only time in a bill.
    pub epoch: u64,
    /// The version of Basalt that built it.
    pub tool: String,
}

/// Why no bill can be written.
#[derive(Debug, Error)]
pub enum SbomError {
    /// A file of the tree can't be read.
    #[error("can't read `{path}` of the image")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The bill itself can't be written as JSON.
    #[error("the bill can't be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl About {
    /// The id of a document about this image, the same for every build of it.
    fn document_id(&self, format: &str) -> Guid {
        Guid::derived(&Digest::of(format!("basalt bill 1 {format} {}", self.id).as_bytes()))
    }

    /// The epoch as RFC 3339 writes it.
    fn timestamp(&self) -> String {
        basalt_debian::release::format_rfc3339(i64::try_from(self.epoch).unwrap_or(i64::MAX))
    }
}

impl From<&Manifest> for About {
    fn from(manifest: &Manifest) -> Self {
        Self {
            name: manifest.name.to_string(),
            version: manifest.version.to_string(),
            id: manifest.id,
            epoch: manifest.epoch,
            tool: manifest.tool.clone(),
        }
    }
}
