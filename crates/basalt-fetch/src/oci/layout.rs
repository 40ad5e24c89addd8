//! Images as a folder (image specification, "OCI Image Layout"): `oci-layout`, `index.json`, `blobs/sha256/<digest>`.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use basalt_types::Digest;
use serde::{Deserialize, Serialize};

use super::{
    Blob, BlobSource, Descriptor, Index, LocalProblem, OciError,
    document::media,
    pull::{Item, closure, parse},
    signature::is_signatures,
    source::verify,
};

/// A layout folder to read.
#[derive(Debug)]
pub struct Layout {
    folder: PathBuf,
    index: Index,
}

/// A layout folder to write. Nothing names an image before all of it is there.
#[derive(Debug)]
pub struct LayoutWriter {
    folder: PathBuf,
    index: Index,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

pub(super) const MARKER: &str = "oci-layout";
/// What the marker of version 1 says.
pub(super) const MARKER_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
pub(super) const INDEX: &str = "index.json";
/// The annotation that names an image in an index.
const NAME: &str = "org.opencontainers.image.ref.name";

impl Layout {
    /// Opens the layout in `folder`.
    ///
    /// # Errors
    /// When it is no layout, or of an unknown version.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, OciError> {
        let folder = folder.into();
        let marker = match fs::read(folder.join(MARKER)) {
            Ok(marker) => marker,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OciError::Local { path: folder, problem: LocalProblem::NoLayout });
            }
            Err(source) => return Err(OciError::File { action: "read", path: folder.join(MARKER), source }),
        };
        check_marker(&marker, &folder)?;
        let bytes = read(&folder.join(INDEX))?;
        let index = parse(&bytes, "the index", &folder.display().to_string())?;
        Ok(Self { folder, index })
    }

    /// The image of this name, or the only one.
    ///
    /// # Errors
    /// When there is none, or several could be meant.
    pub fn find(&self, name: Option<&str>) -> Result<Descriptor, OciError> {
        find(&self.index, name, &self.folder)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        blob_path(&self.folder, digest)
    }
}

impl BlobSource for Layout {
    fn blob(&self, blob: &Descriptor) -> Result<Blob, OciError> {
        let path = self.blob_path(&blob.digest);
        let refuse = |problem| OciError::Local { path: self.folder.clone(), problem };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(refuse(LocalProblem::NoBlob(blob.digest)));
            }
            Err(source) => return Err(OciError::File { action: "open", path, source }),
        };
        let found = file.metadata().map_err(|source| failed("examine", &path, source))?.len();
        if found != blob.size {
            let (digest, expected) = (blob.digest, blob.size);
            return Err(refuse(LocalProblem::Size { digest, expected, found }));
        }
        Ok(Blob { file, path, offset: 0, length: blob.size })
    }
}

impl LayoutWriter {
    /// Begins or continues the layout in `folder`; images that it has stay.
    ///
    /// # Errors
    /// When the folder can't be made, or holds something else.
    pub fn create(folder: impl Into<PathBuf>) -> Result<Self, OciError> {
        let folder = folder.into();
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(|source| failed("make", &blobs, source))?;
        let index = match Layout::open(&folder) {
            Ok(layout) => layout.index,
            Err(OciError::Local { problem: LocalProblem::NoLayout, .. }) => {
                write(&folder.join(MARKER), MARKER_TEXT.as_bytes())?;
                let media_type = Some(media::INDEX.to_owned());
                Index { schema_version: 2, media_type, manifests: Vec::new() }
            }
            Err(other) => return Err(other),
        };
        Ok(Self { folder, index })
    }

