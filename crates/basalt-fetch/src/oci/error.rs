use std::{io, path::PathBuf};

use basalt_exec::command::CommandError;
use basalt_types::Digest;

use crate::{http::HttpError, store::StoreError};

/// Why an image can't be had or given away.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// The registry can't be reached, or breaks off.
    #[error("can't {action} `{reference}`")]
    Http {
        /// What was tried.
        action: &'static str,
        /// The image.
        reference: String,
        /// Why not.
        source: Box<HttpError>,
    },
    /// The registry wants to know who asks, or doesn't let this one in.
    #[error(
        "the registry refuses to {action} `{reference}` (status {status}): {}",
        if *.known { "the credentials for it may lack the right; log in again with `skopeo login` or `docker login`" }
        else { "there are no credentials for it; log in with `skopeo login` or `docker login`, or set REGISTRY_AUTH_FILE" }
    )]
    Denied {
        /// What was tried.
        action: &'static str,
        /// The image.
        reference: String,
        /// 401 or 403.
        status: u16,
        /// Whether credentials were sent.
        known: bool,
    },
    /// The registry has no such image or blob.
    #[error(
        "`{reference}` is not in the registry; check the name and the tag (`skopeo list-tags` shows them)"
    )]
    Absent {
        /// The image.
        reference: String,
    },
    /// The registry answered what it must not.
    #[error("the registry's answer for `{reference}` can't be used: {problem}")]
    Answer {
        /// The image.
        reference: String,
        /// What is wrong.
        problem: String,
    },
    /// The registry's way to log in is not known, or not safe.
    #[error("can't log in for `{reference}`: {problem}")]
    Login {
        /// The image.
        reference: String,
        /// What is wrong.
        problem: String,
    },
    /// Bytes are not those that their descriptor names.
    #[error("{what} of `{reference}` has the digest {found}, not {expected}: it was changed or is damaged")]
    Digest {
        /// Which bytes.
        what: &'static str,
        /// The image.
        reference: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// A JSON document is not what it should be.
    #[error("{what} of `{reference}` is not valid")]
    Document {
        /// Which document.
        what: &'static str,
        /// The image.
        reference: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A document of a kind that we don't read.
    #[error("`{reference}` is of the media type `{found}`, which is not supported: {advice}")]
    Media {
        /// The image.
        reference: String,
        /// Its media type.
        found: String,
        /// What to do.
        advice: &'static str,
    },
    /// No manifest for this kind of machine.
    #[error("`{reference}` has no image for {wanted}; it has {offered}")]
    Platform {
        /// The image.
        reference: String,
        /// The platform that was asked for.
        wanted: String,
        /// The platforms that are there.
        offered: String,
    },
    /// A folder or archive can't be used.
    #[error("`{}` {problem}", path.display())]
    Local {
        /// The folder or archive.
        path: PathBuf,
        /// What is wrong.
        problem: LocalProblem,
    },
    /// A file can't be read or written.
    #[error("can't {action} `{}`", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of credentials is not one.
    #[error("the credentials in `{}` can't be used: {problem}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A program that keeps credentials failed.
    #[error("the credential helper `{program}` gave nothing for `{host}`")]
    Helper {
        /// The program.
        program: String,
        /// The registry.
        host: String,
        /// What happened.
        source: Box<CommandError>,
    },
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is wrong with a folder or archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocalProblem {
    /// Its marker is missing.
    #[error("is not an OCI layout: it has no file `oci-layout`")]
    NoLayout,
    /// Its marker has another version.
    #[error("is an OCI layout of version `{0}`; only 1.x is known")]
    Version(String),
    /// It has several images and none was named.
    #[error("holds several images; name one of them after a colon: {0}")]
    Several(String),
    /// It has no image of that name.
    #[error("holds no image named `{wanted}`; it holds {there}")]
    NoImage {
        /// The name that was asked for.
        wanted: String,
        /// The names that are there.
        there: String,
    },
    /// A blob is missing.
    #[error("lacks the blob {0}, which its image needs")]
    NoBlob(Digest),
    /// A blob has another size than its descriptor says.
    #[error("has the blob {digest} with {found} bytes, {expected} were expected")]
    Size {
        /// The blob.
        digest: Digest,
        /// By its descriptor.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// An archive with a member that has no place in a layout.
    #[error("holds `{0}`, which is no plain file of a layout; an archive of an OCI layout is a plain tar")]
    Member(String),
}
