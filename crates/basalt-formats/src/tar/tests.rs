//! Entries read back with the `tar` crate, for any tree.

use std::{borrow::Cow, collections::BTreeMap, io::Read};

use proptest::prelude::*;

use super::{TarError, write};
use crate::tree::{Content, Device, Kind, Metadata, NoStores, Node, Tree};

const NEWEST: i64 = 1_700_000_000;

/// What is compared: type, path, target, mode, owner, device, time as text, attributes, data.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    kind: u8,
    path: Vec<u8>,
    link: Vec<u8>,
    numbers: [u64; 5],
    mtime: String,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    data: Vec<u8>,
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// The entries, each with the extended header before it. (The crate itself takes no attribute with a newline.)
fn read_back(archive: &[u8]) -> Vec<Seen> {
    let mut archive = tar::Archive::new(archive);
    let (mut all, mut records) = (Vec::new(), Records::new());
    for entry in archive.entries().unwrap().raw(true) {
        let mut entry = entry.unwrap();
        let mut data = Vec::new();
        entry.read_to_end(&mut data).unwrap();
        if entry.header().as_bytes()[156] == b'x' {
            records = parsed(&data);
        } else {
            all.push(seen(entry.header(), std::mem::take(&mut records), data));
        }
    }
    all
}

fn parsed(mut bytes: &[u8]) -> Records {
    let mut records = Records::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').unwrap();
        let length: usize = std::str::from_utf8(&bytes[..space]).unwrap().parse().unwrap();
        let record = bytes[space + 1..length].strip_suffix(b"\n").unwrap();
        let equals = record.iter().position(|byte| *byte == b'=').unwrap();
        records.insert(record[..equals].to_vec(), record[equals + 1..].to_vec());
        bytes = &bytes[length..];
    }
    records
}

fn seen(header: &tar::Header, records: Records, data: Vec<u8>) -> Seen {
    let text = |key: &str| records.get(key.as_bytes()).map(|value| String::from_utf8(value.clone()).unwrap());
    let number = |key, field: u64| text(key).map_or(field, |text| text.parse().unwrap());
    let bytes = |key: &str, field: Option<Cow<'_, [u8]>>| {
        records.get(key.as_bytes()).cloned().unwrap_or_else(|| field.unwrap_or_default().into_owned())
    };
    let xattrs = records
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(b"SCHILY.xattr.")?.to_vec(), value.clone())));
    Seen {
        kind: header.as_bytes()[156],
        path: bytes("path", Some(header.path_bytes())),
        link: bytes("linkpath", header.link_name_bytes()),
        numbers: [
            header.mode().unwrap().into(),
            number("uid", header.uid().unwrap()),
            number("gid", header.gid().unwrap()),
            header.device_major().unwrap().unwrap().into(),
            header.device_minor().unwrap().unwrap().into(),
        ],
        mtime: text("mtime").unwrap_or_else(|| header.mtime().unwrap().to_string()),
        xattrs: xattrs.collect(),
        data,
    }
}

fn archive(tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = write(tree, &NoStores, NEWEST, &mut bytes).unwrap();
    assert_eq!(length, bytes.len() as u64);
    bytes
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2000).prop_map(|bytes| Kind::File(Content::inline(bytes))),
        (250_000usize..600_000).prop_map(|length| Kind::File(Content::inline(vec![7; length]))),
        prop::collection::vec(1u8.., 1..200).prop_map(Kind::Symlink),
        (0u32..4096, 0u32..1 << 20).prop_map(|(major, minor)| Kind::CharDevice(Device { major, minor })),
        (0u32..4096, 0u32..1 << 20).prop_map(|(major, minor)| Kind::BlockDevice(Device { major, minor })),
        Just(Kind::Fifo),
        Just(Kind::Directory(BTreeMap::new())),
    ]
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(prop_oneof![Just(b'.'), b'a'..b'f', 128u8..], 1..255),
        "[a-zäöü]{1,120}".prop_map(String::into_bytes),
    ]
    .prop_filter("not names", |name| name != b"." && name != b"..")
}

fn nodes() -> impl Strategy<Value = Node> {
    let xattrs = prop::collection::btree_map("[a-z.]{1,30}", prop::collection::vec(any::<u8>(), 0..90), 0..3);
    let xattrs =
        xattrs.prop_map(|all| all.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect());
    let owner = prop_oneof![0u32..3, any::<u32>()];
    let mtime = prop_oneof![-2i64..NEWEST, Just(NEWEST - 1), -9_000_000_000i64..0];
    (0u16..0o10000, owner.clone(), owner, mtime, 0u32..1_000_000_000, xattrs, kinds()).prop_map(
        |(mode, uid, gid, mtime, mtime_nanos, xattrs, kind)| Node {
            metadata: Metadata { mode, uid, gid, mtime, mtime_nanos, xattrs },
            kind,
        },
    )
}

