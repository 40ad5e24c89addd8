//! From a resolved recipe to a build plan, and from a size to a disk layout.

pub mod customise;
pub mod difference;
pub mod distribution;
pub mod esp;
pub mod extension;
pub mod finalise;
pub mod initramfs;
pub mod kernel;
pub mod layout;
pub mod lint;
pub mod oci;
pub mod plan;
pub mod sbom;
mod units;
pub mod update;
mod users;

pub use users::Table as AccountTable;
