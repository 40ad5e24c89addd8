//! The start: what to begin with, and what was done.

use maud::html;

use super::{
    builds::table,
    frame::{Frame, Here, time},
};
use crate::serve::{
    Site,
    template::TEMPLATES,
    web::call::{Call, Outcome, Reply},
};

/// `GET /`.
pub(in crate::serve::web) fn home(site: &Site, call: &Call) -> Outcome {
    let who = call.signed_in(site)?;
    let builds = site.state.builds(who.account.project, 5)?;
    let recipes = site.state.recipes(who.account.project, 8)?;
    let frame = Frame { title: "Start", here: Here::Home, who: Some(&who), changes: false };
    Ok(Reply::html(frame.page(&html! {
        div .hero {
            h1 { "The operating system you asked for" }
            p .lead { "Choose where to begin. A few minutes later it is a verified image that boots, and you know what is in it." }
        }
        ul .cards {
            @for template in TEMPLATES {
                li {
                    a #{ "template-" (template.name) } .card href={ "/new?template=" (template.name) } {
                        h2 { (template.title) }
                        p { (template.about) }
                        span .go aria-hidden="true" { "Begin →" }
                    }
                }
            }
            li {
                a #template-empty .card .empty href="/new" {
                    h2 { "An empty recipe" }
                    p { "A name and nothing else: Debian, a kernel, and what you add." }
                    span .go aria-hidden="true" { "Begin →" }
                }
            }
        }
        @if !builds.is_empty() { section { h2 { "Last builds" } (table(&builds)) } }
        @if !recipes.is_empty() {
            section {
                h2 { "Recipes" }
                ul .plain-list {
                    @for recipe in &recipes {
                        li { a href={ "/r/" (recipe.id) } { (recipe.name) } " " code .soft { (&recipe.id[..12]) } " " span .soft { (time(recipe.saved)) } }
                    }
                }
            }
        }
    })))
}
