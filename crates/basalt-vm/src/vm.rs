//! A prepared machine and a running one.

use crate::{
    child::{Child, Stderr, first_readable},
    console::Console,
    error::VmError,
    host::Host,
    machine::{DiskFormat, Machine, SerialPort},
    plan::{Plan, plan},
    qmp::{Qmp, QmpError},
};
use basalt_types::ByteSize;
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::FileExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};
use tempfile::TempDir;

/// How long a started program has to connect to us.
const CONNECT: Duration = Duration::from_secs(30);
/// How long QEMU has to end after it was told to.
const QUIT: Duration = Duration::from_secs(20);

/// A prepared machine: its overlays, firmware variables and TPM state exist and live as long as this value, through any
/// number of boots.
#[derive(Debug)]
pub struct Vm {
    plan: Plan,
    scratch: TempDir,
}

/// A machine whose processes run. Dropping it kills them, as a cut of power would; its disks stay with the [`Vm`].
#[derive(Debug)]
pub struct Running {
    qemu: Child,
    tpm: Option<Child>,
    qmp: Qmp,
    console: Option<Console>,
    kvm: bool,
    /// Present when [`boot`] made the machine for one boot only.
    _own: Option<Vm>,
}

/// Prepares `machine` and boots it once.
///
/// # Errors
/// As [`Vm::prepare`] and [`Vm::boot`].
pub fn boot(machine: &Machine) -> Result<Running, VmError> {
    let vm = Vm::prepare(machine)?;
    let mut running = vm.boot()?;
    running._own = Some(vm);
    Ok(running)
}

/// Runs `machine` until it ends, with its serial port on this process's terminal (`basalt run`).
///
/// # Errors
/// As [`Vm::prepare`]; what QEMU itself complains about is on the terminal.
pub fn run_in_foreground(machine: &Machine) -> Result<ExitStatus, VmError> {
    let vm = Vm::prepare(&Machine { serial: SerialPort::Stdio, ..machine.clone() })?;
    let mut running = vm.boot()?;
    running.qemu.wait_forever().map_err(VmError::io("wait for", &vm.plan.qemu))
}

impl Vm {
    /// Observes the host and the disks, plans, and creates everything that is private to the machine in a folder of its
    /// own under the temporary directory.
    ///
    /// # Errors
    /// [`VmError::Plan`] when the host lacks something, [`VmError::Ended`] when `qemu-img` fails.
    pub fn prepare(machine: &Machine) -> Result<Self, VmError> {
        let machine = absolute(machine)?;
        let sizes = machine
            .disks
            .iter()
            .map(|disk| virtual_size(&disk.path, disk.format))
            .collect::<Result<Vec<_>, _>>()?;
        let scratch = tempfile::Builder::new()
            .prefix("basalt-vm-")
            .tempdir()
            .map_err(VmError::io("create a folder in", std::env::temp_dir()))?;
        let plan = plan(&machine, Host::observe(), &sizes, scratch.path())?;
        let vm = Self { plan, scratch };
        vm.create_files()?;
        Ok(vm)
    }

    /// Starts the TPM and QEMU, and connects. The guest's first byte is on the console.
    ///
    /// # Errors
    /// [`VmError::Ended`] with QEMU's words when it refuses its arguments.
    pub fn boot(&self) -> Result<Running, VmError> {
        let monitor = Listener::bind(&self.plan.monitor)?;
        let serial = self.plan.console.as_deref().map(Listener::bind).transpose()?;
        let mut tpm = self.start_tpm()?;
        let output = match &self.plan.console {
            Some(_) => Stderr::Keep(self.file("qemu.log")),
            None => Stderr::Terminal,
        };
        let mut qemu = Child::start(&self.plan.qemu, &self.plan.argv, None, output)
            .map_err(|source| VmError::Start { program: "qemu-system-x86_64".to_owned(), source })?;
        let connected = self.connect(&mut qemu, monitor, serial);
        let (qmp, console) = match (connected, tpm.as_mut()) {
            (Ok(streams), _) => streams,
            (Err(error), Some(tpm)) => return Err(blame(error, tpm)),
            (Err(error), None) => return Err(error),
        };
        Ok(Running { qemu, tpm, qmp, console, kvm: self.plan.kvm, _own: None })
    }

    /// What was planned.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The file that disk `index` is written to: the overlay (qcow2), or the image itself under [`crate::Write::Direct`].
    pub fn disk(&self, index: usize) -> Option<&Path> {
        self.plan.disks.get(index).map(|disk| disk.file.as_path())
    }

    /// The console log of the latest boot, byte for byte.
    pub fn console_log(&self) -> PathBuf {
        self.file("console.log")
    }

