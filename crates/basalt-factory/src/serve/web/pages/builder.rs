//! The builder: one document as a form and as YAML, and what is wrong with it.

use axum::http::StatusCode;
use maud::{Markup, html};
use serde_json::json;

use super::{
    fields,
    frame::{Frame, Here, token},
    review,
};
use crate::serve::{
    Site,
    check::{self, Checked, Finding, Severity},
    document::Document,
    form::{self, Fields},
    service,
    state::Who,
    template,
    web::call::{Call, Outcome, Refusal, Reply},
};

/// The document as it is on the page.
struct Draft {
    text: String,
    /// None while the text is no YAML: there is no form of it then.
    document: Option<Document>,
    checked: Checked,
}

impl Draft {
    fn of(site: &Site, text: String) -> Self {
        let checked = match text.len() > check::LARGEST_RECIPE {
            true => Checked { id: None, findings: Vec::new() },
            false => check::check(&text, &site.reach, None),
        };
        Self { document: Document::read(&text).ok(), text, checked }
    }
}

/// `GET /new`: a template, or an empty recipe.
pub(in crate::serve::web) fn new(site: &Site, call: &Call) -> Outcome {
    let who = call.signed_in(site)?;
    let text = match call.query.get("template") {
        "" => "apiVersion: basalt.dev/v1alpha1\nkind: Recipe\n\nname: my-image\n",
        name => template::find(name).ok_or(Refusal::NotFound)?.recipe,
    };
    Ok(Reply::html(page(&who, "New image", &Draft::of(site, text.to_owned()))))
}

/// `GET /r/{id}`: a recipe that was kept; the address is its content.
pub(in crate::serve::web) fn saved(site: &Site, call: &Call) -> Outcome {
    let who = call.signed_in(site)?;
    let saved = site.state.recipe(who.account.project, call.place("id"))?.ok_or(Refusal::NotFound)?;
    Ok(Reply::html(page(&who, &saved.name, &Draft::of(site, saved.recipe))))
}

/// `POST /compose`: the document after an edit of one view, as the other view; or what comes next.
pub(in crate::serve::web) fn compose(site: &Site, call: &Call) -> Outcome {
    let (who, sent) = call.signed_form(site)?;
    let draft = edited(site, &sent)?;
    if call.wants_json() {
        let form =
            draft.document.as_ref().map(|document| fields::all(document, &draft.checked).into_string());
        let findings = findings(&draft.checked, &draft.text).into_string();
        return Ok(Reply::json(
            &json!({ "yaml": draft.text, "form": form, "findings": findings, "id": draft.checked.id }),
        ));
    }
    match (sent.get("then"), &draft.checked.id) {
        ("share", Some(_)) => {
            let saved = service::save(site, &who, &draft.text)?;
            Ok(Reply::see_other(&format!("/r/{}", saved.id)))
        }
        ("review", Some(_)) => match service::preview(site, &who, &draft.text) {
            Ok((accepted, preview)) => {
                service::save(site, &who, &draft.text)?;
                Ok(Reply::html(review::page(site, &who, (&accepted, &preview), &draft.text)))
            }
            Err(Refusal::Unresolved(failure)) => {
                let finding = review::unresolved(&failure);
                let mut draft = draft;
                draft.checked.findings.insert(0, finding);
                Ok(Reply::html(page(&who, "Not possible", &draft))
                    .with_status(StatusCode::UNPROCESSABLE_ENTITY))
            }
            Err(other) => Err(other),
        },
        (_, Some(_)) | ("", None) => Ok(Reply::html(page(&who, "New image", &draft))),
        (_, None) => {
            Ok(Reply::html(page(&who, "Not possible", &draft)).with_status(StatusCode::UNPROCESSABLE_ENTITY))
        }
    }
}