/// Trees whose nodes go below one of the directories before them.
fn trees() -> impl Strategy<Value = Tree> {
    prop::collection::vec((names(), nodes(), any::<prop::sample::Index>(), any::<bool>()), 0..12).prop_map(
        |nodes| {
            let mut tree = Tree::new();
            let mut directories = vec![Tree::ROOT];
            for (name, node, parent, twice) in nodes {
                let parent = *parent.get(&directories);
                let is_directory = matches!(node.kind, Kind::Directory(_));
                let id = tree.add(node);
                tree.link(parent, &name, id).unwrap();
                if is_directory {
                    directories.push(id);
                } else if twice {
                    tree.link(Tree::ROOT, &[b"twice-", name.as_slice()].concat()[..name.len().min(250)], id)
                        .unwrap();
                }
            }
            tree
        },
    )
}

/// What an archive of the tree should say.
fn wanted(tree: &Tree) -> Vec<Seen> {
    let mut first: BTreeMap<_, Vec<u8>> = BTreeMap::new();
    let mut all = Vec::new();
    tree.walk(&mut |path, id| {
        let node = tree.node(id);
        let mut path = if path.is_empty() { b".".to_vec() } else { path[1..].to_vec() };
        if matches!(node.kind, Kind::Directory(_)) {
            path.push(b'/');
        }
        let mut seen = alone(path.clone(), node);
        if let Some(first) = first.get(&id) {
            seen =
                Seen { kind: b'1', link: first.clone(), xattrs: BTreeMap::new(), data: Vec::new(), ..seen };
            (seen.numbers[0], seen.numbers[3], seen.numbers[4]) = (node.metadata.mode.into(), 0, 0);
        }
        first.entry(id).or_insert(path);
        all.push(seen);
    });
    all
}

/// The entry of a node with one name.
fn alone(path: Vec<u8>, Node { metadata, kind }: &Node) -> Seen {
    let (mut mode, mut link, mut device, mut data) = (metadata.mode, Vec::new(), (0, 0), Vec::new());
    let kind = match kind {
        Kind::File(content) => {
            data = content.read(&NoStores).unwrap();
            b'0'
        }
        Kind::Symlink(target) => {
            (mode, link) = (0o777, target.clone());
            b'2'
        }
        Kind::CharDevice(Device { major, minor }) => {
            device = (*major, *minor);
            b'3'
        }
        Kind::BlockDevice(Device { major, minor }) => {
            device = (*major, *minor);
            b'4'
        }
        Kind::Directory(_) => b'5',
        Kind::Fifo => b'6',
        Kind::Socket => b's',
    };
    let numbers = [mode.into(), metadata.uid.into(), metadata.gid.into(), device.0.into(), device.1.into()];
    let xattrs = metadata.xattrs.clone();
    Seen { kind, path, link, numbers, mtime: time(metadata), xattrs, data }
}

fn time(Metadata { mtime, mtime_nanos, .. }: &Metadata) -> String {
    if *mtime_nanos == 0 {
        return mtime.to_string();
    }
    let all = i128::from(*mtime) * 1_000_000_000 + i128::from(*mtime_nanos);
    let (sign, all) = (if all < 0 { "-" } else { "" }, all.unsigned_abs());
    format!("{sign}{}.{:09}", all / 1_000_000_000, all % 1_000_000_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_tree_comes_back(tree in trees()) {
        let archive = archive(&tree);
        prop_assert_eq!(archive.len() % 512, 0);
        prop_assert_eq!(read_back(&archive).len(), wanted(&tree).len());
        for (found, wanted) in read_back(&archive).into_iter().zip(wanted(&tree)) {
            prop_assert_eq!(found, wanted);
        }
    }
}

#[test]
fn later_times_become_the_newest() {
    let mut tree = Tree::new();
    let metadata = Metadata { mtime: NEWEST + 1, mtime_nanos: 5, ..Metadata::root_owned(0o644) };
    tree.insert("/a", Node { metadata, kind: Kind::Fifo }).unwrap();
    assert_eq!(read_back(&archive(&tree))[1].mtime, NEWEST.to_string());
}

#[test]
fn what_an_archive_can_t_hold_is_refused() {
    let refused = |metadata, kind| {
        let mut tree = Tree::new();
        tree.insert("/run/odd", Node { metadata, kind }).unwrap();
        write(&tree, &NoStores, NEWEST, &mut Vec::new()).unwrap_err()
    };
    let plain = Metadata::root_owned(0o644);
    let error = refused(plain.clone(), Kind::Socket);
    assert!(matches!(&error, TarError::Socket(path) if path == "run/odd"), "{error}");
    let xattrs = BTreeMap::from([(b"user.a=b".to_vec(), Vec::new())]);
    let error = refused(Metadata { xattrs, ..plain.clone() }, Kind::Fifo);
    assert!(matches!(&error, TarError::Attribute { path, name } if path == "run/odd" && name == "user.a=b"));
    let source = crate::tree::Source::Stored { store: 0, offset: 0 };
    let error = refused(plain, Kind::File(Content { size: 5, source }));
    assert!(matches!(&error, TarError::Content { path, .. } if path == "run/odd"), "{error}");
}
