use basalt_debian::release::Release;
use basalt_types::Digest;

use super::{Context, DebianError, Event, Source};
use crate::{
    http::HttpError,
    openpgp::{SignatureError, Verified, verify_cleartext, verify_detached},
};

/// The Release file of sid is 200 kB; nothing sensible is a hundred times that.
const LIMIT: u64 = 16 << 20;

/// A Release file that was verified.
pub(super) struct Trusted {
    pub(super) release: Release,
    /// Of the text that was signed.
    pub(super) digest: Digest,
    pub(super) signers: Vec<String>,
}

/// Fetches the Release file of a source and verifies signature, suite and validity.
pub(super) fn fetch(context: Context<'_>, source: &Source, now: i64) -> Result<Trusted, DebianError> {
    let (url, suite) = (&source.url, &source.suite);
    let folder = format!("{url}/dists/{suite}");
    let verified = match get(context, &format!("{folder}/InRelease")) {
        Ok(bytes) => verify_cleartext(&bytes, &source.keyring, now),
        Err(error) if is_absent(&error) => fetch_detached(context, source, &folder, now, error)?,
        Err(error) => return Err(error.into()),
    };
    let refuse =
        |source: SignatureError| DebianError::Signature { url: url.clone(), suite: suite.clone(), source };
    let verified = verified.map_err(refuse)?;
    let refuse = |source| DebianError::Release { url: url.clone(), suite: suite.clone(), source };
    let release = Release::parse(&verified.text).map_err(refuse)?;
    if ![&release.suite, &release.codename].contains(&suite) {
        let found = if release.codename.is_empty() { &release.suite } else { &release.codename };
        return Err(DebianError::OtherSuite { url: url.clone(), suite: suite.clone(), found: found.clone() });
    }
    if source.check_valid_until {
        release.check_valid(now).map_err(refuse)?;
    }
    let digest = Digest::of(verified.text.as_bytes());
    Ok(Trusted { release, digest, signers: verified.signers })
}

/// The older pair of files, for mirrors that leave InRelease out.
fn fetch_detached(
    context: Context<'_>,
    source: &Source,
    folder: &str,
    now: i64,
    absent: HttpError,
) -> Result<Result<Verified, SignatureError>, DebianError> {
    let bytes = match get(context, &format!("{folder}/Release")) {
        Ok(bytes) => bytes,
        Err(error) if is_absent(&error) => {
            let (url, suite) = (source.url.clone(), source.suite.clone());
            return Err(DebianError::NoSuite { url, suite, source: Box::new(absent) });
        }
        Err(error) => return Err(error.into()),
    };
    let signature = get(context, &format!("{folder}/Release.gpg"))?;
    Ok(verify_detached(&bytes, &signature, &source.keyring, now))
}

fn get(context: Context<'_>, url: &str) -> Result<Vec<u8>, HttpError> {
    (context.report)(Event::Started { url, size: None });
    let bytes = context.client.get(url, LIMIT)?;
    (context.report)(Event::Finished { url, cached: false });
    Ok(bytes)
}

fn is_absent(error: &HttpError) -> bool {
    match error {
        HttpError::Status { status, .. } => matches!(status, 404 | 410),
        HttpError::File { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        HttpError::Transport { .. }
        | HttpError::TooLong { .. }
        | HttpError::Url { .. }
        | HttpError::Proxy(_)
        | HttpError::Mismatch { .. }
        | HttpError::Store(_)
        | HttpError::Cancelled { .. } => false,
    }
}
