//! The relayer: carries out what owners of wallets sign, and pays the gas.
//!
//! Nothing is sent twice for one purpose: a wallet's transactions have nonces, one is under way at a time, and a
//! submission whose reply was lost is looked up by its nonce and signature. What is signed anew for a nonce excludes
//! what was signed for it before. Sources: docs.polymarket.com/api-spec/relayer-openapi.yaml and the official clients.

use std::sync::Arc;

use alloy_primitives::hex;
use domain::{Address, Clock, RelayPlan, TradingAccount, TxHash, WalletAction, WalletKind};
use eip712::{DEPOSIT_WALLET_FACTORY, Relay};
use engine::ports::{
    detection::Lane,
    venue::{SignRequest, Signer, VenueError},
    wallets::{Taken, TransactionOutcome, WalletTransaction},
};
use hmac::Hmac;
use reqwest::{Client, Method, RequestBuilder, header::CONTENT_TYPE};
use serde::de::DeserializeOwned;
use serde_json::json;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    answers::{Answers, Topic},
    auth::{keyed_mac, l2_signature},
    http::{Answer, Failure, Service, malformed, send},
    limits::{BATCH_DEADLINE, PROXY_GAS_LIMIT, RELAYER_DEADLINE, RELAYER_PATIENCE, SMALL_BODY},
    pacer::{Endpoint, Pacer},
    relayer_body::body,
    relayer_rows::{Deployed, Next, OneTransaction, Row, Signed, Submitted},
    venue_limits::VenueLimits,
};

/// Who asks the relayer. Has no `Debug`.
pub enum RelayerKey {
    /// A key of one address, for wallets of that address.
    Own {
        /// The key.
        key: Zeroizing<String>,
        /// The address it was made for.
        address: Address,
    },
    /// A builder's key, for wallets of everybody.
    Builder(Box<BuilderKey>),
}

/// A builder's key, ready to sign requests.
pub struct BuilderKey {
    key: String,
    passphrase: Zeroizing<String>,
    mac: Hmac<Sha256>,
}

impl BuilderKey {
    /// With its base64 secret; `None` when that is none.
    #[must_use]
    pub fn new(key: String, secret: &Zeroizing<String>, passphrase: Zeroizing<String>) -> Option<Self> {
        Some(Self { key, passphrase, mac: keyed_mac(secret).ok()? })
    }
}

/// Where a relayed transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayState {
    /// Taken, or sent to the chain.
    Underway,
    /// In a block.
    Mined,
    /// In a final block.
    Confirmed,
    /// It will not happen.
    Failed,
}

/// A relayed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// The relayer's id.
    pub id: String,
    /// Where it is.
    pub state: RelayState,
    /// Its transaction, once there is one.
    pub tx: Option<TxHash>,
    /// Why it failed, in the relayer's words.
    pub reason: String,
}

/// The relayer.
pub struct Relayer {
    service: Service,
    key: RelayerKey,
    signer: Arc<dyn Signer>,
    clock: Arc<dyn Clock>,
    pacer: Pacer,
    answers: Arc<Answers>,
}

const fn kind_name(kind: WalletKind) -> Option<&'static str> {
    match kind {
        WalletKind::Eoa | WalletKind::Session => None,
        WalletKind::Proxy => Some("PROXY"),
        WalletKind::Safe => Some("SAFE"),
        WalletKind::Deposit => Some("WALLET"),
    }
}

/// The name of a wallet's kind, or why it has none.
fn relayed_kind(account: &TradingAccount) -> Result<&'static str, VenueError> {
    kind_name(account.kind).ok_or_else(|| VenueError::Refused {
        what: SUBMIT.to_owned(),
        reason: match account.kind {
            WalletKind::Session => {
                format!(
                    "wallet {} is traded with a session key; what moves money is its owner's",
                    account.wallet
                )
            }
            _ => format!("{} is an EOA, which sends its own transactions", account.wallet),
        },
    })
}

const SUBMIT: &str = "POST /submit";

impl Relayer {
    /// The relayer at `origin`.
    #[must_use]
    pub fn new(
        client: Client,
        origin: &str,
        key: RelayerKey,
        signer: Arc<dyn Signer>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let any = VenueLimits { other: vec![(Endpoint::Relayer, u32::MAX, None)], ..VenueLimits::default() };
        let pacer = Pacer::new(Arc::clone(&clock), Some(any));
        let answers = Arc::default();
        Self { service: Service::new(client, origin), key, signer, clock, pacer, answers }
    }

