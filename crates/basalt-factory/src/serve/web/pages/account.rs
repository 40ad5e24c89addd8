//! One's own account: tokens, password, and the way out.

use axum::http::StatusCode;
use maud::{Markup, html};

use super::{
    entry::check_password,
    frame::{Frame, Here, form, time},
};
use crate::serve::{
    Site,
    form::Fields,
    state::{Scope, TokenRow, Who},
    web::call::{COOKIE, Call, Outcome, Refusal, Reply},
};

/// A token lasts at most so many days.
const LONGEST: i64 = 365;

/// `GET /account`.
pub(in crate::serve::web) fn account(site: &Site, call: &Call) -> Outcome {
    let who = call.signed_in(site)?;
    Ok(Reply::html(page((site, call), &who, (None, None))?))
}

/// `POST /account/tokens`: makes a token and shows it, once.
pub(in crate::serve::web) fn new_token(site: &Site, call: &Call) -> Outcome {
    let (who, sent) = call.signed_form(site)?;
    let name = sent.get("name").trim();
    let scopes: Vec<Scope> =
        Scope::ALL.into_iter().filter(|scope| sent.has(&format!("scope.{}", scope.word()))).collect();
    let days = sent.get("days").parse::<i64>().unwrap_or(0);
    let wrong = if name.is_empty() || name.len() > 60 || name.contains(char::is_control) {
        Some("give the token a name of up to 60 letters")
    } else if scopes.is_empty() {
        Some("choose what the token may do")
    } else if !(1..=LONGEST).contains(&days) {
        Some("a token lasts from 1 to 365 days")
    } else {
        None
    };
    if let Some(wrong) = wrong {
        let page = page((site, call), &who, (None, Some(wrong)))?;
        return Ok(Reply::html(page).with_status(StatusCode::UNPROCESSABLE_ENTITY));
    }
    let token = site.state.new_token(&who.account, name, (&scopes, days))?;
    Ok(Reply::html(page((site, call), &who, (Some(token.reveal()), None))?))
}

/// `POST /account/tokens/{id}/delete`.
pub(in crate::serve::web) fn remove_token(site: &Site, call: &Call) -> Outcome {
    let (who, _sent): (Who, Fields) = call.signed_form(site)?;
    let id = call.place("id").parse().map_err(|_not_a_number| Refusal::NotFound)?;
    match site.state.remove_token(&who.account, id)? {
        true => Ok(Reply::see_other("/account")),
        false => Err(Refusal::NotFound),
    }
}

/// `POST /account/password`: changes it; every session ends, this one too.
pub(in crate::serve::web) fn change_password(site: &Site, call: &Call) -> Outcome {
    let (who, sent) = call.signed_form(site)?;
    let wrong = match site.state.sign_in(&who.account.name, sent.get("now"))? {
        None => Some("this is not your password".to_owned()),
        Some(_) => check_password(&sent),
    };
    if let Some(wrong) = wrong {
        let page = page((site, call), &who, (None, Some(&wrong)))?;
        return Ok(Reply::html(page).with_status(StatusCode::UNPROCESSABLE_ENTITY));
    }
    site.state.change_password(&who.account, sent.get("password"))?;
    Ok(Reply::see_other("/login").with_cookie(site, (COOKIE, None)))
}

fn page(
    (site, call): (&Site, &Call),
    who: &Who,
    (token, wrong): (Option<&str>, Option<&str>),
) -> Result<Markup, Refusal> {
    let tokens = site.state.tokens(who.account.id)?;
    let frame = Frame { title: "Your account", here: Here::Account, who: Some(who), changes: false };
    Ok(frame.page(&html! {
        div .headline { h1 { (who.account.name) } p .lead { "In the project " strong { (who.account.project_name) } @if who.account.admin { ", administrator of this factory" } "." } }
        @if let Some(wrong) = wrong { p .wrong role="alert" { (wrong) } }
        @if let Some(token) = token {
            section .panel .said role="status" {
                h2 { "Your new token" }
                p { "It is shown this once: copy it now." }
                pre #new-token tabindex="0" { (token) }
                p { "Try it:" }
                pre tabindex="0" { "curl -H 'Authorization: Bearer TOKEN' " (call.origin(site)) "/api/v1/builds" }
            }
        }
        div .columns {
            (token_panel(who, &tokens))
            div {
                section .panel {
                    h2 { "Password" }
                    (form(who, "/account/password", &html! {
                        label for="now" { "The one of now" }
                        input #now name="now" type="password" required autocomplete="current-password";
                        label for="password" { "The new one" }
                        input #password name="password" type="password" required autocomplete="new-password";
                        label for="again" { "The new one again" }
                        input #again name="again" type="password" required autocomplete="new-password";
                        p .help { "Every browser is signed out then." }
                        div .row { button .quiet { "Change it" } }
                    }))
                }
                section .panel {
                    h2 { "Leave" }
                    (form(who, "/logout", &html! { button #logout .quiet { "Sign out" } }))
                }
            }
        }
    }))
}

fn token_panel(who: &Who, tokens: &[TokenRow]) -> Markup {
    html! {
            section .panel {
                h2 { "Tokens for programs" }
                @if tokens.is_empty() { p .soft { "None yet." } }
                ul .downloads {
                    @for token in tokens {
                        li {
                            strong { (token.name) }
                            span .soft { (token.scopes.iter().map(|scope| scope.word()).collect::<Vec<_>>().join(", ")) }
                            span .soft { "until " (time(token.expires)) @if let Some(used) = token.used { ", used " (time(used)) } @else { ", never used" } }
                            (form(who, &format!("/account/tokens/{}/delete", token.id), &html! { button .danger { "Take back " span .hidden { (token.name) } } }))
                        }
                    }
                }
                (form(who, "/account/tokens", &html! {
                    h3 { "A new one" }
                    label for="token-name" { "Name" }
                    input #token-name name="name" maxlength="60" required autocomplete="off";
                    fieldset {
                        legend { "It may" }
                        @for (scope, about) in [(Scope::Read, "look, check and download"), (Scope::Build, "save recipes, build and cancel"), (Scope::Manage, "pin and delete")] {
                            div .tick {
                                input id={ "scope-" (scope.word()) } type="checkbox" name={ "scope." (scope.word()) } checked[scope == Scope::Read];
                                label for={ "scope-" (scope.word()) } { (scope.word()) span .help { " " (about) } }
                            }
                        }
                    }
                    label for="days" { "For how many days" }
                    input #days name="days" type="number" min="1" max="365" value="90" required;
                    div .row { button #make-token .primary { "Make a token" } }
                }))
            }
    }
}
