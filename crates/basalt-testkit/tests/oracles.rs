//! Programs that we did not write accept the example disk as a whole.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

use basalt_exec::command::Exit;
use basalt_testkit::{Trixie, run_tool, test_image};

#[test]
fn the_partition_table_is_accepted() {
    let disk = test_image().disk().display().to_string();
    assert_eq!(run_tool("sfdisk", "fdisk", &["--verify", &disk]).exit, Exit::Code(0));
    let judged = run_tool("sgdisk", "gdisk", &["--verify", &disk]);
    assert!(String::from_utf8_lossy(&judged.stdout).contains("No problems found"), "{judged:?}");
}

#[test]
fn systemd_dissect_validates_the_image() {
    let image = test_image();
    let disk = image.disk().display().to_string();
    let judged = Trixie::from_environment().run(image.folder(), "systemd-dissect", &["--validate", &disk]);
    assert_eq!(judged.exit, Exit::Code(0), "{judged:?}");
}

#[test]
fn veritysetup_and_fsck_accept_root_and_hash_tree() {
    let image = test_image();
    let folder = tempfile::tempdir().unwrap();
    let part = |number: usize, name: &str| {
        let path = folder.path().join(name);
        copy_partition(image.disk(), number, &path).unwrap();
        path.display().to_string()
    };
    let (root, hashes, esp) = (part(1, "root"), part(2, "hashes"), part(0, "esp"));
    let manifest = std::fs::read_to_string(image.folder().join("edge.manifest.json")).unwrap();
    let root_hash = manifest.split("\"rootHash\": \"sha256:").nth(1).unwrap()[..64].to_owned();
    let verified = run_tool("veritysetup", "cryptsetup-bin", &["verify", &root, &hashes, &root_hash]);
    assert_eq!(verified.exit, Exit::Code(0), "{verified:?}");
    // Debian 12's erofs-utils do not know Zstandard.
    let judged = Trixie::from_environment().run(folder.path(), "fsck.erofs", &[&root]);
    assert_eq!(judged.exit, Exit::Code(0), "{judged:?}");
    assert_eq!(run_tool("fsck.fat", "dosfstools", &["-n", &esp]).exit, Exit::Code(0));
}

/// Copies the partition at place `index` of the table, leaving holes where there are only zeros.
fn copy_partition(disk: &Path, index: usize, to: &Path) -> io::Result<()> {
    let (disk, to) = (File::open(disk)?, File::create(to)?);
    let mut entry = [0; 128];
    disk.read_exact_at(&mut entry, 1024 + 128 * index as u64)?;
    let sector = |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().unwrap_or_default());
    let (start, end) = (sector(32) * 512, (sector(40) + 1) * 512);
    to.set_len(end - start)?;
    let mut piece = vec![0; 1 << 20];
    let zeros = vec![0; 1 << 20];
    for at in (start..end).step_by(piece.len()) {
        disk.read_exact_at(&mut piece, at)?;
        if piece != zeros {
            to.write_all_at(&piece, at - start)?;
        }
    }
    Ok(())
}
