//! Symbolic links that lead nowhere.

use basalt_formats::tree::Kind;

use super::{Image, LintError, Notes};

/// What is there only on a running machine: links into it are right.
const RUNTIME: [&str; 8] = ["/dev", "/efi", "/home", "/proc", "/run", "/sys", "/tmp", "/var"];

/// Links in unit folders are [`super::units`]'s.
pub(super) fn broken(image: &Image<'_>, notes: &mut Notes) -> Result<(), LintError> {
    for name in &image.names {
        let Kind::Symlink(target) = &image.node(name).kind else { continue };
        let target = String::from_utf8_lossy(target);
        let (folder, _) = name.path.rsplit_once('/').unwrap_or_default();
        let leads = absolute(folder, &target);
        let runtime = RUNTIME.iter().any(|top| leads.starts_with(&format!("{top}/")) || leads == *top);
        // A path in a seed or in documentation is not followed where it lies.
        let unfollowed = ["/usr/share/factory/", "/usr/share/doc/", "/etc/systemd/"];
        let elsewhere =
            unfollowed.iter().any(|top| name.path.starts_with(top)) || leads_through_runtime(image, &leads);
        if !runtime && !elsewhere && image.tree.resolve(&name.path).is_err() {
            notes.at(&name.path, format!("it leads to {target}, which is not there"));
        }
    }
    Ok(())
}

/// Whether the first part of a path is itself a link to something that is there only on a running machine, such as
/// `/root`, a link to `/var/roothome`.
fn leads_through_runtime(image: &Image<'_>, path: &str) -> bool {
    let top = path.split('/').nth(1).unwrap_or_default();
    let Some(id) = image.tree.lookup(top) else { return false };
    let Kind::Symlink(target) = &image.tree.node(id).kind else { return false };
    let target = absolute("", &String::from_utf8_lossy(target));
    RUNTIME.iter().any(|top| target.starts_with(&format!("{top}/")))
}

/// The path that a link in `folder` means, without asking what is there.
fn absolute(folder: &str, target: &str) -> String {
    let whole = if target.starts_with('/') { target.to_owned() } else { format!("{folder}/{target}") };
    let mut parts = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
