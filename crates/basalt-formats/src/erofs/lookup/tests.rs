use proptest::prelude::*;

use super::{Indexed, Lookup, Place};
use crate::erofs::{
    decode::Method,
    format::BLOCK,
    map::{self, Mapped},
    squeeze::{Cluster, Tail},
};

/// Runs as the writer makes them, and whether the last is inline.
fn runs() -> impl Strategy<Value = (Vec<Cluster>, Option<Tail>)> {
    let compressed = (1..17_u32, 1..900_000_u32).prop_map(|(blocks, more)| Cluster {
        length: blocks * BLOCK as u32 + more,
        blocks,
        compressed: true,
    });
    let raw = Just(Cluster { length: BLOCK as u32, blocks: 1, compressed: false });
    let tail = prop::option::of((1..90_000_u32, any::<bool>(), 1..4000_usize));
    let tail = tail.prop_map(|tail| {
        tail.map(|(length, compressed, stored)| {
            let length = if compressed { length } else { stored as u32 };
            Tail { length, bytes: vec![1; stored], compressed }
        })
    });
    let clusters = prop::collection::vec(prop_oneof![3 => compressed, 1 => raw], 0..40);
    (clusters, tail).prop_filter("empty", |(clusters, tail)| !clusters.is_empty() || tail.is_some())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Every byte is found in the run that it was put into.
    #[test]
    fn what_was_indexed_is_found((clusters, tail) in runs(), block in 1..1000_u32, start in 0..16_u64) {
        let lengths = clusters.iter().map(|cluster| cluster.length).chain(tail.iter().map(|tail| tail.length));
        let size: u64 = lengths.map(u64::from).sum();
        let mapped = Mapped { clusters: &clusters, tail: tail.as_ref(), block, algorithm: 3 };
        let start = start * 8;
        let encoded = map::encode(&mapped, start);
        prop_assert_eq!(encoded.len() as u64, map::size(start, size));
        let mut image = vec![0; start as usize];
        image.extend(&encoded);
        // Blocks that nobody reads, so that addresses are inside.
        let end = image.len();
        let blocks: u32 = clusters.iter().map(|cluster| cluster.blocks).sum();
        image.resize((((block + blocks + 1) as usize) << 12).max(end + 4096), 0);
        let indexed = Indexed { size, block_bits: 12, header: start, packed: true, padded: true };
        let lookup = Lookup::new(indexed, &image[start as usize..][..8]).unwrap();
        let mut position = 0;
        let mut at = u64::from(block) * BLOCK;
        for cluster in &clusters {
            let next = position + u64::from(cluster.length);
            for asked in [position, (position + next) / 2, next - 1] {
                let run = lookup.run(&image, asked).unwrap();
                prop_assert_eq!((run.start, run.end), (position, next), "asked for {}", asked);
                let length = u64::from(cluster.blocks) * BLOCK;
                let expected = if cluster.compressed {
                    Place::Compressed { offset: at, length, method: Method::Zstd, partial: false }
                } else {
                    Place::Plain { offset: at, length, turn: 0 }
                };
                prop_assert_eq!(run.place, expected);
            }
            position = next;
            at += u64::from(cluster.blocks) * BLOCK;
        }
        if let Some(tail) = &tail {
            for asked in [position, size - 1] {
                let run = lookup.run(&image, asked).unwrap();
                prop_assert_eq!((run.start, run.end), (position, size));
                let (offset, length) = (end as u64, tail.bytes.len() as u64);
                let expected = if tail.compressed {
                    Place::Compressed { offset, length, method: Method::Zstd, partial: false }
                } else {
                    Place::Plain { offset, length, turn: 0 }
                };
                prop_assert_eq!(run.place, expected);
            }
        }
    }

    #[test]
    fn no_index_of_noise_breaks_a_look_up(
        noise in prop::collection::vec(any::<u8>(), 64..4000),
        size in 1..8_000_000_u64,
        packed in any::<bool>(),
        positions in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
    ) {
        let indexed = Indexed { size, block_bits: 12, header: 0, packed, padded: true };
        if let Ok(lookup) = Lookup::new(indexed, &noise[..8]) {
            for position in positions {
                let position = position.index(size as usize) as u64;
                if let Ok(run) = lookup.run(&noise, position) {
                    prop_assert!((run.start..run.end).contains(&position) && run.end <= size);
                }
            }
        }
    }
}
