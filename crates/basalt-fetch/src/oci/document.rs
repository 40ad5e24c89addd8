//! The JSON documents of an image. Only what is used is a field; the bytes are kept as they came.

use std::collections::BTreeMap;

use basalt_types::{Architecture, Digest};
use serde::{Deserialize, Serialize};

/// Media types (image specification, "OCI Image Media Types"), and the older ones that registries still serve.
pub mod media {
    /// An index: manifests of several platforms.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// A manifest: one image or artifact.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An image's configuration.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// A layer, not compressed.
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// A layer, by gzip.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A layer, by Zstandard.
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker's index.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's manifest, second schema.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker's layers, all by gzip, or not compressed without the suffix.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

    /// Whether a media type is an index's.
    pub fn is_index(kind: &str) -> bool {
        [INDEX, DOCKER_LIST].contains(&kind)
    }

    /// Whether a media type is a manifest's.
    pub fn is_manifest(kind: &str) -> bool {
        [MANIFEST, DOCKER_MANIFEST].contains(&kind)
    }

    /// Whether a media type is a layer's that holds a file tree in the clear.
    pub fn is_layer(kind: &str) -> bool {
        let plain = kind.trim_end_matches("+gzip").trim_end_matches("+zstd").trim_end_matches(".gzip");
        [LAYER, DOCKER_LAYER, "application/vnd.docker.image.rootfs.diff.tar.zstd"].contains(&plain)
    }
}

/// Names some bytes (image specification, "OCI Content Descriptors").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What they are.
    pub media_type: String,
    /// Their digest.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// For whom they are, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What somebody said about them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A kind of machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The processor, in Go's names, of which ours are two: `amd64`, `arm64`.
    pub architecture: String,
    /// The system: `linux`.
    pub os: String,
    /// The processor's kind, such as `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Manifests of several platforms, or of several images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2.
    pub schema_version: u32,
    /// [`media::INDEX`]; older documents leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// In the order of preference.
    pub manifests: Vec<Descriptor>,
}

/// One image or artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// [`media::MANIFEST`]; older documents leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What an artifact is, when it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// Layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about, such as the one that it signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// What somebody said about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An image's configuration, as far as a base of a machine's image is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// The processor.
    pub architecture: String,
    /// The system.
    pub os: String,
    /// When it was made (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The layers' own digests.
    pub rootfs: RootFs,
}

/// The layers' own digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The digests of the layers before they were compressed, the lowest first.
    pub diff_ids: Vec<Digest>,
}

impl Descriptor {
    /// The descriptor of `bytes`.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }
}

impl Platform {
    /// Linux on this processor.
    pub fn linux(architecture: Architecture) -> Self {
        let architecture = architecture.debian().to_owned();
        Self { architecture, os: "linux".to_owned(), variant: None }
    }

    /// Whether an image for `offered` runs here. A variant is asked for only when one is wanted: every arm64 is `v8`.
    pub fn accepts(&self, offered: &Self) -> bool {
        self.os == offered.os
            && self.architecture == offered.architecture
            && self.variant.as_ref().is_none_or(|wanted| offered.variant.as_ref() == Some(wanted))
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { architecture, os, variant } = self;
        write!(f, "{os}/{architecture}")?;
        variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}
