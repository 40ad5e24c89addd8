//! Long names and the short ones beside them (fatgen103, "FAT Long Directory Entries").

use std::collections::BTreeSet;

use super::FatError;

/// The name of 8.3 characters, padded with spaces, that every entry has.
pub(super) type ShortName = [u8; 11];

/// UTF-16 units in one entry of a long name.
pub(super) const UNITS_PER_ENTRY: usize = 13;

/// Refuses what is no long name.
pub(super) fn check(name: &str) -> Result<(), FatError> {
    let refused = |c: char| c.is_control() || "\"*/:<>?\\|".contains(c);
    let units = name.encode_utf16().count();
    if !(1..=255).contains(&units) || name.contains(refused) || name.ends_with(['.', ' ']) {
        return Err(FatError::Name(name.to_owned()));
    }
    Ok(())
}

/// How many entries a name takes: its short name, and its long name if it needs one.
pub(super) fn entry_count(name: &str) -> usize {
    match exact(name) {
        Some(_) => 1,
        None => 1 + name.encode_utf16().count().div_ceil(UNITS_PER_ENTRY),
    }
}

/// The short name that says all: upper case, 8.3, no character that only a long name has.
pub(super) fn exact(name: &str) -> Option<ShortName> {
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    let bare = !name.contains('.');
    let fits = (1..=8).contains(&base.len()) && extension.len() <= 3 && (bare || !extension.is_empty());
    let plain = base.bytes().chain(extension.bytes()).all(|b| is_short(b) && !b.is_ascii_lowercase());
    (fits && plain).then(|| join(base.as_bytes(), extension.as_bytes()))
}

/// The short names of a directory's names, in their order. Names that are short names themselves come first, so that
/// nobody takes theirs.
pub(super) fn short_names<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<ShortName> {
    let mut taken: BTreeSet<ShortName> = names.clone().filter_map(exact).collect();
    names.map(|name| exact(name).unwrap_or_else(|| alias(name, &mut taken))).collect()
}

/// The specification's basis name, with a numeric tail when it lost something or is taken.
fn alias(name: &str, taken: &mut BTreeSet<ShortName>) -> ShortName {
    let stripped: String = name.chars().filter(|c| *c != ' ').collect();
    let undotted = stripped.trim_start_matches('.');
    let (base, extension) = undotted.rsplit_once('.').unwrap_or((undotted, ""));
    let (base, base_lost) = shorten(base, 8);
    let (extension, extension_lost) = shorten(extension, 3);
    let lost = base_lost || extension_lost || undotted.len() != name.len() || base.is_empty();
    let plain = join(&base, &extension);
    if !lost && taken.insert(plain) {
        return plain;
    }
    let tails = (1u32..).map(|number| format!("~{number}"));
    let mut tailed = tails.map(|tail| {
        let kept = &base[..base.len().min(8 - tail.len())];
        join(&[kept, tail.as_bytes()].concat(), &extension)
    });
    // A directory has fewer names than there are tails of 7 characters.
    tailed.find(|short| taken.insert(*short)).unwrap_or(plain)
}

/// Upper case, without dots, with `_` for what a short name can't have, at most `length`; and whether that lost something.
fn shorten(part: &str, length: usize) -> (Vec<u8>, bool) {
    let mut lost = part.contains('.');
    let mut bytes: Vec<u8> = part
        .chars()
        .filter(|c| *c != '.')
        .map(|c| match u8::try_from(c) {
            Ok(byte) if is_short(byte) => byte.to_ascii_uppercase(),
            Ok(_) | Err(_) => {
                lost = true;
                b'_'
            }
        })
        .collect();
    lost |= bytes.len() > length;
    bytes.truncate(length);
    (bytes, lost)
}

fn join(base: &[u8], extension: &[u8]) -> ShortName {
    let mut short = [b' '; 11];
    short[..base.len()].copy_from_slice(base);
    short[8..8 + extension.len()].copy_from_slice(extension);
    short
}

fn is_short(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'()-@^_`{}~".contains(&byte)
}

/// The checksum that ties the entries of a long name to their short name.
pub(super) fn checksum(short: &ShortName) -> u8 {
    short.iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}
