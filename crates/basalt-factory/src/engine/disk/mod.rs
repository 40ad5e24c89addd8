//! Writes a disk: from a finished tree to the bytes that boot.
//!
//! ```text
//! finalise  the rules that every image follows (basalt-image)
//! settle    the sizes of the partitions, which the tree itself carries (image.json)
//! root      EROFS into its partition, each block hashed while it passes → hash tree → root hash
//! uki       stub + kernel + initramfs + os-release + command line with the root hash
//! esp       FAT32: boot loader, UKI
//! table     GPT, with the root hash's halves as partition ids
//! ```
//!
//! One pass: each byte of the root is read once and written once, into its final place. What is never written is a
//! hole. Every id is derived from the image's id, so the same release has the same bytes.

mod esp;
mod root;
mod uki;

use std::io;

use basalt_formats::{
    bootentry::EntryName,
    cmdline::CommandLineError,
    erofs, fat,
    gpt::{EntriesPlace, GptError},
    tree::{Content, Kind, Metadata, Node, ReadContent, Tree, TreeError},
    uki::UkiError,
    verity::VerityError,
};
use basalt_image::{
    finalise::{self, Finalisation, FinaliseError},
    kernel,
    layout::{self, ImageIds, ImagePlan, LayoutRefusal, LayoutSpec},
};
use basalt_spec::{ImageInfo, Recipe};
use basalt_types::{ByteSize, Digest, Guid};
use thiserror::Error;

use super::output::{OutputError, PartialFile};

/// What a disk is made of.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// What was asked for.
    pub recipe: &'a Recipe,
    /// The identity of the release.
    pub id: Digest,
    /// Seconds since 1970: the time of everything that has no other.
    pub epoch: i64,
    /// The bytes of the tree's files.
    pub content: &'a dyn ReadContent,
    /// The compressed initramfs.
    pub initramfs: &'a [u8],
}

/// What a disk turned out to be.
#[derive(Debug, Clone)]
pub struct Written {
    /// The root hash of the verity tree.
    pub root_hash: Digest,
    /// Where the partitions are.
    pub plan: ImagePlan,
    /// The sizes that the machine grows to.
    pub layout: LayoutSpec,
    /// How many bytes of the root, the hash tree and the ESP hold content.
    pub used: Used,
    /// The unified kernel image.
    pub uki: Vec<u8>,
    /// The name that the boot loader knows it by.
    pub entry: EntryName,
    /// The kernel's version.
    pub kernel: String,
}

/// Bytes of content in each partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Of the ESP.
    pub esp: ByteSize,
    /// Of the root file system.
    pub root: ByteSize,
    /// Of its hash tree.
    pub verity: ByteSize,
}

