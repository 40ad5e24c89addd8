//! Reads a binary package (deb(5), format 2.0): an ar archive of `debian-binary`, `control.tar.*` and `data.tar.*`.
//!
//! ```text
//! read_control(shown, reader)?            the control archive alone: the beginning of the file
//! unpack(&expected, reader, &mut sink)?   streams every entry of the data archive to the sink, then verifies
//! ```
//!
//! Guarantees: entry paths are relative, without `.`, `..` and empty parts; only directories, regular files, symbolic
//! and hard links are given to a sink, anything else is refused; size and SHA-256 of the whole file are those expected,
//! or it is an error and what the sink made is to be thrown away. No allocation depends on a number in the input alone.
//!
//! Not here: where entries are written, and what a path means when a symbolic link stands in it: the sink's.

mod ar;
mod error;
mod member;
#[cfg(test)]
mod tests;

use std::io::{self, Read};

use basalt_types::Digest;
use sha2::Digest as _;

pub use error::{ArchiveError, ArchiveProblem};

/// The most that a control archive may unpack to; Debian's largest is below 3 MiB.
const CONTROL_LIMIT: u64 = 64 << 20;

/// What a package file is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// How errors name it, such as `bash_5.2.37-2_amd64.deb`.
    pub shown: String,
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the whole file.
    pub digest: Digest,
}

/// A file of the control archive: `control`, `postinst`, `md5sums`…
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlFile {
    /// A single name.
    pub name: String,
    /// Permission bits.
    pub mode: u16,
    /// Modification time, seconds since 1970.
    pub mtime: i64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// An entry of the data archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path from the root, without slashes at its ends; empty for the root itself.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with set-uid, set-gid and sticky.
    pub mode: u16,
    /// Owner's number.
    pub uid: u32,
    /// Group's number.
    pub gid: u32,
    /// Modification time, seconds since 1970.
    pub mtime: i64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file of so many bytes.
    File(u64),
    /// A symbolic link and its target, as written.
    Symlink(Vec<u8>),
    /// Another name of an entry before it, whose path this is.
    HardLink(Vec<u8>),
}

/// Takes the entries of a data archive.
pub trait Sink {
    /// What can go wrong for it.
    type Error: From<ArchiveError>;

    /// Takes one entry; `content` gives exactly as many bytes as a file has, and none for all else.
    ///
    /// # Errors
    /// Its own; it ends the reading.
    fn entry(&mut self, entry: Entry, content: &mut dyn Read) -> Result<(), Self::Error>;
}

/// Reads the control archive, which comes first in the file; nothing is verified. Names come in archive order.
///
/// # Errors
/// When the beginning is not a package.
pub fn read_control(shown: &str, input: impl Read) -> Result<Vec<ControlFile>, ArchiveError> {
    let refuse = |problem| ArchiveError { package: shown.to_owned(), problem };
    let mut input = input;
    let read = ar::open(&mut input)
        .and_then(|()| ar::expect(&mut input, "control.tar"))
        .and_then(|header| read_control_member(&header, &mut input));
    read.map_err(refuse)
}

fn read_control_member(
    header: &ar::Header,
    input: &mut dyn Read,
) -> Result<Vec<ControlFile>, ArchiveProblem> {
    let plain = member::decoder(header, input.take(header.size))?.take(CONTROL_LIMIT);
    let mut tar = tar::Archive::new(plain);
    let mut files = Vec::new();
    for entry in tar.entries().map_err(ArchiveProblem::Damaged)? {
        let mut entry = entry.map_err(ArchiveProblem::Damaged)?;
        let path = member::relative(&entry.path_bytes())?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8(path).ok().filter(|name| !name.contains('/'));
        let name = name.ok_or_else(|| ArchiveProblem::ControlName(lossy(&entry.path_bytes())))?;
        let (mode, mtime) = member::mode_and_time(entry.header())?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(ArchiveProblem::Damaged)?;
        files.push(ControlFile { name, mode, mtime, bytes });
    }
    Ok(files)
}

