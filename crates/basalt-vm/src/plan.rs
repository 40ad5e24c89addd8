//! From a machine, a host and the sizes of its disks to what will be made and started. Pure: no file is opened here.

use crate::{
    error::{HostError, PlanError},
    host::{Host, Tool},
    machine::{
        Accel, Bus, Clock, Disk, DiskFormat, Display, Firmware, Machine, Network, OnReboot, SerialPort, Write,
    },
    probe::KvmState,
};
use basalt_types::ByteSize;
use serde::Serialize;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// What will be made and started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Private overlays to create, or files used as they are.
    pub disks: Vec<DiskPlan>,
    /// The private copy of the firmware's variables.
    pub vars: Option<VarsPlan>,
    /// The TPM emulator.
    pub tpm: Option<TpmPlan>,
    /// QEMU's socket to us for its monitor; we listen first, so nothing is polled.
    pub monitor: PathBuf,
    /// QEMU's socket to us for the serial port, unless that is the terminal.
    pub console: Option<PathBuf>,
    /// The emulator.
    pub qemu: PathBuf,
    /// Its arguments.
    pub argv: Vec<String>,
    /// The tool that makes overlays and copies variables.
    pub qemu_img: PathBuf,
    /// KVM or emulation.
    pub kvm: bool,
}

/// One disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskPlan {
    /// The file that QEMU writes.
    pub file: PathBuf,
    /// The arguments of `qemu-img` that create it; `None` when the image itself is used.
    pub create: Option<Vec<String>>,
}

/// The firmware's variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VarsPlan {
    /// The private copy: qcow2, so that snapshots of the machine can hold it.
    pub file: PathBuf,
    /// The arguments of `qemu-img` that make it.
    pub create: Vec<String>,
}

/// The TPM emulator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TpmPlan {
    /// `swtpm`.
    pub program: PathBuf,
    /// Its arguments; its control socket is descriptor 0.
    pub argv: Vec<String>,
    /// The socket that we listen on and hand over.
    pub socket: PathBuf,
    /// The folder that keeps the TPM's state between boots.
    pub state: PathBuf,
}

/// Plans `machine` on `host`. `sizes` are the virtual sizes of its disks, in order; `scratch` is the folder that will hold
/// everything private to it.
///
/// # Errors
/// [`PlanError`] with everything that is missing or contradictory.
pub fn plan(machine: &Machine, host: &Host, sizes: &[ByteSize], scratch: &Path) -> Result<Plan, PlanError> {
    host.require(needed(machine))?;
    let refusals = refusals(machine, sizes);
    if !refusals.is_empty() {
        return Err(PlanError::Refused(refusals));
    }
    let kvm = choose_accel(machine.accel, host)?;
    let (Some(qemu), Some(qemu_img)) = (host.qemu.clone(), host.qemu_img.clone()) else {
        return Err(HostError::Missing(vec![Tool::Qemu, Tool::QemuImg]).into());
    };
    let disks: Vec<DiskPlan> = machine
        .disks
        .iter()
        .zip(sizes)
        .enumerate()
        .map(|(index, (disk, size))| plan_disk(index, disk, *size, scratch))
        .collect();
    let vars = firmware(machine, host).map(|(_, empty)| plan_vars(empty, scratch));
    let tpm = match &host.swtpm {
        Some(swtpm) if machine.tpm => Some(plan_tpm(swtpm, scratch)),
        Some(_) | None => None,
    };
    let mut plan = Plan {
        disks,
        vars,
        tpm,
        monitor: scratch.join("monitor.sock"),
        console: match machine.serial {
            SerialPort::Socket => Some(scratch.join("console.sock")),
            SerialPort::Stdio => None,
        },
        qemu,
        argv: Vec::new(),
        qemu_img,
        kvm,
    };
    plan.argv = Argv::of(machine, host, &plan).0;
    Ok(plan)
}

fn needed(machine: &Machine) -> Vec<Tool> {
    let mut tools = vec![Tool::Qemu, Tool::QemuImg, Tool::Setpriv];
    match machine.firmware {
        Firmware::Ovmf { secure_boot: false } => tools.push(Tool::Ovmf),
        Firmware::Ovmf { secure_boot: true } => tools.push(Tool::OvmfSecure),
        Firmware::DirectKernel { .. } => {}
    }
    if machine.tpm {
        tools.push(Tool::Swtpm);
    }
    tools
}