/// Why no disk could be written.
#[derive(Debug, Error)]
pub enum DiskError {
    /// There is no kernel to boot.
    #[error(transparent)]
    Kernel(#[from] kernel::KernelError),
    /// A file that every image has is not in the tree.
    #[error("the image lacks {path}, which comes with the package {package}")]
    Missing {
        /// The file.
        path: String,
        /// Who ships it.
        package: &'static str,
        /// What the tree said.
        source: TreeError,
    },
    /// A file of the tree can't be read.
    #[error("can't read {path} of the image")]
    Read {
        /// The file.
        path: String,
        /// What the store said.
        source: io::Error,
    },
    /// Something stands in the way of image.json.
    #[error("can't put {path} into the image")]
    Place {
        /// The file.
        path: &'static str,
        /// What the tree said.
        source: TreeError,
    },
    /// The tree can't become an image.
    #[error("the tree can't be made into an image")]
    Finalise(#[from] FinaliseError),
    /// The content does not fit the sizes that the recipe fixes.
    #[error("the disk can't hold the image: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Layout(Vec<LayoutRefusal>),
    /// Sizes that change with the size of their own description: none was found that stays.
    #[error("the partition sizes did not settle")]
    Unsettled,
    /// The tree can't be an EROFS image.
    #[error("the tree can't be written as EROFS")]
    ErofsPlan(#[from] erofs::PlanError),
    /// The EROFS image could not be written.
    #[error("the root file system can't be written")]
    Erofs(#[from] erofs::WriteError),
    /// The hash tree could not be made.
    #[error("the verity tree can't be made")]
    Verity(#[from] VerityError),
    /// The kernel's command line is not valid.
    #[error("the kernel's command line can't be made")]
    CommandLine(#[from] CommandLineError),
    /// The UKI could not be put together.
    #[error("the unified kernel image can't be made")]
    Uki(#[from] UkiError),
    /// The ESP could not be made.
    #[error("the EFI system partition can't be made")]
    Esp(#[from] fat::FatError),
    /// The partition table is not valid.
    #[error("the partition table can't be made")]
    Table(#[from] GptError),
    /// The file could not be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The disk could not be written at some place.
    #[error("can't write the disk")]
    Write(#[from] io::Error),
}

/// Writes the disk of `tree` into `disk`. The tree gets its `image.json`.
///
/// # Errors
/// When something that boots is missing, the content does not fit, or the file can't be written.
pub fn write(request: Request<'_>, tree: &mut Tree, disk: &PartialFile) -> Result<Written, DiskError> {
    let kernel = kernel::find(tree)?;
    let boot = uki::BootFiles::read(&request, tree, &kernel)?;
    // The kernel lives in the UKI; its copy beside the modules would only make the root larger.
    tree.remove(&format!("/usr/lib/modules/{}/vmlinuz", kernel.version));
    finalise(&request, tree)?;
    let layout = settle(&request, tree, boot.uki_size())?;

    let [esp_place, root_place, verity_place] = layout.image_extents();
    let root = root::write(&request, tree, disk, root_place)?;
    if root.hash_tree.bytes.len() as u64 > verity_place.size.get() {
        return Err(DiskError::Unsettled);
    }
    disk_write(disk, verity_place.start, &root.hash_tree.bytes)?;

    let root_hash = root.hash_tree.root;
    let uki = boot.assemble(&request, tree, &root_hash)?;
    let entry = esp::entry_name(request.recipe);
    let esp_used = esp::write(&request, &boot, (&entry, &uki), disk, esp_place)?;

    let ids = ImageIds { disk: derived(request.id, "disk"), esp: derived(request.id, "esp") };
    let plan = layout::plan_image(&layout, request.recipe.architecture, &root_hash, ids);
    disk.set_size(plan.disk.get())?;
    for write in plan.table.image_writes(EntriesPlace::First)? {
        disk_write(disk, write.offset, &write.bytes)?;
    }
    let verity = ByteSize::bytes(root.hash_tree.bytes.len() as u64);
    let used = Used { esp: esp_used, root: root.size, verity };
    Ok(Written { root_hash, plan, layout, used, uki, entry, kernel: kernel.version })
}

/// An id that is the same in every build of this release.
fn derived(id: Digest, what: &str) -> Guid {
    Guid::derived(&Digest::of(format!("{id} {what}").as_bytes()))
}

/// Applies the rules of every image, with sizes that [`settle`] replaces by the right ones.
fn finalise(request: &Request<'_>, tree: &mut Tree) -> Result<(), DiskError> {
    let nothing = layout::Content { root: ByteSize::bytes(0), uki: ByteSize::bytes(0) };
    let layout = LayoutSpec::from_content(nothing, &request.recipe.disk).map_err(DiskError::Layout)?;
    let info = image_info(request, &layout);
    let epoch = u64::try_from(request.epoch).unwrap_or(0);
    finalise::finalise(tree, Finalisation { info: &info, reader: request.content, epoch })?;
    Ok(())
}

/// Finds partition sizes that hold the tree with the description of these very sizes in it.
fn settle(request: &Request<'_>, tree: &mut Tree, uki: u64) -> Result<LayoutSpec, DiskError> {
    let mut root = 0;
    for _attempt in 0..4 {
        let content = layout::Content { root: ByteSize::bytes(root), uki: ByteSize::bytes(uki) };
        let layout = LayoutSpec::from_content(content, &request.recipe.disk).map_err(DiskError::Layout)?;
        put_image_info(request, tree, &layout)?;
        let size = erofs::Layout::plan(tree, &root::options(request))?.image_size();
        let content = layout::Content { root: ByteSize::bytes(size), ..content };
        if LayoutSpec::from_content(content, &request.recipe.disk).as_ref() == Ok(&layout) {
            return Ok(layout);
        }
        root = size;
    }
    Err(DiskError::Unsettled)
}

fn image_info(request: &Request<'_>, layout: &LayoutSpec) -> ImageInfo<LayoutSpec> {
    let Recipe { name, version, architecture, disk, .. } = request.recipe;
    ImageInfo {
        name: name.clone(),
        version: version.clone(),
        id: request.id,
        architecture: *architecture,
        layout: layout.clone(),
        data_file_system: disk.data_file_system,
    }
}

fn put_image_info(request: &Request<'_>, tree: &mut Tree, layout: &LayoutSpec) -> Result<(), DiskError> {
    let path = ImageInfo::<LayoutSpec>::PATH;
    let metadata = Metadata { mtime: request.epoch, ..Metadata::root_owned(0o644) };
    let text = image_info(request, layout).to_json().into_bytes();
    let node = Node { metadata, kind: Kind::File(Content::inline(text)) };
    tree.insert(path, node).map_err(|source| DiskError::Place { path, source })?;
    Ok(())
}

fn disk_write(disk: &PartialFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
    basalt_formats::WriteAt::write_at(disk, offset, bytes)
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("id", &self.id).finish_non_exhaustive()
    }
}
