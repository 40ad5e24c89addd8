//! What only live systems have: `docs/formats/live.md`.

use std::{fs, path::Path};

use crate::{
    choose::{BootSlot, FoundRoot},
    disks::Place,
    report::warn,
};

/// A root file system that came with the initramfs, over the network.
const ROOT: &str = "/.basalt/root.erofs";
/// Its hash tree.
const HASH_TREE: &str = "/.basalt/root.verity";
/// systemd-stub puts what `loader/credentials/` of a live medium's ESP holds there (systemd-stub(7)).
const MARK: &str = "/.extra/global_credentials/basalt.live.cred";
/// How often the kernel asks a drive for its medium, in milliseconds; 0, its default, is never.
const POLL: (&str, &str) = ("/sys/module/block/parameters/events_dfl_poll_msecs", "2000");

/// The root that came with the initramfs, if one did.
pub(crate) fn root_of_initramfs() -> Option<FoundRoot> {
    let is_there = [ROOT, HASH_TREE].iter().any(|path| Path::new(path).exists());
    is_there.then(|| FoundRoot {
        disk: None,
        external: false,
        root: Place::File(ROOT.into()),
        hash: Place::File(HASH_TREE.into()),
        partition: None,
        slot: Some(BootSlot::Live),
        passed_over: Vec::new(),
    })
}

/// Whether the boot loader was on a live medium.
pub(crate) fn is_marked() -> bool {
    Path::new(MARK).exists()
}

/// Makes the kernel announce a CD that its drive finds late; the image's udev asks for the same.
pub(crate) fn watch_drives() {
    let (path, period) = POLL;
    if let Err(error) = fs::write(path, period) {
        warn(&format!("a CD that becomes readable late may be overlooked: {path}: {error}"));
    }
}
