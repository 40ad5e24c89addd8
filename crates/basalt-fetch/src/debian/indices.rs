use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use basalt_debian::release::{Listed, Release};
use basalt_types::{Architecture, Digest};

use super::{Context, DebianError, Index, Source, obtain};
use crate::{
    http::{Expected, HttpError},
    store::{Check, Found},
};

/// How an index may be compressed, the smallest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Xz,
    Zstd,
    Gzip,
    Plain,
}

const PACKINGS: [Packing; 4] = [Packing::Xz, Packing::Zstd, Packing::Gzip, Packing::Plain];

impl Packing {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
            Self::Plain => "",
        }
    }
}

/// Fetches the Packages index of each component of a source.
pub(super) fn fetch(
    context: Context<'_>,
    source: &Source,
    release: &Release,
    architecture: Architecture,
) -> Result<Vec<Index>, DebianError> {
    let mut indices = Vec::new();
    for component in &source.components {
        let path = format!("{component}/binary-{}/Packages", architecture.debian());
        let text = fetch_one(context, source, release, &path)?.ok_or_else(|| DebianError::NoIndex {
            url: source.url.clone(),
            suite: source.suite.clone(),
            component: component.clone(),
            architecture,
            components: release.components.clone(),
        })?;
        indices.push(Index { component: component.clone(), text });
        if release.separate_all {
            let path = format!("{component}/binary-all/Packages");
            if let Some(text) = fetch_one(context, source, release, &path)? {
                indices.push(Index { component: component.clone(), text });
            }
        }
    }
    Ok(indices)
}

/// The text of one index; nothing if the Release file does not list it.
fn fetch_one(
    context: Context<'_>,
    source: &Source,
    release: &Release,
    path: &str,
) -> Result<Option<String>, DebianError> {
    let plain = release.files.get(path);
    let listed = |packing: Packing| {
        let path = format!("{path}{}", packing.suffix());
        release.files.get(&path).map(|listed| (packing, path, *listed))
    };
    let Some((packing, path, packed)) = PACKINGS.into_iter().find_map(listed) else { return Ok(None) };
    // The unpacked text is kept too: unpacking takes longer than everything that follows.
    if let Some(plain) = plain
        && let Found::Whole(file) = context.store.get(&plain.digest, Some(plain.size), Check::Content)?
    {
        return read(&file, &path).map(Some);
    }
    let (file, url) = obtain_listed(context, source, release, &path, packed)?;
    let text = unpack(packing, &file, plain, &url)?;
    if packing != Packing::Plain && plain.is_some() {
        context.store.insert(text.as_bytes())?;
    }
    Ok(Some(text))
}

/// Fetches a listed file by its digest where the archive offers that, so that a mirror that is being updated gives the
/// file that the Release file means; else, or if that is absent, by its name.
fn obtain_listed(
    context: Context<'_>,
    source: &Source,
    release: &Release,
    path: &str,
    Listed { size, digest }: Listed,
) -> Result<(PathBuf, String), DebianError> {
    let root = format!("{}/dists/{}", source.url, source.suite);
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let by_hash = format!("{root}/{folder}/by-hash/SHA256/{}", digest.hex());
    let by_name = format!("{root}/{path}");
    if release.by_hash {
        match obtain(context, &Expected { url: by_hash.clone(), digest, size }) {
            Ok(file) => return Ok((file, by_hash)),
            Err(HttpError::Status { status: 404, .. } | HttpError::File { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let file = obtain(context, &Expected { url: by_name.clone(), digest, size })?;
    Ok((file, by_name))
}

fn unpack(packing: Packing, file: &Path, plain: Option<&Listed>, url: &str) -> Result<String, DebianError> {
    let damaged = |problem: String| DebianError::Index { url: url.to_owned(), problem };
    let open = || File::open(file).map_err(|error| damaged(error.to_string()));
    let bytes = match packing {
        Packing::Plain => return read(file, url),
        Packing::Xz => collect(liblzma::read::XzDecoder::new(open()?), plain),
        Packing::Gzip => collect(flate2::read::GzDecoder::new(open()?), plain),
        Packing::Zstd => zstd::Decoder::new(open()?).and_then(|decoder| collect(decoder, plain)),
    };
    let bytes = bytes.map_err(|error| damaged(error.to_string()))?;
    // The packed file's digest was right, so this guards against an archive that contradicts itself.
    if let Some(plain) = plain
        && Digest::of(&bytes) != plain.digest
    {
        return Err(damaged("it unpacks to something else than the Release file lists".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| damaged(error.to_string()))
}

/// Reads at most what is listed and one byte, or 1 GiB if nothing is: a small file can't fill the memory.
fn collect(from: impl Read, plain: Option<&Listed>) -> io::Result<Vec<u8>> {
    let limit = plain.map_or(1 << 30, |plain| plain.size);
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it unpacks to more than {limit} bytes")));
    }
    Ok(bytes)
}

fn read(file: &Path, url: &str) -> Result<String, DebianError> {
    fs::read_to_string(file)
        .map_err(|error| DebianError::Index { url: url.to_owned(), problem: error.to_string() })
}