/// The document that a browser sent, with the edit of the view that was used.
///
/// `base` is the text that the form was drawn from: an edit by form is an edit of it, for accounts and files of a form are known
/// by their places there. A browser without scripts doesn't say which view was used: the text, if it is not what it was.
fn edited(site: &Site, sent: &Fields) -> Result<Draft, Refusal> {
    let [text, base] = ["yaml", "base"].map(|name| sent.get(name).replace("\r\n", "\n"));
    if text.len().max(base.len()) > check::LARGEST_RECIPE {
        return Err(service::too_long());
    }
    let by_form = match sent.get("view") {
        "form" => true,
        "yaml" => false,
        _not_said => text.trim_end() == base.trim_end(),
    };
    let text = match Document::read(&base) {
        Ok(document) if by_form => {
            let document =
                form::apply(sent, &document).map_err(|error| Refusal::Broken(error.to_string()))?;
            document.text().to_owned()
        }
        Ok(_) | Err(_) => text,
    };
    Ok(Draft::of(site, text))
}

fn page(who: &Who, title: &str, draft: &Draft) -> Markup {
    let frame = Frame { title, here: Here::Build, who: Some(who), changes: false };
    let Draft { text, document, checked } = draft;
    frame.page(&html! {
        div .headline {
            h1 { (title) }
            @if checked.id.is_none() { p .wrong { "This can't be built as it is. " a href="#findings" { "Why?" } } }
            p .lead { "Choose in the form or write the text: both are the same recipe." }
        }
        form #builder .builder method="post" action="/compose" {
            (token(who))
            // What Enter in a field of the form does.
            button .default tabindex="-1" aria-hidden="true" { "Update" }
            textarea #base name="base" hidden { "\n" (text) }
            div #form .fields {
                @match document {
                    Some(document) => (fields::all(document, checked)),
                    None => p .notice { "The text is not YAML now. Mend it, and the form is back." },
                }
            }
            div .text {
                div .sticky {
                    section aria-labelledby="yaml-title" {
                        div .bar {
                            h2 #yaml-title { "recipe.yaml" }
                            button .quiet .without-script name="view" value="yaml" { "Read the form from this text" }
                        }
                        textarea #yaml name="yaml" spellcheck="false" autocapitalize="none" autocomplete="off" wrap="off" aria-labelledby="yaml-title" aria-describedby="findings" { "\n" (text) }
                    }
                    div #findings role="region" tabindex="0" aria-label="What the factory says of the recipe" aria-live="polite" { (findings(checked, text)) }
                    div .row .actions {
                        button #review .primary name="then" value="review" { "Review and build" }
                        button #share .quiet name="then" value="share" { "Save and get a link" }
                    }
                }
            }
        }
    })
}

/// What is wrong or strange, worst first.
fn findings(checked: &Checked, text: &str) -> Markup {
    let Checked { id, findings } = checked;
    let refusals = findings.iter().filter(|finding| finding.severity == Severity::Refusal).count();
    html! {
        @if id.is_some() && refusals == 0 {
            p .verdict .good { span .dot aria-hidden="true" {} "This can be built." }
        } @else {
            p .verdict .bad { span .dot aria-hidden="true" {} "This can't be built: " (crate::report::count(refusals, "problem")) "." }
        }
        @if !findings.is_empty() {
            ul .findings { @for finding in findings { (finding_item(finding, text)) } }
        }
    }
}

fn finding_item(finding: &Finding, text: &str) -> Markup {
    let Finding { severity, message, hint, key, place } = finding;
    let (class, word) = match severity {
        Severity::Refusal => ("refusal", "Refused"),
        Severity::Warning => ("warning", "Warning"),
        Severity::Note => ("note", "Note"),
    };
    // A script counts in UTF-16 units and the engine in bytes: characters lie between.
    let characters = |end: usize| text.get(..end).map(|before| before.encode_utf16().count());
    html! {
        li class=(class) data-key=[key.as_deref()] {
            p {
                strong { (word) } " "
                @if let Some(key) = key { code { (key) } " " }
                (message)
                @if let Some(place) = place {
                    " "
                    span .place data-start=[characters(place.offset)] data-end=[characters(place.offset + place.length)] {
                        "line " (place.line)
                    }
                }
            }
            @if let Some(hint) = hint { p .help { (hint) } }
        }
    }
}
