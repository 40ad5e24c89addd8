//! The EFI system partition: the boot loader where firmware looks for it, and the release's UKI.

use basalt_formats::{
    bootentry::{EntryName, Tries},
    fat::{Directory, FatError, Volume},
};
use basalt_image::esp::{LOADER_CONF, Programs};
use basalt_types::ByteSize;

use super::Context;
use crate::engine::{
    keys::Enrolment,
    release::{Release, derived},
};

/// How often a release may fail to come up before the boot loader prefers another (UAPI.1, boot counting).
const TRIES: u32 = 3;

/// Keys are enrolled without a question where that can't make a machine useless: in virtual ones. Elsewhere a person
/// chooses it in the menu (systemd-boot(7), loader.conf(5)). Only firmware in setup mode takes them.
const ENROL: &str = "secure-boot-enroll if-safe\n";
/// Where the boot loader finds keys; the folder's name is the menu's.
const KEYS: &str = "loader/keys/auto";

/// How the boot loader finds the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// A disk that is upgraded: boot counters in the file name.
    Disk,
    /// A medium that never changes.
    Live,
}

/// Tells basalt-init that it was started from a live medium (`docs/formats/live.md`); systemd-stub hands it over.
const LIVE_MARK: &str = "loader/credentials/basalt.live.cred";

/// The size of a partition that just holds the release's files.
pub(super) fn live_size(release: &Release) -> ByteSize {
    // The smallest FAT32 has 66,601 sectors.
    const SMALLEST: ByteSize = ByteSize::mib(33);
    let files = (release.uki.len() + 2 * release.loader.len() + release.guard.len()) as u64;
    // Two FATs take 8 bytes for each cluster of 512, and each file and folder ends in a part of a cluster.
    let needed = ByteSize::bytes(files + files / 48 + (1 << 20));
    needed.max(SMALLEST).round_up(ByteSize::mib(1))
}

/// The partition as a FAT32 volume of this size; second, how many bytes its files have.
pub(super) fn volume(
    context: &Context<'_>,
    release: &Release,
    media: Media,
    size: ByteSize,
) -> Result<(Volume, ByteSize), FatError> {
    let recipe = context.recipe;
    let programs = Programs { guard: &release.guard, loader: &release.loader };
    let (tries, mut files) = match media {
        Media::Disk => (Some(Tries::fresh(TRIES)), programs.on_disk(recipe.architecture)),
        Media::Live => (None, programs.on_medium(recipe.architecture)),
    };
    let entry = EntryName::of_image(&recipe.name, &recipe.version, tries);
    files.push((format!("EFI/Linux/{entry}"), &release.uki));
    let enrolment = release.enrolment.as_ref();
    let conf = format!("{LOADER_CONF}{}", enrolment.map_or("", |_keys| ENROL));
    files.push(("loader/loader.conf".to_owned(), conf.as_bytes()));
    let keys = enrolment.into_iter().flat_map(Enrolment::writes);
    files.extend(keys.map(|(name, write)| (format!("{KEYS}/{name}.auth"), write)));
    match media {
        Media::Disk => {}
        Media::Live => files.push((LIVE_MARK.to_owned(), b"1\n")),
    }
    let mut root = Directory::new();
    let mut used = 0;
    for (path, bytes) in files {
        used += bytes.len() as u64;
        root.insert(&path, bytes)?;
    }
    let [a, b, c, d, ..] = *derived(context.id, "esp volume").as_bytes();
    let volume = Volume {
        size,
        label: "ESP".parse()?,
        volume_id: u32::from_be_bytes([a, b, c, d]),
        epoch: context.epoch,
        root,
    };
    Ok((volume, ByteSize::bytes(used)))
}
