//! The machine as upgrades are planned from: slots, boot entries, and the room on the ESP.

use std::path::Path;

use basalt_exec::{
    block::Disk,
    esp::{Esp, EspError, EspSpace},
};
use basalt_formats::{
    fat::{self, Listing},
    gpt::{Parsed, Table},
    verity::{BLOCK_SIZE, Superblock},
};
use basalt_image::layout::{Role, System};
use basalt_node::{
    BootFacts, BootSlot, partition_path,
    upgrade::{ENTRIES, EntryFacts, EspFacts, NodeFacts, PARTIAL, RecoveryFacts, recovery_files},
};
use basalt_types::{ByteSize, Digest};

use super::OpenFor;
use crate::{
    error::{AgentResult, Kind, OrFail as _},
    execute::{
        DiskMedium,
        upgrade::{EntryFiles, Own, root_of_uki, window},
    },
};

/// The largest file that is looked at as a UKI; ours have some 16 MB.
const UKI_LIMIT: u64 = 1 << 30;

/// The disk, its ESP, and what was found there.
pub(crate) struct Node {
    pub(crate) disk: DiskMedium,
    pub(crate) esp: EspEntries,
    pub(crate) facts: NodeFacts,
    pub(crate) own: Own,
}

/// The boot entries on the ESP.
pub(crate) struct EspEntries(Esp);

#[derive(Debug, thiserror::Error)]
enum NodeError {
    #[error("this boot came from no disk")]
    NoDisk,
    #[error("{0} has no EFI system partition")]
    NoEsp(String),
}

/// Looks at the machine. For writing, the disk's lock is held from here on.
pub(crate) fn node(open: OpenFor) -> AgentResult<Node> {
    let (image, boot) = super::start()?;
    let device = boot.disk.clone().ok_or(NodeError::NoDisk).or_fail(Kind::Refused)?;
    let disk = match open {
        OpenFor::Reading => Disk::open(Path::new(&device)),
        OpenFor::Writing => Disk::open_locked(Path::new(&device)),
    };
    let disk = DiskMedium(disk.or_fail(Kind::Host)?);
    let Parsed { table, .. } = Table::parse(&disk, disk.0.sector_size()).or_fail(Kind::Host)?;
    let is_esp = |partition: &&_| Role::of_partition(partition).is_some_and(|(role, _)| role == Role::Esp);
    let number = table.partitions.iter().find(is_esp).map(|partition| partition.number);
    let number = number.ok_or_else(|| NodeError::NoEsp(device.clone())).or_fail(Kind::Host)?;
    let path = partition_path(&device, number);
    let mounted = Esp::mount(Path::new(&path)).or_fail(Kind::Host)?;
    let EspSpace { free, cluster } = mounted.space().or_fail(Kind::Host)?;
    let medium = DiskMedium(Disk::open(Path::new(&path)).or_fail(Kind::Host)?);
    let listing = fat::read(&medium, 0).or_fail(Kind::Host)?;
    let esp = EspFacts {
        entries: entries(&listing, &mounted),
        partial: listing
            .get(&in_entries(PARTIAL))
            .and_then(|item| item.size)
            .map(|size| ByteSize::bytes(size.into())),
        free: ByteSize::bytes(free),
        cluster: ByteSize::bytes(cluster),
    };
    let own = own(&boot, &esp, &mounted);
    let facts = NodeFacts { image, boot, table, esp };
    Ok(Node { disk, esp: EspEntries(mounted), facts, own })
}

/// What is in `EFI/Linux` and has an entry's name.
fn entries(listing: &Listing<'_>, mounted: &Esp) -> Vec<EntryFacts> {
    let prefix = in_entries("");
    let mut found = Vec::new();
    for item in listing.items() {
        let Some((directory, file)) = item.path.split_at_checked(prefix.len()) else { continue };
        let (Some(size), true) = (item.size, directory.eq_ignore_ascii_case(&prefix)) else { continue };
        // What is no boot entry's name is not ours, and the boot loader passes it over too.
        let Ok(name) = file.parse() else { continue };
        let root_hash = root_hash(mounted, &item.path);
        found.push(EntryFacts { file: file.to_owned(), name, size: ByteSize::bytes(size.into()), root_hash });
    }
    found
}

