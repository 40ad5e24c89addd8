//! Segments and holes by value, reads against a plain copy.

use std::{io, ops::Range, sync::Mutex};

use proptest::prelude::*;

use super::{LayoutError, Segment, VirtualDisk, WriteError, copy};
use crate::{ReadAt, WriteAt};

struct Raw(Mutex<Vec<u8>>);

impl WriteAt for Raw {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = offset as usize;
        self.0.lock().unwrap()[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

struct Broken;

impl ReadAt for Broken {
    fn size(&self) -> u64 {
        100
    }

    fn read_at(&self, _offset: u64, _buffer: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

fn segment(start: u64, content: &Vec<u8>) -> Segment<'_> {
    Segment { start, content }
}

fn ranges(disk: &VirtualDisk<'_>) -> Vec<Range<u64>> {
    disk.data_ranges().unwrap()
}

#[test]
fn segments_lie_over_zeros() {
    let (one, two, none) = (vec![1; 3], vec![2; 2], Vec::new());
    let disk =
        VirtualDisk::new(12, vec![segment(6, &two), segment(2, &one), segment(3, &none), segment(8, &two)]);
    let disk = disk.unwrap();
    let mut bytes = [9; 12];
    disk.read_at(0, &mut bytes).unwrap();
    assert_eq!(bytes, [0, 0, 1, 1, 1, 0, 2, 2, 2, 2, 0, 0]);
    assert_eq!(ranges(&disk), [2..5, 6..10]);
    let outer = VirtualDisk::new(20, vec![Segment { start: 5, content: &disk }]).unwrap();
    assert_eq!(ranges(&outer), [7..10, 11..15]);
    assert!(disk.read_at(11, &mut [0; 2]).is_err());
    assert!(disk.read_at(u64::MAX, &mut [0; 2]).is_err());
}

#[test]
fn what_makes_no_disk_is_refused() {
    let three = vec![1; 3];
    let made = |size, starts: &[u64]| {
        VirtualDisk::new(size, starts.iter().map(|start| segment(*start, &three)).collect()).map(|_| ())
    };
    assert_eq!(made(6, &[3, 0]), Ok(()));
    assert_eq!(made(6, &[2, 0]), Err(LayoutError::Overlap(0, 2)));
    assert_eq!(made(6, &[0, 0]), Err(LayoutError::Overlap(0, 0)));
    assert_eq!(made(5, &[3]), Err(LayoutError::Outside { start: 3, end: 6, size: 5 }));
    let far = u64::MAX - 1;
    assert_eq!(made(6, &[far]), Err(LayoutError::Outside { start: far, end: u64::MAX, size: 6 }));
}

#[test]
fn an_error_of_a_segment_is_the_disks() {
    let disk = VirtualDisk::new(512, vec![Segment { start: 10, content: &Broken }]).unwrap();
    let copied = copy(&disk, &Raw(Mutex::new(vec![0; 512])));
    assert!(
        matches!(&copied, Err(WriteError::Disk(source)) if source.kind() == io::ErrorKind::BrokenPipe),
        "{copied:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_read_and_the_raw_image_are_as_if_all_was_written(
        parts in prop::collection::vec((0u64..200_000, 1usize..70_000, 1u8..), 0..6),
        reads in prop::collection::vec((0u64..400_000, 0usize..100_000), 1..9),
    ) {
        let (mut at, mut contents) = (0, Vec::new());
        for (gap, length, byte) in parts {
            contents.push((at + gap, vec![byte; length]));
            at += gap + length as u64;
        }
        let mut plain = vec![0; at as usize + 100];
        for (start, bytes) in &contents {
            plain[*start as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        let segments = contents.iter().map(|(start, bytes)| segment(*start, bytes)).collect();
        let disk = VirtualDisk::new(plain.len() as u64, segments).unwrap();
        for (offset, length) in reads {
            let mut bytes = vec![7; length];
            let wanted = plain.get(offset as usize..).and_then(|rest| rest.get(..length));
            match wanted {
                Some(wanted) => {
                    disk.read_at(offset, &mut bytes).unwrap();
                    prop_assert!(bytes == wanted);
                }
                None => prop_assert!(disk.read_at(offset, &mut bytes).is_err()),
            }
        }
        let raw = Raw(Mutex::new(vec![0; plain.len()]));
        copy(&disk, &raw).unwrap();
        prop_assert!(*raw.0.lock().unwrap() == plain);
    }
}
