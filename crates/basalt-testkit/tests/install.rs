//! A disk becomes a machine in three ways, each time from the ISO: by itself, from a document of the firmware; by a person at
//! the console; by a person at a browser. The disk was a part of LVM or of a RAID before, which must be permitted.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by panicking")]

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    num::NonZero,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, Instant},
};

use basalt_exec::command::{Command, Exit, Program};
use basalt_testkit::{Browser, Screen, Shell, basalt_program, patience, root_shell, run_tool, test_image};
use basalt_types::ByteSize;
use basalt_vm::{Disk, Machine, Network, Running, Vm, Write};
use base64::Engine as _;
use tempfile::TempDir;

/// What the machine without a person is to be.
const DOCUMENT: &str = "apiVersion: basalt.dev/v1alpha1
kind: NodeConfig
spec:
  hostname: installed-7
  install:
    disk: {minSize: 8GiB, bus: virtio}
    wipe: true
    after: powerOff
";
/// A key that somebody may have.
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0cPEaTkqPwhVKwPvmHHdVUHcnH5bBpLWYxuN6Fv4Gq ada@laptop";
/// The terminal of the person at the console: what is drawn when a serial line does not know its size.
const LINES: NonZero<u16> = NonZero::new(24).unwrap();
const COLUMNS: NonZero<u16> = NonZero::new(80).unwrap();

/// The live medium of the release that the shared image was built from; only the output is new.
fn live_medium() -> &'static Path {
    static MEDIUM: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = MEDIUM.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = build_medium(folder.path());
        (folder, path)
    });
    path
}

fn build_medium(folder: &Path) -> PathBuf {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/edge");
    let project = folder.join("edge");
    let arguments = ["-r", &example.display().to_string(), &project.display().to_string()];
    let copied = run_tool("cp", "coreutils", &arguments);
    assert_eq!(copied.exit, Exit::Code(0), "{}", copied.stderr_tail);
    let path = project.join("recipe.yaml");
    let recipe = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{recipe}\noutputs: [iso]\n")).unwrap();
    let basalt = Program::at(basalt_program("basalt")).unwrap();
    let mut build = Command::new(&basalt).timeout(Duration::from_secs(1200)).args(["build", "--locked"]);
    for name in ["BASALT_CACHE", "BASALT_NODE_DIR", "HOME", "PATH"] {
        build = match std::env::var_os(name) {
            Some(value) => build.env(name, value),
            None => build,
        };
    }
    build.arg(path).arg("-o").arg(folder.join("out")).run().unwrap();
    folder.join("out/edge.iso")
}

/// What a physical volume of LVM is known by (LVM2 `lib/label/label.h`).
const LVM: [(u64, &[u8]); 2] = [(512, b"LABELONE"), (512 + 24, b"LVM2 001")];
/// What a member of a Linux RAID is known by, whose superblock has version 1.2 (md(4), "MD SUPER BLOCK").
const MD: [(u64, &[u8]); 1] = [(4096, &0xa92b_4efc_u32.to_le_bytes())];

/// A file for a disk of 16 GiB that has these bytes.
fn used_disk(folder: &Path, bytes: &[(u64, &[u8])]) -> PathBuf {
    let path = folder.join("disk.raw");
    let file = File::create(&path).unwrap();
    file.set_len(ByteSize::gib(16).get()).unwrap();
    for (place, bytes) in bytes {
        file.write_all_at(bytes, *place).unwrap();
    }
    path
}

/// A machine that starts from `disk` if it can, and from the CD if not.
fn machine(disk: Disk) -> Machine {
    // On a host under load an emulated timer may miss the kernel's check of it, which is a panic.
    let argument = "io.systemd.stub.kernel-cmdline-extra=no_timer_check".to_owned();
    Machine { disks: vec![disk, Disk::cd(live_medium())], oem_strings: vec![argument], ..Machine::uefi("") }
}

fn check(shell: &mut Shell<'_>, command: &str) -> String {
    shell.check(command).unwrap().trim().to_owned()
}

/// Everything that a machine is which was installed and has started.
fn assert_installed(shell: &mut Shell<'_>, name: &str) {
    let status = check(shell, "basalt-agent status");
    for line in ["edge 0.1.0 · amd64 · healthy", "verified: every block", "slot     a on /dev/vda2"] {
        assert!(status.contains(line), "`{line}` is not in:\n{status}");
    }
    let labels = check(shell, "lsblk -nro PARTLABEL /dev/vda | grep .");
    let wanted = [
        "esp",
        "basalt-a",
        "basalt-a-verity",
        "PRT#basalt-b",
        "PRT#basalt-b-verity",
        "PRT#basalt-r",
        "PRT#basalt-r-verity",
        "basalt-data",
    ];
    assert_eq!(labels.lines().collect::<Vec<_>>(), wanted);
    assert_eq!(check(shell, "findmnt -no SOURCE /var"), "/dev/vda8");
    let explained = check(shell, "basalt-agent config explain hostname");
    assert!(explained.contains(name) && explained.contains("of the ESP"), "{explained}");
    assert_eq!(check(shell, "cat /proc/sys/kernel/hostname"), name);
    let again = check(shell, "basalt-agent provision --plan");
    assert!(again.contains("nothing to do"), "{again}");
}

/// Tells how long it took.
fn clock() -> impl Fn(&str) {
    let began = Instant::now();
    move |what| eprintln!("install: {what} after {:.0} s", began.elapsed().as_secs_f64())
}

