//! What a build would make, before it is built.

use basalt_types::ByteSize;
use maud::{Markup, html};

use super::{
    fields::about,
    frame::{Frame, Here, token},
};
use crate::serve::{
    Site,
    check::{self, Finding, Severity},
    event::Failure,
    service::Accepted,
    state::Who,
    work::{Preview, Since},
};

/// The page before the build.
pub(super) fn page(site: &Site, who: &Who, (accepted, preview): (&Accepted, &Preview), text: &str) -> Markup {
    let Accepted { recipe, id } = accepted;
    let title = format!("Review {}", recipe.name);
    let frame = Frame { title: &title, here: Here::Build, who: Some(who), changes: false };
    let findings = check::check(text, &site.reach, None).findings;
    frame.page(&html! {
        div .headline {
            h1 { (recipe.name) " " span .soft { (recipe.version.to_string()) } }
            p .lead { "This is what you get. Nothing is built yet." }
        }
        dl .facts {
            div { dt { "Packages" } dd { (preview.packages.len()) } }
            div { dt { "To fetch, at most" } dd { (size(preview.download)) } }
            div { dt { "Root file system" } dd { "≈ " (size(preview.root)) } }
            div { dt { "Recipe" } dd { a href={ "/r/" (id) } { code { (&id[..12]) } } } }
        }
        @if !findings.is_empty() {
            ul .findings {
                @for finding in &findings {
                    li class="warning" { p { strong { "Warning" } " " (finding.message) } @if let Some(hint) = &finding.hint { p .help { (hint) } } }
                }
            }
        }
        section {
            h2 { "What is made" }
            ul .chips { @for output in &recipe.outputs { li { strong { (output.word()) } " " span .help { (about(*output)) } } } }
        }
        div .row .actions {
            form method="post" action="/builds" {
                (token(who))
                textarea name="recipe" hidden { "\n" (text) }
                button #build .primary { "Build it" }
            }
            a .button .quiet href={ "/r/" (id) } { "Change it" }
        }
        @match &preview.since {
            Some(since) => (changes(since)),
            None => section { h2 { "Since the last build" } p { "An image of this name was not built before." } },
        }
        (packages(preview))
    })
}

/// The differences to another build.
pub(super) fn changes(since: &Since) -> Markup {
    let Since { build, changes, unchanged, size_change } = since;
    html! {
        section {
            h2 { "Since " a href={ "/builds/" (build) } { "the build before" } }
            @if changes.is_empty() {
                p { "Every package is the same." }
            } @else {
                p { (crate::report::count(changes.len(), "package")) (if changes.len() == 1 { " differs, " } else { " differ, " }) (unchanged) " are the same, " (signed(*size_change)) "." }
                div .scroll role="region" tabindex="0" aria-label="Packages that differ" {
                    table {
                        thead { tr { th { "Package" } th { "Before" } th { "After" } th .number { "Size" } } }
                        tbody {
                            @for change in changes {
                                tr class=(match (&change.before, &change.after) { (None, _) => "added", (_, None) => "removed", _ => "" }) {
                                    td { (change.name) }
                                    td { (change.before.as_deref().unwrap_or("not there")) }
                                    td { (change.after.as_deref().unwrap_or("gone")) }
                                    td .number { (signed(change.size_change)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn packages(preview: &Preview) -> Markup {
    html! {
        section {
            h2 { "Packages" }
            div .scroll .tall role="region" tabindex="0" aria-label="Packages" {
                table {
                    thead { tr { th { "Package" } th { "Version" } th { "Why" } th .number { "Size" } } }
                    tbody {
                        @for package in &preview.packages {
                            tr {
                                td { (package.name) }
                                td { (package.version) }
                                td .soft { (package.reason) }
                                td .number { (size(package.size)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Why packages can't be resolved, as a finding of the recipe.
pub(super) fn unresolved(failure: &Failure) -> Finding {
    let (message, hint) = (failure.line(), failure.hints.first().cloned());
    Finding { severity: Severity::Refusal, message, hint, key: Some("packages".to_owned()), place: None }
}

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    ByteSize::bytes(bytes).human()
}

fn signed(bytes: i64) -> String {
    let sign = if bytes < 0 { "−" } else { "+" };
    format!("{sign}{}", size(bytes.unsigned_abs()))
}
