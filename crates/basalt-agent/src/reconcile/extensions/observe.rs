//! The store, the system that extensions must match, and what is merged.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::Path,
};

use basalt_exec::block::Disk;
use basalt_formats::gpt::Table;
use basalt_image::{
    extension::{Sort, fields},
    layout::verity_ids,
};
use basalt_node::{
    BootFacts,
    reconcile::{ExtensionFacts, Record, Stored},
};
use basalt_types::Digest;

use super::{ARCHITECTURE, DOWNLOADS, ExtensionError, Found, Known, failed, image, known};
use crate::execute::DiskMedium;

/// How the images of the store are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    /// Their sizes: what runs has been verified.
    No,
    /// Every byte of what may be merged: before it is, at each boot.
    Yes,
}

/// Everything that a plan wants to know. `hash` is for a boot's first look.
pub(crate) fn facts(store: &Path, record: &Record, hash: Hash) -> Result<ExtensionFacts, ExtensionError> {
    let stored = stored(store, hash)?;
    let boot = boot()?;
    let running = boot.as_ref().map(|boot| boot.root_hash);
    // Nobody remembers anything: no disk has to be opened.
    let others = record.extensions.keys().any(|name| running.is_none_or(|hash| hash.hex() != *name));
    let on_disk = if others { on_disk(boot.as_ref(), record) } else { Some(BTreeSet::new()) };
    let merged = [Sort::System, Sort::Configuration].map(|sort| Ok((sort, merged(sort)?)));
    Ok(ExtensionFacts {
        system: fields(&text("/usr/lib/os-release")?),
        architecture: ARCHITECTURE.systemd().to_owned(),
        release: running,
        on_disk,
        stored,
        merged: merged.into_iter().collect::<Result<_, ExtensionError>>()?,
    })
}

/// What is in the store, by the names of its files.
pub(super) fn stored(store: &Path, hash: Hash) -> Result<BTreeMap<Digest, Stored>, ExtensionError> {
    let mut found = BTreeMap::new();
    for folder in [store.join(DOWNLOADS).join("partial"), store.to_owned()] {
        for name in names(&folder)? {
            let hex = name.split_once('.').map_or(&*name, |(hex, _)| hex);
            // Other names are nobody's of ours.
            if let Ok(digest) = Digest::from_hex(hex) {
                found.insert(digest, one(store, &digest, hash)?);
            }
        }
    }
    Ok(found)
}

fn one(store: &Path, digest: &Digest, hash: Hash) -> Result<Stored, ExtensionError> {
    let path = known(store, digest);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stored::Partial),
        Err(error) => return Err(failed("read", &path)(error)),
    };
    // A file that another release wrote otherwise is written anew.
    let Ok(Known { content, size, found }) = serde_json::from_slice(&bytes) else {
        return Ok(Stored::Damaged);
    };
    let inspected = match found {
        Found::Unusable(why) => return Ok(Stored::Unusable(why)),
        Found::Image(inspected) => inspected,
    };
    let path = image(store, digest);
    let intact = match File::open(&path) {
        Ok(mut file) => {
            let length = file.metadata().map_err(failed("examine", &path))?.len();
            length == size
                && match hash {
                    Hash::No => true,
                    Hash::Yes => Digest::of_reader(&mut file).map_err(failed("read", &path))? == content,
                }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(failed("open", &path)(error)),
    };
    Ok(if intact { Stored::Image(inspected) } else { Stored::Damaged })
}

/// The names of the extensions that systemd has merged: it leaves a list in what it merged.
pub(super) fn merged(sort: Sort) -> Result<BTreeSet<String>, ExtensionError> {
    let path = match sort {
        Sort::System => "/usr/.systemd-sysext/extensions",
        Sort::Configuration => "/etc/.systemd-confext/confexts",
    };
    let listed = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed("read", Path::new(path))(error)),
    };
    Ok(listed.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
}

/// The extensions that are linked in a folder.
pub(super) fn linked(folder: &Path) -> Result<Vec<String>, ExtensionError> {
    let images = names(folder)?.into_iter().filter_map(|name| Some(name.strip_suffix(".raw")?.to_owned()));
    Ok(images.collect())
}

fn names(folder: &Path) -> Result<Vec<String>, ExtensionError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("list", folder)(error)),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect::<io::Result<_>>().map_err(failed("list", folder))
}

fn text(path: &str) -> Result<String, ExtensionError> {
    fs::read_to_string(path).map_err(failed("read", Path::new(path)))
}

fn boot() -> Result<Option<BootFacts>, ExtensionError> {
    match fs::read(BootFacts::PATH) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", Path::new(BootFacts::PATH))(error)),
    }
}

/// Those releases of the record that a slot of the disk has: the ids of its partitions are the halves of the root hash (UAPI.2).
/// None when the disk can't be read: then nothing is forgotten.
fn on_disk(boot: Option<&BootFacts>, record: &Record) -> Option<BTreeSet<String>> {
    let Ok(disk) = Disk::open(Path::new(boot?.disk.as_ref()?)) else { return None };
    let disk = DiskMedium(disk);
    let Ok(parsed) = Table::parse(&disk, disk.0.sector_size()) else { return None };
    let is_there = |name: &&String| {
        let [root, _] = Digest::from_hex(name).map(|hash| verity_ids(&hash)).ok()?;
        parsed.table.partitions.iter().any(|partition| partition.guid == root).then_some(())
    };
    Some(record.extensions.keys().filter(|name| is_there(name).is_some()).cloned().collect())
}
