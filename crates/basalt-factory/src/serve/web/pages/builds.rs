//! Builds: the list, one with its steps, and two side by side.

use axum::http::header;
use maud::{Markup, html};

use super::{
    boots,
    frame::{Frame, Here, form, time},
    review::{changes, size},
};
use crate::serve::{
    Site,
    event::{Event, EventLog, Failure, Whose, seconds},
    form::Fields,
    service::{self, BootLink},
    state::{Artifact, Build, BuildState, Who},
    web::call::{Body, Call, Outcome, Refusal, Reply},
    work::Since,
};

/// No build has so many events.
pub(in crate::serve::web) const MOST_EVENTS: usize = 1_000_000_000;
/// So many are shown.
const SHOWN: u32 = 100;

/// `GET /builds`.
pub(in crate::serve::web) fn list(site: &Site, call: &Call) -> Outcome {
    let who = call.signed_in(site)?;
    let builds = site.state.builds(who.account.project, SHOWN)?;
    let is_busy = builds.iter().any(|build| !build.state.has_ended());
    let frame = Frame { title: "Builds", here: Here::Builds, who: Some(&who), changes: is_busy };
    Ok(Reply::html(frame.page(&html! {
        div .headline { h1 { "Builds" } p .lead { "Of the project " strong { (who.account.project_name) } "." } }
        @if builds.is_empty() {
            p .notice { "Nothing was built yet. " a href="/new" { "Begin with an image." } }
        } @else {
            (table(&builds))
            @if builds.iter().filter(|build| build.state == BuildState::Succeeded).count() > 1 { (compare_form(&builds)) }
        }
    })))
}

/// Builds as a table.
pub(super) fn table(builds: &[Build]) -> Markup {
    html! {
        div .scroll role="region" tabindex="0" aria-label="Builds" {
            table {
                thead { tr { th { "Image" } th { "State" } th { "By" } th { "Asked for" } th { "Build" } } }
                tbody {
                    @for build in builds {
                        tr {
                            td { a .strong href={ "/builds/" (build.id) } { (build.name) " " (build.version) } @if build.pinned { " " span .chip { "pinned" } } }
                            td { (badge(build.state)) }
                            td { (build.account) }
                            td { (time(build.created)) }
                            td { code { (build.id) } }
                        }
                    }
                }
            }
        }
    }
}

fn badge(state: BuildState) -> Markup {
    html! { span class={ "badge " (state.word()) } { span .dot aria-hidden="true" {} (state.word()) } }
}

fn compare_form(builds: &[Build]) -> Markup {
    let good: Vec<&Build> = builds.iter().filter(|build| build.state == BuildState::Succeeded).collect();
    let choice = |name: &str, label: &str, chosen: usize| {
        html! {
            div .field {
                label for=(name) { (label) }
                select id=(name) name=(name) {
                    @for (index, build) in good.iter().enumerate() {
                        option value=(build.id) selected[index == chosen] { (build.name) " " (build.version) " · " (build.id) }
                    }
                }
            }
        }
    };
    html! {
        section .panel {
            h2 { "Compare two" }
            form method="get" action="/compare" .inline {
                (choice("from", "From", 1)) (choice("to", "To", 0))
                button .quiet { "Compare" }
            }
        }
    }
}

/// `POST /builds`: takes a build in.
pub(in crate::serve::web) fn create(site: &Site, call: &Call) -> Outcome {
    let (who, sent) = call.signed_form(site)?;
    let text = sent.get("recipe").replace("\r\n", "\n");
    let (build, _is_new) = service::submit(site, &who, &text)?;
    Ok(Reply::see_other(&format!("/builds/{}", build.id)))
}

/// `GET /builds/{id}`: where it is, step by step.
pub(in crate::serve::web) fn show(site: &Site, call: &Call) -> Outcome {
    let who = call.signed_in(site)?;
    let build = service::build(site, &who, call.place("id"))?;
    page(site, &who, &build, None)
}

