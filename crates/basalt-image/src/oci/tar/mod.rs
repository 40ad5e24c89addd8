//! Reads tar archives as container tools write them: ustar with pax extensions (POSIX.1-2017, pax, "ustar Interchange
//! Format"), and GNU's long names and sparse files (GNU tar manual, "Basic Tar Format", "Storing Sparse Files").
//!
//! The `tar` crate parses header fields. Its reading of entries is not used: it takes long names into memory whatever
//! their length, splits pax records at line breaks, which attributes may hold, and doesn't know pax sparse files.

mod pax;
mod sparse;

use basalt_formats::tree::{Device, Metadata};

use super::{LayerProblem, stream::Plain};
use pax::Records;
pub(super) use sparse::Map;

/// A block, the unit of everything.
const BLOCK: usize = 512;
/// The longest extended header or long name that is taken into memory.
const EXTENDED_LIMIT: u64 = 1 << 20;

/// An entry, its content not read yet.
pub(super) struct Entry {
    /// As written.
    pub(super) path: Vec<u8>,
    pub(super) what: What,
    pub(super) metadata: Metadata,
}

/// What an entry is.
pub(super) enum What {
    Directory,
    /// Its length in the archive, and where that goes if the file has holes.
    File(u64, Option<Map>),
    Symlink(Vec<u8>),
    /// The path of an entry or of a file that is there.
    HardLink(Vec<u8>),
    CharDevice(Device),
    BlockDevice(Device),
    Fifo,
}

/// Reads one entry after the other.
pub(super) struct Reader<'p, 'r> {
    pub(super) plain: &'p mut Plain<'r>,
    /// Records that hold for all entries to come.
    global: Records,
    /// For errors.
    last: String,
}

