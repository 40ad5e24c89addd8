//! Makes a release: from a finished tree to what boots, whatever medium it will be on.
//!
//! ```text
//! finalise  the rules that every image follows (basalt-image)
//! root      EROFS; its size decides the sizes of the partitions, which the tree itself carries (image.json)
//! verity    the hash tree → root hash
//! uki       stub + kernel + initramfs + os-release + command line with the root hash
//! ```
//!
//! The result is a folder of files, kept by the step's key; every output is put together from it. Every id is derived
//! from the image's id, so the same release has the same bytes.

mod record;
mod root;
mod uki;

use std::{fs, io, path::Path};

use basalt_formats::{
    cmdline::CommandLineError,
    erofs,
    tree::{Content, Kind, Metadata, Node, ReadContent, Tree, TreeError},
    uki::UkiError,
};
use basalt_image::{
    finalise::{self, Finalisation, FinaliseError},
    kernel,
    layout::{self, LayoutRefusal, LayoutSpec},
};
use basalt_spec::{FileSystem, ImageInfo, Recipe};
use basalt_types::{ByteSize, Digest, Guid};
use thiserror::Error;

use super::stores::OpenFile;

pub use record::{Donor, OpenError, Record, Release};
pub use root::{HashTreeError, hash_tree};

/// What a release is made of.
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

