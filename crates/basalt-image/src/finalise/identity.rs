use basalt_formats::tree::{Content, Kind};
use basalt_spec::ImageInfo;

use super::{Editor, FinaliseCause};
use crate::{
    customise::UnitError,
    layout::LayoutSpec,
    units::{enable_into, has},
};

/// Where a machine keeps its SSH host keys.
const HOST_KEYS: &str = "/var/lib/basalt/ssh";

/// Units of the package `basalt-node`, and what starts them when their own `[Install]` section says nothing.
const UNITS: &[(&str, &str)] = &[
    ("basalt-provision.service", "local-fs.target"),
    ("var.mount", "local-fs.target"),
    ("basalt-identity.service", "multi-user.target"),
    ("basalt-history.service", "multi-user.target"),
    ("basalt-assess.service", "boot-complete.target"),
    ("basalt-bless.service", "multi-user.target"),
    ("basalt-reconcile.service", "sysinit.target"),
    ("basalt-agent.service", "multi-user.target"),
    ("basalt-install.service", "multi-user.target"),
];

pub(super) fn machine_id(editor: &mut Editor<'_>, _: &ImageInfo<LayoutSpec>) -> Result<(), FinaliseCause> {
    editor.put("/etc/machine-id", Kind::File(Content::inline(Vec::new())), editor.rooted(0o444))?;
    Ok(())
}

pub(super) fn ssh_host_keys(editor: &mut Editor<'_>, _: &ImageInfo<LayoutSpec>) -> Result<(), FinaliseCause> {
    for name in editor.names("/etc/ssh").into_iter().filter(|name| name.starts_with("ssh_host_")) {
        editor.tree.remove(&format!("/etc/ssh/{name}"));
    }
    if editor.exists("/usr/sbin/sshd") {
        let lines: String = ["ed25519", "ecdsa", "rsa"]
            .map(|sort| format!("HostKey {HOST_KEYS}/ssh_host_{sort}_key\n"))
            .concat();
        // sshd takes the first value of most keywords, and all HostKey lines: this file comes before sshd_config's own.
        editor.write("/etc/ssh/sshd_config.d/10-basalt-host-keys.conf", lines, 0o644)?;
    }
    Ok(())
}

pub(super) fn os_release(editor: &mut Editor<'_>, info: &ImageInfo<LayoutSpec>) -> Result<(), FinaliseCause> {
    let path = "/usr/lib/os-release";
    let text = editor.text(path)?.unwrap_or_else(|| "ID=linux\n".to_owned());
    let ours = |line: &&str| !line.starts_with("IMAGE_ID=") && !line.starts_with("IMAGE_VERSION=");
    let kept: String = text.lines().filter(ours).map(|line| format!("{line}\n")).collect();
    // Both are in a shell's plain characters (their types say so), except for `~` and `^`, which need quotes.
    let ours = format!("IMAGE_ID={}\nIMAGE_VERSION=\"{}\"\n", info.name, info.version);
    editor.write(path, kept + &ours, 0o644)?;
    if editor.tree.lookup("/etc/os-release").is_none() {
        editor.link("/etc/os-release", "../usr/lib/os-release")?;
    }
    Ok(())
}

pub(super) fn image_info(editor: &mut Editor<'_>, info: &ImageInfo<LayoutSpec>) -> Result<(), FinaliseCause> {
    editor.write(ImageInfo::<LayoutSpec>::PATH, info.to_json(), 0o644)?;
    Ok(())
}

pub(super) fn file_system_table(
    editor: &mut Editor<'_>,
    _: &ImageInfo<LayoutSpec>,
) -> Result<(), FinaliseCause> {
    let text = editor.text("/etc/fstab")?.unwrap_or_default();
    if text.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
        let text = "# Nothing here: / comes from the initramfs, /var from var.mount, the ESP from its partition type.\n";
        editor.write("/etc/fstab", text.to_owned(), 0o644)?;
    }
    Ok(())
}

pub(super) fn resolver(editor: &mut Editor<'_>, _: &ImageInfo<LayoutSpec>) -> Result<(), FinaliseCause> {
    let path = "/etc/resolv.conf";
    let written = match editor.tree.lookup(path).map(|id| &editor.tree.node(id).kind) {
        Some(Kind::File(content)) => content.size > 0,
        Some(Kind::Symlink(_)) => true,
        Some(Kind::Directory(_) | Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo | Kind::Socket)
        | None => false,
    };
    if !written && editor.exists("/usr/lib/systemd/systemd-resolved") {
        editor.link(path, "../run/systemd/resolve/stub-resolv.conf")?;
    } else if !written {
        let text = "# No resolver is configured.\n";
        editor.write(path, text.to_owned(), 0o644)?;
    }
    Ok(())
}

pub(super) fn units(editor: &mut Editor<'_>, _: &ImageInfo<LayoutSpec>) -> Result<(), FinaliseCause> {
    // In /usr: /etc belongs to whoever runs the machine.
    let links = "/usr/lib/systemd/system";
    for (unit, starter) in UNITS.iter().copied().filter(|(unit, _)| has(editor, unit)).collect::<Vec<_>>() {
        match enable_into(editor, unit, links) {
            Ok(()) => {}
            Err(UnitError::Static(_)) => {
                editor.link(&format!("{links}/{starter}.wants/{unit}"), &format!("../{unit}"))?;
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}

pub(super) fn package_timers(
    editor: &mut Editor<'_>,
    _: &ImageInfo<LayoutSpec>,
) -> Result<(), FinaliseCause> {
    for unit in [
        "apt-daily.timer",
        "apt-daily-upgrade.timer",
        "dpkg-db-backup.timer",
        // An upgrade brings the boot loader with it; nothing else may touch the ESP's.
        "systemd-boot-update.service",
    ] {
        if has(editor, unit) {
            editor.link(&format!("/etc/systemd/system/{unit}"), "/dev/null")?;
        }
    }
    Ok(())
}

pub(super) fn up_to_date(editor: &mut Editor<'_>, _: &ImageInfo<LayoutSpec>) -> Result<(), FinaliseCause> {
    let text = "# This /etc was made with the /usr beside it.\n".to_owned();
    editor.write("/etc/.updated", text, 0o644)?;
    Ok(())
}
