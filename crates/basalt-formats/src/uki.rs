//! Unified kernel images (UAPI.5): a boot stub with kernel, initramfs, command line and os-release as PE sections.
//!
//! ```text
//! headers | the stub's sections | .osrel .cmdline .uname .dtb .splash .ucode .pcrsig .pcrpkey .initrd | .linux
//! ```
//!
//! `.linux` comes last in file and memory, so that nothing lies behind a kernel that a firmware starts in place. The
//! checksum is left zero, as signing tools expect; the headers get what they need and nothing else changes.
//!
//! [`measure`] says what the stub makes of it in the TPM. Not here: signing, several profiles (the reader gives the base profile), decompressing a kernel.

mod measure;
mod sbat;

pub use measure::{Difference, Measured, Phase, Predicted, measure};

use std::ops::Range;

use crate::pe::{EFI_APPLICATION, NX_COMPAT, Pe, PeError, SECTION_HEADER, Section, field};

/// The most sections an image may have: some firmware refuses more.
const MAX_SECTIONS: usize = 25;
/// Sections that we add begin at pages.
const PAGE: usize = 4096;
/// `IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ`.
const DATA: u32 = 0x4000_0040;
/// `IMAGE_SCN_CNT_CODE | IMAGE_SCN_MEM_READ`: what other assemblers give `.linux`, for kernels that run in place.
const CODE: u32 = 0x4000_0020;

/// What goes into an image beside the stub. Empty or absent parts make no section, except that there must be a kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sections<'a> {
    /// The content of `/usr/lib/os-release`.
    pub osrel: &'a [u8],
    /// The kernel's command line, one line.
    pub cmdline: &'a str,
    /// The kernel's release, as `uname -r` prints it.
    pub uname: &'a str,
    /// The initramfs.
    pub initrd: &'a [u8],
    /// The kernel: a PE32+ program for the stub's machine.
    pub linux: &'a [u8],
    /// Lines for `.sbat` beside those of stub and kernel: who made this image, and which generation it is.
    pub sbat: Option<&'a str>,
    /// A boot picture, as BMP.
    pub splash: Option<&'a [u8]>,
    /// A device tree.
    pub dtb: Option<&'a [u8]>,
    /// Microcode, as an uncompressed cpio that is loaded before the initramfs.
    pub ucode: Option<&'a [u8]>,
    /// The public key that signs PCR policies, as PEM.
    pub pcrpkey: Option<&'a [u8]>,
    /// Its signatures of what the TPM will hold, as JSON.
    pub pcrsig: Option<&'a [u8]>,
}

/// What an image holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uki {
    /// The content of os-release.
    pub osrel: String,
    /// The kernel's command line; empty when there is none.
    pub cmdline: String,
    /// The kernel's release; empty when it is not given.
    pub uname: String,
    /// The lines of `.sbat`; empty when there are none.
    pub sbat: String,
    /// Where the kernel is in the file.
    pub linux: Range<usize>,
    /// Where the initramfs is in the file; empty when there is none.
    pub initrd: Range<usize>,
    /// All sections by name with their place in the file, in order.
    pub sections: Vec<(String, Range<usize>)>,
}

