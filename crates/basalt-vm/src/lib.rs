//! A virtual machine as a value: QEMU, OVMF and swtpm, planned and driven.
//!
//! `basalt run` and every test that boots something use this crate. The flow:
//!
//! ```text
//! observe   Host::observe(): which programs and firmware files are here, does KVM really run guest code
//! plan      plan(&machine, &host, &disks, scratch): the argument vectors, pure, compared by golden tests
//! execute   Vm::prepare(): private copies (firmware variables, disk overlays, TPM state); Vm::boot(): the processes
//! report    Console keeps the whole serial log; every failure shows its last lines
//! ```
//!
//! Invariants: an artifact is never opened for writing unless the caller asks for [`Write::Direct`]; no process outlives
//! the one that started it; nothing sleeps, every wait is a condition with a deadline.
//!
//! What is *not* here: what to expect of a Basalt machine (logging in, running commands) is `basalt-testkit`'s.
//!
//! Subprocesses are started here and not through `basalt-exec`'s door, because that door runs a tool to its end while a
//! machine outlives the call that started it ([`Vm::boot`] returns while QEMU runs).

mod child;
mod console;
mod error;
mod host;
mod machine;
mod plan;
mod probe;
mod qmp;
mod transcript;
mod vm;

pub use console::Console;
pub use error::{HostError, PlanError, VmError};
pub use host::{Host, Tool};
pub use machine::{
    Accel, Bus, Clock, Disk, DiskFormat, Display, Firmware, Machine, Network, OnReboot, SerialPort, Write,
};
pub use plan::{DiskPlan, Plan, TpmPlan, VarsPlan, plan};
pub use probe::KvmState;
pub use qmp::{Qmp, QmpError};
pub use transcript::{Transcript, plain_text};
pub use vm::{Running, Vm, boot, run_in_foreground};

#[cfg(test)]
mod tests;
