//! Images against `ukify`, `bootctl`, `sbverify` and `objdump`, and what is refused. The stub, and a program that stands
//! in for the kernel, come from a Debian 13 tree.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the oracles are tools of the host and of a Debian 13 tree"
)]

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use basalt_formats::{
    pe::{Pe, PeError},
    uki::{self, Phase, Sections, UkiError},
};

const OSREL: &[u8] = b"ID=debian\nVERSION_ID=\"13\"\nPRETTY_NAME=\"Basalt test\"\n";
const CMDLINE: &str = "roothash=0123 gpt console=ttyS0 quiet";
const UNAME: &str = "6.12.0-test";

fn trixie() -> PathBuf {
    let tree = std::env::var_os("BASALT_TRIXIE_TREE");
    tree.map(PathBuf::from).expect("BASALT_TRIXIE_TREE is not set: run it through cargo xtask test")
}

fn program(name: &str) -> Vec<u8> {
    let path = trixie().join("usr/lib/systemd/boot/efi").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn stub() -> Vec<u8> {
    program("linuxx64.efi.stub")
}

/// systemd-boot is an EFI program for the same machine, which is all that an assembler asks of a kernel.
fn kernel() -> Vec<u8> {
    program("systemd-bootx64.efi")
}

fn initrd() -> Vec<u8> {
    (0..123_457_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn sections<'a>(linux: &'a [u8], initrd: &'a [u8]) -> Sections<'a> {
    Sections { osrel: OSREL, cmdline: CMDLINE, uname: UNAME, initrd, linux, ..Sections::default() }
}

fn run(program: &str, arguments: &[&OsStr]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} can't be run: {error}"));
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{text}", output.status);
    text
}

/// A directory inside of the tree, with its path as the tree's own programs see it.
fn inside(tree: &Path) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir_in(tree.join("tmp")).unwrap();
    let seen = Path::new("/tmp").join(directory.path().file_name().unwrap());
    (directory, seen)
}

#[test]
fn an_image_reads_back() {
    let (stub, linux, initrd) = (stub(), kernel(), initrd());
    let image = uki::assemble(&stub, &sections(&linux, &initrd)).unwrap();
    let read = uki::read(&image).unwrap();
    assert_eq!((read.osrel.as_bytes(), read.cmdline.as_str(), read.uname.as_str()), (OSREL, CMDLINE, UNAME));
    assert_eq!(image[read.linux.clone()], linux);
    assert_eq!(image[read.initrd], initrd);
    let names: Vec<&str> = read.sections.iter().map(|(name, _)| name.as_str()).collect();
    let own = [".text", ".rodata", ".data", ".sbat", ".sdmagic", ".reloc"];
    assert_eq!(names, [&own[..], &[".osrel", ".cmdline", ".uname", ".initrd", ".linux"]].concat());
    assert_eq!(image, uki::assemble(&stub, &sections(&linux, &initrd)).unwrap(), "deterministic");
}

#[test]
fn policies_are_put_in_and_taken_out_and_nothing_else_changes() {
    let (stub, linux, initrd) = (stub(), kernel(), initrd());
    let plain = uki::assemble(&stub, &sections(&linux, &initrd)).unwrap();
    let policy = Sections {
        pcrpkey: Some(b"-----BEGIN PUBLIC KEY-----"),
        pcrsig: Some(b"{\"sha256\":[]}"),
        ..sections(&linux, &initrd)
    };
    let with = uki::assemble(&stub, &policy).unwrap();
    assert_eq!(uki::with_policy(&plain, policy.pcrpkey, policy.pcrsig).unwrap(), with);
    assert_eq!(uki::with_policy(&with, None, None).unwrap(), plain);
    assert_eq!(Pe::parse(&with).unwrap().sections().last().unwrap().name(), b".linux");
    let refusal = uki::with_policy(&linux, None, None).unwrap_err();
    assert_eq!(refusal, UkiError::Missing(".linux"));
}

/// What systemd-measure(1) of the tree says of the sections of an image, for our phases.
fn systemd_measure(image: &[u8], verb: &str, more: &[&str]) -> serde_json::Value {
    let tree = trixie();
    let (directory, seen) = inside(&tree);
    let pe = Pe::parse(image).unwrap();
    let mut arguments =
        vec![tree.display().to_string(), "/usr/lib/systemd/systemd-measure".into(), verb.into()];
    for name in ["linux", "osrel", "cmdline", "initrd", "uname", "sbat", "pcrpkey"] {
        if let Some(section) = pe.section(&format!(".{name}")) {
            fs::write(directory.path().join(name), pe.content(section)).unwrap();
            arguments.push(format!("--{name}={}", seen.join(name).display()));
        }
    }
    arguments.extend(["--bank=sha256".into(), "--json=short".into()]);
    arguments.extend(Phase::ALL.map(|phase| format!("--phase={}", phase.path())));
    arguments.extend(more.iter().map(|&word| word.to_owned()));
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    serde_json::from_str(&run("chroot", &arguments)).unwrap()
}

#[test]
fn systemd_measure_predicts_the_same_registers() {
    let (stub, linux, initrd) = (stub(), kernel(), initrd());
    let plain = uki::assemble(&stub, &sections(&linux, &initrd)).unwrap();
    let key = b"-----BEGIN PUBLIC KEY-----\n";
    for image in [&plain, &uki::with_policy(&plain, Some(key), Some(b"{}")).unwrap()] {
        let theirs = systemd_measure(image, "calculate", &[]);
        let measured = uki::measure(image).unwrap();
        let predicted = measured.predict();
        assert_eq!(predicted.len(), theirs["sha256"].as_array().unwrap().len());
        for (ours, theirs) in predicted.iter().zip(theirs["sha256"].as_array().unwrap()) {
            assert_eq!(
                (ours.phase.path(), ours.pcr.to_string()),
                (theirs["phase"].as_str().unwrap().to_owned(), theirs["hash"].as_str().unwrap().to_owned())
            );
        }
        assert!(!measured.sections.iter().any(|(name, _)| *name == ".pcrsig"));
    }
}

#[test]
fn sections_are_aligned_in_file_and_memory_and_nothing_lies_behind_the_kernel() {
    let image = uki::assemble(&stub(), &sections(&kernel(), &initrd())).unwrap();
    let pe = Pe::parse(&image).unwrap();
    let mut memory_end = 0;
    for section in pe.sections() {
        assert_eq!(section.virtual_address % pe.header.section_alignment, 0, "{section:?}");
        assert_eq!(section.raw.start % pe.header.file_alignment as usize, 0, "{section:?}");
        assert!(section.virtual_address >= memory_end, "{section:?}");
        memory_end = section.virtual_address + section.virtual_size;
    }
    let last = pe.sections().last().unwrap();
    assert_eq!(last.name(), b".linux");
    assert_eq!(last.raw.end, image.len());
    assert_eq!(pe.header.image_size, memory_end.next_multiple_of(pe.header.section_alignment));
    let new = pe.sections().iter().skip(6);
    assert!(new.clone().all(|section| matches!(section.characteristics, 0x4000_0040 | 0x4000_0020)));
}

#[test]
fn ukify_inspects_it_and_bootctl_calls_it_a_uki() {
    let tree = trixie();
    let (directory, seen) = inside(&tree);
    let image = uki::assemble(&stub(), &sections(&kernel(), &initrd())).unwrap();
    fs::write(directory.path().join("uki.efi"), &image).unwrap();
    let seen = seen.join("uki.efi");
    let chroot = |arguments: &[&str]| {
        let start = [tree.as_os_str()].into_iter().chain(arguments.iter().map(OsStr::new));
        run("chroot", &start.chain([seen.as_os_str()]).collect::<Vec<_>>())
    };
    let inspected = chroot(&["/usr/bin/ukify", "inspect"]);
    for expected in [CMDLINE, UNAME, "Basalt test", ".linux:", ".initrd:"] {
        assert!(inspected.contains(expected), "{expected}:\n{inspected}");
    }
    assert_eq!(chroot(&["/usr/bin/bootctl", "kernel-identify"]).trim(), "uki");
    let described = chroot(&["/usr/bin/bootctl", "kernel-inspect"]);
    for expected in [CMDLINE, UNAME, "Basalt test"] {
        assert!(described.contains(expected), "{expected}:\n{described}");
    }
}

#[test]
fn ukify_makes_the_same_sections_and_our_reader_reads_its_image() {
    let tree = trixie();
    let (directory, seen) = inside(&tree);
    for (name, bytes) in [("linux", kernel()), ("initrd", initrd()), ("osrel", OSREL.to_vec())] {
        fs::write(directory.path().join(name), bytes).unwrap();
    }
    let path = |name: &str| seen.join(name).display().to_string();
    let arguments = [
        tree.display().to_string(),
        "/usr/bin/ukify".to_owned(),
        "build".to_owned(),
        "--stub=/usr/lib/systemd/boot/efi/linuxx64.efi.stub".to_owned(),
        format!("--linux={}", path("linux")),
        format!("--initrd={}", path("initrd")),
        format!("--os-release=@{}", path("osrel")),
        format!("--cmdline={CMDLINE}"),
        format!("--uname={UNAME}"),
        format!("--output={}", path("out")),
    ];
    run("chroot", &arguments.iter().map(OsStr::new).collect::<Vec<_>>());
    let theirs = fs::read(directory.path().join("out")).unwrap();
    let sbat = "systemd-stub,1,The systemd Developers,systemd,1,https://systemd.io/";
    let (linux, initrd) = (kernel(), initrd());
    let ours = Sections { sbat: Some(sbat), ..sections(&linux, &initrd) };
    let ours = uki::assemble(&stub(), &ours).unwrap();
    let (read, expected) = (uki::read(&ours).unwrap(), uki::read(&theirs).unwrap());
    assert_eq!((read.osrel, read.cmdline, read.uname), (expected.osrel, expected.cmdline, expected.uname));
    let (ours, theirs) = (Pe::parse(&ours).unwrap(), Pe::parse(&theirs).unwrap());
    for section in theirs.sections().iter().filter(|section| !section.is(".sbat")) {
        let name = str::from_utf8(section.name()).unwrap();
        let mine = ours.section(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(mine.virtual_size, section.virtual_size, "{name}");
        assert_eq!(mine.characteristics, section.characteristics, "{name}");
        assert!(ours.content(mine) == theirs.content(section), "{name}");
    }
    assert_eq!(ours.sections().len(), theirs.sections().len());
    assert_eq!(ours.header.initialized_data_size, theirs.header.initialized_data_size);
    assert_eq!(ours.header.dll_characteristics, theirs.header.dll_characteristics);
    assert_eq!(ours.header.headers_size, theirs.header.headers_size);
}

#[test]
fn signing_tools_and_binutils_accept_it() {
    let here = tempfile::tempdir().unwrap();
    let at = |name: &str| here.path().join(name);
    let image = uki::assemble(&stub(), &sections(&kernel(), &initrd())).unwrap();
    fs::write(at("uki.efi"), &image).unwrap();
    let listing = run("objdump", &["-h".as_ref(), at("uki.efi").as_ref()]);
    assert!(listing.contains(".linux") && listing.contains("pei-x86-64"), "{listing}");
    let (key, certificate, signed) = (at("key"), at("certificate"), at("signed.efi"));
    let options =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-keyout"].map(OsStr::new);
    run("openssl", &[&options[..], &[key.as_ref(), "-out".as_ref(), certificate.as_ref()]].concat());
    let sign =
        ["--key".as_ref(), key.as_os_str(), "--cert".as_ref(), certificate.as_ref(), "--output".as_ref()];
    run("sbsign", &[&sign[..], &[signed.as_ref(), at("uki.efi").as_ref()]].concat());
    run("sbverify", &["--cert".as_ref(), certificate.as_ref(), signed.as_ref()]);
    let read = uki::read(&fs::read(&signed).unwrap()).unwrap();
    assert_eq!(read, uki::read(&image).unwrap(), "a signature changes no section");
    let refused = uki::assemble(&fs::read(&signed).unwrap(), &sections(&kernel(), &initrd()));
    assert!(
        matches!(refused, Err(UkiError::StubShape(why)) if why.starts_with("it is signed")),
        "{refused:?}"
    );
}

#[test]
fn revocation_lines_of_all_parts_are_merged() {
    let linux = kernel();
    let given = Sections {
        sbat: Some("basalt,1,Basalt,basalt,1,https://basalt.example"),
        ..sections(&linux, b"initrd")
    };
    let read = uki::read(&uki::assemble(&stub(), &given).unwrap()).unwrap();
    let names: Vec<&str> = read.sbat.lines().filter_map(|line| line.split(',').next()).collect();
    assert_eq!(names[0], "sbat");
    for expected in ["systemd-stub", "systemd-boot", "basalt"] {
        assert!(names.contains(&expected), "{expected} in {names:?}");
    }
    let long = "x,1,".to_owned() + &"y".repeat(5000);
    let given = Sections { sbat: Some(&long), ..given };
    assert!(matches!(uki::assemble(&stub(), &given), Err(UkiError::SbatRoom { .. })));
}

#[test]
fn what_would_not_boot_is_refused() {
    let (stub, linux) = (stub(), kernel());
    let given = sections(&linux, b"initrd");
    let refuse = |stub: &[u8], sections: &Sections<'_>| uki::assemble(stub, sections).unwrap_err();
    let gzip = Sections { linux: b"\x1f\x8b\x08 a compressed kernel", ..given };
    assert_eq!(refuse(&stub, &gzip), UkiError::Kernel(PeError::Signature("MZ")));
    assert_eq!(refuse(b"", &given), UkiError::Stub(PeError::Signature("MZ")));
    let lines = Sections { cmdline: "quiet\ninit=/bin/sh", ..given };
    assert_eq!(refuse(&stub, &lines), UkiError::Text { section: ".cmdline", at: 5 });
    let whole = uki::assemble(&stub, &given).unwrap();
    assert_eq!(refuse(&whole, &given), UkiError::StubShape("it holds a kernel already"));
    let signature = u32::from_le_bytes(stub[0x3c..0x40].try_into().unwrap()) as usize;
    let with = |at: usize, bytes: &[u8]| {
        let mut stub = stub.clone();
        stub[signature + at..signature + at + bytes.len()].copy_from_slice(bytes);
        stub
    };
    assert_eq!(refuse(&with(4, &[0x64, 0xaa]), &given), UkiError::Machine { stub: 0xaa64, kernel: 0x8664 });
    assert_eq!(refuse(&with(24 + 68, &[3]), &given), UkiError::StubShape("it is no EFI application"));
    assert_eq!(refuse(&with(12, &[1]), &given), UkiError::StubShape("its symbol table is not at its end"));
    let tight = with(24 + 60, &512_u32.to_le_bytes());
    assert_eq!(refuse(&tight, &given), UkiError::HeaderRoom { room: 0, needed: 5 });
}

#[test]
fn symbols_for_a_debugger_are_left_out() {
    let (linux, stub) = (kernel(), stub());
    let given = sections(&linux, b"initrd");
    let mut with_symbols = stub.clone();
    let signature = u32::from_le_bytes(stub[0x3c..0x40].try_into().unwrap()) as usize;
    let end = u32::try_from(stub.len()).unwrap();
    with_symbols[signature + 12..signature + 16].copy_from_slice(&end.to_le_bytes());
    with_symbols[signature + 16..signature + 20].copy_from_slice(&2_u32.to_le_bytes());
    with_symbols.extend([7; 2 * 18]);
    assert!(uki::assemble(&with_symbols, &given).unwrap() == uki::assemble(&stub, &given).unwrap());
}

#[test]
fn more_sections_than_every_firmware_loads_are_refused() {
    let (linux, part) = (kernel(), Some(b"part".as_slice()));
    let given =
        Sections { splash: part, dtb: part, ucode: part, pcrpkey: part, ..sections(&linux, b"initrd") };
    // Without the name `.linux` an image is a stub again.
    let assemble = |stub: &[u8]| {
        let mut image = uki::assemble(stub, &given).unwrap();
        let at = image.windows(8).position(|name| name == b".linux\0\0").unwrap();
        image[at..at + 8].copy_from_slice(b".other\0\0");
        image
    };
    let full = assemble(&stub());
    let count = Pe::parse(&full).unwrap().sections().len() + 9;
    assert_eq!(count, 24, "the stub's 6 and our 9, and 9 more");
    assert_eq!(uki::assemble(&assemble(&full), &given), Err(UkiError::TooManySections { count: 33 }));
}

#[test]
fn what_is_no_uki_is_told_apart() {
    assert_eq!(uki::read(b"text"), Err(UkiError::Image(PeError::Signature("MZ"))));
    assert_eq!(uki::read(&stub()), Err(UkiError::Missing(".linux")));
}

#[test]
fn damaged_headers_never_panic() {
    let image = uki::assemble(&stub(), &sections(&kernel(), b"initrd")).unwrap();
    let linux = kernel();
    for at in 0..1536 {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut broken = image.clone();
            broken[at] = value;
            let read = uki::read(&broken);
            if let Ok(read) = &read {
                assert!(read.linux.end <= broken.len());
            }
            let mut stub = stub_once().to_vec();
            stub[at] = value;
            let assembled = uki::assemble(&stub, &sections(&linux, b"initrd"));
            assert!(
                assembled.is_err() || assembled.is_ok_and(|image| uki::read(&image).is_ok()),
                "{at} {value}"
            );
        }
    }
    for end in 0..1536 {
        assert!(uki::read(&image[..end]).is_err(), "{end}");
    }
}

fn stub_once() -> &'static [u8] {
    static STUB: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    STUB.get_or_init(stub)
}
