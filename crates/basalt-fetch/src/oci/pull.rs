//! From a reference to a manifest, and from a manifest to files in the store.

use std::path::PathBuf;

use basalt_types::{Digest, ImageRef};

use super::{
    Access, Descriptor, ImageConfig, Index, Manifest, OciError, Platform,
    document::media,
    source::{Source, verify},
};
use crate::obtain::{Context, each};

/// One image or artifact, by its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// How it was asked for.
    pub reference: ImageRef,
    /// What names its manifest: media type, digest, size.
    pub descriptor: Descriptor,
    /// The manifest's bytes, as they came.
    pub bytes: Vec<u8>,
    /// What they say.
    pub manifest: Manifest,
}

/// An image whose files are in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its configuration.
    pub config: ImageConfig,
    /// Its layers as they were sent, the lowest first.
    pub layers: Vec<PathBuf>,
}

/// How many blobs are fetched at once.
const THREADS: usize = 4;
/// How deep indices may hold indices.
const DEPTH: usize = 4;
/// The most layers that an image may have; overlay file systems end far below.
const LAYERS: usize = 1024;
/// The largest configuration.
const CONFIG_LIMIT: u64 = 16 << 20;

/// Finds out which manifest `reference` means for `platform`. Nothing of it is stored.
///
/// # Errors
/// When it is not there, not for the platform, or not what its digest says.
pub fn resolve(
    context: Context<'_>,
    access: &Access,
    reference: &ImageRef,
    platform: &Platform,
) -> Result<Image, OciError> {
    find(&Source::open(context.client, access, reference)?, reference, platform)
}

/// The same, where the source is open.
pub(super) fn find(
    source: &Source<'_>,
    reference: &ImageRef,
    platform: &Platform,
) -> Result<Image, OciError> {
    let shown = reference.to_string();
    let (mut bytes, mut kind) = source.named(&shown)?;
    for _ in 0..DEPTH {
        let sort = sort(&bytes, &kind, &shown)?;
        if media::is_manifest(&sort) {
            let manifest: Manifest = parse(&bytes, "the manifest", &shown)?;
            let descriptor = Descriptor::of(&sort, &bytes);
            return Ok(Image { reference: reference.clone(), descriptor, bytes, manifest });
        }
        let index: Index = parse(&bytes, "the index", &shown)?;
        let chosen = choose(&index, platform, &shown)?;
        bytes = source.document(&chosen, &shown)?;
        verify(&bytes, &chosen.digest, "the manifest", &shown)?;
        kind = chosen.media_type;
    }
    Err(OciError::Answer { reference: shown, problem: "its indices hold one another".to_owned() })
}

/// Fetches an image's configuration. An artifact that is no image is refused before anything is fetched.
///
/// # Errors
/// When it is no image for `platform`, or the configuration can't be had.
pub fn fetch_config(
    context: Context<'_>,
    access: &Access,
    image: &Image,
    platform: &Platform,
) -> Result<ImageConfig, OciError> {
    let shown = image.reference.to_string();
    check_image(&image.manifest, &shown)?;
    let wanted = std::slice::from_ref(&image.manifest.config);
    let files = fetch_blobs(context, access, &image.reference, wanted)?;
    let config = read_config(&files, &shown)?;
    let offered =
        Platform { architecture: config.architecture.clone(), os: config.os.clone(), variant: None };
    if !(Platform { variant: None, ..platform.clone() }).accepts(&offered) {
        let (wanted, offered) = (platform.to_string(), offered.to_string());
        return Err(OciError::Platform { reference: shown, wanted, offered });
    }
    let (named, there) = (config.rootfs.diff_ids.len(), image.manifest.layers.len());
    if named != there {
        let problem = format!("its configuration names {named} layers and its manifest {there}");
        return Err(OciError::Answer { reference: shown, problem });
    }
    Ok(config)
}

/// Fetches an image's configuration and layers.
///
/// # Errors
/// As [`fetch_config`], or when a layer can't be had.
pub fn fetch_image(
    context: Context<'_>,
    access: &Access,
    image: &Image,
    platform: &Platform,
) -> Result<Fetched, OciError> {
    let config = fetch_config(context, access, image, platform)?;
    let layers = fetch_blobs(context, access, &image.reference, &image.manifest.layers)?;
    Ok(Fetched { config, layers })
}

/// Fetches blobs of the image that `reference` names, and returns their paths in this order.
///
/// # Errors
/// When one can't be had.
pub fn fetch_blobs(
    context: Context<'_>,
    access: &Access,
    reference: &ImageRef,
    blobs: &[Descriptor],
) -> Result<Vec<PathBuf>, OciError> {
    let shown = reference.to_string();
    let source = Source::open(context.client, access, reference)?;
    each(blobs, THREADS, |blob| blob.size, |blob| source.blob(context, blob, &shown))
}

