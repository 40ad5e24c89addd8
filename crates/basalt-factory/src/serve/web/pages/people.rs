//! For administrators: who is here, whom to invite, who did what.

use maud::{Markup, html};

use super::frame::{Frame, Here, form, time};
use crate::serve::{
    Site,
    form::Fields,
    state::{Invitation, Who},
    web::call::{Call, Outcome, Refusal, Reply},
};

/// `GET /people`.
pub(in crate::serve::web) fn people(site: &Site, call: &Call) -> Outcome {
    let who = call.signed_in(site)?;
    Ok(Reply::html(page(site, &administrator(who)?, None)?))
}

/// `POST /people/invite`: makes a link that makes an account, once.
pub(in crate::serve::web) fn invite(site: &Site, call: &Call) -> Outcome {
    let (who, sent): (Who, Fields) = call.signed_form(site)?;
    let who = administrator(who)?;
    let project = match sent.get("project") {
        "mine" => Some(who.account.project),
        "own" => None,
        _other => return Err(Refusal::Bad("choose a project".to_owned())),
    };
    let link = site.state.new_link(Invitation { project, admin: false })?;
    site.state.audit(&who.account, "invited somebody", sent.get("project"))?;
    Ok(Reply::html(page(site, &who, Some(&format!("{}/setup/{}", call.origin(site), link.reveal())))?))
}

/// To everybody else this page is not there.
fn administrator(who: Who) -> Result<Who, Refusal> {
    if who.account.admin { Ok(who) } else { Err(Refusal::NotFound) }
}

fn page(site: &Site, who: &Who, link: Option<&str>) -> Result<Markup, Refusal> {
    let accounts = site.state.accounts()?;
    let rows = site.state.audit_rows(50)?;
    let frame = Frame { title: "People", here: Here::People, who: Some(who), changes: false };
    Ok(frame.page(&html! {
        div .headline { h1 { "People" } p .lead { "Projects keep builds and recipes apart: what is another project's is not there." } }
        @if let Some(link) = link {
            section .panel .said role="status" {
                h2 { "An invitation" }
                p { "Whoever opens this link makes one account. It works once, for two days, and is shown only now." }
                pre #invitation tabindex="0" { (link) }
            }
        }
        div .columns {
            section .panel {
                h2 { "Accounts" }
                ul .downloads {
                    @for account in &accounts {
                        li {
                            strong { (account.name) } @if account.admin { " " span .chip { "administrator" } }
                            span .soft { "project " (account.project_name) }
                            span .soft { "since " (time(account.created)) }
                        }
                    }
                }
            }
            section .panel {
                h2 { "Invite" }
                (form(who, "/people/invite", &html! {
                    fieldset {
                        legend { "The new account works in" }
                        div .tick { input #own type="radio" name="project" value="own" checked; label for="own" { "a project of its own" } }
                        div .tick { input #mine type="radio" name="project" value="mine"; label for="mine" { (who.account.project_name) ", with you" } }
                    }
                    div .row { button #invite .primary { "Make a link" } }
                }))
            }
        }
        section {
            h2 { "What was done" }
            div .scroll .tall role="region" tabindex="0" aria-label="What was done" {
                table {
                    thead { tr { th { "When" } th { "Who" } th { "What" } th { "On" } } }
                    tbody { @for row in &rows { tr { td { (time(row.at)) } td { @if row.account.is_empty() { span .soft { "nobody" } } @else { (row.account) } } td { (row.action) } td { code { (row.subject) } } } } }
                }
            }
        }
    }))
}
