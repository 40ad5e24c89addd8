//! The unified kernel image: everything between the boot loader and the root.

use basalt_formats::{
    cmdline::{CommandLine, KernelArg},
    tree::{Kind, Tree},
    uki,
};
use basalt_image::{esp, kernel::Kernel};
use basalt_types::Digest;

use super::{ReleaseError, Request};

/// What every command line has; the recipe's come later and win.
const OWN_ARGUMENTS: [&str; 6] = [
    // The kernel falls back to the partition table's copy only when it is told to (block/partitions/efi.c): a power cut
    // while the table is rewritten must leave a disk that boots.
    "gpt",
    // Seconds until a kernel that panicked restarts. Without it it waits for ever, and no boot counter counts.
    "panic=10",
    // A processor that is stuck in the kernel, for 30 s with interrupts off or 60 s with them on, is a panic: a machine that
    // hangs must restart, whether it has a watchdog of its own or not.
    "watchdog_thresh=30",
    "nmi_watchdog=panic",
    "softlockup_panic=1",
    // systemd stays where it crashed otherwise, and a machine without process 1 does nothing more.
    "systemd.crash_reboot",
];

/// The files of the tree that boot it.
pub(super) struct BootFiles {
    stub: Vec<u8>,
    loader: Vec<u8>,
    guard: Vec<u8>,
    kernel: Vec<u8>,
    release: String,
    initramfs_size: usize,
}

impl BootFiles {
    /// Reads them, before they are taken out of the tree.
    pub(super) fn read(request: &Request<'_>, tree: &Tree, kernel: &Kernel) -> Result<Self, ReleaseError> {
        let architecture = request.recipe.architecture;
        let stub = format!("/usr/lib/systemd/boot/efi/linux{}.efi.stub", architecture.efi());
        let image = kernel.image.read(request.content);
        let path = format!("vmlinuz of {}", kernel.version);
        Ok(Self {
            stub: read(request, tree, &stub, "systemd-boot-efi")?,
            loader: read(request, tree, &esp::loader_in_image(architecture), "systemd-boot-efi")?,
            guard: read(request, tree, &esp::guard_in_image(architecture), "basalt-node")?,
            kernel: image.map_err(|source| ReleaseError::Read { path, source })?,
            release: kernel.version.clone(),
            initramfs_size: request.initramfs.len(),
        })
    }

    /// The boot loader's program.
    pub(super) fn loader(&self) -> &[u8] {
        &self.loader
    }

    /// The program before it.
    pub(super) fn guard(&self) -> &[u8] {
        &self.guard
    }

    /// The size of the UKI, rounded up: its sections, their alignment and a little for the texts.
    pub(super) fn uki_size(&self) -> u64 {
        const TEXTS_AND_ALIGNMENT: usize = 64 * 1024;
        let Self { stub, loader: _, guard: _, kernel, release: _, initramfs_size } = self;
        (stub.len() + kernel.len() + initramfs_size + TEXTS_AND_ALIGNMENT) as u64
    }

    /// Puts the UKI together: its command line names the root by its hash, its os-release is the finished tree's.
    pub(super) fn assemble(
        &self,
        request: &Request<'_>,
        tree: &Tree,
        root_hash: &Digest,
    ) -> Result<Vec<u8>, ReleaseError> {
        let os_release = read(request, tree, "/usr/lib/os-release", "base-files")?;
        let command_line = command_line(request, root_hash)?.to_string();
        let sections = uki::Sections {
            osrel: &os_release,
            cmdline: &command_line,
            uname: &self.release,
            initrd: request.initramfs,
            linux: &self.kernel,
            ..uki::Sections::default()
        };
        Ok(uki::assemble(&self.stub, &sections)?)
    }
}

fn command_line(request: &Request<'_>, root_hash: &Digest) -> Result<CommandLine, ReleaseError> {
    let mut line = CommandLine::new();
    line.append(KernelArg::assignment("roothash", &root_hash.hex())?);
    for argument in OWN_ARGUMENTS {
        line.append(argument.parse()?);
    }
    for argument in &request.recipe.kernel_arguments {
        line.append(argument.as_str().parse()?);
    }
    line.check_length()?;
    Ok(line)
}

fn read(
    request: &Request<'_>,
    tree: &Tree,
    path: &str,
    package: &'static str,
) -> Result<Vec<u8>, ReleaseError> {
    let missing = |source| ReleaseError::Missing { path: path.to_owned(), package, source };
    let id = tree.resolve(path).map_err(missing)?;
    match &tree.node(id).kind {
        Kind::File(content) => content
            .read(request.content)
            .map_err(|source| ReleaseError::Read { path: path.to_owned(), source }),
        Kind::Directory(_)
        | Kind::Symlink(_)
        | Kind::CharDevice(_)
        | Kind::BlockDevice(_)
        | Kind::Fifo
        | Kind::Socket => Err(missing(basalt_formats::tree::TreeError::IsDirectory(path.to_owned()))),
    }
}
