//! Pages and API on the memory store: what is answered, what is refused, and what stands in every answer.

mod people;

use std::sync::{Arc, Mutex};

use access::Settings;
use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header::SET_COOKIE},
};
use domain::{
    Address, Clock, KeyRef, Timestamp, Usd, WalletKind,
    ids::{AccountId, HoldId, RelationshipId},
    policy::Policy,
};
use engine::ports::{
    following::{AccountMode, Following, NewAccount, NewRelationship, RelationshipStatus},
    reports::Reports,
    store::{Event, EventKind},
};
use serde_json::{Value, json};
use testkit::{memory_store::MemoryStore, virtual_clock::VirtualClock};
use tower::ServiceExt as _;

use crate::{
    Actions, Guard, Parts, Tenant,
    actions::{Done, Follow, Followed, Mistake, Panic, Panicked, PaperAccount, Refused, Standing, Work},
    openapi, router,
};

/// Notes what it is asked for.
#[derive(Default)]
struct Noted(Mutex<Vec<String>>);

impl Noted {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl Actions for Noted {
    fn policy(&self, before: Option<&Policy>, changes: &[(String, String)]) -> Done<Policy> {
        if changes.iter().any(|(_, value)| value == "bad") {
            let mistake =
                Mistake { field: Some("cap_order".to_owned()), words: "bad is no amount".to_owned() };
            return Err(Refused::Invalid(vec![mistake]));
        }
        Ok(before.cloned().unwrap_or_else(Policy::careful))
    }

    async fn follow(&self, _: Tenant, wish: &Follow) -> Done<Followed> {
        let policy = self.policy(None, &wish.policy)?;
        self.note(format!("follow {}", wish.leader));
        let words = "copied from now on".to_owned();
        Ok(Followed { relationship: RelationshipId(1), account: "a".to_owned(), policy, words })
    }

    async fn add_leader(&self, _: Tenant, _: Address) -> Done<()> {
        Ok(())
    }

    async fn edit(&self, _: Tenant, _: RelationshipId, changes: &[(String, String)]) -> Done<Policy> {
        self.policy(None, changes)
    }

    async fn set_status(&self, _: Tenant, id: RelationshipId, status: RelationshipStatus) -> Done<String> {
        if id != RelationshipId(1) {
            return Err(Refused::NotFound(format!("there is no relationship {id}")));
        }
        self.note(format!("{status:?}"));
        Ok("<b>paused</b>".to_owned())
    }

    async fn panic(&self, _: Tenant, wanted: &Panic) -> Done<Panicked> {
        self.note(format!("{wanted:?}"));
        let words = "nothing more is bought".to_owned();
        Ok(Panicked { hold: HoldId(1), stops_exits: false, sells: wanted.sell, positions: 0, words })
    }

    async fn lift(&self, _: Tenant, hold: HoldId) -> Done<String> {
        Ok(format!("hold {hold} is lifted"))
    }

    async fn add_paper_account(&self, _: Tenant, _: &PaperAccount) -> Done<AccountId> {
        Ok(AccountId(2))
    }

    async fn standings(&self, _: Tenant) -> Done<Vec<Standing>> {
        Ok(Vec::new())
    }

