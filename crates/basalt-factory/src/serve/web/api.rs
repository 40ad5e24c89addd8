//! The API: what pages do, for programs. One table has the routes and what OpenAPI says of them.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    call::{Call, Outcome, Refusal, Reply},
    download, openapi, pages,
    router::{Reader, Route, Verb},
};
use crate::serve::{
    Site, check,
    check::Checked,
    service,
    state::{Artifact, Build, Machine, SavedRecipe, Scope, Summary},
    template::{TEMPLATES, Template},
    work::{Preview, Since},
};

/// A route of the API, and all that is said of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) verb: Verb,
    pub(super) path: &'static str,
    /// Its name in generated clients.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What a token must be allowed; none where everybody may.
    pub(super) scope: Option<Scope>,
    /// Whether the body is a recipe.
    pub(super) takes_recipe: bool,
    /// Parameters behind the question mark, and whether each must be there.
    pub(super) query: &'static [(&'static str, bool, &'static str)],
    /// The statuses of success and what they carry.
    pub(super) answers: &'static [(u16, Content)],
    /// Statuses of refusals, beside those of tokens.
    pub(super) refusals: &'static [u16],
    handler: fn(&Site, &Call) -> Outcome,
}

/// What an answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Nothing,
    Text,
    Events,
    File,
    Description,
    Health,
    Templates,
    Checked,
    Preview,
    Recipe,
    Recipes,
    Build,
    Builds,
    Artifacts,
    BootLink,
    Machines,
    Since,
}

/// A recipe on its way.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sent {
    /// The YAML.
    recipe: String,
}

/// That the factory is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Health {
    /// The program's version.
    version: &'static str,
}

/// Templates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Templates {
    /// All of them.
    templates: Vec<Template>,
}

/// Recipes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Recipes {
    /// The newest first.
    recipes: Vec<Summary>,
}

/// Builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Builds {
    /// The newest first.
    builds: Vec<Build>,
}

/// Files of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Artifacts {
    /// The largest first.
    files: Vec<Artifact>,
}

/// Machines that booted from a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Machines {
    /// The last first.
    machines: Vec<Machine>,
}

const BUILD_ID: &[u16] = &[404];
/// So many are listed.
const MOST: u32 = 200;

const NOTHING: Operation = Operation {
    verb: Verb::Get,
    path: "",
    name: "",
    about: "",
    scope: Some(Scope::Read),
    takes_recipe: false,
    query: &[],
    answers: &[],
    refusals: &[],
    handler: |_, _| Err(Refusal::NotFound),
};