/// The page of a build, with a boot link that was just made.
fn page(site: &Site, who: &Who, build: &Build, link: Option<&BootLink>) -> Outcome {
    let events = EventLog::in_folder(&site.state.build_folder(&build.id)).after(0);
    let events = events.map_err(|error| Refusal::Broken(error.to_string()))?;
    let artifacts = site.state.artifacts(&build.id)?;
    let before = match build.state {
        BuildState::Queued => Some(site.state.place_in_queue(&build.id)?),
        BuildState::Running | BuildState::Succeeded | BuildState::Failed | BuildState::Cancelled => None,
    };
    let title = format!("{} {}", build.name, build.version);
    let frame =
        Frame { title: &title, here: Here::Builds, who: Some(who), changes: !build.state.has_ended() };
    let last = events.last().map_or(0, |(number, _)| *number);
    let live = (!build.state.has_ended()).then(|| format!("/builds/{}/events?after={last}", build.id));
    Ok(Reply::html(frame.page(&html! {
        div .headline {
            p .crumb { a href="/builds" { "Builds" } }
            h1 { (build.name) " " span .soft { (build.version) } }
            p .lead #state { (badge(build.state)) @if let Some(before) = before { " " (waits(before)) } }
        }
        @for (_, event) in &events { (failure(event)) }
        div .columns {
            section .panel aria-labelledby="steps-title" {
                h2 #steps-title { "Steps" }
                ol #steps .steps data-live=[live] aria-live="polite" { @for step in steps(&events) { (step.draw()) } }
                p { a href={ "/builds/" (build.id) "/log" } { "The log" } }
            }
            div {
                (downloads(build, &artifacts))
                (boots::panel(site, who, (build, &artifacts), link)?)
                (facts(build))
                (acts(who, build))
            }
        }
    })))
}

fn waits(before: u32) -> Markup {
    html! { @if before == 0 { "It is next." } @else { (crate::report::count(before as usize, "build")) " came before it; accounts take turns." } }
}

fn failure(event: &Event) -> Markup {
    let Event::Failed(Failure { step, whose, error, causes, hints }) = event else { return html! {} };
    let whose = match whose {
        Whose::Recipe => "The recipe asks for what can't be.",
        Whose::Factory => "The machine that builds is the cause, not your recipe.",
        Whose::Archive => "An archive or registry is the cause, not your recipe.",
        Whose::Program => "The program is wrong: please report it, with the log.",
    };
    html! {
        section .failure role="alert" {
            h2 { "It failed" @if let Some(step) = step { " in " code { (step) } } }
            p .error { (error) }
            @if !causes.is_empty() { ul { @for cause in causes { li { "because " (cause) } } } }
            p .help { (whose) }
            @if !hints.is_empty() { p { strong { "Next: " } (hints.join("; ")) } }
        }
    }
}

/// A step as its events tell it.
#[derive(Debug)]
struct StepView {
    name: String,
    class: &'static str,
    said: String,
    time: String,
    progress: Option<(u64, u64)>,
    notes: Vec<String>,
}

impl StepView {
    fn draw(&self) -> Markup {
        let Self { name, class, said, time, progress, notes } = self;
        html! {
            li class=(class) data-step=(name) {
                div .head { strong { (name) } span .time { (time) } }
                p .said { (said) }
                @if let Some((done, total)) = progress { progress aria-label={ "How far " (name) " is" } value=(done) max=(total) {} }
                @if !notes.is_empty() { pre tabindex="0" aria-label={ "What " (name) " said" } { (notes.join("\n")) } }
            }
        }
    }
}

