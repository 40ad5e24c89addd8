//! `#cloud-config`, as people write it for cloud-init and for Kairos, as a [`NodeConfig`](crate::node::NodeConfig).
//!
//! `text → convert → Converted: a document, from which key each of its keys comes, and what was refused and why`
//!
//! Every key of the text is either translated or refused at its line: nothing is left out in silence, and nothing is
//! translated into something that only looks alike. Values are checked by the types of [`crate::node`], and what they
//! refuse is shown in the text that was converted.
//!
//! The formats: cloud-init's module reference and Kairos' configuration and stages reference.

mod account;
mod draft;
mod file;
mod kairos;
mod source;
mod stages;
mod system;
mod top;

use serde::Serialize;

use crate::{
    diagnostic::{Problem, ProblemKind, SpecError},
    yaml::{self, At},
};
use draft::Draft;

/// For which of the two a text was written. They give some keys another meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flavour {
    /// cloud-init: `runcmd` runs once.
    CloudInit,
    /// Kairos: `runcmd` runs at every start.
    Kairos,
}

/// One key that was translated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Translation {
    /// The key of the text.
    pub from: String,
    /// Its line, from 1.
    pub line: usize,
    /// The key of the document, or why it needs none.
    pub to: String,
}

/// What became of a text.
#[derive(Clone, Debug)]
pub struct Converted {
    /// For which of the two it was read.
    pub flavour: Flavour,
    /// The document as YAML, with what could be translated; none if that is not valid.
    pub document: Option<String>,
    /// What was translated, in the order of the text.
    pub translated: Vec<Translation>,
    /// What was refused: it has no translation, or its value is not one that a document may have.
    pub refused: Option<SpecError>,
}

/// Converts a text. `file` is its name in messages; without a flavour it is guessed from its keys.
///
/// # Errors
/// When the text is no `#cloud-config`.
pub fn convert(file: &str, text: &str, flavour: Option<Flavour>) -> Result<Converted, SpecError> {
    let refuse = |problems| SpecError::new(file, text, problems);
    sort_of(text).map_err(|problem| refuse(vec![*problem]))?;
    let (root, mut problems) = yaml::parse(text).map_err(refuse)?;
    let flavour = flavour.unwrap_or_else(|| top::guess(text, &root));
    let mut draft = Draft::new(text, flavour);
    top::document(&mut draft, &root);
    let (tree, translated, mut refused) = draft.finish();
    problems.append(&mut refused);
    let document = match crate::node::check_tree(&tree) {
        Ok(()) => Some(crate::node::tree_text(&tree)),
        Err(mut wrong) => {
            problems.append(&mut wrong);
            None
        }
    };
    problems.sort_by_key(Problem::offset);
    let refused = (!problems.is_empty()).then(|| refuse(problems));
    Ok(Converted { flavour, document, translated, refused })
}

/// Other texts that clouds take in the same place.
fn sort_of(text: &str) -> Result<(), Box<Problem>> {
    let other = [
        ("#!", "a script", "put it into `hooks` of a NodeConfig"),
        ("#include", "a list of addresses", "convert what is there"),
        ("#cloud-boothook", "a script for the start", "put it into `hooks` of a NodeConfig, stage `boot`"),
        ("## template:", "a template", "render it first, as with `cloud-init query`"),
        ("Content-Type: multipart", "several texts in one", "convert its `text/cloud-config` parts"),
        ("MIME-Version:", "several texts in one", "convert its `text/cloud-config` parts"),
    ];
    match other.into_iter().find(|(start, ..)| text.starts_with(start)) {
        None => Ok(()),
        Some((start, what, help)) => {
            let at = At { offset: 0, length: start.len() };
            let problem =
                Problem::new(ProblemKind::Untranslatable, at, format!("this is {what}, not a #cloud-config"));
            Err(problem.help(help).into())
        }
    }
}
