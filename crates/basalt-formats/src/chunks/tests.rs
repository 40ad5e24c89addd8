#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{io, sync::Mutex};

use proptest::prelude::*;

use super::*;
use crate::{ReadAt, WriteAt};

/// Memory that grows where it is written.
#[derive(Default)]
struct Memory(Mutex<Vec<u8>>);

impl WriteAt for Memory {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut memory = self.0.lock().unwrap();
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        let length = memory.len().max(end);
        memory.resize(length, 0xee);
        memory[start..end].copy_from_slice(bytes);
        Ok(())
    }
}

/// A registry: ranges of packs.
struct Packs<'a>(&'a [Vec<u8>]);

impl FetchRange for Packs<'_> {
    fn fetch(&mut self, step: &FetchStep) -> io::Result<Vec<u8>> {
        let pack = &self.0[step.pack as usize];
        Ok(pack[step.offset as usize..][..step.length as usize].to_vec())
    }
}

/// Bytes without a pattern, the same for the same seed (splitmix64).
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    });
    let mut bytes: Vec<u8> = words.take(length.div_ceil(8)).flat_map(u64::to_le_bytes).collect();
    bytes.truncate(length);
    bytes
}

fn pack(root: &[u8], uki: &[u8]) -> (Index, Vec<Vec<u8>>) {
    let mut packs = Vec::new();
    let parts: [(Part, &dyn ReadAt); 2] = [(Part::Root, &root.to_vec()), (Part::Uki, &uki.to_vec())];
    let mut sink = |bytes: &[u8]| {
        packs.push(bytes.to_vec());
        Ok(())
    };
    (write(&parts, &mut sink).unwrap(), packs)
}

fn owned(root: &impl ReadAt) -> Owned {
    let mut owned = Owned::default();
    owned.add(0, root, Part::Root.rule()).unwrap();
    owned
}

/// Puts a release together on a machine that has `old`, and says how many bytes it fetched.
fn update(old: &Vec<u8>, index: &Index, packs: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>, u64) {
    let plan = Plan::new(index, &owned(old), Coalescing::DEFAULT);
    let (root, uki) = (Memory::default(), Memory::default());
    let sinks: [(Part, &dyn WriteAt); 2] = [(Part::Root, &root), (Part::Uki, &uki)];
    let assembly = Assembly::new(index, &sinks).unwrap();
    assemble(&assembly, &plan, &[old], &mut Packs(packs)).unwrap();
    (root.0.into_inner().unwrap(), uki.0.into_inner().unwrap(), plan.fetched_bytes())
}

#[test]
fn cuts_are_within_their_bounds_and_cover_everything() {
    for part in Part::ALL {
        let rule = part.rule();
        let image = noise(1, 3_000_000);
        let pieces: Vec<Piece> = Cuts::new(&image, rule).collect::<io::Result<_>>().unwrap();
        assert_eq!(pieces.iter().flat_map(|piece| piece.bytes.clone()).collect::<Vec<_>>(), image);
        let (last, whole) = pieces.split_last().unwrap();
        for piece in whole {
            let blocks = piece.bytes.len() / rule.block;
            assert_eq!(piece.bytes.len() % rule.block, 0);
            assert!((rule.shortest..=rule.longest).contains(&blocks), "{blocks}");
        }
        assert!(last.bytes.len() <= rule.longest_bytes());
        let mean = image.len() / pieces.len();
        assert!((rule.block * rule.mean * 3 / 4..rule.block * rule.mean * 4 / 3).contains(&mean), "{mean}");
        assert!(rule.longest_bytes() <= Index::LONGEST_CHUNK as usize);
    }
}

#[test]
fn the_rule_is_the_one_that_is_written_down() {
    // CRC-32 of the one block is 0xc71c0011 (zeros) and 0x4fc3…: only what is below 2^32 / 3 ends a chunk.
    let rule = Rule { block: 4, shortest: 1, mean: 4, longest: 3 };
    // crc32("\0\0\0\0") = 0x2144df1c, below 0x55555555; crc32("aaaa") = 0xad98e545, above.
    let image = b"\0\0\0\0aaaaaaaaaaaaaaaa\0\0\0\0".to_vec();
    let lengths: Vec<usize> = Cuts::new(&image, rule).map(|piece| piece.unwrap().bytes.len()).collect();
    assert_eq!(lengths, [4, 12, 8]);
}

