//! docs/simulator.md is true: its requests work in the order they stand there, and it names every request of
//! the control API.

use std::{fs, path::Path};

use serde_json::Value;

use super::harness::{Venue, json_reply};

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[tokio::test]
async fn its_requests_work() {
    let venue = Venue::manual().await;
    let control = &venue.running.control_url;
    let manual = text("../../docs/simulator.md");
    let mut done = 0;
    for line in manual.lines().filter_map(|line| line.strip_prefix("curl -s $CONTROL")) {
        let (path, body) = line.split_once(" -d ").map_or((line, None), |(path, body)| (path, Some(body)));
        let url = format!("{control}{path}");
        let request = match body {
            Some(body) => venue.http.post(url).body(body.trim_matches('\'').to_owned()),
            None => venue.http.get(url),
        };
        let (status, reply) = json_reply(request).await;
        assert_eq!(status, 200, "{line}: {reply}");
        assert!(!matches!(reply, Value::String(_)), "{line}: {reply}");
        done += 1;
    }
    assert!(done >= 20, "the requests of docs/simulator.md were not found");
    venue.running.shutdown().await;
}

#[test]
fn it_names_every_request() {
    let manual = text("../../docs/simulator.md");
    let mut routes = 0;
    for file in ["src/http/control.rs", "src/http/control_orders.rs"] {
        let source = text(file);
        for path in source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(manual.contains(&format!("{path}`")), "docs/simulator.md does not name {path} of {file}");
            routes += 1;
        }
    }
    assert!(routes >= 25, "the routes of the control API were not found");
}

/// Names of an enum's variants on the wire, as its source has them.
fn variants(source: &str, name: &str) -> Vec<String> {
    let body = source.split(&format!("pub enum {name} {{")).nth(1).and_then(|rest| rest.split("\n}").next());
    let (mut names, mut renamed) = (Vec::new(), None);
    for line in body.unwrap_or_default().lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[serde(rename = \"") {
            renamed = rest.split('"').next().map(str::to_owned);
        } else if let Some(variant) = line.strip_suffix(',') {
            let snake = variant.chars().enumerate().flat_map(|(at, letter)| {
                let apart = (letter.is_uppercase() && at > 0).then_some('_');
                apart.into_iter().chain(letter.to_lowercase())
            });
            let snake: String = snake.collect();
            if variant.chars().all(char::is_alphanumeric) {
                names.push(renamed.take().unwrap_or(snake));
            }
        }
    }
    names
}

#[test]
fn it_names_every_fault_and_every_setting() {
    let manual = text("../../docs/simulator.md");
    let faults = text("src/world/faults.rs");
    let (targets, kinds) = (variants(&faults, "FaultTarget"), variants(&faults, "FaultKind"));
    assert!(targets.len() >= 14 && kinds.len() >= 27, "{targets:?} {kinds:?}");
    let settings = serde_json::to_value(simulator::SimulatorConfig::default()).unwrap();
    let settings: Vec<String> = settings.as_object().unwrap().keys().cloned().collect();
    for name in targets.iter().chain(&kinds).chain(&settings) {
        assert!(manual.contains(&format!("`{name}`")), "docs/simulator.md does not name `{name}`");
    }
}
