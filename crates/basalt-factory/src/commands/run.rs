//! `basalt run`: boots an image in a virtual machine, without changing it.

use std::{fs::File, io::Read as _, path::PathBuf};

use basalt_types::ByteSize;
use basalt_vm::{Accel, Bus, Disk, DiskFormat, Display, Machine, Network, SerialPort, Write};

use crate::error::{CommandError, CommandResult, Kind, OrFail as _};

/// Boot an image in QEMU with UEFI and a TPM; its file is not changed
///
/// The serial console is this terminal: ctrl-A x ends the machine, ctrl-A h shows the other keys.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag that a person types")]
pub struct Arguments {
    /// A disk image: raw or qcow2
    image: PathBuf,
    /// Give the machine a network, and lead this port of 127.0.0.1 to its port 22
    #[arg(long, value_name = "PORT")]
    ssh_port: Option<u16>,
    /// No network at all
    #[arg(long, conflicts_with = "ssh_port")]
    no_network: bool,
    /// No window, also where there is a screen
    #[arg(long)]
    headless: bool,
    /// Main memory
    #[arg(long, value_name = "SIZE", default_value = "2GiB")]
    memory: ByteSize,
    /// Virtual processors
    #[arg(long, value_name = "N", default_value_t = 2)]
    cpus: u32,
    /// The machine's disk is at least this large; the image grows into it when it first boots
    #[arg(long, value_name = "SIZE", default_value = "16GiB")]
    disk_size: ByteSize,
    /// How the disk is attached
    #[arg(long, value_name = "BUS", value_enum, default_value_t = DiskBus::Virtio)]
    bus: DiskBus,
    /// Let the machine write into the image itself, and keep what it writes
    #[arg(long)]
    keep_writes: bool,
    /// Print the machine as JSON and stop
    #[arg(long)]
    dry_run: bool,
}

/// The buses a person may choose.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum DiskBus {
    Virtio,
    Nvme,
    Ahci,
    Scsi,
    Usb,
}

/// Runs the command.
///
/// # Errors
/// When the image is no disk, or the host lacks QEMU, firmware or a TPM emulator.
pub fn run(arguments: &Arguments) -> CommandResult {
    let format = observe_format(arguments)?;
    let has_screen = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let machine = plan(arguments, format, has_screen);
    if arguments.dry_run {
        return super::print(&serde_json::to_string_pretty(&machine).or_fail(Kind::Bug)?);
    }
    let status = basalt_vm::run_in_foreground(&machine).or_fail(Kind::Host)?;
    match status.success() {
        true => Ok(()),
        false => Err(CommandError::new(Kind::Host, format!("QEMU ended with {status}"))),
    }
}

fn observe_format(arguments: &Arguments) -> CommandResult<DiskFormat> {
    let image = &arguments.image;
    let mut start = [0; 1024];
    let read = File::open(image).and_then(|mut file| file.read_exact(&mut start));
    read.map_err(|source| {
        let error = CommandError::new(Kind::User, super::FileError::new(image, source));
        error.hint("`basalt build recipe.yaml -o out/` makes an image")
    })?;
    match (&start[..4], &start[512..520]) {
        (b"QFI\xfb", _) => Ok(DiskFormat::Qcow2),
        (_, b"EFI PART") => Ok(DiskFormat::Raw),
        _ => Err(CommandError::new(Kind::User, format!("{} is no disk image", image.display()))
            .hint("give a .raw or .qcow2 file: it starts with a GUID partition table")),
    }
}

fn plan(arguments: &Arguments, format: DiskFormat, has_screen: bool) -> Machine {
    let write = match arguments.keep_writes {
        true => Write::Direct,
        false => Write::Overlay { at_least: arguments.disk_size },
    };
    let bus = match arguments.bus {
        DiskBus::Virtio => Bus::Virtio,
        DiskBus::Nvme => Bus::Nvme,
        DiskBus::Ahci => Bus::Ahci,
        DiskBus::Scsi => Bus::Scsi,
        DiskBus::Usb => Bus::Usb,
    };
    let network = match arguments.no_network {
        true => Network::None,
        false => Network::User { ssh_port: arguments.ssh_port },
    };
    let display = if arguments.headless || !has_screen { Display::None } else { Display::Gtk };
    Machine {
        memory: arguments.memory,
        cpus: arguments.cpus,
        disks: vec![Disk { path: arguments.image.clone(), format, bus, write }],
        network,
        serial: SerialPort::Stdio,
        display,
        accel: Accel::Best,
        ..Machine::uefi(&arguments.image)
    }
}