/// The table.
pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        path: "/api/v1/health",
        name: "health",
        about: "Whether the factory is there",
        scope: None,
        answers: &[(200, Content::Health)],
        handler: |_, _| Ok(Reply::json(&Health { version: env!("CARGO_PKG_VERSION") })),
        ..NOTHING
    },
    Operation {
        path: "/api/v1/openapi.json",
        name: "describe",
        about: "This description",
        scope: None,
        answers: &[(200, Content::Description)],
        handler: |_, _| Ok(Reply::json(&openapi::document())),
        ..NOTHING
    },
    Operation {
        path: "/api/v1/templates",
        name: "listTemplates",
        about: "Recipes to start from",
        answers: &[(200, Content::Templates)],
        handler: |site, call| {
            call.token(site, Scope::Read)?;
            Ok(Reply::json(&Templates { templates: TEMPLATES.to_vec() }))
        },
        ..NOTHING
    },
    Operation {
        verb: Verb::Post,
        path: "/api/v1/check",
        name: "checkRecipe",
        about: "What is wrong with a recipe, with places; nothing is kept",
        takes_recipe: true,
        answers: &[(200, Content::Checked)],
        refusals: &[400, 413],
        handler: check_recipe,
        ..NOTHING
    },
    Operation {
        verb: Verb::Post,
        path: "/api/v1/resolve",
        name: "resolveRecipe",
        about: "The packages that a recipe means now, and what that changes; nothing is built",
        takes_recipe: true,
        answers: &[(200, Content::Preview)],
        refusals: &[400, 413, 422],
        handler: |site, call| {
            let who = call.token(site, Scope::Read)?;
            let Sent { recipe } = call.json()?;
            let (_accepted, preview) = service::preview(site, &who, &recipe)?;
            Ok(Reply::json(&preview))
        },
        ..NOTHING
    },
    Operation {
        path: "/api/v1/recipes",
        name: "listRecipes",
        about: "The project's recipes",
        answers: &[(200, Content::Recipes)],
        handler: |site, call| {
            let who = call.token(site, Scope::Read)?;
            Ok(Reply::json(&Recipes { recipes: site.state.recipes(who.account.project, MOST)? }))
        },
        ..NOTHING
    },
    Operation {
        verb: Verb::Post,
        path: "/api/v1/recipes",
        name: "saveRecipe",
        about: "Keep a recipe under the digest of what it means",
        scope: Some(Scope::Build),
        takes_recipe: true,
        answers: &[(201, Content::Recipe)],
        refusals: &[400, 413, 422],
        handler: save_recipe,
        ..NOTHING
    },
    Operation {
        path: "/api/v1/recipes/{id}",
        name: "getRecipe",
        about: "A recipe of the project",
        answers: &[(200, Content::Recipe)],
        refusals: &[404],
        handler: |site, call| {
            let who = call.token(site, Scope::Read)?;
            let found = site.state.recipe(who.account.project, call.place("id"))?;
            Ok(Reply::json(&found.ok_or(Refusal::NotFound)?))
        },
        ..NOTHING
    },
    Operation {
        path: "/api/v1/builds",
        name: "listBuilds",
        about: "The project's builds",
        answers: &[(200, Content::Builds)],
        handler: |site, call| {
            let who = call.token(site, Scope::Read)?;
            Ok(Reply::json(&Builds { builds: site.state.builds(who.account.project, MOST)? }))
        },
        ..NOTHING
    },
    Operation {
        verb: Verb::Post,
        path: "/api/v1/builds",
        name: "createBuild",
        about: "Build a recipe: 202 when it was taken in, 200 when a build of the same answers",
        scope: Some(Scope::Build),
        takes_recipe: true,
        answers: &[(200, Content::Build), (202, Content::Build)],
        refusals: &[400, 413, 422, 429],
        handler: |site, call| {
            let who = call.token(site, Scope::Build)?;
            let Sent { recipe } = call.json()?;
            Ok(taken(service::submit(site, &who, &recipe)?))
        },
        ..NOTHING
    },
    Operation {
        path: "/api/v1/builds/{id}",
        name: "getBuild",
        about: "A build",
        answers: &[(200, Content::Build)],
        refusals: BUILD_ID,
        handler: |site, call| {
            let who = call.token(site, Scope::Read)?;
            Ok(Reply::json(&service::build(site, &who, call.place("id"))?))
        },
        ..NOTHING
    },
    Operation {
        verb: Verb::Delete,
        path: "/api/v1/builds/{id}",
        name: "deleteBuild",
        about: "Remove a build that has ended, and all that it made",
        scope: Some(Scope::Manage),
        answers: &[(204, Content::Nothing)],
        refusals: &[404, 409],
        handler: |site, call| {
            let who = call.token(site, Scope::Manage)?;
            service::remove(site, &who, call.place("id"))?;
            Ok(nothing())
        },
        ..NOTHING
    },
    Operation {
        verb: Verb::Post,
        path: "/api/v1/builds/{id}/cancel",
        name: "cancelBuild",
        about: "Stop a build",
        scope: Some(Scope::Build),
        answers: &[(200, Content::Build)],
        refusals: &[404, 409],
        handler: |site, call| {
            let who = call.token(site, Scope::Build)?;
            Ok(Reply::json(&service::cancel(site, &who, call.place("id"))?))
        },
        ..NOTHING
    },
    Operation {
        verb: Verb::Post,
        path: "/api/v1/builds/{id}/rebuild",
        name: "rebuild",
        about: "Build the same recipe with the packages of now",
        scope: Some(Scope::Build),
        answers: &[(200, Content::Build), (202, Content::Build)],
        refusals: &[404, 422, 429],
        handler: |site, call| {
            let who = call.token(site, Scope::Build)?;
            Ok(taken(service::rebuild(site, &who, call.place("id"))?))
        },
        ..NOTHING
    },
    Operation {
        verb: Verb::Put,
        path: "/api/v1/builds/{id}/pin",
        name: "pinBuild",
        about: "Keep a build for good",
        scope: Some(Scope::Manage),
        answers: &[(200, Content::Build)],
        refusals: BUILD_ID,
        handler: |site, call| pin(site, call, true),
        ..NOTHING
    },
    Operation {
        verb: Verb::Delete,
        path: "/api/v1/builds/{id}/pin",
        name: "unpinBuild",
        about: "Let retention have a build",
        scope: Some(Scope::Manage),
        answers: &[(200, Content::Build)],
        refusals: BUILD_ID,
        handler: |site, call| pin(site, call, false),
        ..NOTHING
    },
    Operation {
        verb: Verb::Put,
        path: "/api/v1/builds/{id}/boot-link",
        name: "openBootLink",
        about: "Make the link from which machines boot a build over the network; the one before ends",
        scope: Some(Scope::Manage),
        answers: &[(200, Content::BootLink)],
        refusals: &[404, 409],
        handler: |site, call| {
            let who = call.token(site, Scope::Manage)?;
            let origin = call.origin(site);
            Ok(Reply::json(&service::open_boot(site, &who, (call.place("id"), &origin))?))
        },
        ..NOTHING
    },
    Operation {
        verb: Verb::Delete,
        path: "/api/v1/builds/{id}/boot-link",
        name: "endBootLink",
        about: "End the link from which machines boot a build",
        scope: Some(Scope::Manage),
        answers: &[(204, Content::Nothing)],
        refusals: BUILD_ID,
        handler: |site, call| {
            let who = call.token(site, Scope::Manage)?;
            service::end_boot(site, &who, call.place("id"))?;
            Ok(nothing())
        },
        ..NOTHING
    },
    Operation {
        path: "/api/v1/builds/{id}/machines",
        name: "listMachines",
        about: "The machines that came by a build's boot link",
        answers: &[(200, Content::Machines)],
        refusals: BUILD_ID,
        handler: |site, call| {
            let who = call.token(site, Scope::Read)?;
            let build = service::build(site, &who, call.place("id"))?;
            Ok(Reply::json(&Machines { machines: site.state.machines(&build.id)? }))
        },
        ..NOTHING
    },
    Operation {
        path: "/api/v1/builds/{id}/events",
        name: "watchBuild",
        about: "What happens to a build, as server-sent events until it ends; `Last-Event-ID` goes on behind an event",
        query: &[("after", false, "The number of the last event that is known")],
        answers: &[(200, Content::Events)],
        refusals: &[400, 404, 429],
        handler: |site, call| {
            let who = call.token(site, Scope::Read)?;
            pages::stream(site, call, &who)
        },
        ..NOTHING
    },
    Operation {
        path: "/api/v1/builds/{id}/log",
        name: "getLog",
        about: "What happened to a build, as text",
        answers: &[(200, Content::Text)],
        refusals: BUILD_ID,
        handler: |site, call| {
            let who = call.token(site, Scope::Read)?;
            pages::log_of(site, call, &who)
        },
        ..NOTHING
    },
    Operation {
        path: "/api/v1/builds/{id}/files",
        name: "listFiles",
        about: "What a build made",
        answers: &[(200, Content::Artifacts)],
        refusals: BUILD_ID,
        handler: |site, call| {
            let who = call.token(site, Scope::Read)?;
            let build = service::build(site, &who, call.place("id"))?;
            Ok(Reply::json(&Artifacts { files: site.state.artifacts(&build.id)? }))
        },
        ..NOTHING
    },
    Operation {
        path: "/api/v1/builds/{id}/files/{name}",
        name: "download",
        about: "A file, whole or in part; its tag is its SHA-256. `SHA256SUMS` is the list for sha256sum",
        answers: &[(200, Content::File), (206, Content::File), (304, Content::Nothing)],
        refusals: &[404, 416],
        handler: |site, call| {
            let who = call.token(site, Scope::Read)?;
            download::file(site, call, &who)
        },
        ..NOTHING
    },
    Operation {
        path: "/api/v1/compare",
        name: "compareBuilds",
        about: "The packages that differ between two builds",
        query: &[("from", true, "The build before"), ("to", true, "The build after")],
        answers: &[(200, Content::Since)],
        refusals: &[400, 404, 409],
        handler: compare,
        ..NOTHING
    },
];

