//! What an operator does on a machine's second day. What a document says of extensions is merged, also by the boot after a crash,
//! before anything starts; what is for another system is refused; what no document names any more is gone. And the machine says what
//! is wrong with it, and that its kernel crashed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by panicking")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use basalt_exec::command::{Command, Exit, Program};
use basalt_testkit::{Shell, basalt_program, patience, root_shell, run_tool, test_image};
use basalt_types::Digest;
use basalt_vm::{Disk, Machine};

/// On top of the example: a program with its unit, and a file of the configuration.
const RECIPE: &str = r##"apiVersion: basalt.dev/v1alpha1
kind: Recipe
name: site
from: recipe.yaml
files:
  - {path: /usr/bin/site, content: "#!/bin/sh\necho site\n", mode: 0755}
  - path: /usr/lib/systemd/system/site.service
    content: |
      [Service]
      Type=oneshot
      RemainAfterExit=yes
      ExecStart=/usr/bin/site
      [Install]
      WantedBy=multi-user.target
  - {path: /etc/site.conf, content: "from an extension\n"}
units:
  enable: [site.service]
outputs: [sysext, confext]
"##;

/// A plain EROFS of the same, for a Debian 12.
fn older(folder: &Path) -> PathBuf {
    let (tree, image) = (folder.join("older"), folder.join("older.raw"));
    for (path, text) in [
        ("usr/lib/extension-release.d/extension-release.older", "ID=debian\nVERSION_ID=12\n"),
        ("usr/share/older", "older\n"),
    ] {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    tool("mkfs.erofs", "erofs-utils", &["--quiet", text(&image), text(&tree)]);
    image
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
fn tool(name: &str, package: &'static str, arguments: &[&str]) {
    let done = run_tool(name, package, arguments);
    assert_eq!(done.exit, Exit::Code(0), "{name}: {}", done.stderr_tail);
}

/// Builds a recipe from the cache: what lies below it is there.
fn build(recipe: &Path, out: &Path) {
    let mut build = Command::new(&Program::at(basalt_program("basalt")).unwrap());
    for name in ["BASALT_CACHE", "BASALT_NODE_DIR", "HOME", "PATH"] {
        if let Some(value) = env::var_os(name) {
            build = build.env(name, value);
        }
    }
    build.args(["build", text(recipe), "-o", text(out)]).run().unwrap();
}

/// A volume with the extensions and the document that names them.
fn volume(folder: &Path) -> PathBuf {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/edge");
    let (project, files, disk) = (folder.join("edge"), folder.join("files"), folder.join("volume.ext4"));
    tool("cp", "coreutils", &["-r", text(&example), text(&project)]);
    fs::write(project.join("site.yaml"), RECIPE).unwrap();
    build(&project.join("site.yaml"), &folder.join("out"));
    fs::create_dir(&files).unwrap();
    let images = [("site", "out/site.sysext.raw"), ("conf", "out/site.confext.raw"), ("older", "older.raw")];
    older(folder);
    let mut items = String::new();
    for (name, from) in images {
        let bytes = fs::read(folder.join(from)).unwrap();
        let digest = Digest::of(&bytes);
        items += &format!("    - {{name: {name}, path: /run/volume/{name}.raw, digest: \"{digest}\"}}\n");
        fs::write(files.join(format!("{name}.raw")), bytes).unwrap();
    }
    let head = "apiVersion: basalt.dev/v1alpha1\nkind: NodeConfig\nspec:\n  extensions:\n";
    fs::write(files.join("document.yaml"), format!("{head}{items}")).unwrap();
    tool("mkfs.ext4", "e2fsprogs", &["-q", "-d", text(&files), text(&disk), "64M"]);
    disk
}

#[track_caller]
fn check(shell: &mut Shell<'_>, command: &str) -> String {
    shell.check(command).unwrap_or_else(|error| panic!("{error}\n{}", journal(shell))).trim().to_owned()
}

fn journal(shell: &mut Shell<'_>) -> String {
    let units = "-u basalt-reconcile.service -u basalt-agent.service";
    let command = format!("journalctl --no-pager -o cat -n 60 {units}");
    shell.run(&command).map(|output| output.text).unwrap_or_default()
}

#[track_caller]
fn assert_merged(shell: &mut Shell<'_>) {
    for (command, wanted) in [
        ("site; cat /etc/site.conf", "site\nfrom an extension"),
        // Nobody waits for it: it is on its way.
        ("until systemctl is-active site.service | grep -v activating; do sleep 1; done", "active"),
        ("cat /usr/.systemd-sysext/extensions /etc/.systemd-confext/confexts | sort", "conf\nsite"),
        ("ls /usr/share/older 2>&1 | grep -c 'No such'", "1"),
        ("touch /etc/written && ls /etc/written", "/etc/written"),
        ("systemctl --failed --no-legend", ""),
    ] {
        assert_eq!(check(shell, command), wanted, "{command}\n{}", journal(shell));
    }
    let status = shell.run("basalt-agent status").unwrap().text;
    for line in [
        "Extension/site (Merged)",
        "not Extension/older (Absent): the extension `older` is for another system: its VERSION_ID is `12`, and this system's is `13`",
    ] {
        assert!(status.contains(line), "`{line}` is not in\n{status}");
    }
}

/// What the machine says of itself: nobody told the kernel to crash yet.
#[track_caller]
fn assert_tells(shell: &mut Shell<'_>, within: Duration) {
    let doctor = shell.run_within("basalt-agent doctor --json", within).unwrap();
    assert_eq!(doctor.status, 1, "an extension is refused: {}", doctor.text);
    let codes =
        ["configurationNotApplied", "notLookedAfter", "crashed", "noCrashStore", "noData", "journalLost"];
    for (code, found) in codes.into_iter().zip([true, false, false, false, false, false]) {
        let is_there = doctor.text.contains(&format!("\"code\": \"{code}\""));
        assert_eq!(is_there, found, "{code}: {}", doctor.text);
    }
    let bundle = shell.run_within("cd /run && basalt-agent logs bundle b.tar.zst", within).unwrap();
    assert_eq!(bundle.status, 0, "{}", bundle.text);
    for part in
        ["journal/boot-0", "status", "configuration", "plan", "doctor", "boot/entries", "storage/table"]
    {
        assert!(!bundle.text.contains(&format!("without {part}")), "{}", bundle.text);
    }
    assert_eq!(
        check(shell, "stat -c '%a' /run/b.tar.zst && head -c 4 /run/b.tar.zst | od -An -tx1"),
        "600\n 28 b5 2f fd"
    );
    let banner = check(shell, "cat /run/issue.d/50-basalt.issue");
    assert!(banner.starts_with("slot a · "), "{banner}");
    eprintln!("operate: doctor says\n{}\nand the bundle\n{}", doctor.text, bundle.text);
}

#[test]
fn extensions_come_and_go_with_documents_and_a_crash_is_told() {
    let (folder, began) = (tempfile::tempdir().unwrap(), Instant::now());
    let mut machine = Machine::uefi(test_image().disk());
    machine.disks.push(Disk::raw(volume(folder.path())));
    let said = |what: &str| eprintln!("operate: {what} after {:.0} s", began.elapsed().as_secs_f64());
    said("built");
    let (mut machine, login) = (basalt_vm::boot(&machine).unwrap(), test_image().login());
    let within = patience(&machine, Duration::from_secs(60));

    let mut shell = root_shell(&mut machine, &login);
    said("started");
    check(&mut shell, "mkdir /run/volume && mount -o ro /dev/vdb /run/volume");
    let applied = shell.run_within("basalt-agent apply /run/volume/document.yaml", within).unwrap();
    assert_eq!(applied.status, 1, "one is refused: {}\n{}", applied.text, journal(&mut shell));
    assert_merged(&mut shell);
    // systemd's own opinion of the one that is refused.
    check(&mut shell, "mount --mkdir -t erofs -o loop,ro /run/volume/older.raw /run/extensions/older");
    shell.run_within("systemd-sysext refresh", within).unwrap();
    assert_eq!(
        check(&mut shell, "ls /usr/share/older 2>&1 | grep -c 'No such'; which site"),
        "1\n/usr/bin/site"
    );
    check(&mut shell, "umount /run/extensions/older && rmdir /run/extensions/older");
    said("merged");

    // Somebody takes it apart: it is shown, and put together again.
    check(&mut shell, "systemctl stop basalt-agent && systemd-sysext unmerge && ! which site");
    let drift = shell.run_within("basalt-agent plan", within).unwrap();
    assert_eq!(
        (drift.status, drift.text.contains("merge the system extensions")),
        (1, true),
        "{}",
        drift.text
    );
    shell.run_within("basalt-agent apply", within).unwrap();
    assert_eq!(check(&mut shell, "site"), "site");

    check(&mut shell, "systemctl start basalt-agent");
    assert_tells(&mut shell, within);
    said("told");

    // Each boot, from what is kept: the volume is not there. This one comes after a crash.
    shell.type_line("echo c > /proc/sysrq-trigger").unwrap();
    let mut shell = root_shell(&mut machine, &login);
    said("started again");
    let doctor = shell.run_within("basalt-agent doctor", within).unwrap().text;
    assert!(doctor.contains("the kernel crashed") && doctor.contains("sysrq triggered crash"), "{doctor}");
    assert_merged(&mut shell);
    let time = |unit: &str| format!("systemctl show -P ActiveEnterTimestampMonotonic {unit}");
    let times = format!("test $({}) -lt $({})", time("site.service"), time("multi-user.target"));
    check(&mut shell, &times);

    let removed = shell.run_within("basalt-agent apply --remove", within).unwrap();
    assert_eq!(removed.status, 0, "{}\n{}", removed.text, journal(&mut shell));
    for (command, wanted) in [
        ("ls /usr/bin/site /etc/site.conf /usr/.systemd-sysext 2>&1 | grep -c 'No such'", "3"),
        ("ls /run/extensions /run/confexts /var/lib/basalt/extensions | grep -c raw", "0"),
        ("systemctl is-active site.service", "inactive"),
    ] {
        assert_eq!(shell.run(command).unwrap().text.trim(), wanted, "{command}\n{}", journal(&mut shell));
    }
    said("gone");
    shell.type_line("systemctl poweroff").unwrap();
    machine.wait_exit(Duration::from_secs(300)).unwrap();
}
