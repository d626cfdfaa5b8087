//! The OpenAPI 3.1 description, made of the table that the routes are made of.

use axum::Json;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::operations::{OPERATIONS, Operation};
use crate::problem::Problem;

/// The description as it is served.
pub(super) async fn served() -> Json<Value> {
    Json(openapi())
}

/// The description of the API.
#[must_use]
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<Problem>().to_value();
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let answer = (operation.answer)(&mut generator).to_value();
        let mut described = json!({
            "operationId": operation.id,
            "summary": operation.summary,
            "parameters": parameters(operation),
            "responses": {
                operation.status.to_string(): {
                    "description": "Done", "content": { "application/json": { "schema": answer } },
                },
                "default": {
                    "description": "Not done, and why",
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
        });
        if let (Some(body), Some(described)) = (operation.body, described.as_object_mut()) {
            let schema = body(&mut generator).to_value();
            let body = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
            described.insert("requestBody".to_owned(), body);
        }
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.to_owned(), described);
        }
    }
    paths.insert("/events".to_owned(), events());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Slipstream",
            "version": "1",
            "description": "Amounts of dollars and shares, and prices, are whole millionths. Moments are microseconds since \
                1970-01-01 UTC. Writes carry X-CSRF-Token with the cookie of GET /session; with an Idempotency-Key, a repeated \
                write is done once. Answers have an ETag.",
        },
        "servers": [{ "url": "/api/v1" }],
        "paths": paths,
        "components": { "schemas": generator.take_definitions(true) },
    })
}

/// Parts of the path, the query, and the headers of writes.
fn parameters(operation: &Operation) -> Vec<Value> {
    let parts = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut all: Vec<Value> = parts
        .map(|name| {
            let kind = if matches!(name, "relationship" | "hold") { "integer" } else { "string" };
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": kind } })
        })
        .collect();
    if operation.paged {
        for (name, kind) in [("cursor", "string"), ("limit", "integer"), ("relationship", "integer")] {
            all.push(json!({ "name": name, "in": "query", "schema": { "type": kind } }));
        }
    }
    if operation.method != "get" {
        for (name, required) in [("X-CSRF-Token", true), ("Idempotency-Key", false)] {
            all.push(
                json!({ "name": name, "in": "header", "required": required, "schema": { "type": "string" } }),
            );
        }
    }
    all
}

fn events() -> Value {
    json!({
        "get": {
            "operationId": "events",
            "summary": "Events as they happen: server-sent, with Last-Event-ID after a break",
            "parameters": [{ "name": "Last-Event-ID", "in": "header", "schema": { "type": "integer" } }],
            "responses": {
                "200": {
                    "description": "`event`: one event as JSON; `alive`: nothing happened; `gap`: read everything anew",
                    "content": { "text/event-stream": { "schema": { "type": "string" } } },
                },
            },
        },
    })
}
