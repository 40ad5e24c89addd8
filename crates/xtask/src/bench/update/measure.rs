//! How much of an image is new, by several rules.

use std::{collections::HashSet, path::Path};

use basalt_formats::{
    ReadAt as _,
    chunks::{Coalescing, Cuts, Owned, Part, Plan},
};
use basalt_types::Digest;

use super::images::{Artifact, Disk};
use crate::{
    error::{Done, TaskError},
    tool,
};

/// The block that issue 3 asks about, and the chunk of a fixed-size scheme.
const BLOCK: usize = 64 << 10;
/// What zsync takes for files of this size, and the block of the file system.
const SMALL_BLOCK: usize = 4096;

/// What one way of fetching costs.
#[derive(Debug)]
pub(super) struct Fetch {
    /// Which way.
    pub(super) name: String,
    /// All bytes, what the client must know beforehand too.
    pub(super) bytes: u64,
    /// The part of them that is index, signature or control file.
    pub(super) index: u64,
    /// Requests for ranges, where they are known.
    pub(super) requests: Option<usize>,
}

/// How an image changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Change {
    /// Bytes of the new image.
    pub(super) size: u64,
    /// The fraction of its 64 KiB blocks that differ from the old block at the same place.
    pub(super) in_place: f64,
    /// The fraction that is at no multiple of 64 KiB of the old image.
    pub(super) anywhere: f64,
    /// The fraction of its bytes that is in new chunks by content.
    pub(super) chunked: f64,
}

/// Compares two images.
pub(super) fn change(old: &Path, new: &Path) -> Done<Change> {
    let (before, after) = (blocks(old, BLOCK)?, blocks(new, BLOCK)?);
    let known: HashSet<&Digest> = before.iter().collect();
    let differ =
        after.iter().enumerate().filter(|(place, digest)| before.get(*place) != Some(*digest)).count();
    let missing = after.iter().filter(|digest| !known.contains(digest)).count();
    let size = Disk::open(new)?.size();
    let fraction = |count: usize| count as f64 / after.len().max(1) as f64;
    let chunked = new_bytes(old, new)? as f64 / size.max(1) as f64;
    Ok(Change { size, in_place: fraction(differ), anywhere: fraction(missing), chunked })
}

/// All the ways.
pub(super) fn fetches(old: &Artifact, new: &Artifact) -> Done<Vec<Fetch>> {
    let mut owned = Owned::default();
    for (number, (path, part)) in (0..).zip([(&old.root, Part::Root), (&old.uki, Part::Uki)]) {
        owned.add(number, &Disk::open(path)?, part.rule()).map_err(TaskError::io("read", path))?;
    }
    let plan = Plan::new(&new.index, &owned, Coalescing::DEFAULT);
    let whole = new.index.stored_size();
    let ours = Fetch {
        name: "basalt: chunks by content".to_owned(),
        bytes: plan.fetched_bytes() + new.head,
        index: new.head,
        requests: Some(plan.fetches.len()),
    };
    let all = Fetch { name: "the whole image".to_owned(), bytes: whole, index: 0, requests: None };
    Ok(vec![ours, fixed(old, new)?, rsync(old, new, None)?, rsync(old, new, Some(SMALL_BLOCK))?, all])
}

/// Fixed blocks of 64 KiB by content, each with a digest of 32 bytes; not compressed, as the root is already.
fn fixed(old: &Artifact, new: &Artifact) -> Done<Fetch> {
    let (mut bytes, mut index) = (0, 0);
    for (old, new) in [(&old.root, &new.root), (&old.uki, &new.uki)] {
        let known: HashSet<Digest> = blocks(old, BLOCK)?.into_iter().collect();
        let after = blocks(new, BLOCK)?;
        index += 32 * after.len() as u64;
        let missing: HashSet<&Digest> = after.iter().filter(|digest| !known.contains(digest)).collect();
        bytes += missing.len() as u64 * BLOCK as u64;
    }
    Ok(Fetch { name: "fixed blocks of 64 KiB".to_owned(), bytes: bytes + index, index, requests: None })
}

/// What rsync's algorithm sends, by its own count: blocks of the old file at any place of the new one. zsync turns the
/// same algorithm round, with blocks of 4096 bytes; its control file is about as long as rsync's signature.
fn rsync(old: &Artifact, new: &Artifact, block: Option<usize>) -> Done<Fetch> {
    let (mut bytes, mut index) = (0, 0);
    for (old, new) in [(&old.root, &new.root), (&old.uki, &new.uki)] {
        let copy = new.with_extension("rsync");
        std::fs::copy(old, &copy).map_err(TaskError::io("copy", old))?;
        let block = block.map(|block| format!("--block-size={block}"));
        let arguments = ["--no-whole-file", "--inplace", "--ignore-times", "--stats"];
        let output = tool::plan("rsync", "rsync")?.args(arguments).args(block).args([new, &copy]).run()?;
        let text = String::from_utf8_lossy(&output).into_owned();
        bytes += number(&text, "Total bytes sent:")? + number(&text, "Total bytes received:")?;
        index += number(&text, "Total bytes received:")?;
        std::fs::remove_file(&copy).map_err(TaskError::io("remove", &copy))?;
    }
    let name = match block {
        None => "rsync".to_owned(),
        Some(block) => format!("rsync, blocks of {block} bytes, as zsync has"),
    };
    Ok(Fetch { name, bytes, index, requests: None })
}

/// `Total bytes sent: 1,234,567`.
fn number(text: &str, label: &str) -> Done<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    let digits: Option<String> = line.map(|line| line.chars().filter(char::is_ascii_digit).collect());
    let value = digits.and_then(|digits| digits.parse().ok());
    value.ok_or_else(|| TaskError::Broken(format!("rsync's statistics have no line `{label}`")))
}

/// The digests of an image's blocks.
fn blocks(path: &Path, block: usize) -> Done<Vec<Digest>> {
    let image = Disk::open(path)?;
    let mut digests = Vec::new();
    let mut buffer = vec![0; block];
    let mut offset = 0;
    while offset < image.size() {
        let length = usize::try_from(image.size() - offset).unwrap_or(block).min(block);
        image.read_at(offset, &mut buffer[..length]).map_err(TaskError::io("read", path))?;
        digests.push(Digest::of(&buffer[..length]));
        offset += length as u64;
    }
    Ok(digests)
}

/// The bytes in chunks that the old image does not have.
fn new_bytes(old: &Path, new: &Path) -> Done<u64> {
    let mut owned = Owned::default();
    let rule = Part::Root.rule();
    owned.add(0, &Disk::open(old)?, rule).map_err(TaskError::io("read", old))?;
    let image = Disk::open(new)?;
    let mut bytes = 0;
    for piece in Cuts::new(&image, rule) {
        let piece = piece.map_err(TaskError::io("read", new))?;
        if owned.find(&Digest::of(&piece.bytes)).is_none() {
            bytes += piece.bytes.len() as u64;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn the_numbers_of_rsync_are_read_with_their_commas() {
        let text = "Literal data: 12 bytes\nTotal bytes sent: 1,234,567\n";
        assert_eq!(number(text, "Total bytes sent:").ok(), Some(1_234_567));
        assert!(number(text, "Total bytes received:").is_err());
    }
}
