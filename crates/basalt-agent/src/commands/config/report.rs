//! What is printed.

use std::{fmt::Write as _, path::Path};

use basalt_spec::node::{Difference, Explained, Mention};

pub(super) fn valid(file: &Path, others: usize) -> String {
    let with = match others {
        0 => "this machine has no other".to_owned(),
        1 => "also on top of this machine's one".to_owned(),
        more => format!("also on top of this machine's {more}"),
    };
    format!("{} is a valid document, {with}\n", file.display())
}

pub(super) fn explained(explained: &Explained) -> String {
    let Explained { key, value, mentions } = explained;
    let mut text = match value {
        Some(value) => assigned(&key.to_string(), value),
        None => format!("{key}: taken away\n"),
    };
    // The one that counts is what a reader looks for.
    for Mention { place, value } in mentions.iter().rev() {
        let said = match value {
            Some(value) => value.lines().collect::<Vec<_>>().join(" ⏎ "),
            None => "takes it away".to_owned(),
        };
        line(&mut text, format_args!("  {place}  {said}"));
    }
    text
}

pub(super) fn differences(differences: &[Difference]) -> String {
    if differences.is_empty() {
        return "nothing changes\n".to_owned();
    }
    let mut text = String::new();
    for Difference { key, before, after } in differences {
        line(&mut text, format_args!("{key}"));
        for (sign, mention) in [('-', before), ('+', after)] {
            for value in
                mention.iter().flat_map(|mention| mention.value.as_deref().unwrap_or_default().lines())
            {
                line(&mut text, format_args!("  {sign} {value}"));
            }
        }
    }
    text
}

fn assigned(key: &str, value: &str) -> String {
    if value.contains('\n') {
        let body: String = value.lines().map(|line| format!("  {line}\n")).collect();
        return format!("{key}:\n{body}");
    }
    format!("{key}: {value}\n")
}

/// Adds a line. Writing to a text can't fail.
fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    match writeln!(text, "{arguments}") {
        Ok(()) | Err(std::fmt::Error) => {}
    }
}
