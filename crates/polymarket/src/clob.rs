//! The order gateway: authenticated calls, preparing. Logging in is in [`crate::logins`], posting in [`crate::post`],
//! cancelling in [`crate::cancel`], looking up in [`crate::lookup`], markets and books in [`crate::market`].
//!
//! Sends every order exactly as often as it is asked to. Never decides whether to send again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use domain::{Address, Clock, Hash, OrderPlan, Side, Timestamp, TokenId, TradingAccount};
use eip712::{Chain, Exchange, OrderToSign, id_and_signature};
use engine::ports::{
    detection::Lane,
    paper::PaperOrders,
    venue::{
        Admission, Ask, Cancel, Cancelled, FoundOrder, OrderGateway, OrderLookup, OrderQuery, PostReply,
        PostTimes, PreparedOrder, SignRequest, Signature, Signer, SignerError, VenueClock, VenueError,
    },
};
use futures_util::future::join_all;
use reqwest::{Body, Client, Method, Request, RequestBuilder, header::CONTENT_TYPE};

use crate::{
    answers::{Answers, Topic},
    auth::Credentials,
    builder::BuilderFee,
    company::Company,
    geoblock::Geoblock,
    http::{Answer, Failure, Service, malformed, send},
    json::Scalar,
    limits::{ACCOUNT_DEADLINE, LOGIN_PATIENCE, PAGE_BODY, SIGN_BATCH, SMALL_BODY},
    logins::{Logins, Means},
    lookup::Rules,
    order::{Addresses, Terms, body},
    pace::Call,
    pacer::Pacer,
    timely::Timely,
    venue_limits::VenueLimits,
};

/// What the question for the venue's clock is called.
const TIME: &str = "GET /time";

/// The venue's order book service (CLOB) for all accounts. API credentials are derived through a login
/// on first use and kept in memory.
pub struct Clob {
    pub(crate) service: Service,
    pub(crate) chain: Chain,
    signer: Arc<dyn Signer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) logins: Logins,
    /// What look-ups need to estimate fees, and refusals to be explained.
    pub(crate) rules: Mutex<HashMap<TokenId, Rules>>,
    addresses: Addresses,
    pub(crate) pacer: Arc<Pacer>,
    /// How the service answers.
    pub(crate) answers: Arc<Answers>,
    /// Tells refused accounts where the venue sees them.
    pub(crate) geoblock: Option<Geoblock>,
    /// The builder code in every order, and what it costs.
    pub(crate) builder: Option<BuilderFee>,
}

impl Clob {
    /// The service at `origin` (scheme and host), called with the process's one HTTP client, as fast as it is
    /// asked to.
    #[must_use]
    pub fn new(
        client: Client,
        origin: &str,
        chain: Chain,
        signer: Arc<dyn Signer>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let service = Service::new(client, origin);
        let pacer = Arc::new(Pacer::new(Arc::clone(&clock), None));
        let answers = Arc::<Answers>::default();
        let means = Means {
            service: service.clone(),
            signer: Arc::clone(&signer),
            clock: Arc::clone(&clock),
            pacer: Arc::clone(&pacer),
            answers: Arc::clone(&answers),
        };
        Self {
            service,
            chain,
            signer,
            clock,
            logins: Logins::new(means),
            rules: Mutex::default(),
            addresses: Addresses::default(),
            pacer,
            answers,
            geoblock: None,
            builder: None,
        }
    }

    /// Keeps the venue's limits.
    #[must_use]
    pub fn paced(self, limits: VenueLimits) -> Self {
        let pacer = Arc::new(Pacer::new(Arc::clone(&self.clock), Some(limits)));
        let logins = self.logins.with(|means| means.pacer = Arc::clone(&pacer));
        Self { pacer, logins, ..self }
    }

    /// Keeps to this process's part of the limits, which others share. Comes after [`Clob::paced`].
    #[must_use]
    pub fn among(self, company: Arc<Company>) -> Self {
        self.pacer.share(company);
        self
    }

    /// Counts how the service answers among these.
    #[must_use]
    pub fn counting(self, answers: Arc<Answers>) -> Self {
        let logins = self.logins.with(|means| means.answers = Arc::clone(&answers));
        Self { answers, logins, ..self }
    }

