//! A release to upgrade to: its manifest, what it says of itself, and its index. Not a byte of its content.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use basalt_fetch::{
    http::Client,
    oci::{Access, Artifact, Descriptor, Manifest, OciError, Platform},
};
use basalt_formats::chunks::{FetchRange, FetchStep, Index, IndexError};
use basalt_image::update::{self, Contradiction, UpdateInfo};
use basalt_trust::release::{ReleaseKey, ReleaseKeyError, SignatureError, verify_any};
use basalt_types::{Architecture, Digest, ImageRef};

/// What a release must be to be believed.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    /// The digest of its manifest.
    pub(crate) digest: Option<Digest>,
    /// Who may sign it. When there are none, nobody must.
    pub(crate) keys: Vec<ReleaseKey>,
}

/// A release whose index adds up with what it says of itself.
#[derive(Debug)]
pub(crate) struct Release<'c> {
    pub(crate) info: UpdateInfo,
    pub(crate) index: Index,
    /// The key that signed it, when one had to.
    pub(crate) signed_by: Option<Digest>,
    pub(crate) content: Content<'c>,
}

/// Where its chunks are.
#[derive(Debug)]
pub(crate) struct Content<'c> {
    artifact: Artifact<'c>,
    packs: Vec<Descriptor>,
}

/// Why something is no release that this machine can take. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReleaseError {
    #[error(transparent)]
    Oci(#[from] OciError),
    #[error("the release has the digest {found}, and {expected} was asked for")]
    OtherDigest { found: Digest, expected: Digest },
    #[error(
        "the release {0} is not signed, and this machine takes only releases that one of its {1} keys signed"
    )]
    Unsigned(Digest, usize),
    #[error("no signature of the release {manifest} counts here")]
    Signature { manifest: Digest, source: SignatureError },
    #[error("this is no update: its artifact type is `{found}`, expected `{expected}`", expected = update::ARTIFACT)]
    OtherType { found: String },
    #[error("layer {number} of the release has the media type `{found}`, expected `{expected}`")]
    OtherLayer { number: usize, found: String, expected: &'static str },
    #[error("what the release says of itself can't be understood")]
    Info(#[source] serde_json::Error),
    #[error("the chunk index of the release can't be used")]
    Index(#[from] IndexError),
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
}

impl ReleaseError {
    /// What to do next.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Oci(_) => "nothing was written; running again begins anew",
            Self::OtherDigest { .. } => {
                "the tag was moved, or the registry is not the one that you think it is"
            }
            Self::Unsigned(..) => "sign it where it is built: `basalt build --keys` or `basalt push --keys`",
            Self::Signature { .. } => {
                "somebody else signed it, or it was changed; the keys are in /usr/lib/basalt/release-keys"
            }
            Self::OtherType { .. } => {
                "give the output `oci` of a build, or the registry that it was pushed to"
            }
            Self::OtherLayer { .. } | Self::Info(_) | Self::Index(_) | Self::Contradiction(_) => {
                "it is damaged or made by something else: build and push it again"
            }
        }
    }
}

/// Opens the release that `reference` means and reads what it says of itself.
pub(crate) fn release<'c>(
    client: &'c Client,
    access: &Access,
    reference: &ImageRef,
    architecture: Architecture,
    trust: &Trust,
) -> Result<Release<'c>, ReleaseError> {
    let artifact = Artifact::open(client, access, reference, &Platform::linux(architecture))?;
    let signed_by = trust.check(&artifact)?;
    let manifest = artifact.manifest();
    let (index, packs) = layers(manifest)?;
    let info = artifact.blob(&manifest.config, "the configuration", update::INFO_LIMIT)?;
    let info: UpdateInfo = serde_json::from_slice(&info).map_err(ReleaseError::Info)?;
    let index = Index::parse_packed(&artifact.blob(index, "the chunk index", Index::LIMIT)?)?;
    let described: Vec<_> = packs.iter().map(|pack| (pack.digest, pack.size)).collect();
    info.add_up(&index, &described)?;
    let packs = packs.to_vec();
    Ok(Release { info, index, signed_by, content: Content { artifact, packs } })
}

impl Trust {
    /// Whether to believe the manifest, on which everything else hangs by digests; gives the key that signed it.
    fn check(&self, artifact: &Artifact<'_>) -> Result<Option<Digest>, ReleaseError> {
        let manifest = artifact.digest();
        if let Some(expected) = self.digest.filter(|expected| *expected != manifest) {
            return Err(ReleaseError::OtherDigest { found: manifest, expected });
        }
        if self.keys.is_empty() {
            return Ok(None);
        }
        let signatures = artifact.signatures()?.into_iter().map(|one| (one.payload, one.signature));
        let key = verify_any(&self.keys, &manifest, signatures)
            .map_err(|source| ReleaseError::Signature { manifest, source })?;
        key.map(|key| Some(key.id())).ok_or(ReleaseError::Unsigned(manifest, self.keys.len()))
    }
}