/// The steps of the last try: what came before a restart is in the log.
fn steps(events: &[(usize, Event)]) -> Vec<StepView> {
    let mut steps: Vec<StepView> = Vec::new();
    let find = |steps: &mut Vec<StepView>, name: &str| match steps.iter().position(|step| step.name == name) {
        Some(found) => found,
        None => {
            let new = StepView {
                name: name.to_owned(),
                class: "running",
                said: String::new(),
                time: String::new(),
                progress: None,
                notes: Vec::new(),
            };
            steps.push(new);
            steps.len() - 1
        }
    };
    for (_, event) in events {
        match event {
            Event::Queued { .. } => steps.clear(),
            Event::Started { step } => {
                let at = find(&mut steps, step);
                steps[at].class = "running";
            }
            Event::Progress { step, done, total } => {
                let at = find(&mut steps, step);
                steps[at].progress = Some((*done, *total));
            }
            Event::Note { step, text } => {
                let at = find(&mut steps, step);
                steps[at].notes.push(text.clone());
            }
            Event::Kept { step, because } => {
                let at = find(&mut steps, step);
                (steps[at].class, steps[at].said) = ("kept", because.clone());
            }
            Event::Finished { step, milliseconds, result } => {
                let at = find(&mut steps, step);
                let view = &mut steps[at];
                (view.class, view.said, view.time) = ("done", result.clone(), seconds(*milliseconds));
                view.progress = None;
            }
            Event::Succeeded { .. } => {}
            Event::Failed(_) | Event::Cancelled { .. } => {
                for step in steps.iter_mut().filter(|step| step.class == "running") {
                    (step.class, step.progress) = ("failed", None);
                }
            }
        }
    }
    steps
}

fn downloads(build: &Build, artifacts: &[Artifact]) -> Markup {
    html! {
        @if !artifacts.is_empty() {
            section .panel {
                h2 { "Downloads" }
                ul .downloads {
                    @for artifact in artifacts {
                        li {
                            a href={ "/builds/" (build.id) "/files/" (artifact.name) } download { (artifact.name) }
                            span .number { (size(artifact.size)) }
                            code .digest title="SHA-256" { (artifact.sha256) }
                        }
                    }
                }
                p { a href={ "/builds/" (build.id) "/files/SHA256SUMS" } { "SHA256SUMS" } " for " code { "sha256sum -c" } }
            }
        }
    }
}

fn facts(build: &Build) -> Markup {
    html! {
        section .panel {
            h2 { "Facts" }
            dl .list {
                dt { "Build" } dd { code { (build.id) } @if build.pinned { " " span .chip { "pinned" } } }
                dt { "Recipe" } dd { a href={ "/r/" (build.recipe) } { code { (&build.recipe[..16]) "…" } } }
                @if let Some(image) = &build.image { dt { "Release" } dd { code .digest { (image) } } }
                dt { "Asked for" } dd { (time(build.created)) " by " (build.account) }
                @if let Some(started) = build.started { dt { "Began" } dd { (time(started)) } }
                @if let Some(ended) = build.ended { dt { "Ended" } dd { (time(ended)) } }
            }
        }
    }
}

fn acts(who: &Who, build: &Build) -> Markup {
    let act = |what: &str, class: &str, label: &str| {
        form(
            who,
            &format!("/builds/{}/{what}", build.id),
            &html! { button id=(what) class=(class) { (label) } },
        )
    };
    html! {
        div .row .actions {
            @if build.state.has_ended() {
                (act("rebuild", "quiet", "Build again, with the packages of now"))
                @if build.pinned { (act("unpin", "quiet", "Take the pin out")) } @else { (act("pin", "quiet", "Pin")) (act("delete", "danger", "Delete")) }
            } @else {
                (act("cancel", "danger", "Cancel"))
            }
        }
    }
}

/// `POST /builds/{id}/{act}`.
pub(in crate::serve::web) fn act(site: &Site, call: &Call) -> Outcome {
    let (who, _sent): (Who, Fields) = call.signed_form(site)?;
    let id = call.place("id");
    let next = match call.place("act") {
        "cancel" => service::cancel(site, &who, id)?.id,
        "pin" => service::pin(site, &who, (id, true))?.id,
        "unpin" => service::pin(site, &who, (id, false))?.id,
        "rebuild" => service::rebuild(site, &who, id)?.0.id,
        "boot-link" => {
            let link = service::open_boot(site, &who, (id, &call.origin(site)))?;
            return page(site, &who, &service::build(site, &who, id)?, Some(&link));
        }
        "end-boot-link" => {
            service::end_boot(site, &who, id)?;
            id.to_owned()
        }
        "delete" => {
            service::remove(site, &who, id)?;
            return Ok(Reply::see_other("/builds"));
        }
        _unknown => return Err(Refusal::NotFound),
    };
    Ok(Reply::see_other(&format!("/builds/{next}")))
}