    /// Asks this service where the venue sees this program, when it refuses for that.
    #[must_use]
    pub fn with_geoblock(mut self, geoblock: Geoblock) -> Self {
        self.geoblock = Some(geoblock);
        self
    }

    /// Puts a builder code into every order; what the builder charges counts as a fee of every market.
    #[must_use]
    pub fn with_builder(mut self, code: Hash) -> Self {
        self.builder = Some(BuilderFee::new(code));
        self
    }

    /// Anybody's credentials, for questions that the venue answers to everybody who is somebody.
    pub(crate) fn any_login(&self) -> Option<Arc<Credentials>> {
        self.logins.any()
    }

    /// Credentials the venue has refused are derived anew on next use.
    pub(crate) fn forget_login(&self, signer: Address) {
        self.logins.forget(signer);
    }

    /// The account's credentials; a login that has to be made goes in this lane.
    pub(crate) async fn credentials(
        &self,
        account: &TradingAccount,
        lane: Lane,
    ) -> Result<Arc<Credentials>, VenueError> {
        self.logins.of(account, lane).await
    }

    /// Waits until the pace allows a call, as long as a call may take.
    pub(crate) async fn turn(&self, what: &str, call: Call) -> Result<(), VenueError> {
        let turn = self.pacer.wait(call, ACCOUNT_DEADLINE).await;
        turn.map_err(|wait| VenueError::RateLimited { what: what.to_owned(), retry_after: Some(wait) })
    }

    /// An authenticated call at its turn. `path` is what is authenticated, `query` (with its `?`) is not.
    pub(crate) async fn call(
        &self,
        account: &TradingAccount,
        turn: Call,
        (method, path, query): (Method, &str, &str),
        body: Vec<u8>,
    ) -> Result<Answer, VenueError> {
        let what = format!("{method} {path}");
        let credentials = self.credentials(account, turn.lane).await?;
        self.turn(&what, turn).await?;
        let sent = self.send_as(&credentials, method, (path, query), body, ACCOUNT_DEADLINE).await;
        let answer = sent.map_err(|failure| failure.into_error(&what))?;
        if answer.status == 401 {
            self.forget_login(account.signer);
        }
        self.pacer.learn_of(turn, &answer);
        Ok(answer)
    }

    pub(crate) async fn send_as(
        &self,
        credentials: &Credentials,
        method: Method,
        place: (&str, &str),
        body: Vec<u8>,
        deadline: Duration,
    ) -> Result<Answer, Failure> {
        send(self.request_as(credentials, method, place, body), deadline, PAGE_BODY).await
    }

    fn request_as(
        &self,
        credentials: &Credentials,
        method: Method,
        (path, query): (&str, &str),
        body: Vec<u8>,
    ) -> RequestBuilder {
        let seconds = self.clock.now().seconds();
        let request = self.service.request(method.clone(), &format!("{path}{query}"));
        let request = credentials.authenticate(request, seconds, method.as_str(), path, &body);
        if body.is_empty() {
            return request;
        }
        request.header(CONTENT_TYPE, "application/json").body(body)
    }

    /// The post of these bytes, authenticated as of now.
    pub(crate) fn order_request_as(
        &self,
        credentials: &Credentials,
        path: &'static str,
        body: Timely,
    ) -> RequestBuilder {
        let seconds = self.clock.now().seconds();
        let request = self.service.request(Method::POST, path);
        let request = credentials.authenticate(request, seconds, Method::POST.as_str(), path, body.bytes());
        request.header(CONTENT_TYPE, "application/json").body(Body::wrap(body))
    }

    /// The request that posting this order would send, authenticated as of now, not sent: for measuring
    /// what an order costs without the socket.
    ///
    /// # Errors
    /// [`VenueError`] of the login, or when the parts make no request.
    pub async fn order_request(
        &self,
        account: &TradingAccount,
        order: &PreparedOrder,
    ) -> Result<Request, VenueError> {
        self.request(account, Method::POST, ("/order", ""), order.body.clone()).await
    }

    /// A request of this account, authenticated as of now, not sent: for whoever sends and records it itself.
    /// The query (with its `?`) is not authenticated.
    ///
    /// # Errors
    /// [`VenueError`] of the login, or when the parts make no request.
    pub async fn request(
        &self,
        account: &TradingAccount,
        method: Method,
        place: (&str, &str),
        body: Vec<u8>,
    ) -> Result<Request, VenueError> {
        let credentials = self.credentials(account, Lane::Entries).await?;
        let request = self.request_as(&credentials, method, place, body);
        request.build().map_err(|error| malformed(PREPARE, &error))
    }

