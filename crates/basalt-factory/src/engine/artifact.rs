//! Opens what a build made, by what it is and not by what it is called.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use basalt_debian::control::{Paragraph, Paragraphs};
use basalt_formats::{
    ReadAt,
    erofs::{self, Image, Unpacked},
    gpt::{GptError, Parsed, Partition, Table},
    tree::{Content, Kind, ReadContent, Tree},
};
use basalt_image::layout::{LayoutSpec, Role, State};
use basalt_spec::{DocumentError, ImageInfo, Lock, LockError, Manifest};
use basalt_types::PartLabel;
use thiserror::Error;

use super::stores::OpenFile;

/// A raw disk has 512-byte sectors, as every image that we write.
const SECTOR: u32 = 512;

/// What a file turned out to be.
#[derive(Debug)]
pub enum Artifact {
    /// A raw disk and its partition table.
    Disk(OpenFile, Box<Parsed>),
    /// A PE program, such as a UKI; its bytes.
    Program(Vec<u8>),
    /// An EROFS image.
    Root(OpenFile),
    /// What a build said of itself.
    Manifest(Manifest),
    /// The packages of a recipe.
    Lock(Lock),
}

/// A part of something readable: a partition of a disk.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    source: &'a dyn ReadAt,
    start: u64,
    size: u64,
}

/// Why a file is of no use here.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// It can't be read.
    #[error("can't read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is none of ours.
    #[error("{0} is no disk, UKI, EROFS image, manifest or lock")]
    Unknown(PathBuf),
    /// A disk whose partition table is damaged in both copies.
    #[error("the partition table of {path} can't be used")]
    Table {
        /// The file.
        path: PathBuf,
        /// Why.
        source: GptError,
    },
    /// A manifest that is not one.
    #[error("{path} is no manifest that this program reads")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DocumentError,
    },
    /// A lock that is not one.
    #[error("{path} is no lock that this program reads")]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        source: LockError,
    },
}

impl Artifact {
    /// Opens the file at `path` and finds out what it is.
    ///
    /// # Errors
    /// When it can't be read, is damaged, or none of ours.
    pub fn open(path: &Path) -> Result<Self, ArtifactError> {
        let read = |source| ArtifactError::Read { path: path.to_owned(), source };
        let file = OpenFile::open(path).map_err(read)?;
        let mut start = [0; 2048];
        let known = usize::try_from(file.size()).unwrap_or(usize::MAX).min(start.len());
        file.read_at(0, &mut start[..known]).map_err(read)?;
        let at = |offset: usize, magic: &[u8]| start[offset..].starts_with(magic);
        if at(SECTOR as usize, b"EFI PART") {
            let table = Table::parse(&file, SECTOR);
            let parsed = table.map_err(|source| ArtifactError::Table { path: path.to_owned(), source })?;
            Ok(Self::Disk(file, Box::new(parsed)))
        } else if at(1024, &0xe0f5_e1e2_u32.to_le_bytes()) {
            Ok(Self::Root(file))
        } else if at(0, b"MZ") {
            fs::read(path).map(Self::Program).map_err(read)
        } else if at(0, b"{") {
            Self::document(path)
        } else {
            Err(ArtifactError::Unknown(path.to_owned()))
        }
    }

    fn document(path: &Path) -> Result<Self, ArtifactError> {
        let text = fs::read_to_string(path);
        let text = text.map_err(|source| ArtifactError::Read { path: path.to_owned(), source })?;
        if text.contains("\"artifacts\"") {
            let manifest = Manifest::parse(&text);
            let refuse = |source| ArtifactError::Manifest { path: path.to_owned(), source };
            manifest.map(Self::Manifest).map_err(refuse)
        } else if text.contains("\"recipeDigest\"") {
            let refuse = |source| ArtifactError::Lock { path: path.to_owned(), source };
            Lock::parse(&text).map(Self::Lock).map_err(refuse)
        } else {
            Err(ArtifactError::Unknown(path.to_owned()))
        }
    }
}

impl<'a> Window<'a> {
    /// All of `source`.
    pub fn all(source: &'a dyn ReadAt) -> Self {
        Self { source, start: 0, size: source.size() }
    }

