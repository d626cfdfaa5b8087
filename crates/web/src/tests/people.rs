//! Pages and API where there are accounts: who gets in, by what, and that nobody sees what is another's.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use access::{Access, Caller, NoRandomness, Peer, Randomness, Role, Scope, Scopes, Settings, TokenWish};

use super::*;

const PASSWORD: &str = "correct horse battery staple";

/// Bytes that differ each time, the same in each run.
struct Counting(AtomicU64);

impl Randomness for Counting {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        for chunk in bytes.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&next.to_be_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

pub(super) fn access(store: &Arc<MemoryStore>, clock: &Arc<VirtualClock>, settings: Settings) -> Arc<Access> {
    let random = Arc::new(Counting(AtomicU64::new(1)));
    Arc::new(Access::new(Arc::clone(store) as _, Arc::clone(clock) as _, random, [7; 32], settings))
}

/// Two users, each of whom follows the leader with an account of his own.
struct Town {
    scene: Scene,
    access: Arc<Access>,
}

/// A name that stands in nothing but what is this user's.
fn label(number: u8) -> String {
    format!("purse-of-{number}")
}

async fn town() -> Town {
    let clock = VirtualClock::new(Timestamp::from_seconds(1_790_000_000));
    let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
    let settings = Settings { origin: "https://copy.example".to_owned(), ..Settings::default() };
    let access = access(&store, &clock, settings);
    let noted = Arc::new(Noted::default());
    let parts = Parts {
        store: Arc::clone(&store) as _,
        clock: Arc::clone(&clock) as _,
        actions: Arc::clone(&noted) as _,
        markets: None,
        guard: Guard::new([7; 32], || [9; 16]),
        access: Arc::clone(&access),
    };
    Town { scene: Scene { router: router(parts), store, noted, clock }, access }
}

impl Town {
    /// The administrator's cookie.
    async fn ann(&self) -> String {
        let link = self.access.set_up_link().await.unwrap().unwrap();
        let session = self.access.set_up(link.reveal(), "ann", PASSWORD, &Peer::default()).await.unwrap();
        session.cookie.reveal().to_owned()
    }

    async fn caller(&self, cookie: &str) -> Caller {
        self.access.caller_of_session(cookie).await.unwrap()
    }

    /// Another user's cookie.
    async fn add(&self, ann: &str, name: &str, role: Role) -> String {
        let link = self.access.invite(&self.caller(ann).await, role, &Peer::default()).await.unwrap();
        let joined =
            self.access.sign_up(Some(link.reveal()), name, PASSWORD, &Peer::default()).await.unwrap();
        joined.cookie.reveal().to_owned()
    }

    /// An account and a relationship of whoever has this cookie.
    async fn furnish(&self, cookie: &str, number: u8) {
        let (store, now) = (&self.scene.store, self.scene.clock.now());
        let owner = self.caller(cookie).await.tenant().owner();
        let account = NewAccount {
            label: label(number),
            mode: AccountMode::Paper,
            wallet: Address([number; 20]),
            signer: Address([number; 20]),
            kind: WalletKind::Eoa,
            key: KeyRef(format!("paper:{number}")),
            cap: None,
        };
        let account = store.add_account(owner, &account, now).await.unwrap();
        store.book_deposit(owner, account, Usd(1_000_000 * i64::from(number)), now).await.unwrap();
        let leader = store.add_leader(LEADER, now).await.unwrap();
        let new = NewRelationship { account, leader, policy: Policy::careful() };
        store.add_relationship(owner, &new, now).await.unwrap();
    }

    async fn get(&self, path: &str, cookie: Option<&str>, accept: &str) -> Reply {
        let mut request = Request::get(path).header("host", "copy.example").header("accept", accept);
        if let Some(cookie) = cookie {
            request = request.header("cookie", format!("__Host-slipstream_session={cookie}"));
        }
        self.scene.ask(request, "").await
    }