    async fn work(&self, _: Tenant) -> Done<Work> {
        Ok(Work::default())
    }
}

const LEADER: Address = Address([0x1e; 20]);

struct Scene {
    router: Router,
    store: Arc<MemoryStore>,
    noted: Arc<Noted>,
    clock: Arc<VirtualClock>,
}

/// One account that follows a leader.
async fn scene() -> Scene {
    let clock = VirtualClock::new(Timestamp::from_seconds(1_790_000_000));
    let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let store = Arc::new(MemoryStore::new(Arc::clone(&shared)));
    let owner = store.add_owner("owner", clock.now()).await.unwrap();
    let account = NewAccount {
        label: "practice <script>".to_owned(),
        mode: AccountMode::Paper,
        wallet: Address([0xaa; 20]),
        signer: Address([0xaa; 20]),
        kind: WalletKind::Eoa,
        key: KeyRef("paper:practice:1".to_owned()),
        cap: None,
    };
    let account = store.add_account(owner, &account, clock.now()).await.unwrap();
    store.book_deposit(owner, account, Usd(1_000_000_000), clock.now()).await.unwrap();
    let leader = store.add_leader(LEADER, clock.now()).await.unwrap();
    let new = NewRelationship { account, leader, policy: Policy::careful() };
    store.add_relationship(owner, &new, clock.now()).await.unwrap();
    let noted = Arc::new(Noted::default());
    let parts = Parts {
        store: Arc::clone(&store) as _,
        clock: shared,
        actions: Arc::clone(&noted) as _,
        markets: None,
        guard: Guard::new([7; 32], || [9; 16]),
        access: people::access(&store, &clock, Settings { single_user: true, ..Settings::default() }),
    };
    Scene { router: router(parts), store, noted, clock }
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Scene {
    async fn ask(&self, request: axum::http::request::Builder, body: &str) -> Reply {
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        Reply { status: head.status, headers: head.headers, text }
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask(Request::get(path).header("host", "localhost:1"), "").await
    }

    /// The cookie and the token of a browser.
    async fn browser(&self) -> (String, String) {
        let reply = self.get("/api/v1/session").await;
        let cookie = reply.headers[SET_COOKIE].to_str().unwrap();
        let token = reply.json()["csrf_token"].as_str().unwrap().to_owned();
        (cookie.split(';').next().unwrap().to_owned(), token)
    }

    async fn post(&self, path: &str, body: &str, more: &[(&str, &str)]) -> Reply {
        let (cookie, token) = self.browser().await;
        let kind =
            if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
        let mut request = Request::post(path)
            .header("host", "localhost:1")
            .header("content-type", kind)
            .header("cookie", cookie)
            .header("x-csrf-token", token);
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        self.ask(request, body).await
    }
}

#[tokio::test]
async fn every_page_is_shown_with_what_is_stored_and_is_escaped() {
    let scene = scene().await;
    let known = format!("/leaders/{LEADER}");
    let pages = [
        "/",
        "/activity",
        "/following",
        "/following/1",
        "/following/1/edit",
        "/following/new",
        "/leaders",
        &known,
        "/positions",
        "/accounts",
        "/operations",
    ];
    for path in pages {
        let reply = scene.get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text);
        let policy = reply.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert!(!reply.text.contains("practice <script>"), "{path} does not escape names");
        let inside = ["<style", "style=\"", "onclick", "<script>"];
        assert!(inside.iter().all(|one| !reply.text.contains(one)), "{path} has scripts or styles inside");
    }
    assert!(scene.get("/accounts").await.text.contains("$1,000.00"));
    assert!(scene.get("/following").await.text.contains("0x1e1e…1e1e"));
    let csv = scene.get("/positions/ledger.csv").await;
    assert_eq!(csv.text.lines().count(), 2, "{}", csv.text);
    assert!(csv.text.contains(",deposit,0,1000,0,0,0"), "{}", csv.text);
    assert_eq!(scene.get("/following/77").await.status, StatusCode::NOT_FOUND);
    assert_eq!(scene.get("/orders/zz").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(scene.get("/nowhere").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_operation_is_described_and_served() {
    let scene = scene().await;
    let document = openapi();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|_| path != "/events") {
            let at = format!("/api/v1{path}")
                .replace("{relationship}", "1")
                .replace("{hold}", "1")
                .replace("{wallet}", &LEADER.to_string())
                .replace("{tx}", "abcd")
                .replace("{order}", "abcd");
            let (cookie, token) = scene.browser().await;
            let request = Request::builder()
                .method(method.to_uppercase().as_str())
                .uri(&at)
                .header("host", "localhost:1")
                .header("content-type", "application/json")
                .header("cookie", cookie)
                .header("x-csrf-token", token);
            let reply = scene.ask(request, "{}").await;
            let served =
                reply.status != StatusCode::METHOD_NOT_ALLOWED && !reply.text.contains("no such address");
            assert!(served, "{method} {at}: {} {}", reply.status, reply.text);
            let kind = reply.header("content-type");
            assert!(
                kind.starts_with(if reply.status.is_success() {
                    "application/json"
                } else {
                    "application/problem+json"
                }),
                "{method} {at}: {kind}"
            );
        }
    }
    assert_eq!(scene.get("/api/v1/nothing").await.status, StatusCode::NOT_FOUND);
    insta::assert_json_snapshot!("openapi", document);
}

#[tokio::test]
async fn writes_need_our_page_and_our_host() {
    let scene = scene().await;
    let (cookie, token) = scene.browser().await;
    let post = |headers: &[(&str, &str)]| {
        let mut request = Request::post("/following/1/pause");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    };
    let whole = [("host", "localhost:1"), ("cookie", &*cookie), ("x-csrf-token", &*token)];
    let refused: [(&str, Vec<(&str, &str)>); 5] = [
        ("no token", vec![whole[0], whole[1]]),
        ("no mark", vec![whole[0], whole[2]]),
        ("another page's token", vec![whole[0], whole[1], ("x-csrf-token", "00")]),
        ("another origin", vec![whole[0], whole[1], whole[2], ("origin", "https://evil.example")]),
        ("another site", vec![whole[0], whole[1], whole[2], ("sec-fetch-site", "cross-site")]),
    ];
    for (what, headers) in refused {
        assert_eq!(scene.ask(post(&headers), "").await.status, StatusCode::FORBIDDEN, "{what}");
    }
    let rebound = scene.ask(Request::get("/").header("host", "evil.example"), "").await;
    assert_eq!(rebound.status, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(scene.noted.all(), Vec::<String>::new(), "nothing was done");
    let mut ours = whole.to_vec();
    ours.extend([("origin", "http://localhost:1"), ("sec-fetch-site", "same-origin")]);
    let done = scene.ask(post(&ours), "").await;
    assert_eq!(done.status, StatusCode::OK);
    assert!(done.text.contains("&#60;b&#62;paused"), "{}", done.text);
    assert_eq!(scene.noted.all(), ["Paused"]);
}

#[tokio::test]
async fn a_mistake_stands_beside_its_field_and_nothing_is_done() {
    let scene = scene().await;
    let body = format!("leader={LEADER}&how=ratio&ratio=10&cap_order=bad");
    let reply = scene.post("/following", &body, &[]).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(reply.text.contains("id=\"cap_order-wrong\">bad is no amount"), "{}", reply.text);
    let body = json!({ "leader": LEADER.to_string(), "policy": { "cap_order": "bad" } }).to_string();
    let reply = scene.post("/api/v1/relationships", &body, &[]).await;
    assert_eq!(reply.json()["mistakes"], json!([{ "field": "cap_order", "detail": "bad is no amount" }]));
    for body in ["{\"leader\":1}", "{\"leader\":\"0x\"}", "{", "{\"leader\":\"x\",\"more\":1}"] {
        let reply = scene.post("/api/v1/relationships", body, &[]).await;
        assert!(reply.status.is_client_error(), "{body}: {}", reply.status);
    }
    assert_eq!(scene.noted.all(), Vec::<String>::new());
    let huge = format!("{{\"leader\":\"{}\"}}", "x".repeat(100_000));
    assert_eq!(scene.post("/api/v1/relationships", &huge, &[]).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_repeated_write_is_done_once() {
    let scene = scene().await;
    let body = json!({ "leader": LEADER.to_string() }).to_string();
    let key = [("idempotency-key", "k1")];
    let first = scene.post("/api/v1/relationships", &body, &key).await;
    let again = scene.post("/api/v1/relationships", &body, &key).await;
    assert_eq!((first.status, again.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(first.text, again.text);
    assert_eq!(scene.noted.all().len(), 1, "done once");
    let other = scene.post("/api/v1/panic", "{}", &key).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY, "the key is another request's");
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let scene = scene().await;
    let first = scene.get("/api/v1/relationships").await;
    let tag = first.header("etag").to_owned();
    let request =
        Request::get("/api/v1/relationships").header("host", "localhost:1").header("if-none-match", &tag);
    let again = scene.ask(request, "").await;
    assert_eq!((again.status, again.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
    let page = scene.get("/api/v1/ledger?limit=1").await;
    assert_eq!(page.json()["next"], Value::Null);
    assert_eq!(scene.get("/api/v1/ledger?limit=0").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(scene.get("/api/v1/activity?cursor=x").await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let scene = scene().await;
    for _ in 0..crate::limits::BURST {
        assert_eq!(scene.get("/api/v1/session").await.status, StatusCode::OK);
    }
    let refused = scene.get("/api/v1/session").await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"));
    assert_eq!(refused.header("ratelimit-remaining"), "0");
    scene.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(scene.get("/api/v1/session").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_stream_goes_on_behind_the_last_event_that_was_heard() {
    let scene = scene().await;
    let owner = scene.store.accounts(None).await.unwrap()[0].owner;
    let before = scene.store.newest_event().await.unwrap();
    for what in ["one", "two"] {
        let kind = EventKind::FollowingChanged { what: what.to_owned() };
        scene.store.tell(&Event { owner: Some(owner), at: scene.clock.now(), kind }).await.unwrap();
    }
    let request = Request::get("/api/v1/events")
        .header("host", "localhost:1")
        .header("last-event-id", before.to_string());
    let response = scene.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let mut stream = response.into_body().into_data_stream();
    let mut heard = String::new();
    while !heard.contains("two") {
        let part = futures_util::StreamExt::next(&mut stream).await.unwrap().unwrap();
        heard.push_str(std::str::from_utf8(&part).unwrap());
    }
    assert!(heard.contains("event: alive") && heard.contains("\"what\":\"one\""), "{heard}");
}
