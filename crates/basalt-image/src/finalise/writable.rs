use std::collections::BTreeMap;

use basalt_formats::tree::{Kind, NodeId};
use basalt_spec::ImageInfo;

use super::{Editor, FinaliseCause};
use crate::layout::LayoutSpec;

/// Where the package database is in an image, and where programs look for it.
pub(super) const DATABASE: (&str, &str) = ("/usr/lib/sysimage/dpkg", "/var/lib/dpkg");

/// Folders that must be writable, where they are in `/var`, and the links that lead there.
pub(super) const FOLDERS: [(&str, &str, &str); 6] = [
    ("/home", "/var/home", "var/home"),
    ("/root", "/var/roothome", "var/roothome"),
    ("/srv", "/var/srv", "var/srv"),
    ("/opt", "/var/opt", "var/opt"),
    ("/usr/local", "/var/usrlocal", "../var/usrlocal"),
    ("/mnt", "/var/mnt", "var/mnt"),
];

pub(super) fn package_database(
    editor: &mut Editor<'_>,
    _: &ImageInfo<LayoutSpec>,
) -> Result<(), FinaliseCause> {
    let (place, known) = DATABASE;
    if let Some(Kind::Directory(_)) = editor.tree.lookup(known).map(|id| &editor.tree.node(id).kind)
        && let Some(id) = editor.tree.remove(known)
    {
        let above = editor.tree.make_directories("/usr/lib/sysimage")?;
        editor.tree.link(above, b"dpkg", id)?;
        editor.link(known, &format!("../..{place}"))?;
    }
    Ok(())
}

pub(super) fn folders(editor: &mut Editor<'_>, _: &ImageInfo<LayoutSpec>) -> Result<(), FinaliseCause> {
    for (path, place, target) in FOLDERS {
        match editor.tree.lookup(path).map(|id| (id, editor.tree.node(id).kind.clone())) {
            Some((id, Kind::Directory(entries))) => {
                let metadata = editor.tree.node(id).metadata.clone();
                // What a package has in /var under the same name already (Debian's /var/opt) stays.
                if editor.tree.lookup(place).is_none() {
                    editor.put(place, Kind::Directory(BTreeMap::new()), metadata)?;
                }
                let place = editor.tree.make_directories(place)?;
                move_entries(editor, place, entries)?;
                editor.tree.remove(path);
            }
            Some((
                _,
                Kind::File(_)
                | Kind::Symlink(_)
                | Kind::CharDevice(_)
                | Kind::BlockDevice(_)
                | Kind::Fifo
                | Kind::Socket,
            ))
            | None => {
                editor.tree.make_directories(place)?;
            }
        }
        editor.link(path, target)?;
    }
    Ok(())
}

fn move_entries(
    editor: &mut Editor<'_>,
    place: NodeId,
    entries: BTreeMap<Vec<u8>, NodeId>,
) -> Result<(), FinaliseCause> {
    for (name, id) in entries {
        editor.tree.link(place, &name, id)?;
    }
    Ok(())
}
