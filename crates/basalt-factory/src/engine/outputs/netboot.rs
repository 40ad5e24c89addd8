//! What boots the system live over the network: kernel, initramfs with the root behind it, and a script for iPXE.
//! `docs/formats/live.md` describes the files.

use std::{
    io::{self, BufWriter, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use basalt_formats::{
    ReadAt as _, WriteAt as _, cpio,
    tree::{Content, Kind, Metadata, Node, ReadContent, Source, Stores, Tree, TreeError},
    uki::{self, Uki},
};
use basalt_spec::Output;
use thiserror::Error;

use super::{Context, OutputsError, WrittenFile};
use crate::engine::{output::PartialFile, release::Release};

/// Where basalt-init looks for the root, and in which store its bytes are.
const FILES: [(&str, u32); 2] = [("/.basalt/root.erofs", 0), ("/.basalt/root.verity", 1)];
/// Linux takes an archive that is not compressed only at a multiple of this (`init/initramfs.c`).
const ALIGNMENT: usize = 4;
/// How much is handed to the system at a time.
const BUFFER: usize = 1 << 20;

/// Why a release can't be booted over the network.
#[derive(Debug, Error)]
pub enum NetbootError {
    /// iPXE would read the kernel's command line as something else.
    #[error("iPXE can't be told the kernel argument `{0}`: it has a meaning there")]
    Argument(String),
    /// The archive can't be made.
    #[error("the root can't be put behind the initramfs")]
    Place(#[from] TreeError),
    /// The root can't be in an archive.
    #[error("the root can't be put behind the initramfs")]
    Archive(#[from] cpio::WriteError),
    /// The release's UKI can't be read.
    #[error("the unified kernel image can't be taken apart")]
    Uki(#[from] uki::UkiError),
}

/// Writes the three files.
pub(super) fn write(context: &Context<'_>, release: &Release) -> Result<Vec<WrittenFile>, OutputsError> {
    let uki = uki::read(&release.uki).map_err(NetbootError::from)?;
    let name = context.recipe.name.as_str();
    let script = script(name, context.recipe.version.as_str(), &uki.cmdline)?;
    let [script_ending, kernel_ending, initrd_ending] = ENDINGS;
    let begin = |ending| PartialFile::create(&(context.place)(ending));
    let [script_file, kernel, initrd] = [begin(script_ending)?, begin(kernel_ending)?, begin(initrd_ending)?];
    script_file.write_at(0, script.as_bytes())?;
    kernel.write_at(0, &release.uki[uki.linux.clone()])?;
    write_initrd(context, release, &uki, &initrd)?;
    let files = [script_file, kernel, initrd];
    Ok(files.map(|file| WrittenFile { output: Output::Netboot, file }).into())
}

/// As in [`Output::endings`].
const ENDINGS: [&str; 3] = ["ipxe", "vmlinuz", "initrd"];

/// All paths are relative, so that the three files work from every server and folder. With UEFI the kernel is told which
/// of iPXE's files is its initramfs.
fn script(name: &str, version: &str, command_line: &str) -> Result<String, NetbootError> {
    // iPXE splits at white space, expands `${…}` and knows `&&` and `||`; it has no quotes (its scripting reference).
    let special = |word: &&str| word.contains("${") || matches!(*word, "&&" | "||");
    if let Some(word) = command_line.split_whitespace().find(special) {
        return Err(NetbootError::Argument(word.to_owned()));
    }
    Ok(format!(
        "#!ipxe\n\
         # {name} {version}, live: it runs from memory and touches no disk\n\
         kernel {name}.vmlinuz initrd={name}.initrd {command_line}\n\
         initrd {name}.initrd\n\
         boot\n"
    ))
}

fn write_initrd(
    context: &Context<'_>,
    release: &Release,
    uki: &Uki,
    file: &PartialFile,
) -> Result<(), OutputsError> {
    let mut sink = BufWriter::with_capacity(BUFFER, file.file());
    let initramfs = &release.uki[uki.initrd.clone()];
    sink.write_all(initramfs)?;
    sink.write_all(&[0; ALIGNMENT][..initramfs.len().next_multiple_of(ALIGNMENT) - initramfs.len()])?;
    let stores = [&release.root as &dyn basalt_formats::ReadAt, &release.verity];
    let content = Interruptible { stores: Stores(&stores), stop: context.stop };
    let tree = tree(context.epoch, [release.root.size(), release.verity.size()])?;
    cpio::stream(&tree, &content, context.epoch, &mut sink).map_err(NetbootError::from)?;
    sink.flush()?;
    Ok(())
}

/// The second archive: root and hash tree of these sizes.
fn tree(epoch: i64, sizes: [u64; 2]) -> Result<Tree, NetbootError> {
    let mut tree = Tree::new();
    for ((path, store), size) in FILES.into_iter().zip(sizes) {
        let content = Content { size, source: Source::Stored { store, offset: 0 } };
        let metadata = Metadata { mtime: epoch, ..Metadata::root_owned(0o600) };
        tree.insert(path, Node { metadata, kind: Kind::File(content) })?;
    }
    Ok(tree)
}

/// Content that can't be read any more once the person wants to stop.
struct Interruptible<'a> {
    stores: Stores<'a>,
    stop: &'a AtomicBool,
}

impl ReadContent for Interruptible<'_> {
    fn read_stored(&self, store: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(io::Error::other("stopped")),
            false => self.stores.read_stored(store, offset, buffer),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_script_names_its_files_by_their_place_beside_it() {
        let text = script("edge", "1.0", "roothash=00 console=ttyS0").unwrap();
        assert_eq!(
            text,
            "#!ipxe\n# edge 1.0, live: it runs from memory and touches no disk\n\
             kernel edge.vmlinuz initrd=edge.initrd roothash=00 console=ttyS0\ninitrd edge.initrd\nboot\n"
        );
        for word in ["a=${b}", "||", "&&"] {
            let refused = script("edge", "1.0", &format!("roothash=00 {word} quiet")).unwrap_err();
            assert!(matches!(refused, NetbootError::Argument(found) if found == word));
        }
    }

    #[test]
    fn the_endings_are_the_outputs() {
        assert_eq!(Output::Netboot.endings(), ENDINGS);
    }

    #[test]
    fn the_second_archive_holds_root_and_hash_tree() {
        let (root, verity) = (vec![1_u8; 5000], vec![2_u8; 4096]);
        let stores = [&root as &dyn basalt_formats::ReadAt, &verity];
        let tree = tree(7, [5000, 4096]).unwrap();
        let stop = AtomicBool::new(false);
        let content = Interruptible { stores: Stores(&stores), stop: &stop };
        let mut archive = Vec::new();
        cpio::stream(&tree, &content, 7, &mut archive).unwrap();
        let entries = cpio::entries(&archive).unwrap();
        let files: Vec<_> = entries.iter().map(|entry| (entry.path, entry.data.len())).collect();
        assert_eq!(
            files,
            [(&b"."[..], 0), (b".basalt", 0), (b".basalt/root.erofs", 5000), (b".basalt/root.verity", 4096)]
        );
        stop.store(true, Ordering::Relaxed);
        assert!(cpio::stream(&tree, &content, 7, &mut Vec::new()).is_err(), "stopped");
    }
}
