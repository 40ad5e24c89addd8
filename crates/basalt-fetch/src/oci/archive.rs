//! The same as one file: a tar of a layout. It is read where it lies, nothing of it is unpacked, so no path in it ever
//! meets a file system.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::{
    Blob, BlobSource, Descriptor, Index, LocalProblem, OciError,
    layout::{self, INDEX, Layout, MARKER, failed},
    pull::{closure, parse},
    registry::DOCUMENT_LIMIT,
};

/// An archive to read.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    file: File,
    /// By path: the first byte and the length.
    members: BTreeMap<String, (u64, u64)>,
    index: Index,
}

impl Archive {
    /// Opens the archive at `path` and reads its table of contents.
    ///
    /// # Errors
    /// When it is no tar of an OCI layout.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, OciError> {
        let path = path.into();
        let file = File::open(&path).map_err(|source| failed("open", &path, source))?;
        let members = list(&file, &path)?;
        let refuse = |problem| OciError::Local { path: path.clone(), problem };
        let document = |name: &str| {
            let (offset, length) = *members.get(name).ok_or_else(|| refuse(LocalProblem::NoLayout))?;
            if length > DOCUMENT_LIMIT {
                return Err(refuse(LocalProblem::Member(name.to_owned())));
            }
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            file.read_exact_at(&mut bytes, offset).map_err(|source| failed("read", &path, source))?;
            Ok(bytes)
        };
        layout::check_marker(&document(MARKER)?, &path)?;
        let index = parse(&document(INDEX)?, "the index", &path.display().to_string())?;
        Ok(Self { path, file, members, index })
    }

    /// The image of this name, or the only one.
    ///
    /// # Errors
    /// When there is none, or several could be meant.
    pub fn find(&self, name: Option<&str>) -> Result<Descriptor, OciError> {
        layout::find(&self.index, name, &self.path)
    }
}

impl BlobSource for Archive {
    fn blob(&self, blob: &Descriptor) -> Result<Blob, OciError> {
        let refuse = |problem| OciError::Local { path: self.path.clone(), problem };
        let member = self.members.get(&format!("blobs/sha256/{}", blob.digest.hex()));
        let (offset, found) = *member.ok_or_else(|| refuse(LocalProblem::NoBlob(blob.digest)))?;
        if found != blob.size {
            let (digest, expected) = (blob.digest, blob.size);
            return Err(refuse(LocalProblem::Size { digest, expected, found }));
        }
        let file = self.file.try_clone().map_err(|source| failed("open", &self.path, source))?;
        Ok(Blob { file, path: self.path.clone(), offset, length: blob.size })
    }
}

/// Where each member lies. Anything but directories and whole files has no place in a layout.
fn list(file: &File, path: &Path) -> Result<BTreeMap<String, (u64, u64)>, OciError> {
    let refuse = |member: &str| OciError::Local {
        path: path.to_owned(),
        problem: LocalProblem::Member(member.to_owned()),
    };
    let size = file.metadata().map_err(|source| failed("examine", path, source))?.len();
    let mut tar = tar::Archive::new(file);
    let damaged = |source| failed("read", path, source);
    let mut members = BTreeMap::new();
    // Long names are not resolved: no path of a layout is one.
    for entry in tar.entries_with_seek().map_err(damaged)?.raw(true) {
        let entry = entry.map_err(damaged)?;
        let name = String::from_utf8_lossy(&entry.header().path_bytes()).into_owned();
        let name = name.trim_start_matches("./").trim_end_matches('/').to_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_local_extensions() || kind.is_pax_global_extensions() {
            continue;
        }
        let (begin, length) = (entry.raw_file_position(), entry.size());
        let inside = begin.checked_add(length).is_some_and(|end| end <= size);
        if !kind.is_file() || !inside || members.insert(name.clone(), (begin, length)).is_some() {
            return Err(refuse(&name));
        }
    }
    Ok(members)
}

/// Writes an archive of the image `root` of `layout`, alone, under `name`. The same image gives the same bytes.
///
/// # Errors
/// When a blob is missing or `out` refuses.
pub fn write_archive(
    layout: &Layout,
    root: &Descriptor,
    name: Option<&str>,
    out: &mut dyn Write,
) -> Result<(), OciError> {
    let items = closure(layout, root, "the image")?;
    let index = Index {
        schema_version: 2,
        media_type: Some(super::media::INDEX.to_owned()),
        manifests: vec![layout::named(root, name)],
    };
    let index =
        serde_json::to_vec(&index).map_err(|error| failed("write", Path::new(INDEX), error.into()))?;
    let unwritten = |source| failed("write", Path::new("the archive"), source);
    let mut tar = tar::Builder::new(out);
    let mut put = |name: &str, length: u64, bytes: &mut dyn Read| -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_size(length);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_cksum();
        tar.append(&header, bytes)
    };
    put(MARKER, layout::MARKER_TEXT.len() as u64, &mut layout::MARKER_TEXT.as_bytes()).map_err(unwritten)?;
    put(INDEX, index.len() as u64, &mut index.as_slice()).map_err(unwritten)?;
    for item in &items {
        let descriptor = item.descriptor();
        let Blob { file, offset, length, .. } = layout.blob(descriptor)?;
        let mut part = Part { file: &file, offset }.take(length);
        let name = format!("blobs/sha256/{}", descriptor.digest.hex());
        put(&name, length, &mut part).map_err(unwritten)?;
    }
    tar.finish().map_err(unwritten)
}

struct Part<'f> {
    file: &'f File,
    offset: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
