//! Extended headers: records `LENGTH KEY=VALUE\n`, the length counting all of the record (POSIX.1-2017, pax, "pax Header
//! Block"). Values are bytes.

use std::collections::BTreeMap;

/// The records that hold for an entry; a later one of the same key wins.
#[derive(Clone, Default)]
pub(super) struct Records {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The offsets and lengths of GNU's sparse format 0.0, which says each in a record of its own.
    pub(super) pieces: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Extended attributes, as every tool writes them since star.
const XATTR: &[u8] = b"SCHILY.xattr.";

impl Records {
    /// Adds the records of a header. An empty value takes an earlier one back.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), ()> {
        while !bytes.is_empty() {
            let blank = bytes.iter().position(|byte| *byte == b' ').ok_or(())?;
            let length = number(&bytes[..blank]).and_then(|length| usize::try_from(length).ok()).ok_or(())?;
            let record = bytes.get(blank + 1..length).ok_or(())?.strip_suffix(b"\n").ok_or(())?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(())?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"GNU.sparse.offset" => self.pieces.push((value.to_vec(), Vec::new())),
                b"GNU.sparse.numbytes" => self.pieces.last_mut().ok_or(())?.1 = value.to_vec(),
                // An attribute may be empty.
                _ if value.is_empty() && !key.starts_with(XATTR) => {
                    self.values.remove(key);
                }
                _ => {
                    self.values.insert(key.to_vec(), value.to_vec());
                }
            }
            bytes = &bytes[length..];
        }
        Ok(())
    }

    pub(super) fn bytes(&self, key: &str) -> Option<&[u8]> {
        self.values.get(key.as_bytes()).map(Vec::as_slice)
    }

    /// The name of a sparse file; `path` is then one that only old tools see.
    pub(super) fn sparse_name(&self) -> Option<&[u8]> {
        self.bytes("GNU.sparse.name")
    }

    /// A number, if it is said.
    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, ()> {
        self.bytes(key).map(|text| number(text).ok_or(())).transpose()
    }

    /// Seconds and nanoseconds of a time such as `-1.5`, if it is said.
    pub(super) fn time(&self, key: &str) -> Result<Option<(i64, u32)>, ()> {
        self.bytes(key).map(|text| time(text).ok_or(())).transpose()
    }

    /// The extended attributes.
    pub(super) fn xattrs(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let named =
            |(key, value): (&Vec<u8>, &Vec<u8>)| Some((key.strip_prefix(XATTR)?.to_vec(), value.clone()));
        self.values.iter().filter_map(named).collect()
    }
}

/// A number without a sign.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// The nanoseconds always count forwards: -1.5 is two seconds before 1970 and half of one.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let dot = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let seconds = i64::try_from(number(&text[..dot])?).ok()?;
    let digits = text.get(dot + 1..).unwrap_or_default();
    let mut nanos = 0;
    for place in 0..9 {
        let digit = digits.get(place).copied().unwrap_or(b'0');
        nanos = nanos * 10 + u32::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    Some(match (negative, nanos) {
        (false, nanos) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, nanos) => (-seconds - 1, 1_000_000_000 - nanos),
    })
}
