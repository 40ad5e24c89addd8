//! Under firmware that enforces Secure Boot: the image enrols its own keys, starts, and nothing else does. Run through
//! `cargo xtask test`, which says where everything is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod build_support;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use basalt_exec::command::Exit;
use basalt_formats::uki;
use basalt_testkit::{Shell, patience, require_tool, run_tool, test_image};
use basalt_vm::{Disk, Firmware, Machine, Vm, Write};
use build_support::{Project, assert_fails, assert_works};

fn basalt(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_basalt")).args(arguments).output().unwrap()
}

/// Works, and says this among other things.
fn assert_says(output: &std::process::Output, words: &str) {
    assert_works(output);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(words), "{said}");
}

/// New keys in `folder`.
fn new_keys(folder: &Path) {
    assert_works(&basalt(&["keys", "new", folder.to_str().unwrap(), "--name", "Example"]));
}

#[test]
fn keys_are_made_once_kept_close_and_shown() {
    let here = tempfile::tempdir().unwrap();
    let folder = here.path().join("keys");
    new_keys(&folder);
    let path = folder.to_str().unwrap();
    let mode = |name: &str| fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        (fs::metadata(&folder).unwrap().permissions().mode() & 0o7777, mode("PK.key"), mode("db.key")),
        (0o700, 0o600, 0o600)
    );
    for name in ["release", "pcr"] {
        assert_eq!((mode(&format!("{name}.key")), mode(&format!("{name}.pub"))), (0o600, 0o644));
    }
    for line in [
        "db       Example signature database key, valid until ",
        "release  Example release key, valid until ",
    ] {
        assert_says(&basalt(&["keys", "show", path]), line);
    }

    assert_fails(&basalt(&["keys", "new", path]), 1, &["is there already; keys are never written over"]);
    let program = here.path().join("program.efi");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    assert_fails(
        &basalt(&["sign", program.to_str().unwrap(), "--keys", path]),
        1,
        &["program.efi can't be signed\n  because: it is no EFI program"],
    );
    assert_fails(
        &basalt(&["sign", program.to_str().unwrap()]),
        1,
        &["next: name the folder with the keys: --keys FOLDER"],
    );
    fs::set_permissions(folder.join("db.key"), fs::Permissions::from_mode(0o640)).unwrap();
    assert_fails(
        &basalt(&["sign", program.to_str().unwrap(), "--keys", path]),
        1,
        &["has mode 0640: others can read the key\n  next: chmod 600 "],
    );
}

#[test]
fn keys_may_have_a_passphrase() {
    let here = tempfile::tempdir().unwrap();
    let (folder, word) = (here.path().join("keys"), here.path().join("word"));
    fs::write(&word, "correct horse\n").unwrap();
    let (path, word) = (folder.to_str().unwrap(), word.to_str().unwrap());
    assert_works(&basalt(&["keys", "new", path, "--passphrase-file", word]));
    let pem = fs::read_to_string(folder.join("db.key")).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{pem}");
    let program = here.path().join("loader.efi");
    fs::copy(loader(), &program).unwrap();
    let program = program.to_str().unwrap();
    assert_fails(
        &basalt(&["sign", program, "--keys", path]),
        1,
        &["next: name the file with the passphrase"],
    );
    assert_says(
        &basalt(&["sign", program, "--keys", path, "--passphrase-file", word]),
        "loader.efi: signed by Basalt signature database key",
    );
    assert_says(
        &basalt(&["sign", program, "--keys", path, "--passphrase-file", word]),
        "was signed before by Basalt signature database key",
    );
    assert!(
        run_tool("sbverify", "sbsigntool", &["--cert", &format!("{path}/db.crt"), program]).exit
            == Exit::Code(0)
    );
}

/// A boot loader that nobody signed.
fn loader() -> PathBuf {
    let tree = PathBuf::from(std::env::var_os("BASALT_TRIXIE_TREE").expect("run through cargo xtask test"));
    tree.join("usr/lib/systemd/boot/efi/systemd-bootx64.efi")
}

/// A machine whose disk is a file that the test changes between boots.
struct Stand {
    vm: Vm,
    disk: PathBuf,
    /// The ESP as mtools names it.
    esp: String,
    began: Instant,
}

impl Stand {
    fn new(image: &Path, folder: &Path) -> Self {
        let disk = folder.join("disk.raw");
        let copy = ["--sparse=always", image.to_str().unwrap(), disk.to_str().unwrap()];
        assert_eq!(run_tool("cp", "coreutils", &copy).exit, Exit::Code(0));
        fs::File::options().write(true).open(&disk).unwrap().set_len(16 << 30).unwrap();
        let mut machine = Machine::uefi(&disk);
        machine.firmware = Firmware::Ovmf { secure_boot: true };
        machine.disks = vec![Disk { write: Write::Direct, ..Disk::raw(&disk) }];
        // The first partition is the ESP; it begins at 1 MiB (docs/formats/disk.md).
        let esp = format!("{}@@1M", disk.display());
        Self { vm: Vm::prepare(&machine).unwrap(), disk, esp, began: Instant::now() }
    }

