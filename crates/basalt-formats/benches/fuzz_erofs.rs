//! Reads changed EROFS images, as many as asked for: the reader must not panic, loop, or take memory without a bound.
//!
//! ```text
//! cargo bench -p basalt-formats --bench fuzz_erofs -- EXECUTIONS [SEED]
//! ```
//!
//! Each execution takes a small image of every kind that we write, changes a few of its bytes (bits, words that mean
//! something, pieces of other places), opens it, reads the tree, and reads what its files hold up to a limit. The process
//! may have 1 GiB of address space: whoever asks for more dies. An execution is named by its number and the seed, so that
//! one that fails can be done again.
//!
//! Without arguments it does nothing, so that `cargo test --benches` stays quick.
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

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use basalt_formats::{
    erofs::{Algorithm, Compression, unpack},
    tree::{Content, Kind, NoStores, ReadContent, Tree},
};
use erofs_support::*;

/// Bytes of files that one execution reads at most.
const READ: u64 = 128 << 10;
/// The address space of the process.
const MEMORY: u64 = 1 << 30;
/// Executions between two looks at the shared counter.
const BATCH: u64 = 1000;

/// How far executions got.
#[derive(Default)]
struct Counts {
    done: AtomicU64,
    trees: AtomicU64,
    read: AtomicU64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let Some(executions) = arguments.first().map(|text| text.parse::<u64>().expect("a number")) else {
        return;
    };
    let seed: u64 = arguments.get(1).map_or(1, |text| text.parse().expect("a seed"));
    let limit = rustix::process::Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
    rustix::process::setrlimit(rustix::process::Resource::As, limit).expect("the limit is set");

    let seeds = seeds();
    let (counts, next, began) = (Counts::default(), AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let first = next.fetch_add(BATCH, Ordering::Relaxed);
                    if first >= executions {
                        return;
                    }
                    for number in first..(first + BATCH).min(executions) {
                        execute(&seeds, seed, number, &counts);
                    }
                }
            });
        }
    });
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{} executions in {:.0} s: {} trees were read, {} with all their files, none with a panic",
        count(&counts.done),
        began.elapsed().as_secs_f64(),
        count(&counts.trees),
        count(&counts.read)
    );
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

fn execute(seeds: &[Vec<u8>], seed: u64, number: u64, counts: &Counts) {
    let mut random =
        Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed.wrapping_mul(0xd134_2543_de82_ef95) | 1);
    let image = changed(&seeds[random.below(seeds.len())], &mut random);
    let reader = std::panic::catch_unwind(|| read(&image));
    let (tree, whole) = reader.unwrap_or_else(|_| panic!("execution {number} of seed {seed} panicked"));
    counts.done.fetch_add(1, Ordering::Relaxed);
    counts.trees.fetch_add(u64::from(tree), Ordering::Relaxed);
    counts.read.fetch_add(u64::from(whole), Ordering::Relaxed);
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
    const WORDS: [u32; 8] = [0, 1, 0xff, 0x1000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, u32::MAX];
    let mut image = seed.to_vec();
    for _ in 0..=random.below(8) {
        // Metadata is a small part of the image: half of the changes go there.
        let at = match random.below(4) {
            0 => 1024 + random.below(128),
            1 => image.len() - 1 - random.below(image.len().min(4096)),
            _ => random.below(image.len()),
        };
        match random.below(4) {
            0 => image[at] ^= 1 << random.below(8),
            1 => image[at] = random.below(256) as u8,
            2 if at + 4 <= image.len() => {
                let word = WORDS[random.below(WORDS.len())];
                image[at..at + 4].copy_from_slice(&word.to_le_bytes());
            }
            _ => {
                let length = (1 + random.below(64)).min(image.len() - at);
                let from = random.below(image.len() - length + 1);
                image.copy_within(from..from + length, at);
            }
        }
    }
    if random.below(16) != 0 {
        image[FEATURES] &= !1;
    }
    if random.below(32) == 0 {
        image.truncate(random.below(seed.len()));
    }
    image
}

/// xorshift64*: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        word as usize % limit.max(1)
    }
}
