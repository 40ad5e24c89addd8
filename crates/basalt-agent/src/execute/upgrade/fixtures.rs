//! Small releases, and a machine in memory that records what is done to it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use basalt_formats::{
    ReadAt,
    chunks::{self, FetchStep},
    gpt::{EntriesPlace, Step as TableStep},
};
use basalt_image::{
    layout::{GrowthIds, ImageIds, ImageInfo, LayoutSpec, plan_growth, plan_image, verity_ids},
    update::{Blob, Verity},
};
use basalt_node::{
    BootFacts, BootSlot,
    upgrade::{EntryFacts, EspFacts, NodeFacts, PARTIAL},
};
use basalt_spec::FileSystem;
use basalt_types::{Architecture, ByteSize, Guid};

use super::*;

pub(crate) const SECTOR: usize = 512;
const SALT: &str = "5a17";

/// A release as its source has it.
pub(crate) struct TestRelease {
    pub(crate) info: UpdateInfo,
    pub(crate) index: Index,
    pub(crate) packs: Vec<Vec<u8>>,
    pub(crate) root: Vec<u8>,
    pub(crate) tree: HashTree,
    pub(crate) uki: Vec<u8>,
}

/// Its packs, and how they are served.
pub(crate) struct Packs<'a> {
    pub(crate) release: &'a TestRelease,
    /// What was asked for.
    pub(crate) asked: Vec<FetchStep>,
    /// So many answers are given; then the line is dead.
    pub(crate) answers: usize,
    /// What is done to an answer before it is given.
    pub(crate) spoil: fn(Vec<u8>) -> Vec<u8>,
}

/// A disk and an ESP in memory. What was done is seen at once, and recorded.
pub(crate) struct Recorder {
    world: Mutex<World>,
    log: Mutex<Vec<Op>>,
}

/// What a machine's disk holds.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) sectors: BTreeMap<u64, [u8; SECTOR]>,
    pub(crate) size: u64,
    /// The directory of the boot entries: names and the files that they lead to.
    pub(crate) names: BTreeMap<String, usize>,
    /// The files' bytes; where they were not written they are zeros.
    pub(crate) files: BTreeMap<usize, Vec<u8>>,
}

/// Something that was done, in the grain in which a loss of power may part it.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Bytes of the disk.
    Write { offset: u64, bytes: Vec<u8> },
    /// All writes to the disk are on the medium.
    Flush,
    /// A directory entry.
    Name { name: String, file: usize },
    /// The end of one.
    Unname { name: String },
    /// A part of a file of `size` bytes.
    Data { file: usize, size: usize, offset: usize, bytes: Vec<u8> },
    /// All changes of the ESP are on the medium.
    Sync,
}

impl TestRelease {
    /// A release whose root has these blocks; equal numbers give equal blocks, 0 gives zeros.
    pub(crate) fn new(version: &str, blocks: &[u64]) -> Self {
        let root: Vec<u8> = blocks.iter().flat_map(|seed| block(*seed)).collect();
        let uuid = Guid::from_u128(0x7ee);
        let verity = Verity { salt: SALT.into(), uuid };
        let salt = Salt::new(verity.salt_bytes().unwrap()).unwrap();
        let leaves = LeafHashes::new(Params { salt, uuid, data_blocks: blocks.len() as u64 }).unwrap();
        leaves.feed(0, &root).unwrap();
        let tree = leaves.finish().unwrap();
        let uki = pe(&format!("roothash={} gpt", tree.root.hex()));
        let mut packs = Vec::new();
        let parts: [(Part, &dyn ReadAt); 2] = [(Part::Root, &root), (Part::Uki, &uki)];
        let index = chunks::write(&parts, &mut |pack| {
            packs.push(pack.to_vec());
            Ok(())
        });
        let info = UpdateInfo {
            name: "edge".parse().unwrap(),
            version: version.parse().unwrap(),
            id: Digest::of(version.as_bytes()),
            architecture: Architecture::Amd64,
            epoch: 0,
            kernel: "6.12".into(),
            root: Blob { size: ByteSize::bytes(root.len() as u64), digest: tree.root },
            verity,
            uki: Blob { size: ByteSize::bytes(uki.len() as u64), digest: Digest::of(&uki) },
            layout: layout(),
        };
        Self { info, index: index.unwrap(), packs, root, tree, uki }
    }

    pub(crate) fn packs(&self) -> Packs<'_> {
        Packs { release: self, asked: Vec::new(), answers: usize::MAX, spoil: |bytes| bytes }
    }
}

impl FetchRange for Packs<'_> {
    fn fetch(&mut self, step: &FetchStep) -> io::Result<Vec<u8>> {
        if self.asked.len() == self.answers {
            return Err(io::Error::other("the line is dead"));
        }
        self.asked.push(step.clone());
        let from = step.offset as usize;
        Ok((self.spoil)(self.release.packs[step.pack as usize][from..][..step.length as usize].to_vec()))
    }
}

