//! What every page has around it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::serve::{state::Who, web::assets};

/// Where in the factory a page is, for the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve::web) enum Here {
    Nowhere,
    Home,
    Build,
    Builds,
    Account,
    People,
}

/// A page.
pub(in crate::serve::web) struct Frame<'a> {
    pub(in crate::serve::web) title: &'a str,
    pub(in crate::serve::web) here: Here,
    pub(in crate::serve::web) who: Option<&'a Who>,
    /// Whether a browser without scripts asks again by itself.
    pub(in crate::serve::web) changes: bool,
}

impl Frame<'_> {
    /// The page with this in the middle.
    pub(in crate::serve::web) fn page(&self, body: &Markup) -> Markup {
        let Self { title, here, who, changes } = self;
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width,initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · Basalt" }
                    link rel="icon" href=(assets::ICON.address()) type="image/svg+xml";
                    link rel="stylesheet" href=(assets::STYLE.address());
                    script src=(assets::SCRIPT.address()) defer {}
                    @if *changes { noscript { meta http-equiv="refresh" content="3"; } }
                }
                body {
                    a .skip href="#main" { "Skip to the content" }
                    header .top {
                        a .brand href="/" aria-label="Basalt factory, start" { (mark()) span { "Basalt" } }
                        @if let Some(who) = who { (navigation(who, *here)) }
                    }
                    main #main tabindex="-1" { (body) }
                    footer .foot {
                        span { "Basalt factory " (env!("CARGO_PKG_VERSION")) }
                        span { a href="/api/v1/openapi.json" { "API description" } }
                    }
                }
            }
        }
    }
}

fn navigation(who: &Who, here: Here) -> Markup {
    let links =
        [(Here::Home, "/", "Start"), (Here::Build, "/new", "New image"), (Here::Builds, "/builds", "Builds")];
    let account = &who.account;
    html! {
        nav aria-label="Main" {
            @for (place, address, name) in links {
                a href=(address) aria-current=[(place == here).then_some("page")] { (name) }
            }
            @if account.admin {
                a href="/people" aria-current=[(here == Here::People).then_some("page")] { "People" }
            }
            a .me href="/account" aria-current=[(here == Here::Account).then_some("page")] {
                span .avatar aria-hidden="true" { (initial(&account.name)) }
                span .hidden { "Your account: " } span .name { (account.name) }
            }
        }
    }
}

fn initial(name: &str) -> String {
    name.chars().take(1).flat_map(char::to_uppercase).collect()
}

/// Three columns of basalt.
fn mark() -> Markup {
    PreEscaped(assets::MARK.to_owned())
}

/// A form that sends back what proves that it is ours.
pub(in crate::serve::web) fn form(who: &Who, action: &str, inside: &Markup) -> Markup {
    html! {
        form method="post" action=(action) { (token(who)) (inside) }
    }
}

/// The hidden field of a form.
pub(in crate::serve::web) fn token(who: &Who) -> Markup {
    html! { input type="hidden" name="form" value=[who.form.as_ref().map(|form| form.0.as_str())]; }
}

/// A time, which a script shows in the reader's own zone.
pub(in crate::serve::web) fn time(seconds: i64) -> Markup {
    let stamp = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    html! { time datetime=(stamp) { (stamp.strftime("%Y-%m-%d %H:%M UTC")) } }
}
