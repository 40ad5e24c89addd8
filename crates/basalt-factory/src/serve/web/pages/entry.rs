//! How one comes in: the first account, invitations, signing in and out.

use std::time::Instant;

use axum::http::StatusCode;
use maud::{Markup, html};

use super::frame::{Frame, Here};
use crate::serve::{
    Site, door,
    form::Fields,
    secret::{self, Token},
    web::call::{COOKIE, Call, Outcome, Refusal, Reply, STRANGER, stranger_form},
};

/// What a form of a stranger looked like when it was refused.
#[derive(Default)]
struct Tried<'a> {
    name: &'a str,
    wrong: Option<String>,
}

/// `GET /setup/{token}`: the form that makes an account.
pub(in crate::serve::web) fn setup(site: &Site, call: &Call) -> Outcome {
    if site.state.link(call.place("token"))?.is_none() {
        return Ok(used_up());
    }
    stranger_page(site, call, |form| setup_page(call, form, &Tried::default()))
}

/// `POST /setup/{token}`: makes the account, uses the link up and signs in.
pub(in crate::serve::web) fn set_up(site: &Site, call: &Call) -> Outcome {
    let fields = call.strangers_form()?;
    let (name, password) = (fields.get("name").trim(), fields.get("password"));
    let wrong = match check_name(name).or_else(|| check_password(&fields)) {
        Some(wrong) => wrong,
        None => match site.state.new_account(call.place("token"), (name, password))? {
            None => return Ok(used_up()),
            Some(Ok(account)) => return signed_in(site, account, "/"),
            Some(Err(_taken)) => format!("somebody is called {name} already"),
        },
    };
    let tried = Tried { name, wrong: Some(wrong) };
    let reply = stranger_page(site, call, |form| setup_page(call, form, &tried))?;
    Ok(reply.with_status(StatusCode::UNPROCESSABLE_ENTITY))
}

/// `GET /login`.
pub(in crate::serve::web) fn login(site: &Site, call: &Call) -> Outcome {
    if call.signed_in(site).is_ok() {
        return Ok(Reply::see_other(&next_page(&call.query)));
    }
    stranger_page(site, call, |form| login_page(&next_page(&call.query), form, &Tried::default()))
}

/// `POST /login`: tries a password.
pub(in crate::serve::web) fn log_in(site: &Site, call: &Call) -> Outcome {
    let fields = call.strangers_form()?;
    let name = fields.get("name").trim();
    let (keys, now) = (door::keys(call.peer, name), Instant::now());
    if let Some(left) = site.door.wait(keys, now) {
        let why = "too many wrong passwords: wait a minute, then try again";
        return Err(Refusal::TooMany { seconds: left.as_secs() + 1, why });
    }
    let password = fields.get("password");
    // Nobody's password is longer, and hashing megabytes is what an attacker wants.
    let account = match password.len() <= secret::LONGEST_PASSWORD {
        true => site.state.sign_in(name, password)?,
        false => None,
    };
    if let Some(account) = account {
        site.door.right(keys);
        return signed_in(site, account, &next_page(&fields));
    }
    site.door.wrong(keys, now);
    site.state.audit_stranger("gave a wrong password", &call.peer.to_string())?;
    let tried = Tried { name, wrong: Some("this name and this password do not belong together".to_owned()) };
    let reply = stranger_page(site, call, |form| login_page(&next_page(&fields), form, &tried))?;
    Ok(reply.with_status(StatusCode::UNAUTHORIZED))
}

/// `POST /logout`.
pub(in crate::serve::web) fn log_out(site: &Site, call: &Call) -> Outcome {
    call.signed_form(site)?;
    if let Some(cookie) = call.cookie(COOKIE) {
        site.state.end_session(cookie)?;
    }
    Ok(Reply::see_other("/login").with_cookie(site, (COOKIE, None)))
}

/// What is wrong with a new password, if anything.
pub(in crate::serve::web) fn check_password(fields: &Fields) -> Option<String> {
    let password = fields.get("password");
    if password.chars().count() < secret::SHORTEST_PASSWORD {
        return Some(format!("a password has {} characters or more", secret::SHORTEST_PASSWORD));
    }
    if password.len() > secret::LONGEST_PASSWORD {
        return Some(format!("a password has at most {} bytes", secret::LONGEST_PASSWORD));
    }
    (password != fields.get("again")).then(|| "the two passwords are not the same".to_owned())
}