    /// Credentials of every account in the plans; only the first time does this ask the venue. A login that hangs
    /// is not waited for: its account gets an error, the others what they want.
    async fn credentials_of(&self, plans: &[OrderPlan]) -> CredentialsByAddress {
        let mut accounts: HashMap<Address, (&TradingAccount, Lane)> = HashMap::new();
        for plan in plans {
            let account = accounts.entry(plan.account.signer).or_insert((&plan.account, Lane::Entries));
            if plan.side == Side::Sell {
                account.1 = Lane::Exits;
            }
        }
        let logins = accounts.into_iter().map(|(signer, (account, lane))| async move {
            (signer, self.logins.within(account, lane, LOGIN_PATIENCE).await)
        });
        join_all(logins).await.into_iter().collect()
    }

    /// Names the builder in orders, and prepares them batch by batch.
    async fn prepare_all(
        &self,
        plans: &[OrderPlan],
        owners: Owners,
    ) -> Vec<Result<PreparedOrder, VenueError>> {
        let mut prepared = Vec::with_capacity(plans.len());
        for batch in plans.chunks(SIGN_BATCH) {
            match &self.builder {
                Some(builder) => {
                    let named = |plan: &OrderPlan| OrderPlan { builder: builder.code, ..plan.clone() };
                    let batch: Vec<OrderPlan> = batch.iter().map(named).collect();
                    prepared.extend(self.prepare_batch(&batch, owners).await);
                }
                None => prepared.extend(self.prepare_batch(batch, owners).await),
            }
        }
        prepared
    }

    async fn prepare_batch(
        &self,
        plans: &[OrderPlan],
        owners: Owners,
    ) -> Vec<Result<PreparedOrder, VenueError>> {
        let credentials = match owners {
            Owners::LoggedIn => Some(self.credentials_of(plans).await),
            Owners::Nobody => None,
        };
        let now = self.clock.now();
        let drafts: Vec<_> = plans.iter().map(|plan| Draft::new(plan, now, credentials.as_ref())).collect();
        let requests: Vec<_> = drafts
            .iter()
            .zip(plans)
            .filter(|(draft, _)| draft.is_ok())
            .map(|(_, plan)| SignRequest::Order(plan.clone()))
            .collect();
        let mut signatures = self.signer.sign(&requests).await.into_iter();
        drafts
            .into_iter()
            .map(|draft| {
                let draft = draft?;
                let signature =
                    signatures.next().ok_or_else(|| malformed(PREPARE, &"a signature is missing"))?;
                let signature = signature.map_err(|error| signer_error(PREPARE, &error))?;
                draft.finish(&signature, self.chain, &self.addresses)
            })
            .collect()
    }
}

type CredentialsByAddress = HashMap<Address, Result<Arc<Credentials>, VenueError>>;

const PREPARE: &str = "preparing an order";

/// What may be wrong beside the credentials.
pub(crate) fn clock_hint(now: Timestamp) -> String {
    format!(" (credentials, or this machine's clock, which says {} s since 1970: compare it)", now.seconds())
}

/// Unix seconds, as a JSON number or string.
fn time_of(answer: &Answer) -> Result<Timestamp, VenueError> {
    let seconds: Scalar = answer.json(TIME)?;
    seconds.whole().map(Timestamp::from_seconds).map_err(|error| malformed(TIME, &error))
}

pub(crate) fn signer_error(what: &str, error: &SignerError) -> VenueError {
    let (what, reason) = (what.to_owned(), error.to_string());
    match error {
        SignerError::UnknownKey(_) | SignerError::Policy(_) => VenueError::NotSigned { what, reason },
        SignerError::Unavailable(_) => VenueError::Unavailable { what, reason },
    }
}

/// Who the venue is told that orders belong to.
#[derive(Clone, Copy)]
enum Owners {
    /// Accounts with credentials, which are asked for where they are not known.
    LoggedIn,
    /// Nobody: the orders are not for the venue.
    Nobody,
}

/// Stands where an API key would, in orders that are not for the venue.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// A plan with everything but its signature.
struct Draft {
    order: OrderToSign,
    exchange: Exchange,
    terms: Terms,
    /// None in orders that are not for the venue.
    credentials: Option<Arc<Credentials>>,
}