#[test]
fn a_change_moves_only_the_chunks_around_it() {
    let old = noise(2, 8 << 20);
    let mut new = old.clone();
    // A block more near the start, another one changed near the end.
    new.splice(40_960..40_960, noise(3, 4096));
    new[7 << 20] ^= 1;
    let (index, packs) = pack(&new, b"");
    let (root, _, fetched) = update(&old, &index, &packs);
    assert!(root == new);
    assert!(fetched <= 4 * Part::Root.rule().longest_bytes() as u64, "{fetched}");
}

#[test]
fn equal_chunks_are_stored_once_and_zeros_never() {
    let block = noise(4, 1 << 20);
    let root = [&block[..], &vec![0; 1 << 20], &block, &[0; 4096]].concat();
    let (index, packs) = pack(&root, &[]);
    assert!(index.stored_size() < (block.len() + block.len() / 8) as u64);
    let (again, uki, fetched) = update(&Vec::new(), &index, &packs);
    assert!(again == root && uki.is_empty());
    assert_eq!(fetched, index.stored_size());
}

#[test]
fn packs_are_cut_by_content_so_that_releases_share_them() {
    let old = noise(5, 48 << 20);
    let new = [noise(6, 4096), old.clone()].concat();
    let ((a, _), (b, _)) = (pack(&old, &[]), pack(&new, &[]));
    assert!(a.packs().len() > 2);
    let shared = a.packs().iter().filter(|pack| b.packs().contains(pack)).count();
    assert_eq!(shared, a.packs().len() - 1);
}

#[test]
fn nothing_but_zeros_needs_no_pack() {
    let (index, packs) = pack(&vec![0; 1 << 20], &[]);
    assert!(packs.is_empty());
    assert_eq!(Index::parse(&index.to_bytes()).unwrap(), index);
    assert!(update(&Vec::new(), &index, &packs).0 == vec![0; 1 << 20]);
}

#[test]
fn ranges_join_over_small_gaps_but_not_over_packs_or_the_limit() {
    let digest = |byte: u8| basalt_types::Digest::of(&[byte]);
    let chunk = |byte, stored| Chunk { digest: digest(byte), length: 100, stored };
    let chunks = vec![chunk(0, 50), chunk(1, 10), chunk(2, 50), chunk(3, 100), chunk(4, 50)];
    let packs = vec![
        Pack { digest: digest(8), size: 110, chunks: 3 },
        Pack { digest: digest(9), size: 150, chunks: 2 },
    ];
    let parts = vec![PartChunks { part: Part::Root, size: 500, chunks: (0..5).collect() }];
    let index = Index::new(packs, chunks, parts).unwrap();
    let has_second = Owned::having(digest(1));
    let plan = |gap, longest| Plan::new(&index, &has_second, Coalescing { gap, longest }).fetches;
    let step =
        |pack, offset, length, chunks: &[u32]| FetchStep { pack, offset, length, chunks: chunks.to_vec() };
    assert_eq!(plan(10, 1000), [step(0, 0, 110, &[0, 2]), step(1, 0, 150, &[3, 4])]);
    assert_eq!(plan(9, 1000), [step(0, 0, 50, &[0]), step(0, 60, 50, &[2]), step(1, 0, 150, &[3, 4])]);
    let short = [step(0, 0, 110, &[0, 2]), step(1, 0, 100, &[3]), step(1, 100, 50, &[4])];
    assert_eq!(plan(10, 149), short);
}

impl Owned {
    fn having(digest: basalt_types::Digest) -> Self {
        let mut owned = Self::default();
        owned.insert(digest, Stored { image: 0, offset: 0 });
        owned
    }
}

