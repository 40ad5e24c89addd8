//! dpkg's database as `dpkg --unpack` would leave it (dpkg(1), FILES): status, file lists, control files, triggers.
//!
//! Pure: packages and what was unpacked of them in, files out. dpkg rewrites `status` when it configures, so the order
//! of its fields is not ours to keep; everything else stays on the image byte for byte.

use std::collections::BTreeMap;

use crate::unpack::Unpackable;

/// The directory that all paths here are relative to.
pub const ADMIN_DIRECTORY: &str = "var/lib/dpkg";

/// A file of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFile {
    /// Relative to [`ADMIN_DIRECTORY`].
    pub path: String,
    /// Permission bits.
    pub mode: u16,
    /// Modification time when the package set it.
    pub mtime: Option<i64>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A package and the paths of its data archive in archive order, relative (`usr/bin`; the root is empty).
#[derive(Debug, Clone, Copy)]
pub struct Unpacked<'a> {
    /// The package.
    pub package: &'a Unpackable,
    /// Its paths.
    pub paths: &'a [Vec<u8>],
}

/// All files of the database for these packages, and for no others.
pub fn files(architecture: &str, unpacked: &[Unpacked<'_>]) -> Vec<DatabaseFile> {
    let mut sorted: Vec<Unpacked<'_>> = unpacked.to_vec();
    sorted.sort_by_key(|one| (&one.package.name, &one.package.architecture));
    let mut files = vec![
        text("status", sorted.iter().map(|one| stanza(one.package)).collect()),
        text("info/format", "1\n".to_owned()),
        text("arch", format!("{architecture}\n")),
    ];
    for one in &sorted {
        let key = one.package.key();
        files.push(DatabaseFile {
            path: format!("info/{key}.list"),
            mode: 0o644,
            mtime: None,
            bytes: list(one.paths),
        });
        files.extend(one.package.files.iter().map(|file| DatabaseFile {
            path: format!("info/{key}.{}", file.name),
            mode: file.mode,
            mtime: Some(file.mtime),
            bytes: file.bytes.clone(),
        }));
    }
    files.extend(triggers(sorted.iter().map(|one| one.package)));
    files
}

fn text(path: &str, text: String) -> DatabaseFile {
    DatabaseFile { path: path.to_owned(), mode: 0o644, mtime: None, bytes: text.into_bytes() }
}

/// The paragraph of an unpacked package; its conffiles are marked as not yet in place.
fn stanza(package: &Unpackable) -> String {
    let mut stanza = format!("{}Status: install ok unpacked\n", package.control);
    if !package.conffiles.is_empty() {
        stanza.push_str("Conffiles:\n");
        for line in conffiles_in_order(package) {
            stanza.push_str(&format!(" {line} newconffile\n"));
        }
    }
    stanza.push('\n');
    stanza
}

fn conffiles_in_order(package: &Unpackable) -> Vec<String> {
    let bytes = package.file("conffiles").map(|file| file.bytes.as_slice()).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// One absolute path a line, in archive order; the root is `/.`.
fn list(paths: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for path in paths {
        bytes.push(b'/');
        bytes.extend_from_slice(if path.is_empty() { b"." } else { path });
        bytes.push(b'\n');
    }
    bytes
}

/// Who wants to be triggered by what: `triggers/File` for paths, a file of its own for each other name
/// (deb-triggers(5); dpkg's `doc/triggers.txt`).
fn triggers<'p>(packages: impl Iterator<Item = &'p Unpackable>) -> Vec<DatabaseFile> {
    let mut by_path = String::new();
    let mut by_name: BTreeMap<String, String> = BTreeMap::new();
    for package in packages {
        let bytes = package.file("triggers").map(|file| file.bytes.as_slice()).unwrap_or_default();
        for line in String::from_utf8_lossy(bytes).lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let suffix = match words.next() {
                Some("interest" | "interest-await") => "",
                Some("interest-noawait") => "/noawait",
                Some(_) | None => continue,
            };
            let Some(name) = words.next() else { continue };
            let interest = format!("{}{suffix}\n", package.key());
            if name.starts_with('/') {
                by_path.push_str(&format!("{name} {interest}"));
            } else {
                by_name.entry(name.to_owned()).or_default().push_str(&interest);
            }
        }
    }
    let mut files: Vec<DatabaseFile> =
        by_name.into_iter().map(|(name, interests)| text(&format!("triggers/{name}"), interests)).collect();
    files.push(text("triggers/File", by_path));
    files.push(text("triggers/Unincorp", String::new()));
    files
}

#[cfg(test)]
mod tests;
