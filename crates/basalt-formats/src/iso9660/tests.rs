//! Names and refusals by value.

use basalt_types::{Guid, PartLabel};

use super::{
    File, FilePath, Image, IsoError, NameError, Partition, VolumeId,
    names::{short_directory, short_file},
};
use crate::gpt::{Attributes, GptError, types};

fn path(text: &str) -> FilePath {
    text.parse().unwrap()
}

fn partition(number: u128, content: &Vec<u8>) -> Partition<'_> {
    Partition {
        label: PartLabel::constant("part"),
        type_guid: types::LINUX_DATA,
        guid: Guid::from_u128(number),
        attributes: Attributes::NONE,
        content,
        file: None,
    }
}

#[test]
fn names_are_checked() {
    for good in ["a", "boot/efi.img", "A-Z_09.x"] {
        assert_eq!(path(good).to_string(), good);
    }
    for bad in ["", "/a", "a/", "a//b", "ä", "a b", ".", "a/..", "1/2/3/4/5/6/7/8/9", &"x".repeat(65)] {
        assert_eq!(bad.parse::<FilePath>(), Err(NameError::FilePath(bad.to_owned())));
    }
    assert!("BASALT_1".parse::<VolumeId>().is_ok());
    for bad in ["", "lower", "A-B", &"X".repeat(33)] {
        assert_eq!(bad.parse::<VolumeId>(), Err(NameError::VolumeId(bad.to_owned())));
    }
}

#[test]
fn short_names_are_capitals_with_one_dot() {
    assert_eq!(short_file("root.erofs"), b"ROOT.EROFS;1");
    assert_eq!(short_file("vmlinuz"), b"VMLINUZ.;1");
    assert_eq!(short_file("a-b.tar.gz"), b"A_B_TAR.GZ;1");
    assert_eq!(short_directory("efi.d"), b"EFI_D");
    assert_eq!(short_file(&format!("{}.{}", "x".repeat(50), "y".repeat(10))).len(), 32);
    assert_eq!(short_file(&"x".repeat(64)).len(), 32);
}

#[test]
fn what_makes_no_image_is_refused() {
    let (bytes, none) = (vec![1; 3000], Vec::new());
    let refused = |partitions: Vec<Partition<'_>>, paths: &[&str]| {
        let files = paths.iter().map(|text| File { path: path(text), content: &bytes }).collect();
        let image = Image {
            volume_id: "X".parse().unwrap(),
            time: 0,
            disk_guid: Guid::from_u128(9),
            esp: partition(1, &bytes),
            partitions,
            files,
        };
        image.layout().map(|_| ())
    };
    assert_eq!(refused(Vec::new(), &["a", "b/c", "b/d"]), Ok(()));
    assert_eq!(refused(Vec::new(), &["a", "a"]), Err(IsoError::Twice("a".into())));
    assert_eq!(refused(Vec::new(), &["a", "a/b"]), Err(IsoError::Twice("a/b".into())));
    assert_eq!(refused(Vec::new(), &["a/b", "a"]), Err(IsoError::Twice("a".into())));
    let same = IsoError::SameShortName { path: "d/A".into(), short: "A.;1".into() };
    assert_eq!(refused(Vec::new(), &["d/a", "d/A"]), Err(same));
    let empty = IsoError::EmptyPartition(PartLabel::constant("part"));
    assert_eq!(refused(vec![partition(2, &none)], &[]), Err(empty));
    let twice = GptError::DuplicateGuid { number: 2, guid: Guid::from_u128(1) };
    assert_eq!(refused(vec![partition(1, &bytes)], &[]), Err(IsoError::Table(twice)));
}
