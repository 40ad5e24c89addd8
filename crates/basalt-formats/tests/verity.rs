//! veritysetup (cryptsetup) makes the same trees from the same salt and UUID, and verifies ours. It needs no
//! device-mapper for that.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "oracles are programs that read files"
)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here fails a test")]

use std::{fs::File, io::Read, os::unix::fs::FileExt, path::Path, process::Command};

use basalt_formats::verity::{BLOCK_SIZE, HashTree, LeafHashes, Params, Salt, Superblock, verify};
use basalt_types::Guid;

fn veritysetup(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("veritysetup")
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("veritysetup can't be run ({error}): apt-get install cryptsetup-bin"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(said) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn data(blocks: u64) -> Vec<u8> {
    (0..blocks * BLOCK_SIZE as u64).map(|at| (at.wrapping_mul(2_654_435_761) >> 9) as u8).collect()
}

fn tree(data: &[u8], salt: &[u8], uuid: Guid) -> HashTree {
    let data_blocks = (data.len() / BLOCK_SIZE) as u64;
    let leaves = LeafHashes::new(Params { salt: Salt::new(salt).unwrap(), uuid, data_blocks }).unwrap();
    leaves.feed(0, data).unwrap();
    leaves.finish().unwrap()
}

fn stored(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all_at(bytes, 0).unwrap();
    file
}

fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// From one block to three levels, with the salts that images have and the extremes.
#[test]
fn veritysetup_makes_the_same_tree() {
    let uuid: Guid = "3a4c8a0e-5d0c-4d5f-9d55-0c4a0d5f9a11".parse().unwrap();
    let salts = [vec![0xab; 32], vec![], vec![7; 256], (0..17).collect()];
    for blocks in [1u64, 2, 127, 128, 129, 300, 128 * 128 + 1] {
        for salt in salts.iter().take(if blocks > 1000 { 1 } else { 4 }) {
            let data = data(blocks);
            let ours = tree(&data, salt, uuid);
            let (data_file, tree_file) = (stored(&data), stored(&[]));
            let salt = Salt::new(salt.clone()).unwrap().to_table();
            let arguments = [
                "format",
                &format!("--salt={salt}"),
                &format!("--uuid={uuid}"),
                "--hash=sha256",
                data_file.path().to_str().unwrap(),
                tree_file.path().to_str().unwrap(),
            ];
            let said = veritysetup(&arguments).unwrap();
            let root = said.lines().find_map(|line| line.strip_prefix("Root hash:")).unwrap().trim();
            assert_eq!(root, ours.root.hex(), "{blocks} blocks, salt {salt}");
            let theirs = read(tree_file.path());
            assert!(theirs == ours.bytes, "{blocks} blocks, salt {salt}: the trees differ");
            assert_eq!(Superblock::parse(&theirs).unwrap().uuid, uuid);
            assert_eq!(verify(&data, &theirs, &ours.root), Ok(()));
        }
    }
}

#[test]
fn veritysetup_verifies_ours_and_finds_a_flipped_bit() {
    let mut data = data(1000);
    let HashTree { bytes, root } = tree(&data, &[1; 32], Guid::from_u128(7));
    let tree_file = stored(&bytes);
    let check = |data: &[u8]| {
        let data_file = stored(data);
        let paths = [data_file.path(), tree_file.path()].map(|path| path.to_str().unwrap().to_owned());
        veritysetup(&["verify", &paths[0], &paths[1], &root.hex()])
    };
    assert_eq!(check(&data).map(|_| ()), Ok(()));
    data[777 * BLOCK_SIZE] ^= 1;
    assert!(check(&data).unwrap_err().contains("Verification failed at position"), "{:?}", check(&data));
}