/// Code and empty variables of what runs first, when that is UEFI.
fn firmware<'a>(machine: &Machine, host: &'a Host) -> Option<&'a (PathBuf, PathBuf)> {
    match machine.firmware {
        Firmware::Ovmf { secure_boot: false } => host.ovmf.as_ref(),
        Firmware::Ovmf { secure_boot: true } => host.ovmf_secure.as_ref(),
        Firmware::DirectKernel { .. } => None,
    }
}

fn refusals(machine: &Machine, sizes: &[ByteSize]) -> Vec<String> {
    let on = |bus: Bus| machine.disks.iter().filter(|disk| disk.bus == bus).count();
    let mut refusals = Vec::new();
    let mut refuse = |when: bool, why: String| {
        if when {
            refusals.push(why);
        }
    };
    let secure = machine.firmware == Firmware::Ovmf { secure_boot: true };
    refuse(
        secure && on(Bus::Ide) > 0,
        "Secure Boot and disks on IDE, whose board lacks what it needs".to_owned(),
    );
    refuse(
        sizes.len() != machine.disks.len(),
        format!("{} disks but {} sizes", machine.disks.len(), sizes.len()),
    );
    refuse(machine.cpus == 0, "no processor".to_owned());
    refuse(
        machine.memory < ByteSize::mib(64),
        format!("{} of memory is less than any guest needs", machine.memory),
    );
    let ahci = on(Bus::Ahci) + on(Bus::Cd);
    refuse(ahci > 6, format!("{ahci} disks on AHCI, which has 6 ports"));
    let inserted = |disk: &&Disk| disk.bus == Bus::Cd;
    let pressed = |disk: &Disk| disk.format == DiskFormat::Raw && disk.write == Write::Never;
    for disk in machine.disks.iter().filter(inserted) {
        refuse(!pressed(disk), format!("{} as a CD that is written or not raw", disk.path.display()));
    }
    refuse(on(Bus::Ide) > 4, format!("{} disks on IDE, which has 4 places", on(Bus::Ide)));
    refuse(on(Bus::SdCard) > 1, format!("{} SD cards in one slot", on(Bus::SdCard)));
    refusals
}

fn choose_accel(wanted: Accel, host: &Host) -> Result<bool, HostError> {
    match (wanted, &host.kvm) {
        (Accel::Best | Accel::Kvm, KvmState::Works) => Ok(true),
        (Accel::Kvm, KvmState::Unusable { reason }) => Err(HostError::NoKvm(reason.clone())),
        (Accel::Best, KvmState::Unusable { .. }) | (Accel::Tcg, _) => Ok(false),
    }
}

fn plan_disk(index: usize, disk: &Disk, size: ByteSize, scratch: &Path) -> DiskPlan {
    let at_least = match disk.write {
        Write::Direct | Write::Never => return DiskPlan { file: disk.path.clone(), create: None },
        Write::Overlay { at_least } => at_least,
    };
    let mut virtual_size = size.max(at_least).round_up(ByteSize::bytes(512)).get();
    if disk.bus == Bus::SdCard {
        virtual_size = virtual_size.next_power_of_two();
    }
    let file = scratch.join(format!("disk{index}.qcow2"));
    let create = ["create", "-q", "-f", "qcow2", "-F", qemu_format(disk.format), "-b"]
        .into_iter()
        .map(str::to_owned)
        .chain([text(&disk.path), text(&file), virtual_size.to_string()])
        .collect();
    DiskPlan { file, create: Some(create) }
}

fn plan_vars(empty: &Path, scratch: &Path) -> VarsPlan {
    let file = scratch.join("vars.qcow2");
    let create = ["convert", "-f", "raw", "-O", "qcow2"]
        .into_iter()
        .map(str::to_owned)
        .chain([text(empty), text(&file)])
        .collect();
    VarsPlan { file, create }
}

fn plan_tpm(swtpm: &Path, scratch: &Path) -> TpmPlan {
    let state = scratch.join("tpm");
    let argv = vec![
        "socket".to_owned(),
        "--tpm2".to_owned(),
        "--tpmstate".to_owned(),
        format!("dir={}", text(&state)),
        "--ctrl".to_owned(),
        "type=unixio,fd=0".to_owned(),
        "--terminate".to_owned(),
    ];
    TpmPlan { program: swtpm.to_owned(), argv, socket: scratch.join("tpm.sock"), state }
}

/// QEMU's arguments under construction.
struct Argv(Vec<String>);

