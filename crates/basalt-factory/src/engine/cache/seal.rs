//! The digest of a result, kept with the file itself as an extended attribute: a byte that the disk changed since is known
//! before anything is made from it.
//!
//! Against disks and accidents, not against people: whoever may write the file may write its seal. A file system without
//! such attributes keeps results without seals, and they are taken as they are.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use rustix::{fs::XattrFlags, io::Errno};
use sha2::Digest as _;

/// Its value is the SHA-256 of the content, 32 bytes.
const NAME: &str = "user.basalt.sha256";

/// Seals a file, or every file of a folder.
pub(super) fn put(path: &Path) -> io::Result<()> {
    for_each_file(path, &mut |file| match rustix::fs::setxattr(
        file,
        NAME,
        &digest(file)?,
        XattrFlags::empty(),
    ) {
        Ok(()) | Err(Errno::NOTSUP) => Ok(()),
        Err(error) => Err(error.into()),
    })
}

/// Whether a file, or every file of a folder, still has the content that it was sealed with.
pub(super) fn holds(path: &Path) -> io::Result<bool> {
    let mut holds = true;
    for_each_file(path, &mut |file| {
        let mut sealed = [0; 32];
        match rustix::fs::getxattr(file, NAME, &mut sealed) {
            Ok(_length) => holds &= digest(file)? == sealed,
            Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    })?;
    Ok(holds)
}

fn for_each_file(path: &Path, act: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    if !path.is_dir() {
        return act(path);
    }
    fs::read_dir(path)?.try_for_each(|entry| act(&entry?.path()))
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let (mut file, mut hasher, mut buffer) = (File::open(path)?, sha2::Sha256::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().into()),
            count => hasher.update(&buffer[..count]),
        }
    }
}
