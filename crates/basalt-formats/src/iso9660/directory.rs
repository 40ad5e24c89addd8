//! The tree of directories, its extents and path tables.

use std::collections::BTreeMap;

use super::{
    CD_SECTOR, IsoError,
    names::{FilePath, short_directory, short_file},
    records::{Entry, Record},
};

/// A run of bytes in the image, from the start of a CD sector on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) start: u64,
    pub(super) size: u64,
}

impl Extent {
    /// The CD sector in which it starts.
    pub(super) fn sector(self) -> u32 {
        (self.start / CD_SECTOR) as u32
    }
}

/// All directories; the root is number 0, parents come before children.
pub(super) struct Directories(Vec<Directory>);

struct Directory {
    parent: usize,
    /// Its name without Rock Ridge; the root has none.
    id: Vec<u8>,
    /// By their names without Rock Ridge, in the order that ISO 9660 asks for.
    children: BTreeMap<Vec<u8>, Child>,
}

struct Child {
    name: String,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Directory(usize),
    File(usize),
}

/// Which order of bytes a path table has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Directories {
    pub(super) fn new() -> Self {
        Self(vec![Directory { parent: 0, id: Vec::new(), children: BTreeMap::new() }])
    }

    /// Gives file number `file` a name, making the directories above it.
    pub(super) fn insert(&mut self, path: &FilePath, file: usize) -> Result<(), IsoError> {
        let mut here = 0;
        if let [directories @ .., name] = path.names() {
            for name in directories {
                here = self.make(here, name, path)?;
            }
            self.add(here, (short_file(name), name), What::File(file), path)?;
        }
        Ok(())
    }

    fn make(&mut self, parent: usize, name: &str, path: &FilePath) -> Result<usize, IsoError> {
        let id = short_directory(name);
        if let Some(Child { name: other, what: What::Directory(index) }) = self.0[parent].children.get(&id)
            && other == name
        {
            return Ok(*index);
        }
        let index = self.0.len();
        self.add(parent, (id.clone(), name), What::Directory(index), path)?;
        self.0.push(Directory { parent, id, children: BTreeMap::new() });
        Ok(index)
    }

    fn add(
        &mut self,
        parent: usize,
        (id, name): (Vec<u8>, &str),
        what: What,
        path: &FilePath,
    ) -> Result<(), IsoError> {
        let children = &mut self.0[parent].children;
        if children.values().any(|child| child.name == name) {
            return Err(IsoError::Twice(path.to_string()));
        }
        if children.contains_key(&id) {
            let short = String::from_utf8_lossy(&id).into_owned();
            return Err(IsoError::SameShortName { path: path.to_string(), short });
        }
        children.insert(id, Child { name: name.to_owned(), what });
        Ok(())
    }

    /// Bytes of each directory, for files of these sizes.
    pub(super) fn sizes(&self, files: &[u64]) -> Vec<u64> {
        let nowhere = |size: &u64| Extent { start: 0, size: *size };
        let files: Vec<Extent> = files.iter().map(nowhere).collect();
        let places = vec![Extent { start: 0, size: 0 }; self.0.len()];
        (0..self.0.len()).map(|index| self.bytes(index, &places, &files, 0).len() as u64).collect()
    }

    /// Bytes of a path table.
    pub(super) fn path_table_size(&self) -> u64 {
        let places = vec![Extent { start: 0, size: 0 }; self.0.len()];
        self.path_table(Order::Little, &places).len() as u64
    }

    /// Path tables and directories, with their places.
    pub(super) fn encode(
        &self,
        path_tables: &[Extent; 2],
        places: &[Extent],
        files: &[Extent],
        time: i64,
    ) -> Vec<(u64, Vec<u8>)> {
        let tables = [Order::Little, Order::Big].map(|order| self.path_table(order, places));
        let tables = path_tables.iter().map(|table| table.start).zip(tables);
        let bytes = |(index, place): (usize, &Extent)| (place.start, self.bytes(index, places, files, time));
        tables.chain(places.iter().enumerate().map(bytes)).collect()
    }

    /// A directory: its own record, its parent's, those of its children (ECMA-119 section 6.8.1).
    fn bytes(&self, index: usize, places: &[Extent], files: &[Extent], time: i64) -> Vec<u8> {
        let directory = &self.0[index];
        let own = Entry::Own { is_root: index == 0, links: self.links(index) };
        let parent = Entry::Parent { links: self.links(directory.parent) };
        let mut bytes = Vec::new();
        let mut append = |record: Record<'_>| {
            for record in record.encode() {
                // No record lies in two sectors (ECMA-119 section 6.8.1.1).
                let room = bytes.len().next_multiple_of(CD_SECTOR as usize) - bytes.len();
                if record.len() > room {
                    bytes.resize(bytes.len() + room, 0);
                }
                bytes.extend_from_slice(&record);
            }
        };
        append(Record { entry: own, id: &[0], extent: places[index], time });
        append(Record { entry: parent, id: &[1], extent: places[directory.parent], time });
        for (id, Child { name, what }) in &directory.children {
            let (entry, extent) = match *what {
                What::Directory(index) => {
                    (Entry::Directory { name, links: self.links(index) }, places[index])
                }
                What::File(index) => (Entry::File { name }, files[index]),
            };
            append(Record { entry, id, extent, time });
        }
        bytes.resize(bytes.len().next_multiple_of(CD_SECTOR as usize), 0);
        bytes
    }

    /// The names of a directory: its own, `.`, and `..` of each below.
    fn links(&self, index: usize) -> u32 {
        let below = self.0[index].children.values().filter(|child| matches!(child.what, What::Directory(_)));
        2 + below.count() as u32
    }

    /// All directories by level, parent and name (ECMA-119 section 6.9.1).
    fn path_table(&self, order: Order, places: &[Extent]) -> Vec<u8> {
        let word = |value: u32| match order {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        };
        let half = |value: u16| match order {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        };
        let mut bytes = Vec::new();
        // (directory, number of its parent); numbers count from 1.
        let mut listed: Vec<(usize, usize)> = vec![(0, 1)];
        let mut next = 0;
        while let Some((index, parent)) = listed.get(next).copied() {
            next += 1;
            let directory = &self.0[index];
            let id: &[u8] = if index == 0 { &[0] } else { &directory.id };
            bytes.extend_from_slice(&[id.len() as u8, 0]);
            bytes.extend_from_slice(&word(places[index].sector()));
            bytes.extend_from_slice(&half(parent as u16));
            bytes.extend_from_slice(id);
            bytes.resize(bytes.len().next_multiple_of(2), 0);
            for child in directory.children.values() {
                if let What::Directory(index) = child.what {
                    listed.push((index, next));
                }
            }
        }
        bytes
    }
}

impl Directories {
    /// The root's record in the volume descriptor.
    pub(super) fn root_record(places: &[Extent], time: i64) -> Vec<u8> {
        let extent = places.first().copied().unwrap_or(Extent { start: 0, size: 0 });
        Record { entry: Entry::Descriptor, id: &[0], extent, time }.encode().concat()
    }
}