/// The table as routes.
pub(super) fn routes() -> Vec<Route> {
    let route = |operation: &Operation| Route {
        method: operation.verb,
        path: operation.path,
        reader: Reader::Program,
        handler: operation.handler,
    };
    OPERATIONS.iter().map(route).collect()
}

/// An answer without content.
fn nothing() -> Reply {
    Reply { headers: Vec::new(), ..Reply::of("", Vec::new()) }.with_status(StatusCode::NO_CONTENT)
}

fn check_recipe(site: &Site, call: &Call) -> Outcome {
    call.token(site, Scope::Read)?;
    let Sent { recipe } = call.json()?;
    if recipe.len() > check::LARGEST_RECIPE {
        return Err(service::too_long());
    }
    let checked: Checked = check::check(&recipe, &site.reach, None);
    Ok(Reply::json(&checked))
}

fn save_recipe(site: &Site, call: &Call) -> Outcome {
    let who = call.token(site, Scope::Build)?;
    let Sent { recipe } = call.json()?;
    let saved = service::save(site, &who, &recipe)?;
    let found: Option<SavedRecipe> = site.state.recipe(who.account.project, &saved.id)?;
    Ok(Reply::json(&found.ok_or(Refusal::NotFound)?).with_status(StatusCode::CREATED))
}

