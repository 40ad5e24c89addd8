//! Writes a compressed image: data first, in one pass over the tree's content; then metadata; then the superblock.
//!
//! ```text
//! survey → digest every content → divide into jobs → compress (or copy from a donor) in parallel, write in order
//!        → plan the metadata, and so the size → [the caller may change the late file's bytes] → write metadata
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    io,
};

use basalt_types::Digest;
use crc32fast::Hasher;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::{
    codec::Compression,
    error::{PlanError, WriteError},
    format::{BLOCK, Features},
    known::{Donor, Index, Known, KnownTail, Made},
    map::Mapped,
    plan::{Data, Layout, Options, Packing, Surveyed},
    squeeze::{Cluster, Tail},
    write::path_of,
};
use crate::{
    WriteAt,
    tree::{Content, Kind, NodeId, ReadContent, Tree},
};

mod jobs;

use jobs::Work;

/// Bytes that are read at once for a digest.
const CHUNK: usize = 1 << 20;

/// What the caller decides about a packed image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackOptions {
    /// What every image has.
    pub image: Options,
    /// How file data is compressed; `None`: not at all.
    pub compression: Option<Compression>,
    /// The path of a regular file whose bytes [`pack`] does not look at yet: only [`Packed::finish`] reads them, and they
    /// are stored as they are.
    pub late: Option<String>,
}

/// An image whose data is written and whose metadata is not.
#[derive(Debug)]
pub struct Packed {
    options: PackOptions,
    /// Bytes of the image.
    size: u64,
    /// Where the metadata starts.
    start: u64,
    features: Features,
    /// What is stored, each content once.
    contents: Vec<Stored>,
    /// The content of each regular file that has one here, by its place in the survey.
    files: HashMap<usize, usize>,
}

/// A content and how it is stored.
#[derive(Debug)]
struct Stored {
    digest: Digest,
    size: u64,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the first block.
    block: u32,
    /// Empty, and no tail, when it is stored as it is.
    clusters: Vec<Cluster>,
    tail: Option<Tail>,
    /// Over all stored bytes.
    sum: Hasher,
}

/// A content that is to be stored.
struct Unique<'a> {
    /// The first node that has it.
    id: NodeId,
    content: &'a Content,
    digest: Digest,
    /// Whether it fits behind its inode as it is.
    small: bool,
    known: Option<(&'a Donor<'a>, &'a Known)>,
}

/// Writes the data of a tree to `sink`, from its second block on, and plans the rest.
///
/// Several threads are used, as many as rayon's current pool has; the bytes are the same for any number, and with or
/// without `donors`. Blocks are written whole, each once, in no particular order. Memory: some 100 MiB, and the
/// metadata with what is inline in it.
///
/// # Errors
/// When the tree can't be an image (before anything is written), `content` can't give what it promises, a donor can't be
/// read or is damaged (without it the same call may do), or `sink` fails.
pub fn pack(
    tree: &Tree,
    content: &dyn ReadContent,
    options: &PackOptions,
    donors: &[Donor<'_>],
    sink: &dyn WriteAt,
) -> Result<Packed, WriteError> {
    if let Some(compression) = &options.compression {
        compression.check().map_err(PlanError::Compression)?;
    }
    let survey = Surveyed::new(tree, &options.image)?;
    let (uniques, files) = contents(&survey, content, options, donors)?;
    let work = Work { tree, content, uniques };
    let (states, start) = work.run(options, sink)?;
    let mut uses = vec![0; states.len()];
    files.values().for_each(|unique| uses[*unique] += 1);
    let shared = states.iter().zip(&uses).any(|(state, uses)| *uses > 1 && !state.clusters.is_empty());
    let contents = work.uniques.iter().zip(states);
    let mut packed = Packed {
        options: options.clone(),
        size: 0,
        start,
        features: Features::packed(options.compression, shared),
        contents: contents
            .map(|(unique, state)| Stored { digest: unique.digest, size: unique.content.size, state })
            .collect(),
        files,
    };
    packed.size = packed.plan(&survey)?.0.image_size();
    Ok(packed)
}

impl Packed {
    /// Bytes of the image: a multiple of 4096.
    pub fn image_size(&self) -> u64 {
        self.size
    }

    /// Writes what is missing to the same `sink`: the metadata, then the superblock's block.
    ///
    /// `tree` and `content` are those that [`pack`] got; only the bytes of the late file may be others, equally many.
    ///
    /// # Errors
    /// When the tree has changed, the content of a small file can't be read, or `sink` fails.
    pub fn finish(
        self,
        tree: &Tree,
        content: &dyn ReadContent,
        sink: &dyn WriteAt,
    ) -> Result<Index, WriteError> {
        let survey = Surveyed::new(tree, &self.options.image)?;
        let (layout, behind) = self.plan(&survey)?;
        if layout.image_size() != self.size {
            return Err(WriteError::Changed { expected: self.size, found: layout.image_size() });
        }
        layout.write_range(self.start..self.size, content, sink)?;
        layout.write_range(0..BLOCK, content, sink)?;
        Ok(self.index(&behind))
    }

    /// Plans the metadata; see [`Layout::of`].
    fn plan<'a>(&'a self, survey: &Surveyed<'a>) -> Result<(Layout<'a>, Vec<u64>), PlanError> {
        let algorithm = self.options.compression.map_or(0, |compression| compression.algorithm.number());
        let data = |place: usize| {
            let Some(stored) = self.files.get(&place).map(|unique| &self.contents[*unique]) else {
                return Data::Open;
            };
            let State { block, clusters, tail, sum: _ } = &stored.state;
            match (clusters.is_empty() && tail.is_none(), *block) {
                (true, 0) => Data::Open,
                (true, block) => Data::Blocks(block),
                (false, block) => Data::Clusters(Mapped { clusters, tail: tail.as_ref(), block, algorithm }),
            }
        };
        let packing = Packing { start: self.start, features: self.features, data: &data };
        Layout::of(survey, &self.options.image, Some(&packing))
    }

    /// `behind` is where the inline part of each node starts, by its place in the survey.
    fn index(self, behind: &[u64]) -> Index {
        let mut tails = vec![0; self.contents.len()];
        for (place, unique) in &self.files {
            let first = &mut tails[*unique];
            *first = if *first == 0 { behind[*place] } else { behind[*place].min(*first) };
        }
        let known = |(stored, offset): (Stored, u64)| {
            let State { block, clusters, tail, sum } = stored.state;
            let tail = tail.map(|tail| KnownTail {
                offset,
                length: tail.length,
                stored: tail.bytes.len() as u16,
                compressed: tail.compressed,
            });
            let sum = sum.finalize();
            (stored.digest, Known { size: stored.size, block, clusters, tail, sum })
        };
        let files: BTreeMap<Digest, Known> = self.contents.into_iter().zip(tails).map(known).collect();
        Index { made: Made::with(self.options.compression), files }
    }
}

