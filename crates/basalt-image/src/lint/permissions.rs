//! Modes, owners and capabilities.

use std::collections::BTreeSet;

use basalt_formats::tree::Kind;

use super::{Image, LintError, Notes};

/// Programs that Debian ships with other rights than the caller's, because they could not do their work otherwise.
const SETUID: [&str; 25] = [
    "/usr/bin/at",
    "/usr/bin/chage",
    "/usr/bin/chfn",
    "/usr/bin/chsh",
    "/usr/bin/crontab",
    "/usr/bin/expiry",
    "/usr/bin/fusermount3",
    "/usr/bin/gpasswd",
    "/usr/bin/mount",
    "/usr/bin/newgidmap",
    "/usr/bin/newgrp",
    "/usr/bin/newuidmap",
    "/usr/bin/passwd",
    "/usr/bin/pkexec",
    "/usr/bin/ssh-agent",
    "/usr/bin/su",
    "/usr/bin/sudo",
    "/usr/bin/umount",
    "/usr/bin/wall",
    "/usr/lib/dbus-1.0/dbus-daemon-launch-helper",
    "/usr/lib/openssh/ssh-keysign",
    "/usr/lib/polkit-1/polkit-agent-helper-1",
    "/usr/sbin/mount.nfs",
    "/usr/sbin/pam_extrausers_chkpwd",
    "/usr/sbin/unix_chkpwd",
];

/// Programs that Debian gives capabilities.
const CAPABLE: [&str; 5] =
    ["/usr/bin/arping", "/usr/bin/mtr-packet", "/usr/bin/newgidmap", "/usr/bin/newuidmap", "/usr/bin/ping"];

const SET_ID: u16 = 0o6000;
const STICKY: u16 = 0o1000;
const OTHERS_WRITE: u16 = 0o002;

/// A program of a package that is known for it is no finding; one that only has the name is.
pub(super) fn setuid(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for (name, _) in image.files() {
        let metadata = &image.node(name).metadata;
        let known = name.owner.is_some() && SETUID.contains(&name.path.as_str());
        if metadata.mode & SET_ID != 0 && !known {
            let (mode, uid, gid) = (metadata.mode, metadata.uid, metadata.gid);
            notes.at(&name.path, format!("mode {mode:04o}, owner {uid}, group {gid}"));
        }
    }
    Ok(())
}

pub(super) fn capabilities(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for name in &image.names {
        let known = name.owner.is_some() && CAPABLE.contains(&name.path.as_str());
        if !known && let Some(value) = image.node(name).metadata.xattrs.get(b"security.capability".as_slice())
        {
            // struct vfs_cap_data (linux/capability.h): magic, then the low 32 bits that are permitted.
            let low = value.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
            notes.at(&name.path, format!("it has file capabilities (mask {:#x})", low.unwrap_or(0)));
        }
    }
    Ok(())
}

pub(super) fn world_writable(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for name in &image.names {
        let node = image.node(name);
        let mode = node.metadata.mode;
        if mode & OTHERS_WRITE == 0 {
            continue;
        }
        let path = if name.path.is_empty() { "/" } else { &name.path };
        match &node.kind {
            Kind::Directory(_) if mode & STICKY == 0 => {
                notes.at(
                    path,
                    format!("a folder that everybody may write, without the sticky bit (mode {mode:04o})"),
                );
            }
            Kind::File(_) => notes.at(path, format!("a file that everybody may write (mode {mode:04o})")),
            Kind::Directory(_)
            | Kind::Symlink(_)
            | Kind::CharDevice(_)
            | Kind::BlockDevice(_)
            | Kind::Fifo
            | Kind::Socket => {}
        }
    }
    Ok(())
}

pub(super) fn unknown_owner(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    let ids = |text: &str| -> BTreeSet<u32> {
        text.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok()).collect()
    };
    let (users, groups) = (ids(&image.text("/etc/passwd")?), ids(&image.text("/etc/group")?));
    if users.is_empty() || groups.is_empty() {
        return Ok(());
    }
    for name in &image.names {
        let metadata = &image.node(name).metadata;
        if !users.contains(&metadata.uid) {
            notes.at(&name.path, format!("user {} is not in /etc/passwd", metadata.uid));
        } else if !groups.contains(&metadata.gid) {
            notes.at(&name.path, format!("group {} is not in /etc/group", metadata.gid));
        }
    }
    Ok(())
}

pub(super) fn device_nodes(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for name in &image.names {
        match &image.node(name).kind {
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                notes.at(&name.path, format!("a device node ({}:{})", device.major, device.minor));
            }
            Kind::Directory(_) | Kind::File(_) | Kind::Symlink(_) | Kind::Fifo | Kind::Socket => {}
        }
    }
    Ok(())
}

pub(super) fn shadow_mode(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for path in ["/etc/shadow", "/etc/gshadow"] {
        let Ok(id) = image.tree.resolve(path) else { continue };
        let mode = image.tree.node(id).metadata.mode;
        if mode & 0o007 != 0 {
            notes.at(path, format!("everybody may read it (mode {mode:04o})"));
        }
    }
    Ok(())
}