/// 4096 bytes that do not compress.
fn block(seed: u64) -> Vec<u8> {
    let word = |at: u64| Digest::of(&[seed.to_le_bytes(), at.to_le_bytes()].concat());
    (0..128).flat_map(|at| if seed == 0 { [0; 32] } else { *word(at).as_bytes() }).collect()
}

/// As little of a PE32+ file as is read as a UKI: three sections (PE format, "Section Table").
pub(crate) fn pe(command_line: &str) -> Vec<u8> {
    let sections: [(&[u8], &[u8]); 3] =
        [(b".osrel", b"ID=edge\n"), (b".cmdline", command_line.as_bytes()), (b".linux", b"MZ kernel")];
    let mut file = vec![0; 512];
    let put = |file: &mut Vec<u8>, at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(&mut file, 0, b"MZ");
    put(&mut file, 0x3c, &64_u32.to_le_bytes());
    put(&mut file, 64, b"PE\0\0\x64\x86\x03\0");
    put(&mut file, 64 + 4 + 16, &112_u16.to_le_bytes());
    put(&mut file, 88, &0x020b_u16.to_le_bytes());
    put(&mut file, 88 + 32, &4096_u32.to_le_bytes());
    put(&mut file, 88 + 36, &512_u32.to_le_bytes());
    for (number, (name, content)) in sections.iter().enumerate() {
        let (entry, start) = (88 + 112 + number * 40, file.len());
        put(&mut file, entry, name);
        for (at, value) in [(8, content.len()), (12, (number + 1) * 4096), (16, 512), (20, start)] {
            put(&mut file, entry + at, &(value as u32).to_le_bytes());
        }
        file.extend_from_slice(content);
        file.resize(start + 512, 0);
    }
    file
}

pub(crate) fn layout() -> LayoutSpec {
    LayoutSpec {
        esp: ByteSize::mib(64),
        slot: ByteSize::mib(16),
        verity: ByteSize::mib(1),
        slot_b: true,
        recovery: true,
        data_minimum: ByteSize::mib(64),
    }
}

/// A machine that was installed with `release` and has booted it well.
pub(crate) fn installed(release: &TestRelease) -> World {
    let ids = ImageIds { disk: Guid::from_u128(0xd15c), esp: Guid::from_u128(0xe5b) };
    let plan = plan_image(&layout(), Architecture::Amd64, &release.info.root.digest, ids);
    let mut table = plan.table;
    table.total_sectors = ByteSize::mib(512).get() / SECTOR as u64;
    let mut world = World { size: ByteSize::mib(512).get(), ..World::default() };
    for write in table.image_writes(EntriesPlace::First).unwrap() {
        world.write(write.offset, &write.bytes);
    }
    world.write(plan.root.start, &release.root);
    world.write(plan.verity.start, &release.tree.bytes);
    let ids = GrowthIds::from_seed([7; 32]).unwrap();
    let grown = plan_growth(&table, &layout(), Architecture::Amd64, &ids).unwrap().wanted(&table);
    let parsed = Table::parse(&world, 512).unwrap();
    for step in grown.update_writes(&parsed).unwrap() {
        match step {
            TableStep::Write(write) => world.write(write.offset, &write.bytes),
            TableStep::Flush => {}
        }
    }
    world.names.insert(format!("edge_{}.efi", release.info.version), 0);
    world.files.insert(0, release.uki.clone());
    world
}

