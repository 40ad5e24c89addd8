//! To a registry: blobs it lacks, then manifests, the root last, so that nothing there ever names what is missing.

use std::sync::atomic::{AtomicU64, Ordering};

use basalt_types::{Digest, RegistryRef};

use super::{
    Access, BlobSource, Descriptor, OciError,
    auth::percent_encoded,
    pull::{Item, closure},
    registry::{Order, Purpose, Session},
    source::verify,
};
use crate::{
    http::{AskBody, Method},
    obtain::{Context, Event, each},
};

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// What names the pushed manifest or index from now on.
    pub digest: Digest,
    /// The bytes of blobs that were sent.
    pub sent: u64,
    /// The bytes of blobs that the registry had, or took from its other repository.
    pub there: u64,
}

/// How many blobs are sent at once.
const THREADS: usize = 4;

/// Pushes the manifest or index `root` and everything below it to `target`. `sibling` is a repository of the same
/// registry that may hold the same blobs: the registry is asked to take them from there.
///
/// # Errors
/// When a blob is missing, or the registry refuses.
pub fn push(
    context: Context<'_>,
    access: &Access,
    (source, root): (&dyn BlobSource, &Descriptor),
    target: &RegistryRef,
    sibling: Option<&str>,
) -> Result<Pushed, OciError> {
    let shown = target.to_string();
    let session = Session::open(context.client, access, target, Purpose::Push)?;
    let wanted = target.wanted().reference();
    if let Ok(expected) = wanted.parse::<Digest>()
        && expected != root.digest
    {
        let (what, found) = ("the manifest", root.digest);
        return Err(OciError::Digest { what, reference: shown, expected, found });
    }
    let items = closure(source, root, &shown)?;
    let (blobs, documents): (Vec<&Item>, Vec<&Item>) =
        items.iter().partition(|item| matches!(item, Item::Blob(_)));
    let (sent, there) = (AtomicU64::new(0), AtomicU64::new(0));
    let upload = |item: &&Item| -> Result<(), OciError> {
        let blob = item.descriptor();
        (context.report)(Event::Started { url: &shown, size: Some(blob.size) });
        let new = push_blob(&session, source, blob, sibling)?;
        if new { &sent } else { &there }.fetch_add(blob.size, Ordering::Relaxed);
        (context.report)(Event::Advanced { bytes: blob.size });
        (context.report)(Event::Finished { url: &shown, cached: !new });
        Ok(())
    };
    each(&blobs, THREADS, |item| item.descriptor().size, upload)?;
    for item in documents {
        match item {
            Item::Blob(_) => {}
            Item::Document(descriptor, bytes) => {
                let name = if descriptor.digest == root.digest {
                    wanted.clone()
                } else {
                    descriptor.digest.to_string()
                };
                push_document(&session, descriptor, bytes, &name)?;
            }
        }
    }
    Ok(Pushed { digest: root.digest, sent: sent.into_inner(), there: there.into_inner() })
}

/// Makes the registry have a blob; says whether it was sent.
fn push_blob(
    session: &Session<'_>,
    source: &dyn BlobSource,
    blob: &Descriptor,
    sibling: Option<&str>,
) -> Result<bool, OciError> {
    let at = session.url(&format!("blobs/{}", blob.digest));
    let answer = session.head(&at)?;
    session.expect(&answer, &[200, 404])?;
    if answer.status == 200 {
        return Ok(false);
    }
    let mount = sibling.map(|from| format!("?mount={}&from={}", blob.digest, percent_encoded(from)));
    let url = session.url(&format!("blobs/uploads/{}", mount.unwrap_or_default()));
    let order =
        Order { method: Method::Post, url: url.clone(), headers: Vec::new(), body: AskBody::Bytes(&[]) };
    let answer = session.send(&order)?;
    session.expect(&answer, &[201, 202])?;
    if answer.status == 201 {
        return Ok(false);
    }
    let place = answer.header("Location").and_then(|location| join(&url, location));
    let place = place.ok_or_else(|| OciError::Answer {
        reference: session.shown().to_owned(),
        problem: "it takes an upload and does not say where".to_owned(),
    })?;
    let separator = if place.contains('?') { '&' } else { '?' };
    let found = source.blob(blob)?;
    let answer = session.send(&Order {
        method: Method::Put,
        url: format!("{place}{separator}digest={}", percent_encoded(&blob.digest.to_string())),
        headers: vec![("Content-Type", "application/octet-stream".to_owned())],
        body: AskBody::File { file: &found.file, offset: found.offset, length: found.length },
    })?;
    session.expect(&answer, &[201])?;
    Ok(true)
}

fn push_document(
    session: &Session<'_>,
    descriptor: &Descriptor,
    bytes: &[u8],
    name: &str,
) -> Result<(), OciError> {
    verify(bytes, &descriptor.digest, "the manifest", session.shown())?;
    let answer = session.send(&Order {
        method: Method::Put,
        url: session.url(&format!("manifests/{name}")),
        headers: vec![("Content-Type", descriptor.media_type.clone())],
        body: AskBody::Bytes(bytes),
    })?;
    session.expect(&answer, &[201])?;
    match answer.header("Docker-Content-Digest").and_then(|digest| digest.parse().ok()) {
        Some(found) if found != descriptor.digest => Err(OciError::Digest {
            what: "the pushed manifest",
            reference: session.shown().to_owned(),
            expected: descriptor.digest,
            found,
        }),
        Some(_) | None => Ok(()),
    }
}

/// A `Location` as seen from `url` (RFC 9110 section 10.2.2): whole, or from the root of the same host.
fn join(url: &str, location: &str) -> Option<String> {
    if location.contains("://") {
        return Some(location.to_owned());
    }
    let host_end = url.find("://")? + 3;
    let root = host_end + url[host_end..].find('/')?;
    location.starts_with('/').then(|| format!("{}{location}", &url[..root]))
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn an_upload_goes_where_the_registry_says() {
        let url = "https://a.example/v2/x/blobs/uploads/";
        let whole = "https://b.example/up?state=1";
        assert_eq!(join(url, whole).as_deref(), Some(whole));
        assert_eq!(join(url, "/v2/up/7").as_deref(), Some("https://a.example/v2/up/7"));
        assert_eq!(join(url, "up/7"), None);
    }
}
