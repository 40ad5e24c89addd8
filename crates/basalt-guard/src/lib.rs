//! The EFI program that firmware starts, as `EFI/BOOT/BOOTX64.EFI` of a disk. It starts systemd-boot, and restarts the machine
//! when systemd-boot comes back.
//!
//! systemd-boot counts a try, and comes back when it can't start the entry: a torn UKI, a signature that the firmware does not
//! accept. What firmware does then is its own affair; many wait for a key for ever. After a restart systemd-boot counts the
//! next try, and takes the other release when there is none left. From version 258 it restarts by itself
//! (`reboot-on-error` of loader.conf(5)); this program does it for the others.
//!
//! Where the ESP has a recovery system, it also counts the boots that nobody found good, and starts that one when nothing else
//! comes up (`docs/decisions/027-recovery.md`).
//!
//! ```text
//! observe   on which partition this program is, with which options it was started, the byte in EFI/basalt/boots
//! plan      whose turn it is                                                                            (turn)
//! execute   write the next byte; load EFI/systemd/systemd-bootx64.efi or EFI/basalt/recovery.efi from there, start it
//! report    on the firmware's console, then restart
//! ```
//!
//! When systemd-boot can't even be loaded, there is nothing to come back to: the firmware gets the error and goes on with its
//! next boot option, as it would without this program.
//!
//! Invariants: nothing is written but that one byte, in its place; a byte that can't be read or written keeps nothing from
//! starting; no variable is read, no memory is allocated. Not here: which entry is taken, and who found a boot good.
//!
//! `cargo xtask dist` compiles it for the host's target, links it without a C library, and makes the ELF program into a PE one
//! (`crates/xtask/src/guard.rs`): a target for EFI is no part of every toolchain.
#![cfg_attr(not(test), no_std)]
#![allow(unsafe_code, reason = "everything that firmware offers is behind raw pointers")]

mod firmware;
#[cfg(feature = "program")]
mod freestanding;
mod path;
mod turn;

use core::ffi::c_void;
use uefi_raw::{Handle, Status, table::system::SystemTable};

use crate::{
    firmware::Firmware,
    turn::{Turn, turn},
};

/// The boot loader, where `bootctl` has it too.
#[cfg(target_arch = "x86_64")]
const LOADER: &str = r"\EFI\systemd\systemd-bootx64.efi";
#[cfg(target_arch = "aarch64")]
const LOADER: &str = r"\EFI\systemd\systemd-bootaa64.efi";

/// The recovery system: a UKI outside of the folder that the boot loader looks through.
const RECOVERY: &str = r"\EFI\basalt\recovery.efi";
/// One byte: see [`turn`].
const BOOTS: &str = r"\EFI\basalt\boots";

/// How long a person can read why the machine restarts.
const READABLE_SECONDS: usize = 5;

/// What firmware calls (UEFI 2.10, section 4.1).
///
/// # Safety
/// `image` is this program's handle and `table` the firmware's system table, whose boot services have not ended.
#[unsafe(no_mangle)]
pub unsafe extern "efiapi" fn efi_main(image: Handle, table: *const c_void) -> Status {
    // SAFETY: what the caller promises is what is asked for.
    let Some(firmware) = (unsafe { Firmware::new(image, table.cast::<SystemTable>()) }) else {
        return Status::INVALID_PARAMETER;
    };
    if firmware.exchange(BOOTS, turn) == Ok(Turn::Recovery) {
        match firmware.load(RECOVERY) {
            Ok(recovery) => {
                let status = firmware.start(recovery);
                firmware.say(&["basalt: the recovery system came back: "], status);
            }
            Err(status) => firmware.say(&["basalt: ", RECOVERY, " can't be loaded: "], status),
        }
    }
    let loader = match firmware.load_as_self(LOADER) {
        Ok(loader) => loader,
        Err(status) => {
            firmware.say(&["basalt: ", LOADER, " can't be loaded: "], status);
            return status;
        }
    };
    let status = firmware.start(loader);
    firmware.say(&["basalt: the boot loader started nothing; the machine restarts: "], status);
    firmware.wait(READABLE_SECONDS);
    firmware.restart(status)
}
