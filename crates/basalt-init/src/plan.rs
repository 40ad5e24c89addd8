//! Plans the way from the two partitions to the image's init. Pure.

use std::{ffi::OsString, path::PathBuf};

use basalt_exec::{
    dm::DmDevice,
    mount::{Mount, MountOptions},
};
use basalt_formats::{
    uki::Phase,
    verity::{BLOCK_SIZE, OnCorruption, Superblock, hash_tree_size},
};
use basalt_types::Guid;
use serde::Serialize;

use crate::{
    choose::{BootSlot, FoundRoot},
    disks::BlockNode,
    wanted::Wanted,
};

/// The device-mapper name of the root.
const ROOT_NAME: &str = "root";
/// The device file of the verified root.
pub(crate) const ROOT_DEVICE: &str = "/dev/mapper/root";
/// Where the root is mounted before it is the root.
pub(crate) const SYSROOT: &str = "/sysroot";
/// What moves along with the root, in this order.
const MOVED: [&str; 4] = ["/dev", "/proc", "/sys", "/run"];
/// What runs at the end: the first that is there.
const INITS: [&str; 2] = [SYSTEMD, "/sbin/init"];
/// What takes the watchdog over.
pub(crate) const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// Everything the plan depends on.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) found: FoundRoot,
    /// The device with the root.
    pub(crate) root: BlockNode,
    /// The device with its hash tree.
    pub(crate) hash: BlockNode,
    pub(crate) superblock: Superblock,
    /// The machine id that the boot loader handed over.
    pub(crate) machine_id: Option<MachineId>,
    /// When this program started, in microseconds since the kernel did.
    pub(crate) started: u64,
    /// What the kernel gave this program for arguments.
    pub(crate) arguments: Vec<OsString>,
    /// The boot stub measured the image.
    pub(crate) measured: bool,
}

/// One step, safe to read aloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make the verified device.
    Activate(DmDevice),
    /// Read the first block through it, and ask the kernel whether all it read was good.
    CheckRoot(DmDevice),
    MakeDirectory(PathBuf),
    Mount(Mount),
    /// Write a small file below a directory of tmpfs.
    WriteFile {
        path: PathBuf,
        content: String,
    },
    /// Tell the TPM how far the boot has come.
    Measure(Phase),
    MoveMount {
        from: PathBuf,
        to: PathBuf,
    },
    /// Tell the image what was booted; the time of the end is added.
    WriteRecord {
        path: PathBuf,
        record: BootRecord,
    },
    SwitchRoot(PathBuf),
    /// Become the first of these programs that is there.
    Become {
        programs: Vec<OsString>,
        arguments: Vec<OsString>,
    },
}

/// `/run/basalt/boot.json`; `docs/formats/initramfs.md` describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BootRecord {
    pub(crate) root_hash: String,
    pub(crate) root_device: String,
    pub(crate) verity_device: String,
    pub(crate) disk: Option<String>,
    pub(crate) root_part_uuid: Guid,
    pub(crate) slot: Option<BootSlot>,
    pub(crate) init_start_usec: u64,
    pub(crate) init_end_usec: u64,
}

/// 32 hex digits that are not all zero (machine-id(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MachineId(String);

impl MachineId {
    /// Reads the content of a credential; a line break at its end is no part of it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end();
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let valid = text.len() == 32 && text.bytes().all(hex) && text.bytes().any(|byte| byte != b'0');
        valid.then(|| Self(text.to_owned()))
    }
}

/// Why the partitions can't be what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("{device} has {have} bytes, and its verity superblock speaks of {need}")]
    TooSmall { device: String, have: u64, need: u64 },
}

