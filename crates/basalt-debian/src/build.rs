//! Makes a binary package (deb(5), format 2.0) from files in memory: how the node programs enter an image, so that
//! dpkg knows every file on it.
//!
//! Same input, same bytes: owners are root, every time is the given epoch, members are sorted.

use std::{collections::BTreeSet, io};

use md5::Digest as _;

/// One file of the package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Path without a leading slash, such as `usr/bin/basalt-agent`.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
}

/// What a packaged file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file with these permission bits and bytes.
    Regular {
        /// Permission bits.
        mode: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A symbolic link to this target.
    Symlink(String),
}

/// Builds the archive: `control` is the control paragraph (with its final newline), `epoch` the time of every member
/// in seconds since 1970.
///
/// # Errors
/// When a path is too long for a tar header; memory is the only other thing written to.
pub fn build(control: &str, files: &[File], epoch: u64) -> io::Result<Vec<u8>> {
    let control_tar = control_archive(control, files, epoch)?;
    let data_tar = data_archive(files, epoch)?;
    let mut archive = b"!<arch>\n".to_vec();
    append_member(&mut archive, "debian-binary", b"2.0\n", epoch);
    append_member(&mut archive, "control.tar.zst", &zstd::encode_all(&control_tar[..], 3)?, epoch);
    append_member(&mut archive, "data.tar.zst", &zstd::encode_all(&data_tar[..], 3)?, epoch);
    Ok(archive)
}

fn control_archive(control: &str, files: &[File], epoch: u64) -> io::Result<Vec<u8>> {
    let mut sums = String::new();
    for file in files {
        if let FileKind::Regular { bytes, .. } = &file.kind {
            let digest: Vec<String> =
                md5::Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            sums.push_str(&format!("{}  {}\n", digest.concat(), file.path));
        }
    }
    let mut tar = tar::Builder::new(Vec::new());
    append_directory(&mut tar, "./", epoch)?;
    append_regular(&mut tar, "./control", 0o644, control.as_bytes(), epoch)?;
    append_regular(&mut tar, "./md5sums", 0o644, sums.as_bytes(), epoch)?;
    tar.into_inner()
}

fn data_archive(files: &[File], epoch: u64) -> io::Result<Vec<u8>> {
    let mut sorted: Vec<&File> = files.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let mut tar = tar::Builder::new(Vec::new());
    let mut made = BTreeSet::new();
    append_directory(&mut tar, "./", epoch)?;
    for file in sorted {
        for (end, _) in file.path.match_indices('/') {
            let directory = &file.path[..end];
            if made.insert(directory) {
                append_directory(&mut tar, &format!("./{directory}/"), epoch)?;
            }
        }
        let path = format!("./{}", file.path);
        match &file.kind {
            FileKind::Regular { mode, bytes } => append_regular(&mut tar, &path, *mode, bytes, epoch)?,
            FileKind::Symlink(target) => {
                let mut header = header(tar::EntryType::Symlink, 0o777, 0, epoch);
                set_path(&mut header, &path)?;
                header.set_link_name_literal(target)?;
                header.set_cksum();
                tar.append(&header, io::empty())?;
            }
        }
    }
    tar.into_inner()
}

fn append_directory(tar: &mut tar::Builder<Vec<u8>>, path: &str, epoch: u64) -> io::Result<()> {
    let mut header = header(tar::EntryType::Directory, 0o755, 0, epoch);
    set_path(&mut header, path)?;
    header.set_cksum();
    tar.append(&header, io::empty())
}

fn append_regular(
    tar: &mut tar::Builder<Vec<u8>>,
    path: &str,
    mode: u32,
    bytes: &[u8],
    epoch: u64,
) -> io::Result<()> {
    let mut header = header(tar::EntryType::Regular, mode, bytes.len() as u64, epoch);
    set_path(&mut header, path)?;
    header.set_cksum();
    tar.append(&header, bytes)
}

fn header(kind: tar::EntryType, mode: u32, size: u64, epoch: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(epoch);
    header.set_size(size);
    header
}

/// Writes the path as it is: the `tar` crate's own setter drops the leading `./` that dpkg-deb writes.
fn set_path(header: &mut tar::Header, path: &str) -> io::Result<()> {
    let field = &mut header.as_old_mut().name;
    if path.len() > field.len() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{path}` is too long for a tar header"),
        ));
    }
    field[..path.len()].copy_from_slice(path.as_bytes());
    Ok(())
}

/// Appends one member of an ar(5) archive: 60 bytes of header, the bytes, padding to an even length.
fn append_member(archive: &mut Vec<u8>, name: &str, bytes: &[u8], epoch: u64) {
    let header = format!("{name:<16}{epoch:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, "100644", bytes.len());
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(bytes);
    if !bytes.len().is_multiple_of(2) {
        archive.push(b'\n');
    }
}
