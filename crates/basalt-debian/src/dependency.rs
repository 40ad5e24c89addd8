//! Relations between packages (Debian policy section 7.1): `a (>= 1) | b:any, c [amd64] <!nocheck>`.

use std::{cmp::Ordering, fmt};

use crate::version;

#[cfg(test)]
mod tests;

/// Alternatives, one of which is needed. In `Conflicts` and the like each group has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<'a> {
    /// The group as it was written, trimmed.
    pub text: &'a str,
    /// In order of preference. Empty when every alternative is restricted to another architecture.
    pub alternatives: Vec<Relation<'a>>,
}

/// One package in a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The name of a package, real or virtual.
    pub name: &'a str,
    /// What follows the colon.
    pub qualifier: Qualifier<'a>,
    /// What is in parentheses.
    pub version: Option<(Operator, &'a str)>,
}

/// The architecture qualifier of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qualifier<'a> {
    /// None: the architecture of the package that has the relation.
    Same,
    /// `:any`: any architecture, if the target has `Multi-Arch: allowed`.
    Any,
    /// `:native`: the architecture of the system.
    Native,
    /// `:amd64` and so on.
    Named(&'a str),
}

/// How versions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`, and the obsolete `<`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`, and the obsolete `>`
    LaterOrEqual,
    /// `>>`
    Later,
}

/// A group that does not follow policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a relation between packages: {problem}")]
pub struct DependencyError {
    /// The alternative that is wrong.
    pub text: String,
    /// What is wrong with it.
    pub problem: DependencyProblem,
}

/// What is wrong with a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DependencyProblem {
    /// No name, or a character that names cannot have.
    #[error("a package name has only letters, digits, `+`, `-`, `.`")]
    Name,
    /// Not one of the five comparisons.
    #[error("a version is compared with <<, <=, =, >= or >>")]
    Operator,
    /// Something opened and not closed, or text after the end.
    #[error("a bracket is not closed, or there is text behind it")]
    Form,
}

/// Reads a relationship field, group by group. `architecture` drops alternatives that are restricted to others;
/// build profiles are dropped without being looked at, because they say nothing about binary packages.
pub fn groups<'a>(
    field: &'a str,
    architecture: &str,
) -> impl Iterator<Item = Result<Group<'a>, DependencyError>> {
    field.split(',').map(str::trim).filter(|text| !text.is_empty()).map(move |text| {
        let mut alternatives = Vec::with_capacity(1);
        for alternative in text.split('|') {
            let (relation, restriction) = parse(alternative.trim())?;
            if restriction.is_none_or(|restriction| allows(restriction, architecture)) {
                alternatives.push(relation);
            }
        }
        Ok(Group { text, alternatives })
    })
}

impl<'a> Relation<'a> {
    /// Reads one relation that has no restriction, such as an entry of `Provides`.
    pub fn parse(text: &'a str) -> Result<Self, DependencyError> {
        parse(text.trim()).map(|(relation, _)| relation)
    }

    /// Whether a package of this version is in the relation's range.
    pub fn allows(&self, version: &str) -> bool {
        self.version.is_none_or(|(operator, wanted)| operator.holds(version::compare(version, wanted)))
    }
}

impl Operator {
    /// Whether the comparison holds for a candidate that is so ordered to the wanted version.
    pub const fn holds(self, candidate: Ordering) -> bool {
        match self {
            Self::Earlier => candidate.is_lt(),
            Self::EarlierOrEqual => candidate.is_le(),
            Self::Equal => candidate.is_eq(),
            Self::LaterOrEqual => candidate.is_ge(),
            Self::Later => candidate.is_gt(),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        })
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.qualifier {
            Qualifier::Same => {}
            Qualifier::Any => f.write_str(":any")?,
            Qualifier::Native => f.write_str(":native")?,
            Qualifier::Named(name) => write!(f, ":{name}")?,
        }
        match self.version {
            Some((operator, version)) => write!(f, " ({operator} {version})"),
            None => Ok(()),
        }
    }
}

/// A relation and the text between its square brackets.
fn parse(text: &str) -> Result<(Relation<'_>, Option<&str>), DependencyError> {
    let refuse = |problem| DependencyError { text: text.to_owned(), problem };
    let end = text.find([' ', '\t', '\n', '(', '[', '<']).unwrap_or(text.len());
    let (full_name, mut rest) = text.split_at(end);
    let (name, qualifier) = match full_name.split_once(':') {
        None => (full_name, Qualifier::Same),
        Some((name, "any")) => (name, Qualifier::Any),
        Some((name, "native")) => (name, Qualifier::Native),
        Some((name, architecture)) => (name, Qualifier::Named(architecture)),
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(refuse(DependencyProblem::Name));
    }
    let (mut version, mut restriction) = (None, None);
    loop {
        rest = rest.trim_start();
        let (close, opens) = match rest.as_bytes().first() {
            None => return Ok((Relation { name, qualifier, version }, restriction)),
            Some(b'(') => (')', true),
            Some(b'[') => (']', true),
            Some(b'<') => ('>', true),
            Some(_) => (' ', false),
        };
        let inner = rest.split_once(close).filter(|_| opens);
        let (inner, after) = inner.ok_or_else(|| refuse(DependencyProblem::Form))?;
        let inner = inner.get(1..).unwrap_or_default().trim();
        match close {
            ')' => version = Some(parse_version(inner).ok_or_else(|| refuse(DependencyProblem::Operator))?),
            ']' => restriction = Some(inner),
            _ => {}
        }
        rest = after;
    }
}

fn parse_version(text: &str) -> Option<(Operator, &str)> {
    let end = text.find(|c| !matches!(c, '<' | '=' | '>'))?;
    let (operator, version) = text.split_at(end);
    let operator = match operator {
        "<<" => Operator::Earlier,
        "<=" | "<" => Operator::EarlierOrEqual,
        "=" => Operator::Equal,
        ">=" | ">" => Operator::LaterOrEqual,
        ">>" => Operator::Later,
        _ => return None,
    };
    Some((operator, version.trim_start()))
}

/// `[amd64 arm64]` lists what is meant, `[!i386]` what is not (Debian policy section 7.1).
fn allows(restriction: &str, architecture: &str) -> bool {
    let matches = |pattern: &str| matches!(pattern, "any" | "linux-any") || pattern == architecture;
    let mut negated = false;
    for word in restriction.split_whitespace() {
        match word.strip_prefix('!') {
            Some(pattern) if matches(pattern) => return false,
            Some(_) => negated = true,
            None if matches(word) => return true,
            None => {}
        }
    }
    negated
}
