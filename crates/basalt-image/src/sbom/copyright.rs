//! `/usr/share/doc/PACKAGE/copyright`: machine-readable copyright files (copyright-format 1.0, "DEP-5") to SPDX.

use std::collections::{BTreeMap, BTreeSet};

use basalt_debian::control::Paragraphs;

use super::licence::{Expression, reference};

/// What a package's copyright file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Licence {
    /// An SPDX licence expression (SPDX 2.3, annex D): everything that holds for some file of the package.
    pub expression: String,
    /// The texts of the licences in it that SPDX's list does not have.
    pub extracted: Vec<Extracted>,
}

/// A licence by its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// `LicenseRef-…`, unique by package and name.
    pub id: String,
    /// What the package calls it.
    pub name: String,
    /// Its text, as the copyright file has it.
    pub text: String,
}

/// Reads a copyright file. One that is not machine-readable is one licence, whose text is the whole file.
pub(super) fn read(package: &str, text: &str) -> Licence {
    let Some(declared) = declared(text) else {
        let id = reference(package, "copyright");
        let extracted =
            Extracted { id: id.clone(), name: format!("{package} copyright"), text: text.to_owned() };
        return Licence { expression: id, extracted: vec![extracted] };
    };
    let Declared { names, texts } = declared;
    let expressions: BTreeSet<Expression> = names.iter().map(|name| Expression::parse(name)).collect();
    let all = Expression::all(expressions);
    let extracted = all.unlisted().into_iter().map(|name| Extracted {
        id: reference(package, &name),
        text: match texts.get(&name.to_ascii_lowercase()) {
            Some(text) => text.clone(),
            None => format!("See /usr/share/doc/{package}/copyright."),
        },
        name,
    });
    Licence { extracted: extracted.collect(), expression: all.render(package) }
}

/// The licence names of all files, and the texts of licences by name in lower case.
struct Declared {
    names: BTreeSet<String>,
    texts: BTreeMap<String, String>,
}

/// `None` when the file does not say that it is machine-readable, or no file of it has a licence.
fn declared(text: &str) -> Option<Declared> {
    let mut paragraphs = Paragraphs::new(text);
    let format = paragraphs.next()?.get("Format")?.to_ascii_lowercase();
    if !["copyright-format", "dep5"].iter().any(|word| format.contains(word)) {
        return None;
    }
    let mut declared = Declared { names: BTreeSet::new(), texts: BTreeMap::new() };
    for paragraph in paragraphs {
        let Some(licence) = paragraph.get("License") else { continue };
        let (name, body) = licence.split_once('\n').unwrap_or((licence, ""));
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        if name.is_empty() {
            continue;
        }
        let body = unfold(body);
        if !body.is_empty() {
            declared.texts.entry(name.to_ascii_lowercase()).or_insert(body);
        }
        // A paragraph without Files only holds the text.
        if paragraph.get("Files").is_some() {
            declared.names.insert(name);
        }
    }
    (!declared.names.is_empty()).then_some(declared)
}

/// Formatted text of a control field (Debian policy section 5.6.13): one blank before each line, ` .` for an empty one.
fn unfold(body: &str) -> String {
    let line = |line: &str| match line.strip_prefix(' ').unwrap_or(line) {
        "." => String::new(),
        line => line.trim_end().to_owned(),
    };
    body.lines().map(line).collect::<Vec<_>>().join("\n").trim().to_owned()
}
