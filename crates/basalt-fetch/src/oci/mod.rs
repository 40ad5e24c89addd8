//! OCI images: from a registry, a layout folder or an archive into the store, and back.
//!
//! ```text
//! resolve(context, access, reference, platform)   tag → manifest of the platform, verified      (network)
//! fetch_image(…, &image)                          configuration and layers into the store        (network, store)
//! fetch_blobs(…, &descriptors)                    the same for blobs that a lock names           (network, store)
//! Artifact::open, blob, range                   parts of an artifact, in memory          (network)
//! Artifact::signatures                          what was signed of it, and the signatures     (network)
//! push(…, &source, root, target)                  an image or index and all it needs to a registry
//! Layout, Archive                                 the same images as files
//! ```
//!
//! Guarantees: a document or blob is returned only when its bytes have the digest that its descriptor says; a manifest
//! that was asked for by tag has the digest that is reported, which a lock keeps. A blob that broke off is continued.
//! Plain HTTP and unverified hosts are never used unless [`Access::insecure`] says so, and credentials never go to
//! another origin than the registry's and that of the token service it names.
//!
//! Sources: OCI image specification 1.1 and OCI distribution specification 1.1; for tokens the Docker registry v2
//! token specification; for names and credentials containers-transports(5) and containers-auth.json(5).
//! Not here: what is in a layer (`basalt_image::oci`), what a signature says (`basalt_trust::release`), the referrers API.

mod archive;
mod artifact;
mod auth;
mod credentials;
mod document;
mod error;
mod layout;
mod pull;
mod push;
mod registry;
mod signature;
mod source;

pub use archive::{Archive, write_archive};
pub use artifact::Artifact;
pub use credentials::{Credentials, Variables};
pub use document::{Descriptor, ImageConfig, Index, Manifest, Platform, RootFs, media};
pub use error::{LocalProblem, OciError};
pub use layout::{Layout, LayoutWriter};
pub use pull::{Fetched, Image, fetch_blobs, fetch_config, fetch_image, resolve};
pub use push::{Pushed, push};
pub use signature::{Signature, SignatureImage, signature_tag};
pub use source::{Blob, BlobSource};

/// How registries are reached.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Speak plain HTTP instead of HTTPS.
    pub insecure: bool,
    /// Registries that are asked before the one that a reference names: `HOST[:PORT][/PREFIX]`.
    pub mirrors: Vec<String>,
    /// Names and passwords.
    pub credentials: Credentials,
}
