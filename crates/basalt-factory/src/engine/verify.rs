//! Checks a release as a machine does before, while and after it writes it, and all of it.
//!
//! ```text
//! manifest ─signature?→ configuration, index ─add up?→ packs ─digests?→ root, UKI ─root hash?→ Checked
//! ```

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use basalt_fetch::oci::{Artifact, Descriptor, OciError};
use basalt_formats::{
    WriteAt,
    chunks::{
        AssembleError, Assembly, Coalescing, FetchRange, FetchStep, Index, IndexError, Owned, Part, Plan,
        assemble,
    },
    uki::{self, UkiError},
    verity::{self, LeafHashes, Params, Salt, VerityError},
};
use basalt_image::update::{self, Contradiction, UpdateInfo};
use basalt_trust::{
    authenticode::{self, AuthenticodeError},
    common_name,
    release::{ReleaseKey, SignatureError, verify_any},
};
use basalt_types::Digest;
use thiserror::Error;

/// What was found out of a release in which everything fits.
#[derive(Debug)]
pub struct Checked {
    /// The digest of its manifest.
    pub manifest: Digest,
    /// How many signatures are kept beside it.
    pub signatures: usize,
    /// The key that signed it, if it was one of those that were asked for.
    pub signed_by: Option<Digest>,
    /// What it says of itself.
    pub info: UpdateInfo,
    /// How many packs it has, and their bytes.
    pub packs: (usize, u64),
    /// How many chunks it is put together from.
    pub chunks: usize,
    /// Who signed its kernel image for firmware.
    pub boot_signers: Vec<String>,
    /// Whether its kernel image has signatures of what a TPM will hold.
    pub has_policy: bool,
}