/// What extended headers said of the next entry.
#[derive(Default)]
struct Extended {
    records: Records,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<'p, 'r> Reader<'p, 'r> {
    pub(super) fn new(plain: &'p mut Plain<'r>) -> Self {
        Self { plain, global: Records::default(), last: "the beginning".to_owned() }
    }

    /// The next entry. The content of a file must be taken, and [`Reader::pad`] called, before the one after it.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, LayerProblem> {
        let mut extended = Extended { records: self.global.clone(), ..Extended::default() };
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.entry_size().map_err(|_no_number| self.number("size"))?;
            match header.entry_type().as_byte() {
                b'x' => extended.records.read(&self.extension(size)?).map_err(|()| self.extended())?,
                b'g' => {
                    let bytes = self.extension(size)?;
                    self.global.read(&bytes).map_err(|()| self.extended())?;
                    extended.records.read(&bytes).map_err(|()| self.extended())?;
                }
                b'L' => extended.long_path = Some(until_nul(self.extension(size)?)),
                b'K' => extended.long_link = Some(until_nul(self.extension(size)?)),
                _ => return self.entry(&header, size, extended).map(Some),
            }
        }
    }

    /// Passes over what fills the last block of a content of `length` bytes.
    pub(super) fn pad(&mut self, length: u64) -> Result<(), LayerProblem> {
        let over = usize::try_from(length % BLOCK as u64).unwrap_or(0);
        if over == 0 { Ok(()) } else { self.plain.read_exact(&mut [0; BLOCK][over..]) }
    }

    /// The next header; `None` at the end, which is a block of zeros or simply the end.
    fn header(&mut self) -> Result<Option<::tar::Header>, LayerProblem> {
        let mut header = ::tar::Header::new_old();
        let bytes = header.as_mut_bytes();
        match self.plain.read(bytes)? {
            0 => return Ok(None),
            BLOCK => {}
            _ => return Err(LayerProblem::Header { after: self.last.clone() }),
        }
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // The sum of all bytes, those of the sum itself as blanks.
        let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
        let own: u32 = bytes[148..156].iter().map(|byte| u32::from(*byte)).sum();
        if header.cksum().ok() != Some(sum - own + 8 * u32::from(b' ')) {
            return Err(LayerProblem::Header { after: self.last.clone() });
        }
        Ok(Some(header))
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, LayerProblem> {
        if size > EXTENDED_LIMIT {
            return Err(self.extended());
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        self.plain.read_exact(&mut bytes)?;
        self.pad(size)?;
        Ok(bytes)
    }

    fn entry(
        &mut self,
        header: &::tar::Header,
        size: u64,
        extended: Extended,
    ) -> Result<Entry, LayerProblem> {
        let Extended { records, long_path, long_link } = extended;
        let path = records.sparse_name().or(records.bytes("path")).map(<[u8]>::to_vec);
        let path = path.or(long_path).unwrap_or_else(|| header.path_bytes().into_owned());
        self.last = lossy(&path);
        let link = || {
            let written = || header.link_name_bytes().unwrap_or_default().into_owned();
            records.bytes("linkpath").map(<[u8]>::to_vec).or(long_link).unwrap_or_else(written)
        };
        let size = records.number("size").map_err(|()| self.number("size"))?.unwrap_or(size);
        let metadata = self.metadata(header, &records)?;
        let what = match header.entry_type().as_byte() {
            // Before ustar, a name with a slash at its end was a directory.
            0 if path.ends_with(b"/") => What::Directory,
            0 | b'0' | b'7' => {
                let map = sparse::of_records(&records, size, self.plain).map_err(|e| self.sparse(e))?;
                let taken = map.as_ref().map_or(0, |map| map.header);
                What::File(size - taken, map)
            }
            b'S' => {
                let map = sparse::of_header(header, size, self.plain).map_err(|e| self.sparse(e))?;
                What::File(size, Some(map))
            }
            b'1' => What::HardLink(link()),
            b'2' => What::Symlink(link()),
            b'3' => What::CharDevice(self.device(header)?),
            b'4' => What::BlockDevice(self.device(header)?),
            b'5' => What::Directory,
            b'6' => What::Fifo,
            other => return Err(LayerProblem::Kind { path: self.last.clone(), kind: char::from(other) }),
        };
        // Some tools give links and directories the size of what they lead to, without sending it.
        Ok(Entry { path, what, metadata })
    }

    fn metadata(&self, header: &::tar::Header, records: &Records) -> Result<Metadata, LayerProblem> {
        let owner = |field: &'static str, written: std::io::Result<u64>| {
            let number = records.number(field).map_err(|()| self.number(field))?;
            let number = number.or_else(|| filled(header, field, written));
            number.and_then(|number| u32::try_from(number).ok()).ok_or_else(|| self.number(field))
        };
        let mode = header.mode().ok().and_then(|mode| u16::try_from(mode & 0o7777).ok());
        let (mtime, mtime_nanos) = match records.time("mtime").map_err(|()| self.number("mtime"))? {
            Some(time) => time,
            None => {
                let written = filled(header, "mtime", header.mtime());
                let written = written.and_then(|time| i64::try_from(time).ok());
                (written.ok_or_else(|| self.number("mtime"))?, 0)
            }
        };
        Ok(Metadata {
            mode: mode.ok_or_else(|| self.number("mode"))?,
            uid: owner("uid", header.uid())?,
            gid: owner("gid", header.gid())?,
            mtime,
            mtime_nanos,
            xattrs: records.xattrs(),
        })
    }

    fn device(&self, header: &::tar::Header) -> Result<Device, LayerProblem> {
        let part = |number: std::io::Result<Option<u32>>| number.ok().flatten();
        match (part(header.device_major()), part(header.device_minor())) {
            (Some(major), Some(minor)) => Ok(Device { major, minor }),
            (None, _) | (_, None) => Err(self.number("device number")),
        }
    }

    fn number(&self, field: &'static str) -> LayerProblem {
        LayerProblem::Number { path: self.last.clone(), field }
    }

    fn extended(&self) -> LayerProblem {
        LayerProblem::Extended(self.last.clone())
    }

    fn sparse(&self, error: sparse::MapError) -> LayerProblem {
        match error {
            sparse::MapError::Invalid => LayerProblem::Sparse(self.last.clone()),
            sparse::MapError::Stream(problem) => problem,
        }
    }
}

/// A number of a header; one that was left empty is 0, as every archiver takes it.
fn filled(header: &::tar::Header, field: &str, number: std::io::Result<u64>) -> Option<u64> {
    let place = match field {
        "uid" => 108..116,
        "gid" => 116..124,
        _mtime => 136..148,
    };
    let empty = || header.as_bytes()[place].iter().all(|byte| matches!(byte, 0 | b' '));
    number.ok().or_else(|| empty().then_some(0))
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

/// For errors.
pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
