//! Layers that honest tools make, and layers that nobody honest makes.

mod hostile;
mod meaning;

use std::io::Write as _;

use basalt_formats::tree::{Kind, ReadContent, Tree};

use super::{LayerError, LayerProblem, Layers, Limits};

/// A tar archive by hand, so that it can be wrong.
#[derive(Default, Clone)]
struct Tar(Vec<u8>);

impl Tar {
    /// An entry with these parts. `edit` may change the header before its sum is made.
    fn entry(mut self, kind: u8, path: &str, content: &[u8], edit: impl FnOnce(&mut tar::Header)) -> Self {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
        header.set_size(content.len() as u64);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1000);
        edit(&mut header);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.raw(content)
    }

    /// Bytes, filled up to a block.
    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, content: &str) -> Self {
        self.entry(b'0', path, content.as_bytes(), |_| {})
    }

    fn dir(self, path: &str) -> Self {
        self.entry(b'5', path, b"", |_| {})
    }

    fn link(self, kind: u8, path: &str, target: &str) -> Self {
        self.entry(kind, path, b"", |header| header.set_link_name_literal(target).unwrap())
    }

    fn device(self, kind: u8, path: &str) -> Self {
        self.entry(kind, path, b"", |header| {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        })
    }

    /// Extended records for the next entry.
    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut bytes = Vec::new();
        for (key, value) in records {
            // The length counts its own digits.
            let rest = key.len() + value.len() + 3;
            let length = (rest + 1..).find(|length| rest + length.to_string().len() == *length).unwrap();
            bytes.extend(format!("{length} {key}=").as_bytes());
            bytes.extend(*value);
            bytes.push(b'\n');
        }
        self.entry(b'x', "pax", &bytes, |_| {})
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

/// Applies layers with these limits; gives the tree and the spool.
fn apply_limited(layers: &[Vec<u8>], limits: Limits) -> Result<(Tree, Vec<u8>), LayerError> {
    let mut spool = Vec::new();
    let mut made = Layers::new(&mut spool, 7, limits);
    for layer in layers {
        made.apply(&mut layer.as_slice(), None)?;
    }
    let tree = made.finish();
    Ok((tree, spool))
}

/// Applies layers, which are fine.
#[track_caller]
fn apply(layers: &[Vec<u8>]) -> Made {
    match apply_limited(layers, Limits::default()) {
        Ok((tree, spool)) => Made { tree, spool: Spooled(spool) },
        Err(error) => panic!("{error}"),
    }
}

/// Why layers are refused.
#[track_caller]
fn refusal(layers: &[Vec<u8>]) -> LayerProblem {
    match apply_limited(layers, Limits::default()) {
        Ok((tree, _)) => panic!("taken: {:?}", listing(&tree)),
        Err(error) => error.problem,
    }
}

struct Made {
    tree: Tree,
    spool: Spooled,
}

struct Spooled(Vec<u8>);

impl ReadContent for Spooled {
    fn read_stored(&self, store: u32, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        assert_eq!(store, 7);
        basalt_formats::ReadAt::read_at(&self.0, offset, buffer)
    }
}

impl Made {
    /// The bytes of a file, all links followed.
    #[track_caller]
    fn read(&self, path: &str) -> Vec<u8> {
        let id = self.tree.resolve(path).unwrap();
        let Kind::File(content) = &self.tree.node(id).kind else { panic!("{path} is no file") };
        content.read(&self.spool).unwrap()
    }

    #[track_caller]
    fn check(&self, expected: &[&str]) {
        assert_eq!(listing(&self.tree), expected);
    }
}

/// Every path but the root's.
fn listing(tree: &Tree) -> Vec<String> {
    let mut paths = Vec::new();
    tree.walk(&mut |path, _| paths.push(String::from_utf8_lossy(path).into_owned()));
    paths.remove(0);
    paths
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
