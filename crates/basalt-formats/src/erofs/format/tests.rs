use super::*;

fn inode() -> Inode {
    Inode {
        layout: DataLayout::Inline,
        xattr_count: 3,
        mode: 0o100_644,
        links: 1,
        size: 77,
        union: 9,
        ino: 4,
        uid: 1000,
        gid: 65535,
        mtime: None,
    }
}

#[test]
fn a_compact_inode_is_32_bytes_and_reads_back() {
    let bytes = inode().encode(5);
    assert_eq!(bytes.len(), 32);
    assert_eq!(Inode::decode(&bytes), Ok(inode()));
}

#[test]
fn each_wide_field_needs_the_extended_form() {
    let wide = [
        Inode { uid: 65536, ..inode() },
        Inode { gid: 65536, ..inode() },
        Inode { links: 65536, ..inode() },
        Inode { size: 1 << 32, ..inode() },
        Inode { mtime: Some((-3, 999_999_999)), ..inode() },
    ];
    for inode in wide {
        let bytes = inode.encode(5);
        assert_eq!(bytes.len(), 64, "{inode:?}");
        let mtime = inode.mtime.or(Some((5, 0)));
        assert_eq!(Inode::decode(&bytes), Ok(Inode { mtime, ..inode }));
    }
}

#[test]
fn an_unknown_format_is_refused() {
    let mut bytes = inode().encode(5);
    bytes[0] = 5 << 1;
    assert_eq!(Inode::decode(&bytes), Err(10));
    bytes[1] = 1;
    assert_eq!(Inode::decode(&bytes), Err(266));
}

#[test]
fn a_superblock_reads_back_and_is_sealed() {
    let superblock = Superblock {
        uuid: Guid::from_u128(7),
        label: b"basalt".to_vec(),
        epoch: -1,
        epoch_nanos: 0,
        inodes: 3,
        blocks: 12,
        block_bits: BLOCK_BITS,
        root_nid: 36,
        meta_block: 0,
        features: Features::default(),
        xattr_block: 2,
    };
    let mut block = vec![0; BLOCK as usize];
    put(&mut block, SUPER_OFFSET as usize, &superblock.encode());
    block[4000] = 1;
    seal(&mut block);
    let found = &block[SUPER_OFFSET as usize..];
    assert_eq!(Superblock::decode(&array_at(found, 0)), Ok(superblock));
    assert_eq!(verify(found), Ok(()));
    let mut broken = found.to_vec();
    broken[2000] ^= 1;
    assert!(matches!(verify(&broken), Err(SuperblockError::Checksum { .. })));
}

#[test]
fn foreign_superblocks_are_refused_by_reason() {
    let good = Superblock {
        uuid: Guid::NIL,
        label: Vec::new(),
        epoch: 0,
        epoch_nanos: 0,
        inodes: 1,
        blocks: 1,
        block_bits: 12,
        root_nid: 36,
        meta_block: 0,
        features: Features::default(),
        xattr_block: 0,
    }
    .encode();
    let with = |offset: usize, value: u8| {
        let mut bytes = good;
        bytes[offset] = value;
        Superblock::decode(&bytes)
    };
    assert!(matches!(with(0, 0), Err(SuperblockError::Magic { .. })));
    assert_eq!(with(12, 17), Err(SuperblockError::BlockSize { bits: 17 }));
    assert_eq!(with(80, 0xcb), Err(SuperblockError::Features { features: 0xc0 }));
    assert_eq!(with(86, 1), Err(SuperblockError::Field { field: "extra_devices" }));
    assert_eq!(with(90, 1), Err(SuperblockError::Field { field: "dirblkbits" }));
}
