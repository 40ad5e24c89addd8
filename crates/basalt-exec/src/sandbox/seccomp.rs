//! A system-call filter that makes `fsync` and its kin succeed at once.
//!
//! The tree under construction is worth nothing after a power cut, yet dpkg and maintainer scripts flush it thousands
//! of times. The filter (seccomp(2), classic BPF) answers those calls with 0 without entering the kernel's flush; all
//! else passes. It is no security boundary and keeps nothing from a program.

use std::{
    ffi::{c_int, c_ulong},
    io,
};

/// `PR_SET_SECCOMP`, linux/prctl.h.
const PR_SET_SECCOMP: c_int = 22;
/// `SECCOMP_MODE_FILTER`, linux/seccomp.h.
const SECCOMP_MODE_FILTER: c_ulong = 2;
/// `SECCOMP_RET_ALLOW`, linux/seccomp.h.
const ALLOW: u32 = 0x7fff_0000;
/// `SECCOMP_RET_ERRNO` with errno 0: the call returns 0 without being made.
const SUCCEED: u32 = 0x0005_0000;
/// `BPF_LD | BPF_W | BPF_ABS`, linux/bpf_common.h: load a word of `struct seccomp_data`.
const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JEQ | BPF_K`: compare with a constant.
const JUMP_IF_EQUAL: u16 = 0x15;
/// `BPF_RET | BPF_K`: return a constant.
const RETURN: u16 = 0x06;
/// Offset of `nr` in `struct seccomp_data`.
const NUMBER: u32 = 0;
/// Offset of `arch` in `struct seccomp_data`.
const ARCH: u32 = 4;

/// `AUDIT_ARCH_X86_64`, linux/audit.h, and the calls of asm/unistd_64.h.
#[cfg(target_arch = "x86_64")]
const TABLE: (u32, [u32; 6]) = (0xc000_003e, [26, 74, 75, 162, 277, 306]);
/// `AUDIT_ARCH_AARCH64`, linux/audit.h, and the calls of asm-generic/unistd.h.
#[cfg(target_arch = "aarch64")]
const TABLE: (u32, [u32; 6]) = (0xc000_00b7, [227, 82, 83, 81, 84, 267]);

/// One instruction: `struct sock_filter`, linux/filter.h.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    operand: u32,
}

/// `struct sock_fprog`, linux/filter.h.
#[repr(C)]
struct Filter {
    length: u16,
    instructions: *const Instruction,
}

#[allow(unsafe_code, reason = "declares prctl(2), which rustix does not offer for filters")]
unsafe extern "C" {
    fn prctl(option: c_int, ...) -> c_int;
}

/// Installs the filter for this process and all it will start. It asks for `CAP_SYS_ADMIN` in the own user namespace,
/// which the sandbox's root has; `PR_SET_NO_NEW_PRIVS` would break set-uid programs that scripts may use.
#[allow(unsafe_code, reason = "the filter is passed to the kernel as a pointer")]
pub(super) fn make_sync_free() -> io::Result<()> {
    let instructions = program();
    let length = u16::try_from(instructions.len()).map_err(io::Error::other)?;
    let filter = Filter { length, instructions: instructions.as_ptr() };
    // SAFETY: the kernel copies `length` instructions from the pointer during the call (seccomp(2)); both the vector
    // and the struct live until after it. The layout is the kernel's by `repr(C)`.
    let refused = unsafe { prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &raw const filter) } != 0;
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Foreign architecture → allow; one of the calls → succeed; else allow.
fn program() -> Vec<Instruction> {
    let (arch, calls) = TABLE;
    let count = u8::try_from(calls.len()).unwrap_or(u8::MAX);
    let load = |offset| Instruction { code: LOAD, if_true: 0, if_false: 0, operand: offset };
    let answer = |with| Instruction { code: RETURN, if_true: 0, if_false: 0, operand: with };
    let mut program = vec![
        load(ARCH),
        // Jumps are counted from the next instruction: past the load, the comparisons, to `allow`.
        Instruction { code: JUMP_IF_EQUAL, if_true: 0, if_false: count + 1, operand: arch },
        load(NUMBER),
    ];
    for (index, call) in (0..count).zip(calls) {
        let to_succeed = count - index;
        program.push(Instruction { code: JUMP_IF_EQUAL, if_true: to_succeed, if_false: 0, operand: call });
    }
    program.push(answer(ALLOW));
    program.push(answer(SUCCEED));
    program
}

#[cfg(test)]
mod tests {
    use super::{ALLOW, ARCH, JUMP_IF_EQUAL, LOAD, RETURN, SUCCEED, TABLE, program};

    /// What the kernel would answer: an interpreter of the four instructions used.
    fn answer(arch: u32, number: u32) -> u32 {
        let program = program();
        let (mut at, mut loaded) = (0, 0);
        loop {
            let instruction = program[at];
            at += 1;
            match instruction.code {
                LOAD => loaded = if instruction.operand == ARCH { arch } else { number },
                JUMP_IF_EQUAL if loaded == instruction.operand => at += usize::from(instruction.if_true),
                JUMP_IF_EQUAL => at += usize::from(instruction.if_false),
                RETURN => return instruction.operand,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn exactly_the_flushing_calls_succeed_without_being_made() {
        let (arch, calls) = TABLE;
        for number in 0..1000 {
            let expected = if calls.contains(&number) { SUCCEED } else { ALLOW };
            assert_eq!(answer(arch, number), expected, "call {number}");
            assert_eq!(answer(!arch, number), ALLOW, "call {number} of another architecture");
        }
    }
}
