//! What a build says of its result: beside the artifacts ([`Manifest`]) and inside the image ([`ImageInfo`]).

use basalt_types::{Architecture, ByteSize, Digest, ImageName, ImageVersion, PartLabel};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    canonical,
    lock::without_position,
    recipe::{FileSystem, Output},
};

/// The version of the manifest's format that this crate writes and reads.
pub const MANIFEST_VERSION: u32 = 1;

/// `NAME.manifest.json`: what was built, and from what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// The format: 1.
    pub format: u32,
    /// The image's name.
    pub name: ImageName,
    /// The image's version.
    pub version: ImageVersion,
    /// The image's id: [`crate::ResolvedRecipe::id`].
    pub id: Digest,
    /// The processor that it is for.
    pub architecture: Architecture,
    /// Unix seconds: every time in the image is at most this.
    pub epoch: u64,
    /// The root hash of dm-verity, which the kernel's command line names. None when no output boots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_hash: Option<Digest>,
    /// The digest of the lock's content: [`crate::Lock::content_digest`].
    pub lock: Digest,
    /// How many packages are in the image.
    pub packages: u32,
    /// The kernel's release as `uname -r` says it. None when no output boots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The version of Basalt that built it.
    pub tool: String,
    /// The partitions of the disk, in the order on the disk. Every output that is a disk has them.
    pub partitions: Vec<ManifestPartition>,
    /// The files that were made.
    pub artifacts: Vec<Artifact>,
}

/// One partition of the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestPartition {
    /// Its GPT label.
    pub label: PartLabel,
    /// Its first byte.
    pub offset: u64,
    /// How many bytes it has.
    pub size: ByteSize,
    /// How many of them hold content.
    pub used: ByteSize,
}

/// One file that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Artifact {
    /// The output that it belongs to.
    pub output: Output,
    /// Its name, beside the manifest.
    pub file: String,
    /// How many bytes it has, holes included.
    pub size: u64,
    /// The digest of its bytes. A disk has none: most of it are holes, and what counts of it is named by the root hash
    /// and by the digest of the UKI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// `/usr/lib/basalt/image.json`: what the image knows of itself.
///
/// `Layout` is the sizes of the partitions that the first boot makes (`basalt_image::layout::LayoutSpec`); it is a
/// parameter because the planner of layouts stands above this crate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageInfo<Layout> {
    /// The image's name.
    pub name: ImageName,
    /// The image's version.
    pub version: ImageVersion,
    /// The image's id: [`crate::ResolvedRecipe::id`].
    pub id: Digest,
    /// The processor that it is for.
    pub architecture: Architecture,
    /// The sizes of the partitions.
    pub layout: Layout,
    /// The file system of the data partition.
    pub data_file_system: FileSystem,
}

/// Why a text is not a document of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON, or not of this shape.
    #[error("line {line}, column {column}: {message}")]
    Shape {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// Written by another version of Basalt.
    #[error("the manifest has format {0}, and this program reads {MANIFEST_VERSION}")]
    Format(u32),
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// When it is not of the exact shape that [`Manifest::to_json`] writes.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let Head { format } = parse(text)?;
        if format != MANIFEST_VERSION {
            return Err(DocumentError::Format(format));
        }
        parse(text)
    }

    /// The manifest as its file has it: pretty JSON and a newline.
    pub fn to_json(&self) -> String {
        canonical::pretty(self)
    }
}

impl<Layout: Serialize + DeserializeOwned> ImageInfo<Layout> {
    /// Where it is in an image.
    pub const PATH: &'static str = "/usr/lib/basalt/image.json";

    /// Reads what an image says of itself.
    ///
    /// # Errors
    /// When it is not of the exact shape that [`ImageInfo::to_json`] writes.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        parse(text)
    }

    /// The text of the file: pretty JSON and a newline.
    pub fn to_json(&self) -> String {
        canonical::pretty(self)
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, DocumentError> {
    serde_json::from_str(text).map_err(|error| DocumentError::Shape {
        line: error.line(),
        column: error.column(),
        message: without_position(&error),
    })
}
