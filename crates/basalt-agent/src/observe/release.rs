//! A release to upgrade to: its manifest, what it says of itself, and its index. Not a byte of its content.

use std::io;

use basalt_fetch::{
    http::Client,
    oci::{Access, Artifact, Descriptor, Manifest, OciError, Platform},
};
use basalt_formats::chunks::{FetchRange, FetchStep, Index, IndexError, Part};
use basalt_image::update::{self, UpdateInfo};
use basalt_types::{Architecture, Digest, ImageRef};

/// The largest configuration that is taken; ours have 1 KB.
const INFO_LIMIT: u64 = 1 << 20;
/// A pack ends before it has more (`docs/formats/update-artifact.md`). A registry that knows no ranges gives all of it, and
/// all of it is in memory then.
const PACK_LIMIT: u64 = 32 << 20;

/// A release whose index adds up with what it says of itself.
#[derive(Debug)]
pub(crate) struct Release<'c> {
    pub(crate) info: UpdateInfo,
    pub(crate) index: Index,
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
    #[error("this is no update: its artifact type is `{found}`, expected `{expected}`", expected = update::ARTIFACT)]
    OtherType { found: String },
    #[error("layer {number} of the release has the media type `{found}`, expected `{expected}`")]
    OtherLayer { number: usize, found: String, expected: &'static str },
    #[error("what the release says of itself can't be understood")]
    Info(#[source] serde_json::Error),
    #[error("the chunk index of the release can't be used")]
    Index(#[from] IndexError),
    #[error("the release has {manifest} packs, and its index names {index}")]
    PackCount { manifest: usize, index: usize },
    #[error("pack {number} of the release is not the one that its index names")]
    Pack { number: usize },
    #[error("the {part} of the release has {info} bytes, and {index} by its index")]
    PartSize { part: Part, info: u64, index: u64 },
    #[error("the root of the release has {0} bytes, which are no whole blocks")]
    RootBlocks(u64),
    #[error("the salt of the release's hash tree is not hex digits")]
    Salt,
}

impl ReleaseError {
    /// What to do next.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Oci(_) => "nothing was written; running again begins anew",
            Self::OtherDigest { .. } => {
                "the tag was moved, or the registry is not the one that you think it is"
            }
            Self::OtherType { .. } => {
                "give the output `oci` of a build, or the registry that it was pushed to"
            }
            Self::OtherLayer { .. }
            | Self::Info(_)
            | Self::Index(_)
            | Self::PackCount { .. }
            | Self::Pack { .. }
            | Self::PartSize { .. }
            | Self::RootBlocks(_)
            | Self::Salt => "it is damaged or made by something else: build and push it again",
        }
    }
}

/// Opens the release that `reference` means and reads what it says of itself.
pub(crate) fn release<'c>(
    client: &'c Client,
    access: &Access,
    reference: &ImageRef,
    architecture: Architecture,
    expected: Option<&Digest>,
) -> Result<Release<'c>, ReleaseError> {
    let artifact = Artifact::open(client, access, reference, &Platform::linux(architecture))?;
    trust(&artifact, expected)?;
    let manifest = artifact.manifest();
    let (index, packs) = layers(manifest)?;
    let info = artifact.blob(&manifest.config, "the configuration", INFO_LIMIT)?;
    let info: UpdateInfo = serde_json::from_slice(&info).map_err(ReleaseError::Info)?;
    let index = Index::parse_packed(&artifact.blob(index, "the chunk index", Index::LIMIT)?)?;
    add_up(&info, &index, packs)?;
    let packs = packs.to_vec();
    Ok(Release { info, index, content: Content { artifact, packs } })
}

/// Whether to believe the manifest, on which everything else hangs by digests. There are no signatures yet: a manifest is
/// taken from whoever the source is, unless its digest was given.
fn trust(artifact: &Artifact<'_>, expected: Option<&Digest>) -> Result<(), ReleaseError> {
    let found = artifact.digest();
    match expected {
        Some(expected) if *expected != found => Err(ReleaseError::OtherDigest { found, expected: *expected }),
        Some(_) | None => Ok(()),
    }
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

/// Whether manifest, configuration and index speak of the same bytes.
pub(crate) fn add_up(info: &UpdateInfo, index: &Index, packs: &[Descriptor]) -> Result<(), ReleaseError> {
    if packs.len() != index.packs().len() {
        return Err(ReleaseError::PackCount { manifest: packs.len(), index: index.packs().len() });
    }
    let same = packs.iter().zip(index.packs()).map(|(layer, pack)| {
        layer.digest == pack.digest && layer.size == pack.size && pack.size <= PACK_LIMIT
    });
    if let Some(number) = same.into_iter().position(|same| !same) {
        return Err(ReleaseError::Pack { number });
    }
    for (part, blob) in [(Part::Root, info.root), (Part::Uki, info.uki)] {
        let found = index.parts().iter().find(|own| own.part == part).map_or(0, |own| own.size);
        if found != blob.size.get() {
            return Err(ReleaseError::PartSize { part, info: blob.size.get(), index: found });
        }
    }
    if info.root.size.get() == 0 || !info.root.size.get().is_multiple_of(4096) {
        return Err(ReleaseError::RootBlocks(info.root.size.get()));
    }
    let salt = &info.verity.salt;
    let is_hex = salt.len().is_multiple_of(2) && salt.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && salt.len() <= 512 { Ok(()) } else { Err(ReleaseError::Salt) }
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
    use std::{
        fs,
        path::Path,
        sync::{Arc, atomic::AtomicBool},
    };

    use basalt_fetch::{
        http::{Patience, Proxies},
        oci::{self, Layout, media, write_archive},
    };
    use basalt_testkit::{Door, Registry};

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

    fn open<T>(
        source: &str,
        digest: Option<Digest>,
        look: impl FnOnce(Release<'_>) -> T,
    ) -> Result<T, ReleaseError> {
        let (client, access) = (client(), Access { insecure: true, ..Access::default() });
        let source = source.parse().unwrap();
        release(&client, &access, &source, Architecture::Amd64, digest.as_ref()).map(look)
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
            let content = open(&source, Some(root.digest), read_all).unwrap();
            assert_eq!(content, published.packs, "{source}");
            let error = open(&source, Some(Digest::of(b"other")), |_| ()).unwrap_err();
            assert!(
                matches!(error, ReleaseError::OtherDigest { found, .. } if found == root.digest),
                "{error}"
            );
        }
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Published), spoil: impl FnOnce(&Path), expected: &str) {
        let (folder, mut published) = (tempfile::tempdir().unwrap(), Published::new());
        change(&mut published);
        published.write(folder.path());
        spoil(folder.path());
        let error = open(&format!("oci:{}", folder.path().display()), None, |_| ()).unwrap_err();
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
