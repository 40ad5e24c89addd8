//! The API's description (OpenAPI 3.1.0), from the table of routes and from the types that are sent.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    api::{
        Artifacts, Builds, Content, Health, Machines, OPERATIONS, Operation, Recipes, Resolved, Sent,
        Templates,
    },
    call::Problem,
    pages::MOST_EVENTS,
};
use crate::serve::{
    check::Checked,
    event::Event,
    service::BootLink,
    state::{Build, SavedRecipe},
    work::Since,
};

/// The whole description.
pub(super) fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    // What is sent and what is received differ where a field has a default; ours are all written.
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let described = describe(operation, &mut schemas);
        let entry = paths.entry(operation.path).or_insert_with(|| json!({}));
        entry[operation.verb.word()] = described;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Basalt factory",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Builds image-based Linux from recipes. Tokens are made on the account's page.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

fn describe(operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let Operation { verb: _, path, name, about, scope, takes_recipe, query, answers, refusals, .. } =
        operation;
    let mut responses = Map::new();
    for (status, content) in *answers {
        responses.insert(status.to_string(), answer(*content, schemas));
    }
    let problem = schemas.subschema_for::<Problem>();
    let of_tokens: &[u16] = if scope.is_some() { &[401, 403] } else { &[] };
    for status in of_tokens.iter().chain(*refusals) {
        let said = refusal(*status);
        let content = match status {
            // A range outside of a file has no body.
            416 => json!({"description": said}),
            _other => {
                json!({"description": said, "content": {"application/json": {"schema": problem.clone()}}})
            }
        };
        responses.insert(status.to_string(), content);
    }
    let places = places(path).map(|place| {
        json!({"name": place, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}})
    });
    let asked = query.iter().map(|(name, required, about)| {
        let kind = if *name == "after" {
            json!({"type": "integer", "minimum": 0, "maximum": MOST_EVENTS})
        } else {
            json!({"type": "string", "minLength": 1})
        };
        json!({"name": name, "in": "query", "required": required, "description": about, "schema": kind})
    });
    let mut described = json!({
        "operationId": name,
        "summary": about,
        "parameters": places.chain(asked).collect::<Vec<_>>(),
        "responses": responses,
        "security": match scope { Some(_) => json!([{"token": []}]), None => json!([]) },
    });
    if let Some(scope) = scope {
        described["description"] = json!(format!("A token needs the scope `{}`.", scope.word()));
    }
    if *takes_recipe {
        let schema = schemas.subschema_for::<Sent>();
        described["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema}}});
    }
    described
}

/// The names in braces.
fn places(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn answer(content: Content, schemas: &mut SchemaGenerator) -> Value {
    fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
        json!({"application/json": {"schema": schemas.subschema_for::<T>()}})
    }
    let text = |kind: &str| json!({kind: {"schema": {"type": "string"}}});
    let (said, content) = match content {
        Content::Nothing => return json!({"description": "done, or nothing new"}),
        Content::Text => ("the log", text("text/plain")),
        Content::Events => ("events, as they happen", stream(schemas)),
        Content::File => {
            ("the file", json!({"application/octet-stream": {}, "application/json": {}, "text/plain": {}}))
        }
        Content::Description => ("this", json!({"application/json": {"schema": {"type": "object"}}})),
        Content::Health => ("it is there", of::<Health>(schemas)),
        Content::Templates => ("the templates", of::<Templates>(schemas)),
        Content::Checked => ("what was found", of::<Checked>(schemas)),
        Content::Preview => ("what would be built", of::<Resolved>(schemas)),
        Content::Recipe => ("the recipe", of::<SavedRecipe>(schemas)),
        Content::Recipes => ("the recipes", of::<Recipes>(schemas)),
        Content::Build => ("the build", of::<Build>(schemas)),
        Content::Builds => ("the builds", of::<Builds>(schemas)),
        Content::Artifacts => ("the files", of::<Artifacts>(schemas)),
        Content::BootLink => ("the link, once", of::<BootLink>(schemas)),
        Content::Machines => ("the machines", of::<Machines>(schemas)),
        Content::Since => ("what differs", of::<Since>(schemas)),
    };
    json!({"description": said, "content": content})
}

/// A stream's events, each with an `Event` as JSON in its data.
fn stream(schemas: &mut SchemaGenerator) -> Value {
    let event = schemas.subschema_for::<Event>();
    let data = json!({"type": "string", "contentMediaType": "application/json", "contentSchema": event});
    let keys = json!({"id": {"type": "string"}, "event": {"type": "string"}, "data": data});
    json!({"text/event-stream": {"schema": {"type": "object", "properties": keys}}})
}

const fn refusal(status: u16) -> &'static str {
    match status {
        400 => "the request makes no sense",
        401 => "no token, or one that opens nothing",
        403 => "the token lacks the scope",
        404 => "not there, or another project's",
        409 => "not in the state that it is in",
        413 => "too large",
        416 => "outside of the file",
        422 => "the recipe is refused, or its packages can't be resolved",
        429 => "too many builds wait: try again later",
        _other => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::document;

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        let mut references = 0;
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
            references += 1;
        }
        assert!(references > 20, "{references}");
        assert!(document["paths"]["/api/v1/builds"]["post"]["requestBody"].is_object());
    }
}