    /// Keeps a limit (25 calls a minute are published), too; without it the relayer's own word is obeyed alone.
    #[must_use]
    pub fn paced(self, limits: VenueLimits) -> Self {
        let pacer = Pacer::new(Arc::clone(&self.clock), Some(limits));
        Self { pacer, ..self }
    }

    /// Counts how the relayer answers among these.
    #[must_use]
    pub fn counting(self, answers: Arc<Answers>) -> Self {
        Self { answers, ..self }
    }

    /// An authenticated request; a builder signs the path without its query.
    fn request(&self, method: Method, path_and_query: &str, body: &[u8]) -> RequestBuilder {
        let request = self.service.request(method.clone(), path_and_query);
        match &self.key {
            RelayerKey::Own { key, address } => request
                .header("RELAYER_API_KEY", key.as_str())
                .header("RELAYER_API_KEY_ADDRESS", address.to_string()),
            RelayerKey::Builder(builder) => {
                let path = path_and_query.split_once('?').map_or(path_and_query, |(path, _)| path);
                let seconds = self.clock.now().seconds().to_string();
                let signature = l2_signature(&builder.mac, &seconds, method.as_str(), path, body);
                request
                    .header("POLY_BUILDER_API_KEY", &builder.key)
                    .header("POLY_BUILDER_PASSPHRASE", builder.passphrase.as_str())
                    .header("POLY_BUILDER_SIGNATURE", signature)
                    .header("POLY_BUILDER_TIMESTAMP", seconds)
            }
        }
    }

    /// Asks in turn, and again when the relayer took it for too many calls, as long as told.
    async fn get(&self, path: &str, what: &str) -> Result<Answer, VenueError> {
        let give_up = self.clock.uptime().saturating_add(RELAYER_PATIENCE);
        loop {
            let ask = send(self.request(Method::GET, path, b""), RELAYER_DEADLINE, SMALL_BODY);
            let patience = give_up.saturating_sub(self.clock.uptime());
            let sent = self.pacer.paced((what, Endpoint::Relayer, Lane::Exits), patience, ask).await?;
            let answer = sent.map_err(|failure| failure.into_error(what))?;
            if answer.status != 429 {
                return Ok(answer);
            }
        }
    }

    /// What it answers to a question.
    async fn ask<T: DeserializeOwned, R>(
        &self,
        path: &str,
        what: &str,
        read: impl FnOnce(T) -> Result<R, String>,
    ) -> Result<R, VenueError> {
        let ask = async {
            read(self.get(path, what).await?.json(what)?).map_err(|reason| malformed(what, &reason))
        };
        self.answers.counted(Topic::Relayer, ask).await
    }

    /// Whether a wallet contract is deployed.
    ///
    /// # Errors
    /// [`VenueError`].
    pub async fn is_deployed(&self, wallet: Address, kind: WalletKind) -> Result<bool, VenueError> {
        let Some(name) = kind_name(kind) else { return Ok(true) };
        let path = format!("/deployed?address={wallet}&type={name}");
        self.ask(&path, "GET /deployed", |row: Deployed| Ok(row.deployed)).await
    }

    async fn next(&self, account: &TradingAccount) -> Result<(u64, Address), VenueError> {
        let (path, what) = match account.kind {
            WalletKind::Proxy => ("/relay-payload", "GET /relay-payload"),
            _ => ("/v1/account/transactions/params", "GET /v1/account/transactions/params"),
        };
        let kind = relayed_kind(account)?;
        self.ask(&format!("{path}?address={}&type={kind}", account.signer), what, Next::read).await
    }

    /// The first of its list that is `ours` and in a state that is `wanted`.
    async fn listed(
        &self,
        ours: impl Fn(&Row) -> bool,
        wanted: impl Fn(RelayState) -> bool,
    ) -> Result<Option<Relayed>, VenueError> {
        let find = |rows: Vec<Row>| {
            for row in rows.into_iter().filter(|row| ours(row)) {
                let relayed = row.read()?;
                if wanted(relayed.state) {
                    return Ok(Some(relayed));
                }
            }
            Ok(None)
        };
        self.ask("/transactions", "GET /transactions", find).await
    }

    /// What is under way for a wallet: taken or mined, and not final.
    ///
    /// # Errors
    /// [`VenueError`].
    pub async fn under_way(&self, wallet: Address) -> Result<Option<Relayed>, VenueError> {
        let name = wallet.to_string();
        let open = |state| matches!(state, RelayState::Underway | RelayState::Mined);
        self.listed(|row| row.wallet.eq_ignore_ascii_case(&name), open).await
    }

