//! Packs a directory of the host and says how large the image is and how long it took.
//!
//! ```text
//! cargo bench -p basalt-formats --bench erofs_pack -- DIRECTORY IMAGE lz4|lz4hc|deflate|zstd [LEVEL] [CLUSTER] [CHANGED]
//! ```
//! Then it packs CHANGED, or the same again, with the first image as a donor.
//!
//! Without arguments it does nothing, so that `cargo test --benches` stays quick. Set `RAYON_NUM_THREADS` to compare.
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

use std::{path::Path, time::Instant};

use basalt_formats::{
    ReadAt, WriteAt,
    erofs::{Algorithm, Compression, Donor, PackOptions, pack},
};
use erofs_support::*;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [directory, image, algorithm, numbers @ ..] = arguments.as_slice() else { return };
    let algorithm = match algorithm.as_str() {
        "lz4" => Some(Algorithm::Lz4),
        "lz4hc" => Some(Algorithm::Lz4hc),
        "deflate" => Some(Algorithm::Deflate),
        "zstd" => Some(Algorithm::Zstd),
        "none" => None,
        other => panic!("no method `{other}`"),
    };
    let mut compression = algorithm.map(Compression::new);
    if let Some(compression) = &mut compression {
        if let Some(level) = numbers.first() {
            compression.level = level.parse().expect("a level");
        }
        if let Some(cluster) = numbers.get(1) {
            compression.cluster = cluster.parse().expect("bytes of a cluster");
        }
    }
    let (tree, content) = tree_of_directory(Path::new(directory));
    let options = PackOptions { image: options(), compression, late: None };
    let sink = Disk::create(Path::new(image), 0);
    let started = Instant::now();
    let packed = pack(&tree, &content, &options, &[], &sink).expect("the tree packs");
    let index = packed.finish(&tree, &content, &sink).expect("the metadata is written");
    let took = started.elapsed();
    println!("{} bytes in {:.2} s, peak memory {} MB", sink.size(), took.as_secs_f64(), peak());
    let (tree, content) = match numbers.get(2) {
        Some(changed) => tree_of_directory(Path::new(changed)),
        None => (tree, content),
    };
    let again = Disk::create(Path::new(&format!("{image}.again")), 0);
    let started = Instant::now();
    let donors = [Donor { image: &sink, index: &index }];
    let packed = pack(&tree, &content, &options, &donors, &again).expect("the tree packs again");
    packed.finish(&tree, &content, &again as &dyn WriteAt).expect("the metadata is written again");
    println!("{} bytes with the first as a donor in {:.2} s", again.size(), started.elapsed().as_secs_f64());
}

/// The largest resident set so far, in megabytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1000
}
