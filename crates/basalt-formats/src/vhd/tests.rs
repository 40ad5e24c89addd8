//! The footer and the geometry by value.

use basalt_types::Guid;

use super::{
    Options,
    footer::{Footer, Geometry, Kind},
};

const OPTIONS: Options =
    Options { id: Guid::from_u128(0x1234_5678_9abc_4def_8000_0000_0000_0001), time: 946_684_801 };

#[test]
fn the_geometry_is_the_specifications() {
    let of_mib = |mib: u64| Geometry::of(mib * 2048);
    assert_eq!(of_mib(1), Geometry(30, 4, 17));
    assert_eq!(of_mib(100), Geometry(1003, 12, 17));
    assert_eq!(of_mib(136), Geometry(561, 16, 31));
    assert_eq!(of_mib(200), Geometry(825, 16, 31));
    assert_eq!(of_mib(1024), Geometry(2080, 16, 63));
    assert_eq!(of_mib(40 << 10), Geometry(20_560, 16, 255));
    assert_eq!(of_mib(1 << 20), Geometry(65_535, 16, 255));
}

#[test]
fn a_footer_has_each_field_at_its_place() {
    let bytes = Footer { kind: Kind::Fixed, size: 3 << 20, options: OPTIONS }.encode();
    assert_eq!(bytes.len(), 512);
    assert_eq!(&bytes[..8], b"conectix");
    assert_eq!(bytes[16..24], [0xff; 8]);
    assert_eq!(bytes[24..28], [0, 0, 0, 1]);
    assert_eq!(bytes[48..56], (3u64 << 20).to_be_bytes());
    assert_eq!(bytes[60..64], [0, 0, 0, 2]);
    assert_eq!(bytes[68..84], *OPTIONS.id.as_bytes());
    let sum = bytes.iter().enumerate().filter(|(at, _)| !(64..68).contains(at));
    let sum: u32 = sum.map(|(_, byte)| u32::from(*byte)).sum();
    assert_eq!(bytes[64..68], (!sum).to_be_bytes());
    let early = Options { time: -1, ..OPTIONS };
    let bytes = Footer { kind: Kind::Dynamic { header: 512 }, size: 3 << 20, options: early }.encode();
    assert_eq!((&bytes[16..24], &bytes[24..28]), (&512u64.to_be_bytes()[..], &[0; 4][..]));
}