impl Argv {
    fn of(machine: &Machine, host: &Host, plan: &Plan) -> Self {
        let mut argv = Self(Vec::new());
        argv.board(machine, plan.kvm);
        argv.firmware(machine, host, plan);
        argv.disks(machine, plan);
        argv.network(&machine.network);
        argv.ports(machine, plan);
        argv
    }

    fn push(&mut self, option: &str, value: impl Into<String>) {
        self.0.extend([option.to_owned(), value.into()]);
    }

    fn board(&mut self, machine: &Machine, kvm: bool) {
        let ide = machine.disks.iter().any(|disk| disk.bus == Bus::Ide);
        self.push("-name", "basalt,process=basalt-vm");
        self.0.push("-nodefaults".to_owned());
        let secure = machine.firmware == Firmware::Ovmf { secure_boot: true };
        let board = match (ide, secure) {
            (true, _) => "pc,vmport=off",
            (false, false) => "q35,smm=off,vmport=off",
            // Variables can only be written in system management mode then, so that no kernel changes who is trusted.
            (false, true) => "q35,smm=on,vmport=off",
        };
        self.push("-machine", board);
        if secure {
            self.push("-global", "driver=cfi.pflash01,property=secure,value=on");
        }
        if kvm {
            self.push("-accel", "kvm");
            self.push("-cpu", "host");
        } else {
            // One thread for all processors: with a thread for each, a kernel that patches its own code while another
            // processor runs it (static calls, jump labels) now and then meets its own breakpoint and panics.
            self.push("-accel", "tcg,thread=single,tb-size=512");
            self.push("-cpu", "max");
        }
        self.push("-smp", machine.cpus.to_string());
        self.push("-m", format!("{}B", machine.memory.get()));
        match machine.clock {
            Clock::Host => self.push("-rtc", "base=utc"),
            Clock::Epoch => self.push("-rtc", "base=1970-01-01T00:00:00"),
        }
        if machine.watchdog {
            self.push("-device", "i6300esb");
        }
        self.push("-object", "rng-random,id=entropy,filename=/dev/urandom");
        self.push("-device", "virtio-rng-pci,rng=entropy");
        for string in &machine.oem_strings {
            self.push("-smbios", format!("type=11,value={}", string.replace(',', ",,")));
        }
        match machine.on_reboot {
            OnReboot::Restart => {}
            OnReboot::Exit => self.0.push("-no-reboot".to_owned()),
        }
    }

    fn firmware(&mut self, machine: &Machine, host: &Host, plan: &Plan) {
        if let (Some((code, _)), Some(vars)) = (firmware(machine, host), &plan.vars) {
            let code = escape(code);
            self.push("-drive", format!("if=pflash,unit=0,format=raw,readonly=on,file={code}"));
            self.push("-drive", format!("if=pflash,unit=1,format=qcow2,file={}", escape(&vars.file)));
        }
        match &machine.firmware {
            Firmware::Ovmf { .. } => {}
            Firmware::DirectKernel { kernel, initrd, append } => {
                self.push("-kernel", text(kernel));
                if let Some(initrd) = initrd {
                    self.push("-initrd", text(initrd));
                }
                self.push("-append", append.clone());
            }
        }
    }

    fn disks(&mut self, machine: &Machine, plan: &Plan) {
        for (bus, controller) in [
            (Bus::Ahci, "ich9-ahci,id=ahci"),
            (Bus::Cd, "ich9-ahci,id=ahci"),
            (Bus::Usb, "qemu-xhci,id=xhci"),
            (Bus::Scsi, "virtio-scsi-pci,id=scsi"),
            (Bus::SdCard, "sdhci-pci,id=sdhci"),
        ] {
            let wanted = machine.disks.iter().any(|disk| disk.bus == bus);
            if wanted && !self.0.iter().any(|argument| argument == controller) {
                self.push("-device", controller);
            }
        }
        for (index, (disk, planned)) in machine.disks.iter().zip(&plan.disks).enumerate() {
            let format = if planned.create.is_some() { DiskFormat::Qcow2 } else { disk.format };
            let file = escape(&planned.file);
            let access = match disk.write {
                Write::Never => "readonly=on",
                Write::Overlay { .. } | Write::Direct => "discard=unmap,detect-zeroes=unmap",
            };
            // Guests that discard or write zeroes must not fill the host's disk; a cut of power is ours to make, so the
            // host's page cache is as good as a disk.
            self.push(
                "-drive",
                format!(
                    "if=none,id=disk{index},format={},cache=unsafe,{access},file={file}",
                    qemu_format(format)
                ),
            );
            let place = machine.disks[..index]
                .iter()
                .filter(|before| controller(before.bus) == controller(disk.bus))
                .count();
            self.push("-device", disk_device(disk.bus, index, place));
        }
    }

