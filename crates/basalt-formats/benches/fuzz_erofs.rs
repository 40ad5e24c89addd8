//! Reads changed EROFS images, as many as asked for: the reader must not panic, loop, or take memory without a bound.
//!
//! ```text
//! cargo bench -p basalt-formats --bench fuzz_erofs -- EXECUTIONS [SEED]
//! ```
//!
//! Each execution takes a small image of every kind that we write, changes a few of its bytes (bits, words that mean
//! something, pieces of other places), opens it, reads the tree, and reads what its files hold up to a limit.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for developers"
)]

#[path = "../tests/erofs_support/mod.rs"]
mod erofs_support;
mod fuzz;

use std::sync::atomic::{AtomicU64, Ordering};

use basalt_formats::{
    erofs::{Algorithm, Compression, unpack},
    tree::{Content, Kind, NoStores, ReadContent, Tree},
};
use erofs_support::*;
use fuzz::Random;

/// Bytes of files that one execution reads at most.
const READ: u64 = 128 << 10;

fn main() {
    let seeds = seeds();
    let (trees, whole) = (AtomicU64::new(0), AtomicU64::new(0));
    let ran = fuzz::run(&|random| {
        let image = changed(&seeds[random.below(seeds.len())], random);
        let (tree, all) = read(&image);
        trees.fetch_add(u64::from(tree), Ordering::Relaxed);
        whole.fetch_add(u64::from(all), Ordering::Relaxed);
    });
    if let Some(ran) = ran {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        println!("{ran}: {} trees were read, {} with all their files", count(&trees), count(&whole));
    }
}

/// A small tree in every way that we write one.
fn seeds() -> Vec<Vec<u8>> {
    let mut tree = Tree::new();
    let text: Vec<u8> = (0..24_000_u32).flat_map(|word| (word / 7).to_le_bytes()).collect();
    let mut put = |path: &str, kind: Kind| {
        let mut node = node(0o644, kind);
        node.metadata.xattrs.insert(b"user.note".to_vec(), path.as_bytes().to_vec());
        tree.insert(path, node).expect("the path is free");
    };
    for (path, size) in [("/a/small", 30), ("/a/block", 4096), ("/a/tail", 9_000), ("/b/large", text.len())] {
        put(path, Kind::File(Content::inline(&text[..size])));
    }
    put("/b/link", Kind::Symlink(b"../a/small".to_vec()));
    put("/b/fifo", Kind::Fifo);
    let methods = [Algorithm::Lz4, Algorithm::Lz4hc, Algorithm::Deflate, Algorithm::Zstd];
    let mut seeds = vec![image_of(&tree, &NoStores)];
    for cluster in [4096, 16384] {
        let compressed = methods.map(|algorithm| Compression { cluster, ..Compression::new(algorithm) });
        seeds.extend(
            compressed.map(|compression| packed(&tree, &NoStores, &pack_options(Some(compression)), &[]).0),
        );
    }
    seeds
}

/// Whether the tree could be read, and whether all its files could.
fn read(image: &[u8]) -> (bool, bool) {
    let Ok((tree, content)) = unpack(image.to_vec(), 0) else { return (false, false) };
    let mut whole = true;
    let mut left = READ;
    tree.walk(&mut |_path, id| {
        if let Kind::File(file) = &tree.node(id).kind {
            let size = file.size.min(left);
            left -= size;
            whole &= size == file.size && read_file(file, &content, size).is_ok();
        }
    });
    (true, whole)
}

fn read_file(file: &Content, content: &dyn ReadContent, size: u64) -> std::io::Result<()> {
    let mut buffer = vec![0; usize::try_from(size).map_err(std::io::Error::other)?];
    file.read_at(content, 0, &mut buffer)
}

/// One to eight changes; the checksum of the superblock is switched off, for it would hide the rest.
fn changed(seed: &[u8], random: &mut Random) -> Vec<u8> {
    const FEATURES: usize = 1024 + 8;
    // Metadata is a small part of the image: half of the changes go there.
    let mut image = random.changed(seed, &mut |random, length| match random.below(4) {
        0 => 1024 + random.below(128),
        1 => length - 1 - random.below(length.min(4096)),
        _ => random.below(length),
    });
    if random.below(16) != 0 && image.len() > FEATURES {
        image[FEATURES] &= !1;
    }
    image
}
