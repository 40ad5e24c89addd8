use proptest::prelude::*;

use super::{fitting, shorten};
use crate::erofs::decode::Method;

/// Parts of repetition and noise, which give sequences of all lengths.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        (any::<u8>(), 1..2000_usize).prop_map(|(byte, count)| vec![byte; count]),
        prop::collection::vec(any::<u8>(), 1..400),
        prop::collection::vec(0..3_u8, 1..600),
    ];
    prop::collection::vec(part, 1..40).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_shortened_block_holds_the_start(input in input(), share in 1..100_usize, high in any::<bool>()) {
        let mut block = vec![0; input.len() + input.len() / 100 + 64];
        let (read, wrote) = if high {
            lzzzz::lz4_hc::compress_fill(&input, &mut block, 9).unwrap()
        } else {
            lzzzz::lz4::compress_fill(&input, &mut block).unwrap()
        };
        prop_assert_eq!(read, input.len());
        block.truncate(wrote);
        let budget = wrote * share / 100;
        if let Some(read) = shorten(&mut block, &input, budget) {
            prop_assert!(block.len() <= budget && block.len() + 2 >= budget, "{} of {budget}", block.len());
            let mut ours = vec![0; read];
            Method::Lz4.decode(&block, &mut ours, false).unwrap();
            prop_assert!(ours == input[..read]);
            let mut theirs = vec![0; read];
            prop_assert_eq!(lzzzz::lz4::decompress(&block, &mut theirs).unwrap(), read);
            prop_assert!(theirs == ours);
        } else {
            prop_assert!(budget < 9);
        }
    }

    #[test]
    fn what_is_no_block_is_not_shortened_into_one(block in prop::collection::vec(any::<u8>(), 0..300), budget in 0..300_usize) {
        let mut shortened = block;
        if shorten(&mut shortened, &[7; 50], budget).is_some() {
            prop_assert!(shortened.len() <= budget);
        }
    }
}

#[test]
fn literals_fill_the_room_with_their_length() {
    for room in 0..2000 {
        let literals = fitting(room);
        let size = |literals: usize| literals + if literals < 15 { 0 } else { (literals - 15) / 255 + 1 };
        assert!(size(literals) <= room && size(literals + 1) > room, "{room}: {literals}");
    }
}
