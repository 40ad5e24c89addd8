//! Texts for cloud-init and for Kairos, in the styles of their documentation: what each becomes, or why it doesn't.
//!
//! Each file of `tests/cloud` has its golden file beside those of the other tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "the texts are files of the repository")]

use std::{fmt::Write as _, fs, path::PathBuf};

use basalt_spec::{
    SpecError,
    cloud::{Converted, Flavour, convert},
    node::{Layers, NodeConfig},
};

/// The texts, by name.
fn texts() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cloud");
    let mut texts: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    texts.sort();
    texts
}

fn refusals(error: &SpecError) -> String {
    let line = |problem| format!("  {}: {problem}\n", error.position(problem).0);
    error.problems().iter().map(line).collect()
}

/// What became of a text, for people.
fn shown(result: &Result<Converted, SpecError>) -> String {
    let Converted { flavour, document, translated, refused } = match result {
        Ok(converted) => converted,
        Err(error) => return format!("not a #cloud-config:\n{}", refusals(error)),
    };
    let mut text = format!("read as {flavour:?}\n");
    for one in translated {
        writeln!(text, "  {}: {} -> {}", one.line, one.from, one.to).unwrap();
    }
    if let Some(error) = refused {
        write!(text, "refused:\n{}", refusals(error)).unwrap();
    }
    match document {
        Some(document) => write!(text, "---\n{document}").unwrap(),
        None => text.push_str("no document\n"),
    }
    text
}

#[test]
fn every_text_is_converted_or_refused_with_reasons() {
    let texts = texts();
    assert!(texts.len() >= 40, "{}", texts.len());
    for (name, text) in texts {
        insta::assert_snapshot!(name.clone(), shown(&convert(&name, &text, None)));
    }
}

/// What is made is valid, also as the only document of a machine, and says the same when it is read again.
#[test]
fn every_document_that_is_made_is_one() {
    let mut made = 0;
    for (name, text) in texts() {
        let Ok(Converted { document: Some(document), .. }) = convert(&name, &text, None) else { continue };
        NodeConfig::parse(&name, &document).unwrap_or_else(|error| panic!("{name}: {error:#}\n{document}"));
        let mut layers = Layers::default();
        layers.push(&name, &document).unwrap();
        layers.merge().unwrap_or_else(|error| panic!("{name}: {error:#}"));
        made += 1;
    }
    assert!(made >= 30, "{made}");
}

/// Nothing is left out in silence: each key at the top is in the report or among what was refused.
#[test]
fn every_key_of_every_text_is_answered() {
    for (name, text) in texts() {
        let Ok(converted) = convert(&name, &text, None) else { continue };
        for (index, line) in text.lines().enumerate() {
            let Some((key, _)) = line.split_once(':').filter(|(key, _)| !key.starts_with(['#', ' ', '-']))
            else {
                continue;
            };
            let translated =
                converted.translated.iter().any(|one| one.from.split(['.', '[']).next() == Some(key));
            let refused = converted.refused.as_ref().is_some_and(|error| {
                error.problems().iter().any(|problem| {
                    let quoted = problem.message().split('`').nth(1).unwrap_or_default();
                    quoted.split(['.', '[']).next() == Some(key) || error.position(problem).0 == index + 1
                })
            });
            assert!(translated || refused, "{name}: `{key}` is not answered");
        }
    }
}

#[test]
fn a_flavour_can_be_given() {
    let text = "#cloud-config\nruncmd: [ls]\n";
    let once = |flavour| convert("x", text, flavour).unwrap().document.unwrap().contains("once: true");
    assert!(once(None) && once(Some(Flavour::CloudInit)));
    assert!(!once(Some(Flavour::Kairos)));
}