/// Every content of the tree once, in the order of the survey, and which of them each regular file has.
fn contents<'a>(
    survey: &Surveyed<'a>,
    content: &dyn ReadContent,
    options: &PackOptions,
    donors: &'a [Donor<'a>],
) -> Result<(Vec<Unique<'a>>, HashMap<usize, usize>), WriteError> {
    let tree = survey.tree;
    let late = late(tree, options)?;
    let nodes = survey.nodes(None)?;
    let mut files = Vec::new();
    for (place, node) in nodes.iter().enumerate().filter(|(_, node)| Some(node.id) != late) {
        if let Kind::File(content) = &tree.node(node.id).kind
            && content.size > 0
        {
            files.push((place, node.id, content, node.inline > 0));
        }
    }
    let digest = |(_, id, file, _): &(usize, NodeId, &Content, bool)| {
        digest_of(file, content).map_err(|source| WriteError::Content { path: path_of(tree, *id), source })
    };
    let digests: Vec<Digest> = files.par_iter().map(digest).collect::<Result<_, _>>()?;
    let made = Made::with(options.compression);
    let usable: Vec<&Donor<'_>> = donors.iter().filter(|donor| donor.index.made == made).collect();
    let mut uniques = Vec::new();
    let mut places = HashMap::new();
    let mut owners = HashMap::new();
    for ((place, id, content, small), digest) in files.into_iter().zip(digests) {
        let owner = *owners.entry((digest, small)).or_insert(uniques.len());
        if owner == uniques.len() {
            let known = usable.iter().find_map(|donor| Some((*donor, donor.index.files.get(&digest)?)));
            let known = known.filter(|(_, known)| known.size == content.size);
            uniques.push(Unique { id, content, digest, small, known });
        }
        places.insert(place, owner);
    }
    Ok((uniques, places))
}

fn late(tree: &Tree, options: &PackOptions) -> Result<Option<NodeId>, PlanError> {
    let Some(path) = &options.late else { return Ok(None) };
    let found = tree.lookup(path).filter(|id| matches!(tree.node(*id).kind, Kind::File(_)));
    found.map(Some).ok_or_else(|| PlanError::Late { path: path.clone() })
}

fn digest_of(file: &Content, content: &dyn ReadContent) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; file.size.min(CHUNK as u64) as usize];
    let mut offset = 0;
    while offset < file.size {
        let part = &mut buffer[..(file.size - offset).min(CHUNK as u64) as usize];
        file.read_at(content, offset, part)?;
        hasher.update(&part);
        offset += part.len() as u64;
    }
    Ok(Digest::from_bytes(hasher.finalize().into()))
}
