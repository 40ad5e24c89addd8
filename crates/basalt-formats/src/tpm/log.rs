//! The event log: what firmware and boot stub measured, in order, so that the registers can be explained.
//!
//! ```text
//! header    pcr 0 | EV_NO_ACTION | SHA-1 of 20 bytes | size | "Spec ID Event03" … algorithms with the sizes of their digests
//! event     pcr | kind | count of digests | algorithm, digest … | size | data                              (any number)
//! ```
//!
//! Numbers are little-endian. Linux shows it as `/sys/kernel/security/tpm0/binary_bios_measurements`. Source: TCG, "PC Client Platform
//! Firmware Profile" 1.06, section 10.2 (structures) and table 27 (kinds).

use basalt_types::Digest;

use super::{Pcr, PcrIndex};

/// Table 27: says something and is not measured.
const NO_ACTION: u32 = 3;
/// Section 10.4.5.1.
const SIGNATURE: &[u8; 16] = b"Spec ID Event03\0";
/// Part 2 of the library, table 9 (`TPM_ALG_SHA256`).
const SHA256: u16 = 0x000b;
/// More algorithms than any TPM has.
const MOST_ALGORITHMS: u32 = 16;
/// The longest log that is read; real ones have 50 KB.
pub const LOG_LIMIT: usize = 16 << 20;

/// Something that was measured, or said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The register.
    pub pcr: u32,
    /// What it is (table 27).
    pub kind: u32,
    /// What the SHA-256 bank was extended with.
    pub sha256: Option<Digest>,
    /// What firmware says about it.
    pub data: Vec<u8>,
}

/// Bytes that are no event log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// It is longer than any.
    #[error("it has {0} bytes, more than {LOG_LIMIT}")]
    TooLong(usize),
    /// It ends within an event.
    #[error("event {0} is cut off")]
    CutOff(usize),
    /// It does not begin as one.
    #[error("it does not begin with the header of an event log for TPM 2.0")]
    NoHeader,
    /// It has digests of which nobody said how long they are.
    #[error("event {number} has a digest by the algorithm {algorithm:#06x}, which the header does not name")]
    Algorithm {
        /// Which event; the header is 0.
        number: usize,
        /// The algorithm.
        algorithm: u16,
    },
}

/// Reads a log; the header is not among the events.
///
/// # Errors
/// When it is none.
pub fn parse(bytes: &[u8]) -> Result<Vec<Event>, LogError> {
    if bytes.len() > LOG_LIMIT {
        return Err(LogError::TooLong(bytes.len()));
    }
    let mut reader = Reader { bytes, number: 0 };
    let algorithms = header(&mut reader)?;
    let mut events = Vec::new();
    while !reader.bytes.is_empty() {
        reader.number += 1;
        let (pcr, kind) = (reader.u32()?, reader.u32()?);
        let mut sha256 = None;
        for _ in 0..reader.u32()? {
            let algorithm = reader.u16()?;
            let known = algorithms.iter().find(|(known, _)| *known == algorithm);
            let (_, size) = known.ok_or(LogError::Algorithm { number: reader.number, algorithm })?;
            let digest = reader.take(usize::from(*size))?;
            if algorithm == SHA256 {
                sha256 = digest.try_into().ok().map(Digest::from_bytes);
            }
        }
        let size = reader.u32()? as usize;
        events.push(Event { pcr, kind, sha256, data: reader.take(size)?.to_vec() });
    }
    Ok(events)
}

/// What a register of the SHA-256 bank holds after these events; `None` when one of them says no SHA-256 digest.
pub fn replay(events: &[Event], pcr: PcrIndex) -> Option<Pcr> {
    measured(events, pcr).try_fold(Pcr::START, |held, event| Some(held.extend(event.sha256.as_ref()?)))
}

/// The events that changed a register.
pub fn measured(events: &[Event], pcr: PcrIndex) -> impl Iterator<Item = &Event> {
    let wanted = u32::from(pcr.number());
    events.iter().filter(move |event| event.pcr == wanted && event.kind != NO_ACTION)
}

