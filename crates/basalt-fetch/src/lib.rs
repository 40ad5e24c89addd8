//! The network and the content store: HTTP, Debian repositories, OCI registries, verification.
//!
//! ```text
//! mirror::observe  what the environment and the host's apt say           (reads files)
//! mirror::choose   recipe + facts → which URL                             (pure)
//! debian::resolve  sources → InRelease, verified → indices, verified      (network, store)
//! Indices::pool    indices → packages for `basalt_debian::solve`          (pure)
//! debian::fetch_packages  records → .deb files in the store               (network, store)
//! oci::resolve, fetch_image, push   OCI images: reference → manifest → blobs in the store, and back
//! ```
//!
//! Invariants: nothing is returned that was not verified (a text by its signature, a file by its digest). A kill at
//! any instant leaves the store usable. Not here: any host name, any choice of packages, anything that writes outside
//! the store.

pub mod debian;
pub mod http;
pub mod mirror;
mod obtain;
pub mod oci;
pub mod openpgp;
pub mod store;