#[test]
fn damage_of_the_old_release_and_of_what_was_fetched_is_seen() {
    let old = noise(7, 1 << 20);
    let new = [old.clone(), noise(8, 1 << 20)].concat();
    let (index, packs) = pack(&new, &[]);
    let mut owned = owned(&old);
    let plan = Plan::new(&index, &owned, Coalescing::DEFAULT);
    let memory = Memory::default();
    let sinks: [(Part, &dyn WriteAt); 2] = [(Part::Root, &memory), (Part::Uki, &memory)];
    let assembly = Assembly::new(&index, &sinks).unwrap();

    let mut damaged = old.clone();
    damaged[5000] ^= 1;
    let error = assemble(&assembly, &plan, &[&damaged], &mut Packs(&packs)).unwrap_err();
    let AssembleError::Copy { digest, source: None, .. } = error else { panic!("{error}") };
    // The way out: forget it and plan again.
    owned.forget(&digest);
    let plan_again = Plan::new(&index, &owned, Coalescing::DEFAULT);
    assemble(&assembly, &plan_again, &[&damaged], &mut Packs(&packs)).unwrap();

    let mut wrong = packs.clone();
    *wrong.last_mut().unwrap().last_mut().unwrap() ^= 1;
    let error = assemble(&assembly, &plan, &[&old], &mut Packs(&wrong)).unwrap_err();
    assert!(matches!(error, AssembleError::Fetched { .. }), "{error}");

    struct Short<'a>(Packs<'a>);
    impl FetchRange for Short<'_> {
        fn fetch(&mut self, step: &FetchStep) -> io::Result<Vec<u8>> {
            self.0.fetch(step).map(|bytes| bytes[..bytes.len() - 1].to_vec())
        }
    }
    let error = assemble(&assembly, &plan, &[&old], &mut Short(Packs(&packs))).unwrap_err();
    assert!(matches!(error, AssembleError::Fetched { .. }), "{error}");
    assert!(matches!(Assembly::new(&index, &sinks[..1]), Err(AssembleError::Sink(Part::Uki))));
}

/// An index of two chunks in one pack and one of zeros, to be damaged.
fn small() -> (Vec<Pack>, Vec<Chunk>, Vec<PartChunks>) {
    let digest = |byte: u8| basalt_types::Digest::of(&[byte]);
    let chunk = |byte, length, stored| Chunk { digest: digest(byte), length, stored };
    (
        vec![Pack { digest: digest(9), size: 30, chunks: 2 }],
        vec![chunk(0, 10, 10), chunk(1, 100, 20), chunk(2, 1000, 0)],
        vec![
            PartChunks { part: Part::Root, size: 1120, chunks: vec![0, 1, 2, 0] },
            PartChunks { part: Part::Uki, size: 100, chunks: vec![1] },
        ],
    )
}

#[test]
fn what_does_not_add_up_is_refused() {
    #[track_caller]
    fn check(damage: impl FnOnce(&mut (Vec<Pack>, Vec<Chunk>, Vec<PartChunks>)), expected: &str) {
        let mut value = small();
        damage(&mut value);
        let (packs, chunks, parts) = value;
        assert_eq!(Index::new(packs, chunks, parts).unwrap_err().to_string(), expected);
    }
    let (packs, chunks, parts) = small();
    let index = Index::new(packs, chunks, parts).unwrap();
    assert_eq!(index.place(1), Some(Place { pack: 0, offset: 10 }));
    assert_eq!((index.place(2), index.place(3)), (None, None));

    check(
        |(_, chunks, _)| chunks[0].length = 0,
        "chunk 0 has 0 bytes, 10 stored: expected 1 to 1048576, and no more stored",
    );
    check(
        |(_, chunks, _)| chunks[1].length = 19,
        "chunk 1 has 19 bytes, 20 stored: expected 1 to 1048576, and no more stored",
    );
    check(
        |(_, chunks, _)| chunks[1].digest = chunks[0].digest,
        &format!("chunk 1 is {}, which an earlier chunk is, too", basalt_types::Digest::of(&[0])),
    );
    check(|(packs, ..)| packs[0].size = 31, "pack 0 has 31 bytes, and its 2 chunks have 30");
    check(|(packs, ..)| packs[0].chunks = 9, "pack 0 has 30 bytes, and its 9 chunks have 30");
    check(|(packs, ..)| packs.clear(), "chunk 0 has bytes and is in no pack");
    check(|(.., parts)| parts[0].chunks = vec![1, 0, 2], "the part `root` names chunk 1 out of order");
    check(|(.., parts)| parts[0].chunks.push(7), "the part `root` names chunk 7 out of order");
    check(|(.., parts)| parts[1].size = 99, "the part `uki` has 99 bytes, and its chunks have 100");
    check(|(.., parts)| parts.swap(0, 1), "the part `uki` names chunk 1 out of order");
    check(
        |(.., parts)| parts.push(parts[1].clone()),
        "part 2 of the chunk index is unknown, or not in its place",
    );
    check(
        |(.., parts)| {
            parts[0].chunks.truncate(2);
            parts[0].size = 110;
        },
        "chunk 2 is used by no part",
    );
}

