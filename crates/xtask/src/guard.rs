//! `basalt-guard` as an EFI program.
//!
//! The toolchain has no EFI target, so it is compiled for the host's, linked without a C library as a static program that may be
//! loaded anywhere, and its pages are put into a PE file: the same bytes at the same addresses, with what must be
//! relocated in PE's words (Microsoft, PE Format, "The .reloc Section"; UEFI 2.10, section 2.1.1).

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use object::{
    Object as _, ObjectSegment as _, RelocationFlags, elf, pe,
    write::{StreamingBuffer, pe::NtHeaders, pe::Writer},
};

use crate::{
    error::{Done, TaskError},
    paths, tool,
};

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// What dm-verity's, the processor's and PE's pages have.
const PAGE: u64 = 4096;
/// Where the program begins: the first page is for PE's headers.
const BASE: u64 = PAGE;
/// PE's least.
const FILE_ALIGNMENT: u32 = 512;
const PE_DIRECTORIES: usize = 16;

/// A run of pages that may be used alike.
#[derive(Debug, PartialEq, Eq)]
struct Pages {
    access: Access,
    addresses: Range<u64>,
}

/// What may be done with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Execute,
    Write,
}

/// A program as it is in memory.
struct Loaded {
    /// From [`BASE`] on, whole pages.
    memory: Vec<u8>,
    pages: Vec<Pages>,
    entry: u64,
    /// Addresses of pointers that depend on where it is loaded.
    pointers: Vec<u64>,
}

/// Builds it; gives the file.
pub(crate) fn build() -> Done<PathBuf> {
    let folder = paths::target().join(TARGET).join("node");
    // What is below the stack pointer belongs to the firmware's interrupts (UEFI 2.10, section 2.3.4).
    let cargo = tool::cargo(["rustc", "--package", "basalt-guard", "--lib", "--crate-type", "staticlib"])?;
    let cargo = cargo.args(["--features", "program", "--profile", "node", "--target", TARGET]);
    tool::watch(cargo.env("RUSTFLAGS", "-Cno-redzone=yes -Crelocation-model=pic"))?;
    let program = folder.join("basalt-guard.elf");
    let link = tool::plan("cc", "gcc")?.args(["-nostdlib", "-static-pie", "-o"]).arg(&program);
    let link =
        link.args(["-Wl,--entry=efi_main", "-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,--strip-all"]);
    let link = link.args(["-Wl,-z,norelro", "-Wl,-z,separate-code", "-Wl,-z,max-page-size=4096"]);
    let link = link.arg(format!("-Wl,-Ttext-segment={BASE:#x}"));
    tool::watch(link.arg("-Wl,--undefined=efi_main").arg(folder.join("libbasalt_guard.a")))?;
    let elf = fs::read(&program).map_err(TaskError::io("read", &program))?;
    let efi = folder.join("basalt-guardx64.efi");
    fs::write(&efi, to_pe(&elf, &program)?).map_err(TaskError::io("write", &efi))?;
    Ok(efi)
}

fn to_pe(elf: &[u8], path: &Path) -> Done<Vec<u8>> {
    let broken = |what: &str| TaskError::Broken(format!("{}: {what}", path.display()));
    let program = load(elf).map_err(|error| broken(&error))?;
    write(&program).map_err(|error| broken(&error))
}

fn load(elf: &[u8]) -> Result<Loaded, String> {
    let file = object::File::parse(elf).map_err(|error| error.to_string())?;
    let mut loaded =
        Loaded { memory: Vec::new(), pages: Vec::new(), entry: file.entry(), pointers: Vec::new() };
    for segment in file.segments() {
        let permissions = segment.permissions();
        let access = match (permissions.writable(), permissions.executable()) {
            (true, true) => return Err("a page may be written and executed".to_owned()),
            (true, false) => Access::Write,
            (false, true) => Access::Execute,
            (false, false) => Access::Read,
        };
        let (start, end) = (segment.address(), segment.address() + segment.size());
        let pages = Pages { access, addresses: start / PAGE * PAGE..end.next_multiple_of(PAGE) };
        let expected = loaded.pages.last().map_or(BASE, |last| last.addresses.end);
        if pages.addresses.start != expected {
            return Err(format!(
                "a segment begins in page {:#x} and not {expected:#x}",
                pages.addresses.start
            ));
        }
        let data = segment.data().map_err(|error| error.to_string())?;
        loaded.memory.resize(offset(start)?, 0);
        loaded.memory.extend_from_slice(data);
        loaded.memory.resize(offset(pages.addresses.end)?, 0);
        loaded.pages.push(pages);
    }
    for (address, relocation) in file.dynamic_relocations().into_iter().flatten() {
        let RelocationFlags::Elf { r_type: elf::R_X86_64_RELATIVE } = relocation.flags() else {
            return Err(format!("{address:#x} is relocated in another way: {:?}", relocation.flags()));
        };
        let at = offset(address)?;
        let place = loaded.memory.get_mut(at..at + 8).ok_or("a pointer is outside of the program")?;
        place.copy_from_slice(&relocation.addend().to_le_bytes());
        loaded.pointers.push(address);
    }
    loaded.pointers.sort_unstable();
    Ok(loaded)
}