/// `GET /builds/{id}/events`: what happens, as it happens.
pub(in crate::serve::web) fn events(site: &Site, call: &Call) -> Outcome {
    let who = call.signed_in(site)?;
    stream(site, call, &who)
}

/// The stream of a build's events, for browsers and programs.
pub(in crate::serve::web) fn stream(site: &Site, call: &Call, who: &Who) -> Outcome {
    let build = service::build(site, who, call.place("id"))?;
    // A browser that comes back says how far it was.
    let last = call.headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let seen = match last.or(Some(call.query.get("after")).filter(|text| !text.is_empty())) {
        None => 0,
        Some(text) => {
            let number = text.parse().ok().filter(|number| *number <= MOST_EVENTS);
            number.ok_or_else(|| Refusal::Bad(format!("`{text}` is no event's number")))?
        }
    };
    let mut reply = Reply::of("text/event-stream", Vec::new()).with(header::CACHE_CONTROL, "no-store");
    reply.body = Body::Events { folder: site.state.build_folder(&build.id), seen };
    Ok(reply)
}

/// `GET /builds/{id}/log`: the same as text.
pub(in crate::serve::web) fn log(site: &Site, call: &Call) -> Outcome {
    let who = call.signed_in(site)?;
    log_of(site, call, &who)
}

/// A build's log.
pub(in crate::serve::web) fn log_of(site: &Site, call: &Call, who: &Who) -> Outcome {
    let build = service::build(site, who, call.place("id"))?;
    let events = EventLog::in_folder(&site.state.build_folder(&build.id)).after(0);
    let events = events.map_err(|error| Refusal::Broken(error.to_string()))?;
    let text: String = events.iter().filter_map(|(_, event)| event.line()).map(|line| line + "\n").collect();
    Ok(Reply::of("text/plain; charset=utf-8", text).with(header::CACHE_CONTROL, "no-store"))
}

/// `GET /compare?from=…&to=…`.
pub(in crate::serve::web) fn compare(site: &Site, call: &Call) -> Outcome {
    let who = call.signed_in(site)?;
    let from = service::build(site, &who, call.query.get("from"))?;
    let to = service::build(site, &who, call.query.get("to"))?;
    let since = Since::of_builds(&site.state, &from.id, &to.id)?;
    let files = [&from, &to].map(|build| site.state.artifacts(&build.id));
    let [before, after] = files;
    let (before, after) = (before?, after?);
    let frame = Frame { title: "Two builds", here: Here::Builds, who: Some(&who), changes: false };
    let link = |build: &Build| html! { a href={ "/builds/" (build.id) } { (build.name) " " (build.version) " · " (build.id) } };
    let names: std::collections::BTreeSet<&str> =
        before.iter().chain(&after).map(|file| file.name.as_str()).collect();
    let one = |files: &[Artifact], name: &str| {
        let found = files.iter().find(|file| file.name == name);
        html! { @match found { Some(file) => { (size(file.size)) " " code .soft { (&file.sha256[..12]) } }, None => "not there" } }
    };
    Ok(Reply::html(frame.page(&html! {
        div .headline { p .crumb { a href="/builds" { "Builds" } } h1 { "Two builds" } p .lead { (link(&from)) " → " (link(&to)) } }
        @match &since { Some(since) => (changes(since)), None => p .notice { "One of them has no list of packages: it ended before it was resolved." } }
        section {
            h2 { "Files" }
            div .scroll role="region" tabindex="0" aria-label="Files" {
                table {
                    thead { tr { th { "File" } th { "Before" } th { "After" } } }
                    tbody { @for name in names { tr { td { (name) } td { (one(&before, name)) } td { (one(&after, name)) } } } }
                }
            }
        }
    })))
}