    /// QEMU connects to both sockets while it parses its options, and refuses many of them only after that.
    fn connect(
        &self,
        qemu: &mut Child,
        monitor: Listener,
        serial: Option<Listener>,
    ) -> Result<(Qmp, Option<Console>), VmError> {
        let monitor = monitor.accept(qemu)?;
        let serial = serial.map(|serial| serial.accept(qemu)).transpose()?;
        let console = serial.map(|stream| Console::new(stream, &self.file("console.log"))).transpose()?;
        match Qmp::negotiate(monitor) {
            Ok(qmp) => Ok((qmp, console)),
            Err(error) => Err(ended(qemu, QUIT)?.unwrap_or(error.into())),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn create_files(&self) -> Result<(), VmError> {
        let disks = self.plan.disks.iter().filter_map(|disk| disk.create.as_ref());
        for argv in disks.chain(self.plan.vars.as_ref().map(|vars| &vars.create)) {
            self.run_qemu_img(argv)?;
        }
        match &self.plan.tpm {
            Some(tpm) => fs::create_dir(&tpm.state).map_err(VmError::io("create", &tpm.state)),
            None => Ok(()),
        }
    }

    fn run_qemu_img(&self, argv: &[String]) -> Result<(), VmError> {
        let program = "qemu-img".to_owned();
        let output = Stderr::Keep(self.file("qemu-img.log"));
        let mut child = Child::start(&self.plan.qemu_img, argv, None, output)
            .map_err(|source| VmError::Start { program: program.clone(), source })?;
        match child.wait(CONNECT).map_err(VmError::io("wait for", &self.plan.qemu_img))? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(VmError::Ended { program, status, stderr: child.stderr_tail() }),
            None => Err(VmError::Late { program, what: "end", within: CONNECT }),
        }
    }

    fn start_tpm(&self) -> Result<Option<Child>, VmError> {
        let Some(tpm) = &self.plan.tpm else { return Ok(None) };
        let listener = Listener::bind(&tpm.socket)?;
        let output = Stderr::Keep(self.file("swtpm.log"));
        Child::start(&tpm.program, &tpm.argv, Some(OwnedFd::from(listener.socket)), output)
            .map(Some)
            .map_err(|source| VmError::Start { program: "swtpm".to_owned(), source })
    }
}

impl Running {
    /// The serial console.
    ///
    /// # Errors
    /// [`VmError::NoConsole`] when the serial port is the terminal.
    pub fn console(&mut self) -> Result<&mut Console, VmError> {
        self.console.as_mut().ok_or(VmError::NoConsole)
    }

    /// Whether guest code runs at full speed; emulation takes about ten times as long.
    pub fn is_kvm(&self) -> bool {
        self.kvm
    }

    /// The process id of QEMU.
    pub fn pid(&self) -> u32 {
        self.qemu.pid()
    }

