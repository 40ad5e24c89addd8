//! Looks into an archive: a list of entries that borrow its bytes.

use super::{ALIGNMENT, HEADER, MAGIC, TRAILER};

/// One entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The path without a leading `/`; the root is `.`.
    pub path: &'a [u8],
    /// The inode's number: entries that share it are one file when `links` is more than 1.
    pub ino: u32,
    /// `st_mode`, with the type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// How many names the inode has.
    pub links: u32,
    /// Seconds since 1970.
    pub mtime: u32,
    /// Major and minor number of a device node.
    pub device: (u32, u32),
    /// The data: a file's content, or a link's target.
    pub data: &'a [u8],
}

/// Why an archive can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpioError {
    /// It ends before `TRAILER!!!`, or inside an entry.
    #[error("the archive is cut off at byte {offset}")]
    Truncated {
        /// Where the entry starts.
        offset: usize,
    },
    /// There is no `newc` header where one must be.
    #[error("there is no newc header at byte {offset}")]
    Magic {
        /// Where.
        offset: usize,
    },
    /// A number of a header is not 8 hex digits.
    #[error("the entry at byte {offset} has a number that is not 8 hex digits")]
    Number {
        /// Where the entry starts.
        offset: usize,
    },
    /// A name is empty or does not end with NUL.
    #[error("the entry at byte {offset} has a malformed name")]
    Name {
        /// Where the entry starts.
        offset: usize,
    },
}

/// The entries of the first archive in `archive`, without the last one.
///
/// # Errors
/// When it is damaged: see [`CpioError`].
pub fn entries(archive: &[u8]) -> Result<Vec<Entry<'_>>, CpioError> {
    let mut found = Vec::new();
    let mut offset = 0;
    loop {
        let (entry, next) = entry_at(archive, offset)?;
        if entry.path == TRAILER {
            return Ok(found);
        }
        found.push(entry);
        offset = next;
    }
}

/// The entry at `offset` and where the next one is.
fn entry_at(archive: &[u8], offset: usize) -> Result<(Entry<'_>, usize), CpioError> {
    let cut = CpioError::Truncated { offset };
    let header = archive.get(offset..offset + HEADER).ok_or(cut)?;
    if !header.starts_with(MAGIC) {
        return Err(CpioError::Magic { offset });
    }
    let number = |index: usize| -> Result<u32, CpioError> {
        let digits = &header[MAGIC.len() + index * 8..][..8];
        let refuse = CpioError::Number { offset };
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(refuse);
        }
        let text = str::from_utf8(digits).map_err(|_not_ascii| refuse)?;
        u32::from_str_radix(text, 16).map_err(|_not_hex| refuse)
    };
    let name_start = offset + HEADER;
    let name_end = name_start + number(11)? as usize;
    let name = archive.get(name_start..name_end).ok_or(cut)?;
    let (nul, path) = name.split_last().ok_or(CpioError::Name { offset })?;
    if *nul != 0 || path.is_empty() || path.contains(&0) {
        return Err(CpioError::Name { offset });
    }
    let data_start = name_end.next_multiple_of(ALIGNMENT);
    let data_end = data_start + number(6)? as usize;
    let data = archive.get(data_start..data_end).ok_or(cut)?;
    let entry = Entry {
        path,
        ino: number(0)?,
        mode: number(1)?,
        uid: number(2)?,
        gid: number(3)?,
        links: number(4)?,
        mtime: number(5)?,
        device: (number(9)?, number(10)?),
        data,
    };
    Ok((entry, data_end.next_multiple_of(ALIGNMENT)))
}
