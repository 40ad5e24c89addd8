//! Writes the outputs: each from the release or from the tree, all at the same time.
//!
//! ```text
//! release ──► virtual disk ──► raw, qcow2, vhd, vmdk, gce
//!         ├─► iso, netboot, oci, uki
//! tree ─────► container, tar, cpio, sysext, confext
//! ```
//!
//! Nothing is copied to an intermediate file: every writer reads the release's own files. No output has its final name
//! before all are whole.

mod archive;
mod container;
mod containers;
mod disk;
mod esp;
mod extension;
mod iso;
mod memory;
mod netboot;
mod oci;
mod tree;

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use basalt_formats::{
    ReadAt, WriteAt as _, chunks, cpio, erofs,
    fat::FatError,
    gpt::GptError,
    tar::TarError,
    tree::{ReadContent, Tree},
    verity::SuperblockError,
    virtual_disk::{LayoutError, VirtualDisk, WriteError},
};
use basalt_image::extension::{ExtensionError, Sort};
use basalt_spec::{ManifestPartition, Output, Recipe};
use basalt_types::Digest;
use thiserror::Error;

use super::{
    keys::{KeysError, Signing},
    output::{OutputError, PartialFile},
    release::{HashTreeError, Release},
};
use disk::ReleaseDisk;

/// What outputs are made from.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// What was asked for.
    pub recipe: &'a Recipe,
    /// The identity of the release.
    pub id: Digest,
    /// Seconds since 1970: the time of everything that has no other.
    pub epoch: i64,
    /// What boots, when an output boots.
    pub release: Option<&'a Release>,
    /// The tree and its bytes, when an output is made from it.
    pub tree: Option<(&'a Tree, &'a dyn ReadContent)>,
    /// The tree of the recipe that this one starts from, when an output is the difference to it.
    pub below: Option<(&'a Tree, &'a dyn ReadContent)>,
    /// What releases are signed with.
    pub signing: Option<&'a Signing>,
    /// Says where the file `NAME` with this ending goes.
    pub place: &'a (dyn Fn(&str) -> PathBuf + Sync),
    /// Becomes true when the person wants to stop.
    pub stop: &'a AtomicBool,
}

/// What was written, not yet under its final name.
#[derive(Debug)]
pub struct Written {
    /// The files, in the order of [`Output::ALL`].
    pub files: Vec<WrittenFile>,
    /// The partitions of the disk, when something boots.
    pub partitions: Vec<ManifestPartition>,
}

/// One file.
#[derive(Debug)]
pub struct WrittenFile {
    /// What it belongs to.
    pub output: Output,
    /// Its content, under a temporary name.
    pub file: PartialFile,
}

