//! PE32+ executables (PE Format specification of Microsoft, revision of 2023; UEFI specification 2.10, section 2.1.1),
//! as far as a unified kernel image needs them: headers and sections, read only.
//!
//! A value of [`Pe`] has been checked: every section's bytes are inside of the file. Relocations, imports and symbols are
//! not looked at.

mod certificates;

use std::{fmt, ops::Range};

/// Bytes of a section header.
pub(crate) const SECTION_HEADER: usize = 40;
/// `IMAGE_DLLCHARACTERISTICS_NX_COMPAT`.
pub(crate) const NX_COMPAT: u16 = 0x0100;
/// `IMAGE_SUBSYSTEM_EFI_APPLICATION`.
pub(crate) const EFI_APPLICATION: u16 = 10;
/// The fields of the optional header before the data directories.
const OPTIONAL_HEADER: usize = 112;
/// The entry of the data directories that says where certificates are.
const SECURITY_DIRECTORY: usize = 4;

/// Offsets of fields that [`crate::uki`] changes, from the start of the COFF header or the optional header.
pub(crate) mod field {
    pub(crate) const COFF_SECTIONS: usize = 2;
    /// Where the symbols are and how many, four bytes each.
    pub(crate) const COFF_SYMBOL_TABLE: usize = 8;
    pub(crate) const OPTIONAL_INITIALIZED_DATA: usize = 8;
    pub(crate) const OPTIONAL_IMAGE_SIZE: usize = 56;
    pub(crate) const OPTIONAL_HEADERS_SIZE: usize = 60;
    pub(crate) const OPTIONAL_CHECKSUM: usize = 64;
    pub(crate) const OPTIONAL_DLL_CHARACTERISTICS: usize = 70;
}

/// A checked PE32+ file.
#[derive(Clone)]
pub struct Pe<'a> {
    bytes: &'a [u8],
    coff: usize,
    /// What the headers say.
    pub header: Header,
    sections: Vec<Section>,
}

/// The header fields that say how sections lie in the file and in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// `IMAGE_FILE_MACHINE_*`: 0x8664 for x86-64, 0xaa64 for arm64.
    pub machine: u16,
    /// What kind of program it is: 10 for an EFI application.
    pub subsystem: u16,
    /// `IMAGE_DLLCHARACTERISTICS_*`.
    pub dll_characteristics: u16,
    /// Sections start at a multiple of this in memory.
    pub section_alignment: u32,
    /// Sections start at a multiple of this in the file.
    pub file_alignment: u32,
    /// Bytes of the program in memory.
    pub image_size: u32,
    /// Bytes of all headers in the file.
    pub headers_size: u32,
    /// Bytes of sections with initialised data.
    pub initialized_data_size: u32,
    /// Where the symbol table is; 0 in a finished program.
    pub symbol_table: u32,
    /// Where certificates are in the file; 0 when the program is not signed.
    pub certificates: u32,
}

/// One section.
#[derive(Clone, PartialEq, Eq)]
pub struct Section {
    name: [u8; 8],
    /// Where it starts in memory, from the start of the program.
    pub virtual_address: u32,
    /// Bytes in memory.
    pub virtual_size: u32,
    /// Bytes of the file that belong to it, padded to the file alignment.
    pub raw: Range<usize>,
    /// `IMAGE_SCN_*`.
    pub characteristics: u32,
}

/// Why bytes are no PE32+ file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeError {
    /// The file ends inside a header.
    #[error("the file ends inside the {0}")]
    Truncated(&'static str),
    /// It does not start with `MZ`, or there is no `PE` where that header points.
    #[error("there is no `{0}` signature")]
    Signature(&'static str),
    /// The optional header is another one than PE32+.
    #[error("the optional header has magic number {magic:#06x}, expected 0x020b (PE32+)")]
    Magic {
        /// The number found.
        magic: u16,
    },
    /// An alignment is not a power of two.
    #[error("the {field} alignment is {value}, expected a power of two")]
    Alignment {
        /// `section` or `file`.
        field: &'static str,
        /// The value found.
        value: u32,
    },
    /// A section's bytes are not in the file.
    #[error("section {index} has {length} bytes at {offset}, outside of the file")]
    SectionOutside {
        /// Which section.
        index: usize,
        /// Where it would start.
        offset: u32,
        /// How long it would be.
        length: u32,
    },
}

impl<'a> Pe<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    /// When it is no PE32+ file or a section is not inside of it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PeError> {
        if !bytes.starts_with(b"MZ") {
            return Err(PeError::Signature("MZ"));
        }
        let signature = u32_at(bytes, 0x3c, "DOS header")? as usize;
        if slice(bytes, signature, 4, "PE signature")? != b"PE\0\0" {
            return Err(PeError::Signature("PE"));
        }
        let coff = signature + 4;
        let optional = coff + 20;
        let optional_size = usize::from(u16_at(bytes, coff + 16, "COFF header")?);
        let magic = u16_at(bytes, optional, "optional header")?;
        if magic != 0x020b {
            return Err(PeError::Magic { magic });
        }
        if optional_size < OPTIONAL_HEADER {
            return Err(PeError::Truncated("optional header"));
        }
        let header = Header::parse(bytes, coff, optional_size)?;
        let count = usize::from(u16_at(bytes, coff + field::COFF_SECTIONS, "COFF header")?);
        let table = slice(bytes, optional + optional_size, count * SECTION_HEADER, "section table")?;
        let sections = table.chunks_exact(SECTION_HEADER).enumerate();
        let sections =
            sections.map(|(index, entry)| Section::parse(bytes, index, entry)).collect::<Result<_, _>>()?;
        Ok(Self { bytes, coff, header, sections })
    }

    /// The sections in the order of their headers.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The first section with this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.is(name))
    }

    /// The bytes of a section without the padding of the file.
    pub fn content(&self, section: &Section) -> &'a [u8] {
        &self.bytes[section.content()]
    }

    /// Where the COFF header starts; the optional header is 20 bytes behind.
    pub(crate) fn coff_offset(&self) -> usize {
        self.coff
    }

    /// Where the section headers end.
    pub(crate) fn table_end(&self) -> usize {
        let optional_size = self.bytes[self.coff + 16..self.coff + 18].iter().rev();
        let optional_size = optional_size.fold(0, |size, byte| size << 8 | usize::from(*byte));
        self.coff + 20 + optional_size + self.sections.len() * SECTION_HEADER
    }
}

