use proptest::prelude::*;

use super::*;

fn params(data_blocks: u64) -> Params {
    Params { salt: Salt::from([7; 32]), uuid: Guid::from_u128(0x42), data_blocks }
}

fn data(blocks: u64) -> Vec<u8> {
    (0..blocks * BLOCK_SIZE as u64).map(|at| (at.wrapping_mul(2_654_435_761) >> 9) as u8).collect()
}

fn tree(data: &[u8]) -> HashTree {
    let leaves = LeafHashes::new(params((data.len() / BLOCK_SIZE) as u64)).unwrap();
    leaves.feed(0, data).unwrap();
    leaves.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_of_feeding_does_not_matter(blocks in 1u64..300, cuts in prop::collection::vec(0u64..300, 0..6)) {
        let data = data(blocks);
        let leaves = LeafHashes::new(params(blocks)).unwrap();
        let mut edges: Vec<u64> = cuts.into_iter().map(|cut| cut.min(blocks)).chain([0, blocks]).collect();
        edges.sort_unstable();
        for pair in edges.windows(2).rev() {
            leaves.feed(pair[0], &data[pair[0] as usize * BLOCK_SIZE..pair[1] as usize * BLOCK_SIZE]).unwrap();
        }
        prop_assert_eq!(leaves.finish().unwrap(), tree(&data));
    }

    #[test]
    fn any_flipped_byte_is_found(blocks in 1u64..300, at: prop::sample::Index, xor in 1u8..) {
        let mut data = data(blocks);
        let HashTree { bytes, root } = tree(&data);
        prop_assert_eq!(verify(&data, &bytes, &root), Ok(()));
        let at = at.index(data.len());
        data[at] ^= xor;
        let block = (at / BLOCK_SIZE) as u64;
        prop_assert_eq!(verify(&data, &bytes, &root), Err(Corruption::Block { device: Device::Data, block }));
    }

    #[test]
    fn any_flipped_byte_of_the_levels_is_found(blocks in 2u64..300, at: prop::sample::Index, xor in 1u8..) {
        let data = data(blocks);
        let HashTree { mut bytes, root } = tree(&data);
        let at = BLOCK_SIZE + at.index(bytes.len() - BLOCK_SIZE);
        bytes[at] ^= xor;
        let block = (at / BLOCK_SIZE) as u64;
        prop_assert_eq!(verify(&data, &bytes, &root), Err(Corruption::Block { device: Device::Tree, block }));
    }

    #[test]
    fn a_changed_superblock_never_panics(at in 0usize..512, to: u8, more in prop::option::of((72usize..82, any::<u8>()))) {
        let data = data(130);
        let HashTree { mut bytes, root } = tree(&data);
        bytes[at] = to;
        if let Some((at, to)) = more {
            bytes[at] = to;
        }
        let superblock = Superblock::parse(&bytes);
        if verify(&data, &bytes, &root) == Ok(()) {
            let superblock = superblock.unwrap();
            prop_assert_eq!((superblock.data_blocks, superblock.salt), (130, Salt::from([7; 32])));
        }
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..1024)) {
        prop_assert!(Superblock::parse(&noise).is_err());
        prop_assert!(verify(&noise, &noise, &basalt_types::Digest::of(b"")).is_err());
    }

    #[test]
    fn superblocks_round_trip(salt in prop::collection::vec(any::<u8>(), 0..=256), uuid: u128, blocks in 1u64..1 << 50) {
        let superblock =
            Superblock { uuid: Guid::from_u128(uuid), data_blocks: blocks, salt: Salt::new(salt).unwrap() };
        prop_assert_eq!(Superblock::parse(&superblock.encode().to_vec()), Ok(superblock));
    }

    #[test]
    fn the_size_is_known_before(blocks in 1u64..400) {
        prop_assert_eq!(hash_tree_size(blocks * 4096), tree(&data(blocks)).bytes.len() as u64);
    }
}

#[test]
fn levels_follow_the_top_first() {
    assert_eq!(levels(1), []);
    assert_eq!(levels(2), vec![1..2; 1]);
    assert_eq!(levels(128), vec![1..2; 1]);
    assert_eq!(levels(129), [1..2, 2..4]);
    assert_eq!(levels(128 * 128 + 1), [1..2, 2..4, 4..133]);
    assert_eq!(hash_tree_size(1 << 30), (1 + 1 + 16 + 2048) * 4096);
}

#[test]
fn one_block_is_its_own_tree() {
    let data = data(1);
    let HashTree { bytes, root } = tree(&data);
    assert_eq!(bytes.len(), BLOCK_SIZE);
    let block: &[u8; BLOCK_SIZE] = data[..].try_into().unwrap();
    assert_eq!(root.as_bytes(), &hash_data_block(&Salt::from([7; 32]), block));
}

#[test]
fn holes_are_zeros() {
    let leaves = LeafHashes::new(params(1000)).unwrap();
    leaves.feed_zeros(0, 1000).unwrap();
    assert_eq!(leaves.finish().unwrap(), tree(&vec![0; 1000 * BLOCK_SIZE]));
}

#[test]
fn a_superblock_that_hides_the_end_is_refused() {
    for (blocks, claimed) in [(130, 129), (300, 129), (300, 200), (300, 301), (300, 128), (2, 1)] {
        let mut data = data(blocks);
        let HashTree { mut bytes, root } = tree(&data);
        data.resize(data.len() + BLOCK_SIZE, 0);
        bytes[72..80].copy_from_slice(&u64::to_le_bytes(claimed));
        assert!(verify(&data, &bytes, &root).is_err(), "{claimed} of {blocks}");
    }
}

#[test]
fn mistakes_are_refused() {
    let leaves = LeafHashes::new(params(4)).unwrap();
    assert_eq!(leaves.feed(0, &[0; 100]), Err(VerityError::PartialBlock(100)));
    let out = VerityError::OutOfRange { first: 3, end: 5, data_blocks: 4 };
    assert_eq!(leaves.feed(3, &[0; 2 * BLOCK_SIZE]), Err(out.clone()));
    assert_eq!(leaves.feed_zeros(3, 2), Err(out));
    leaves.feed_zeros(0, 2).unwrap();
    leaves.feed_zeros(3, 1).unwrap();
    assert_eq!(leaves.finish(), Err(VerityError::Missing(2)));
    assert_eq!(LeafHashes::new(params(0)).unwrap_err(), VerityError::NoData);
    assert_eq!(LeafHashes::new(params(u64::MAX)).unwrap_err(), VerityError::TooLarge(u64::MAX));
    assert_eq!(Salt::new(vec![0; 257]), Err(VerityError::SaltLength(257)));
}

#[test]
fn the_kernel_is_asked_in_its_own_order() {
    let superblock = Superblock { uuid: Guid::NIL, data_blocks: 8, salt: Salt::new([0xab, 1]).unwrap() };
    let root = basalt_types::Digest::from_bytes([0x11; 32]);
    let target = superblock.device_mapper_target("/dev/vda2", "/dev/vda3", &root, OnCorruption::Restart);
    let hex = "11".repeat(32);
    let parameters = format!("1 /dev/vda2 /dev/vda3 4096 4096 8 1 sha256 {hex} ab01 1 restart_on_corruption");
    assert_eq!(target, Target { sectors: 64, parameters });
    let unsalted = Superblock { salt: Salt::new([]).unwrap(), ..superblock };
    let target = unsalted.device_mapper_target("8:2", "8:3", &root, OnCorruption::Fail);
    assert_eq!(target.parameters, format!("1 8:2 8:3 4096 4096 8 1 sha256 {hex} -"));
}
