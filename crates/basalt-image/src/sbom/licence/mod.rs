//! Licence names as Debian's copyright files write them (copyright-format 1.0, section 7.2) to SPDX expressions.
//!
//! A name is taken for one on SPDX's list only when both mean the same text. Everything else stays what it is, under a
//! `LicenseRef-` of the package.

mod names;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use basalt_types::Digest;

/// What holds for a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Expression {
    /// A licence on SPDX's list, perhaps `WITH` an exception on it.
    Listed(String),
    /// A licence that is not, by the package's name for it.
    Unlisted(String),
    /// All of these.
    And(BTreeSet<Expression>),
    /// One of these.
    Or(BTreeSet<Expression>),
}

impl Expression {
    /// Reads `A or B, and C`: `and` binds closer than `or`, unless a comma stands before the word (section 7.2).
    pub(super) fn parse(text: &str) -> Self {
        split(text, &[", or ", ", and ", " or ", " and "], &mut |name| match names::spdx(name) {
            Some(id) => Self::Listed(id),
            None => Self::Unlisted(name.to_owned()),
        })
    }

    /// All of these at once, as simple as can be.
    pub(super) fn all(parts: BTreeSet<Self>) -> Self {
        Self::And(BTreeSet::new()).join(parts)
    }

    /// The names that SPDX's list does not have.
    pub(super) fn unlisted(&self) -> BTreeSet<String> {
        match self {
            Self::Listed(_) => BTreeSet::new(),
            Self::Unlisted(name) => BTreeSet::from([name.clone()]),
            Self::And(parts) | Self::Or(parts) => parts.iter().flat_map(Self::unlisted).collect(),
        }
    }

    /// The SPDX expression; names of `package` become references.
    pub(super) fn render(&self, package: &str) -> String {
        let parts = |parts: &BTreeSet<Self>, word: &str| {
            let parts: Vec<String> = parts.iter().map(|part| part.render_inside(package)).collect();
            parts.join(word)
        };
        match self {
            Self::Listed(id) => id.clone(),
            Self::Unlisted(name) => reference(package, name),
            Self::And(all) => parts(all, " AND "),
            Self::Or(any) => parts(any, " OR "),
        }
    }

    fn render_inside(&self, package: &str) -> String {
        let text = self.render(package);
        match self {
            Self::Listed(_) | Self::Unlisted(_) => text,
            Self::And(_) | Self::Or(_) => format!("({text})"),
        }
    }

    /// Parts under one operator: those with the same operator are taken apart, one alone stands for itself.
    fn join(self, parts: BTreeSet<Self>) -> Self {
        let mut flat = BTreeSet::new();
        for part in parts {
            match (&self, part) {
                (Self::And(_), Self::And(inner)) | (Self::Or(_), Self::Or(inner)) => flat.extend(inner),
                (_, part) => {
                    flat.insert(part);
                }
            }
        }
        match (self, flat.len()) {
            (_, 1) => flat.pop_first().unwrap_or_else(|| Self::Unlisted(String::new())),
            (Self::Or(_), _) => Self::Or(flat),
            (Self::And(_) | Self::Listed(_) | Self::Unlisted(_), _) => Self::And(flat),
        }
    }
}

/// Splits at the first separator that occurs, and each part at those after it.
fn split(text: &str, separators: &[&str], leaf: &mut dyn FnMut(&str) -> Expression) -> Expression {
    let Some((separator, rest)) = separators.split_first() else { return leaf(text.trim()) };
    let folded = text.to_ascii_lowercase();
    let mut parts = BTreeSet::new();
    let mut from = 0;
    while let Some(at) = folded[from..].find(separator) {
        parts.insert(split(&text[from..from + at], rest, leaf));
        from += at + separator.len();
    }
    let last = split(&text[from..], rest, leaf);
    if parts.is_empty() {
        return last;
    }
    parts.insert(last);
    let empty = BTreeSet::new();
    let operator = if separator.contains("or") { Expression::Or(empty) } else { Expression::And(empty) };
    operator.join(parts)
}

/// `LicenseRef-PACKAGE-NAME` with nothing but letters, digits, `.` and `-` (SPDX 2.3, section 10.1). A name that had
/// other characters gets a digest, so that two names never become one.
pub(super) fn reference(package: &str, name: &str) -> String {
    let whole = format!("{package}-{name}");
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let clean: String = whole.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    let mut short: String = clean.chars().take(80).collect();
    if short != whole {
        short.push('-');
        short.extend(Digest::of(whole.as_bytes()).hex().chars().take(8));
    }
    format!("LicenseRef-{short}")
}
