//! What a recipe changes in a tree without running anything: names and places, users, files, units.
//!
//! `locale, time zone, host name, keymap → users → files → units`, in that order: a file may belong to a user of the
//! recipe, and may be the unit that is enabled. Each key is tried, so that every refusal is reported at once, with the
//! key it is about.
//!
//! Not here: packages (they are in the tree), `script:` (it runs in the sandbox), and what every image gets whatever
//! its recipe says ([`crate::finalise`]).

mod edit;
mod files;
mod locale;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

use basalt_formats::tree::{Content, ReadContent, Tree};
use basalt_spec::{Recipe, words::RelativePath};

pub use edit::EditError;
pub(crate) use edit::Editor;

use crate::{units, users::Accounts};
pub use crate::{units::UnitError, users::AccountError};

/// What a customisation takes beside the tree.
#[derive(Clone, Copy)]
pub struct Customisation<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The content of each of [`Recipe::local_files`].
    pub sources: &'a BTreeMap<RelativePath, Content>,
    /// Where stored content of the tree is.
    pub reader: &'a dyn ReadContent,
    /// Seconds since 1970 that new files carry: the lock's epoch.
    pub epoch: u64,
}

/// Every way in which a recipe doesn't fit the tree that its packages make; there is at least one.
#[derive(Debug)]
pub struct CustomiseErrors(pub Vec<CustomiseError>);

/// One key of the recipe that can't be followed.
#[derive(Debug, thiserror::Error)]
#[error("`{key}`: {refusal}")]
pub struct CustomiseError {
    /// The key, such as `users[0]` or `units.enable[2]`.
    pub key: String,
    /// Why it can't be followed.
    pub refusal: Refusal,
}

/// Why a key can't be followed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The tree can't be edited.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// About an account or an owner.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// About a unit.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// The locale is not in the image.
    #[error(
        "the locale `{0}` is not in the image: add the package `locales-all`, or generate it in `script`"
    )]
    NoLocale(String),
    /// The time zone is not in the image.
    #[error("there is no time zone `{zone}`{}", .nearest.as_ref().map_or_else(String::new, |near| format!("; did you mean `{near}`?")))]
    NoZone {
        /// The zone.
        zone: String,
        /// One that was perhaps meant.
        nearest: Option<String>,
    },
    /// The rules of no time zone are in the image.
    #[error("the image has no time zones: add the package `tzdata`, or take it out of `deselect`")]
    NoZones,
    /// The caller did not read a file that the recipe names.
    #[error("`{0}` was not read")]
    NoSource(RelativePath),
}

/// Changes `tree` as the recipe says.
///
/// # Errors
/// Every key that can't be followed. The tree is then half changed and good for nothing.
pub fn customise(tree: &mut Tree, with: Customisation<'_>) -> Result<(), CustomiseErrors> {
    let Customisation { recipe, sources, reader, epoch } = with;
    let mut editor = Editor::new(tree, reader, epoch);
    let mut errors = Errors(Vec::new());
    errors.note("locale", locale::locale(&mut editor, &recipe.locale));
    errors.note("timezone", locale::timezone(&mut editor, &recipe.timezone));
    errors.note("hostname", locale::hostname(&mut editor, &recipe.hostname()));
    if let Some(keymap) = &recipe.keymap {
        errors.note("keymap", locale::keymap(&mut editor, keymap));
    }
    match Accounts::read(&editor) {
        Ok(mut accounts) => {
            apply_users(&mut editor, &mut accounts, recipe, &mut errors);
            for (index, file) in recipe.all_files().enumerate() {
                let result = files::add(&mut editor, &accounts, sources, &file);
                errors.note(format_args!("files[{index}]"), result);
            }
            errors.note("users", accounts.write(&mut editor));
        }
        Err(error) => errors.note("users", Err::<(), _>(error)),
    }
    apply_units(&mut editor, recipe, &mut errors);
    if errors.0.is_empty() { Ok(()) } else { Err(CustomiseErrors(errors.0)) }
}

fn apply_users(editor: &mut Editor<'_>, accounts: &mut Accounts, recipe: &Recipe, errors: &mut Errors) {
    accounts.lock_root();
    recipe.users.iter().filter_map(|user| user.uid).for_each(|uid| accounts.reserve(uid));
    for (index, user) in recipe.users.iter().enumerate() {
        errors.note(format_args!("users[{index}]"), accounts.apply(editor, user));
    }
}

fn apply_units(editor: &mut Editor<'_>, recipe: &Recipe, errors: &mut Errors) {
    for (index, unit) in recipe.units.enable.iter().enumerate() {
        errors.note(format_args!("units.enable[{index}]"), units::enable(editor, unit));
    }
    for (index, unit) in recipe.units.disable.iter().enumerate() {
        errors.note(format_args!("units.disable[{index}]"), units::disable(editor, unit));
    }
    for (index, unit) in recipe.units.mask.iter().enumerate() {
        errors.note(format_args!("units.mask[{index}]"), units::mask(editor, unit));
    }
}

struct Errors(Vec<CustomiseError>);

impl Errors {
    fn note<E: Into<Refusal>>(&mut self, key: impl fmt::Display, result: Result<(), E>) {
        if let Err(refusal) = result {
            self.0.push(CustomiseError { key: key.to_string(), refusal: refusal.into() });
        }
    }
}

impl fmt::Debug for Customisation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Customisation").field("recipe", &self.recipe.name).finish_non_exhaustive()
    }
}

impl fmt::Display for CustomiseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the recipe doesn't fit the image that its packages make")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for CustomiseErrors {}
