//! The factory as a registry to pull from (OCI Distribution 1.1, "Pull"): what a build wrote as an OCI archive, straight from it.
//!
//! ```text
//! factory/NAME:VERSION      the update artifact of the newest build of this name and version (output `oci`)
//! container/NAME:VERSION    the container image (output `container`)
//! ```
//!
//! `NAME` is an image's name or a build's id. Who pulls is known by a token with the scope `read`, as the password of any user
//! (RFC 7617) or as a bearer's. Nothing can be pushed.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use axum::http::{HeaderName, StatusCode, header};
use basalt_types::Digest;
use serde_json::{Value, json};

use super::{
    call::{Body, Call, Outcome, Refusal, Reply},
    router::{Reader, Route, Verb},
};
use crate::{
    error::chain,
    serve::{
        Site,
        state::{Build, BuildState, Scope, Who},
    },
};

/// The largest index or manifest that is read.
const LARGEST_DOCUMENT: u64 = 4 << 20;
const DIGEST_HEADER: HeaderName = HeaderName::from_static("docker-content-digest");

/// The routes.
pub(super) fn routes() -> Vec<Route> {
    let get = |path, handler| Route { method: Verb::Get, path, reader: Reader::Program, handler };
    vec![
        get("/v2/", |site, call| answer(ping(site, call))),
        get("/v2/{kind}/{name}/tags/list", |site, call| answer(tags(site, call))),
        get("/v2/{kind}/{name}/manifests/{reference}", |site, call| answer(manifest(site, call))),
        get("/v2/{kind}/{name}/blobs/{reference}", |site, call| answer(blob(site, call))),
    ]
}

fn ping(site: &Site, call: &Call) -> Outcome {
    who(site, call)?;
    Ok(Reply::json(&json!({})))
}

fn tags(site: &Site, call: &Call) -> Outcome {
    let who = who(site, call)?;
    let builds = builds(site, &who, call)?;
    let mut tags: Vec<&str> = builds.iter().map(|(build, _)| build.version.as_str()).collect();
    tags.dedup();
    let name = format!("{}/{}", call.place("kind"), call.place("name"));
    Ok(Reply::json(&json!({ "name": name, "tags": tags })))
}

fn manifest(site: &Site, call: &Call) -> Outcome {
    let who = who(site, call)?;
    let reference = call.place("reference");
    for (build, path) in builds(site, &who, call)? {
        let archive = Archive::open(&path).map_err(|error| broken(&path, &error))?;
        let Some(listed) = archive.manifest().map_err(|error| broken(&path, &error))? else { continue };
        if reference == listed || reference == build.version || reference == "latest" {
            let text = archive.document(&blob_path(&listed)).map_err(|error| broken(&path, &error))?;
            let kind = serde_json::from_slice::<Value>(&text).unwrap_or_default();
            let kind =
                kind["mediaType"].as_str().unwrap_or("application/vnd.oci.image.manifest.v1+json").to_owned();
            return Ok(Reply::of(&kind, text).with(DIGEST_HEADER, listed));
        }
    }
    Err(Refusal::NotFound)
}

fn blob(site: &Site, call: &Call) -> Outcome {
    let who = who(site, call)?;
    let digest: Digest = call.place("reference").parse().map_err(|_not_one| Refusal::NotFound)?;
    for (_, path) in builds(site, &who, call)? {
        let archive = Archive::open(&path).map_err(|error| broken(&path, &error))?;
        let Some((start, length)) = archive.files.get(&blob_path(&digest.to_string())).copied() else {
            continue;
        };
        let mut reply =
            Reply::of("application/octet-stream", Vec::new()).with(DIGEST_HEADER, digest.to_string());
        reply.body = Body::File { path, start, length };
        return Ok(reply);
    }
    Err(Refusal::NotFound)
}

/// The project's builds of this name that have such an archive, the newest first.
fn builds(site: &Site, who: &Who, call: &Call) -> Result<Vec<(Build, PathBuf)>, Refusal> {
    let ending = match call.place("kind") {
        "factory" => ".oci.tar",
        "container" => ".container.tar",
        _other => return Err(Refusal::NotFound),
    };
    let name = call.place("name");
    let mut found = Vec::new();
    for build in site.state.builds_named(who.account.project, name)? {
        if build.state != BuildState::Succeeded {
            continue;
        }
        let artifacts = site.state.artifacts(&build.id)?;
        if let Some(file) = artifacts.iter().find(|file| file.name.ends_with(ending)) {
            let path = site.state.build_folder(&build.id).join("out").join(&file.name);
            found.push((build, path));
        }
    }
    if found.is_empty() { Err(Refusal::NotFound) } else { Ok(found) }
}

/// An OCI layout in a tar archive: where each file of it begins and how long it is.
struct Archive {
    file: File,
    files: BTreeMap<String, (u64, u64)>,
}

impl Archive {
    fn open(path: &Path) -> io::Result<Self> {
        let mut archive = tar::Archive::new(File::open(path)?);
        let mut files = BTreeMap::new();
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            let name = entry.path()?.to_string_lossy().into_owned();
            files.insert(name, (entry.raw_file_position(), entry.size()));
        }
        Ok(Self { file: archive.into_inner(), files })
    }

    /// The digest of the manifest; ours have one.
    fn manifest(&self) -> io::Result<Option<String>> {
        let index: Value = serde_json::from_slice(&self.document("index.json")?)?;
        Ok(index["manifests"][0]["digest"].as_str().map(str::to_owned))
    }

    fn document(&self, name: &str) -> io::Result<Vec<u8>> {
        let (start, length) = self.files.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        if length > LARGEST_DOCUMENT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Where a layout keeps a blob.
fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn broken(path: &Path, error: &io::Error) -> Refusal {
    Refusal::Broken(format!("{}: {}", path.display(), chain(error)))
}

fn who(site: &Site, call: &Call) -> Result<Who, Refusal> {
    call.token(site, Scope::Read)
}

/// Refusals in the words of the specification ("Error Codes").
fn answer(outcome: Outcome) -> Outcome {
    let refusal = match outcome {
        Ok(reply) => return Ok(reply),
        Err(refusal @ Refusal::Broken(_)) => return Err(refusal),
        Err(refusal) => refusal,
    };
    let code = match refusal.status() {
        StatusCode::NOT_FOUND => "NAME_UNKNOWN",
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::FORBIDDEN => "DENIED",
        _other => "UNSUPPORTED",
    };
    let status = refusal.status();
    let reply =
        Reply::json(&json!({"errors": [{"code": code, "message": refusal.message()}]})).with_status(status);
    Ok(match status {
        StatusCode::UNAUTHORIZED => reply.with(header::WWW_AUTHENTICATE, "Basic realm=\"Basalt factory\""),
        _other => reply,
    })
}
