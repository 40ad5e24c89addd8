use std::{
    io,
    sync::{Mutex, PoisonError},
};

use basalt_formats::{
    ReadAt as _, WriteAt,
    fat::{Directory, Volume},
};
use basalt_image::{
    esp::{LOADER_CONF, Programs},
    layout::Role,
};
use basalt_node::install::EspFile;
use basalt_types::{Architecture, ByteSize};

use super::{BATCH, Install, InstallError, Progress, disk};
use crate::execute::upgrade::{UpgradeError, check_uki, window};

/// The bytes that make a FAT volume one: its boot sector.
const SECTOR: usize = 512;
/// The document of the machine: systemd-stub(7) hands it over, and `config` reads it there.
const DOCUMENT: &str = "loader/credentials/basalt.node.cred";

/// What the EFI system partition holds.
#[derive(Debug)]
pub(crate) struct BootFiles {
    pub(crate) architecture: Architecture,
    /// The program that firmware starts.
    pub(crate) guard: Vec<u8>,
    /// systemd-boot.
    pub(crate) loader: Vec<u8>,
    /// The name of the UKI in `EFI/Linux`.
    pub(crate) entry: String,
    /// The UKI, once it is there.
    pub(crate) uki: Option<Vec<u8>>,
    /// What the machine should be.
    pub(crate) document: Option<Vec<u8>>,
    /// The volume's serial number.
    pub(crate) volume_id: u32,
}

impl BootFiles {
    /// The files but the UKI.
    fn fixed(&self) -> Vec<(String, &[u8])> {
        let mut files = Programs { guard: &self.guard, loader: &self.loader }.on_disk(self.architecture);
        files.push(("loader/loader.conf".to_owned(), LOADER_CONF.as_bytes()));
        files.extend(self.document.as_ref().map(|document| (DOCUMENT.to_owned(), document.as_slice())));
        files
    }

    fn uki_path(&self) -> String {
        format!("EFI/Linux/{}", self.entry)
    }

    /// What a plan says of them.
    pub(crate) fn listed(&self, uki: ByteSize) -> Vec<EspFile> {
        let listed =
            |(path, bytes): (String, &[u8])| EspFile { path, size: ByteSize::bytes(bytes.len() as u64) };
        let uki = EspFile { path: self.uki_path(), size: uki };
        std::iter::once(uki).chain(self.fixed().into_iter().map(listed)).collect()
    }
}

impl Install<'_> {
    /// Writes the volume from its second sector to the last byte of its last file, and reads it back.
    pub(super) fn write_esp(&mut self, tell: &mut dyn FnMut(Progress)) -> Result<(), InstallError> {
        let place = window(self.disk, Role::Esp)?;
        let image = self.volume(ByteSize::bytes(place.size))?;
        let (first, rest) = image.split_at_checked(SECTOR).ok_or(InstallError::Order)?;
        let start = place.start + SECTOR as u64;
        let all = rest.len() as u64;
        for (number, part) in rest.chunks(BATCH).enumerate() {
            let offset = (number * BATCH) as u64;
            self.disk.write(start + offset, part).map_err(disk("written"))?;
            tell(Progress { done: offset + part.len() as u64, all });
        }
        self.disk.flush().map_err(disk("flushed"))?;
        self.disk.forget(start, all).map_err(disk("read"))?;
        let mut back = vec![0; rest.len()];
        place.read_at(SECTOR as u64, &mut back).map_err(disk("read"))?;
        if back != rest {
            return Err(InstallError::OtherBytes { what: "the boot partition" });
        }
        self.boot_sector = Some(first.to_vec());
        Ok(())
    }

    /// The last write: before it, firmware finds no file system on the disk.
    pub(super) fn write_boot_sector(&mut self) -> Result<(), InstallError> {
        let sector = self.boot_sector.as_ref().ok_or(InstallError::Order)?;
        let place = window(self.disk, Role::Esp)?;
        self.disk.write(place.start, sector).map_err(disk("written"))?;
        self.disk.flush().map_err(disk("flushed"))?;
        self.disk.forget(place.start, SECTOR as u64).map_err(disk("read"))?;
        let mut back = [0; SECTOR];
        place.read_at(0, &mut back).map_err(disk("read"))?;
        if back.as_slice() == sector {
            Ok(())
        } else {
            Err(InstallError::OtherBytes { what: "the boot sector" })
        }
    }

    fn volume(&self, size: ByteSize) -> Result<Vec<u8>, InstallError> {
        let uki = self.files.uki.as_ref().ok_or(UpgradeError::NoUki)?;
        check_uki(uki, self.info)?;
        let mut root = Directory::new();
        for (path, bytes) in self.files.fixed() {
            root.insert(&path, bytes)?;
        }
        root.insert(&self.files.uki_path(), uki.as_slice())?;
        let volume = Volume {
            size,
            label: "ESP".parse()?,
            volume_id: self.files.volume_id,
            epoch: self.info.epoch,
            root,
        };
        let image = Growing(Mutex::default());
        volume.write_to(&image, 0)?;
        let mut image = image.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        image.resize(image.len().next_multiple_of(SECTOR), 0);
        Ok(image)
    }
}

/// What was written, up to its last byte: an ESP is mostly room.
pub(super) struct Growing(pub(super) Mutex<Vec<u8>>);

impl WriteAt for Growing {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        if all.len() < end {
            all.resize(end, 0);
        }
        all[start..end].copy_from_slice(bytes);
        Ok(())
    }
}