/// Why no release could be made.
#[derive(Debug, Error)]
pub enum ReleaseError {
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
    /// What the image says of itself is longer than the room for it.
    #[error("what the image says of itself takes {0} bytes and has room for {IMAGE_INFO_SIZE}")]
    InfoTooLong(usize),
    /// The tree can't become an image.
    #[error("the tree can't be made into an image")]
    Finalise(#[from] FinaliseError),
    /// The content does not fit the sizes that the recipe fixes.
    #[error("the disk can't hold the image: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Layout(Vec<LayoutRefusal>),
    /// The EROFS image could not be written.
    #[error("the root file system can't be written")]
    Erofs(#[from] erofs::WriteError),
    /// The hash tree could not be made.
    #[error(transparent)]
    HashTree(#[from] HashTreeError),
    /// The kernel's command line is not valid.
    #[error("the kernel's command line can't be made")]
    CommandLine(#[from] CommandLineError),
    /// The UKI could not be put together.
    #[error("the unified kernel image can't be made")]
    Uki(#[from] UkiError),
    /// A file of the release could not be written.
    #[error("can't write the release")]
    Write(#[from] io::Error),
}

/// What image.json is padded to, with blanks: the sizes that it names depend on the size of the file system that it is in.
const IMAGE_INFO_SIZE: usize = 1024;

/// Makes the release of `tree` in `folder`, which is there and empty. The tree gets its `image.json`. What `donors` hold is
/// not compressed again; the bytes are the same with and without them.
///
/// # Errors
/// When something that boots is missing, the content does not fit, or a file can't be written.
pub fn make(
    request: Request<'_>,
    tree: &mut Tree,
    donors: &[Donor],
    folder: &Path,
) -> Result<Record, ReleaseError> {
    let kernel = kernel::find(tree)?;
    let boot = uki::BootFiles::read(&request, tree, &kernel)?;
    check_maker(tree, request.recipe.disk.data_file_system)?;
    let options = root::options(&request, tree, &kernel)?;
    // The kernel lives in the UKI; its copy beside the modules would only make the root larger.
    tree.remove(&format!("/usr/lib/modules/{}/vmlinuz", kernel.version));
    finalise(&request, tree)?;

    let root_file = fs::File::create_new(folder.join(record::ROOT))?;
    let sink = root::Sink(&root_file);
    let donors: Vec<erofs::Donor<'_>> = donors.iter().map(Donor::as_erofs).collect();
    let packed = erofs::pack(tree, request.content, &options, &donors, &sink)?;
    let size = packed.image_size();
    let content = layout::Content { root: ByteSize::bytes(size), uki: ByteSize::bytes(boot.uki_size()) };
    let layout = LayoutSpec::from_content(content, &request.recipe.disk).map_err(ReleaseError::Layout)?;
    put_image_info(&request, tree, &layout)?;
    let index = packed.finish(tree, request.content, &sink)?;
    fs::write(folder.join(record::INDEX), index.to_bytes())?;

    let hash_tree = hash_tree(request.id, &OpenFile::open(&folder.join(record::ROOT))?)?;
    fs::write(folder.join(record::VERITY), &hash_tree.bytes)?;
    let uki = boot.assemble(&request, tree, &hash_tree.root)?;
    fs::write(folder.join(record::UKI), &uki)?;
    fs::write(folder.join(record::LOADER), boot.loader())?;
    fs::write(folder.join(record::GUARD), boot.guard())?;
    let record = Record {
        id: request.id,
        root_hash: hash_tree.root,
        root_size: ByteSize::bytes(size),
        layout,
        kernel: kernel.version,
    };
    fs::write(folder.join(record::RECORD), record.to_json()?)?;
    Ok(record)
}

/// The first boot makes the data partition's file system; without the program for it the machine would end in emergency
/// mode.
fn check_maker(tree: &Tree, file_system: FileSystem) -> Result<(), ReleaseError> {
    let places = ["usr/sbin", "sbin", "usr/bin"].map(|place| format!("/{place}/mkfs.{}", file_system.name()));
    let [first, rest @ ..] = &places;
    match (tree.resolve(first), rest.iter().any(|path| tree.resolve(path).is_ok())) {
        (Ok(_), _) | (Err(_), true) => Ok(()),
        (Err(source), false) => {
            Err(ReleaseError::Missing { path: first.clone(), package: file_system.package(), source })
        }
    }
}

/// An id that is the same in every build of this release.
pub(super) fn derived(id: Digest, what: &str) -> Guid {
    Guid::derived(&Digest::of(format!("{id} {what}").as_bytes()))
}

/// Applies the rules of every image, with sizes that are replaced by the right ones when the root's is known.
fn finalise(request: &Request<'_>, tree: &mut Tree) -> Result<(), ReleaseError> {
    let nothing = layout::Content { root: ByteSize::bytes(0), uki: ByteSize::bytes(0) };
    let layout = LayoutSpec::from_content(nothing, &request.recipe.disk).map_err(ReleaseError::Layout)?;
    let info = image_info(request, &layout);
    let epoch = u64::try_from(request.epoch).unwrap_or(0);
    finalise::finalise(tree, Finalisation { info: &info, reader: request.content, epoch })?;
    put_image_info(request, tree, &layout)
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

/// Puts image.json in its place, always of the same size.
fn put_image_info(request: &Request<'_>, tree: &mut Tree, layout: &LayoutSpec) -> Result<(), ReleaseError> {
    let path = ImageInfo::<LayoutSpec>::PATH;
    let metadata = Metadata { mtime: request.epoch, ..Metadata::root_owned(0o644) };
    let text = image_info(request, layout).to_json();
    let text = text.trim_end();
    if text.len() >= IMAGE_INFO_SIZE {
        return Err(ReleaseError::InfoTooLong(text.len()));
    }
    let padded = format!("{text:<width$}\n", width = IMAGE_INFO_SIZE - 1);
    let node = Node { metadata, kind: Kind::File(Content::inline(padded.into_bytes())) };
    tree.insert(path, node).map_err(|source| ReleaseError::Place { path, source })?;
    Ok(())
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{FileSystem, Kind, Metadata, Node, Tree, check_maker};
    use basalt_formats::tree::Content;

    #[test]
    fn an_image_that_can_t_make_its_data_volume_is_refused() {
        let mut tree = Tree::new();
        let program = Node { metadata: Metadata::root_owned(0o755), kind: Kind::File(Content::inline(*b"")) };
        tree.insert("/sbin/mkfs.xfs", program).unwrap();
        assert!(check_maker(&tree, FileSystem::Xfs).is_ok());
        assert_eq!(
            check_maker(&tree, FileSystem::Ext4).unwrap_err().to_string(),
            "the image lacks /usr/sbin/mkfs.ext4, which comes with the package e2fsprogs"
        );
    }
}
