//! Kernel modules as the initramfs carries them: an index that says which file to load for which device.
//!
//! `modules.alias` and `modules.dep` of a Debian kernel are 1.6 MiB of text for 4,000 modules; an initramfs holds
//! about a hundred. The index is the part of both that concerns those, with every dependency already in load
//! order, so that who reads it needs no graph. The format is described in `docs/formats/initramfs.md`.
//!
//! Not here: which modules an initramfs should hold (`basalt-image`), and loading one (`basalt-exec`).

mod alias;
mod index;

#[cfg(test)]
mod tests;

pub use alias::{AliasTable, glob_matches};
pub use index::{INDEX_PATH, IndexError, IndexedModule, ModuleIndex, module_name};
