//! A Debian archive: from the URL of a suite to verified indices, and from records to verified .deb files.
//!
//! [`resolve`]: for each source, `InRelease` (or `Release` and `Release.gpg`) → signature → suite and validity → the
//! Packages index of each component, by the digest in the Release file → text. [`Indices::pool`] makes of them what the
//! solver wants. [`fetch_packages`] gets the chosen .debs in parallel.
//!
//! Invariants: an index is used only if its digest is in a Release file that a key of the keyring signed; a .deb only
//! if its digest is in such an index. What is in the store is not fetched again; a Release file always is.

use std::path::PathBuf;

use basalt_debian::{
    index::Record,
    release::{Release, ReleaseError},
    solve::{Origin, Pool, PoolError},
};
use basalt_types::{Architecture, Digest};

use crate::{
    http::HttpError,
    openpgp::{Keyring, SignatureError},
    store::StoreError,
};

mod indices;
mod packages;
mod release;

pub use crate::obtain::{Context, Event};
pub use packages::{Wish, fetch_packages};

/// A suite of an archive.
#[derive(Debug, Clone)]
pub struct Source {
    /// The archive's root, such as [`crate::mirror::choose`] gives.
    pub url: String,
    /// The suite's name or codename.
    pub suite: String,
    /// Which parts of it.
    pub components: Vec<String>,
    /// See [`Origin::priority`].
    pub priority: i16,
    /// Whether a Release file past its `Valid-Until` is refused.
    pub check_valid_until: bool,
    /// Who may sign it.
    pub keyring: Keyring,
}

/// The verified indices of every source.
#[derive(Debug, Clone)]
pub struct Indices {
    /// In the order of the sources that were asked for; [`Origin::source`] counts them.
    pub suites: Vec<Suite>,
}

/// One source, verified.
#[derive(Debug, Clone)]
pub struct Suite {
    /// What was asked for.
    pub source: Source,
    /// What its Release file says.
    pub release: Release,
    /// The digest of the Release text that was signed.
    pub release_digest: Digest,
    /// The fingerprints of the keys that signed it.
    pub signers: Vec<String>,
    /// The texts of its Packages indices.
    pub indices: Vec<Index>,
}

/// A Packages index.
#[derive(Debug, Clone)]
pub struct Index {
    /// The component it is of.
    pub component: String,
    /// The whole text.
    pub text: String,
}

/// Why an archive can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DebianError {
    /// Nothing could be fetched.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The suite is not there at all.
    #[error("the mirror `{url}` has no suite `{suite}`; check `base.debian.suite` and `base.debian.mirror`")]
    NoSuite {
        /// The archive's root.
        url: String,
        /// The suite.
        suite: String,
        /// What the server said.
        source: Box<HttpError>,
    },
    /// The signature is not good.
    #[error(
        "the suite `{suite}` of `{url}` can't be trusted; is `base.debian.keyring` the right one for it?"
    )]
    Signature {
        /// The archive's root.
        url: String,
        /// The suite.
        suite: String,
        /// Why.
        source: SignatureError,
    },
    /// The Release file can't be used.
    #[error("the Release file of `{suite}` on `{url}` can't be used{}", expired_advice(.source))]
    Release {
        /// The archive's root.
        url: String,
        /// The suite.
        suite: String,
        /// Why.
        source: ReleaseError,
    },
    /// A Release file of another suite, rightly signed: a mix-up, or somebody replays one.
    #[error(
        "`{url}` gave the Release file of `{found}` when asked for `{suite}`; use that name, or another mirror"
    )]
    OtherSuite {
        /// The archive's root.
        url: String,
        /// The suite that was asked for.
        suite: String,
        /// The suite that came.
        found: String,
    },
    /// A component or architecture that the suite does not have.
    #[error("the suite `{suite}` of `{url}` has no `{component}` for {architecture}; it has {}", .components.join(", "))]
    NoIndex {
        /// The archive's root.
        url: String,
        /// The suite.
        suite: String,
        /// The component that was asked for.
        component: String,
        /// The architecture that was asked for.
        architecture: Architecture,
        /// The components of the suite.
        components: Vec<String>,
    },
    /// A compressed index does not decompress to what its Release file says.
    #[error("the index `{url}` is damaged: {problem}")]
    Index {
        /// Its URL.
        url: String,
        /// What is wrong.
        problem: String,
    },
}

/// Fetches and verifies the indices of every source, the sources in parallel. `now` is in seconds since 1970-01-01
/// UTC. The first error in the order of the sources is returned.
pub fn resolve(
    context: Context<'_>,
    sources: &[Source],
    architecture: Architecture,
    now: i64,
) -> Result<Indices, DebianError> {
    use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
    let one = |source: &Source| -> Result<Suite, DebianError> {
        let release::Trusted { release, digest, signers } = release::fetch(context, source, now)?;
        let indices = indices::fetch(context, source, &release, architecture)?;
        Ok(Suite { source: source.clone(), release, release_digest: digest, signers, indices })
    };
    let suites: Vec<Result<Suite, DebianError>> = sources.par_iter().map(one).collect();
    Ok(Indices { suites: suites.into_iter().collect::<Result<_, _>>()? })
}

impl Indices {
    /// Every package of every source, for the solver. [`Origin::source`] is the place in [`Indices::suites`].
    pub fn pool(&self, architecture: Architecture) -> Result<Pool<'_>, PoolError> {
        let mut pool = Pool::new(architecture);
        for (source, suite) in (0..).zip(&self.suites) {
            let origin = Origin { source, priority: suite.source.priority };
            for index in &suite.indices {
                pool.add_index(&index.text, origin)?;
            }
        }
        Ok(pool)
    }

    /// The newest `Date` of the Release files, in seconds since 1970-01-01 UTC: the time that an image is made of.
    pub fn epoch(&self) -> i64 {
        self.suites.iter().map(|suite| suite.release.date).max().unwrap_or(0)
    }

    /// The URL of a record's .deb.
    pub fn url(&self, record: &Record<'_>, origin: Origin) -> Option<String> {
        let suite = self.suites.get(usize::from(origin.source))?;
        Some(format!("{}/{}", suite.source.url, record.filename))
    }
}

fn expired_advice(error: &ReleaseError) -> &'static str {
    match error {
        ReleaseError::Expired { .. } => {
            "; if the mirror is meant to stand still (a snapshot, say), set `base.debian.checkValidUntil: false`"
        }
        ReleaseError::Syntax(_)
        | ReleaseError::Missing(_)
        | ReleaseError::Date { .. }
        | ReleaseError::Entry(_) => "",
    }
}

/// Looks in the store and fetches what is not there.
fn obtain(context: Context<'_>, expected: &crate::http::Expected) -> Result<PathBuf, HttpError> {
    crate::obtain::obtain(context, expected, |advance| {
        context.client.download(expected, context.store, advance)
    })
}