fn check_name(name: &str) -> Option<String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-' | '@');
    let ok = (1..=40).contains(&name.len()) && name.chars().all(fits);
    (!ok).then(|| "a name has up to 40 letters, digits and . _ - @".to_owned())
}

fn signed_in(site: &Site, account: i64, next: &str) -> Outcome {
    let token = site.state.new_session(account)?;
    let reply = Reply::see_other(next).with_cookie(site, (COOKIE, Some(token.reveal())));
    Ok(reply.with_cookie(site, (STRANGER, None)))
}

/// A page with a form of a browser that has no session; it gets a cookie that the form goes with.
fn stranger_page(site: &Site, call: &Call, page: impl FnOnce(&str) -> Markup) -> Outcome {
    if let Some(cookie) = call.cookie(STRANGER).filter(|cookie| !cookie.is_empty()) {
        return Ok(Reply::html(page(&stranger_form(cookie))));
    }
    let token = Token::new("").map_err(|error| Refusal::Broken(error.to_string()))?;
    let reply = Reply::html(page(&stranger_form(token.reveal())));
    Ok(reply.with_cookie(site, (STRANGER, Some(token.reveal()))))
}

/// Where one wanted to go: a path of ours and nothing else.
fn next_page(fields: &Fields) -> String {
    let next = fields.get("next");
    let is_ours = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n']);
    if is_ours { next.to_owned() } else { "/".to_owned() }
}

fn used_up() -> Reply {
    let frame = Frame { title: "This link is used up", here: Here::Nowhere, who: None, changes: false };
    let page = frame.page(&html! {
        section .door {
            h1 { "This link opens nothing" }
            p { "A link like this works once, for two days. Whoever runs the factory gets a new one by starting it again, as long as nobody has an account; after that an administrator invites." }
            p { a href="/login" { "Sign in" } }
        }
    });
    Reply::html(page).with_status(StatusCode::NOT_FOUND)
}

fn said(wrong: Option<&String>) -> Markup {
    html! {
        @if let Some(wrong) = wrong { p .wrong role="alert" #wrong { (wrong) } }
    }
}

fn setup_page(call: &Call, form: &str, tried: &Tried<'_>) -> Markup {
    let frame = Frame { title: "Make your account", here: Here::Nowhere, who: None, changes: false };
    frame.page(&html! {
        section .door {
            h1 { "Make your account" }
            p .lead { "This link is yours alone and works once. There is no default password to change later." }
            (said(tried.wrong.as_ref()))
            form method="post" action=(call.path) {
                input type="hidden" name="form" value=(form);
                label for="name" { "Name" }
                input #name name="name" value=(tried.name) required maxlength="40" autocomplete="username" autocapitalize="none" spellcheck="false";
                label for="password" { "Password" }
                input #password name="password" type="password" required minlength=(secret::SHORTEST_PASSWORD) autocomplete="new-password" aria-describedby="how";
                p .help #how { (secret::SHORTEST_PASSWORD) " characters or more; a sentence is good." }
                label for="again" { "The same again" }
                input #again name="again" type="password" required autocomplete="new-password";
                div .row { button .primary { "Make the account" } }
            }
        }
    })
}

fn login_page(next: &str, form: &str, tried: &Tried<'_>) -> Markup {
    let frame = Frame { title: "Sign in", here: Here::Nowhere, who: None, changes: false };
    frame.page(&html! {
        section .door {
            h1 { "Sign in" }
            p .lead { "The factory that makes the operating system you asked for." }
            (said(tried.wrong.as_ref()))
            form method="post" action="/login" {
                input type="hidden" name="form" value=(form);
                input type="hidden" name="next" value=(next);
                label for="name" { "Name" }
                input #name name="name" value=(tried.name) required autocomplete="username" autocapitalize="none" spellcheck="false";
                label for="password" { "Password" }
                input #password name="password" type="password" required autocomplete="current-password";
                div .row { button .primary { "Sign in" } }
            }
        }
    })
}