impl Draft {
    fn new(
        plan: &OrderPlan,
        now: Timestamp,
        credentials: Option<&CredentialsByAddress>,
    ) -> Result<Self, VenueError> {
        let senseless = |reason: String| VenueError::Senseless { what: PREPARE.to_owned(), reason };
        let (order, exchange) = OrderToSign::from_plan(plan).map_err(|error| senseless(error.to_string()))?;
        let terms = Terms::of(plan, now).map_err(|error| senseless(error.to_string()))?;
        let of_account = |known: &CredentialsByAddress| {
            let credentials = known.get(&plan.account.signer).cloned();
            credentials.ok_or_else(|| malformed(PREPARE, &"no credentials"))?
        };
        let credentials = credentials.map(of_account).transpose()?;
        Ok(Self { order, exchange, terms, credentials })
    }

    fn finish(
        &self,
        Signature(signature): &Signature,
        chain: Chain,
        written: &Addresses,
    ) -> Result<PreparedOrder, VenueError> {
        let (id, signature) = id_and_signature(&self.order, self.exchange, chain, signature);
        let wallets = [self.order.maker, self.order.signer].map(|address| written.of(address));
        let owner = self.credentials.as_ref().map_or(NOBODY, |credentials| credentials.api_key());
        let body = body(&self.order, self.terms, (owner, &wallets), &signature);
        Ok(PreparedOrder { id, body: body.map_err(|error| malformed(PREPARE, &error))? })
    }
}

#[async_trait]
impl VenueClock for Clob {
    async fn server_time(&self) -> Result<Timestamp, VenueError> {
        let ask = async {
            let answer = self.service.get("/time", ACCOUNT_DEADLINE, SMALL_BODY).await;
            time_of(&answer.map_err(|failure| failure.into_error(TIME))?)
        };
        self.answers.counted(Topic::Clock, ask).await
    }
}

#[async_trait]
impl PaperOrders for Clob {
    async fn prepare_on_paper(&self, plans: &[OrderPlan]) -> Vec<Result<PreparedOrder, VenueError>> {
        self.prepare_all(plans, Owners::Nobody).await
    }
}

#[async_trait]
impl OrderGateway for Clob {
    async fn admit(&self, asks: &[Ask], patience: Duration) -> Vec<Admission> {
        self.pacer.admit(asks, patience).await
    }

    async fn prepare(&self, plans: &[OrderPlan]) -> Vec<Result<PreparedOrder, VenueError>> {
        self.prepare_all(plans, Owners::LoggedIn).await
    }

    async fn post(&self, account: &TradingAccount, order: &PreparedOrder, times: PostTimes) -> PostReply {
        self.post_one(account, order, times).await
    }

    async fn post_batch(
        &self,
        account: &TradingAccount,
        lane: Lane,
        orders: &[PreparedOrder],
        times: PostTimes,
    ) -> Vec<PostReply> {
        self.post_many(account, lane, orders, times).await
    }

    async fn look_up(&self, account: &TradingAccount, order: &OrderQuery) -> Result<OrderLookup, VenueError> {
        self.answers.counted(Topic::LookUps, self.find(account, order)).await
    }

    async fn orders_since(
        &self,
        account: &TradingAccount,
        since: Timestamp,
    ) -> Result<Vec<FoundOrder>, VenueError> {
        self.answers.counted(Topic::LookUps, self.list_since(account, since)).await
    }

    async fn look_again(&self, account: &TradingAccount, token: Option<TokenId>) -> Result<(), VenueError> {
        self.answers.counted(Topic::Balances, Self::look_again(self, account, token)).await
    }

    async fn trades_here(&self) -> Result<bool, VenueError> {
        let Some(geoblock) = &self.geoblock else {
            let reason = "where the venue sees this program is not asked".to_owned();
            return Err(VenueError::Unavailable { what: "region".to_owned(), reason });
        };
        Ok(!self.answers.counted(Topic::Region, geoblock.region()).await?.blocked)
    }

    async fn cancel(&self, account: &TradingAccount, what: &Cancel) -> Result<Cancelled, VenueError> {
        self.answers.counted(Topic::Cancels, self.cancel_what(account, what)).await
    }
}

#[cfg(test)]
#[path = "clob_tests.rs"]
pub(crate) mod tests;