/// The root that an entry starts. A file that is torn or no UKI starts none.
fn root_hash(mounted: &Esp, path: &str) -> Option<Digest> {
    let Ok(bytes) = mounted.read(Path::new(path), UKI_LIMIT) else { return None };
    let Ok(text) = root_of_uki(&bytes) else { return None };
    // No root hash, or what is none.
    Digest::from_hex(&text).ok()
}

impl Node {
    /// What there is of a recovery system. What can't be read starts nothing, and is not there.
    pub(crate) fn recovery(&self) -> AgentResult<RecoveryFacts> {
        let EspEntries(mounted) = &self.esp;
        let read = |file: &str| mounted.read(Path::new(file), UKI_LIMIT).ok();
        let uki = read(recovery_files::UKI);
        let root_hash = uki.as_deref().and_then(|uki| Digest::from_hex(&root_of_uki(uki).ok()?).ok());
        let root = match self.own.system {
            None => 0,
            Some(system) => {
                let tree = window(&self.disk, Role::Verity(system)).or_fail(Kind::Host)?;
                Superblock::parse(&tree).or_fail(Kind::Host)?.data_blocks.saturating_mul(BLOCK_SIZE as u64)
            }
        };
        Ok(RecoveryFacts {
            root_hash,
            boots: self.esp.boots(),
            shown: [recovery_files::ENTRY, recovery_files::MARK].into_iter().all(|file| read(file).is_some()),
            uki: ByteSize::bytes(uki.map_or(0, |uki| uki.len() as u64)),
            root: ByteSize::bytes(root),
        })
    }
}

/// What an upgrade copies from. A UKI that can't be read is nothing to copy from, and is fetched.
fn own(boot: &BootFacts, esp: &EspFacts, mounted: &Esp) -> Own {
    let read = |path: &str| mounted.read(Path::new(path), UKI_LIMIT).unwrap_or_default();
    let running = esp.entries.iter().find(|entry| entry.root_hash == Some(boot.root_hash));
    let system = boot.slot.and_then(BootSlot::system);
    let uki = match (system, running) {
        (Some(System::Recovery), _) => read(recovery_files::UKI),
        (_, Some(entry)) => read(&in_entries(&entry.file)),
        (_, None) => Vec::new(),
    };
    Own { system, uki, partial: esp.partial.map(|_| read(&in_entries(PARTIAL))).unwrap_or_default() }
}

fn in_entries(file: &str) -> String {
    format!("{ENTRIES}/{file}")
}

impl EspEntries {
    /// The same ESP, whose files are named from its root.
    pub(crate) fn files(&self) -> EspFiles<'_> {
        EspFiles(&self.0)
    }

    /// What the program before the boot loader counts; none when it counts nothing. An empty file is a count that was lost.
    pub(crate) fn boots(&self) -> Option<u8> {
        let bytes = self.0.read(Path::new(recovery_files::BOOTS), UKI_LIMIT).ok()?;
        Some(bytes.first().copied().unwrap_or(0))
    }

    /// Says to the program before the boot loader how many boots nobody found good, or what the next one is to be.
    pub(crate) fn set_boots(&self, byte: u8) -> Result<(), EspError> {
        self.0.overwrite(Path::new(recovery_files::BOOTS), &[byte])
    }
}

/// The files of an ESP, named from its root. Each is whole under its name, or not there.
pub(crate) struct EspFiles<'a>(&'a Esp);

impl EntryFiles for EspFiles<'_> {
    fn remove(&self, file: &str) -> Result<(), EspError> {
        self.0.remove(Path::new(file))
    }

    fn write(&self, file: &str, bytes: &[u8]) -> Result<(), EspError> {
        self.0.write_atomic(Path::new(file), bytes)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), EspError> {
        self.0.rename(Path::new(from), Path::new(to))
    }
}

impl EntryFiles for EspEntries {
    fn remove(&self, file: &str) -> Result<(), EspError> {
        self.0.remove(Path::new(&in_entries(file)))
    }

    fn write(&self, file: &str, bytes: &[u8]) -> Result<(), EspError> {
        self.0.write(Path::new(&in_entries(file)), bytes)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), EspError> {
        self.0.rename(Path::new(&in_entries(from)), Path::new(&in_entries(to)))
    }
}
