//! What is wrong with a recipe, or strange: the engine's own parser, checks and rules, as values that a page and a program
//! both read.

use std::collections::BTreeSet;

use basalt_image::lint::{self, Severity as Rank, Subject};
use basalt_spec::{Lock, Recipe, SpecError, Written};
use basalt_types::Digest;
use miette::Diagnostic as _;
use schemars::JsonSchema;
use serde::Serialize;

use super::document;

/// The largest recipe: the longest of ours has 5 kB.
pub(super) const LARGEST_RECIPE: usize = 256 * 1024;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Checked {
    /// The recipe's identity, when nothing refuses it: the digest of what it means.
    pub(super) id: Option<String>,
    /// What was found, refusals first.
    pub(super) findings: Vec<Finding>,
}

/// One thing that is wrong or strange, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    /// Whether it can be built all the same.
    pub(super) severity: Severity,
    /// What it is.
    pub(super) message: String,
    /// What to write instead, or why.
    pub(super) hint: Option<String>,
    /// The key of the recipe that it is about.
    pub(super) key: Option<String>,
    /// Where it is in the text.
    pub(super) place: Option<Place>,
}

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Place {
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
    /// From 0, in bytes of UTF-8.
    pub(super) offset: usize,
    /// In bytes of UTF-8.
    pub(super) length: usize,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Severity {
    /// It can't be built.
    Refusal,
    /// It can be built and is likely not what was meant.
    Warning,
    /// Worth knowing.
    Note,
}

/// What a factory allows recipes to reach.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach(BTreeSet<String>);

impl Reach {
    pub(super) fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        Self(hosts.into_iter().collect())
    }

    /// Whether builds may speak with this `HOST[:PORT]`; a host that was allowed without a port is so with any.
    fn allows(&self, host: &str) -> bool {
        let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
        self.0.contains(host) || self.0.contains(bare)
    }
}

/// Reads a recipe as a factory takes it from others.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn parse(text: &str, reach: &Reach) -> Result<Recipe, SpecError> {
    let reaches = |host: &str| reach.allows(host);
    Written::parse_from_afar("recipe.yaml", text, &reaches).map(Written::alone)
}

/// The identity of a recipe: what it means, with every default written, whatever it looks like.
pub(super) fn id_of(recipe: &Recipe) -> Digest {
    Digest::of(recipe.to_canonical_json().as_bytes())
}

/// Checks a recipe; with a lock also what it resolves to.
pub(super) fn check(text: &str, reach: &Reach, lock: Option<&Lock>) -> Checked {
    let recipe = match parse(text, reach) {
        Ok(recipe) => recipe,
        Err(error) => return Checked { id: None, findings: refusals(text, &error) },
    };
    let mut findings: Vec<Finding> = Vec::new();
    let subject = Subject { image: None, lock, recipe: Some(&recipe) };
    match lint::check(subject, &[]) {
        Ok(report) => findings.extend(report.findings.into_iter().map(|finding| Finding {
            severity: match finding.severity {
                Rank::Error | Rank::Warning => Severity::Warning,
                Rank::Note => Severity::Note,
            },
            message: match finding.path {
                Some(path) => format!("{path}: {}", finding.explanation),
                None => finding.explanation,
            },
            hint: Some(finding.remedy.to_owned()),
            key: None,
            place: None,
        })),
        Err(error) => findings.push(Finding::warning(format!("the rules can't be applied: {error}"), None)),
    }
    findings.sort_by_key(|finding| finding.severity);
    Checked { id: Some(id_of(&recipe).hex()), findings }
}

impl Finding {
    fn warning(message: String, key: Option<&str>) -> Self {
        Self { severity: Severity::Warning, message, hint: None, key: key.map(str::to_owned), place: None }
    }
}

/// What the parser refused, with places.
pub(super) fn refusals(text: &str, error: &SpecError) -> Vec<Finding> {
    let refusal = |problem: &basalt_spec::Problem| {
        let (line, column) = error.position(problem);
        let label = problem.labels().and_then(|mut labels| labels.next());
        let hint = problem.help().map(|help| help.to_string());
        let said = label.as_ref().and_then(|label| label.label()).map(str::to_owned);
        Finding {
            severity: Severity::Refusal,
            message: problem.message().to_owned(),
            hint: said.into_iter().chain(hint).reduce(|one, other| format!("{one} {other}")),
            key: document::key_of_line(text, line).map(str::to_owned),
            place: label.map(|label| Place { line, column, offset: label.offset(), length: label.len() }),
        }
    };
    error.problems().iter().map(refusal).collect()
}

#[cfg(test)]
mod tests {
    use super::{Reach, Severity, check};
    use crate::serve::template::TEMPLATES;

    #[test]
    fn every_template_is_taken() {
        for template in TEMPLATES {
            let found = check(template.recipe, &Reach::default(), None);
            assert!(found.id.is_some(), "{}: {:?}", template.name, found.findings);
        }
    }

    #[test]
    fn what_cannot_be_together_is_refused_at_its_place() {
        let text = format!("{}\nkernel: {{package: none}}\n", TEMPLATES[0].recipe);
        let found = check(&text, &Reach::default(), None);
        let finding = &found.findings[0];
        assert_eq!((finding.severity, finding.key.as_deref()), (Severity::Refusal, Some("kernel")));
        assert!(finding.message.contains("takes a kernel"), "{finding:?}");
        assert_eq!(found.id, None);
    }

    #[test]
    fn comments_and_order_are_no_part_of_the_identity() {
        let text = "apiVersion: basalt.dev/v1alpha1\nkind: Recipe\nname: a\npackages: [less]\n";
        let same = "# hi\nkind: Recipe\nname: a\napiVersion: basalt.dev/v1alpha1\npackages:\n  - less\nrecommends: false\n";
        let id = |text: &str| check(text, &Reach::default(), None).id.unwrap();
        assert_eq!(id(text), id(same));
        assert_ne!(id(text), id(&text.replace("less", "nano")));
    }

    #[test]
    fn hosts_are_allowed_with_and_without_a_port() {
        let reach = Reach::new(["a.example".to_owned(), "b.example:5000".to_owned()]);
        for (host, allowed) in
            [("a.example", true), ("a.example:1", true), ("b.example:5000", true), ("b.example", false)]
        {
            assert_eq!(reach.allows(host), allowed, "{host}");
        }
    }
}