    fn said(&self, what: &str) {
        eprintln!("secure boot: {what} after {:.0} s", self.began.elapsed().as_secs_f64());
    }

    fn mtools(&self, tool: &str, arguments: &[&str]) -> String {
        let program = require_tool(tool, "mtools");
        let done = basalt_exec::command::Command::new(&program).args(["-i", &self.esp]).args(arguments).run();
        String::from_utf8_lossy(&done.unwrap()).into_owned()
    }

    /// The path of the UKI in the ESP.
    fn entry(&self) -> String {
        let listed = self.mtools("mdir", &["-b", "::/EFI/Linux"]);
        listed.lines().find(|line| line.to_lowercase().ends_with(".efi")).unwrap().trim().to_owned()
    }

    /// Puts other bytes in the place of a file of the ESP.
    fn replace(&self, path: &str, bytes: &[u8]) {
        let file = self.disk.with_extension("new");
        fs::write(&file, bytes).unwrap();
        self.mtools("mcopy", &["-o", file.to_str().unwrap(), path]);
    }

    /// Starts the machine and waits until it refuses to start something.
    fn assert_refused(&self, why: &str, words: &str) {
        let mut machine = self.vm.boot().unwrap();
        let within = patience(&machine, Duration::from_secs(30));
        let console = machine.console().unwrap();
        let (seen, _) = console.expect_any(&[words, "Linux version", "login:"], within).unwrap();
        assert_eq!(seen, 0, "{why} was started:\n{}", console.text());
        machine.kill().unwrap();
        self.said(&format!("{why} is refused"));
    }
}

#[test]
fn only_what_the_owner_signed_starts() {
    let here = tempfile::tempdir().unwrap();
    let keys = here.path().join("keys");
    new_keys(&keys);
    let project = Project::of_example();
    assert_works(&project.run(&["build", "--locked", "--keys", keys.to_str().unwrap()]));
    let inspected = basalt(&["inspect", project.out().join("edge.raw").to_str().unwrap()]);
    assert_says(&inspected, "signed by     Example signature database key");
    let stand = Stand::new(&project.out().join("edge.raw"), here.path());

    // In setup mode the boot loader enrols the keys and restarts; from then on the firmware enforces them.
    let login = test_image().login();
    let mut machine = stand.vm.boot().unwrap();
    let mut shell = Shell::login(&mut machine, &login).unwrap();
    stand.said("the machine runs");
    shell.become_root(&login).unwrap();
    for (variable, value) in [("SecureBoot", "1"), ("SetupMode", "0")] {
        let read = format!(
            "od -An -tu1 -j4 /sys/firmware/efi/efivars/{variable}-8be4df61-93ca-11d2-aa0d-00e098032b8c"
        );
        assert_eq!(shell.check(&read).unwrap().trim(), value, "{variable}");
    }
    let known = shell.check("dmesg | grep -i 'secure boot enabled'").unwrap();
    assert!(known.contains("Secure boot enabled"), "{known}");
    shell.type_line("systemctl poweroff").unwrap();
    machine.wait_exit(Duration::from_secs(300)).unwrap();

    let entry = stand.entry();
    let uki = here.path().join("uki.efi");
    stand.mtools("mcopy", &["-o", &entry, uki.to_str().unwrap()]);
    let signed = fs::read(&uki).unwrap();
    let parts = uki::read(&signed).unwrap();
    let at = |name: &str| parts.sections.iter().find(|(section, _)| section == name).unwrap().1.start;
    let changed = |at: usize| {
        let mut bytes = signed.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (why, bytes) in
        [("a changed command line", changed(at(".cmdline"))), ("a UKI that nobody signed", unsigned(&signed))]
    {
        stand.replace(&entry, &bytes);
        stand.assert_refused(why, "Access denied");
    }
    let other = here.path().join("other");
    new_keys(&other);
    fs::write(&uki, unsigned(&signed)).unwrap();
    assert_works(&basalt(&["sign", uki.to_str().unwrap(), "--keys", other.to_str().unwrap()]));
    stand.replace(&entry, &fs::read(&uki).unwrap());
    stand.assert_refused("a UKI that somebody else signed", "Access denied");
    stand.replace("::/EFI/BOOT/BOOTX64.EFI", &fs::read(loader()).unwrap());
    stand.assert_refused("a boot loader that nobody signed", "Access Denied");
}

/// The program as it was before it was signed.
fn unsigned(program: &[u8]) -> Vec<u8> {
    let here = tempfile::tempdir().unwrap();
    let path = here.path().join("program.efi");
    fs::write(&path, program).unwrap();
    assert!(run_tool("sbattach", "sbsigntool", &["--remove", path.to_str().unwrap()]).exit == Exit::Code(0));
    fs::read(&path).unwrap()
}