/// The keys of the image that runs. One that can't be read is an error: with fewer keys, more would be believed.
pub(crate) fn release_keys(folder: &Path) -> Result<Vec<ReleaseKey>, KeyFileError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| KeyFileError::Read { path, source }
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => found.map_err(failed(folder))?,
    };
    let mut keys = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed(folder))?.path();
        let pem = fs::read_to_string(&path).map_err(failed(&path))?;
        keys.push(ReleaseKey::from_pem(&pem).map_err(|source| KeyFileError::Key { path, source })?);
    }
    Ok(keys)
}

/// Why the image's keys can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    #[error("can't read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("can't use {}", path.display())]
    Key { path: PathBuf, source: ReleaseKeyError },
}

/// The index and the packs.
fn layers(manifest: &Manifest) -> Result<(&Descriptor, &[Descriptor]), ReleaseError> {
    let kind = manifest.artifact_type.as_deref().unwrap_or(&manifest.config.media_type);
    let Some((index, packs)) = manifest.layers.split_first().filter(|_| kind == update::ARTIFACT) else {
        return Err(ReleaseError::OtherType { found: kind.to_owned() });
    };
    let expected = [update::INDEX].into_iter().chain(std::iter::repeat(update::PACK));
    let wrong =
        manifest.layers.iter().zip(expected).zip(0..).find(|((layer, kind), _)| layer.media_type != *kind);
    match wrong {
        Some(((layer, expected), number)) => {
            Err(ReleaseError::OtherLayer { number, found: layer.media_type.clone(), expected })
        }
        None => Ok((index, packs)),
    }
}

impl Content<'_> {
    /// The digest of the manifest.
    pub(crate) fn manifest(&self) -> Digest {
        self.artifact.digest()
    }
}