/// A build that was taken in, or one that answers.
fn taken((build, is_new): (Build, bool)) -> Reply {
    let status = if is_new { StatusCode::ACCEPTED } else { StatusCode::OK };
    let place = format!("/api/v1/builds/{}", build.id);
    Reply::json(&build).with_status(status).with(axum::http::header::LOCATION, place)
}

fn pin(site: &Site, call: &Call, pinned: bool) -> Outcome {
    let who = call.token(site, Scope::Manage)?;
    Ok(Reply::json(&service::pin(site, &who, (call.place("id"), pinned))?))
}

fn compare(site: &Site, call: &Call) -> Outcome {
    let who = call.token(site, Scope::Read)?;
    let [from, to] = ["from", "to"].map(|name| call.query.get(name));
    if from.is_empty() || to.is_empty() {
        return Err(Refusal::Bad("name two builds: ?from=…&to=…".to_owned()));
    }
    let from = service::build(site, &who, from)?;
    let to = service::build(site, &who, to)?;
    let since: Option<Since> = Since::of_builds(&site.state, &from.id, &to.id)?;
    let none = || Refusal::Conflict("one of them ended before its packages were resolved".to_owned());
    Ok(Reply::json(&since.ok_or_else(none)?))
}

/// What `Preview` is called in the table: it is named here so that a change of the type shows.
pub(super) type Resolved = Preview;