#[test]
fn bytes_of_another_shape_are_refused() {
    let (packs, chunks, parts) = small();
    let bytes = Index::new(packs, chunks, parts).unwrap().to_bytes();
    let refuse = |bytes: &[u8]| Index::parse(bytes).unwrap_err().to_string();
    for end in 0..bytes.len() {
        assert!(Index::parse(&bytes[..end]).is_err(), "{end}");
    }
    assert_eq!(
        refuse(&[&bytes[..], &[0]].concat()),
        format!("the chunk index has {} bytes, and its header says {}", bytes.len() + 1, bytes.len())
    );
    assert_eq!(
        refuse(&[b"CSLTCIDX", &bytes[8..]].concat()),
        "these bytes are no chunk index: they do not begin as one"
    );
    assert_eq!(
        refuse(&[&bytes[..8], &[2, 0, 0, 0], &bytes[12..]].concat()),
        "the chunk index has version 2, and this program reads 1"
    );
    // Counts that promise more than there is are refused before anything is reserved for them.
    assert!(matches!(
        Index::parse(&[&bytes[..12], &[0xff; 12], &bytes[24..]].concat()),
        Err(IndexError::Length { .. })
    ));
    let bomb = zstd::bulk::compress(&vec![0; Index::LIMIT as usize + 1], 1).unwrap();
    assert!(matches!(Index::parse_packed(&bomb), Err(IndexError::Packing { .. })));
    assert!(matches!(Index::parse_packed(b"no zstd"), Err(IndexError::Packing { .. })));
}

#[test]
fn a_chunk_that_unpacks_to_more_than_it_is_takes_no_memory() {
    let chunk = Chunk { digest: basalt_types::Digest::of(b""), length: 10, stored: 8 };
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
    assert_eq!(chunk.unpack(&bomb), None);
    assert_eq!(chunk.unpack(b"rubbish!"), None);
}

#[test]
fn any_number_of_cores_gives_the_same_bytes() {
    let root = [noise(9, 2 << 20), vec![b'x'; 2 << 20], noise(10, 1 << 20)].concat();
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| pack(&root, &root[..100_000]))
    };
    let one = with(1);
    assert!(one == with(2) && one == with(5));
}

/// Images of a few blocks: some alike, some zeros, any length.
fn image() -> impl Strategy<Value = Vec<u8>> {
    let block = prop_oneof![
        2 => Just(vec![0; 4096]),
        4 => (0u64..20).prop_map(|seed| noise(seed, 4096)),
        1 => (0u8..4).prop_map(|byte| vec![byte; 4096]),
    ];
    (proptest::collection::vec(block, 0..60), 0usize..4096)
        .prop_map(|(blocks, tail)| [blocks.concat(), noise(99, tail)].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_release_comes_out_on_every_machine(old in image(), root in image(), uki in image()) {
        let (index, packs) = pack(&root, &uki);
        prop_assert_eq!(&Index::parse_packed(&index.to_packed().unwrap()).unwrap(), &index);
        for (pack, bytes) in index.packs().iter().zip(&packs) {
            prop_assert_eq!(pack.digest, basalt_types::Digest::of(bytes));
            prop_assert_eq!(pack.size, bytes.len() as u64);
        }
        let (new_root, new_uki, fetched) = update(&old, &index, &packs);
        prop_assert!(new_root == root && new_uki == uki);
        prop_assert!(fetched <= index.stored_size());
        let (_, _, again) = update(&root, &index, &packs);
        prop_assert!(again <= uki.len() as u64);
    }

    /// What is still accepted after damage must still be an index: it prints as it was read, and nothing that is done
    /// with it panics or leaves a pack.
    #[test]
    fn a_damaged_index_is_refused_or_consistent(
        root in image(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<Option<proptest::sample::Index>>(),
    ) {
        let (index, packs) = pack(&root, b"uki");
        let mut bytes = index.to_bytes();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let Ok(read) = Index::parse(&bytes) else { return Ok(()) };
        prop_assert_eq!(read.to_bytes(), bytes);
        let plan = Plan::new(&read, &Owned::default(), Coalescing::DEFAULT);
        for fetch in &plan.fetches {
            prop_assert!(fetch.offset + fetch.length <= read.packs()[fetch.pack as usize].size);
        }
        let memory = Memory::default();
        let sinks: [(Part, &dyn WriteAt); 2] = [(Part::Root, &memory), (Part::Uki, &memory)];
        let assembly = Assembly::new(&read, &sinks).unwrap();
        let done = assemble(&assembly, &plan, &[], &mut Packs(&packs));
        prop_assert!(done.is_ok() || read != index);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Index::parse(&bytes).is_err());
        prop_assert!(Index::parse_packed(&bytes).is_err());
    }
}
