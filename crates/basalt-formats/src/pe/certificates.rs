//! The certificates of a PE program and the digest that they sign (Windows Authenticode Portable Executable Signature
//! Format, Microsoft 2008; UEFI specification 2.10, section 32.2.4).
//!
//! ```text
//! headers | sections | anything else | WIN_CERTIFICATE… (to the end of the file, each at a multiple of 8)
//! ```
//! The digest leaves out the checksum, the directory entry that says where certificates are, and the certificates.

use std::ops::Range;

use basalt_types::Digest;
use sha2::Digest as _;

use super::{OPTIONAL_HEADER, Pe, PeError, SECURITY_DIRECTORY, field, u16_at, u32_at};

/// `wRevision` of `WIN_CERTIFICATE`: version 2.
const REVISION: u16 = 0x0200;
/// `WIN_CERT_TYPE_PKCS_SIGNED_DATA`.
const PKCS_SIGNED_DATA: u16 = 0x0002;
/// Bytes of a `WIN_CERTIFICATE` before its content: length, revision, type.
const ENTRY_HEADER: usize = 8;
/// Certificates start at multiples of this.
const ALIGNMENT: usize = 8;

impl Pe<'_> {
    /// The SHA-256 digest that a signature covers, computed as EDK II's image verification does: headers, sections in the
    /// order of the file, and what lies behind them.
    ///
    /// # Errors
    /// When the headers reach over the end of the file, or there is no room to say where certificates are.
    pub fn authenticode_digest(&self) -> Result<Digest, PeError> {
        let (checksum, directory) = (self.checksum(), self.certificate_directory()?);
        let headers = self.header.headers_size as usize;
        let end = self.certificate_table()?.map_or(self.bytes.len(), |table| table.start);
        if headers < directory.end || headers > end {
            return Err(PeError::Truncated("headers"));
        }
        let mut hasher = sha2::Sha256::new();
        for part in [0..checksum.start, checksum.end..directory.start, directory.end..headers] {
            hasher.update(&self.bytes[part]);
        }
        let mut sections: Vec<&Range<usize>> = self.sections.iter().map(|section| &section.raw).collect();
        sections.retain(|raw| !raw.is_empty());
        sections.sort_by_key(|raw| raw.start);
        let mut hashed = headers;
        for raw in sections {
            hasher.update(&self.bytes[raw.clone()]);
            hashed += raw.len();
        }
        hasher.update(self.bytes.get(hashed..end).unwrap_or_default());
        Ok(Digest::from_bytes(hasher.finalize().into()))
    }

    /// The PKCS #7 messages that the program carries.
    ///
    /// # Errors
    /// When the table is not inside of the file or an entry not inside of the table.
    pub fn signatures(&self) -> Result<Vec<&[u8]>, PeError> {
        let mut found = Vec::new();
        let Some(table) = self.certificate_table()? else { return Ok(found) };
        let mut at = table.start;
        while at + ENTRY_HEADER <= table.end {
            let length = u32_at(self.bytes, at, "certificate")? as usize;
            let kind = u16_at(self.bytes, at + 6, "certificate")?;
            let content = at + ENTRY_HEADER..at + length;
            if length < ENTRY_HEADER || content.end > table.end {
                return Err(PeError::Truncated("certificate"));
            }
            if kind == PKCS_SIGNED_DATA {
                found.push(&self.bytes[content]);
            }
            at += length.next_multiple_of(ALIGNMENT);
        }
        Ok(found)
    }

    /// The program with one certificate more, and with the bytes before it that alignment needs: those belong to what is
    /// signed, so sign the digest of [`Self::padded`].
    ///
    /// # Errors
    /// When there is no room to say where certificates are, or the file would pass 4 GiB.
    pub fn with_signature(&self, pkcs7: &[u8]) -> Result<Vec<u8>, PeError> {
        let directory = self.certificate_directory()?;
        let mut bytes = self.padded();
        let start = self.certificate_table()?.map_or(bytes.len(), |table| table.start);
        let length = ENTRY_HEADER + pkcs7.len();
        let too_large = |_error| PeError::Truncated("4 GiB that a certificate may be in");
        bytes.extend(u32::try_from(length).map_err(too_large)?.to_le_bytes());
        bytes.extend(REVISION.to_le_bytes());
        bytes.extend(PKCS_SIGNED_DATA.to_le_bytes());
        bytes.extend(pkcs7);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        let size = bytes.len() - start;
        let [start, size] = [start, size].map(|number| u32::try_from(number).map_err(too_large));
        bytes[directory.start..directory.start + 4].copy_from_slice(&start?.to_le_bytes());
        bytes[directory.start + 4..directory.end].copy_from_slice(&size?.to_le_bytes());
        Ok(bytes)
    }

    /// The file, made as long as a certificate behind it needs.
    pub fn padded(&self) -> Vec<u8> {
        let mut bytes = self.bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes
    }

    fn checksum(&self) -> Range<usize> {
        let start = self.coff + 20 + field::OPTIONAL_CHECKSUM;
        start..start + 4
    }

    fn certificate_directory(&self) -> Result<Range<usize>, PeError> {
        let optional = self.coff + 20;
        let size = usize::from(u16_at(self.bytes, self.coff + 16, "COFF header")?);
        let count = u32_at(self.bytes, optional + 108, "optional header")? as usize;
        if count.min((size - OPTIONAL_HEADER) / 8) <= SECURITY_DIRECTORY {
            return Err(PeError::Truncated("data directories"));
        }
        let start = optional + OPTIONAL_HEADER + SECURITY_DIRECTORY * 8;
        Ok(start..start + 8)
    }

    /// Where the certificates are; the file ends with them.
    fn certificate_table(&self) -> Result<Option<Range<usize>>, PeError> {
        let directory = self.certificate_directory()?;
        let start = u32_at(self.bytes, directory.start, "data directories")? as usize;
        let size = u32_at(self.bytes, directory.start + 4, "data directories")? as usize;
        match start.checked_add(size) {
            _ if start == 0 && size == 0 => Ok(None),
            Some(end) if end == self.bytes.len() && start.is_multiple_of(ALIGNMENT) => Ok(Some(start..end)),
            Some(_) | None => Err(PeError::Truncated("certificate table")),
        }
    }
}
