//! A machine becomes what its document says, stays so, and is no longer so when the document no longer says it.
//!
//! The machine is the shared image; its document comes through the firmware, as a hypervisor or a person at a BMC gives it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use basalt_exec::command::Exit;
use basalt_testkit::{Shell, patience, root_shell, run_tool, test_image};
use basalt_vm::{Disk, Machine};

/// JSON is YAML, and has no line breaks, which an SMBIOS string can't have. What is looked for from time to time is looked for
/// every few seconds here.
const DOCUMENT: &str = r#"{"apiVersion": "basalt.dev/v1alpha1", "kind": "NodeConfig", "spec": {
 "hostname": "edge-7", "timezone": "Europe/Rome",
 "users": [{"name": "operator", "sudo": true, "groups": ["adm"], "sshAuthorizedKeys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 me@laptop"]}],
 "files": [{"path": "/etc/site/name", "content": "seven\n"}, {"path": "/var/lib/site", "directory": true, "owner": "operator:operator"}],
 "sysctls": {"net.ipv4.ip_forward": 1},
 "units": [{"name": "site.service", "state": "enabled", "content": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/touch /run/site-ran\n[Install]\nWantedBy=multi-user.target\n"},
  {"name": "basalt-agent.service", "dropIns": [{"name": "often", "content": "[Service]\nExecStart=\nExecStart=/usr/bin/basalt-agent daemon --interval 5s --metrics 127.0.0.1:9464\n"}]}],
 "hooks": [{"name": "first", "stage": "boot", "once": true, "script": "echo first >> /var/first"},
  {"name": "ready", "stage": "ready", "script": "touch /run/ready-ran"}]}}"#;

/// What the owner of a machine in a cloud gives it, on a volume.
const USER_DATA: &str = "#cloud-config\nwrite_files:\n  - {path: /etc/site/cloud, content: here}\n";

/// On top of it: a file has another content, a unit, a user and a folder are gone.
const CHANGE: &str = r#"{"apiVersion": "basalt.dev/v1alpha1", "kind": "NodeConfig", "spec": {
 "users": [{"name": "operator", "remove": true}],
 "files": [{"path": "/etc/site/name", "content": "eight\n"}, {"path": "/var/lib/site", "remove": true}],
 "units": [{"name": "site.service", "remove": true}], "sysctls": null}}"#;

/// A volume of cloud-init's NoCloud.
fn seed(folder: &Path) -> PathBuf {
    let (files, image) = (folder.join("seed"), folder.join("seed.iso"));
    fs::create_dir(&files).unwrap();
    fs::write(files.join("meta-data"), "instance-id: one\nlocal-hostname: edge-7\n").unwrap();
    fs::write(files.join("user-data"), USER_DATA).unwrap();
    let words = [
        "-as",
        "mkisofs",
        "-quiet",
        "-V",
        "CIDATA",
        "-R",
        "-o",
        image.to_str().unwrap(),
        files.to_str().unwrap(),
    ];
    let done = run_tool("xorriso", "xorriso", &words);
    assert_eq!(done.exit, Exit::Code(0), "{}", done.stderr_tail);
    image
}

fn check(shell: &mut Shell<'_>, command: &str) -> String {
    shell.check(command).unwrap_or_else(|error| panic!("{error}")).trim().to_owned()
}

/// Waits until a command of the machine succeeds.
fn until(shell: &mut Shell<'_>, within: Duration, command: &str) {
    let line = format!(
        "for i in $(seq 300); do {{ {command}; }} >/dev/null 2>&1 && break; sleep 1; done; {command}"
    );
    let done = shell.run_within(&line, within).unwrap();
    let journal = if done.status == 0 { String::new() } else { journal(shell) };
    assert_eq!(done.status, 0, "{command}: {}\n{journal}", done.text);
}

fn journal(shell: &mut Shell<'_>) -> String {
    let command = "journalctl --no-pager -o cat -n 60 -u basalt-reconcile.service -u basalt-agent.service";
    shell.run(command).map(|output| output.text).unwrap_or_default()
}

fn assert_followed(shell: &mut Shell<'_>) {
    for (command, wanted) in [
        ("hostname; cat /etc/hostname", "edge-7\nedge-7"),
        ("date +%Z | grep -c CES*T", "1"),
        ("id -Gn operator", "operator adm"),
        (
            "stat -c '%U:%G %a' /var/home/operator /var/lib/site",
            "operator:operator 700\noperator:operator 755",
        ),
        ("sudo -n -u operator sudo -n id -u", "0"),
        ("cat /etc/site/name /var/first", "seven\nfirst"),
        ("sysctl -n net.ipv4.ip_forward", "1"),
        ("systemctl is-enabled site.service; systemctl is-active site.service", "enabled\nactive"),
    ] {
        assert_eq!(check(shell, command), wanted, "{command}\n{}", journal(shell));
    }
    let keys = check(
        shell,
        "cat $(sshd -T -C user=operator | awk '/authorizedkeysfile/ {print $2}' | sed s/%u/operator/)",
    );
    assert!(keys.starts_with("ssh-ed25519 AAAAC3"), "{keys}");
    until(shell, Duration::from_secs(600), "test -e /run/ready-ran");
    until(shell, Duration::from_secs(300), "grep here /etc/site/cloud");
}

