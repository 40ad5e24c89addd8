//! Pages: HTML by values, everything that is not ours escaped by `maud`.

mod account;
mod boots;
mod builder;
mod builds;
mod entry;
mod fields;
mod frame;
mod home;
mod people;
mod review;

use maud::{Markup, html};

use super::{
    call::{Call, Refusal, Reply},
    router::{Reader, Route, Verb},
};
use crate::serve::Site;
use frame::{Frame, Here};

pub(super) use builds::{MOST_EVENTS, log_of, stream};

/// Where each page is.
pub(super) fn routes() -> Vec<Route> {
    let get = |path, handler| Route { method: Verb::Get, path, reader: Reader::Person, handler };
    let post = |path, handler| Route { method: Verb::Post, path, reader: Reader::Person, handler };
    vec![
        get("/assets/{name}", super::assets::get),
        get("/setup/{token}", entry::setup),
        post("/setup/{token}", entry::set_up),
        get("/login", entry::login),
        post("/login", entry::log_in),
        post("/logout", entry::log_out),
        get("/", home::home),
        get("/new", builder::new),
        get("/r/{id}", builder::saved),
        post("/compose", builder::compose),
        get("/builds", builds::list),
        post("/builds", builds::create),
        get("/builds/{id}", builds::show),
        post("/builds/{id}/{act}", builds::act),
        get("/builds/{id}/events", builds::events),
        get("/builds/{id}/log", builds::log),
        get("/builds/{id}/files/{name}", super::download::for_person),
        get("/compare", builds::compare),
        get("/account", account::account),
        post("/account/tokens", account::new_token),
        post("/account/tokens/{id}/delete", account::remove_token),
        post("/account/password", account::change_password),
        get("/people", people::people),
        post("/people/invite", people::invite),
    ]
}

/// What a person sees in place of a page.
pub(super) fn refusal(site: &Site, call: &Call, refusal: Refusal) -> Reply {
    if let Refusal::Stranger = refusal {
        return to_login(call);
    }
    let who = call.signed_in(site).ok();
    let frame = Frame { title: title(&refusal), here: Here::Nowhere, who: who.as_ref(), changes: false };
    let reply = Reply::html(frame.page(&body(&refusal))).with_status(refusal.status());
    refusal.headers().into_iter().fold(reply, |reply, (name, value)| reply.with(name, value))
}

/// The same where nothing is known of whoever asks.
pub(super) fn bare_refusal(refusal: &Refusal) -> Reply {
    let frame = Frame { title: title(refusal), here: Here::Nowhere, who: None, changes: false };
    Reply::html(frame.page(&body(refusal))).with_status(refusal.status())
}

/// Sends a stranger to the door, and from there to where they wanted to go.
///
/// A link on another site makes a browser leave the session's cookie out (`SameSite=Strict`): the page asks for itself again,
/// which comes from here.
fn to_login(call: &Call) -> Reply {
    let from_afar = call.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if from_afar && call.method == axum::http::Method::GET {
        let page = html! { (maud::DOCTYPE) html lang="en" { head { meta charset="utf-8"; meta http-equiv="refresh" content="0"; title { "Basalt" } } body {} } };
        return Reply::html(page);
    }
    let next: String =
        form_urlencoded::Serializer::new(String::new()).append_pair("next", &call.path).finish();
    let is_page = call.method == axum::http::Method::GET && call.path != "/";
    match is_page {
        true => Reply::see_other(&format!("/login?{next}")),
        false => Reply::see_other("/login"),
    }
}

fn title(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NotFound => "Not here",
        Refusal::Stranger => "Sign in",
        Refusal::Forbidden(_) => "Not allowed",
        Refusal::Bad(_) | Refusal::TooLarge => "Not understood",
        Refusal::Conflict(_) => "Not now",
        Refusal::Recipe(_) | Refusal::Unresolved(_) => "Not possible",
        Refusal::TooMany { .. } => "Too much at once",
        Refusal::Broken(_) => "Something is broken",
    }
}

fn body(refusal: &Refusal) -> Markup {
    let findings = match refusal {
        Refusal::Recipe(checked) => checked.findings.as_slice(),
        Refusal::NotFound
        | Refusal::Stranger
        | Refusal::Forbidden(_)
        | Refusal::Bad(_)
        | Refusal::TooLarge
        | Refusal::Conflict(_)
        | Refusal::Unresolved(_)
        | Refusal::TooMany { .. }
        | Refusal::Broken(_) => &[],
    };
    html! {
        section .door {
            h1 { (title(refusal)) }
            p .lead { (sentence(&refusal.message())) }
            @if !findings.is_empty() { ul { @for finding in findings { li { (finding.message) } } } }
            p { a href="/" { "To the start" } }
        }
    }
}

/// A clause as a sentence.
fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}
