//! Machines and the factory: one moves to what was built, straight from the registry; another runs it over the network by iPXE.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod serve_support;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use basalt_formats::{
    WriteAt,
    fat::{Directory, Volume},
};
use basalt_testkit::{patience, root_shell, test_image};
use basalt_types::ByteSize;
use basalt_vm::{Disk, Machine, Network};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;
use serve_support::{Factory, Program};

/// The example as somebody writes it who has no folder on the factory's host, and a version later.
fn recipe(outputs: &str) -> String {
    let mut recipe = include_str!("../../../examples/edge/recipe.yaml").to_owned();
    for (from, to) in [
        ("version: 0.1.0", "version: 0.2.0"),
        ("source: files/issue", "content: \"edge\\n\""),
        ("source: files/motd", "content: \"built by a factory\\n\""),
    ] {
        assert!(recipe.contains(from), "the example has changed: it has no `{from}`");
        recipe = recipe.replace(from, to);
    }
    format!("{recipe}\noutputs: [{outputs}]\n")
}

/// Has the recipe built; the build's id.
fn built(program: &Program<'_>, outputs: &str) -> String {
    let asked = program.build(&recipe(outputs));
    let id = asked.json()["id"].as_str().unwrap_or_else(|| panic!("{}", asked.text())).to_owned();
    program.wait(&id, "succeeded");
    id
}

/// The factory listens on the host's 127.0.0.1, which machines know by another address.
fn from_machines(address: &str) -> String {
    assert!(address.contains("127.0.0.1"), "{address}");
    address.replace("127.0.0.1", "10.0.2.2")
}

#[test]
fn a_machine_upgrades_straight_from_the_factory() {
    let factory = Factory::start(&[]);
    let program = factory.first_person().token(&["read", "build"]);
    built(&program, "oci");

    let image = test_image();
    let machine = Machine { network: Network::User { ssh_port: None }, ..Machine::uefi(image.disk()) };
    let mut machine = basalt_vm::boot(&machine).unwrap();
    let within = patience(&machine, Duration::from_secs(60));
    let mut shell = root_shell(&mut machine, &image.login());
    let registry = from_machines(factory.address.trim_start_matches("http://"));
    let upgrade = format!("basalt-agent upgrade {registry}/factory/edge:0.2.0 --insecure");
    let stranger = shell.run_within(&upgrade, within).unwrap();
    assert!(stranger.status == 3 && stranger.text.contains("401"), "{}", stranger.text);
    let known = BASE64_STANDARD.encode(format!("ada:{}", program.token));
    let known = format!("{{\"auths\":{{\"{registry}\":{{\"auth\":\"{known}\"}}}}}}");
    shell.check(&format!("mkdir -p /root/.docker && echo '{known}' >/root/.docker/config.json")).unwrap();
    let upgraded = shell.run_within(&upgrade, within).unwrap();
    assert!(upgraded.text.contains("done: 0.2.0 runs after the next boot"), "{}", upgraded.text);
    shell.type_line("systemctl reboot").unwrap();

    let mut shell = root_shell(&mut machine, &image.login());
    assert_eq!(shell.check("cat /etc/motd").unwrap().trim(), "built by a factory");
    let status = shell.check("basalt-agent status").unwrap();
    assert!(status.contains("edge 0.2.0 · amd64 · healthy"), "{status}");
}

/// iPXE on a volume that firmware boots from, as it would from a network card.
fn ipxe_volume(folder: &Path) -> PathBuf {
    let program = fs::read("/usr/lib/ipxe/ipxe.efi").expect("apt install ipxe");
    let mut root = Directory::new();
    root.insert("EFI/BOOT/BOOTX64.EFI", program).unwrap();
    let size = ByteSize::mib(40);
    let volume = Volume { size, label: "IPXE".parse().unwrap(), volume_id: 1, epoch: 1_750_000_000, root };
    let path = folder.join("ipxe.img");
    let file = File::create(&path).unwrap();
    file.set_len(size.get()).unwrap();
    volume.write_to(&Sink(file), 0).unwrap();
    path
}

struct Sink(File);

impl WriteAt for Sink {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
}

#[test]
fn the_network_boots_live_by_ipxe_from_the_factory() {
    let factory = Factory::start(&[]);
    let program = factory.first_person().token(&["read", "build", "manage"]);
    let id = built(&program, "netboot, uki");
    let make_link = || {
        let made = program.send("PUT", &format!("/builds/{id}/boot-link"), None);
        assert_eq!(made.status, 200, "{}", made.text());
        made.json()["script"].as_str().unwrap().to_owned()
    };
    let get = |link: &str| factory.get(link.trim_start_matches(&factory.address), &[]);
    let (old, link) = (make_link(), make_link());
    assert_eq!(get(&old).status, 404, "a new link takes the place of the one before");
    assert!(get(&link).text().starts_with("#!ipxe\n"));
    assert_eq!(get(&link.replace("edge.ipxe", "edge.efi")).status, 404, "the link opens no other file");
    assert_eq!(get(&link.replace("edge.ipxe", "SHA256SUMS")).status, 404);

    let folder = tempfile::tempdir().unwrap();
    // On a host under load an emulated timer may miss the kernel's check of it, which is a panic.
    let argument = "io.systemd.stub.kernel-cmdline-extra=no_timer_check".to_owned();
    let machine = Machine {
        network: Network::Boot { file: from_machines(&link) },
        memory: ByteSize::gib(3),
        disks: vec![Disk::raw(ipxe_volume(folder.path())), Disk::raw(test_image().disk())],
        oem_strings: vec![argument],
        ..Machine::uefi("")
    };
    let mut machine = basalt_vm::boot(&machine).unwrap();
    let mut shell = root_shell(&mut machine, &test_image().login());
    let mut check = |command: &str| shell.check(command).unwrap().trim().to_owned();
    assert_eq!(check("cat /etc/motd"), "built by a factory");
    assert_eq!(check("findmnt -no FSTYPE /var"), "tmpfs");
    let status = check("basalt-agent status");
    for line in ["edge 0.2.0 · amd64 · healthy", "verified: every block", "slot     live on /dev/loop0"] {
        assert!(status.contains(line), "`{line}` is not in:\n{status}");
    }
    // Its disk, behind iPXE's, is as the builder made it, and nothing of it is in use.
    let labels = check("lsblk -nro PARTLABEL /dev/vdb | grep .");
    assert_eq!(labels.lines().collect::<Vec<_>>(), ["esp", "basalt-a", "basalt-a-verity"]);
    assert_eq!(check("lsblk -nro MOUNTPOINTS /dev/vdb | grep . | cat"), "");

    let machines = program.get(&format!("/builds/{id}/machines"));
    assert_eq!(machines["machines"][0]["file"], "edge.initrd", "{machines}");
    assert_eq!(machines["machines"].as_array().unwrap().len(), 1, "{machines}");
    assert_eq!(program.send("DELETE", &format!("/builds/{id}/boot-link"), None).status, 204);
    assert_eq!(get(&link).status, 404);
    assert_eq!(program.get(&format!("/builds/{id}"))["state"], json!("succeeded"));
}
