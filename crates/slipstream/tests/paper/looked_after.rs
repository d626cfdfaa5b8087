//! A running installation as whoever looks after it sees it: over HTTP, and by `slipstream ops`.

use std::net::TcpListener;

use crate::scene::{GIVEN, Guard, OFFERS, POLICY, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_seen_over_http_and_by_commands_and_operators_words_are_kept() {
    let scene = Scene::begin().await;
    scene.init(&POLICY);
    scene.next_second().await;
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address").to_string()
    };
    let mut command = scene.command(&["run"], true);
    let log = std::fs::File::create(scene.log()).expect("a log");
    let child = command.env("SLIPSTREAM_RUN_HEALTH_ADDRESS", &address).stderr(log).spawn();
    let mut child = Guard(child.expect("it starts"));
    let client = polymarket::local_client().expect("a client");
    let get = async |path: &str| {
        let answer = client.get(format!("http://{address}{path}")).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    };
    scene.up().await;
    scene.leader_buys(1, &OFFERS).await;
    scene.until_held("copy", GIVEN).await;
    let ready = async || get("/health/ready").await.filter(|(code, _)| *code == 200);
    scene.until("readiness", ready).await;
    let counted = async || {
        let (code, text) = get("/metrics").await?;
        assert_eq!(code, 200, "{text}");
        let lines = [
            "decisions_total{verdict=\"copy\"} 1",
            "queue_depth{lane=\"entries\"} 0",
            "order_stage_seconds_bucket",
        ];
        lines.iter().all(|line| text.contains(line)).then_some(())
    };
    scene.until("copy in the metrics", counted).await;
    let well = async || {
        let (code, text) = get("/health/detailed").await?;
        (code == 200 && text.contains("\"polymarket_api\":{\"status\":\"pass\"}")).then_some(text)
    };
    let text = scene.until("health", well).await;
    assert!(text.contains("queue:depth") && text.contains("database:responseTime"), "{text}");
    assert_eq!(scene.ask(&["ops", "status"])["components"]["database"]["status"], "pass");
    assert_eq!(scene.ask(&["ops", "breakers"])["breakers"][0]["breaker"]["state"], "closed");

    scene.ask(&["ops", "flags", "entries.paper", "--percent", "50", "--reason", "by degrees"]);
    let flags = scene.ask(&["ops", "flags"]);
    assert_eq!(
        (&flags["flags"][0]["percent"], &flags["flags"][0]["reason"]),
        (&50.into(), &"by degrees".into())
    );
    scene.ask(&["ops", "silence", "DiskNearlyFull", "--hours", "1", "--reason", "known"]);
    let money = ["ops", "silence", "InvariantBroken", "--hours", "1", "--reason", "quiet", "--json"];
    let refused = scene.command(&money, true).output().expect("it runs");
    let told = String::from_utf8_lossy(&refused.stdout);
    assert!(!refused.status.success() && told.contains("guards money"), "{told}");
    assert_eq!(scene.ask(&["ops", "kill", "--everybody", "--reason", "a look"])["stops_exits"], false);
    assert_eq!(scene.ask(&["ops", "holds"])["holds"].as_array().map(Vec::len), Some(1));

    scene.control.outage_of("clob", true).await.expect("an outage");
    let ill = async || {
        let (code, text) = get("/health/detailed").await?;
        (code == 503 && text.contains("\"polymarket_api\":{\"status\":\"fail\"}")).then_some(())
    };
    scene.until("outage in the health", ill).await;
    let live = get("/health/live").await.expect("an answer");
    assert_eq!(live.0, 200, "it lives, whatever the venue does: {}", live.1);
    let output = scene.command(&["ops", "diagnose"], true).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && told.contains("Polymarket API down or slow: fail"), "{told}");
    assert!(scene.end(&mut child).await.success());
}
