//! What a program without a C library and without the standard library must bring along.

use core::panic::PanicInfo;

/// Nothing here panics. If something does all the same, the firmware's watchdog restarts the machine, five minutes after it
/// started this program (UEFI 2.10, section 3.1.2).
#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// What the compiler calls to copy. Volatile, or it would take the loop for a copy and call this function.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    for at in 0..length {
        // SAFETY: the caller promises two places of this length that don't overlap.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
    }
    to
}

/// What the compiler calls to fill; C asks for the lowest byte of `value`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, length: usize) -> *mut u8 {
    let [byte, ..] = value.to_le_bytes();
    for at in 0..length {
        // SAFETY: the caller promises a place of this length.
        unsafe { to.add(at).write_volatile(byte) };
    }
    to
}
