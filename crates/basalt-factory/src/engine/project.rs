//! A recipe on disk with what belongs to it: the lock beside it and the files it names.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use basalt_spec::{Lock, Recipe, Written, words::RelativePath};
use basalt_trust::release::ReleaseKey;
use basalt_types::Digest;

use crate::{
    commands::FileError,
    error::{CommandError, CommandResult, Kind},
};

/// A recipe and its folder.
#[derive(Debug)]
pub struct Project {
    /// The folder that paths in the recipe start from.
    pub folder: PathBuf,
    /// The lock's place: `recipe.yaml` has `recipe.lock` beside it.
    pub lock_path: PathBuf,
    /// The recipe, with what it inherits.
    pub recipe: Recipe,
    /// What it starts from.
    pub below: Option<Box<Project>>,
}

/// How many recipes may lie on each other: nobody follows more.
const MOST_LAYERS: usize = 8;

impl Project {
    /// Reads the recipe at `path`, and those that it starts from.
    ///
    /// # Errors
    /// When one can't be read, or with every mistake in it and its place.
    pub fn open(path: &Path) -> CommandResult<Self> {
        Self::open_layer(path, MOST_LAYERS)
    }

    fn open_layer(path: &Path, layers: usize) -> CommandResult<Self> {
        let text = fs::read_to_string(path).map_err(|source| {
            let error = CommandError::new(Kind::User, FileError::new(path, source));
            error.hint("`basalt init` writes a recipe to start from")
        })?;
        let written = Written::parse(&path.display().to_string(), &text).map_err(CommandError::in_file)?;
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let below = match written.from() {
            None => None,
            Some(_) if layers == 1 => {
                let text =
                    format!("more than {MOST_LAYERS} recipes lie on each other: do they go in a circle?");
                return Err(
                    CommandError::new(Kind::User, text).hint(format!("the last was {}", path.display()))
                );
            }
            Some(below) => Some(Box::new(Self::open_layer(&folder.join(below.as_str()), layers - 1)?)),
        };
        let recipe = match &below {
            Some(below) => written.over(&below.recipe),
            None => written.alone(),
        };
        Ok(Self { folder: folder.to_owned(), lock_path: path.with_extension("lock"), recipe, below })
    }

    /// The one at the bottom, which says where packages come from.
    pub fn bottom(&self) -> &Self {
        self.below.as_deref().map_or(self, Self::bottom)
    }

    /// The lock beside the recipe; `None` when there is none.
    ///
    /// # Errors
    /// When it is there and can't be read.
    pub fn read_lock(&self) -> CommandResult<Option<Lock>> {
        let text = match fs::read_to_string(&self.lock_path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(CommandError::new(Kind::User, FileError::new(&self.lock_path, source)));
            }
        };
        Lock::parse(&text).map(Some).map_err(|error| {
            let error = CommandError::new(Kind::Config, InFile(self.lock_path.clone(), error));
            error.hint("`basalt lock` makes it again")
        })
    }

    /// The bytes of every file that the recipe takes from its folder.
    ///
    /// # Errors
    /// When one can't be read.
    pub fn read_sources(&self) -> CommandResult<BTreeMap<RelativePath, Vec<u8>>> {
        let mut sources = BTreeMap::new();
        for path in self.recipe.local_files() {
            let place = self.folder.join(path.as_str());
            let bytes = fs::read(&place).map_err(|source| {
                let error = CommandError::new(Kind::User, FileError::new(&place, source));
                error.hint("paths in a recipe start from the recipe's own folder")
            })?;
            sources.insert(path, bytes);
        }
        for path in &self.recipe.release_keys {
            let pem = sources.get(path).map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
            ReleaseKey::from_pem(&pem).map_err(|error| {
                let error = CommandError::new(Kind::Config, InFile(self.folder.join(path.as_str()), error));
                error.hint("`releaseKeys` takes what `basalt keys new` writes as release.pub, or `cosign public-key`")
            })?;
        }
        Ok(sources)
    }
}

/// The digest of each source, for the image's id.
pub fn digests(sources: &BTreeMap<RelativePath, Vec<u8>>) -> BTreeMap<RelativePath, Digest> {
    sources.iter().map(|(path, bytes)| (path.clone(), Digest::of(bytes))).collect()
}

/// A mistake in a file, named by the file.
#[derive(Debug, thiserror::Error)]
#[error("{} is not valid", .0.display())]
struct InFile<E: std::error::Error + 'static>(PathBuf, #[source] E);
