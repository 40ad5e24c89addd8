//! The file that a tree's stored content is in.

use std::{fs::File, io, os::unix::fs::FileExt as _};

use basalt_formats::{ReadAt, tree::ReadContent};

/// An open file that formats can read from.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    size: u64,
}

impl OpenFile {
    /// Opens `path`.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn open(path: &std::path::Path) -> io::Result<Self> {
        Self::of(File::open(path)?)
    }

    /// Takes a file as it is now.
    ///
    /// # Errors
    /// When its size can't be asked for.
    pub fn of(file: File) -> io::Result<Self> {
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

/// The only store of the tree that the file holds, whatever its number.
impl ReadContent for OpenFile {
    fn read_stored(&self, _store: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_at(offset, buffer)
    }
}
