//! Packs directories of the host with every method and has two others read them: `fsck.erofs --extract` and the kernel.
//! Both must give back every byte, mode, owner, time, link and extended attribute of the directory.
//!
//! ```text
//! cargo bench -p basalt-formats --bench erofs_trees -- DIRECTORY…
//! ```
//! Needs root and `BASALT_TRIXIE_TREE`; `cargo xtask soak trees` calls it. Without arguments it does nothing.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for developers that reads the host"
)]

#[path = "../tests/erofs_support/mod.rs"]
mod erofs_support;

use std::{fs, path::Path};

use basalt_formats::erofs::{Algorithm, Compression, pack};
use erofs_support::*;

const METHODS: [Algorithm; 4] = [Algorithm::Lz4, Algorithm::Lz4hc, Algorithm::Deflate, Algorithm::Zstd];

fn main() {
    for directory in std::env::args().skip(1).filter(|argument| argument != "--bench") {
        println!("{}", check(Path::new(&directory)));
    }
}

/// Fails at the first difference; says what was compared.
fn check(directory: &Path) -> String {
    let here = tempfile::tempdir().unwrap();
    let (tree, content) = tree_of_directory(directory);
    let expected = facts_of_directory(directory);
    for algorithm in METHODS {
        let image = here.path().join("image");
        let sink = Disk::create(&image, 0);
        let packed =
            pack(&tree, &content, &pack_options(Some(Compression::new(algorithm))), &[], &sink).unwrap();
        packed.finish(&tree, &content, &sink).unwrap();

        let out = here.path().join("out");
        let extract = format!("--extract={}", out.display());
        run_trixie("fsck.erofs", &[extract.as_ref(), "--xattrs".as_ref(), image.as_ref()]);
        assert_same_facts(&as_extracted(&facts_of_directory(&out)), &as_extracted(&expected));
        fs::remove_dir_all(&out).unwrap();

        let mounted = Mounted::new(&image, &here.path().join("mnt"));
        assert_same_facts(&facts_of_directory(&mounted.path), &expected);
    }
    let bytes: u64 = fs::metadata(here.path().join("image")).unwrap().len();
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}: {} inodes' paths, {} MiB as zstd", expected.len(), bytes >> 20)
}