    /// A form, as a page sends it.
    async fn send(&self, path: &str, body: &str, cookie: Option<&str>) -> Reply {
        let first = self.get("/set-up", None, "text/html").await;
        let mark = first.headers[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
        let token =
            first.text.split("X-CSRF-Token\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let session =
            cookie.map(|cookie| format!("; __Host-slipstream_session={cookie}")).unwrap_or_default();
        let request = Request::post(path)
            .header("host", "copy.example")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", format!("{mark}{session}"))
            .header("x-csrf-token", token);
        self.scene.ask(request, body).await
    }
}

fn session_in(reply: &Reply) -> Option<String> {
    let set = reply.headers.get_all(SET_COOKIE).into_iter().filter_map(|cookie| cookie.to_str().ok());
    let value = set.filter_map(|cookie| cookie.strip_prefix("__Host-slipstream_session=")).next()?;
    assert!(value.contains("Path=/; HttpOnly; SameSite=Lax; Secure"), "{value}");
    value.split(';').next().map(str::to_owned)
}

/// Every address that can be read, with the other one's numbers and wallets in it.
fn readable() -> Vec<String> {
    let described = openapi();
    let paths = described["paths"].as_object().unwrap();
    let reads = paths
        .iter()
        .filter(|(_, methods)| methods.get("get").is_some())
        .map(|(path, _)| format!("/api/v1{path}"));
    let pages = [
        "/",
        "/activity",
        "/following",
        "/following/1",
        "/following/1/edit",
        "/following/new",
        "/leaders",
        "/positions",
        "/positions/ledger.csv",
        "/accounts",
        "/security",
        "/security/data.json",
    ];
    reads
        .filter(|path| !path.ends_with("/events"))
        .chain(pages.map(str::to_owned))
        .map(|path| {
            let parts = path.split('/').map(|part| match part {
                "{wallet}" => LEADER.to_string(),
                "{tx}" | "{order}" => format!("0x{}", "11".repeat(32)),
                part if part.starts_with('{') => "1".to_owned(),
                part => part.to_owned(),
            });
            parts.collect::<Vec<_>>().join("/")
        })
        .collect()
}

#[tokio::test]
async fn no_request_shows_another_users_rows() {
    let town = town().await;
    let ann = town.ann().await;
    town.furnish(&ann, 1).await;
    let bob = town.add(&ann, "bob", Role::Trader).await;
    town.furnish(&bob, 2).await;
    let reads = readable();
    assert!(reads.len() > 20, "{reads:?}");
    let mut own = 0;
    for path in &reads {
        let reply = town.get(path, Some(&bob), "text/html").await;
        assert_ne!(reply.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}: {}", reply.text);
        for others in [label(1), Address([1; 20]).to_string(), "ann".to_owned()] {
            let word = |text: &str| {
                text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-')
                    .any(|word| word == others)
            };
            assert!(!word(&reply.text), "{path} shows {others}: {}", reply.text);
        }
        own += usize::from(reply.text.contains(&label(2)));
    }
    assert!(own > 3, "bob does not even see what is his: {own}");
    for path in ["/users", "/operations"] {
        let reply = town.get(path, Some(&bob), "text/html").await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(town.get(path, Some(&ann), "text/html").await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn whoever_is_not_signed_in_is_sent_to_where_he_can() {
    let town = town().await;
    let early = town.get("/positions", None, "text/html").await;
    assert_eq!((early.status, early.header("location")), (StatusCode::SEE_OTHER, "/set-up"));
    town.ann().await;
    let page = town.get("/following?x=1&y=/", None, "text/html").await;
    assert_eq!(page.header("location"), "/sign-in?to=/following%3Fx%3D1%26y%3D/");
    let program = town.get("/api/v1/home", None, "application/json").await;
    assert_eq!(
        (program.status, program.header("content-type")),
        (StatusCode::UNAUTHORIZED, "application/problem+json")
    );
    let unknown = town.get("/api/v1/home", Some("nonsense"), "application/json").await;
    assert_eq!(unknown.status, StatusCode::UNAUTHORIZED);
    let elsewhere = town.scene.get("/sign-in").await;
    assert_eq!(elsewhere.status, StatusCode::OK, "this machine's own names are taken, too");
    let stranger = Request::get("/sign-in").header("host", "evil.example");
    assert_eq!(town.scene.ask(stranger, "").await.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn one_signs_in_is_sent_to_an_address_of_ours_and_signs_out() {
    let town = town().await;
    town.ann().await;
    let wrong = town.send("/sign-in", "name=ann&password=wrong&to=/", None).await;
    assert_eq!((wrong.status, session_in(&wrong)), (StatusCode::UNAUTHORIZED, None));
    for to in [
        "/%09/evil.example",
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/%0d%0aset-cookie:x=1",
        "",
    ] {
        let body = format!("name=ann&password=correct+horse+battery+staple&to={to}");
        let reply = town.send("/sign-in", &body, None).await;
        assert_eq!((reply.status, reply.header("hx-redirect")), (StatusCode::OK, "/"), "{to}");
    }
    let body = "name=ann&password=correct+horse+battery+staple&to=/positions";
    let reply = town.send("/sign-in", body, None).await;
    assert_eq!(reply.header("hx-redirect"), "/positions");
    let session = session_in(&reply).unwrap();
    let page = town.get("/security", Some(&session), "text/html").await;
    assert!(page.text.contains("Signed in as ann"), "{}", page.text);
    let out = town.send("/sign-out", "", Some(&session)).await;
    assert_eq!(out.header("hx-redirect"), "/sign-in");
    let after = town.get("/positions", Some(&session), "text/html").await;
    assert_eq!(after.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_token_may_what_it_says_and_needs_no_token_of_a_page() {
    let town = town().await;
    let ann = town.ann().await;
    let caller = town.caller(&ann).await;
    let wish = |scopes: &[Scope]| TokenWish {
        name: "robot".to_owned(),
        scopes: Scopes::of(scopes),
        addresses: Vec::new(),
        expires_at: None,
    };
    let make = async |scopes: &[Scope]| {
        town.access.make_token(&caller, wish(scopes), &Peer::default()).await.unwrap().0
    };
    let (reads, trades) = (make(&[Scope::Read]).await, make(&[Scope::Read, Scope::Trade]).await);
    let pause = async |token: &str| {
        let request = Request::post("/api/v1/relationships/1/pause")
            .header("host", "copy.example")
            .header("authorization", format!("Bearer {token}"));
        town.scene.ask(request, "").await.status
    };
    assert_eq!(pause(reads.reveal()).await, StatusCode::FORBIDDEN);
    assert_eq!(pause("slp_nonsense").await, StatusCode::UNAUTHORIZED);
    assert!(town.scene.noted.all().is_empty());
    assert_eq!(pause(trades.reveal()).await, StatusCode::OK);
    assert_eq!(town.scene.noted.all(), ["Paused"]);
    // A browser's session without the token of a page may not, whatever it is.
    let forged = Request::post("/api/v1/relationships/1/pause")
        .header("host", "copy.example")
        .header("cookie", format!("__Host-slipstream_session={ann}"));
    assert_eq!(town.scene.ask(forged, "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn links_make_users_and_what_is_dangerous_wants_a_proof() {
    let town = town().await;
    let link = town.access.set_up_link().await.unwrap().unwrap();
    let path = format!("/set-up/{}", link.reveal());
    assert_eq!(town.get(&path, None, "text/html").await.status, StatusCode::OK);
    let short = town.send(&path, "name=ann&password=short", None).await;
    assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
    let made = town.send(&path, "name=ann&password=correct+horse+battery+staple", None).await;
    let ann = session_in(&made).unwrap();
    assert!(town.get(&path, None, "text/html").await.text.contains("works no more"));
    let invited = town.send("/users/invite", "role=trader", Some(&ann)).await;
    let link =
        invited.text.split("https://copy.example").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let joined = town.send(&link, "name=bob&password=correct+horse+battery+staple", None).await;
    assert!(session_in(&joined).is_some(), "{}", joined.text);
    town.scene.clock.advance(std::time::Duration::from_secs(301));
    let late = town.send("/security/tokens", "name=robot&scope=read", Some(&ann)).await;
    assert_eq!(late.status, StatusCode::FORBIDDEN, "{}", late.text);
    let proven = town.send("/security/prove", "password=correct+horse+battery+staple", Some(&ann)).await;
    let ann = session_in(&proven).unwrap();
    let token = town.send("/security/tokens", "name=robot&scope=read", Some(&ann)).await;
    assert!(token.text.contains("slp_"), "{}", token.text);
    let escaped = town.send("/security/tokens", "name=%3Cscript%3E&scope=read", Some(&ann)).await;
    assert_eq!(escaped.status, StatusCode::OK);
    let page = town.get("/security", Some(&ann), "text/html").await;
    assert!(page.text.contains("&#60;script&#62;") && !page.text.contains("<script>alert"), "{}", page.text);
    for path in ["/users", "/security"] {
        assert_eq!(town.get(path, Some(&ann), "text/html").await.status, StatusCode::OK, "{path}");
    }
}