/// Why an image can't be assembled or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UkiError {
    /// The stub is no PE32+ file.
    #[error("the stub is not usable")]
    Stub(#[source] PeError),
    /// The stub has a property that assembling can't keep.
    #[error("the stub is not usable: {0}")]
    StubShape(&'static str),
    /// The kernel is no PE32+ file; on arm64 it may be a compressed one.
    #[error("the kernel is no EFI program")]
    Kernel(#[source] PeError),
    /// Stub and kernel are for different machines.
    #[error("the stub is for machine {stub:#06x}, the kernel for {kernel:#06x}")]
    Machine {
        /// The stub's machine.
        stub: u16,
        /// The kernel's machine.
        kernel: u16,
    },
    /// A text holds a line break, NUL or another control character.
    #[error("`{section}` holds a control character at byte {at}")]
    Text {
        /// Which section.
        section: &'static str,
        /// Where.
        at: usize,
    },
    /// There would be too many sections.
    #[error("the image would have {count} sections, at most {MAX_SECTIONS} boot everywhere")]
    TooManySections {
        /// How many.
        count: usize,
    },
    /// The headers have no room for more sections.
    #[error("the stub's headers have room for {room} more sections, {needed} are needed")]
    HeaderRoom {
        /// How many fit.
        room: usize,
        /// How many are needed.
        needed: usize,
    },
    /// The merged `.sbat` does not fit the stub's section.
    #[error("`.sbat` would take {needed} bytes, the stub has room for {room}")]
    SbatRoom {
        /// Bytes needed.
        needed: usize,
        /// Bytes that the stub's section has.
        room: usize,
    },
    /// A `.sbat` does not start with the line that says it is one.
    #[error("the `.sbat` lines of the {0} are malformed")]
    Sbat(&'static str),
    /// The image would pass 4 GiB.
    #[error("the image would be larger than 4 GiB")]
    TooLarge,
    /// It is no PE32+ file.
    #[error("it is no EFI program")]
    Image(#[source] PeError),
    /// It is an EFI program but no unified kernel image.
    #[error("it is no unified kernel image: it has no section `{0}`")]
    Missing(&'static str),
    /// A section that must be text is not UTF-8.
    #[error("section `{0}` is not UTF-8")]
    NotText(&'static str),
}

/// Puts an image together.
///
/// # Errors
/// When stub or kernel are not usable or anything does not fit: see [`UkiError`].
pub fn assemble(stub: &[u8], sections: &Sections<'_>) -> Result<Vec<u8>, UkiError> {
    let pe = Pe::parse(stub).map_err(UkiError::Stub)?;
    check_stub(stub, &pe)?;
    let kernel = Pe::parse(sections.linux).map_err(UkiError::Kernel)?;
    if kernel.header.machine != pe.header.machine {
        return Err(UkiError::Machine { stub: pe.header.machine, kernel: kernel.header.machine });
    }
    check_text(".cmdline", sections.cmdline)?;
    check_text(".uname", sections.uname)?;
    let sbat = sbat::merge(&pe, &kernel, sections.sbat)?;
    let in_place = sbat.as_ref().and_then(|_| pe.section(".sbat")).cloned();
    let appended_sbat = sbat.as_deref().filter(|_| in_place.is_none());
    let new = in_order(sections, appended_sbat);
    let count = pe.sections().len() + new.len();
    if count > MAX_SECTIONS {
        return Err(UkiError::TooManySections { count });
    }
    let headers_size = header_room(&pe, new.len())?;
    let mut image = Assembly::new(stub, &pe)?;
    if let (Some(section), Some(text)) = (in_place, &sbat) {
        image.replace(&pe, &section, text.as_bytes())?;
    }
    for (name, content) in new {
        image.append(name, content)?;
    }
    let nx = kernel.header.dll_characteristics & NX_COMPAT != 0;
    image.finish(&pe, headers_size, nx)
}

/// The image with other PCR signatures, or none, and otherwise the same: its stub and its parts are put together again, so that
/// the kernel stays last.
///
/// # Errors
/// When it is no image of [`assemble`], or is signed already.
pub fn with_policy(image: &[u8], pcrpkey: Option<&[u8]>, pcrsig: Option<&[u8]>) -> Result<Vec<u8>, UkiError> {
    let pe = Pe::parse(image).map_err(UkiError::Image)?;
    let read = read(image)?;
    let part = |name: &str| pe.section(name).map(|section| pe.content(section));
    let sections = Sections {
        osrel: part(".osrel").unwrap_or_default(),
        cmdline: &read.cmdline,
        uname: &read.uname,
        initrd: part(".initrd").unwrap_or_default(),
        linux: part(".linux").unwrap_or_default(),
        sbat: None,
        splash: part(".splash"),
        dtb: part(".dtb"),
        ucode: part(".ucode"),
        pcrpkey,
        pcrsig,
    };
    assemble(&stub_of(image, &pe)?, &sections)
}

/// The stub of an image, with `.sbat` as it was merged.
fn stub_of(image: &[u8], pe: &Pe<'_>) -> Result<Vec<u8>, UkiError> {
    // `.sbat` is the stub's own, or counts as such once it was merged.
    let ours = parts(&Sections::default(), None).map(|(name, _)| name);
    let is_ours = |section: &&Section| ours[1..].iter().any(|name| section.is(name));
    let kept = pe.sections().iter().take_while(|section| !is_ours(section)).count();
    let (stub, added) = pe.sections().split_at(kept);
    if pe.header.certificates != 0 {
        return Err(UkiError::StubShape("it is signed; sign the whole image instead"));
    }
    if stub.is_empty() || !added.iter().all(|section| is_ours(&section)) {
        return Err(UkiError::StubShape("its sections are not in the order of this assembler"));
    }
    let end = stub.iter().map(|section| section.raw.end).max().unwrap_or_default();
    let mut bytes = image[..end].to_vec();
    let sizes: usize = added.iter().map(|section| section.content().len()).sum();
    let initialized = (pe.header.initialized_data_size as usize).saturating_sub(sizes);
    let coff = pe.coff_offset();
    put(&mut bytes, coff + field::COFF_SECTIONS, &(kept as u16).to_le_bytes());
    put(&mut bytes, coff + 20 + field::OPTIONAL_INITIALIZED_DATA, &fits(initialized)?.to_le_bytes());
    let table = pe.table_end() - added.len() * SECTION_HEADER;
    bytes[table..pe.table_end()].fill(0);
    Ok(bytes)
}

/// Reads an image; of one with several profiles the base profile.
///
/// # Errors
/// When it is no PE32+ file, has no kernel or os-release, or a text is not UTF-8.
pub fn read(bytes: &[u8]) -> Result<Uki, UkiError> {
    let pe = Pe::parse(bytes).map_err(UkiError::Image)?;
    let base = || pe.sections().iter().take_while(|section| !section.is(".profile"));
    let find = |name: &str| base().find(|section| section.is(name));
    let text = |name: &'static str| {
        let content = find(name).map(|section| pe.content(section)).unwrap_or_default();
        let end = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let text = str::from_utf8(&content[..end]).map_err(|_position| UkiError::NotText(name))?;
        Ok(text.to_owned())
    };
    let linux = find(".linux").ok_or(UkiError::Missing(".linux"))?.content();
    find(".osrel").ok_or(UkiError::Missing(".osrel"))?;
    Ok(Uki {
        osrel: text(".osrel")?,
        cmdline: text(".cmdline")?,
        uname: text(".uname")?,
        sbat: text(".sbat")?,
        linux,
        initrd: find(".initrd").map_or(0..0, Section::content),
        sections: pe
            .sections()
            .iter()
            .map(|section| (section.name().escape_ascii().to_string(), section.content()))
            .collect(),
    })
}

/// The sections to add, in the order of the file.
fn in_order<'a>(sections: &Sections<'a>, sbat: Option<&'a str>) -> Vec<(&'static str, &'a [u8])> {
    parts(sections, sbat).into_iter().filter(|(_, content)| !content.is_empty()).collect()
}

/// Every section that may be added, in the order of the file; `.sbat` first, which the stub may have already.
fn parts<'a>(sections: &Sections<'a>, sbat: Option<&'a str>) -> [(&'static str, &'a [u8]); 11] {
    let Sections { osrel, cmdline, uname, initrd, linux, sbat: _, splash, dtb, ucode, pcrpkey, pcrsig } =
        *sections;
    [
        (".sbat", sbat.unwrap_or_default().as_bytes()),
        (".osrel", osrel),
        (".cmdline", cmdline.as_bytes()),
        (".uname", uname.as_bytes()),
        (".dtb", dtb.unwrap_or_default()),
        (".splash", splash.unwrap_or_default()),
        (".ucode", ucode.unwrap_or_default()),
        (".pcrsig", pcrsig.unwrap_or_default()),
        (".pcrpkey", pcrpkey.unwrap_or_default()),
        (".initrd", initrd),
        (".linux", linux),
    ]
}

fn check_text(section: &'static str, text: &str) -> Result<(), UkiError> {
    match text.bytes().position(|byte| byte.is_ascii_control()) {
        Some(at) => Err(UkiError::Text { section, at }),
        None => Ok(()),
    }
}

/// Refuses what appending sections would break.
fn check_stub(bytes: &[u8], pe: &Pe<'_>) -> Result<(), UkiError> {
    let header = &pe.header;
    let aligned = |section: &Section| {
        let unit = header.file_alignment as usize;
        section.raw.start.is_multiple_of(unit) && section.raw.len().is_multiple_of(unit)
    };
    let mut last = 0;
    let mut ascending = true;
    for section in pe.sections() {
        ascending &= section.virtual_address >= last;
        last = section.virtual_address.saturating_add(section.virtual_size);
    }
    let refusals = [
        (header.subsystem != EFI_APPLICATION, "it is no EFI application"),
        (
            header.section_alignment < header.file_alignment,
            "its sections are aligned less in memory than in the file",
        ),
        (
            header.symbol_table != 0 && (header.symbol_table as usize) < raw_end(pe),
            "its symbol table is not at its end",
        ),
        (header.certificates != 0, "it is signed; sign the whole image instead"),
        (!pe.sections().iter().all(aligned), "its sections are not aligned in the file"),
        (!ascending || last == u32::MAX, "its sections overlap or are not in order"),
        (pe.section(".linux").is_some(), "it holds a kernel already"),
        (pe.sections().is_empty() || pe.table_end() > bytes.len(), "it has no sections"),
    ];
    match refusals.into_iter().find(|(refused, _)| *refused) {
        Some((_, why)) => Err(UkiError::StubShape(why)),
        None => Ok(()),
    }
}

/// The end of the last section's bytes in the file.
fn raw_end(pe: &Pe<'_>) -> usize {
    pe.sections().iter().map(|section| section.raw.end).max().unwrap_or_default()
}

/// The new size of all headers. Their last bytes are padding up to the first section, which new headers may take.
fn header_room(pe: &Pe<'_>, needed: usize) -> Result<u32, UkiError> {
    let raw_starts =
        pe.sections().iter().filter(|section| !section.raw.is_empty()).map(|section| section.raw.start);
    let memory_start = pe.sections().iter().map(|section| section.virtual_address as usize).min();
    let first = raw_starts.chain(memory_start).min().unwrap_or_default();
    let padded =
        (pe.header.headers_size as usize).next_multiple_of(pe.header.file_alignment as usize).min(first);
    let room = padded.saturating_sub(pe.table_end()) / SECTION_HEADER;
    if needed > room { Err(UkiError::HeaderRoom { room, needed }) } else { fits(padded) }
}

/// The file while it grows.
struct Assembly {
    bytes: Vec<u8>,
    /// The headers of new sections.
    table: Vec<u8>,
    /// The end of the last section in memory.
    memory_end: usize,
    /// Bytes of new sections.
    added: usize,
    section_alignment: usize,
    file_alignment: usize,
}

impl Assembly {
    fn new(stub: &[u8], pe: &Pe<'_>) -> Result<Self, UkiError> {
        let ends =
            pe.sections().iter().map(|section| (section.virtual_address + section.virtual_size) as usize);
        let mut bytes = stub.to_vec();
        if pe.header.symbol_table != 0 {
            // The stubs of systemd before 254 have symbols for a debugger behind their sections. No firmware reads them.
            bytes.truncate(raw_end(pe));
            put(&mut bytes, pe.coff_offset() + field::COFF_SYMBOL_TABLE, &[0; 8]);
        }
        Ok(Self {
            bytes,
            table: Vec::new(),
            memory_end: ends.max().ok_or(UkiError::StubShape("it has no sections"))?,
            added: 0,
            // systemd's stubs before 254 are aligned to sectors; what is added to them is aligned to pages all the same.
            section_alignment: (pe.header.section_alignment as usize).max(PAGE),
            file_alignment: pe.header.file_alignment as usize,
        })
    }

    /// Puts other content into a section of the stub.
    fn replace(&mut self, pe: &Pe<'_>, section: &Section, content: &[u8]) -> Result<(), UkiError> {
        let next = pe.sections().iter().map(|other| other.virtual_address);
        let next = next.filter(|address| *address > section.virtual_address).min();
        let before_next = next.map_or(usize::MAX, |next| (next - section.virtual_address) as usize);
        let room = section.raw.len().min(before_next);
        if content.len() > room {
            return Err(UkiError::SbatRoom { needed: content.len(), room });
        }
        self.bytes[section.raw.clone()].fill(0);
        put(&mut self.bytes, section.raw.start, content);
        let index = pe.sections().iter().take_while(|other| *other != section).count();
        let entry = pe.table_end() - (pe.sections().len() - index) * SECTION_HEADER;
        put(&mut self.bytes, entry + 8, &fits(content.len())?.to_le_bytes());
        Ok(())
    }

    fn append(&mut self, name: &str, content: &[u8]) -> Result<(), UkiError> {
        let start = self.bytes.len().next_multiple_of(self.file_alignment);
        let padded = content.len().next_multiple_of(self.file_alignment);
        let address = self.memory_end.next_multiple_of(self.section_alignment);
        let mut entry = [0; SECTION_HEADER];
        put(&mut entry, 0, name.as_bytes());
        put(&mut entry, 8, &fits(content.len())?.to_le_bytes());
        put(&mut entry, 12, &fits(address)?.to_le_bytes());
        put(&mut entry, 16, &fits(padded)?.to_le_bytes());
        put(&mut entry, 20, &fits(start)?.to_le_bytes());
        let characteristics = if name == ".linux" { CODE } else { DATA };
        put(&mut entry, 36, &characteristics.to_le_bytes());
        self.table.extend_from_slice(&entry);
        self.bytes.resize(start, 0);
        self.bytes.extend_from_slice(content);
        self.bytes.resize(start + padded, 0);
        self.memory_end = address + content.len();
        self.added += content.len();
        Ok(())
    }

    /// Writes the headers. `nx` says whether the kernel bears pages that are never both writable and executable: image
    /// and kernel must agree, or firmware that enforces it refuses one of them.
    fn finish(mut self, pe: &Pe<'_>, headers_size: u32, nx: bool) -> Result<Vec<u8>, UkiError> {
        let count = pe.sections().len() + self.table.len() / SECTION_HEADER;
        let coff = pe.coff_offset();
        let optional = coff + 20;
        let image_size = fits(self.memory_end.next_multiple_of(self.section_alignment))?;
        let initialized = fits(pe.header.initialized_data_size as usize + self.added)?;
        let characteristics = pe.header.dll_characteristics & if nx { u16::MAX } else { !NX_COMPAT };
        fits(self.bytes.len())?;
        let bytes = &mut self.bytes;
        put(bytes, coff + field::COFF_SECTIONS, &(count as u16).to_le_bytes());
        put(bytes, optional + field::OPTIONAL_INITIALIZED_DATA, &initialized.to_le_bytes());
        put(bytes, optional + field::OPTIONAL_IMAGE_SIZE, &image_size.to_le_bytes());
        put(bytes, optional + field::OPTIONAL_HEADERS_SIZE, &headers_size.to_le_bytes());
        put(bytes, optional + field::OPTIONAL_CHECKSUM, &[0; 4]);
        put(bytes, optional + field::OPTIONAL_DLL_CHARACTERISTICS, &characteristics.to_le_bytes());
        put(bytes, pe.table_end(), &self.table);
        Ok(self.bytes)
    }
}

fn fits(value: usize) -> Result<u32, UkiError> {
    u32::try_from(value).map_err(|_too_large| UkiError::TooLarge)
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}
