use proptest::prelude::*;

use super::{MAX_TAIL, squeeze};
use crate::erofs::{
    codec::{Algorithm, Codec, Compression},
    decode::Method,
    format::BLOCK,
};

const METHODS: [Algorithm; 4] = [Algorithm::Lz4, Algorithm::Lz4hc, Algorithm::Deflate, Algorithm::Zstd];

/// Text, noise and zeros in parts.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        (any::<u8>(), 1..60_000_usize).prop_map(|(byte, count)| vec![byte; count]),
        prop::collection::vec(any::<u8>(), 1..9000),
        prop::collection::vec(0..5_u8, 1..40_000),
    ];
    prop::collection::vec(part, 1..12).prop_map(|parts| parts.concat())
}

fn check(algorithm: Algorithm, cluster: u32, input: &[u8], ends: bool) {
    let mut codec = Codec::new(&Compression { cluster, ..Compression::new(algorithm) }).unwrap();
    let mut blocks = Vec::new();
    let squeezed = squeeze(&mut codec, input, ends, &mut blocks).unwrap();
    let method = Method::from_number(algorithm.number()).unwrap();
    let decode = |stored: &[u8], length: u32, compressed: bool| {
        let mut bytes = vec![0; length as usize];
        if compressed {
            method.decode(stored, &mut bytes, false).unwrap();
        } else {
            bytes.copy_from_slice(&stored[..length as usize]);
        }
        bytes
    };
    let (mut found, mut at) = (Vec::new(), 0);
    for run in &squeezed.clusters {
        let stored = u64::from(run.blocks) * BLOCK;
        assert!(
            stored <= u64::from(cluster) && (!run.compressed || stored < u64::from(run.length)),
            "{run:?}"
        );
        // A logical cluster has one start at most, but for the file's end.
        let from = found.len() as u64 % BLOCK;
        assert!(from + u64::from(run.length) >= BLOCK || found.len() + run.length as usize == input.len());
        found.extend(decode(&blocks[at..at + stored as usize], run.length, run.compressed));
        at += stored as usize;
    }
    assert_eq!(at, blocks.len());
    if let Some(tail) = &squeezed.tail {
        assert!(ends && !tail.bytes.is_empty() && tail.bytes.len() <= MAX_TAIL);
        found.extend(decode(&tail.bytes, tail.length, tail.compressed));
    }
    assert!(found == input);
    let mut again = Vec::new();
    assert_eq!(squeeze(&mut codec, input, ends, &mut again).unwrap(), squeezed);
    assert!(again == blocks, "what a codec did before decides about the bytes");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn runs_hold_the_input(input in input(), method in 0..4_usize, blocks in 1..17_u32) {
        check(METHODS[method], blocks * 4096, &input, true);
        let whole = input.len() / 4096 * 4096;
        check(METHODS[method], blocks * 4096, &input[..whole], false);
    }
}

#[test]
fn sizes_at_every_border_hold_the_input() {
    let text: Vec<u8> = (0..70_000_u32)
        .flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 28).to_string().into_bytes())
        .collect();
    let noise: Vec<u8> = (0..20_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for algorithm in METHODS {
        for size in [1, 2, 15, 16, 17, 4063, 4064, 4065, 4095, 4096, 4097, 8191, 8192, 8193] {
            check(algorithm, 65536, &text[..size], true);
            check(algorithm, 65536, &noise[..size], true);
            check(algorithm, 4096, &noise[..size], true);
        }
        check(algorithm, 65536, &text, true);
        check(algorithm, 65536, &vec![0; 3 << 20], false);
    }
}

/// Digits that look like chance.
fn digits(count: u32) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 61) as u8
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn what_did_not_fit_is_forgotten() {
    let digits = digits(90_000);
    for algorithm in METHODS {
        let mut codec = Codec::new(&Compression::new(algorithm)).unwrap();
        codec.whole(&digits, 1 << 20).unwrap().unwrap();
        let fresh = codec.output().to_vec();
        for _ in 0..30 {
            assert_eq!(codec.whole(&digits, 8192).unwrap(), None);
        }
        codec.whole(&digits, 1 << 20).unwrap().unwrap();
        assert!(codec.output() == fresh, "{algorithm:?}");
    }
}

/// Zeros promise that much will fit, and what follows them does not: the zeros are not stored as they are for it.
#[test]
fn zeros_are_squeezed_whatever_follows_them() {
    let parts = [vec![0; 1 << 20], digits(400_000)].concat();
    for algorithm in METHODS {
        let mut codec = Codec::new(&Compression { cluster: 4096, ..Compression::new(algorithm) }).unwrap();
        let mut blocks = Vec::new();
        squeeze(&mut codec, &parts, true, &mut blocks).unwrap();
        let mut apart = Vec::new();
        squeeze(&mut codec, &parts[1 << 20..], true, &mut apart).unwrap();
        println!("{algorithm:?} {} {}", blocks.len(), apart.len());
        assert!(
            blocks.len() < apart.len() + 10 * 4096,
            "{algorithm:?}: {} and {}",
            blocks.len(),
            apart.len()
        );
    }
}
