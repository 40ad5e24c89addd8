//! The initramfs: `basalt-init`, exactly the kernel modules that lead to a disk, and an index of them.
//!
//! 1. [`plan_modules`] reads what depmod(8) wrote about the kernel and picks: the table in [`wanted`], what those
//!    modules depend on, hard and soft. What the kernel has built in, or does not have, is in the plan with its reason.
//! 2. [`assemble`] puts the picked files, decompressed and with their signatures, into a tree that a cpio writer takes.
//!
//! The files are stored uncompressed since the archive is compressed as a whole: smaller, and the kernel needs no
//! decompressor. `docs/formats/initramfs.md` describes the result.
//!
//! Not here: microcode (the UKI has its own section for it) and firmware files; no module of the table needs one to
//! find a disk.

mod assemble;
mod metadata;
mod select;
pub mod wanted;

#[cfg(test)]
mod tests;

use std::{fmt, io, sync::Arc};

use basalt_formats::tree::{ReadContent, Tree, TreeError};
use serde::Serialize;

pub use assemble::assemble;
pub use select::plan_modules;
use wanted::ModuleClass;

/// What an initramfs is made from.
#[derive(Clone)]
pub struct InitramfsSource<'a> {
    /// The image, with its kernel's modules.
    pub image: &'a Tree,
    /// Where the content of its files is.
    pub content: &'a dyn ReadContent,
    /// The bytes of the static `basalt-init` program.
    pub init: Arc<[u8]>,
    /// The modification time of everything, in seconds since 1970.
    pub epoch: i64,
}

/// Which modules the initramfs of one kernel holds, and why others are not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModulePlan {
    /// The kernel release.
    pub kernel: String,
    /// What to pack, each after all it needs.
    pub modules: Vec<PlannedModule>,
    /// What was wanted and is not packed.
    pub left_out: Vec<LeftOut>,
}

/// One module to pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedModule {
    /// The kernel's name for it.
    pub name: String,
    /// Its file below `/usr/lib/modules/<kernel>/`, compressed or not.
    pub path: String,
    /// What it is for; a dependency has the class of the first that asks for it.
    pub class: ModuleClass,
    /// In the table itself, not only needed by one that is.
    pub wanted: bool,
    /// What must be loaded before it, in load order.
    pub needs: Vec<String>,
    /// What should be loaded after it.
    pub after: Vec<String>,
    /// The devices that it drives.
    pub aliases: Vec<String>,
}

/// A module that was wanted and is not packed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LeftOut {
    /// The module, or the name that a soft dependency asks for.
    pub name: String,
    /// Who asks for it: another module, or nobody when the table does.
    pub for_module: Option<String>,
    /// Why.
    pub reason: LeftOutReason,
}

/// Why a wanted module is not packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LeftOutReason {
    /// The kernel has it built in.
    BuiltIn,
    /// This kernel has no such module.
    NotInKernel,
}

/// Why there can be no initramfs.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// A file is missing.
    #[error("the image has no usable {path}: a kernel package that ran depmod leaves one")]
    Missing {
        /// In the image.
        path: String,
        /// Why it can't be used.
        source: TreeError,
    },
    /// Something else stands where a file should.
    #[error("{0} of the image is not a regular file")]
    NotFile(String),
    /// A file's content can't be read.
    #[error("can't read {path} of the image")]
    Read {
        /// In the image.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file of depmod is broken.
    #[error("line {line} of {path} can't be read: `{text}`")]
    Metadata {
        /// In the image.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// The kernel lacks what the root needs.
    #[error(
        "kernel {kernel} has no {}, as a module or built in, and a verified root needs it: choose another kernel \
         package, such as linux-image-amd64",
        .missing.join(" and no ")
    )]
    Required {
        /// The kernel release.
        kernel: String,
        /// The modules.
        missing: Vec<String>,
    },
    /// A module can't be decompressed.
    #[error("can't decompress {path} of the image")]
    Decompress {
        /// In the image.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A name can't be put into the initramfs.
    #[error("can't put {path} into the initramfs")]
    Place {
        /// In the initramfs.
        path: String,
        /// Why.
        source: TreeError,
    },
}

impl fmt::Debug for InitramfsSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { image: _, content: _, init, epoch } = self;
        f.debug_struct("InitramfsSource")
            .field("init", &init.len())
            .field("epoch", epoch)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ModulePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, modules, left_out } = self;
        writeln!(f, "{} modules of kernel {kernel}", modules.len())?;
        for PlannedModule { name, class, wanted, .. } in modules {
            let why = if *wanted { class.to_string() } else { format!("needed for {class}") };
            writeln!(f, "  pack  {name:<24} {why}")?;
        }
        for LeftOut { name, for_module, reason } in left_out {
            let asked =
                for_module.as_ref().map(|module| format!(", asked for by {module}")).unwrap_or_default();
            writeln!(f, "  skip  {name:<24} {reason}{asked}")?;
        }
        Ok(())
    }
}

impl fmt::Display for LeftOutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BuiltIn => "built into the kernel",
            Self::NotInKernel => "not in this kernel",
        })
    }
}
