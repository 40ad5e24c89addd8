//! Another release on a running machine: it is tried and kept, a broken one is given up, and there is a way back.
//!
//! The machine is the shared image; the second release is the same recipe with another version and one more file, built
//! from the cache and put on a second disk as an OCI layout.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use basalt_exec::command::{Command, Exit, Program};
use basalt_testkit::{Login, Shell, basalt_program, patience, run_tool, test_image};
use basalt_vm::{Disk, Machine, Running};

const SOURCE: &str = "oci:/run/release";

/// The second release as a disk with a file system that holds an OCI layout.
fn second_release(folder: &Path) -> PathBuf {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/edge");
    let project = folder.join("edge");
    run("cp", "coreutils", &["-r", &text(&example), &text(&project)]);
    let recipe = fs::read_to_string(project.join("recipe.yaml")).unwrap();
    let second = recipe.replace("version: 0.1.0", "version: 0.2.0");
    let more = "files:\n  - path: /usr/share/second\n    content: second\n";
    let second = second.replace("files:\n", more);
    assert!(
        second.contains("0.2.0") && second.contains(more),
        "the example has changed: the edit finds nothing"
    );
    fs::write(project.join("recipe.yaml"), format!("{second}\noutputs: [oci]\n")).unwrap();
    let basalt = Program::at(basalt_program("basalt")).unwrap();
    let mut build = Command::new(&basalt).timeout(Duration::from_secs(1200)).args(["build", "--locked"]);
    for name in ["BASALT_CACHE", "BASALT_NODE_DIR", "HOME", "PATH"] {
        build = match std::env::var_os(name) {
            Some(value) => build.env(name, value),
            None => build,
        };
    }
    build.arg(project.join("recipe.yaml")).arg("-o").arg(folder.join("out")).run().unwrap();
    let (layout, disk) = (folder.join("layout"), folder.join("release.ext4"));
    fs::create_dir(&layout).unwrap();
    run("tar", "tar", &["-xf", &text(&folder.join("out/edge.oci.tar")), "-C", &text(&layout)]);
    run("mkfs.ext4", "e2fsprogs", &["-q", "-d", &text(&layout), &text(&disk), "512M"]);
    disk
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn run(tool: &str, package: &'static str, arguments: &[&str]) {
    let finished = run_tool(tool, package, arguments);
    assert_eq!(finished.exit, Exit::Code(0), "{tool}: {}", finished.stderr_tail);
}

/// A root shell on a machine that has finished starting with this release.
fn root_shell<'a>(machine: &'a mut Running, login: &Login, version: &str) -> Shell<'a> {
    let settled = patience(machine, Duration::from_secs(60));
    let mut shell = Shell::login(machine, login).unwrap();
    shell.become_root(login).unwrap();
    let state = shell.run_within("systemctl is-system-running --wait", settled).unwrap();
    let failed = shell.check("systemctl --failed --no-legend --plain").unwrap();
    let journal = match failed.split_whitespace().next() {
        Some(unit) => shell.run(&format!("journalctl --no-pager -n 30 -u {unit}")).unwrap().text,
        None => String::new(),
    };
    assert_eq!((state.text.trim(), failed.trim()), ("running", ""), "{journal}");
    let status = check(&mut shell, "basalt-agent status");
    assert!(status.contains(&format!("edge {version} · amd64 · healthy")), "{status}");
    check(&mut shell, "mkdir -p /run/release && mount -o ro /dev/vdb /run/release");
    // Fails where the boot loader counted nothing: the entry was good before.
    shell.run("systemctl start systemd-bless-boot.service").unwrap();
    shell
}

fn check(shell: &mut Shell<'_>, command: &str) -> String {
    shell.check(command).unwrap().trim().to_owned()
}

/// The boot entries.
fn entries(shell: &mut Shell<'_>) -> Vec<String> {
    check(shell, "ls -1 /boot/EFI/Linux").lines().map(str::to_owned).collect()
}

/// Runs `upgrade` and gives what it said.
fn upgrade(shell: &mut Shell<'_>, options: &str, within: Duration) -> String {
    let done = shell.run_within(&format!("basalt-agent upgrade {SOURCE} {options}"), within).unwrap();
    assert_eq!(done.status, 0, "{}", done.text);
    done.text
}

/// A machine that runs 0.1.0, with the second release on its second disk.
fn machine(folder: &Path) -> Running {
    let mut machine = Machine::uefi(test_image().disk());
    machine.disks.push(Disk::raw(second_release(folder)));
    basalt_vm::boot(&machine).unwrap()
}

/// Says how long it took to get here.
fn said(began: Instant, what: &str) {
    eprintln!("upgrade: {what} after {:.0} s", began.elapsed().as_secs_f64());
}

#[test]
fn a_good_release_is_kept_and_left_by_a_rollback() {
    let folder = tempfile::tempdir().unwrap();
    let (mut machine, login, began) = (machine(folder.path()), test_image().login(), Instant::now());
    let within = patience(&machine, Duration::from_secs(30));

    let mut shell = root_shell(&mut machine, &login, "0.1.0");
    said(began, "0.1.0 runs");
    check(&mut shell, "echo kept > /var/kept");
    let text = upgrade(&mut shell, "", within);
    assert!(text.contains("done: 0.2.0 runs after the next boot"), "{text}");
    said(began, "0.2.0 is in slot b");
    shell.type_line("systemctl reboot").unwrap();

    let mut shell = root_shell(&mut machine, &login, "0.2.0");
    said(began, "0.2.0 runs");
    assert_eq!(check(&mut shell, "cat /usr/share/second /var/kept"), "secondkept");
    assert_eq!(entries(&mut shell), ["edge_0.1.0.efi", "edge_0.2.0.efi"]);
    let noop = upgrade(&mut shell, "", within);
    assert!(noop.contains("this release runs"), "{noop}");
    let back = check(&mut shell, "basalt-agent rollback");
    assert!(back.contains("done: 0.1.0 runs after the next boot"), "{back}");
    shell.type_line("systemctl reboot").unwrap();

    let mut shell = root_shell(&mut machine, &login, "0.1.0");
    said(began, "0.1.0 runs again");
    assert_eq!(check(&mut shell, "cat /var/kept"), "kept");
    eprintln!("{}", check(&mut shell, "basalt-agent history"));
}