    /// Adds a blob that is at hand.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn insert(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, OciError> {
        let descriptor = Descriptor::of(media_type, bytes);
        let path = blob_path(&self.folder, &descriptor.digest);
        write(&path, bytes)?;
        Ok(descriptor)
    }

    /// Adds `root` and all below it from another place, every byte verified.
    ///
    /// # Errors
    /// When a blob is missing there or not what it should be, or can't be written here.
    pub fn copy(&self, source: &dyn BlobSource, root: &Descriptor) -> Result<(), OciError> {
        let shown = self.folder.display().to_string();
        for item in closure(source, root, &shown)? {
            match item {
                Item::Blob(blob) => self.copy_blob(source, &blob, &shown)?,
                Item::Document(descriptor, bytes) => {
                    verify(&bytes, &descriptor.digest, "the manifest", &shown)?;
                    write(&blob_path(&self.folder, &descriptor.digest), &bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Lets `name` mean `root` from now on; without a name it is added without one.
    ///
    /// # Errors
    /// When the index can't be written.
    pub fn name(&mut self, root: &Descriptor, name: Option<&str>) -> Result<(), OciError> {
        let entry = named(root, name);
        let label = entry.annotations.get(NAME);
        let replaced = |old: &Descriptor| {
            old.annotations.get(NAME) == label && (label.is_some() || old.digest == root.digest)
        };
        self.index.manifests.retain(|old| !replaced(old));
        self.index.manifests.push(entry);
        write_json(&self.folder.join(INDEX), &self.index)
    }

    fn copy_blob(&self, source: &dyn BlobSource, blob: &Descriptor, shown: &str) -> Result<(), OciError> {
        use sha2::Digest as _;
        use std::{io::Write as _, os::unix::fs::FileExt as _};
        let path = blob_path(&self.folder, &blob.digest);
        let Blob { file, path: from, offset, length } = source.blob(blob)?;
        let temporary = temporary(&path);
        let mut out = File::create(&temporary).map_err(|source| failed("make", &temporary, source))?;
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; 1 << 18];
        let mut done = 0;
        while done < length {
            let left = usize::try_from(length - done).unwrap_or(usize::MAX);
            let part = left.min(buffer.len());
            let chunk = &mut buffer[..part];
            file.read_exact_at(chunk, offset + done).map_err(|source| failed("read", &from, source))?;
            hasher.update(&*chunk);
            out.write_all(chunk).map_err(|source| failed("write", &temporary, source))?;
            done += chunk.len() as u64;
        }
        let found = Digest::from_bytes(hasher.finalize().into());
        if found != blob.digest {
            fs::remove_file(&temporary).map_err(|source| failed("remove", &temporary, source))?;
            let (reference, expected) = (shown.to_owned(), blob.digest);
            return Err(OciError::Digest { what: "a blob", reference, expected, found });
        }
        fs::rename(&temporary, &path).map_err(|source| failed("rename", &path, source))
    }
}

/// Refuses a marker of another version.
pub(super) fn check_marker(bytes: &[u8], shown: &Path) -> Result<(), OciError> {
    let Marker { image_layout_version } = parse(bytes, "the marker", &shown.display().to_string())?;
    if image_layout_version.starts_with("1.") {
        return Ok(());
    }
    let problem = LocalProblem::Version(image_layout_version);
    Err(OciError::Local { path: shown.to_owned(), problem })
}

/// The entry of this name, or the only one.
pub(super) fn find(index: &Index, name: Option<&str>, shown: &Path) -> Result<Descriptor, OciError> {
    let refuse = |problem| OciError::Local { path: shown.to_owned(), problem };
    let label =
        |entry: &Descriptor| entry.annotations.get(NAME).cloned().unwrap_or_else(|| "(unnamed)".into());
    let images: Vec<&Descriptor> = index.manifests.iter().filter(|entry| !is_signatures(entry)).collect();
    let names = || images.iter().map(|entry| label(entry)).collect::<Vec<_>>().join(", ");
    match (name, &images[..]) {
        (None, [only]) => Ok((*only).clone()),
        (None, []) => Err(refuse(LocalProblem::NoImage { wanted: "anything".into(), there: "none".into() })),
        (None, _) => Err(refuse(LocalProblem::Several(names()))),
        (Some(wanted), _) => {
            let named = |entry: &&Descriptor| entry.annotations.get(NAME).is_some_and(|name| name == wanted);
            let found = index.manifests.iter().find(named);
            let missing = || LocalProblem::NoImage { wanted: wanted.to_owned(), there: names() };
            found.cloned().ok_or_else(|| refuse(missing()))
        }
    }
}

/// An entry for an index that names `root` so, or not at all.
pub(super) fn named(root: &Descriptor, name: Option<&str>) -> Descriptor {
    let mut entry = root.clone();
    entry.annotations.remove(NAME);
    entry.annotations.extend(name.map(|name| (NAME.to_owned(), name.to_owned())));
    entry
}

/// Where a blob is in a layout.
pub(super) fn blob_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join("blobs/sha256").join(digest.hex())
}

pub(super) fn failed(action: &'static str, path: &Path, source: io::Error) -> OciError {
    OciError::File { action, path: path.to_owned(), source }
}

fn read(path: &Path) -> Result<Vec<u8>, OciError> {
    fs::read(path).map_err(|source| failed("read", path, source))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), OciError> {
    let bytes = serde_json::to_vec(value).map_err(|error| failed("write", path, error.into()))?;
    write(path, &bytes)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), OciError> {
    let temporary = temporary(path);
    fs::write(&temporary, bytes).map_err(|source| failed("write", &temporary, source))?;
    fs::rename(&temporary, path).map_err(|source| failed("rename", path, source))
}

/// Beside its place, under the name of this process.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}