fn write(program: &Loaded) -> Result<Vec<u8>, String> {
    let Loaded { memory, pages, entry, pointers } = program;
    let mut bytes = Vec::new();
    let mut buffer = StreamingBuffer::new(&mut bytes);
    let mut writer = Writer::new(true, narrow(PAGE)?, FILE_ALIGNMENT, &mut buffer);
    writer.reserve_dos_header();
    writer.reserve_nt_headers(PE_DIRECTORIES);
    writer.reserve_section_headers(u16::try_from(pages.len() + 1).map_err(|error| error.to_string())?);
    let mut sections = Vec::new();
    for Pages { access, addresses } in pages {
        let size = narrow(addresses.end - addresses.start)?;
        let (name, characteristics) = match access {
            Access::Read => (*b".rdata\0\0", pe::IMAGE_SCN_CNT_INITIALIZED_DATA),
            Access::Execute => (*b".text\0\0\0", pe::IMAGE_SCN_CNT_CODE | pe::IMAGE_SCN_MEM_EXECUTE),
            Access::Write => (*b".data\0\0\0", pe::IMAGE_SCN_CNT_INITIALIZED_DATA | pe::IMAGE_SCN_MEM_WRITE),
        };
        let section = writer.reserve_section(name, characteristics | pe::IMAGE_SCN_MEM_READ, size, size);
        if u64::from(section.virtual_address) != addresses.start {
            return Err(format!(
                "PE has {:#x} where ELF has {:#x}",
                section.virtual_address, addresses.start
            ));
        }
        sections.push((section.file_offset, offset(addresses.start)?..offset(addresses.end)?));
    }
    for pointer in pointers {
        writer.add_reloc(narrow(*pointer)?, pe::IMAGE_REL_BASED_DIR64);
    }
    writer.reserve_reloc_section();
    writer.write_empty_dos_header().map_err(|error| error.to_string())?;
    writer.write_nt_headers(headers(narrow(*entry)?));
    writer.write_section_headers();
    for (place, range) in sections {
        writer.write_section(place, memory.get(range).unwrap_or_default());
    }
    writer.write_reloc_section();
    Ok(bytes)
}

fn headers(entry: u32) -> NtHeaders {
    NtHeaders {
        machine: pe::IMAGE_FILE_MACHINE_AMD64,
        // The same program gives the same bytes.
        time_date_stamp: 0,
        characteristics: pe::IMAGE_FILE_EXECUTABLE_IMAGE | pe::IMAGE_FILE_LARGE_ADDRESS_AWARE,
        major_linker_version: 0,
        minor_linker_version: 0,
        address_of_entry_point: entry,
        image_base: 0,
        major_operating_system_version: 0,
        minor_operating_system_version: 0,
        major_image_version: 0,
        minor_image_version: 0,
        major_subsystem_version: 0,
        minor_subsystem_version: 0,
        subsystem: pe::IMAGE_SUBSYSTEM_EFI_APPLICATION,
        dll_characteristics: pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE
            | pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT,
        size_of_stack_reserve: 0,
        size_of_stack_commit: 0,
        size_of_heap_reserve: 0,
        size_of_heap_commit: 0,
    }
}

/// Where an address is in the program's memory.
fn offset(address: u64) -> Result<usize, String> {
    let offset = address.checked_sub(BASE).ok_or_else(|| format!("{address:#x} is among the headers"))?;
    usize::try_from(offset).map_err(|error| error.to_string())
}

fn narrow(number: u64) -> Result<u32, String> {
    u32::try_from(number).map_err(|error| error.to_string())
}
