//! Where an image comes from: everything below asks only this.

use std::{fs::File, path::PathBuf};

use basalt_types::{Digest, ImageRef};

use super::{
    Access, Archive, Descriptor, Layout, LocalProblem, OciError,
    document::media,
    registry::{DOCUMENT_LIMIT, Purpose, Session},
};
use crate::{
    http::{Client, Expected},
    obtain::{Context, obtain},
    store::{Check, Found, Partial, Store, StoreError},
};

/// Gives blobs that are on this machine.
pub trait BlobSource: Sync {
    /// The blob with this digest and size.
    ///
    /// # Errors
    /// When it is not there or has another size.
    fn blob(&self, blob: &Descriptor) -> Result<Blob, OciError>;
}

/// A blob in a file.
#[derive(Debug)]
pub struct Blob {
    /// The file.
    pub file: File,
    /// Its path, for errors.
    pub path: PathBuf,
    /// Where the blob begins.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// Where an image comes from.
#[derive(Debug)]
pub(super) enum Source<'c> {
    /// A repository, at its mirrors first.
    Registry { sessions: Vec<Session<'c>>, wanted: String },
    /// Files.
    Local { files: Local, name: Option<String> },
}

#[derive(Debug)]
pub(super) enum Local {
    Layout(Layout),
    Archive(Archive),
}

impl<'c> Source<'c> {
    pub(super) fn open(client: &'c Client, access: &Access, reference: &ImageRef) -> Result<Self, OciError> {
        let named = |name: Option<&str>| name.map(str::to_owned);
        match reference {
            ImageRef::Registry(image) => {
                let mut sessions = Vec::new();
                for mirror in &access.mirrors {
                    sessions.push(Session::open_mirror(client, access, image, mirror)?);
                }
                sessions.push(Session::open(client, access, image, Purpose::Pull)?);
                Ok(Self::Registry { sessions, wanted: image.wanted().reference() })
            }
            ImageRef::Layout(local) => {
                let files = Local::Layout(Layout::open(local.path())?);
                Ok(Self::Local { files, name: named(local.name()) })
            }
            ImageRef::Archive(local) => {
                let files = Local::Archive(Archive::open(local.path())?);
                Ok(Self::Local { files, name: named(local.name()) })
            }
        }
    }

    /// The document that the reference names: its bytes and media type.
    pub(super) fn named(&self, shown: &str) -> Result<(Vec<u8>, String), OciError> {
        match self {
            Self::Registry { sessions, wanted } => first(sessions, |session| session.manifest(wanted)),
            Self::Local { files, name } => {
                let descriptor = files.find(name.as_deref())?;
                Ok((self.document(&descriptor, shown)?, descriptor.media_type))
            }
        }
    }

