//! Signatures of a manifest, kept as cosign keeps them: an image beside the one that is signed, with a layer for each
//! signature. What a signature says, and who made it, is for others.
//!
//! ```text
//! in a repository    the tag sha256-<hex>.sig                                      (cosign, SIGNATURE_SPEC, "Storage")
//! in a layout        an entry of index.json of that name and of the kind SIGNATURES (cosign save)
//! ```
//!
//! `subject` names what is signed, so that a registry that knows referrers lists it (distribution specification 1.1).

use basalt_types::Digest;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

use super::{Descriptor, LayoutWriter, Manifest, OciError, document::media};

/// The media type of what is signed.
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of a layer with the signature, in base64.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The annotation in an index that says what an entry is, and what it says of signatures.
const KIND: &str = "kind";
const SIGNATURES: &str = "dev.cosignproject.cosign/sigs";
/// The largest payload that is read; ours have 200 bytes.
pub(super) const PAYLOAD_LIMIT: u64 = 64 << 10;
/// The most signatures of one manifest that are read.
const MOST: usize = 64;

/// A signature and what it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The bytes that were signed.
    pub payload: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// The documents of an image with one signature.
#[derive(Debug)]
pub struct SignatureImage {
    /// The tag of its manifest, or its name in an index.
    pub tag: String,
    /// Its manifest's descriptor, as an index has it.
    pub manifest: Descriptor,
    /// Everything that is new: payload, configuration, manifest.
    pub documents: Vec<(Descriptor, Vec<u8>)>,
}

/// The tag, or the name in an index, of the signatures of a manifest.
pub fn signature_tag(manifest: &Digest) -> String {
    format!("sha256-{}.sig", manifest.hex())
}

impl SignatureImage {
    /// The image with this signature of `subject`.
    ///
    /// # Errors
    /// When a document can't be written as JSON, which does not happen.
    pub fn new(subject: &Descriptor, signature: &Signature) -> Result<Self, serde_json::Error> {
        let mut layer = Descriptor::of(PAYLOAD, &signature.payload);
        layer.annotations.insert(SIGNATURE.to_owned(), BASE64_STANDARD.encode(&signature.signature));
        let config = serde_json::to_vec(&json!({
            "architecture": "", "os": "", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        }))?;
        let config = (Descriptor::of(media::CONFIG, &config), config);
        let subject = Descriptor { annotations: Default::default(), platform: None, ..subject.clone() };
        let manifest = serde_json::to_vec(&Manifest {
            schema_version: 2,
            media_type: Some(media::MANIFEST.to_owned()),
            artifact_type: None,
            config: config.0.clone(),
            layers: vec![layer.clone()],
            subject: Some(subject.clone()),
            annotations: Default::default(),
        })?;
        let mut described = Descriptor::of(media::MANIFEST, &manifest);
        described.annotations.insert(KIND.to_owned(), SIGNATURES.to_owned());
        let documents = vec![(layer, signature.payload.clone()), config, (described.clone(), manifest)];
        Ok(Self { tag: signature_tag(&subject.digest), manifest: described, documents })
    }

    /// Writes it into a layout, under its name.
    ///
    /// # Errors
    /// When the layout can't be written.
    pub fn write(&self, layout: &mut LayoutWriter) -> Result<(), OciError> {
        for (descriptor, bytes) in &self.documents {
            layout.insert(&descriptor.media_type, bytes)?;
        }
        layout.name(&self.manifest, Some(&self.tag))
    }
}

/// Whether an entry of an index is no image of its own but signatures of one.
pub(super) fn is_signatures(entry: &Descriptor) -> bool {
    entry.annotations.get(KIND).is_some_and(|kind| kind == SIGNATURES)
}

/// The layers of a manifest that are signatures, each with its signature.
pub(super) fn layers(manifest: &Manifest) -> impl Iterator<Item = (&Descriptor, Vec<u8>)> {
    let signatures = manifest.layers.iter().filter(|layer| layer.media_type == PAYLOAD).take(MOST);
    signatures.filter_map(|layer| {
        let signature = BASE64_STANDARD.decode(layer.annotations.get(SIGNATURE)?);
        signature.ok().map(|signature| (layer, signature))
    })
}