/// Why an output could not be written.
#[derive(Debug, Error)]
pub enum OutputsError {
    /// An output boots and there is no release: the plan was wrong.
    #[error("the output `{}` has nothing to be made from", .0.word())]
    NoSource(Output),
    /// The EFI system partition could not be made.
    #[error("the EFI system partition can't be made")]
    Esp(#[from] FatError),
    /// The partition table is not valid.
    #[error("the partition table can't be made")]
    Table(#[from] GptError),
    /// The parts of the disk do not fit together.
    #[error("the disk can't be put together")]
    Layout(#[from] LayoutError),
    /// The disk could not be written in a container.
    #[error("the disk can't be written")]
    Container(#[from] WriteError),
    /// The release could not be made into chunks.
    #[error("the release can't be made into an update artifact")]
    Chunks(#[from] chunks::WriteError),
    /// The hash tree of the release is none.
    #[error("the hash tree of the release can't be used")]
    Verity(#[from] SuperblockError),
    /// The release could not be signed.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The tree can't be a tar archive.
    #[error("the tree can't be written as tar")]
    Tar(#[from] TarError),
    /// The tree can't be a cpio archive.
    #[error("the tree can't be written as cpio")]
    Cpio(#[from] cpio::WriteError),
    /// There is no extension in what the recipe adds.
    #[error("the extension can't be made")]
    Extension(#[from] ExtensionError),
    /// A file system could not be written.
    #[error("the file system can't be written")]
    Erofs(#[from] erofs::WriteError),
    /// A hash tree could not be made.
    #[error(transparent)]
    HashTree(#[from] HashTreeError),
    /// The file could not be begun or ended.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The release could not be read, or the file not written.
    #[error("an output can't be written")]
    Io(#[from] io::Error),
    /// The release can't be on a live medium.
    #[error("the live medium can't be made")]
    Live(#[from] iso::LiveError),
    /// The release can't be booted over the network.
    #[error("the netboot files can't be made")]
    Netboot(#[from] netboot::NetbootError),
    /// A writer panicked; what it said is on standard error.
    #[error("the writer of the output `{}` panicked", .0.word())]
    Panicked(Output),
}

/// Writes all outputs of the recipe.
///
/// # Errors
/// The first output's that fails; no file keeps a name then.
pub fn write(context: &Context<'_>) -> Result<Written, OutputsError> {
    let parts = context.release.map(|release| ReleaseDisk::new(context, release)).transpose()?;
    let disk = parts.as_ref().map(ReleaseDisk::assemble).transpose()?;
    let disk = disk.as_ref().map(|disk| Stoppable { disk, stop: context.stop });
    let disk = disk.as_ref().map(|disk| disk as &dyn ReadAt);
    let mut files = Vec::new();
    thread::scope(|scope| {
        let running: Vec<_> = context
            .recipe
            .outputs
            .iter()
            .map(|output| (*output, scope.spawn(move || write_one(context, disk, *output))))
            .collect();
        for (output, thread) in running {
            files.extend(thread.join().map_err(|_panic| OutputsError::Panicked(output))??);
        }
        Ok::<(), OutputsError>(())
    })?;
    Ok(Written { files, partitions: parts.as_ref().map(ReleaseDisk::partitions).unwrap_or_default() })
}

fn write_one(
    context: &Context<'_>,
    disk: Option<&dyn ReadAt>,
    output: Output,
) -> Result<Vec<WrittenFile>, OutputsError> {
    let none = || OutputsError::NoSource(output);
    let release = || context.release.ok_or_else(none);
    let disk = || disk.ok_or_else(none);
    let tree = || context.tree.ok_or_else(none);
    let begin = || begin(context, output);
    match output {
        Output::Disk => one(output, containers::raw(disk()?, begin()?)?),
        Output::Qcow2 => one(output, containers::qcow2(disk()?, false, begin()?)?),
        Output::Qcow2Compressed => one(output, containers::qcow2(disk()?, true, begin()?)?),
        Output::Vhd => one(output, containers::fixed_vhd(context, disk()?, begin()?)?),
        Output::VhdDynamic => one(output, containers::dynamic_vhd(context, disk()?, begin()?)?),
        Output::Vmdk => one(output, containers::vmdk(context, disk()?, begin()?)?),
        Output::Iso => one(output, iso::write(context, release()?, begin()?)?),
        Output::Netboot => netboot::write(context, release()?),
        Output::Sysext => extension::write(context, output, Sort::System),
        Output::Confext => extension::write(context, output, Sort::Configuration),
        Output::Uki => one(output, write_bytes(&release()?.uki, begin()?)?),
        Output::Oci => one(output, oci::write(context, release()?, begin()?)?),
        Output::Container => one(output, container::write(context, tree()?, begin()?)?),
        Output::Tar => one(output, tree::tar(context, tree()?, begin()?)?),
        Output::Cpio => one(output, tree::cpio(context, tree()?, begin()?)?),
        Output::Gce => one(output, containers::gce(context, disk()?, begin()?)?),
    }
}

fn begin(context: &Context<'_>, output: Output) -> Result<PartialFile, OutputError> {
    let ending = output.endings().first().copied().unwrap_or_default();
    PartialFile::create(&(context.place)(ending))
}

fn one(output: Output, file: PartialFile) -> Result<Vec<WrittenFile>, OutputsError> {
    Ok(vec![WrittenFile { output, file }])
}

fn write_bytes(bytes: &[u8], file: PartialFile) -> Result<PartialFile, OutputsError> {
    file.write_at(0, bytes)?;
    Ok(file)
}

/// A disk that can't be read any more once the person wants to stop.
struct Stoppable<'a> {
    disk: &'a VirtualDisk<'a>,
    stop: &'a AtomicBool,
}

impl ReadAt for Stoppable<'_> {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(io::Error::other("stopped")),
            false => self.disk.read_at(offset, buffer),
        }
    }

    fn data_ranges(&self) -> io::Result<Vec<std::ops::Range<u64>>> {
        self.disk.data_ranges()
    }
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("id", &self.id).finish_non_exhaustive()
    }
}