/// Streams the data archive to the sink and verifies the whole file.
///
/// # Errors
/// When the file is not what was expected, is no package, or the sink refuses. A file that is too short or has another
/// digest is told as that, whatever the damage made of its format.
pub fn unpack<S: Sink>(expected: &Expected, input: impl Read, sink: &mut S) -> Result<(), S::Error> {
    let refuse = |problem| S::Error::from(ArchiveError { package: expected.shown.clone(), problem });
    let mut input = Measured { input, size: 0, hasher: sha2::Sha256::new() };
    let streamed = stream(&mut input, sink);
    if let Err(Stopped::Sink(error)) = streamed {
        return Err(error);
    }
    io::copy(&mut input, &mut io::sink()).map_err(|error| refuse(ArchiveProblem::Damaged(error)))?;
    let (found, digest) = (input.size, Digest::from_bytes(input.hasher.finalize().into()));
    if found != expected.size {
        return Err(refuse(ArchiveProblem::Size { expected: expected.size, found }));
    }
    if digest != expected.digest {
        return Err(refuse(ArchiveProblem::Digest { expected: expected.digest, found: digest }));
    }
    match streamed {
        Ok(()) => Ok(()),
        Err(Stopped::Archive(problem)) => Err(refuse(problem)),
        Err(Stopped::Sink(error)) => Err(error),
    }
}

/// Why streaming stopped: the archive's fault or the sink's.
enum Stopped<E> {
    Archive(ArchiveProblem),
    Sink(E),
}

impl<E> From<ArchiveProblem> for Stopped<E> {
    fn from(problem: ArchiveProblem) -> Self {
        Self::Archive(problem)
    }
}

fn stream<S: Sink>(input: &mut dyn Read, sink: &mut S) -> Result<(), Stopped<S::Error>> {
    ar::open(input)?;
    let control = ar::expect(input, "control.tar")?;
    ar::skip(input, &control)?;
    let data = ar::expect(input, "data.tar")?;
    let plain = member::decoder(&data, input.take(data.size))?;
    let mut tar = tar::Archive::new(plain);
    for raw in tar.entries().map_err(ArchiveProblem::Damaged)? {
        let mut raw = raw.map_err(ArchiveProblem::Damaged)?;
        let entry = member::entry(&raw)?;
        let declared = match entry.kind {
            EntryKind::File(size) => size,
            EntryKind::Directory | EntryKind::Symlink(_) | EntryKind::HardLink(_) => 0,
        };
        let mut content = Exactly { input: &mut raw, left: declared, failure: None };
        let taken = sink.entry(entry, &mut content);
        // Whatever a sink makes of bytes that can't be read: the archive is to blame.
        if let Some(failure) = content.failure {
            return Err(Stopped::Archive(ArchiveProblem::Damaged(failure)));
        }
        taken.map_err(Stopped::Sink)?;
    }
    Ok(())
}

/// Counts and hashes all that passes.
struct Measured<R> {
    input: R,
    size: u64,
    hasher: sha2::Sha256,
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.size += count as u64;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// Gives `left` bytes and makes an early end an error, so that a sink can't take a cut file for a whole one.
struct Exactly<'r> {
    input: &'r mut dyn Read,
    left: u64,
    failure: Option<io::Error>,
}

impl Exactly<'_> {
    /// Keeps the failure for the archive's reader, and gives the sink one like it.
    fn fail(&mut self, error: io::Error) -> io::Error {
        let same = io::Error::new(error.kind(), error.to_string());
        self.failure = Some(error);
        same
    }
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        match self.input.read(&mut buffer[..most]) {
            Ok(0) => Err(self.fail(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => {
                self.left -= count as u64;
                Ok(count)
            }
            Err(interrupted) if interrupted.kind() == io::ErrorKind::Interrupted => Err(interrupted),
            Err(error) => Err(self.fail(error)),
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
