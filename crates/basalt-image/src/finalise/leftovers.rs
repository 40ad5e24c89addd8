use std::collections::BTreeMap;

use basalt_formats::tree::{Kind, NodeId, Tree};
use basalt_spec::ImageInfo;

use super::{Editor, FinaliseCause};
use crate::layout::LayoutSpec;

/// Files that a build leaves behind: a folder, how a name starts, how it ends.
const LEFTOVERS: [(&str, &str, &str); 28] = [
    ("/", ".dockerenv", ""),
    // Copies that shadow's and Debian's account tools make before each change, and their locks.
    ("/etc", "passwd-", ""),
    ("/etc", "group-", ""),
    ("/etc", "shadow-", ""),
    ("/etc", "gshadow-", ""),
    ("/etc", "subuid-", ""),
    ("/etc", "subgid-", ""),
    ("/etc", ".pwd.lock", ""),
    // dpkg's own copies, logs and locks; a log says when a package was installed.
    ("/var/lib/dpkg", "", "-old"),
    ("/var/lib/dpkg", "lock", ""),
    ("/var/lib/dpkg/triggers", "Lock", ""),
    ("/var/log", "dpkg.log", ""),
    ("/var/log", "alternatives.log", ""),
    ("/var/log", "bootstrap.log", ""),
    ("/var/log", "fontconfig.log", ""),
    ("/var/log/apt", "", ""),
    ("/var/backups", "", ""),
    // Indices and archives: nothing on a machine uses them before it fetches newer ones.
    ("/var/lib/apt/lists", "", ""),
    ("/var/cache/apt", "", ".bin"),
    ("/var/cache/apt/archives", "", ""),
    ("/var/cache/apt/archives/partial", "", ""),
    ("/var/cache/debconf", "", "-old"),
    // Inode numbers and times of the build host, which ldconfig checks before it believes them.
    ("/var/cache/ldconfig", "aux-cache", ""),
    ("/var/cache/man", "", ""),
    // Secrets that two machines must not share.
    ("/var/lib/systemd", "random-seed", ""),
    ("/var/lib/systemd", "credential.secret", ""),
    ("/var/lib/dbus", "machine-id", ""),
    ("/var/tmp", "", ""),
];

/// Mount points that every Linux needs, with their modes when nothing is mounted.
const MOUNT_POINTS: [(&str, u16); 6] =
    [("/dev", 0o755), ("/proc", 0o555), ("/run", 0o755), ("/sys", 0o555), ("/tmp", 0o1777), ("/efi", 0o755)];

pub(super) fn remove(editor: &mut Editor<'_>, _: &ImageInfo<LayoutSpec>) -> Result<(), FinaliseCause> {
    for (folder, start, end) in LEFTOVERS {
        let matching = |name: &String| name.starts_with(start) && name.ends_with(end);
        for name in editor.names(folder).into_iter().filter(matching) {
            let path = format!("{}/{name}", folder.trim_end_matches('/'));
            // Folders stay: packages own them and expect them. Links stay too, except that of a machine's id.
            if is_file(editor.tree, &path) {
                editor.tree.remove(&path);
            }
        }
    }
    Ok(())
}

pub(super) fn mount_points(editor: &mut Editor<'_>, _: &ImageInfo<LayoutSpec>) -> Result<(), FinaliseCause> {
    for (path, mode) in MOUNT_POINTS {
        empty(editor, path, mode)?;
    }
    Ok(())
}

pub(super) fn boot(editor: &mut Editor<'_>, _: &ImageInfo<LayoutSpec>) -> Result<(), FinaliseCause> {
    empty(editor, "/boot", 0o755)?;
    // Links of older kernel packages into /boot would lead nowhere now.
    for link in ["/vmlinuz", "/vmlinuz.old", "/initrd.img", "/initrd.img.old"] {
        editor.tree.remove(link);
    }
    Ok(())
}

/// Every time is at most the epoch; what was made here without one has it.
pub(super) fn times(editor: &mut Editor<'_>, _: &ImageInfo<LayoutSpec>) -> Result<(), FinaliseCause> {
    let epoch = editor.epoch();
    let mut ids: Vec<NodeId> = Vec::new();
    editor.tree.walk(&mut |_, id| ids.push(id));
    for id in ids {
        let metadata = &mut editor.tree.node_mut(id).metadata;
        if metadata.mtime >= epoch || metadata.mtime <= 0 {
            metadata.mtime = epoch;
            metadata.mtime_nanos = 0;
        }
    }
    Ok(())
}

/// An empty directory, whatever was there.
fn empty(editor: &mut Editor<'_>, path: &str, mode: u16) -> Result<(), FinaliseCause> {
    editor.tree.remove(path);
    editor.put(path, Kind::Directory(BTreeMap::new()), editor.rooted(mode))?;
    Ok(())
}

fn is_file(tree: &Tree, path: &str) -> bool {
    tree.lookup(path).is_some_and(|id| match tree.node(id).kind {
        Kind::File(_) => true,
        Kind::Directory(_)
        | Kind::Symlink(_)
        | Kind::CharDevice(_)
        | Kind::BlockDevice(_)
        | Kind::Fifo
        | Kind::Socket => false,
    })
}
