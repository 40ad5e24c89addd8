//! Debian's own formats and rules: control files, versions, indices, dependencies, .deb archives, the dpkg database.
pub mod archive;
pub mod build;
pub mod control;
pub mod dependency;
pub mod dpkgdb;
pub mod index;
pub mod release;
pub mod solve;
pub mod unpack;
pub mod version;
