//! What systemd-boot does with the files in `EFI/Linux`: which it takes first, and how it counts.

use std::cmp::{Ordering, Reverse};

use basalt_formats::bootentry::{EntryName, Tries};

use super::version::compare_versions;

/// The directory of the boot entries on the ESP (UAPI.1, "Type #2").
pub const ENTRIES: &str = "EFI/Linux";

/// What an entry that somebody set aside has for a counter: no try is left, and none failed. The boot loader takes it after
/// every other one that is not bad.
pub const SET_ASIDE: Tries = Tries { left: 0, done: Some(0) };

/// The order in which systemd-boot lists entries of one image, the one that it boots by itself first (systemd-boot(7);
/// `boot_entry_compare` of systemd 257): without tries left last, then the newer version first, then those with more tries
/// left, without a counter before all. Entries that are not ours have no place in it.
///
/// Assumes that `loader.conf` names no default, which ours does not, and that no EFI variable asks for another entry once.
pub fn boot_order<'e>(entries: impl IntoIterator<Item = &'e EntryName>) -> Vec<&'e EntryName> {
    let mut ours: Vec<_> = entries.into_iter().filter_map(|entry| Some((entry, entry.image()?.1))).collect();
    ours.sort_by(|(one, one_version), (other, other_version)| {
        let by_version = compare_versions(one_version, other_version).reverse();
        let left = |entry: &EntryName| Reverse(entry.tries().map_or(u32::MAX, |tries| tries.left));
        let bad: Ordering = one.is_bad().cmp(&other.is_bad());
        bad.then(by_version).then_with(|| left(one).cmp(&left(other)))
    });
    ours.into_iter().map(|(entry, _)| entry).collect()
}

/// The name that an entry gets before it is tried; the same when nobody counts, or nothing is left to count.
pub fn after_try(entry: &EntryName) -> EntryName {
    match entry.tries().map(Tries::after_try) {
        Some(Some(next)) => entry.clone().with_tries(Some(next)),
        Some(None) | None => entry.clone(),
    }
}

/// Whether somebody set the entry aside, though no boot of it failed.
pub fn is_set_aside(entry: &EntryName) -> bool {
    entry.tries() == Some(SET_ASIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expected: &[&str]) {
        let mut entries: Vec<EntryName> = expected.iter().map(|text| text.parse().unwrap()).collect();
        entries.reverse();
        let found: Vec<String> = boot_order(&entries).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_newest_that_can_be_tried_comes_first() {
        check(&["edge_2+3-0.efi", "edge_1.efi"]);
        check(&["edge_1.efi", "edge_2+0-3.efi"]);
        check(&["edge_1.10.efi", "edge_1.9.efi", "edge_2+0-0.efi", "edge_1.8+0-3.efi"]);
        check(&["edge_1.efi", "edge_1+2-1.efi"]);
        let foreign: EntryName = "vmlinuz.efi".parse().unwrap();
        assert_eq!(boot_order([&foreign]), Vec::<&EntryName>::new());
    }

    #[test]
    fn tries_are_counted_down_to_bad() {
        let mut entry: EntryName = "edge_2+3-0.efi".parse().unwrap();
        for expected in ["edge_2+2-1.efi", "edge_2+1-2.efi", "edge_2+0-3.efi", "edge_2+0-3.efi"] {
            entry = after_try(&entry);
            assert_eq!(entry.to_string(), expected);
        }
        assert!(entry.is_bad() && !is_set_aside(&entry));
        assert!(is_set_aside(&entry.with_tries(Some(SET_ASIDE))));
    }
}
