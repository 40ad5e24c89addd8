//! An OCI archive (image specification 1.1, "OCI Image Layout", as a tar) that is written while its blobs are made: how long a
//! blob is and what its digest is stand in front of it, so its header is written last.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    os::unix::fs::FileExt as _,
};

use basalt_fetch::oci::{Descriptor, Index, Manifest, SignatureImage, media};
use basalt_types::Digest;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Context, OutputsError};
use crate::engine::output::PartialFile;

/// Bytes of a tar header, and what members are padded to.
const BLOCK: u64 = 512;
/// What marks a layout, and its version.
const MARKER: (&str, &[u8]) = ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
/// The annotation that names an image in an index.
const NAME: &str = "org.opencontainers.image.ref.name";

/// An archive on its way.
pub(super) struct OciArchive {
    file: PartialFile,
    /// Where the next member begins.
    end: u64,
    blobs: BTreeSet<Digest>,
}

/// A blob on its way.
pub(super) struct BlobWriter<'a> {
    archive: &'a mut OciArchive,
    length: u64,
    digest: Sha256,
}

impl OciArchive {
    /// An archive in an empty file.
    pub(super) fn new(file: PartialFile) -> Self {
        Self { file, end: 0, blobs: BTreeSet::new() }
    }

    /// Adds a blob that is at hand; one that is there already is not added again.
    pub(super) fn blob(&mut self, media_type: &str, bytes: &[u8]) -> io::Result<Descriptor> {
        let mut blob = self.begin();
        blob.write_all(bytes)?;
        blob.finish(media_type)
    }

    /// Adds a document.
    pub(super) fn json(&mut self, media_type: &str, value: &impl Serialize) -> io::Result<Descriptor> {
        self.blob(media_type, &serde_json::to_vec(value)?)
    }

    /// Begins a blob that is made piece by piece.
    pub(super) fn begin(&mut self) -> BlobWriter<'_> {
        BlobWriter { archive: self, length: 0, digest: Sha256::new() }
    }

    /// Adds the manifest under the recipe's version, and its signature, if there is to be one.
    pub(super) fn finish(
        mut self,
        manifest: &Manifest,
        context: &Context<'_>,
    ) -> Result<PartialFile, OutputsError> {
        let mut entry = self.json(media::MANIFEST, manifest)?;
        let name = context.recipe.name.to_string();
        let signed = context.signing.map(|signing| signing.sign_manifest(&name, &entry)).transpose()?;
        entry.annotations.insert(NAME.to_owned(), context.recipe.version.to_string());
        let mut manifests = vec![entry];
        if let Some(SignatureImage { tag, mut manifest, documents }) = signed.flatten() {
            for (descriptor, bytes) in &documents {
                self.blob(&descriptor.media_type, bytes)?;
            }
            manifest.annotations.insert(NAME.to_owned(), tag);
            manifests.push(manifest);
        }
        let media_type = Some(media::INDEX.to_owned());
        let index = Index { schema_version: 2, media_type, manifests };
        self.member("index.json", &serde_json::to_vec(&index).map_err(io::Error::from)?)?;
        let (name, text) = MARKER;
        self.member(name, text)?;
        // Two blocks of zeros end an archive; a file's new bytes are zeros.
        self.file.file().set_len(self.end + 2 * BLOCK)?;
        Ok(self.file)
    }

    fn member(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.file.file().write_all_at(bytes, self.end + BLOCK)?;
        self.close(name, bytes.len() as u64)
    }

    /// Writes the header of the member whose `length` bytes are behind its place.
    fn close(&mut self, name: &str, length: u64) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_size(length);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_cksum();
        self.file.file().write_all_at(header.as_bytes(), self.end)?;
        self.end += BLOCK + length.next_multiple_of(BLOCK);
        Ok(())
    }
}

impl BlobWriter<'_> {
    /// Gives the blob its name.
    pub(super) fn finish(self, media_type: &str) -> io::Result<Descriptor> {
        let Self { archive, length, digest } = self;
        let digest = Digest::from_bytes(digest.finalize().into());
        if archive.blobs.insert(digest) {
            archive.close(&format!("blobs/sha256/{}", digest.hex()), length)?;
        } else {
            // The next member is written over it; what is longer than that one must not stay.
            archive.file.file().set_len(archive.end)?;
        }
        let annotations = Default::default();
        Ok(Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size: length,
            platform: None,
            annotations,
        })
    }
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let at = self.archive.end + BLOCK + self.length;
        self.archive.file.file().write_all_at(bytes, at)?;
        self.digest.update(bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