/// The media type of a document: what it says itself, or else what came with it.
fn sort(bytes: &[u8], kind: &str, shown: &str) -> Result<String, OciError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Head {
        #[serde(default)]
        media_type: Option<String>,
    }
    let Head { media_type } = parse(bytes, "the manifest", shown)?;
    let sort = media_type.unwrap_or_else(|| kind.to_owned());
    if media::is_manifest(&sort) || media::is_index(&sort) {
        return Ok(sort);
    }
    let advice = if sort.contains("docker.distribution.manifest.v1") {
        "it was pushed by a Docker older than 1.10; push it again with a newer one"
    } else {
        "expected an OCI or Docker (schema 2) manifest or index"
    };
    Err(OciError::Media { reference: shown.to_owned(), found: sort, advice })
}

/// The first manifest that runs on `platform`. One entry without a platform is taken as it is.
fn choose(index: &Index, platform: &Platform, shown: &str) -> Result<Descriptor, OciError> {
    let known =
        |entry: &&Descriptor| media::is_manifest(&entry.media_type) || media::is_index(&entry.media_type);
    let entries: Vec<&Descriptor> = index.manifests.iter().filter(known).collect();
    let fits = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|offered| platform.accepts(offered));
    if let Some(found) = entries.iter().copied().find(|entry| fits(entry)) {
        return Ok(found.clone());
    }
    if let [only] = entries[..]
        && only.platform.is_none()
    {
        return Ok(only.clone());
    }
    let mut offered: Vec<String> =
        entries.iter().filter_map(|entry| Some(entry.platform.as_ref()?.to_string())).collect();
    offered.sort();
    offered.dedup();
    let offered =
        if offered.is_empty() { "none that says its platform".to_owned() } else { offered.join(", ") };
    Err(OciError::Platform { reference: shown.to_owned(), wanted: platform.to_string(), offered })
}

fn check_image(manifest: &Manifest, shown: &str) -> Result<(), OciError> {
    let refuse = |found: &str, advice| {
        Err(OciError::Media { reference: shown.to_owned(), found: found.to_owned(), advice })
    };
    if ![media::CONFIG, media::DOCKER_CONFIG].contains(&manifest.config.media_type.as_str()) {
        return refuse(&manifest.config.media_type, "it is an artifact and no image");
    }
    if manifest.config.size > CONFIG_LIMIT {
        let problem = "its configuration is larger than 16 MiB".to_owned();
        return Err(OciError::Answer { reference: shown.to_owned(), problem });
    }
    if manifest.layers.len() > LAYERS {
        let problem = format!("it has {} layers, more than {LAYERS}", manifest.layers.len());
        return Err(OciError::Answer { reference: shown.to_owned(), problem });
    }
    match manifest.layers.iter().find(|layer| !media::is_layer(&layer.media_type)) {
        Some(layer) => refuse(
            &layer.media_type,
            "layers are plain tar or compressed by gzip or Zstandard, and neither encrypted nor kept elsewhere",
        ),
        None => Ok(()),
    }
}

fn read_config(files: &[PathBuf], shown: &str) -> Result<ImageConfig, OciError> {
    let mut bytes = Vec::new();
    for path in files {
        bytes = std::fs::read(path).map_err(|source| OciError::File {
            action: "read",
            path: path.clone(),
            source,
        })?;
    }
    parse(&bytes, "the configuration", shown)
}

/// Parses a document.
pub(super) fn parse<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    what: &'static str,
    shown: &str,
) -> Result<T, OciError> {
    serde_json::from_slice(bytes).map_err(|source| OciError::Document {
        what,
        reference: shown.to_owned(),
        source,
    })
}

/// Everything below a manifest or index, what others need first; the document itself comes last.
pub(super) fn closure(
    source: &dyn super::BlobSource,
    root: &Descriptor,
    shown: &str,
) -> Result<Vec<Item>, OciError> {
    let mut items = Vec::new();
    collect(source, root, shown, &mut items)?;
    let mut seen = std::collections::BTreeSet::<Digest>::new();
    items.retain(|item| seen.insert(item.descriptor().digest));
    Ok(items)
}

/// A part of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A configuration or layer.
    Blob(Descriptor),
    /// A manifest or index, and its bytes.
    Document(Descriptor, Vec<u8>),
}

impl Item {
    /// What names it.
    pub(super) fn descriptor(&self) -> &Descriptor {
        match self {
            Self::Blob(descriptor) | Self::Document(descriptor, _) => descriptor,
        }
    }
}

fn collect(
    source: &dyn super::BlobSource,
    root: &Descriptor,
    shown: &str,
    items: &mut Vec<Item>,
) -> Result<(), OciError> {
    // A document that names itself can't be made (its digest is in it), so this ends; its depth is bounded all the same.
    let mut pending = vec![(root.clone(), 0)];
    let mut documents = Vec::new();
    while let Some((descriptor, depth)) = pending.pop() {
        let bytes = super::source::read_document(source, &descriptor, shown)?;
        if media::is_index(&descriptor.media_type) && depth < DEPTH {
            let index: Index = parse(&bytes, "the index", shown)?;
            pending.extend(index.manifests.into_iter().map(|entry| (entry, depth + 1)));
        } else {
            let manifest: Manifest = parse(&bytes, "the manifest", shown)?;
            items.push(Item::Blob(manifest.config));
            items.extend(manifest.layers.into_iter().map(Item::Blob));
        }
        documents.push(Item::Document(descriptor, bytes));
    }
    items.extend(documents.into_iter().rev());
    Ok(())
}