    fn network(&mut self, network: &Network) {
        match network {
            Network::None => self.push("-nic", "none"),
            Network::User { ssh_port } => {
                let forward =
                    ssh_port.map(|port| format!(",hostfwd=tcp:127.0.0.1:{port}-:22")).unwrap_or_default();
                self.push("-netdev", format!("user,id=net0{forward}"));
                self.push("-device", "virtio-net-pci,netdev=net0,romfile=");
            }
            Network::Boot { file } => {
                self.push("-netdev", format!("user,id=net0,bootfile={}", file.replace(',', ",,")));
                self.push("-device", "virtio-net-pci,netdev=net0,romfile=");
            }
        }
    }

    fn ports(&mut self, machine: &Machine, plan: &Plan) {
        if let Some(tpm) = &plan.tpm {
            self.push("-chardev", format!("socket,id=tpm,path={}", escape(&tpm.socket)));
            self.push("-tpmdev", "emulator,id=tpm0,chardev=tpm");
            self.push("-device", "tpm-tis,tpmdev=tpm0");
        }
        self.push("-chardev", format!("socket,id=monitor,server=off,path={}", escape(&plan.monitor)));
        self.push("-mon", "chardev=monitor,mode=control");
        match &plan.console {
            Some(socket) => {
                self.push("-chardev", format!("socket,id=console,server=off,path={}", escape(socket)));
                self.push("-serial", "chardev:console");
            }
            None => self.push("-serial", "mon:stdio"),
        }
        match machine.display {
            Display::None => self.push("-display", "none"),
            Display::Gtk => {
                self.push("-display", "gtk");
                self.push("-device", "virtio-vga");
            }
        }
    }
}

/// The device of disk `index`, which is number `place` on its bus.
fn disk_device(bus: Bus, index: usize, place: usize) -> String {
    let order = index + 1;
    match bus {
        Bus::Virtio => format!("virtio-blk-pci,drive=disk{index},serial=basalt{index},bootindex={order}"),
        Bus::Nvme => format!("nvme,drive=disk{index},serial=basalt{index},bootindex={order}"),
        Bus::Ahci => format!("ide-hd,bus=ahci.{place},drive=disk{index},bootindex={order}"),
        Bus::Cd => format!("ide-cd,bus=ahci.{place},drive=disk{index},bootindex={order}"),
        Bus::Usb => format!("usb-storage,bus=xhci.0,drive=disk{index},bootindex={order}"),
        Bus::Scsi => format!("scsi-hd,bus=scsi.0,drive=disk{index},bootindex={order}"),
        Bus::SdCard => format!("sd-card,drive=disk{index}"),
        Bus::Ide => {
            format!("ide-hd,bus=ide.{},unit={},drive=disk{index},bootindex={order}", place / 2, place % 2)
        }
    }
}

/// The bus whose controller has a place for it.
fn controller(bus: Bus) -> Bus {
    match bus {
        Bus::Cd => Bus::Ahci,
        Bus::Virtio | Bus::Nvme | Bus::Ahci | Bus::Usb | Bus::Scsi | Bus::SdCard | Bus::Ide => bus,
    }
}

fn qemu_format(format: DiskFormat) -> &'static str {
    match format {
        DiskFormat::Raw => "raw",
        DiskFormat::Qcow2 => "qcow2",
        DiskFormat::Vhd => "vpc",
        DiskFormat::Vmdk => "vmdk",
    }
}

/// A path inside one of QEMU's comma-separated options.
pub(crate) fn escape(path: &Path) -> String {
    text(path).replace(',', ",,")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for create in self.disks.iter().filter_map(|disk| disk.create.as_ref()) {
            writeln!(f, "{} {}", text(&self.qemu_img), create.join(" "))?;
        }
        if let Some(vars) = &self.vars {
            writeln!(f, "{} {}", text(&self.qemu_img), vars.create.join(" "))?;
        }
        if let Some(tpm) = &self.tpm {
            writeln!(f, "{} {} < {}", text(&tpm.program), tpm.argv.join(" "), text(&tpm.socket))?;
        }
        write!(f, "{}", text(&self.qemu))?;
        for argument in &self.argv {
            let start = if argument.starts_with('-') { "\n  " } else { " " };
            write!(f, "{start}{argument}")?;
        }
        writeln!(f)
    }
}
