//! What is wrong with a file that a person wrote, and where.

use std::fmt;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use crate::yaml::At;

/// Everything that is wrong with one file, in the order of the file.
///
/// Render it with miette; `{:#}` gives one plain line for each problem, with its line and column.
#[derive(Debug, Clone)]
pub struct SpecError {
    source: NamedSource<String>,
    problems: Vec<Problem>,
}

/// What sort of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// The text is not YAML, or YAML that this language leaves out.
    Syntax,
    /// A key stands twice in one mapping.
    DuplicateKey,
    /// No such key.
    UnknownKey,
    /// A required key is not there.
    MissingKey,
    /// A list where text was wanted, and the like.
    WrongType,
    /// The right type and a wrong word.
    BadValue,
    /// Two values that can't both be meant.
    Conflict,
    /// A key of another language that ours has no words for.
    Untranslatable,
}

/// One thing that is wrong, where, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    kind: ProblemKind,
    message: String,
    at: At,
    label: Option<String>,
    other: Option<(String, At)>,
    help: Option<String>,
}

impl SpecError {
    pub(crate) fn new(name: &str, text: &str, problems: Vec<Problem>) -> Self {
        Self { source: NamedSource::new(name, text.to_owned()).with_language("YAML"), problems }
    }

    /// The problems, in the order of the file; there is at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The file's name as it was given.
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// The line and column of a problem, both from 1.
    pub fn position(&self, problem: &Problem) -> (usize, usize) {
        let before = self.source.inner().get(..problem.at.offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl Problem {
    pub(crate) fn new(kind: ProblemKind, at: At, message: String) -> Self {
        Self { kind, message, at, label: None, other: None, help: None }
    }

    pub(crate) fn label(self, label: String) -> Self {
        Self { label: Some(label), ..self }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Points at a second place too.
    pub(crate) fn and(self, label: &str, at: At) -> Self {
        Self { other: Some((label.to_owned(), at)), ..self }
    }

    /// The problem in a text that begins `base` bytes into the one it was found in. A second place that `elsewhere` knows
    /// is in another text, and becomes words.
    pub(crate) fn moved(mut self, base: usize, elsewhere: impl Fn(At) -> Option<String>) -> Self {
        let back = |at: At| At { offset: at.offset.saturating_sub(base), ..at };
        self.at = back(self.at);
        self.other = match self.other.take() {
            Some((label, at)) => match elsewhere(at) {
                Some(place) => {
                    let known = self.help.take().map(|help| format!("; {help}")).unwrap_or_default();
                    self.help = Some(format!("{label}: {place}{known}"));
                    None
                }
                None => Some((label, back(at))),
            },
            None => None,
        };
        self
    }

    /// What to write instead, if that is near.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Whether it is about the document and not about a place in it.
    pub(crate) const fn is_about_all(&self) -> bool {
        self.at.offset == 0 && self.at.length == 0
    }

    pub(crate) const fn offset(&self) -> usize {
        self.at.offset
    }

    /// What sort of thing is wrong.
    pub const fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// What is wrong, in one clause.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = |label: Option<String>, at: At| LabeledSpan::new(label, at.offset, at.length);
        let first = span(self.label.clone(), self.at);
        let second = self.other.as_ref().map(|(label, at)| span(Some(label.clone()), *at));
        Some(Box::new(std::iter::once(first).chain(second)))
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [] => write!(f, "{} can't be used", self.file())?,
            [_] => write!(f, "{} has a problem", self.file())?,
            more => write!(f, "{} has {} problems", self.file(), more.len())?,
        }
        if f.alternate() {
            for problem in &self.problems {
                let (line, column) = self.position(problem);
                write!(f, "\n{}:{line}:{column}: {problem}", self.file())?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for SpecError {}

impl Diagnostic for SpecError {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}

/// The known word that was most likely meant, if any is near.
///
/// Near is: one is the beginning of the other, or at most a third of the letters differ (one in a short word).
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = found.to_lowercase().replace(['_', '-'], "");
    let distance = |word: &str| {
        let plain = word.to_lowercase().replace(['_', '-'], "");
        let prefix = lower.len() >= 3 && (plain.starts_with(&lower) || lower.starts_with(&plain));
        if prefix { 1 } else { strsim::damerau_levenshtein(&lower, &plain) }
    };
    known
        .into_iter()
        .map(|word| (distance(word), word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}
