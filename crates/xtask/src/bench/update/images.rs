//! The update artifact of a state, its root and UKI, and the same tree by other people's packers.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use basalt_fetch::oci::{self, BlobSource as _, Descriptor};
use basalt_formats::{
    ReadAt, WriteAt,
    chunks::{Assembly, Coalescing, FetchRange, FetchStep, Index, Owned, Part, Plan, assemble},
};

use super::states::State;
use crate::{
    bench::{
        contenders::{Bench, LIMIT},
        ours,
    },
    error::{Done, TaskError},
    tool,
};

/// A state's artifact, on disk.
#[derive(Debug)]
pub(super) struct Artifact {
    /// The OCI archive.
    pub(super) archive: PathBuf,
    /// Its root, put together.
    pub(super) root: PathBuf,
    /// Its UKI, put together.
    pub(super) uki: PathBuf,
    /// Its chunks.
    pub(super) index: Index,
    /// Bytes of manifest, configuration and index, which every client fetches.
    pub(super) head: u64,
}

/// Who makes an image of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packer {
    /// This program.
    Basalt,
    /// erofs-utils, same algorithm, level and cluster size.
    MkfsErofs,
    /// squashfs-tools, zstd.
    Mksquashfs,
}

/// An image or block device to read and write at positions.
pub(super) struct Disk(File, PathBuf);

impl Packer {
    /// As the table says it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Basalt => "basalt",
            Self::MkfsErofs => "mkfs.erofs, the same algorithm",
            Self::Mksquashfs => "mksquashfs -comp zstd",
        }
    }
}

impl Disk {
    pub(super) fn open(path: &Path) -> Done<Self> {
        Ok(Self(File::open(path).map_err(TaskError::io("open", path))?, path.to_owned()))
    }

    fn create(path: PathBuf) -> Done<Self> {
        let file = File::create(&path).map_err(TaskError::io("make", &path))?;
        Ok(Self(file, path))
    }
}

impl ReadAt for Disk {
    fn size(&self) -> u64 {
        self.0.metadata().map_or(0, |facts| facts.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

impl WriteAt for Disk {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
}

/// Builds the artifact and does what a machine without an old release does.
pub(super) fn build(bench: &Bench, work: &Path, state: &State) -> Done<Artifact> {
    let name = state.recipe.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let out = work.join(format!("{name}.out"));
    tool::watch(ours::basalt(bench)?.args(["build", "--locked"]).arg(&state.recipe).arg("-o").arg(&out))?;
    let archive = out.join("edge.oci.tar");
    let wrong = |error: &dyn std::error::Error| TaskError::Broken(format!("{}: {error}", archive.display()));
    let source = oci::Archive::open(&archive).map_err(|error| wrong(&error))?;
    let read = |blob: &Descriptor| {
        let blob = source.blob(blob).map_err(|error| wrong(&error))?;
        let mut bytes = vec![0; usize::try_from(blob.length).unwrap_or(0)];
        blob.file.read_exact_at(&mut bytes, blob.offset).map_err(TaskError::io("read", &archive))?;
        Ok::<_, TaskError>(bytes)
    };
    let root = source.find(None).map_err(|error| wrong(&error))?;
    let manifest: oci::Manifest = serde_json::from_slice(&read(&root)?).map_err(|error| wrong(&error))?;
    let (index, packs) = manifest.layers.split_first().ok_or(TaskError::Broken("no layer".to_owned()))?;
    let head = root.size + manifest.config.size + index.size;
    let index = Index::parse_packed(&read(index)?).map_err(|error| wrong(&error))?;

    let path = |ending: &str| work.join(format!("{name}.{ending}"));
    let (root, uki) = (Disk::create(path("root"))?, Disk::create(path("uki"))?);
    let sinks: [(Part, &dyn WriteAt); 2] = [(Part::Root, &root), (Part::Uki, &uki)];
    let plan = Plan::new(&index, &Owned::default(), Coalescing::DEFAULT);
    let whole = Assembly::new(&index, &sinks)
        .and_then(|assembly| assemble(&assembly, &plan, &[], &mut Packs { source: &source, packs }));
    whole.map_err(|error| wrong(&error))?;
    Ok(Artifact { archive, root: root.1, uki: uki.1, index, head })
}

struct Packs<'a> {
    source: &'a oci::Archive,
    packs: &'a [Descriptor],
}

impl FetchRange for Packs<'_> {
    fn fetch(&mut self, step: &FetchStep) -> io::Result<Vec<u8>> {
        let pack = self.packs.get(step.pack as usize).ok_or(io::ErrorKind::NotFound)?;
        let blob = self.source.blob(pack).map_err(io::Error::other)?;
        let mut bytes = vec![0; usize::try_from(step.length).map_err(io::Error::other)?];
        blob.file.read_exact_at(&mut bytes, blob.offset + step.offset)?;
        Ok(bytes)
    }
}

/// Unpacks the root and lets the others pack it, mkfs.erofs with the root's own `compression`. Ours is the artifact's root
/// itself.
pub(super) fn pack_others(
    bench: &Bench,
    work: &Path,
    artifact: &Artifact,
    compression: &str,
) -> Done<Vec<(Packer, PathBuf)>> {
    let tree = work.join("tree");
    tool::remove_folder(&tree)?;
    let inside = |program: &str| bench.tree.command(&bench.work, program).timeout(LIMIT);
    let extract = format!("--extract={}", tree.display());
    inside("fsck.erofs").args([&extract, "--preserve"]).arg(&artifact.root).run()?;
    let mut images = vec![(Packer::Basalt, artifact.root.clone())];
    for packer in [Packer::MkfsErofs, Packer::Mksquashfs] {
        let ending = if packer == Packer::MkfsErofs { "mkfs" } else { "squashfs" };
        let image = artifact.root.with_extension(ending);
        let command =
            match packer {
                Packer::Basalt => continue,
                // Its default levels are ours, too; times stay as they are in the tree.
                Packer::MkfsErofs => inside("mkfs.erofs")
                    .args(["--quiet", &format!("-z{compression}"), "-C65536", "-T0", "--mkfs-time", "-U"])
                    .arg("00000000-0000-0000-0000-000000000001")
                    .args([&image, &tree]),
                Packer::Mksquashfs => tool::plan("mksquashfs", "squashfs-tools")?
                    .args([&tree, &image])
                    .args(["-comp", "zstd", "-quiet", "-no-progress", "-noappend"]),
            };
        command.run()?;
        images.push((packer, image));
    }
    tool::remove_folder(&tree)?;
    Ok(images)
}