impl World {
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        assert!(
            offset.is_multiple_of(SECTOR as u64) && bytes.len().is_multiple_of(SECTOR),
            "whole sectors only"
        );
        // Zeros are what is not there, so that an erased disk costs nothing to clone.
        let first = offset / SECTOR as u64;
        let behind = first + (bytes.len() / SECTOR) as u64;
        let old: Vec<u64> = self.sectors.range(first..behind).map(|(sector, _)| *sector).collect();
        for sector in old {
            self.sectors.remove(&sector);
        }
        for (sector, chunk) in
            (first..).zip(bytes.chunks_exact(SECTOR)).filter(|(_, chunk)| *chunk != [0; SECTOR])
        {
            self.sectors.insert(sector, chunk.try_into().unwrap());
        }
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Write { offset, bytes } => self.write(*offset, bytes),
            Op::Name { name, file } => drop(self.names.insert(name.clone(), *file)),
            Op::Unname { name } => drop(self.names.remove(name)),
            Op::Data { file, size, offset, bytes } => {
                let all = self.files.entry(*file).or_insert_with(|| vec![0; *size]);
                all[*offset..][..bytes.len()].copy_from_slice(bytes);
            }
            Op::Flush | Op::Sync => {}
        }
    }

    /// The bytes behind a name; none where nothing of them reached the medium.
    pub(crate) fn file(&self, name: &str) -> &[u8] {
        self.names.get(name).and_then(|file| self.files.get(file)).map_or(&[], Vec::as_slice)
    }

    /// What the agent finds when `running` runs.
    pub(crate) fn facts(&self, running: &UpdateInfo) -> NodeFacts {
        let table = Table::parse(self, 512).unwrap().table;
        let [root_part_uuid, _] = verity_ids(&running.root.digest);
        let is_booted = |partition: &&basalt_formats::gpt::Partition| partition.guid == root_part_uuid;
        let booted = table.partitions.iter().find(is_booted).unwrap();
        let slot = if booted.is_labelled("basalt-a") { BootSlot::A } else { BootSlot::B };
        let entry = |(name, _): (&String, &usize)| {
            let bytes = self.file(name);
            let root_hash = root_of_uki(bytes).ok().and_then(|text| Digest::from_hex(&text).ok());
            let size = ByteSize::bytes(bytes.len() as u64);
            Some(EntryFacts { file: name.clone(), name: name.parse().ok()?, size, root_hash })
        };
        NodeFacts {
            image: ImageInfo {
                name: running.name.clone(),
                version: running.version.clone(),
                id: running.id,
                architecture: running.architecture,
                layout: layout(),
                data_file_system: FileSystem::Ext4,
            },
            boot: BootFacts {
                root_hash: running.root.digest,
                root_device: "/dev/vda2".into(),
                verity_device: "/dev/vda3".into(),
                disk: Some("/dev/vda".into()),
                root_part_uuid,
                slot: Some(slot),
                init_start_usec: 0,
                init_end_usec: 0,
            },
            esp: EspFacts {
                entries: self.names.iter().filter_map(entry).collect(),
                partial: self.names.contains_key(PARTIAL).then(|| ByteSize::bytes(1)),
                free: ByteSize::mib(50),
                cluster: ByteSize::bytes(512),
            },
            table,
        }
    }

    /// What the agent copies from when `running` runs.
    pub(crate) fn own(&self, running: &UpdateInfo) -> Own {
        let facts = self.facts(running);
        let entry = facts.esp.entries.iter().find(|entry| entry.root_hash == Some(running.root.digest));
        Own {
            system: facts.boot.slot.and_then(BootSlot::system),
            uki: entry.map(|entry| self.file(&entry.file).to_vec()).unwrap_or_default(),
            partial: self.file(PARTIAL).to_vec(),
        }
    }
}

impl ReadAt for World {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let inside = at as usize % SECTOR;
            let length = (SECTOR - inside).min(buffer.len() - done);
            let part = &mut buffer[done..done + length];
            match self.sectors.get(&(at / SECTOR as u64)) {
                Some(sector) => part.copy_from_slice(&sector[inside..inside + length]),
                None => part.fill(0),
            }
            done += length;
        }
        Ok(())
    }
}

impl Recorder {
    pub(crate) fn new(world: World) -> Self {
        Self { world: Mutex::new(world), log: Mutex::default() }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(crate) fn into_parts(self) -> (World, Vec<Op>) {
        (self.world.into_inner().unwrap(), self.log.into_inner().unwrap())
    }

    fn perform(&self, op: Op) {
        self.world().apply(&op);
        self.log.lock().unwrap().push(op);
    }
}

impl ReadAt for Recorder {
    fn size(&self) -> u64 {
        self.world().size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.world().read_at(offset, buffer)
    }
}

impl Medium for Recorder {
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.perform(Op::Write { offset, bytes: bytes.to_vec() });
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.perform(Op::Flush);
        Ok(())
    }

    fn forget(&self, _offset: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn sector_size(&self) -> u32 {
        512
    }
}

/// The same order of operations as `basalt_exec::esp::Esp` on vfat: every method ends with a flush of the file system. A
/// rename is a new directory entry and the end of the old one, which nothing keeps together.
impl EntryFiles for Recorder {
    fn remove(&self, file: &str) -> Result<(), EspError> {
        self.perform(Op::Unname { name: file.to_owned() });
        self.perform(Op::Sync);
        Ok(())
    }

    fn write(&self, file: &str, bytes: &[u8]) -> Result<(), EspError> {
        let number = self.world().files.keys().max().map_or(0, |last| last + 1);
        self.perform(Op::Name { name: file.to_owned(), file: number });
        let middle = bytes.len() / 2;
        for (offset, part) in [(0, &bytes[..middle]), (middle, &bytes[middle..])] {
            let bytes_of = part.to_vec();
            self.perform(Op::Data { file: number, size: bytes.len(), offset, bytes: bytes_of });
        }
        self.perform(Op::Sync);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), EspError> {
        let file = self.world().names[from];
        self.perform(Op::Name { name: to.to_owned(), file });
        self.perform(Op::Unname { name: from.to_owned() });
        self.perform(Op::Sync);
        Ok(())
    }
}