/// The steps to the image's init.
pub(crate) fn plan(wanted: &Wanted, facts: &Facts) -> Result<Vec<Step>, PlanError> {
    let Facts { found, root: _, hash: _, superblock: _, machine_id, started: _, arguments, measured } = facts;
    let device = verified_device(wanted, facts)?;
    let mut steps = vec![Step::Activate(device.clone()), Step::CheckRoot(device), Step::Mount(root_mount())];
    steps.extend(etc_steps());
    if matches!(found.slot, Some(BootSlot::Live | BootSlot::Recovery)) {
        steps.push(Step::Mount(volatile_data()));
    }
    if let Some(MachineId(id)) = machine_id {
        steps.push(Step::WriteFile { path: below_root("/etc/machine-id"), content: format!("{id}\n") });
    }
    // The last moment at which the TPM's device has the name that this program knows.
    steps.extend(measured.then_some(Step::Measure(Phase::LeaveInitrd)));
    steps.extend(MOVED.map(|path| Step::MoveMount { from: path.into(), to: below_root(path) }));
    let record = record(wanted, facts);
    steps.push(Step::WriteRecord { path: below_root("/run/basalt/boot.json"), record });
    steps.push(Step::SwitchRoot(SYSROOT.into()));
    let programs = match &wanted.init {
        Some(program) => vec![program.into()],
        None => INITS.map(OsString::from).to_vec(),
    };
    steps.push(Step::Become { programs, arguments: arguments.clone() });
    Ok(steps)
}

fn verified_device(wanted: &Wanted, facts: &Facts) -> Result<DmDevice, PlanError> {
    let Facts { root, hash, superblock, .. } = facts;
    let data = superblock.data_blocks.saturating_mul(BLOCK_SIZE as u64);
    for (node, need) in [(root, data), (hash, hash_tree_size(data))] {
        if node.size < need {
            return Err(PlanError::TooSmall { device: node.name.clone(), have: node.size, need });
        }
    }
    let target =
        superblock.device_mapper_target(&root.number, &hash.number, &wanted.root_hash, OnCorruption::Fail);
    // cryptsetup's form: by it systemd and lsblk know what the device is.
    let id = superblock.uuid.to_string().replace('-', "");
    Ok(DmDevice {
        name: ROOT_NAME.to_owned(),
        uuid: format!("CRYPT-VERITY-{id}-{ROOT_NAME}"),
        target: "verity".to_owned(),
        sectors: target.sectors,
        parameters: target.parameters,
    })
}

fn root_mount() -> Mount {
    Mount {
        source: ROOT_DEVICE.to_owned(),
        target: SYSROOT.into(),
        kind: "erofs",
        options: MountOptions::RDONLY,
        data: String::new(),
    }
}

/// `/etc` takes changes into memory; they are gone with the next boot.
fn etc_steps() -> [Step; 4] {
    let [base, upper, work] = ["/run/basalt/etc", "/run/basalt/etc/upper", "/run/basalt/etc/work"];
    let etc = below_root("/etc");
    let mount = Mount {
        source: "basalt-etc".to_owned(),
        target: etc.clone(),
        kind: "overlay",
        options: MountOptions::NODEV | MountOptions::NOSUID,
        data: format!("lowerdir={},upperdir={upper},workdir={work}", etc.display()),
    };
    [
        Step::MakeDirectory(base.into()),
        Step::MakeDirectory(upper.into()),
        Step::MakeDirectory(work.into()),
        Step::Mount(mount),
    ]
}

/// `/var` of a live system, and of the recovery system, which must come up whatever the data volume is like: memory. Whatever the image's init is, it finds it mounted.
fn volatile_data() -> Mount {
    Mount {
        source: "tmpfs".to_owned(),
        target: below_root("/var"),
        kind: "tmpfs",
        options: MountOptions::NODEV | MountOptions::NOSUID,
        data: "mode=0755".to_owned(),
    }
}

fn record(wanted: &Wanted, facts: &Facts) -> BootRecord {
    let Facts { found, root, hash, started, .. } = facts;
    let path = |name: &str| format!("/dev/{}", name.replace('!', "/"));
    BootRecord {
        root_hash: wanted.root_hash.hex(),
        root_device: path(&root.name),
        verity_device: path(&hash.name),
        disk: found.disk.as_deref().map(path),
        root_part_uuid: found.partition.unwrap_or_else(|| wanted.root_partition()),
        slot: found.slot,
        init_start_usec: *started,
        init_end_usec: 0,
    }
}

fn below_root(path: &str) -> PathBuf {
    PathBuf::from(format!("{SYSROOT}{path}"))
}
