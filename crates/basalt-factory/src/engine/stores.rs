//! The files that a tree's stored content is in.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use basalt_formats::{ReadAt, tree::ReadContent};

/// An open file that formats can read from.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    size: u64,
}

/// Stores by number, as [`basalt_formats::tree::Source::Stored`] counts them.
#[derive(Debug, Default)]
pub struct Stores {
    files: Vec<OpenFile>,
}

impl OpenFile {
    /// Opens `path`.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn open(path: &std::path::Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl ReadAt for OpenFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

impl Stores {
    /// Stores whose only one is `file`, number 0.
    pub fn of(file: OpenFile) -> Self {
        Self { files: vec![file] }
    }
}

impl ReadContent for Stores {
    fn read_stored(&self, store: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let file = usize::try_from(store).ok().and_then(|store| self.files.get(store));
        file.ok_or_else(|| io::Error::other(format!("there is no store {store}")))?.read_at(offset, buffer)
    }
}
