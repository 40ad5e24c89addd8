//! The inner layers: compression and tar.

use std::io::{self, BufReader, Read};

use super::{ArchiveProblem, Entry, EntryKind, ar, lossy};

/// The plain bytes of a member, by the suffix of its name.
pub(super) fn decoder<'r>(
    header: &ar::Header,
    input: impl Read + 'r,
) -> Result<Box<dyn Read + 'r>, ArchiveProblem> {
    let input = BufReader::with_capacity(64 << 10, input);
    let (_, suffix) = header.name.split_once(".tar").unwrap_or_default();
    Ok(match suffix {
        "" => Box::new(input),
        ".gz" => Box::new(flate2::bufread::GzDecoder::new(input)),
        ".xz" => Box::new(BufReader::with_capacity(
            64 << 10,
            liblzma::bufread::XzDecoder::new_multi_decoder(input),
        )),
        ".zst" => Box::new(zstd::stream::read::Decoder::with_buffer(input).map_err(ArchiveProblem::Damaged)?),
        _ => return Err(ArchiveProblem::Compression(header.name.clone())),
    })
}

/// The entry that a tar header describes.
pub(super) fn entry(raw: &tar::Entry<'_, impl Read>) -> Result<Entry, ArchiveProblem> {
    let (header, written) = (raw.header(), raw.path_bytes());
    let path = relative(&written)?;
    let target = || raw.link_name_bytes().map(|name| name.into_owned()).unwrap_or_default();
    #[expect(clippy::wildcard_enum_match_arm, reason = "every type that is not listed is refused")]
    let kind = match header.entry_type() {
        tar::EntryType::Directory => EntryKind::Directory,
        tar::EntryType::Regular | tar::EntryType::Continuous => EntryKind::File(raw.size()),
        tar::EntryType::Symlink => EntryKind::Symlink(target()),
        tar::EntryType::Link => EntryKind::HardLink(relative(&target())?),
        other => {
            return Err(ArchiveProblem::Kind { path: lossy(&path), kind: char::from(other.as_byte()) });
        }
    };
    let whole = matches!(kind, EntryKind::Directory) || !path.is_empty();
    if !whole || matches!(&kind, EntryKind::Symlink(target) if target.is_empty() || target.contains(&0)) {
        return Err(ArchiveProblem::Path(lossy(&written)));
    }
    let (mode, mtime) = mode_and_time(header)?;
    let owner = |number: io::Result<u64>, field| {
        let number = number.ok().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| ArchiveProblem::Number { path: lossy(&path), field })
    };
    let (uid, gid) = (owner(header.uid(), "owner")?, owner(header.gid(), "group")?);
    Ok(Entry { path, kind, mode, uid, gid, mtime })
}

/// Permission bits and modification time.
pub(super) fn mode_and_time(header: &tar::Header) -> Result<(u16, i64), ArchiveProblem> {
    let wrong = |field| ArchiveProblem::Number { path: lossy(&header.path_bytes()), field };
    let mode = header.mode().ok().and_then(|mode| u16::try_from(mode & 0o7777).ok());
    let mtime = header.mtime().ok().and_then(|time| i64::try_from(time).ok());
    Ok((mode.ok_or_else(|| wrong("mode"))?, mtime.ok_or_else(|| wrong("time"))?))
}

/// `./usr/bin/` → `usr/bin`. A path that is absolute or has `..` in it leads out of the tree, whatever it would mean.
pub(super) fn relative(written: &[u8]) -> Result<Vec<u8>, ArchiveProblem> {
    let refuse = || ArchiveProblem::Path(lossy(written));
    if written.starts_with(b"/") || written.contains(&0) {
        return Err(refuse());
    }
    let mut path: Vec<u8> = Vec::with_capacity(written.len());
    for part in written.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(refuse()),
            name if name.len() > 255 => return Err(refuse()),
            name => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(name);
            }
        }
    }
    Ok(path)
}
