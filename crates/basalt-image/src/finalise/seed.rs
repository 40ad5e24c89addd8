use std::collections::BTreeMap;

use basalt_formats::tree::{Content, Kind, Metadata, NodeId};
use basalt_spec::ImageInfo;

use super::{
    Editor, FinaliseCause,
    tmpfiles::{Line, Owned, Sort, made_by_packages},
    writable::{DATABASE, FOLDERS},
};
use crate::layout::LayoutSpec;

/// The lines that fill an empty `/var`.
const LINES: &str = "/usr/lib/tmpfiles.d/basalt-var.conf";
/// Where systemd-tmpfiles finds what `C` copies (tmpfiles.d(5)).
const FACTORY: &str = "/usr/share/factory";

/// Moves the content of `/var` to the factory folder and writes the lines that bring it back.
///
/// Folders of people (homes, `/opt`, `/usr/local` …) are copied once and whole: a file that somebody deleted stays
/// deleted. The rest is line by line, so that a folder which a later image brings is made on old machines too.
pub(super) fn seed(editor: &mut Editor<'_>, _: &ImageInfo<LayoutSpec>) -> Result<(), FinaliseCause> {
    let known = made_by_packages(editor)?;
    let mut lines = Vec::new();
    collect(editor, &mut lines)?;
    lines.retain(|line| match line.sort {
        Sort::Directory(_) | Sort::Link(_) => !known.contains(&line.path),
        Sort::Copy(_) | Sort::CopyAll | Sort::ForceLink(_) | Sort::Fifo(_) | Sort::CharDevice(..) => true,
    });
    let text: String =
        std::iter::once(HEADER.to_owned()).chain(lines.iter().map(|line| format!("{line}\n"))).collect();
    editor.write(LINES, text, 0o644)?;
    let factory = editor.tree.make_directories(FACTORY)?;
    let empty = Kind::Directory(BTreeMap::new());
    match editor.tree.remove("/var") {
        Some(var) => {
            editor.tree.remove(&format!("{FACTORY}/var"));
            editor.tree.link(factory, b"var", var)?;
            // The database is in /usr; its link is in the lines.
            editor.tree.remove(&format!("{FACTORY}{}", DATABASE.1));
        }
        None => editor.put(&format!("{FACTORY}/var"), empty.clone(), editor.rooted(0o755))?,
    }
    editor.put("/var", empty, editor.rooted(0o755))?;
    Ok(())
}

const HEADER: &str = "# Made by Basalt: fills an empty /var from /usr/share/factory/var.\n";

fn collect(editor: &Editor<'_>, lines: &mut Vec<Line>) -> Result<(), FinaliseCause> {
    let Some(var) = editor.tree.lookup("/var") else { return Ok(()) };
    let mut pending = vec![("/var".to_owned(), var)];
    while let Some((folder, id)) = pending.pop() {
        let Kind::Directory(entries) = &editor.tree.node(id).kind else { continue };
        for (name, id) in entries {
            let name = std::str::from_utf8(name)
                .map_err(|_not_text| FinaliseCause::Name(String::from_utf8_lossy(name).into_owned()))?;
            let path = format!("{folder}/{name}");
            let sort = sort(editor, &path, *id)?;
            if matches!(sort, Sort::Directory(_)) {
                pending.push((path.clone(), *id));
            }
            lines.push(Line { path, sort });
        }
    }
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(())
}

fn sort(editor: &Editor<'_>, path: &str, id: NodeId) -> Result<Sort, FinaliseCause> {
    let node = editor.tree.node(id);
    let Metadata { mode, uid, gid, .. } = node.metadata;
    let owned = Owned { mode, uid, gid };
    let (place, known) = DATABASE;
    if path == known {
        return Ok(Sort::ForceLink(format!("../..{place}")));
    }
    Ok(match &node.kind {
        Kind::Directory(_) if copied_whole(path) => Sort::CopyAll,
        Kind::Directory(_) => Sort::Directory(owned),
        Kind::File(Content { .. }) => Sort::Copy(owned),
        Kind::Symlink(target) => Sort::Link(target.clone()),
        Kind::Fifo => Sort::Fifo(owned),
        Kind::CharDevice(device) => Sort::CharDevice(owned, *device),
        Kind::BlockDevice(_) | Kind::Socket => return Err(FinaliseCause::NoSeed(path.to_owned())),
    })
}

/// Whether a folder belongs to people: each home, and the other folders of [`FOLDERS`] themselves.
fn copied_whole(path: &str) -> bool {
    FOLDERS.iter().any(|(_, place, _)| match *place {
        "/var/home" => path.strip_prefix("/var/home/").is_some_and(|name| !name.contains('/')),
        place => path == place,
    })
}