/// What is told of the machine at rest, against its bars; emulation makes times long, so they are printed.
fn assert_small(shell: &mut Shell<'_>) {
    let resident =
        check(shell, "grep -h VmRSS /proc/$(systemctl show -P MainPID basalt-agent)/status | tr -dc 0-9");
    let size = check(shell, "stat -c %s /usr/bin/basalt-agent");
    eprintln!("reconcile: the daemon has {resident} KiB resident, the program {size} bytes");
    assert!(resident.parse::<u64>().unwrap() < 12 << 10, "{resident} KiB");
    assert!(size.parse::<u64>().unwrap() < 12 << 20, "{size} bytes");
}

/// Processor time of a look at the machine, with the programs that it starts, as a share of the usual five minutes between two.
fn assert_idle(shell: &mut Shell<'_>) {
    let spent = "read -ra f < /proc/$(systemctl show -P MainPID basalt-agent)/stat; echo $((f[13] + f[14] + f[15] + f[16]))";
    let runs = "exec 3<>/dev/tcp/127.0.0.1/9464; printf 'GET /metrics HTTP/1.1\\r\\n\\r\\n' >&3; \
                sed -n 's/^basalt_reconcile_runs_total //p' <&3";
    let line = format!("({spent}; {runs}; sleep 30; {spent}; {runs}) | tr -d '\\r' | paste -sd ' '");
    let text = shell.run_within(&line, Duration::from_secs(300)).unwrap().text;
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [spent, runs, spent_after, runs_after] = numbers[..] else { panic!("{text}") };
    assert!(runs_after > runs, "{text}");
    // A tick is a hundredth of a second.
    let each = (spent_after - spent) / 100.0 / (runs_after - runs);
    let share = each / 300.0 * 100.0;
    eprintln!("reconcile: a look takes {each:.3} s of a processor: {share:.3} % of one in five minutes");
    // Emulation makes it some twenty times as much.
    assert!(share < 2.0, "{share} %");
}

#[test]
fn a_machine_is_kept_as_its_document_says() {
    let image = test_image();
    let mut machine = Machine::uefi(image.disk());
    let document = DOCUMENT.replace('\n', "");
    machine.oem_strings.push(format!("io.systemd.credential:basalt.node={document}"));
    let folder = tempfile::tempdir().unwrap();
    machine.disks.push(Disk::raw(seed(folder.path())));
    let mut machine = basalt_vm::boot(&machine).unwrap();
    let (within, began) = (patience(&machine, Duration::from_secs(30)), Instant::now());
    let mut shell = root_shell(&mut machine, &image.login());
    eprintln!("reconcile: started after {:.0} s", began.elapsed().as_secs_f64());
    assert_followed(&mut shell);
    assert_small(&mut shell);

    // By hand, and nobody keeps it: it is shown.
    let stopped = "systemctl stop basalt-agent && rm /etc/site/name && sysctl -qw net.ipv4.ip_forward=0 && passwd -d operator";
    check(&mut shell, stopped);
    let drift = shell.run_within("basalt-agent plan", within).unwrap();
    assert_eq!(drift.status, 1, "{}", drift.text);
    for line in [
        "set net/ipv4/ip_forward to 1 (it is 0)",
        "write /etc/site/name",
        "alter the account operator: password",
    ] {
        assert!(drift.text.contains(line), "`{line}` is not in\n{}", drift.text);
    }
    // The daemon repairs what it finds when it starts, what is announced to it, and what nothing announces.
    check(&mut shell, "systemctl start basalt-agent");
    until(&mut shell, within, "grep seven /etc/site/name && test $(sysctl -n net.ipv4.ip_forward) = 1");
    check(&mut shell, "echo by hand > /etc/site/name && sysctl -qw net.ipv4.ip_forward=0");
    until(&mut shell, within, "grep seven /etc/site/name && test $(sysctl -n net.ipv4.ip_forward) = 1");
    eprintln!("reconcile: drift repaired after {:.0} s", began.elapsed().as_secs_f64());

    let wrong =
        shell.run_within("echo 'kind: Nothing' > /run/wrong; basalt-agent apply /run/wrong", within).unwrap();
    assert_eq!(wrong.status, 5, "{}", wrong.text);
    let change = CHANGE.replace('\n', "");
    check(&mut shell, &format!("echo '{change}' > /run/change"));
    let applied = shell.run_within("basalt-agent config apply /run/change", within).unwrap();
    assert_eq!(applied.status, 0, "{}\n{}", applied.text, journal(&mut shell));
    for (command, wanted) in [
        ("cat /etc/site/name", "eight"),
        ("sysctl -n net.ipv4.ip_forward", "0"),
        ("id operator 2>&1 | grep -c 'no such user'", "1"),
        (
            "ls /etc/systemd/system/site.service /var/lib/site /etc/sudoers.d/90-basalt-operator 2>&1 | grep -c 'No such'",
            "3",
        ),
        ("ls -d /var/home/operator", "/var/home/operator"),
        ("basalt-agent plan | head -1", "nothing to do: the machine is as its documents say"),
    ] {
        assert_eq!(check(&mut shell, command), wanted, "{command}\n{}", journal(&mut shell));
    }
    let status = check(&mut shell, "time basalt-agent status");
    assert!(status.contains("as its documents say"), "{status}");
    eprintln!("reconcile: all after {:.0} s\n{status}", began.elapsed().as_secs_f64());
    assert_idle(&mut shell);
    shell.type_line("systemctl poweroff").unwrap();
    machine.wait_exit(Duration::from_secs(300)).unwrap();
}