    /// The monitor, for what has no method here.
    pub fn qmp(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    /// Presses the power button (ACPI): the guest shuts down by itself.
    ///
    /// # Errors
    /// [`VmError::Qmp`].
    pub fn powerdown(&mut self) -> Result<(), VmError> {
        self.command("system_powerdown")
    }

    /// Presses the reset button.
    ///
    /// # Errors
    /// [`VmError::Qmp`].
    pub fn reset(&mut self) -> Result<(), VmError> {
        self.command("system_reset")
    }

    /// Saves memory, devices and disks under `name` inside the overlays.
    ///
    /// # Errors
    /// [`VmError::Qmp`], also when a disk is written directly and is not qcow2.
    pub fn save(&mut self, name: &str) -> Result<(), VmError> {
        Ok(self.qmp.human(&format!("savevm {name}"))?)
    }

    /// Goes back to what [`Running::save`] saved. A machine that can't go back runs on.
    ///
    /// # Errors
    /// [`VmError::Qmp`].
    pub fn load(&mut self, name: &str) -> Result<(), VmError> {
        let loaded = self.qmp.human(&format!("loadvm {name}"));
        // QEMU stops the guest to load, and leaves it stopped when it can't.
        self.command("cont")?;
        Ok(loaded?)
    }

    /// Cuts the power: SIGKILL, and waits until the process is gone.
    ///
    /// # Errors
    /// [`VmError::Io`] when it can't be waited for.
    pub fn kill(mut self) -> Result<(), VmError> {
        self.qemu.signal(Signal::KILL).map_err(VmError::io("kill", "QEMU"))?;
        self.wait_end(QUIT).map(|_killed| ())
    }

    /// Ends QEMU in order; the guest notices as little as of a cut of power, but buffers of overlays are written.
    ///
    /// # Errors
    /// [`VmError::Late`] when it does not end.
    pub fn quit(mut self) -> Result<(), VmError> {
        match self.qmp.execute("quit", Value::Null) {
            // The answer may be lost when QEMU ends faster than it answers.
            Ok(_) | Err(QmpError::Io { .. }) => self.wait_exit(QUIT),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the guest has powered off, or rebooted under [`crate::OnReboot::Exit`].
    ///
    /// # Errors
    /// [`VmError::Late`] after `within`; [`VmError::Ended`] with QEMU's words when it failed.
    pub fn wait_exit(&mut self, within: Duration) -> Result<(), VmError> {
        let status = self.wait_end(within)?;
        if status.success() {
            return Ok(());
        }
        Err(VmError::Ended {
            program: "qemu-system-x86_64".to_owned(),
            status,
            stderr: self.qemu.stderr_tail(),
        })
    }

    fn wait_end(&mut self, within: Duration) -> Result<ExitStatus, VmError> {
        let late = || VmError::Late { program: "the machine".to_owned(), what: "end", within };
        let status = self.qemu.wait(within).map_err(VmError::io("wait for", "QEMU"))?.ok_or_else(late)?;
        if let Some(tpm) = &mut self.tpm {
            // It ends with its only client; a stuck one is killed by Drop.
            tpm.wait(QUIT).map_err(VmError::io("wait for", "swtpm"))?;
        }
        Ok(status)
    }

    fn command(&mut self, name: &str) -> Result<(), VmError> {
        self.qmp.execute(name, Value::Null)?;
        Ok(())
    }
}

/// A socket that a program of ours will connect to.
struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    fn bind(path: &Path) -> Result<Self, VmError> {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(VmError::io("remove", path)(error)),
        }
        let socket = UnixListener::bind(path).map_err(VmError::io("listen on", path))?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// Waits until `program` connects or ends, whichever is first.
    fn accept(self, program: &mut Child) -> Result<UnixStream, VmError> {
        let name = || "qemu-system-x86_64".to_owned();
        let ready = first_readable(&[self.socket.as_fd(), program.pidfd().as_fd()], CONNECT)
            .map_err(VmError::io("wait for a connection to", &self.path))?;
        match ready {
            Some(0) => {
                let (stream, _) = self.socket.accept().map_err(VmError::io("accept on", &self.path))?;
                Ok(stream)
            }
            Some(_) => Err(ended(program, CONNECT)?.unwrap_or_else(|| VmError::Late {
                program: name(),
                what: "end",
                within: CONNECT,
            })),
            None => Err(VmError::Late { program: name(), what: "connect", within: CONNECT }),
        }
    }
}

/// QEMU's last words, if it ends within the time.
fn ended(qemu: &mut Child, within: Duration) -> Result<Option<VmError>, VmError> {
    let status = qemu.wait(within).map_err(VmError::io("wait for", "QEMU"))?;
    Ok(status.map(|status| VmError::Ended {
        program: "qemu-system-x86_64".to_owned(),
        status,
        stderr: qemu.stderr_tail(),
    }))
}

/// QEMU's failure is often the TPM emulator's: show what that said.
fn blame(error: VmError, tpm: &mut Child) -> VmError {
    match (error, tpm.wait(Duration::ZERO)) {
        (VmError::Ended { program, status, stderr }, Ok(Some(tpm_status))) if !tpm_status.success() => {
            let stderr = format!("{stderr}\nswtpm ended with {tpm_status}:\n{}", tpm.stderr_tail());
            VmError::Ended { program, status, stderr }
        }
        (error, _) => error,
    }
}

/// Overlays name their backing file, and QEMU resolves that name from the overlay's folder.
fn absolute(machine: &Machine) -> Result<Machine, VmError> {
    let mut machine = machine.clone();
    for disk in &mut machine.disks {
        disk.path = fs::canonicalize(&disk.path).map_err(VmError::io("open", &disk.path))?;
    }
    Ok(machine)
}

/// The size that a guest would see without growing.
fn virtual_size(path: &Path, format: DiskFormat) -> Result<ByteSize, VmError> {
    let file = File::open(path).map_err(VmError::io("open", path))?;
    let length = file.metadata().map_err(VmError::io("measure", path))?.len();
    let word_at = |offset: u64| {
        let mut word = [0; 8];
        file.read_exact_at(&mut word, offset).map_err(VmError::io("read the header of", path)).map(|()| word)
    };
    Ok(ByteSize::bytes(match format {
        DiskFormat::Raw => length,
        // QEMU docs/interop/qcow2.txt, "Header": bytes 24–31, big-endian, virtual size in bytes.
        DiskFormat::Qcow2 => u64::from_be_bytes(word_at(24)?),
        // Microsoft's specification of 2006, "Hard Disk Footer Format": the last 512 bytes; from byte 48, big-endian, the
        // size in bytes.
        DiskFormat::Vhd => u64::from_be_bytes(word_at(length.saturating_sub(512) + 48)?),
        // VMware's specification 5.0, "Hosted Sparse Extent Header": from byte 12, little-endian, the size in sectors.
        DiskFormat::Vmdk => u64::from_le_bytes(word_at(12)?).saturating_mul(512),
    }))
}