impl fmt::Debug for Pe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pe")
            .field("header", &self.header)
            .field("sections", &self.sections)
            .finish_non_exhaustive()
    }
}

impl Header {
    fn parse(bytes: &[u8], coff: usize, optional_size: usize) -> Result<Self, PeError> {
        let optional = coff + 20;
        let word = |at: usize| u32_at(bytes, optional + at, "optional header");
        let half = |at: usize| u16_at(bytes, optional + at, "optional header");
        let directories = (word(108)? as usize).min((optional_size - OPTIONAL_HEADER) / 8);
        let certificates = match directories > SECURITY_DIRECTORY {
            true => word(OPTIONAL_HEADER + SECURITY_DIRECTORY * 8)?,
            false => 0,
        };
        let header = Self {
            machine: u16_at(bytes, coff, "COFF header")?,
            subsystem: half(68)?,
            dll_characteristics: half(field::OPTIONAL_DLL_CHARACTERISTICS)?,
            section_alignment: word(32)?,
            file_alignment: word(36)?,
            image_size: word(field::OPTIONAL_IMAGE_SIZE)?,
            headers_size: word(field::OPTIONAL_HEADERS_SIZE)?,
            initialized_data_size: word(field::OPTIONAL_INITIALIZED_DATA)?,
            symbol_table: u32_at(bytes, coff + 8, "COFF header")?,
            certificates,
        };
        for (field, value) in [("section", header.section_alignment), ("file", header.file_alignment)] {
            if !value.is_power_of_two() {
                return Err(PeError::Alignment { field, value });
            }
        }
        Ok(header)
    }
}

impl Section {
    fn parse(file: &[u8], index: usize, entry: &[u8]) -> Result<Self, PeError> {
        let word = |at: usize| u32_at(entry, at, "section table");
        let (length, offset) = (word(16)?, word(20)?);
        let start = offset as usize;
        let raw = if length == 0 { 0..0 } else { start..start.saturating_add(length as usize) };
        if raw.end > file.len() {
            return Err(PeError::SectionOutside { index, offset, length });
        }
        let mut name = [0; 8];
        name.copy_from_slice(&entry[..8]);
        Ok(Self { name, virtual_address: word(12)?, virtual_size: word(8)?, raw, characteristics: word(36)? })
    }

    /// The name, without the NULs behind it.
    pub fn name(&self) -> &[u8] {
        let end = self.name.iter().position(|byte| *byte == 0).unwrap_or(self.name.len());
        &self.name[..end]
    }

    /// Whether this is its name.
    pub fn is(&self, name: &str) -> bool {
        self.name() == name.as_bytes()
    }

    /// Where its bytes are in the file, without the padding behind them.
    pub fn content(&self) -> Range<usize> {
        self.raw.start..self.raw.start + self.raw.len().min(self.virtual_size as usize)
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { virtual_address, virtual_size, raw, characteristics, name: _ } = self;
        let name = self.name().escape_ascii();
        write!(f, "{name} {virtual_address:#x}+{virtual_size:#x} file {raw:#x?} flags {characteristics:#x}")
    }
}

fn slice<'a>(bytes: &'a [u8], offset: usize, length: usize, what: &'static str) -> Result<&'a [u8], PeError> {
    let end = offset.checked_add(length).ok_or(PeError::Truncated(what))?;
    bytes.get(offset..end).ok_or(PeError::Truncated(what))
}

fn u16_at(bytes: &[u8], offset: usize, what: &'static str) -> Result<u16, PeError> {
    let found = slice(bytes, offset, 2, what)?;
    Ok(u16::from_le_bytes([found[0], found[1]]))
}

fn u32_at(bytes: &[u8], offset: usize, what: &'static str) -> Result<u32, PeError> {
    let found = slice(bytes, offset, 4, what)?;
    Ok(u32::from_le_bytes([found[0], found[1], found[2], found[3]]))
}
