//! The little of TPM 2.0 that a boot needs: a command that measures, and what a platform configuration register then holds.
//!
//! ```text
//! event(pcr, data) → command bytes → /dev/tpmrm0 → response bytes → check(response)
//! Pcr::extend      the same in arithmetic: new = SHA-256(old ‖ digest)
//! log              what firmware and stub say they measured: registers replayed, and explained
//! policy           the digest by which a secret is bound to such values
//! ```
//!
//! Source: TCG, "Trusted Platform Module Library", family 2.0, part 1 (section 17, PCR operations), part 2 (structures; all numbers are
//! big-endian) and part 3 (commands). Not here: the device, sessions, keys.

pub mod log;
mod pcr;

pub use pcr::{Pcr, PcrIndex, policy};

/// Part 2, table 19 (`TPM_ST_SESSIONS`).
const SESSIONS: u16 = 0x8002;
/// Part 2, table 12 (`TPM_CC_PCR_Event`).
const PCR_EVENT: u32 = 0x0000_013c;
/// Part 2, table 28 (`TPM_RS_PW`): the session that authorizes by password, here an empty one.
const PASSWORD: u32 = 0x4000_0009;
/// Part 3, section 22.3: how long an event may be.
pub const EVENT_LIMIT: usize = 1024;

/// A TPM that says no, or says nothing that can be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TpmError {
    /// The command has no room for it.
    #[error("an event of {0} bytes is longer than {EVENT_LIMIT}")]
    EventLength(usize),
    /// The command failed (part 2, section 6.6).
    #[error("the TPM answered {0:#010x}")]
    Code(u32),
    /// The answer is too short.
    #[error("the TPM gave an answer of {0} bytes")]
    Short(usize),
}

/// `TPM2_PCR_Event` (part 3, section 22.3): the TPM hashes `data` by each algorithm that it has registers for, and extends them.
///
/// # Errors
/// When the event is too long.
pub fn event(pcr: PcrIndex, data: &[u8]) -> Result<Vec<u8>, TpmError> {
    let length = u16::try_from(data.len()).ok().filter(|length| usize::from(*length) <= EVENT_LIMIT);
    let length = length.ok_or(TpmError::EventLength(data.len()))?;
    // Handle of the session, nonce of 0 bytes, no attributes, password of 0 bytes.
    let authorization = [&PASSWORD.to_be_bytes()[..], &[0; 5]].concat();
    let body = [
        &u32::from(pcr.number()).to_be_bytes()[..],
        &(authorization.len() as u32).to_be_bytes(),
        &authorization,
        &length.to_be_bytes(),
        data,
    ]
    .concat();
    let size = (10 + body.len()) as u32;
    Ok([&SESSIONS.to_be_bytes()[..], &size.to_be_bytes(), &PCR_EVENT.to_be_bytes(), &body].concat())
}

/// Whether a response is one of success (part 1, section 18.2: tag, size, code).
///
/// # Errors
/// When it is none.
pub fn check(response: &[u8]) -> Result<(), TpmError> {
    let code = response.get(6..10).and_then(|code| code.try_into().ok()).map(u32::from_be_bytes);
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(TpmError::Code(code)),
        None => Err(TpmError::Short(response.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_the_bytes_of_the_specification() {
        let command = event(PcrIndex::KERNEL_IMAGE, b"enter-initrd").unwrap();
        let expected = [
            &[0x80, 0x02, 0, 0, 0, 41, 0, 0, 0x01, 0x3c, 0, 0, 0, 11, 0, 0, 0, 9][..],
            &[0x40, 0, 0, 9, 0, 0, 0, 0, 0],
            &[0, 12],
            b"enter-initrd",
        ]
        .concat();
        assert_eq!(command, expected);
        assert_eq!(event(PcrIndex::KERNEL_IMAGE, &[0; 1025]), Err(TpmError::EventLength(1025)));
    }

    #[test]
    fn an_answer_is_success_or_a_code() {
        assert_eq!(check(&[0x80, 0x02, 0, 0, 0, 10, 0, 0, 0, 0]), Ok(()));
        assert_eq!(check(&[0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x01]), Err(TpmError::Code(0x101)));
        assert_eq!(check(&[0x80]), Err(TpmError::Short(1)));
    }
}