/// What does not fit.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// It can't be had, or is not what its digests say.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// It is something else.
    #[error("it is no update artifact: its artifact type is `{0}`")]
    OtherType(String),
    /// Nobody signed it.
    #[error("the release {0} is not signed")]
    Unsigned(Digest),
    /// Nobody who may signed it.
    #[error("no signature of the release {manifest} counts")]
    Signature {
        /// The release.
        manifest: Digest,
        /// Why the last one does not.
        source: SignatureError,
    },
    /// What it says of itself can't be understood.
    #[error("what the release says of itself can't be understood")]
    Info(#[source] serde_json::Error),
    /// Its index can't be used.
    #[error("the chunk index of the release can't be used")]
    Index(#[from] IndexError),
    /// Its parts contradict each other.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// It can't be put together.
    #[error("the release can't be put together from its chunks")]
    Assemble(#[from] AssembleError),
    /// Its hash tree can't be made.
    #[error("the hash tree of the release can't be made")]
    Verity(#[from] VerityError),
    /// The root is another one.
    #[error("the root has the root hash {found}, and the release says {expected}")]
    RootHash {
        /// Of the bytes.
        found: Digest,
        /// What the release says.
        expected: Digest,
    },
    /// The kernel image is another one.
    #[error("the kernel image has the digest {found}, and the release says {expected}")]
    UkiDigest {
        /// Of the bytes.
        found: Digest,
        /// What the release says.
        expected: Digest,
    },
    /// It is no kernel image.
    #[error("the kernel image of the release can't be read")]
    Uki(#[from] UkiError),
    /// It starts another root.
    #[error("the kernel image starts the root {found}, and the release has {expected}")]
    OtherRoot {
        /// What its command line says.
        found: String,
        /// The root of the release.
        expected: Digest,
    },
    /// Its signatures for firmware are of other bytes.
    #[error("the kernel image's signature for firmware does not hold")]
    Authenticode(#[from] AuthenticodeError),
}

/// Checks all of a release. With keys, one of them must have signed it.
///
/// # Errors
/// The first thing that does not fit.
pub fn verify(artifact: &Artifact<'_>, keys: &[ReleaseKey]) -> Result<Checked, VerifyError> {
    let manifest = artifact.digest();
    let signatures = artifact.signatures()?;
    let count = signatures.len();
    let signed_by = match keys.is_empty() {
        true => None,
        false => {
            let signatures = signatures.into_iter().map(|one| (one.payload, one.signature));
            let key = verify_any(keys, &manifest, signatures)
                .map_err(|source| VerifyError::Signature { manifest, source })?;
            Some(key.ok_or(VerifyError::Unsigned(manifest))?.id())
        }
    };
    let (info, index, packs) = describe(artifact)?;
    let uki = put_together(artifact, &info, &index, packs)?;
    let kernel = uki::read(&uki)?;
    let starts = kernel.cmdline.split_whitespace().find_map(|word| word.strip_prefix("roothash="));
    if starts != Some(&info.root.digest.hex()) {
        let found = starts.unwrap_or("(none)").to_owned();
        return Err(VerifyError::OtherRoot { found, expected: info.root.digest });
    }
    Ok(Checked {
        manifest,
        signatures: count,
        signed_by,
        packs: (packs.len(), packs.iter().map(|pack| pack.size).sum()),
        chunks: index.chunks().len(),
        boot_signers: authenticode::verify(&uki)?.iter().map(common_name).collect(),
        has_policy: kernel.sections.iter().any(|(name, _)| name == ".pcrsig"),
        info,
    })
}

/// Its configuration, its index and its packs, which speak of the same bytes.
fn describe<'a>(artifact: &'a Artifact<'_>) -> Result<(UpdateInfo, Index, &'a [Descriptor]), VerifyError> {
    let manifest = artifact.manifest();
    let kind = manifest.artifact_type.as_deref().unwrap_or(&manifest.config.media_type);
    let Some((index, packs)) = manifest.layers.split_first().filter(|_| kind == update::ARTIFACT) else {
        return Err(VerifyError::OtherType(kind.to_owned()));
    };
    let info = artifact.blob(&manifest.config, "the configuration", update::INFO_LIMIT)?;
    let info: UpdateInfo = serde_json::from_slice(&info).map_err(VerifyError::Info)?;
    let index = Index::parse_packed(&artifact.blob(index, "the chunk index", Index::LIMIT)?)?;
    let described: Vec<_> = packs.iter().map(|pack| (pack.digest, pack.size)).collect();
    info.add_up(&index, &described)?;
    Ok((info, index, packs))
}

/// Puts root and kernel image together, and gives the kernel image. The root is only hashed.
fn put_together(
    artifact: &Artifact<'_>,
    info: &UpdateInfo,
    index: &Index,
    packs: &[Descriptor],
) -> Result<Vec<u8>, VerifyError> {
    let salt = Salt::new(info.verity.salt_bytes().unwrap_or_default())?;
    let data_blocks = info.root.size.get() / verity::BLOCK_SIZE as u64;
    let root = Hashed(LeafHashes::new(Params { salt, uuid: info.verity.uuid, data_blocks })?);
    let uki = Memory(Mutex::new(Vec::new()));
    let sinks: [(Part, &dyn WriteAt); 2] = [(Part::Root, &root), (Part::Uki, &uki)];
    let plan = Plan::new(index, &Owned::default(), Coalescing::DEFAULT);
    let mut packs = Packs { artifact, packs, last: None };
    assemble(&Assembly::new(index, &sinks)?, &plan, &[], &mut packs)?;
    let (found, expected) = (root.0.finish()?.root, info.root.digest);
    if found != expected {
        return Err(VerifyError::RootHash { found, expected });
    }
    let uki = uki.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    match Digest::of(&uki) {
        found if found == info.uki.digest => Ok(uki),
        found => Err(VerifyError::UkiDigest { found, expected: info.uki.digest }),
    }
}

/// Packs whole, each with the digest that the manifest says; the last one is kept.
struct Packs<'a> {
    artifact: &'a Artifact<'a>,
    packs: &'a [Descriptor],
    last: Option<(u32, Vec<u8>)>,
}

impl FetchRange for Packs<'_> {
    fn fetch(&mut self, step: &FetchStep) -> io::Result<Vec<u8>> {
        let whole = match self.last.take() {
            Some((number, bytes)) if number == step.pack => bytes,
            Some(_) | None => {
                let pack = self.packs.get(step.pack as usize).ok_or(io::ErrorKind::NotFound)?;
                self.artifact.blob(pack, "a pack", update::PACK_LIMIT).map_err(io::Error::other)?
            }
        };
        let number = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let (offset, length) = (number(step.offset), number(step.length));
        let part = whole.get(offset..).and_then(|rest| rest.get(..length)).map(<[u8]>::to_vec);
        self.last = Some((step.pack, whole));
        part.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Takes whole blocks at any offset and keeps their hashes.
struct Hashed(LeafHashes);

impl WriteAt for Hashed {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.feed(offset / verity::BLOCK_SIZE as u64, bytes).map_err(io::Error::other)
    }
}

/// Takes bytes at any offset.
struct Memory(Mutex<Vec<u8>>);

impl WriteAt for Memory {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = start + bytes.len();
        if memory.len() < end {
            memory.resize(end, 0);
        }
        memory[start..end].copy_from_slice(bytes);
        Ok(())
    }
}