    /// A transaction by its id.
    ///
    /// # Errors
    /// [`VenueError`].
    pub async fn transaction(&self, id: &str) -> Result<Relayed, VenueError> {
        let what = "GET /v1/account/transactions/{id}";
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(malformed(what, &"not an id"));
        }
        self.ask(&format!("/v1/account/transactions/{id}"), what, OneTransaction::read).await
    }

    /// Asks for the deposit wallet or the Safe of an account that has none yet.
    ///
    /// # Errors
    /// [`VenueError`].
    pub async fn deploy(&self, account: &TradingAccount) -> Result<Relayed, VenueError> {
        let body = match account.kind {
            WalletKind::Deposit => json!({
                "type": "WALLET-CREATE", "from": account.signer, "to": DEPOSIT_WALLET_FACTORY, "metadata": "",
            }),
            WalletKind::Safe => self.new_safe(account).await?,
            other => {
                let reason = format!("only deposit wallets and Safes are made, not {other:?} ones");
                return Err(VenueError::Refused { what: SUBMIT.to_owned(), reason });
            }
        };
        // Asking twice is refused: a wallet is deployed once.
        let taken = self.post_in_turn(body.to_string().as_bytes()).await?;
        taken.ok_or_else(|| malformed(SUBMIT, &"no answer to what cannot be looked up"))
    }

    /// The signed request for a Safe.
    async fn new_safe(&self, account: &TradingAccount) -> Result<serde_json::Value, VenueError> {
        let (actions, relay) = (vec![WalletAction::MakeSafe], Address([0; 20]));
        let plan =
            RelayPlan { account: account.clone(), actions, nonce: 0, deadline: 0, gas_limit: 0, relay };
        let form = Relay::from_plan(&plan)
            .map_err(|error| VenueError::Refused { what: SUBMIT.to_owned(), reason: error.to_string() })?;
        let signature = hex::encode_prefixed(form.signature(&self.sign(plan).await?));
        Ok(body(account, "", &form, &signature))
    }

    /// Signs what a wallet does, for its next nonce.
    ///
    /// # Errors
    /// [`VenueError`].
    pub async fn prepare(
        &self,
        account: &TradingAccount,
        actions: &[WalletAction],
    ) -> Result<WalletTransaction, VenueError> {
        let kind = relayed_kind(account)?;
        let (nonce, relay) = self.next(account).await?;
        let expires_at = self.clock.now().plus(BATCH_DEADLINE);
        let plan = RelayPlan {
            account: account.clone(),
            actions: actions.to_vec(),
            nonce,
            deadline: u64::try_from(expires_at.seconds()).unwrap_or(0),
            gas_limit: PROXY_GAS_LIMIT,
            relay,
        };
        let form = Relay::from_plan(&plan)
            .map_err(|error| VenueError::Refused { what: SUBMIT.to_owned(), reason: error.to_string() })?;
        let signature = self.sign(plan).await?;
        let signature = hex::encode_prefixed(form.signature(&signature));
        Ok(WalletTransaction {
            nonce,
            body: body(account, kind, &form, &signature).to_string().into_bytes(),
            tx: None,
            fees: None,
            // Only deposit wallets look at the deadline.
            expires_at: (account.kind == WalletKind::Deposit).then_some(expires_at),
        })
    }

    /// Sends signed bytes once.
    ///
    /// # Errors
    /// [`VenueError`]; open whether it was taken, unless refused.
    pub async fn send(&self, transaction: &WalletTransaction) -> Result<Taken, VenueError> {
        match self.post(&transaction.body).await {
            Ok(Some(Relayed { state: RelayState::Failed, reason, .. })) => {
                let reason = format!("the relayer's simulation failed: {reason}");
                Err(VenueError::Refused { what: SUBMIT.to_owned(), reason })
            }
            Ok(Some(relayed)) => Ok(Taken::Yes(Some(relayed.id))),
            Ok(None) => {
                let reason = "no reply, or one that says nothing".to_owned();
                Err(VenueError::Unavailable { what: SUBMIT.to_owned(), reason })
            }
            Err(VenueError::Refused { reason, .. }) if reason.contains("wallet busy") => {
                Ok(Taken::NotNow(reason))
            }
            Err(VenueError::RateLimited { .. }) => Ok(Taken::NotNow("too many submissions".to_owned())),
            Err(error) => Err(error),
        }
    }

    /// What became of signed bytes: by the relayer's id, else by their nonce and signature; and if it does not know
    /// them, by whether their nonce is used.
    ///
    /// # Errors
    /// [`VenueError`].
    pub async fn outcome(
        &self,
        account: &TradingAccount,
        transaction: &WalletTransaction,
        id: Option<&str>,
    ) -> Result<TransactionOutcome, VenueError> {
        let by_id = match id {
            Some(id) => match self.transaction(id).await {
                Ok(relayed) => Some(relayed),
                Err(VenueError::Refused { .. }) => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        let known = match by_id {
            Some(known) => Some(known),
            None => self.listed_as(transaction).await?,
        };
        Ok(match known {
            Some(Relayed { state: RelayState::Underway | RelayState::Mined, .. }) => {
                TransactionOutcome::Underway
            }
            Some(Relayed { state: RelayState::Confirmed, tx: Some(tx), .. }) => {
                TransactionOutcome::Confirmed(tx)
            }
            Some(Relayed { state: RelayState::Confirmed, .. }) => {
                return Err(malformed(SUBMIT, &"confirmed without a transaction"));
            }
            Some(Relayed { reason, .. }) => TransactionOutcome::Failed(reason),
            None if self.next(account).await?.0 > transaction.nonce => TransactionOutcome::Replaced,
            None => TransactionOutcome::Unseen,
        })
    }

    async fn sign(&self, plan: RelayPlan) -> Result<[u8; 65], VenueError> {
        let signed = self.signer.sign(&[SignRequest::Relay(plan)]).await.pop();
        let signed = signed.ok_or_else(|| malformed(SUBMIT, &"the signer answered nothing"))?;
        let refused = |reason: String| VenueError::Refused { what: SUBMIT.to_owned(), reason };
        signed.map(|signature| signature.0).map_err(|error| refused(error.to_string()))
    }

    /// What the relayer lists with this nonce and signature.
    async fn listed_as(&self, transaction: &WalletTransaction) -> Result<Option<Relayed>, VenueError> {
        let unread = |error| malformed("a signed transaction", &error);
        let sent: Signed = serde_json::from_slice(&transaction.body).map_err(unread)?;
        let nonce = transaction.nonce.to_string();
        let ours = |row: &Row| row.nonce == nonce && row.signature.eq_ignore_ascii_case(&sent.signature);
        self.listed(ours, |_| true).await
    }

    /// Posts until the relayer has room for it: what it refuses for too many calls it has not taken.
    async fn post_in_turn(&self, body: &[u8]) -> Result<Option<Relayed>, VenueError> {
        let give_up = self.clock.uptime().saturating_add(RELAYER_PATIENCE);
        loop {
            match self.post(body).await {
                Err(VenueError::RateLimited { .. }) if self.clock.uptime() < give_up => {}
                posted => return posted,
            }
        }
    }

    /// Posts once. `None` when it is open whether it was taken.
    async fn post(&self, body: &[u8]) -> Result<Option<Relayed>, VenueError> {
        let request = self.request(Method::POST, "/submit", body);
        let request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        let ask = send(request, RELAYER_DEADLINE, SMALL_BODY);
        let posted = async {
            let call = (SUBMIT, Endpoint::Relayer, Lane::Exits);
            let answer = match self.pacer.paced(call, RELAYER_DEADLINE, ask).await? {
                Ok(answer) if answer.status >= 500 => return Ok(Err(answer.error(SUBMIT))),
                Ok(answer) => answer,
                Err(failure @ Failure::NotSent(_)) => return Err(failure.into_error(SUBMIT)),
                Err(failure) => return Ok(Err(failure.into_error(SUBMIT))),
            };
            let taken: Submitted = answer.json(SUBMIT)?;
            taken.read().map(Ok).map_err(|reason| malformed(SUBMIT, &reason))
        };
        // What is open is an answer that did not come.
        match posted.await {
            Ok(Ok(relayed)) => self.answers.counted(Topic::Relayer, async { Ok(Some(relayed)) }).await,
            Ok(Err(error)) => {
                self.answers.count_error(Topic::Relayer, &error);
                Ok(None)
            }
            Err(error) => self.answers.counted(Topic::Relayer, async { Err(error) }).await,
        }
    }
}

#[cfg(test)]
#[path = "relayer_tests.rs"]
mod tests;
