//! An OCI image as what a build starts from, instead of a Debian archive's packages.
//!
//! ```text
//! resolve    reference → manifest, layers by digest, epoch: the lock       (network)
//! fetch      the layers that the store lacks                               (network)
//! assemble   layers → tree, our node programs on top                       (store)
//! ```
//!
//! The image brings everything: kernel, boot loader, init system. Nothing is configured again and nothing is run, so this
//! needs no sandbox.

use std::{
    env,
    fs::File,
    io::{self, BufWriter, Read, Write as _},
    time::SystemTime,
};

use basalt_debian::archive::{self, ArchiveError, Entry, EntryKind, Expected};
use basalt_fetch::{
    debian::Context,
    oci::{self, Access, Credentials, Descriptor, OciError, Platform, Variables},
    store::Store,
};
use basalt_formats::tree::{Content, Kind as NodeKind, Metadata, Node, Tree, TreeError};
use basalt_image::{
    distribution::{self, InitSystem},
    oci::{Layers, Limits},
};
use basalt_node::openrc;
use basalt_spec::{LOCK_VERSION, Lock, LockedImage, LockedLayer, OciBase};
use basalt_types::Digest;

use super::{
    node::{NodeParts, PACKAGE},
    project::Project,
    stores::OpenFile,
};
use crate::error::{CommandError, CommandResult, Kind, OrFail as _};

/// What an image's layers make, with our programs in it.
#[derive(Debug)]
pub struct Assembled {
    /// The tree.
    pub tree: Tree,
    /// Its files' bytes: store 0.
    pub content: OpenFile,
    /// Holds the file until it is read.
    _spool: tempfile::NamedTempFile,
}

/// Finds out which bytes the reference of `project` means now. A recipe above another one has what that one has.
///
/// # Errors
/// When the image is not there, or none for the recipe's processor.
pub fn resolve(
    project: &Project,
    base: &OciBase,
    below: Option<&Lock>,
    context: Context<'_>,
) -> CommandResult<Lock> {
    let recipe = &project.recipe;
    let (image, epoch) = match below {
        Some(Lock { oci: Some(image), epoch, .. }) => (image.clone(), *epoch),
        Some(_) | None => resolve_image(project, base, context)?,
    };
    Ok(Lock {
        version: LOCK_VERSION,
        recipe_digest: recipe.resolution_digest(),
        below: below.map(Lock::content_digest),
        architecture: recipe.architecture,
        epoch,
        sources: Vec::new(),
        packages: Vec::new(),
        oci: Some(image),
    })
}

fn resolve_image(
    project: &Project,
    base: &OciBase,
    context: Context<'_>,
) -> CommandResult<(LockedImage, u64)> {
    let access = access(base)?;
    let platform = Platform::linux(project.recipe.architecture);
    let seen = base.reference.seen_from(&project.folder);
    let image = oci::resolve(context, &access, &seen, &platform).map_err(refuse)?;
    let config = oci::fetch_config(context, &access, &image, &platform).map_err(refuse)?;
    let layers = image.manifest.layers.iter().zip(&config.rootfs.diff_ids);
    let locked = LockedImage {
        reference: base.reference.clone(),
        platform: platform.to_string(),
        manifest: image.descriptor.digest,
        layers: layers
            .map(|(layer, diff_id)| LockedLayer {
                media_type: layer.media_type.clone(),
                digest: layer.digest,
                size: layer.size,
                diff_id: *diff_id,
            })
            .collect(),
    };
    Ok((locked, epoch(config.created.as_deref())?))
}

/// Every time in the image is at most when the OCI image was made; one that says nothing is taken to be made now.
fn epoch(created: Option<&str>) -> CommandResult<u64> {
    if let Some(seconds) = created.and_then(seconds) {
        return Ok(seconds);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).or_fail(Kind::Host)?;
    Ok(now.as_secs())
}