#[test]
fn a_live_medium_installs_by_itself_and_the_disk_starts_alone() {
    let (folder, image, said) = (tempfile::tempdir().unwrap(), test_image(), clock());
    let disk = used_disk(folder.path(), &MD);
    let mut first = machine(Disk { write: Write::Direct, ..Disk::raw(&disk) });
    // systemd makes a credential of it (systemd.system-credentials(7)).
    let document = base64::engine::general_purpose::STANDARD.encode(DOCUMENT);
    first.oem_strings.push(format!("io.systemd.credential.binary:basalt.node={document}"));
    said("the medium is built");

    let mut running = basalt_vm::boot(&first).unwrap();
    let within = patience(&running, Duration::from_secs(90));
    let console = running.console().unwrap();
    let told = console.expect("edge 0.1.0 is on /dev/vda; now: poweroff", within).unwrap();
    assert!(told.contains("- /dev/vda: a member of a Linux RAID"), "{told}");
    said("the release is on the disk");
    running.wait_exit(Duration::from_secs(300)).unwrap();

    let mut running = basalt_vm::boot(&Machine::uefi(&disk)).unwrap();
    let mut shell = root_shell(&mut running, &image.login());
    said("the disk has started");
    assert_installed(&mut shell, "installed-7");
}

/// Installs as a person at the console does, and restarts.
fn by_screens(running: &mut Running) {
    let (short, long) =
        (patience(running, Duration::from_secs(10)), patience(running, Duration::from_secs(60)));
    let mut screen = Screen::new(running.console().unwrap(), LINES, COLUMNS).unwrap();
    screen.press("stty rows 0 cols 0; basalt-agent install --wipe\n").unwrap();
    let disks = screen.wait_for(&["On which disk?"], short);
    assert!(
        disks.contains("Install edge 0.1.0") && disks.contains("/dev/vda (basalt0, virtio, 16 GiB)"),
        "{disks}"
    );
    screen.press("\n").unwrap();
    screen.wait_for(&["What should the machine be?"], short);
    // The name, and a name server to take back: it needs a card.
    screen.press("screen-7\n\n\n\n\n\nx\n").unwrap();
    screen.wait_for(&["name server: needs Network card"], short);
    screen.press("\x7f\n").unwrap();
    let summary = screen.wait_for(&["ALL of this is lost"], short);
    assert!(summary.contains("- /dev/vda: a physical volume of LVM"), "{summary}");
    screen.press("/dev/vda\n").unwrap();
    let end = screen.wait_for(&["edge 0.1.0 is on /dev/vda.", "starts nothing now"], long);
    assert!(end.contains("Take the medium out"), "{end}");
    // Restart.
    screen.press("\n").unwrap();
}

/// Installs as a person at a browser does, and restarts.
fn by_page(running: &mut Running, port: u16) {
    let (short, long) =
        (patience(running, Duration::from_secs(10)), patience(running, Duration::from_secs(60)));
    let console = running.console().unwrap();
    console.send("basalt-agent install --web --wipe\n").unwrap();
    console.expect("http://10.0.2.15:8080/", short).unwrap();
    console.expect("code: ", short).unwrap();
    let code = console.expect("\n", short).unwrap();
    let mut browser = Browser::start();
    browser.open(&format!("http://127.0.0.1:{port}/"), "The code is on the machine's console");
    browser.fill("#code", "aaaa-aaaa");
    browser.click("button");
    browser.wait_for(&["This is not the code"], short);
    browser.fill("#code", code.trim());
    browser.click("button");
    browser.wait_for(&["On which disk?"], short);
    // The only disk that can be taken is chosen.
    for (field, words) in [("hostname", "page-7"), ("user", "ada"), ("key", KEY)] {
        browser.fill(&format!("#{field}"), words);
    }
    browser.click("button");
    let summary = browser.wait_for(&["ALL of this is lost"], short);
    assert!(summary.contains("/dev/vda: a physical volume of LVM"), "{summary}");
    browser.fill("#agreed", "/dev/vda");
    browser.click("button.bad");
    browser.wait_for(&["Step "], short);
    let end = browser.wait_for(&["edge 0.1.0 is on /dev/vda.", "starts nothing now"], long);
    assert!(end.contains("Take the medium out"), "{end}");
    browser.click("#reboot");
    browser.wait_for(&["The machine restarts now"], short);
}

#[test]
fn a_person_installs_on_screens_and_on_a_page_and_each_disk_starts() {
    let (folder, image, said) = (tempfile::tempdir().unwrap(), test_image(), clock());
    let disk = Disk::raw(used_disk(folder.path(), &LVM));
    let vm = Vm::prepare(&Machine { network: Network::User { ssh_port: None }, ..machine(disk) }).unwrap();
    let mut running = vm.boot().unwrap();
    let mut shell = Shell::login(&mut running, &image.login()).unwrap();
    shell.become_root(&image.login()).unwrap();
    said("the medium has started");
    let refused = shell.run("basalt-agent install --disk auto --plan").unwrap();
    assert_eq!(refused.status, 4, "{}", refused.text);
    assert!(refused.text.contains("/dev/vda: a physical volume of LVM"), "{}", refused.text);
    running.save("live").unwrap();
    said("its memory is saved");

    by_screens(&mut running);
    said("a person at the console is done");
    // What a disk is which was installed is the same however a person was asked: the page's is looked at.
    let within = patience(&running, Duration::from_secs(60));
    running.console().unwrap().expect("screen-7 login: ", within).unwrap();
    said("the disk has started");

    running.load("live").unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    running.qmp().human(&format!("hostfwd_add tcp:127.0.0.1:{port}-:8080")).unwrap();
    by_page(&mut running, port);
    said("a person at a browser is done");
    let mut shell = root_shell(&mut running, &image.login());
    assert_installed(&mut shell, "page-7");
    assert!(check(&mut shell, "id -nG ada").contains("ada"));
    assert!(check(&mut shell, "cat /etc/ssh/authorized_keys.d/ada").contains(KEY));
    said("the disk has started");
}
