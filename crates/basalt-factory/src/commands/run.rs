//! `basalt run`: boots an image in a virtual machine, without changing it.

use std::{fs::File, os::unix::fs::FileExt as _, path::PathBuf};

use basalt_types::ByteSize;
use basalt_vm::{Accel, Bus, Disk, DiskFormat, Display, Firmware, Machine, Network, SerialPort, Write};

use crate::error::{CommandError, CommandResult, Kind, OrFail as _};

/// Boot an image in QEMU with UEFI and a TPM; its file is not changed
///
/// The serial console is this terminal: ctrl-A x ends the machine, ctrl-A h shows the other keys.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag that a person types")]
pub struct Arguments {
    /// A disk image, raw or qcow2, or a live medium (.iso)
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
    /// How the image is attached: virtio, or for a live medium as a CD; `usb` makes it a stick
    #[arg(long, value_name = "BUS", value_enum)]
    bus: Option<DiskBus>,
    /// Let the machine write into the image itself, and keep what it writes
    #[arg(long)]
    keep_writes: bool,
    /// Firmware that enforces Secure Boot; its key store is empty, and an image built with --keys enrols them
    #[arg(long)]
    secure_boot: bool,
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
    Cd,
}

/// What an image is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Image {
    Disk(DiskFormat),
    Live,
}

/// Runs the command.
///
/// # Errors
/// When the image is no disk, or the host lacks QEMU, firmware or a TPM emulator.
pub fn run(arguments: &Arguments) -> CommandResult {
    let image = observe_image(arguments)?;
    let has_screen = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let machine = plan(arguments, image, has_screen)?;
    if arguments.dry_run {
        return super::print(&serde_json::to_string_pretty(&machine).or_fail(Kind::Bug)?);
    }
    let status = basalt_vm::run_in_foreground(&machine).or_fail(Kind::Host)?;
    match status.success() {
        true => Ok(()),
        false => Err(CommandError::new(Kind::Host, format!("QEMU ended with {status}"))),
    }
}

fn observe_image(arguments: &Arguments) -> CommandResult<Image> {
    let image = &arguments.image;
    let mut start = [0; 1024];
    let file = File::open(image).and_then(|file| file.read_exact_at(&mut start, 0).map(|()| file));
    let file = file.map_err(|source| {
        let error = CommandError::new(Kind::User, super::FileError::new(image, source));
        error.hint("`basalt build recipe.yaml -o out/` makes an image")
    })?;
    // The identifier of a volume descriptor (ECMA-119 section 8.1.2), behind 16 sectors of 2048 bytes.
    let mut identifier = [0; 5];
    let is_cd = file.read_exact_at(&mut identifier, 16 * 2048 + 1).is_ok() && &identifier == b"CD001";
    match (&start[..4], &start[512..520]) {
        (b"QFI\xfb", _) => Ok(Image::Disk(DiskFormat::Qcow2)),
        (b"KDMV", _) => Ok(Image::Disk(DiskFormat::Vmdk)),
        // A dynamic one; a fixed one is a raw disk with something behind it.
        (b"cone", _) => Ok(Image::Disk(DiskFormat::Vhd)),
        (_, b"EFI PART") if is_cd => Ok(Image::Live),
        (_, b"EFI PART") => Ok(Image::Disk(DiskFormat::Raw)),
        _ => Err(CommandError::new(Kind::User, format!("{} is no disk image", image.display()))
            .hint("give a .raw, .qcow2, .vhd, .vmdk or .iso file")),
    }
}

/// The image in its place in the machine.
fn plan_disk(arguments: &Arguments, image: Image) -> CommandResult<Disk> {
    let (format, default) = match image {
        Image::Disk(format) => (format, DiskBus::Virtio),
        Image::Live => (DiskFormat::Raw, DiskBus::Cd),
    };
    let bus = match arguments.bus.unwrap_or(default) {
        DiskBus::Virtio => Bus::Virtio,
        DiskBus::Nvme => Bus::Nvme,
        DiskBus::Ahci => Bus::Ahci,
        DiskBus::Scsi => Bus::Scsi,
        DiskBus::Usb => Bus::Usb,
        DiskBus::Cd => Bus::Cd,
    };
    let write = match arguments.keep_writes {
        true if bus == Bus::Cd => {
            return Err(CommandError::new(Kind::User, "a CD can't be written")
                .hint("attach the medium as a stick: --bus usb"));
        }
        true => Write::Direct,
        false if bus == Bus::Cd => Write::Never,
        false => Write::Overlay { at_least: arguments.disk_size },
    };
    Ok(Disk { path: arguments.image.clone(), format, bus, write })
}

fn plan(arguments: &Arguments, image: Image, has_screen: bool) -> CommandResult<Machine> {
    let network = match arguments.no_network {
        true => Network::None,
        false => Network::User { ssh_port: arguments.ssh_port },
    };
    let display = if arguments.headless || !has_screen { Display::None } else { Display::Gtk };
    Ok(Machine {
        firmware: Firmware::Ovmf { secure_boot: arguments.secure_boot },
        memory: arguments.memory,
        cpus: arguments.cpus,
        disks: vec![plan_disk(arguments, image)?],
        network,
        serial: SerialPort::Stdio,
        display,
        accel: Accel::Best,
        ..Machine::uefi(&arguments.image)
    })
}