/// The algorithms and the sizes of their digests.
fn header(reader: &mut Reader<'_>) -> Result<Vec<(u16, u16)>, LogError> {
    let (pcr, kind) = (reader.u32()?, reader.u32()?);
    reader.take(20)?;
    let size = reader.u32()? as usize;
    let mut said = Reader { bytes: reader.take(size)?, number: 0 };
    let is_header = pcr == 0 && kind == NO_ACTION && said.take(SIGNATURE.len())? == SIGNATURE;
    if !is_header {
        return Err(LogError::NoHeader);
    }
    // Class of the platform, version of the specification, errata, size of a native integer.
    said.take(8)?;
    let count = said.u32()?;
    if count > MOST_ALGORITHMS {
        return Err(LogError::NoHeader);
    }
    (0..count).map(|_| Ok((said.u16()?, said.u16()?))).collect()
}

struct Reader<'a> {
    bytes: &'a [u8],
    number: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], LogError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(LogError::CutOff(self.number))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, LogError> {
        let [low, high] = self.array()?;
        Ok(u16::from_le_bytes([low, high]))
    }

    fn u32(&mut self) -> Result<u32, LogError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], LogError> {
        let cut_off = LogError::CutOff(self.number);
        self.take(N)?.try_into().map_err(|_never| cut_off)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A log with SHA-1 and SHA-256, and these events.
    fn log(events: &[(u32, u32, &[u8], &[u8])]) -> Vec<u8> {
        let said =
            [&SIGNATURE[..], &[0; 8], &2_u32.to_le_bytes(), &[4, 0, 20, 0, 11, 0, 32, 0], &[0]].concat();
        let mut log =
            [&[0; 4][..], &3_u32.to_le_bytes(), &[0; 20], &(said.len() as u32).to_le_bytes(), &said].concat();
        for (pcr, kind, measured, data) in events {
            log.extend([pcr.to_le_bytes(), kind.to_le_bytes(), 2_u32.to_le_bytes()].concat());
            log.extend([&[4, 0][..], &[7; 20], &[11, 0], Digest::of(measured).as_bytes()].concat());
            log.extend([&(data.len() as u32).to_le_bytes()[..], data].concat());
        }
        log
    }

    #[test]
    fn a_register_is_what_its_events_make_of_it() {
        let events = parse(&log(&[
            (11, 13, b".linux\0", b"name"),
            (7, 1, b"other", b""),
            (11, 13, b"kernel", b""),
            (11, 3, b"no", b""),
        ]))
        .unwrap();
        assert_eq!(events.len(), 4);
        assert_eq!(events[0].data, b"name");
        let expected = Pcr::START.measure(b".linux\0").measure(b"kernel");
        assert_eq!(replay(&events, PcrIndex::KERNEL_IMAGE), Some(expected));
    }

    #[test]
    fn what_is_no_log_is_told() {
        assert_eq!(parse(b""), Err(LogError::CutOff(0)));
        assert_eq!(parse(&[0; 100]), Err(LogError::NoHeader));
        let whole = log(&[(11, 13, b"a", b"data")]);
        assert_eq!(parse(&whole[..whole.len() - 1]), Err(LogError::CutOff(1)));
        let mut other = whole.clone();
        other[4] = 4;
        assert_eq!(parse(&other), Err(LogError::NoHeader));
        let at = log(&[]).len() + 12;
        other.clone_from(&whole);
        other[at] = 0x0c;
        assert_eq!(parse(&other), Err(LogError::Algorithm { number: 1, algorithm: 0x0c }));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(start in 0..60_usize, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(parse(&bytes));
            drop(parse(&[&log(&[])[..start.min(log(&[]).len())], &bytes[..]].concat()));
            drop(parse(&[log(&[]), bytes].concat()));
        }
    }
}
