//! The outer layer: ar(5) in the common format that deb(5) asks for.

use std::io::{self, Read};

use super::{ArchiveProblem, lossy};

/// A member: its name without trailing blanks and slash, and its length.
pub(super) struct Header {
    pub(super) name: String,
    pub(super) size: u64,
}

/// Reads the magic and the member `debian-binary`.
pub(super) fn open(input: &mut dyn Read) -> Result<(), ArchiveProblem> {
    let mut magic = [0; 8];
    let read = input.read_exact(&mut magic);
    if read.is_err() || &magic != b"!<arch>\n" {
        return Err(ArchiveProblem::Magic);
    }
    let header = expect(input, "debian-binary")?;
    let mut version = Vec::new();
    input.take(header.size.min(64)).read_to_end(&mut version).map_err(ArchiveProblem::Damaged)?;
    if !version.starts_with(b"2.") || header.size > 64 {
        return Err(ArchiveProblem::Version(lossy(&version).trim_end().to_owned()));
    }
    pad(input, header.size)
}

/// The next member, which must be `name` or `name.SUFFIX`; members whose names begin with `_` may be skipped (deb(5)).
pub(super) fn expect(input: &mut dyn Read, name: &'static str) -> Result<Header, ArchiveProblem> {
    loop {
        let header = header(input)?;
        if header.name.starts_with('_') {
            skip(input, &header)?;
            continue;
        }
        let rest = header.name.strip_prefix(name);
        if rest.is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('.')) {
            return Ok(header);
        }
        return Err(ArchiveProblem::Member { expected: name, found: header.name });
    }
}

/// Passes over a member and its padding.
pub(super) fn skip(input: &mut dyn Read, header: &Header) -> Result<(), ArchiveProblem> {
    let skipped = io::copy(&mut input.take(header.size), &mut io::sink()).map_err(ArchiveProblem::Damaged)?;
    if skipped != header.size {
        return Err(ArchiveProblem::Damaged(io::ErrorKind::UnexpectedEof.into()));
    }
    pad(input, header.size)
}

/// 60 bytes: name 16, time 12, owner 6, group 6, mode 8, size 10, end mark 2.
fn header(input: &mut dyn Read) -> Result<Header, ArchiveProblem> {
    let mut bytes = [0; 60];
    input.read_exact(&mut bytes).map_err(ArchiveProblem::Damaged)?;
    let name = lossy(&bytes[..16]).trim_end().trim_end_matches('/').to_owned();
    let size = std::str::from_utf8(&bytes[48..58]).ok().and_then(|digits| digits.trim_end().parse().ok());
    match size {
        Some(size) if bytes[58..] == *b"`\n" => Ok(Header { name, size }),
        Some(_) | None => Err(ArchiveProblem::Header(name)),
    }
}

/// Members begin at even offsets.
fn pad(input: &mut dyn Read, size: u64) -> Result<(), ArchiveProblem> {
    if size.is_multiple_of(2) {
        return Ok(());
    }
    input.read_exact(&mut [0]).map_err(ArchiveProblem::Damaged)
}