    /// These bytes of `source`.
    pub fn part(source: &'a dyn ReadAt, bytes: std::ops::Range<u64>) -> Self {
        Self { source, start: bytes.start, size: bytes.end.saturating_sub(bytes.start) }
    }

    /// The finished partition that has this role on a disk.
    pub fn partition(source: &'a dyn ReadAt, table: &Table, role: Role) -> Option<Self> {
        Self::of(source, table, |found| Role::of_partition(found) == Some((role, State::Finished)))
    }

    /// The partition that has this label.
    pub fn labelled(source: &'a dyn ReadAt, table: &Table, label: &PartLabel) -> Option<Self> {
        Self::of(source, table, |found| found.label.as_ref() == Some(label))
    }

    fn of(source: &'a dyn ReadAt, table: &Table, wanted: impl Fn(&Partition) -> bool) -> Option<Self> {
        let found = table.partitions.iter().find(|partition| wanted(partition))?;
        let bytes = found.bytes(table.sector_size);
        Some(Self { source, start: bytes.start, size: bytes.end - bytes.start })
    }

    /// Where it starts.
    pub fn start(&self) -> u64 {
        self.start
    }
}

impl ReadAt for Window<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.size);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.source.read_at(self.start + offset, buffer)
    }
}

impl ReadContent for Window<'_> {
    fn read_stored(&self, _store: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_at(offset, buffer)
    }
}

impl std::fmt::Debug for Window<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window").field("start", &self.start).field("size", &self.size).finish_non_exhaustive()
    }
}

/// A root file system that was opened for looking into it.
#[derive(Debug)]
pub struct RootView<'a> {
    /// The names.
    pub tree: Tree,
    /// The bytes of its files, decompressed.
    pub content: Unpacked<Window<'a>>,
    /// The size of the file system.
    pub size: u64,
}

impl<'a> RootView<'a> {
    /// Opens the EROFS at the start of `window`.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn open(window: Window<'a>) -> Result<Self, erofs::ReadError> {
        let size = Image::open(&window)?.superblock().image_size();
        let (tree, content) = erofs::unpack(window, 0)?;
        Ok(Self { tree, content, size })
    }

    /// The text of the file at `path`; `None` when it is not there.
    ///
    /// # Errors
    /// When it can't be read, or is no text.
    pub fn text(&self, path: &str) -> io::Result<Option<String>> {
        let Some(content) = self.file(path) else { return Ok(None) };
        let text = String::from_utf8(content.read(&self.content)?);
        text.map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// What the image says of itself; `None` when it was not made by us.
    ///
    /// # Errors
    /// When that can't be read or understood.
    pub fn info(&self) -> io::Result<Option<ImageInfo<LayoutSpec>>> {
        let text = self.text(ImageInfo::<LayoutSpec>::PATH)?;
        text.map(|text| ImageInfo::parse(&text).map_err(io::Error::other)).transpose()
    }

    /// Name and version of every package that dpkg knows to be installed, by name.
    ///
    /// # Errors
    /// When dpkg's database can't be read.
    pub fn packages(&self) -> io::Result<BTreeMap<String, String>> {
        let mut packages = BTreeMap::new();
        for path in ["/usr/lib/sysimage/dpkg/status", "/var/lib/dpkg/status"] {
            let Some(status) = self.text(path)? else { continue };
            let installed =
                |paragraph: &Paragraph<'_>| paragraph.get("Status") == Some("install ok installed");
            for paragraph in Paragraphs::new(&status).filter(installed) {
                let field = |name: &str| paragraph.get(name).unwrap_or_default().to_owned();
                packages.insert(field("Package"), field("Version"));
            }
        }
        Ok(packages)
    }

    fn file(&self, path: &str) -> Option<&Content> {
        let Ok(id) = self.tree.resolve(path) else { return None };
        match &self.tree.node(id).kind {
            Kind::File(content) => Some(content),
            Kind::Directory(_)
            | Kind::Symlink(_)
            | Kind::CharDevice(_)
            | Kind::BlockDevice(_)
            | Kind::Fifo
            | Kind::Socket => None,
        }
    }
}