    /// The manifest of this tag, or of this name in an index; `None` when there is none.
    pub(super) fn tagged(&self, tag: &str, shown: &str) -> Result<Option<Vec<u8>>, OciError> {
        let found = match self {
            Self::Registry { sessions, .. } => {
                first(sessions, |session| session.manifest(tag)).map(|(bytes, _)| bytes)
            }
            Self::Local { files, .. } => {
                files.find(Some(tag)).and_then(|descriptor| self.document(&descriptor, shown))
            }
        };
        match found {
            Ok(bytes) => Ok(Some(bytes)),
            Err(OciError::Absent { .. } | OciError::Local { problem: LocalProblem::NoImage { .. }, .. }) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A manifest or index by its descriptor.
    pub(super) fn document(&self, wanted: &Descriptor, shown: &str) -> Result<Vec<u8>, OciError> {
        match self {
            Self::Registry { sessions, .. } => {
                first(sessions, |session| session.manifest(&wanted.digest.to_string()))
                    .map(|(bytes, _)| bytes)
            }
            Self::Local { files, .. } => read_document(files, wanted, shown),
        }
    }

    /// A blob, in the store.
    pub(super) fn blob(
        &self,
        context: Context<'_>,
        blob: &Descriptor,
        shown: &str,
    ) -> Result<PathBuf, OciError> {
        let url = format!("{shown} ({})", blob.digest);
        let expected = Expected { url, digest: blob.digest, size: blob.size };
        obtain(context, &expected, |progress| match self {
            Self::Registry { sessions, .. } => {
                first(sessions, |session| session.blob(blob, context.store, progress))
            }
            Self::Local { files, .. } => {
                let copied = copy(&files.blob(blob)?, blob, context.store, progress);
                copied.map_err(|error| named_digest(error, shown))
            }
        })
    }
}

impl Local {
    fn find(&self, name: Option<&str>) -> Result<Descriptor, OciError> {
        match self {
            Self::Layout(layout) => layout.find(name),
            Self::Archive(archive) => archive.find(name),
        }
    }
}

impl BlobSource for Local {
    fn blob(&self, blob: &Descriptor) -> Result<Blob, OciError> {
        match self {
            Self::Layout(layout) => layout.blob(blob),
            Self::Archive(archive) => archive.blob(blob),
        }
    }
}

impl BlobSource for Store {
    fn blob(&self, blob: &Descriptor) -> Result<Blob, OciError> {
        match self.get(&blob.digest, Some(blob.size), Check::Content)? {
            Found::Whole(path) => {
                let file = File::open(&path);
                let file =
                    file.map_err(|source| OciError::File { action: "open", path: path.clone(), source })?;
                Ok(Blob { file, path, offset: 0, length: blob.size })
            }
            Found::Absent | Found::Corrupt(_) => {
                let problem = super::LocalProblem::NoBlob(blob.digest);
                Err(OciError::Local { path: self.path(&blob.digest), problem })
            }
        }
    }
}

/// Asks one after the other; the last one's error counts, because it is the registry's own.
pub(super) fn first<'c, T>(
    sessions: &[Session<'c>],
    mut ask: impl FnMut(&Session<'c>) -> Result<T, OciError>,
) -> Result<T, OciError> {
    let mut last = None;
    for session in sessions {
        match ask(session) {
            Ok(found) => return Ok(found),
            Err(error @ OciError::Store(_)) => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    let nobody = || OciError::Answer { reference: String::new(), problem: "nobody was asked".to_owned() };
    Err(last.unwrap_or_else(nobody))
}

/// A manifest or index that lies in a file, verified.
pub(super) fn read_document(
    source: &dyn BlobSource,
    wanted: &Descriptor,
    shown: &str,
) -> Result<Vec<u8>, OciError> {
    use std::os::unix::fs::FileExt as _;
    let known = media::is_index(&wanted.media_type) || media::is_manifest(&wanted.media_type);
    if !known || wanted.size > DOCUMENT_LIMIT {
        let (reference, found) = (shown.to_owned(), wanted.media_type.clone());
        return Err(OciError::Media {
            reference,
            found,
            advice: "expected an index or a manifest below 4 MiB",
        });
    }
    let Blob { file, path, offset, length } = source.blob(wanted)?;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let read = file.read_exact_at(&mut bytes, offset);
    read.map_err(|source| OciError::File { action: "read", path, source })?;
    verify(&bytes, &wanted.digest, "the manifest", shown)?;
    Ok(bytes)
}

/// Refuses bytes that have another digest.
pub(super) fn verify(
    bytes: &[u8],
    expected: &Digest,
    what: &'static str,
    shown: &str,
) -> Result<(), OciError> {
    let found = Digest::of(bytes);
    if found == *expected {
        return Ok(());
    }
    Err(OciError::Digest { what, reference: shown.to_owned(), expected: *expected, found })
}

/// Copies a blob into the store; what is there of it is not copied again.
fn copy(
    from: &Blob,
    blob: &Descriptor,
    store: &Store,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<PathBuf, OciError> {
    use std::os::unix::fs::FileExt as _;
    let mut partial: Partial<'_> = store.partial(&blob.digest)?;
    if partial.length() > blob.size {
        partial.restart()?;
    }
    progress(partial.length());
    let mut buffer = vec![0; 1 << 18];
    while partial.length() < blob.size {
        let left = usize::try_from(blob.size - partial.length()).unwrap_or(usize::MAX);
        let part = left.min(buffer.len());
        let chunk = &mut buffer[..part];
        let read = from.file.read_exact_at(chunk, from.offset + partial.length());
        read.map_err(|source| OciError::File { action: "read", path: from.path.clone(), source })?;
        partial.append(chunk)?;
        progress(chunk.len() as u64);
    }
    Ok(partial.finish(blob.digest, blob.size)?)
}

fn named_digest(error: OciError, shown: &str) -> OciError {
    if let OciError::Store(StoreError::Mismatch { expected, found, .. }) = error {
        return OciError::Digest { what: "a blob", reference: shown.to_owned(), expected, found };
    }
    error
}
