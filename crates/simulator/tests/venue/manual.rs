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
