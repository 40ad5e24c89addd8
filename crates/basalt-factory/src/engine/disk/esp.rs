//! The EFI system partition: the boot loader where firmware looks for it, and the release's UKI.

use basalt_formats::{
    bootentry::{EntryName, Tries},
    fat::{Directory, Volume},
};
use basalt_image::layout::Extent;
use basalt_spec::Recipe;
use basalt_types::ByteSize;

use super::{DiskError, Request, derived, uki::BootFiles};
use crate::engine::output::PartialFile;

/// How often a release may fail to come up before the boot loader prefers another (UAPI.1, boot counting).
const TRIES: u32 = 3;

/// Nothing is asked at boot: an unattended machine must not wait, and a person who holds space gets the menu. Editing
/// the command line is off, for it could name another root. `beep` and the like stay at the loader's defaults.
const LOADER_CONF: &str = "timeout 0\neditor no\n";

/// What the boot loader knows the release by.
pub(super) fn entry_name(recipe: &Recipe) -> EntryName {
    EntryName::of_image(&recipe.name, &recipe.version, Some(Tries::fresh(TRIES)))
}

/// Writes the ESP into its place; gives the bytes of its files.
pub(super) fn write(
    request: &Request<'_>,
    boot: &BootFiles,
    (entry, uki): (&EntryName, &[u8]),
    disk: &PartialFile,
    place: Extent,
) -> Result<ByteSize, DiskError> {
    let efi = request.recipe.architecture.efi();
    let files = [
        (format!("EFI/BOOT/BOOT{}.EFI", efi.to_uppercase()), boot.loader()),
        (format!("EFI/systemd/systemd-boot{efi}.efi"), boot.loader()),
        (format!("EFI/Linux/{entry}"), uki),
        ("loader/loader.conf".to_owned(), LOADER_CONF.as_bytes()),
    ];
    let mut root = Directory::new();
    let mut used = 0;
    for (path, bytes) in files {
        used += bytes.len() as u64;
        root.insert(&path, bytes)?;
    }
    let [a, b, c, d, ..] = *derived(request.id, "esp volume").as_bytes();
    let volume = Volume {
        size: place.size,
        label: "ESP".parse()?,
        volume_id: u32::from_be_bytes([a, b, c, d]),
        epoch: request.epoch,
        root,
    };
    volume.write_to(disk, place.start)?;
    Ok(ByteSize::bytes(used))
}
