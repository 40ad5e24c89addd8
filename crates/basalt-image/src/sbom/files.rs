//! Digests of every file of a tree, computed on all cores.

use std::collections::HashSet;

use basalt_formats::tree::{Content, Kind, NodeId, ReadContent, Tree};
use basalt_types::Digest;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use sha2::Digest as _;

use super::SbomError;

/// How much of a file is read at once.
const PIECE: usize = 256 << 10;

/// The digests of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileDigest {
    /// SHA-256.
    pub sha256: Digest,
    /// SHA-1, which SPDX 2.3 (section 8.4) demands of every file.
    pub sha1: [u8; 20],
}

/// The digests of a tree's regular files, beside the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDigests(Vec<Option<FileDigest>>);

impl FileDigests {
    /// Reads every regular file that a name leads to, once. `known` gives SHA-256s that somebody has computed already,
    /// such as the writer of the root file system.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn compute(
        tree: &Tree,
        content: &dyn ReadContent,
        known: &(dyn Fn(NodeId) -> Option<Digest> + Sync),
    ) -> Result<Self, SbomError> {
        let (mut seen, mut files) = (HashSet::new(), Vec::new());
        tree.walk(&mut |path, id| {
            if let Kind::File(content) = &tree.node(id).kind
                && seen.insert(id)
            {
                files.push((String::from_utf8_lossy(path).into_owned(), id, content));
            }
        });
        let hashed = files.into_par_iter().map(|(path, id, file)| {
            let digest = hash(file, content, known(id));
            digest.map(|digest| (id, digest)).map_err(|source| SbomError::Read { path, source })
        });
        let mut table = vec![None; tree.arena_len()];
        for (id, digest) in hashed.collect::<Result<Vec<_>, _>>()? {
            table[id.index()] = Some(digest);
        }
        Ok(Self(table))
    }

    /// The digests of a file; `None` for what is no regular file.
    pub fn get(&self, id: NodeId) -> Option<FileDigest> {
        self.0.get(id.index()).copied().flatten()
    }
}

fn hash(file: &Content, reader: &dyn ReadContent, known: Option<Digest>) -> std::io::Result<FileDigest> {
    let (mut sha1, mut sha256) = (sha1::Sha1::new(), sha2::Sha256::new());
    let length = usize::try_from(file.size).unwrap_or(usize::MAX).min(PIECE);
    let mut buffer = vec![0; length];
    let mut offset = 0;
    while offset < file.size {
        let length = usize::try_from(file.size - offset).unwrap_or(usize::MAX).min(PIECE);
        let piece = &mut buffer[..length];
        file.read_at(reader, offset, piece)?;
        sha1.update(&*piece);
        if known.is_none() {
            sha256.update(&*piece);
        }
        offset += length as u64;
    }
    let sha256 = known.unwrap_or_else(|| Digest::from_bytes(sha256.finalize().into()));
    Ok(FileDigest { sha256, sha1: sha1.finalize().into() })
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