impl FetchRange for Content<'_> {
    fn fetch(&mut self, step: &FetchStep) -> io::Result<Vec<u8>> {
        let pack = self.packs.get(step.pack as usize).ok_or(io::ErrorKind::NotFound)?;
        self.artifact.range(pack, step.offset, step.length).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, OnceLock, atomic::AtomicBool};

    use basalt_fetch::{
        http::{Patience, Proxies},
        oci::{self, Layout, LayoutWriter, Signature, SignatureImage, media, signature_tag, write_archive},
    };
    use basalt_testkit::{Door, Registry};
    use basalt_trust::{
        LocalKey, PrivateKey, Sign as _, Validity, certificate_to_pem, release::payload, self_signed,
    };

    use super::*;
    use crate::execute::upgrade::fixtures::TestRelease;

    /// What is published: a release, or something that looks like one.
    struct Published {
        artifact: String,
        info: Vec<u8>,
        index: Vec<u8>,
        packs: Vec<Vec<u8>>,
    }

    impl Published {
        fn new() -> Self {
            let release = TestRelease::new("2.0", &[1, 2, 3, 4, 5, 0, 6]);
            Self {
                artifact: update::ARTIFACT.into(),
                info: serde_json::to_vec(&release.info).unwrap(),
                index: release.index.to_packed().unwrap(),
                packs: release.packs,
            }
        }

        /// As a layout in `folder` (image specification, "OCI Image Layout"); gives the manifest's descriptor.
        fn write(&self, folder: &Path) -> Descriptor {
            let blobs = folder.join("blobs/sha256");
            fs::create_dir_all(&blobs).unwrap();
            let put = |kind: &str, bytes: &[u8]| {
                fs::write(blobs.join(Digest::of(bytes).hex()), bytes).unwrap();
                Descriptor::of(kind, bytes)
            };
            let mut layers = vec![put(update::INDEX, &self.index)];
            layers.extend(self.packs.iter().map(|pack| put(update::PACK, pack)));
            let manifest = Manifest {
                schema_version: 2,
                media_type: Some(media::MANIFEST.into()),
                artifact_type: Some(self.artifact.clone()),
                config: put(update::CONFIG, &self.info),
                layers,
                subject: None,
                annotations: Default::default(),
            };
            let manifest = put(media::MANIFEST, &serde_json::to_vec(&manifest).unwrap());
            let manifests = vec![manifest.clone()];
            let index = oci::Index { schema_version: 2, media_type: None, manifests };
            fs::write(folder.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
            fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
            manifest
        }
    }

    fn client() -> Client {
        let patience = Patience { retries: 0, ..Patience::default() };
        Client::new(Proxies::default(), patience, Arc::new(AtomicBool::new(false))).unwrap()
    }

    fn open<T>(source: &str, trust: Trust, look: impl FnOnce(Release<'_>) -> T) -> Result<T, ReleaseError> {
        let (client, access) = (client(), Access { insecure: true, ..Access::default() });
        let source = source.parse().unwrap();
        release(&client, &access, &source, Architecture::Amd64, &trust).map(look)
    }

    fn digest(digest: Digest) -> Trust {
        Trust { digest: Some(digest), keys: Vec::new() }
    }

    /// Reads all of the content through ranges.
    fn read_all(release: Release<'_>) -> Vec<Vec<u8>> {
        let Release { index, mut content, .. } = release;
        let steps = (0..).zip(index.packs()).flat_map(|(pack, described)| {
            let middle = described.size / 2;
            [(0, middle), (middle, described.size - middle)].map(|(offset, length)| FetchStep {
                pack,
                offset,
                length,
                chunks: Vec::new(),
            })
        });
        let halves: Vec<_> = steps.map(|step| content.fetch(&step).unwrap()).collect();
        halves.chunks(2).map(<[Vec<u8>]>::concat).collect()
    }

    #[test]
    fn a_folder_an_archive_and_a_registry_give_the_same() {
        let (folder, published) = (tempfile::tempdir().unwrap(), Published::new());
        let layout = folder.path().join("layout");
        let root = published.write(&layout);
        let archive = folder.path().join("release.tar");
        let mut bytes = Vec::new();
        let source = Layout::open(&layout).unwrap();
        write_archive(&source, &root, None, &mut bytes).unwrap();
        fs::write(&archive, bytes).unwrap();
        let registry = Registry::start(Door::Open);
        let target = format!("{}/os/edge:2.0", registry.host());
        let (from, to) = (format!("oci:{}", layout.display()), format!("docker://{target}"));
        let copied = registry.skopeo(&["copy", "--quiet", "--dest-tls-verify=false", &from, &to]);
        assert_eq!(copied.exit, basalt_exec::command::Exit::Code(0), "{}", copied.stderr_tail);
        for source in
            [format!("oci:{}", layout.display()), format!("oci-archive:{}", archive.display()), target]
        {
            let content = open(&source, digest(root.digest), read_all).unwrap();
            assert_eq!(content, published.packs, "{source}");
            let error = open(&source, digest(Digest::of(b"other")), |_| ()).unwrap_err();
            assert!(
                matches!(error, ReleaseError::OtherDigest { found, .. } if found == root.digest),
                "{error}"
            );
        }
    }

    /// A key that releases are signed with, and another one. Drawing them takes a while.
    fn signers() -> &'static [LocalKey; 2] {
        static KEYS: OnceLock<[LocalKey; 2]> = OnceLock::new();
        KEYS.get_or_init(|| {
            ["ours", "theirs"].map(|name| {
                let key = PrivateKey::generate(2048).unwrap();
                let certificate = self_signed(&key, name, Validity { from: 0, to: 1 << 31 }).unwrap();
                LocalKey::new(key, certificate).unwrap()
            })
        })
    }

    /// Takes what the first of them signed.
    fn ours() -> Trust {
        let pem = certificate_to_pem(signers()[0].certificate()).unwrap();
        Trust { digest: None, keys: vec![ReleaseKey::from_pem(&pem).unwrap()] }
    }

    /// Puts `signer`'s statement about `of` beside `release` in the layout.
    fn sign(folder: &Path, release: &Descriptor, signer: &LocalKey, of: Digest) {
        let payload = payload("edge", of).unwrap();
        let signature = basalt_trust::release::sign(signer, &payload).unwrap();
        let image = SignatureImage::new(release, &Signature { payload, signature }).unwrap();
        image.write(&mut LayoutWriter::create(folder).unwrap()).unwrap();
    }

    #[test]
    fn only_what_a_key_of_the_image_signed_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let release = Published::new().write(folder.path());
        let source = format!("oci:{}", folder.path().display());
        let refusal = || open(&source, ours(), |_| ()).unwrap_err();
        let unsigned = refusal();
        assert_eq!(
            unsigned.to_string(),
            format!(
                "the release {} is not signed, and this machine takes only releases that one of its 1 keys signed",
                release.digest
            )
        );
        assert!(unsigned.hint().contains("--keys"));
        sign(folder.path(), &release, &signers()[1], release.digest);
        assert!(matches!(refusal(), ReleaseError::Signature { source: SignatureError::NoKey(1), .. }));
        // Somebody has an honest signature of another release.
        sign(folder.path(), &release, &signers()[0], Digest::of(b"another release"));
        assert!(matches!(refusal(), ReleaseError::Signature { source: SignatureError::Other(_), .. }));
        sign(folder.path(), &release, &signers()[0], release.digest);
        let by = open(&source, ours(), |release| release.signed_by).unwrap();
        assert_eq!(by, Some(ours().keys[0].id()));
        // In a registry it is the tag that cosign uses.
        let registry = Registry::start(Door::Open);
        let target = format!("{}/os/edge", registry.host());
        let copy = |from: &str, to: &str| {
            let (from, to) = (format!("{source}:{from}"), format!("docker://{target}:{to}"));
            registry.skopeo(&["copy", "--quiet", "--dest-tls-verify=false", &from, &to])
        };
        let signature = signature_tag(&release.digest);
        Layout::open(folder.path()).unwrap().find(Some(&signature)).unwrap();
        let mut named = LayoutWriter::create(folder.path()).unwrap();
        named.name(&release, Some("2.0")).unwrap();
        assert_eq!(copy("2.0", "2.0").exit, basalt_exec::command::Exit::Code(0));
        let target = format!("{target}:2.0");
        assert!(matches!(open(&target, ours(), |_| ()), Err(ReleaseError::Unsigned(..))));
        assert_eq!(copy(&signature, &signature).exit, basalt_exec::command::Exit::Code(0));
        assert!(open(&target, ours(), |_| ()).is_ok());
    }

    #[test]
    fn a_key_that_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(release_keys(&folder.path().join("none")).unwrap().is_empty());
        fs::write(folder.path().join("release.pub"), "nothing").unwrap();
        let error = release_keys(folder.path()).unwrap_err().to_string();
        assert!(error.starts_with("can't use ") && error.ends_with("release.pub"), "{error}");
        let pem = certificate_to_pem(signers()[0].certificate()).unwrap();
        fs::write(folder.path().join("release.pub"), pem).unwrap();
        assert_eq!(release_keys(folder.path()).unwrap().len(), 1);
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Published), spoil: impl FnOnce(&Path), expected: &str) {
        let (folder, mut published) = (tempfile::tempdir().unwrap(), Published::new());
        change(&mut published);
        published.write(folder.path());
        spoil(folder.path());
        let error = open(&format!("oci:{}", folder.path().display()), Trust::default(), |_| ()).unwrap_err();
        let text = error.to_string().replace(&folder.path().display().to_string(), "FOLDER");
        assert!(text.starts_with(expected), "{text}");
        assert!(!error.hint().is_empty());
    }

    #[test]
    fn what_is_no_release_is_refused_with_words() {
        let info = |change: fn(&mut UpdateInfo)| {
            move |published: &mut Published| {
                let mut info: UpdateInfo = serde_json::from_slice(&published.info).unwrap();
                change(&mut info);
                published.info = serde_json::to_vec(&info).unwrap();
            }
        };
        let no = |_: &Path| ();
        refused(
            |p| p.artifact = "application/x".into(),
            no,
            "this is no update: its artifact type is `application/x`",
        );
        refused(|p| p.info = b"{}".to_vec(), no, "what the release says of itself can't be understood");
        refused(|p| p.index.truncate(9), no, "the chunk index of the release can't be used");
        refused(|p| p.packs.clear(), no, "the release has 0 packs, and its index names 1");
        refused(|p| p.packs[0].push(0), no, "pack 0 of the release is not the one that its index names");
        refused(
            info(|info| info.root.size = basalt_types::ByteSize::mib(1)),
            no,
            "the root of the release has 1048576 bytes, and 28672 by its index",
        );
        refused(
            info(|info| info.verity.salt = "5z".into()),
            no,
            "the salt of the release's hash tree is not hex",
        );
        let index = Digest::of(&Published::new().index);
        let blob = move |folder: &Path| folder.join("blobs/sha256").join(index.hex());
        refused(
            |_| (),
            |folder| fs::write(blob(folder), vec![1; Published::new().index.len()]).unwrap(),
            "the chunk index of `oci:FOLDER` has the digest sha256:",
        );
        refused(|_| (), |folder| fs::write(blob(folder), b"1").unwrap(), "`FOLDER` has the blob sha256:");
        refused(|_| (), |folder| fs::remove_file(blob(folder)).unwrap(), "`FOLDER` lacks the blob sha256:");
    }
}