/// Unix seconds of `2026-01-02T03:04:05…Z` (RFC 3339 section 5.6); none when it is before 1970 or not in UTC.
fn seconds(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', 't'])?;
    let clock = time.strip_suffix(['Z', 'z'])?;
    let numbers = |text: &str, separator: char| -> Option<[u64; 3]> {
        let parts = text.split(separator).map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>()?;
        parts.try_into().ok()
    };
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock.split('.').next()?, ':')?;
    let valid = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !valid || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970-01-01, years beginning in March so that the leap day is a year's last.
    let (shifted, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + (months * 153 + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn access(base: &OciBase) -> CommandResult<Access> {
    let variables = Variables::observe(&|name| env::var(name).ok());
    let credentials = Credentials::observe(variables).map_err(refuse)?;
    Ok(Access { insecure: base.insecure, mirrors: base.mirrors.clone(), credentials })
}

/// Fetches the layers that the store lacks; `folder` is the recipe's.
///
/// # Errors
/// When one can't be had.
pub fn fetch(
    context: Context<'_>,
    base: &OciBase,
    image: &LockedImage,
    folder: &std::path::Path,
) -> CommandResult {
    let wanted: Vec<Descriptor> = image
        .layers
        .iter()
        .map(|layer| Descriptor {
            media_type: layer.media_type.clone(),
            digest: layer.digest,
            size: layer.size,
            platform: None,
            annotations: std::collections::BTreeMap::new(),
        })
        .collect();
    let seen = image.reference.seen_from(folder);
    oci::fetch_blobs(context, &access(base)?, &seen, &wanted).map_err(refuse)?;
    Ok(())
}

/// Puts the layers on top of each other, and what a machine of ours needs on top of them. `work` is a folder for the
/// files' bytes.
///
/// # Errors
/// When a layer is refused, or what starts first in the image is not known.
pub fn assemble(
    image: &LockedImage,
    store: &Store,
    node: &NodeParts,
    work: &std::path::Path,
) -> CommandResult<Assembled> {
    let spool = tempfile::NamedTempFile::new_in(work).or_fail(Kind::Host)?;
    let mut out = BufWriter::with_capacity(1 << 20, spool.as_file());
    let mut layers = Layers::new(&mut out, 0, Limits::default());
    for layer in &image.layers {
        let path = store.path(&layer.digest);
        let mut file = File::open(&path).map_err(|source| {
            CommandError::new(Kind::Host, crate::commands::FileError::new(&path, source))
        })?;
        layers.apply(&mut file, Some(&layer.diff_id)).map_err(|error| {
            CommandError::new(Kind::User, error).hint(format!("the image is {}", image.reference))
        })?;
    }
    let mut tree = layers.finish();
    out.flush().or_fail(Kind::Host)?;
    drop(out);
    // The kernel puts its own there.
    tree.remove("/dev");
    add_node(&mut tree, node)?;
    let content = OpenFile::open(spool.path()).or_fail(Kind::Host)?;
    Ok(Assembled { tree, content, _spool: spool })
}

fn add_node(tree: &mut Tree, node: &NodeParts) -> CommandResult {
    let Some(init) = distribution::init_system(tree) else {
        return Err(CommandError::new(Kind::User, "the image has neither systemd nor OpenRC")
            .hint("an image for containers often has no init system: install one in it"));
    };
    let expected = Expected {
        shown: PACKAGE.to_owned(),
        size: node.archive.len() as u64,
        digest: Digest::of(&node.archive),
    };
    archive::unpack(&expected, node.archive.as_slice(), &mut Merge { tree, init }).or_fail(Kind::User)?;
    match init {
        InitSystem::Systemd => {}
        InitSystem::OpenRc => {
            for file in openrc::files() {
                put(tree, &file.path, regular(file.mode, file.bytes)).or_fail(Kind::User)?;
            }
            for (path, target) in openrc::links() {
                let kind = NodeKind::Symlink(target.into_bytes());
                put(tree, &path, Node { metadata: Metadata::root_owned(0o777), kind }).or_fail(Kind::User)?;
            }
        }
    }
    Ok(())
}

/// Our package's files go into a tree whose package manager doesn't know them.
struct Merge<'t> {
    tree: &'t mut Tree,
    init: InitSystem,
}

#[derive(Debug, thiserror::Error)]
enum MergeError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("a file of the node programs has no place in the image")]
    Tree(#[from] TreeError),
    #[error("the package of the node programs can't be read")]
    Read(#[from] io::Error),
    #[error("the package of the node programs holds a link or a name that is not text")]
    Kind,
}

impl archive::Sink for Merge<'_> {
    type Error = MergeError;

    fn entry(&mut self, entry: Entry, content: &mut dyn Read) -> Result<(), MergeError> {
        let path = String::from_utf8(entry.path).map_err(|_not_text| MergeError::Kind)?;
        // Units are nothing to OpenRC.
        if self.init == InitSystem::OpenRc && path.starts_with("usr/lib/systemd") {
            return Ok(());
        }
        match entry.kind {
            // The image's own directories stay as they are; missing ones are made with the files.
            EntryKind::Directory => Ok(()),
            EntryKind::File(_) => {
                let mut bytes = Vec::new();
                content.read_to_end(&mut bytes)?;
                Ok(put(self.tree, &path, regular(u32::from(entry.mode), bytes))?)
            }
            EntryKind::Symlink(_) | EntryKind::HardLink(_) => Err(MergeError::Kind),
        }
    }
}

fn regular(mode: u32, bytes: Vec<u8>) -> Node {
    let mode = u16::try_from(mode & 0o7777).unwrap_or(0o644);
    Node { metadata: Metadata::root_owned(mode), kind: NodeKind::File(Content::inline(bytes)) }
}

fn put(tree: &mut Tree, path: &str, node: Node) -> Result<(), TreeError> {
    tree.insert(&format!("/{path}"), node).map(|_id| ())
}

fn refuse(error: OciError) -> CommandError {
    let kind = match &error {
        OciError::Http { .. }
        | OciError::Denied { .. }
        | OciError::Answer { .. }
        | OciError::Login { .. }
        | OciError::Digest { .. }
        | OciError::Document { .. } => Kind::Remote,
        OciError::Absent { .. }
        | OciError::Media { .. }
        | OciError::Platform { .. }
        | OciError::Local { .. } => Kind::User,
        OciError::Credentials { .. } | OciError::Helper { .. } => Kind::Config,
        OciError::File { .. } | OciError::Store(_) => Kind::Host,
    };
    CommandError::new(kind, error)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn an_image_says_when_it_was_made() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2000-02-29T23:59:59Z"), Some(951_868_799));
        assert_eq!(seconds("2026-11-23T08:30:00.123456789Z"), Some(1_795_422_600));
        for other in
            ["", "2026-11-23", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00Z", "2026-11-23T08:30:00+01:00"]
        {
            assert_eq!(seconds(other), None, "{other}");
        }
    }
}
