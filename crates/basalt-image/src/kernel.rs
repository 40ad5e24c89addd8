//! Finds the kernel of a file tree: its version, its modules and the file that boots.
//!
//! Two places are used in the field: `/usr/lib/modules/VERSION/vmlinuz` (UAPI.9 and Fedora, Arch, openSUSE) and
//! `/boot/vmlinuz-VERSION` (Debian). A directory of modules without a `modules.dep` is a leftover, not a kernel.

use basalt_formats::{
    erofs::Algorithm,
    tree::{Content, Kind, ReadContent, Tree},
};
use basalt_spec::Compression;
use thiserror::Error;

/// The kernel of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The version, as `uname -r` says it: the name of its module directory.
    pub version: String,
    /// The bytes of the boot image.
    pub image: Content,
}

/// Why a tree has no usable kernel.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KernelError {
    /// No directory under `/usr/lib/modules` has a `modules.dep`.
    #[error("the image has no kernel: no directory below /usr/lib/modules holds a modules.dep")]
    Missing,
    /// More than one could be meant.
    #[error("the image has {} kernels ({}), and a UKI carries one", .0.len(), .0.join(", "))]
    Ambiguous(Vec<String>),
    /// The recipe asks for a compression that the kernel can't read.
    #[error(
        "kernel {kernel} reads no EROFS image that is compressed with Zstandard: leave `disk.compression` out or take `lz4hc`"
    )]
    NoZstd {
        /// The kernel's version.
        kernel: String,
    },
    /// Modules without a kernel.
    #[error("kernel {0} has modules but no boot image at /usr/lib/modules/{0}/vmlinuz or /boot/vmlinuz-{0}")]
    NoImage(String),
}

/// Finds the one kernel of `tree`.
///
/// # Errors
/// When there is none, more than one, or no boot image for it.
pub fn find(tree: &Tree) -> Result<Kernel, KernelError> {
    let mut versions = versions(tree);
    let version = match versions.len() {
        0 => return Err(KernelError::Missing),
        1 => versions.remove(0),
        _ => return Err(KernelError::Ambiguous(versions)),
    };
    let places = [format!("/usr/lib/modules/{version}/vmlinuz"), format!("/boot/vmlinuz-{version}")];
    let image = places.iter().find_map(|path| match &tree.node(tree.resolve(path).ok()?).kind {
        Kind::File(content) => Some(content.clone()),
        Kind::Directory(_)
        | Kind::Symlink(_)
        | Kind::CharDevice(_)
        | Kind::BlockDevice(_)
        | Kind::Fifo
        | Kind::Socket => None,
    });
    match image {
        Some(image) => Ok(Kernel { version, image }),
        None => Err(KernelError::NoImage(version)),
    }
}

/// How the root of an image with this kernel is compressed; `None`: not at all. A kernel whose configuration is not in
/// the tree is taken for one that reads LZ4 alone.
///
/// # Errors
/// When the recipe asks for what the kernel can't read.
pub fn root_compression(
    tree: &Tree,
    reader: &dyn ReadContent,
    kernel: &Kernel,
    wanted: Compression,
) -> Result<Option<Algorithm>, KernelError> {
    let zstd = || option_is_on(tree, reader, &kernel.version, "CONFIG_EROFS_FS_ZIP_ZSTD");
    match wanted {
        Compression::None => Ok(None),
        Compression::Lz4 => Ok(Some(Algorithm::Lz4)),
        Compression::Auto if zstd() => Ok(Some(Algorithm::Zstd)),
        Compression::Lz4hc | Compression::Auto => Ok(Some(Algorithm::Lz4hc)),
        Compression::Zstd if zstd() => Ok(Some(Algorithm::Zstd)),
        Compression::Zstd => Err(KernelError::NoZstd { kernel: kernel.version.clone() }),
    }
}

/// Whether the kernel's configuration has this option built in.
fn option_is_on(tree: &Tree, reader: &dyn ReadContent, version: &str, option: &str) -> bool {
    let places = [format!("/usr/lib/modules/{version}/config"), format!("/boot/config-{version}")];
    let texts = places.iter().filter_map(|path| match &tree.node(tree.resolve(path).ok()?).kind {
        Kind::File(content) => content.read(reader).ok(),
        Kind::Directory(_)
        | Kind::Symlink(_)
        | Kind::CharDevice(_)
        | Kind::BlockDevice(_)
        | Kind::Fifo
        | Kind::Socket => None,
    });
    let wanted = format!("{option}=y");
    let has = |text: Vec<u8>| text.split(|byte| *byte == b'\n').any(|line| line == wanted.as_bytes());
    texts.into_iter().any(has)
}

fn versions(tree: &Tree) -> Vec<String> {
    let Ok(modules) = tree.resolve("/usr/lib/modules") else { return Vec::new() };
    let Kind::Directory(entries) = &tree.node(modules).kind else { return Vec::new() };
    let names = entries.keys().filter_map(|name| String::from_utf8(name.clone()).ok());
    names.filter(|name| tree.resolve(&format!("/usr/lib/modules/{name}/modules.dep")).is_ok()).collect()
}

#[cfg(test)]
mod tests;
