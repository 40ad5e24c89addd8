//! Units that something wants and that are not there.

use basalt_formats::tree::Kind;

use super::{Image, LintError, Notes};

/// Where systemd looks for units (systemd.unit(5)), for the system and for users.
const FOLDERS: [(&str, [&str; 3]); 2] = [
    (
        "/etc/systemd/system/",
        ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"],
    ),
    ("/etc/systemd/user/", ["/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"]),
];

/// A link in a `.wants`, `.requires` or `.upholds` folder names a unit by its own name. Links whose target is gone but
/// whose name is another unit's file are right: systemd reads only the name.
pub(super) fn missing(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for name in &image.names {
        let Some((_, search)) = FOLDERS.iter().find(|(start, _)| name.path.starts_with(start)) else {
            continue;
        };
        let Some((folder, unit)) = name.path.rsplit_once('/') else { continue };
        let wants = [".wants", ".requires", ".upholds"].iter().any(|end| folder.ends_with(end));
        if !wants || !matches!(image.node(name).kind, Kind::Symlink(_)) {
            continue;
        }
        let names = [Some(unit.to_owned()), template(unit)];
        let found = names
            .iter()
            .flatten()
            .any(|name| search.iter().any(|folder| image.tree.lookup(&format!("{folder}/{name}")).is_some()));
        // Generators make units at boot, of which only the link's own target tells.
        if !found && image.tree.resolve(&name.path).is_err() {
            notes.at(&name.path, format!("there is no unit {unit}"));
        }
    }
    Ok(())
}

/// `getty@tty1.service` → `getty@.service`.
fn template(unit: &str) -> Option<String> {
    let (stem, kind) = unit.rsplit_once('.')?;
    let (prefix, _) = stem.split_once('@')?;
    Some(format!("{prefix}@.{kind}"))
}
