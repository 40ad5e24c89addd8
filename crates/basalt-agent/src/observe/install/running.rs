use std::{fs, io, path::Path};

use basalt_exec::block::{BlockError, Disk};
use basalt_formats::{
    fat::{self, Listing},
    gpt::{GptError, Table},
    verity::{BLOCK_SIZE, Superblock, SuperblockError},
};
use basalt_image::{
    esp,
    layout::{ImageInfo, LIVE_ESP},
    update::{Blob, UpdateInfo, Verity},
};
use basalt_node::BootFacts;
use basalt_types::{Architecture, ByteSize, Digest};

use super::super::Window;
use crate::execute::{DiskMedium, upgrade::root_of_uki};

/// The verified root: `basalt-init` gives it this name.
const ROOT: &str = "/dev/mapper/root";
/// Media that are made for every machine count in sectors of these bytes.
const PORTABLE_SECTOR: u32 = 512;
/// A document on the medium; systemd-stub(7) looks for credentials in this folder.
const DOCUMENT: &str = "loader/credentials/basalt.node.cred";

/// What a live system has of its own release.
pub(crate) struct Running {
    /// What it says of itself, as an update would.
    pub(crate) info: UpdateInfo,
    /// Its root, verified when it is read.
    pub(crate) root: DiskMedium,
    /// The boot loader, and the program before it: the medium's, which are signed when its release is.
    pub(crate) loader: Vec<u8>,
    pub(crate) guard: Vec<u8>,
    /// The UKI; a system that came over the network has none.
    pub(crate) uki: Option<Vec<u8>>,
    /// The document on the medium.
    pub(crate) document: Option<Vec<u8>>,
}

/// Why the running system can't be installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunningError {
    #[error("this system runs from a disk: an installation begins from a live one")]
    NotLive,
    #[error(transparent)]
    Disk(#[from] BlockError),
    #[error("the hash tree of what runs can't be read")]
    HashTree(#[from] SuperblockError),
    #[error("the boot program {path} can't be read")]
    Loader { path: String, source: io::Error },
    #[error("the medium {device} has no partition table")]
    Table { device: String, source: GptError },
    #[error("the boot partition of {device} can't be read")]
    Esp { device: String, source: fat::ReadError },
}

impl RunningError {
    /// What to do next.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::NotLive => {
                "start the machine from the ISO, or over the network; `basalt-agent upgrade` changes what is installed"
            }
            Self::Loader { .. } => "build the image again: this one lacks a part",
            Self::Disk(_) | Self::HashTree(_) | Self::Table { .. } | Self::Esp { .. } => {
                "the medium is damaged: write it again"
            }
        }
    }
}

/// Looks at the live system that runs.
pub(crate) fn running(image: &ImageInfo, boot: &BootFacts) -> Result<Running, RunningError> {
    if !boot.is_live() {
        return Err(RunningError::NotLive);
    }
    let tree = DiskMedium(Disk::open(Path::new(&boot.verity_device))?);
    let Superblock { uuid, data_blocks, salt } = Superblock::parse(&tree)?;
    let medium =
        boot.disk.as_deref().map(|device| medium(device, boot.root_hash, image.architecture)).transpose()?;
    let OnMedium { uki, document, loader, guard } = medium.unwrap_or_default();
    // What came over the network has no medium, and takes what its root has.
    let or_own = |found: Option<Vec<u8>>, path: String| match found {
        Some(program) => Ok(program),
        None => fs::read(&path).map_err(|source| RunningError::Loader { path, source }),
    };
    let loader = or_own(loader, esp::loader_in_image(image.architecture))?;
    let guard = or_own(guard, esp::guard_in_image(image.architecture))?;
    let bytes = uki.as_deref().unwrap_or_default();
    let info = UpdateInfo {
        name: image.name.clone(),
        version: image.version.clone(),
        id: image.id,
        architecture: image.architecture,
        // Nobody has written it down where a live system finds it. It is the time of the boot partition's files.
        epoch: 0,
        kernel: String::new(),
        root: Blob {
            size: ByteSize::bytes(data_blocks.saturating_mul(BLOCK_SIZE as u64)),
            digest: boot.root_hash,
        },
        verity: Verity { salt: hex(salt.as_bytes()), uuid },
        uki: Blob { size: ByteSize::bytes(bytes.len() as u64), digest: Digest::of(bytes) },
        layout: image.layout.clone(),
    };
    Ok(Running { info, root: DiskMedium(Disk::open(Path::new(ROOT))?), loader, guard, uki, document })
}

/// What there may be on a medium's boot partition.
#[derive(Default)]
struct OnMedium {
    uki: Option<Vec<u8>>,
    document: Option<Vec<u8>>,
    loader: Option<Vec<u8>>,
    guard: Option<Vec<u8>>,
}

/// What the medium's boot partition has: the UKI of this root, the programs before it, and a document.
fn medium(device: &str, root: Digest, architecture: Architecture) -> Result<OnMedium, RunningError> {
    let disk = DiskMedium(Disk::open(Path::new(device))?);
    let table = Table::parse(&disk, PORTABLE_SECTOR);
    let table = table.map_err(|source| RunningError::Table { device: device.to_owned(), source })?.table;
    let esp = table.partitions.iter().find(|partition| partition.label.as_ref() == Some(&LIVE_ESP));
    let Some(esp) = esp.map(|partition| partition.bytes(PORTABLE_SECTOR)) else {
        return Ok(OnMedium::default());
    };
    let esp = Window { whole: &disk, start: esp.start, size: esp.end - esp.start };
    let unread = |source| RunningError::Esp { device: device.to_owned(), source };
    let listing = fat::read(&esp, 0).map_err(unread)?;
    let file = |path: &str| listing.get(path).map(|_| listing.read_file(path)).transpose().map_err(unread);
    Ok(OnMedium {
        uki: uki(&listing, root).map_err(unread)?,
        document: file(DOCUMENT)?,
        loader: file(&esp::loader(architecture))?,
        guard: file(&esp::guard_on_medium(architecture))?,
    })
}

fn uki(listing: &Listing<'_>, root: Digest) -> Result<Option<Vec<u8>>, fat::ReadError> {
    for item in listing.items().filter(|item| item.path.to_ascii_lowercase().starts_with("efi/linux/")) {
        if item.size.is_none() {
            continue;
        }
        let bytes = listing.read_file(&item.path)?;
        // What is no UKI starts no root.
        if root_of_uki(&bytes).is_ok_and(|text| text == root.hex()) {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
