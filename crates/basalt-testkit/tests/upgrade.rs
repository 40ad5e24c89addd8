//! Another release on a running machine: it is tried and kept, a broken one is given up, and there is a way back.
//!
//! The machine is the shared image; the second release is the same recipe with another version and one more file, built
//! from the cache and put on a second disk as an OCI layout.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by panicking")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use basalt_testkit::{
    Factory, Login, Shell, UNSIGNED_INDEX, patience, root_shell, second_release, test_image,
};
use basalt_vm::{Disk, Machine, Running};

const SOURCE: &str = "oci:/run/release";
/// The machine moves by itself, and restarts at once.
const DOCUMENT: &str =
    "{apiVersion: basalt.dev/v1alpha1, kind: NodeConfig, spec: {image: {ref: \"oci:/run/release\"}}}";

/// A root shell on a machine that has finished starting with this release.
fn shell_of<'a>(machine: &'a mut Running, login: &Login, version: &str) -> Shell<'a> {
    let mut shell = root_shell(machine, login);
    let status = check(&mut shell, "basalt-agent status");
    assert!(status.contains(&format!("edge {version} · amd64 · healthy")), "{status}");
    check(&mut shell, "mkdir -p /run/release && mount -o ro /dev/disk/by-id/virtio-basalt1 /run/release");
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

/// What `upgrade` says to the same release without its signature, which 0.2.0 refuses and 0.1.0 would not.
fn unsigned(shell: &mut Shell<'_>) -> String {
    check(
        shell,
        "mkdir /run/unsigned && cd /run/unsigned && ln -s /run/release/blobs /run/release/oci-layout .",
    );
    check(shell, &format!("cp /run/release/{UNSIGNED_INDEX} /run/unsigned/index.json"));
    let refused = shell.run("basalt-agent upgrade oci:/run/unsigned").unwrap();
    assert_eq!(refused.status, 4, "{}", refused.text);
    refused.text
}

/// A machine that runs 0.1.0, with the second release on its second disk.
fn machine(folder: &Path) -> Running {
    let mut machine = Machine::uefi(test_image().disk());
    machine.disks.push(Disk::raw(second_release(&Factory::of_tests(), folder)));
    basalt_vm::boot(&machine).unwrap()
}

/// Says how long it took to get here.
fn said(began: Instant, what: &str) {
    eprintln!("upgrade: {what} after {:.0} s", began.elapsed().as_secs_f64());
}

/// What the history says, without its times.
fn history(shell: &mut Shell<'_>) -> Vec<String> {
    let lines = check(shell, "basalt-agent history");
    lines.lines().filter_map(|line| line.split_once(' ')).map(|(_, event)| event.to_owned()).collect()
}

#[test]
fn a_good_release_is_kept_and_left_by_a_rollback_and_a_bad_one_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let (mut machine, login, began) = (machine(folder.path()), test_image().login(), Instant::now());
    let within = patience(&machine, Duration::from_secs(30));

    let mut shell = shell_of(&mut machine, &login, "0.1.0");
    said(began, "0.1.0 runs");
    check(&mut shell, "echo kept > /var/kept");
    check(
        &mut shell,
        &format!("echo '{DOCUMENT}' > /root/wanted.yaml && basalt-agent apply /root/wanted.yaml"),
    );
    said(began, "a document wants 0.2.0");

    let mut shell = shell_of(&mut machine, &login, "0.2.0");
    said(began, "0.2.0 runs");
    let stands = check(&mut shell, "basalt-agent upgrade --follow && basalt-agent status");
    assert!(stands.contains("release: 0.2.0 is wanted and runs"), "{stands}");
    check(&mut shell, "basalt-agent apply --remove");
    assert_eq!(check(&mut shell, "cat /usr/share/second /var/kept"), "secondkept");
    assert_eq!(entries(&mut shell), ["edge_0.1.0.efi", "edge_0.2.0.efi"]);
    let noop = upgrade(&mut shell, "", within);
    assert!(noop.contains("this release runs") && noop.contains("signed by the key sha256:"), "{noop}");
    let unsigned = unsigned(&mut shell);
    assert!(
        unsigned
            .contains("is not signed, and this machine takes only releases that one of its 1 keys signed")
    );
    let back = check(&mut shell, "basalt-agent rollback");
    assert!(back.contains("done: 0.1.0 runs after the next boot"), "{back}");
    shell.type_line("systemctl reboot").unwrap();

    let mut shell = shell_of(&mut machine, &login, "0.1.0");
    said(began, "0.1.0 runs again");
    assert_eq!(check(&mut shell, "cat /var/kept"), "kept");
    let told = history(&mut shell);
    assert!(told.iter().any(|line| line.starts_with("found good  0.2.0 after ")), "{told:?}");

    // The same release with a unit that fails. It has its last try: the soak's fallback table uses up all three.
    check(&mut shell, "mkdir /var/lib/fault && touch /var/lib/fault/unit && basalt-agent rollback");
    check(&mut shell, "cd /boot/EFI/Linux && mv edge_0.2.0+3-0.efi edge_0.2.0+1-2.efi && sync");
    shell.type_line("systemctl reboot").unwrap();
    let mut shell = fallen_back(&mut machine, &login);
    said(began, "0.1.0 runs, because 0.2.0 failed");
    assert_eq!(check(&mut shell, "cat /var/kept"), "kept");
    assert_eq!(entries(&mut shell), ["edge_0.1.0.efi", "edge_0.2.0+0-3.efi"]);
    let told = history(&mut shell);
    let not_good = told.iter().find(|line| line.starts_with("not good    0.2.0 (edge_0.2.0+0-3.efi) after "));
    let why = "system: failed: fault-unit.service";
    assert!(not_good.is_some_and(|line| line.ends_with(&format!(" s: {why}"))), "{told:?}");
    let fell = "fell back   0.2.0 → 0.1.0: no boot of it was found good (edge_0.2.0+0-3.efi)";
    let fell = format!("{fell}: {why}; 2 other boots of it ended before they could say anything");
    assert_eq!(told[told.len() - 2], fell);
    let status = shell.run("basalt-agent status").unwrap();
    assert_eq!(status.status, 1, "{}", status.text);
    assert!(status.text.contains("0.2.0 was given up"), "{}", status.text);
    let refused = shell.run(&format!("basalt-agent upgrade {SOURCE}")).unwrap();
    assert!(refused.status == 4 && refused.text.contains("--retry"), "{}", refused.text);
    eprintln!("{}", check(&mut shell, "basalt-agent history"));
}

/// A root shell on a machine that has given a release up. Nobody logs in before: each boot of the other one ends by itself.
fn fallen_back<'a>(machine: &'a mut Running, login: &Login) -> Shell<'a> {
    let within = patience(machine, Duration::from_secs(120));
    machine.console().unwrap().expect("slot a", within).unwrap();
    let mut shell = Shell::login(machine, login).unwrap();
    shell.become_root(login).unwrap();
    shell.run_within("systemctl is-system-running --wait", within).unwrap();
    check(&mut shell, "mkdir -p /run/release && mount -o ro /dev/disk/by-id/virtio-basalt1 /run/release");
    shell
}
