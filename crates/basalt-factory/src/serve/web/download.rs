//! Files of builds: whole or in part (RFC 9110 section 14), with the SHA-256 as their tag.

use axum::http::{StatusCode, header};

use super::call::{Body, Call, Outcome, Refusal, Reply};
use crate::serve::{
    Site, service,
    state::{Artifact, Who},
};

/// The list of checksums, as sha256sum(1) reads it.
const SUMS: &str = "SHA256SUMS";

/// `GET /builds/{id}/files/{name}`.
pub(super) fn for_person(site: &Site, call: &Call) -> Outcome {
    let who = call.signed_in(site)?;
    file(site, call, &who)
}

/// A file of a build of the project.
pub(super) fn file(site: &Site, call: &Call, who: &Who) -> Outcome {
    let build = service::build(site, who, call.place("id"))?;
    let artifacts = site.state.artifacts(&build.id)?;
    let name = call.place("name");
    if name == SUMS && !artifacts.is_empty() {
        let lines: String =
            artifacts.iter().map(|file| format!("{}  {}\n", file.sha256, file.name)).collect();
        return Ok(Reply::of("text/plain; charset=utf-8", lines));
    }
    // The name is one that the build made, so no path leaves its folder.
    let found = artifacts.iter().find(|file| file.name == name).ok_or(Refusal::NotFound)?;
    artifact(site, call, &build.id, found)
}

/// A file that a build made.
pub(super) fn artifact(site: &Site, call: &Call, build: &str, artifact: &Artifact) -> Outcome {
    let path = site.state.build_folder(build).join("out").join(&artifact.name);
    let tag = format!("\"{}\"", artifact.sha256);
    let has_it = |value: &str| {
        value.split(',').any(|one| matches!(one.trim(), "*") || one.trim().trim_start_matches("W/") == tag)
    };
    let headers = |reply: Reply| {
        reply
            .with(header::ETAG, tag.clone())
            .with(header::ACCEPT_RANGES, "bytes")
            // The content never changes under its address, and only its project may have it.
            .with(header::CACHE_CONTROL, "private, max-age=86400")
            .with(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", plain(&artifact.name)))
    };
    if call.header(header::IF_NONE_MATCH).is_some_and(has_it) {
        return Ok(headers(Reply::of(kind(&artifact.name), Vec::new())).with_status(StatusCode::NOT_MODIFIED));
    }
    let fresh = call.header(header::IF_RANGE).is_none_or(|value| value == tag);
    let range = call.header(header::RANGE).filter(|_| fresh).map_or(Range::All, |text| parse(text, artifact));
    let size = artifact.size;
    let mut reply = headers(Reply::of(kind(&artifact.name), Vec::new()));
    reply.body = match range {
        Range::All => Body::File { path, start: 0, length: size },
        Range::Part { first, last } => {
            reply = reply
                .with_status(StatusCode::PARTIAL_CONTENT)
                .with(header::CONTENT_RANGE, format!("bytes {first}-{last}/{size}"));
            Body::File { path, start: first, length: last - first + 1 }
        }
        Range::Outside => {
            return Ok(headers(Reply::of("text/plain; charset=utf-8", Vec::new()))
                .with_status(StatusCode::RANGE_NOT_SATISFIABLE)
                .with(header::CONTENT_RANGE, format!("bytes */{size}")));
        }
    };
    Ok(reply)
}

/// What of a file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    All,
    Part { first: u64, last: u64 },
    Outside,
}

/// One range of bytes. What is no range, or several, is answered with the whole, as the RFC allows.
fn parse(text: &str, artifact: &Artifact) -> Range {
    let size = artifact.size;
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-'))
    else {
        return Range::All;
    };
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first > last => Range::All,
        (Ok(first), _) if first >= size => Range::Outside,
        (Ok(first), Ok(last)) => Range::Part { first, last: last.min(size - 1) },
        (Ok(first), Err(_)) if last.is_empty() => Range::Part { first, last: size - 1 },
        (Err(_), Ok(0)) if first.is_empty() => Range::Outside,
        (Err(_), Ok(_)) if first.is_empty() && size == 0 => Range::Outside,
        (Err(_), Ok(count)) if first.is_empty() => {
            Range::Part { first: size.saturating_sub(count), last: size - 1 }
        }
        (Ok(_) | Err(_), Ok(_) | Err(_)) => Range::All,
    }
}

fn kind(name: &str) -> &'static str {
    if name.ends_with(".json") { "application/json" } else { "application/octet-stream" }
}

/// A name that needs no escapes in a header.
fn plain(name: &str) -> String {
    name.chars().filter(|letter| letter.is_ascii_alphanumeric() || "._-+".contains(*letter)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Range, parse};
    use crate::serve::state::Artifact;

    #[test]
    fn ranges_are_those_of_the_rfc() {
        let file = Artifact { name: "a".to_owned(), size: 100, sha256: String::new() };
        let part = |first, last| Range::Part { first, last };
        for (text, range) in [
            ("bytes=0-9", part(0, 9)),
            ("bytes=90-", part(90, 99)),
            ("bytes=-10", part(90, 99)),
            ("bytes=-1000", part(0, 99)),
            ("bytes=0-1000", part(0, 99)),
            ("bytes=100-", Range::Outside),
            ("bytes=-0", Range::Outside),
            ("bytes=9-0", Range::All),
            ("bytes=0-1,5-6", Range::All),
            ("bytes=a-b", Range::All),
            ("items=0-1", Range::All),
            ("bytes=-", Range::All),
        ] {
            assert_eq!(parse(text, &file), range, "{text}");
        }
        let empty = Artifact { size: 0, ..file };
        assert_eq!(parse("bytes=0-", &empty), Range::Outside);
        assert_eq!(parse("bytes=-1", &empty), Range::Outside);
    }
}
