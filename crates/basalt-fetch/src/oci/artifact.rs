//! An artifact of which only parts are wanted: its manifest, small blobs whole, and ranges of large ones. Nothing is stored.

use std::os::unix::fs::FileExt as _;

use basalt_types::{Digest, ImageRef};

use super::{
    Access, BlobSource as _, Descriptor, Manifest, OciError, Platform,
    pull::{Image, find, parse},
    signature::{self, Signature},
    source::{Source, verify},
};
use crate::http::Client;

/// An artifact, wherever it is.
#[derive(Debug)]
pub struct Artifact<'c> {
    source: Source<'c>,
    image: Image,
}

impl<'c> Artifact<'c> {
    /// Finds the manifest that `reference` means for `platform`.
    ///
    /// # Errors
    /// When it is not there, not for the platform, or not what its digest says.
    pub fn open(
        client: &'c Client,
        access: &Access,
        reference: &ImageRef,
        platform: &Platform,
    ) -> Result<Self, OciError> {
        let source = Source::open(client, access, reference)?;
        let image = find(&source, reference, platform)?;
        Ok(Self { source, image })
    }

    /// The digest of the manifest's bytes.
    pub fn digest(&self) -> Digest {
        self.image.descriptor.digest
    }

    /// What the manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.image.manifest
    }

    /// The signatures of the manifest that are kept beside it, each with what was signed. Whose they are, or whether they
    /// are any, is not looked at.
    ///
    /// # Errors
    /// When they are there and can't be read.
    pub fn signatures(&self) -> Result<Vec<Signature>, OciError> {
        let shown = self.image.reference.to_string();
        let Some(bytes) = self.source.tagged(&signature::signature_tag(&self.digest()), &shown)? else {
            return Ok(Vec::new());
        };
        let manifest: Manifest = parse(&bytes, "the manifest of the signatures", &shown)?;
        let read = |(layer, signature)| {
            let payload = self.blob(layer, "what was signed", signature::PAYLOAD_LIMIT)?;
            Ok(Signature { payload, signature })
        };
        signature::layers(&manifest).map(read).collect()
    }

    /// All of a blob, verified; one with more than `limit` bytes is refused before it is asked for.
    ///
    /// # Errors
    /// When it is not there, too long, or not what its digest says.
    pub fn blob(&self, blob: &Descriptor, what: &'static str, limit: u64) -> Result<Vec<u8>, OciError> {
        let reference = self.image.reference.to_string();
        if blob.size > limit {
            let problem = format!("{what} has {} bytes, more than {limit}", blob.size);
            return Err(OciError::Answer { reference, problem });
        }
        let bytes = self.range(blob, 0, blob.size)?;
        verify(&bytes, &blob.digest, what, &reference)?;
        Ok(bytes)
    }

    /// `length` bytes of a blob from `offset` on. Whether they are the right ones, only who asks can know.
    ///
    /// # Errors
    /// When they are not there.
    pub fn range(&self, blob: &Descriptor, offset: u64, length: u64) -> Result<Vec<u8>, OciError> {
        let end = offset.checked_add(length).filter(|end| *end <= blob.size);
        if end.is_none() {
            let reference = self.image.reference.to_string();
            let problem =
                format!("bytes {offset} to {offset}+{length} of {} are beyond its end", blob.digest);
            return Err(OciError::Answer { reference, problem });
        }
        match &self.source {
            Source::Registry { sessions, .. } => {
                super::source::first(sessions, |session| session.range(blob, offset, length))
            }
            Source::Local { files, .. } => {
                let super::Blob { file, path, offset: begin, length: _ } = files.blob(blob)?;
                let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
                match file.read_exact_at(&mut bytes, begin + offset) {
                    Ok(()) => Ok(bytes),
                    Err(source) => Err(OciError::File { action: "read", path, source }),
                }
            }
        }
    }
}

/// The part of an answer that was asked for: of a part, all; of the whole blob, where the part is.
pub(super) fn part(body: Vec<u8>, whole: bool, offset: u64, length: u64) -> Option<Vec<u8>> {
    let number = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let (offset, length) = (number(offset), number(length));
    if !whole {
        return (body.len() == length).then_some(body);
    }
    Some(body.get(offset..)?.get(..length)?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_taken_out_of_what_came() {
        let whole = b"0123456789".to_vec();
        assert_eq!(part(whole.clone(), true, 3, 4), Some(b"3456".to_vec()));
        assert_eq!(part(whole.clone(), true, 8, 4), None);
        assert_eq!(part(whole.clone(), false, 8, 4), None);
        assert_eq!(part(b"89".to_vec(), false, 8, 2), Some(b"89".to_vec()));
    }
}
