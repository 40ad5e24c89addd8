//! A kernel that hangs, with its interrupts off: the processor is given a loop of two bytes to run, from outside.
//!
//! QEMU's debugging stub (the remote protocol of GDB, `gdb` manual, appendix E) reads the processor's place and writes there.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use basalt_vm::Running;

use crate::error::{Done, TaskError};

/// `cli`, and a jump to itself.
const LOOP: &str = "faebfe";
/// Addresses from here on are the kernel's (Linux `Documentation/arch/x86/x86_64/mm.rst`).
const KERNEL: u64 = 0xffff_8000_0000_0000;
/// All registers; QEMU gives a single one only to those who asked for its description of them.
const REGISTERS: &str = "g";
/// The hex digits of `rip` among them: behind 16 registers of 8 bytes.
const RIP: std::ops::Range<usize> = 256..272;
/// How often to look whether the processor is in the kernel.
const LOOKS: u32 = 200;

/// Hangs the machine's kernel. `socket` is a place for the stub's socket.
pub(super) fn hang(machine: &mut Running, socket: &Path) -> Done {
    machine.qmp().human(&format!("gdbserver unix:{},server=on,wait=off", socket.display())).or_else(
        |error| {
            // It says that it waits, which is no refusal.
            if error.to_string().contains("Waiting for gdb connection") {
                Ok(())
            } else {
                Err(basalt_vm::VmError::from(error))
            }
        },
    )?;
    for _ in 0..LOOKS {
        // The machine stands still while somebody is connected.
        let mut stub = Stub(UnixStream::connect(socket).map_err(TaskError::io("connect to", socket))?);
        let registers = stub.ask(REGISTERS)?;
        let place = registers.get(RIP).unwrap_or_default();
        let bytes = u64::from_str_radix(place, 16)
            .map_err(|_not_hex| TaskError::Broken(format!("the processor is at `{place}`")))?;
        let rip = bytes.swap_bytes();
        if rip >= KERNEL {
            let written = stub.ask(&format!("M{rip:x},3:{LOOP}"))?;
            stub.ask("D")?;
            return if written == "OK" {
                Ok(())
            } else {
                Err(TaskError::Broken(format!("the stub says {written}")))
            };
        }
        stub.ask("D")?;
        drop(stub);
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(TaskError::Broken("the processor was never in the kernel".to_owned()))
}

struct Stub(UnixStream);

impl Stub {
    /// `$DATA#SUM`, and the same back; `+` says that a packet arrived.
    fn ask(&mut self, data: &str) -> Done<String> {
        let failed = TaskError::io("talk to", "QEMU's debugging stub");
        let sum = data.bytes().fold(0_u8, u8::wrapping_add);
        let mut talk = || {
            self.0.set_read_timeout(Some(Duration::from_secs(10)))?;
            self.0.write_all(format!("${data}#{sum:02x}").as_bytes())?;
            loop {
                let answer = packet(&mut self.0)?;
                self.0.write_all(b"+")?;
                // That the machine has stopped is told whenever it has, and nobody asked.
                if !answer.starts_with(['T', 'S']) {
                    return Ok(answer);
                }
            }
        };
        talk().map_err(failed)
    }
}

/// What is between the next `$` and its `#` with both digits of the sum.
fn packet(stub: &mut UnixStream) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while bytes.iter().rev().nth(2) != Some(&b'#') {
        stub.read_exact(&mut byte)?;
        if !(bytes.is_empty() && byte[0] != b'$') {
            bytes.push(byte[0]);
        }
    }
    Ok(String::from_utf8_lossy(&bytes[1..bytes.len() - 3]).into_owned())
}
