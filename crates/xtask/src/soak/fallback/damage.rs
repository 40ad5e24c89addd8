//! What is done to a disk from outside, while no machine uses it. The ESP is changed with mtools, other people's.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::Path,
};

use basalt_formats::pe::Pe;
use serde::Deserialize;

use crate::{
    error::{Done, TaskError},
    tool,
};

/// The second release's boot entry as the upgrade left it.
const FRESH: &str = "edge_0.2.0+3-0.efi";
/// With one try left: what happens in the third happens in each.
const LAST_TRY: &str = "edge_0.2.0+1-2.efi";
/// The document on the ESP (`basalt-agent config`).
const DOCUMENT: &str = "loader/credentials/basalt.node.cred";

/// Something that is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// Nothing.
    None,
    /// The UKI ends in the middle.
    TornUki,
    /// Bytes of the UKI's initramfs are others.
    Initramfs,
    /// One byte of the new root's first block is another.
    RootByte,
    /// A check of the configuration that nothing answers.
    UserProbe,
    /// The data volume's file system is gone: its superblocks are zeros.
    DataContent,
    /// The data volume is not in the partition table.
    DataPartition,
}

/// How many tries the new release has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Three,
    One,
}

/// Does it to this disk.
pub(super) fn apply(disk: &Path, damage: Damage, left: Left) -> Done {
    let entry = match left {
        Left::Three => FRESH,
        Left::One => {
            esp(disk, "mren", &[&on_esp(FRESH), &on_esp(LAST_TRY)])?;
            LAST_TRY
        }
    };
    match damage {
        Damage::None => Ok(()),
        Damage::TornUki => edit_uki(disk, entry, |bytes| {
            bytes.truncate(bytes.len() / 2);
            Ok(())
        }),
        Damage::Initramfs => edit_uki(disk, entry, |bytes| {
            let section = Pe::parse(bytes).ok().and_then(|pe| Some(pe.section(".initrd")?.content()));
            let part = section.ok_or_else(|| TaskError::Broken(format!("{entry} has no initramfs")))?;
            // Behind the first bytes, by which the kernel knows how it is compressed.
            let from = part.start + part.len() / 2;
            bytes[from..part.end.min(from + 4096)].fill(0xff);
            Ok(())
        }),
        Damage::RootByte => flip(disk, partition(disk, "basalt-b")?.start * SECTOR + 1024),
        Damage::UserProbe => write_document(disk),
        Damage::DataContent => {
            let data = partition(disk, "basalt-data")?;
            let file = OpenOptions::new().write(true).open(disk).map_err(TaskError::io("open", disk))?;
            let zeros = vec![0; 1 << 20];
            file.write_all_at(&zeros, data.start * SECTOR).map_err(TaskError::io("write", disk))
        }
        Damage::DataPartition => {
            let number = partition(disk, "basalt-data")?.number();
            tool::plan("sgdisk", "gdisk")?
                .args(["-d", &number?])
                .arg(disk)
                .run()
                .map(drop)
                .map_err(Into::into)
        }
    }
}

/// Bytes of a sector of QEMU's disks.
pub(super) const SECTOR: u64 = 512;

/// What sfdisk(8) prints of a partition.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Partition {
    /// The file and the number.
    node: String,
    /// The first sector.
    pub(super) start: u64,
    #[serde(default)]
    name: String,
}

impl Partition {
    fn number(&self) -> Done<String> {
        let digits = self.node.rsplit(|sign: char| !sign.is_ascii_digit()).next().unwrap_or_default();
        if digits.is_empty() {
            return Err(TaskError::Broken(format!("{} has no number", self.node)));
        }
        Ok(digits.to_owned())
    }
}

/// The partition with this label.
pub(super) fn partition(disk: &Path, label: &str) -> Done<Partition> {
    #[derive(Deserialize)]
    struct Answer {
        partitiontable: Table,
    }
    #[derive(Deserialize)]
    struct Table {
        partitions: Vec<Partition>,
    }
    let text = tool::plan("sfdisk", "fdisk")?.arg("--json").arg(disk).run()?;
    let answer: Answer = serde_json::from_slice(&text)
        .map_err(|source| TaskError::Json { what: "sfdisk's answer".to_owned(), source })?;
    let found = answer.partitiontable.partitions.into_iter().find(|partition| partition.name == label);
    found.ok_or_else(|| TaskError::Broken(format!("{} has no partition {label}", disk.display())))
}

fn on_esp(entry: &str) -> String {
    format!("::/EFI/Linux/{entry}")
}

/// Runs one of mtools on the ESP.
fn esp(disk: &Path, tool: &str, arguments: &[&str]) -> Done {
    let start = partition(disk, "esp")?.start * SECTOR;
    let image = format!("{}@@{start}", disk.display());
    let plan = tool::plan(tool, "mtools")?.args(["-i", &image]).env("MTOOLS_SKIP_CHECK", "1");
    plan.args(arguments).run().map(drop).map_err(Into::into)
}

fn edit_uki(disk: &Path, entry: &str, edit: impl FnOnce(&mut Vec<u8>) -> Done) -> Done {
    let file = disk.with_extension("efi");
    esp(disk, "mcopy", &["-o", &on_esp(entry), &file.display().to_string()])?;
    let mut bytes = fs::read(&file).map_err(TaskError::io("read", &file))?;
    edit(&mut bytes)?;
    fs::write(&file, bytes).map_err(TaskError::io("write", &file))?;
    esp(disk, "mcopy", &["-o", &file.display().to_string(), &on_esp(entry)])?;
    fs::remove_file(&file).map_err(TaskError::io("remove", &file))
}

fn flip(disk: &Path, at: u64) -> Done {
    let file = OpenOptions::new().read(true).write(true).open(disk).map_err(TaskError::io("open", disk))?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).map_err(TaskError::io("read", disk))?;
    byte[0] ^= 1;
    file.write_all_at(&byte, at).map_err(TaskError::io("write", disk))
}

fn write_document(disk: &Path) -> Done {
    let text = "apiVersion: basalt.dev/v1alpha1\nkind: NodeConfig\nspec:\n  upgrade:\n    health:\n      deadline: 3m\n      \
                checks:\n        - {name: web, tcp: '127.0.0.1:9'}\n";
    let file = disk.with_extension("yaml");
    fs::write(&file, text).map_err(TaskError::io("write", &file))?;
    esp(disk, "mcopy", &["-o", &file.display().to_string(), &format!("::/{DOCUMENT}")])?;
    fs::remove_file(&file).map_err(TaskError::io("remove", &file))
}
