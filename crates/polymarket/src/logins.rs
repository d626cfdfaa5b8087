//! API logins: one at a time for each signing address. They go on in the background, so that nobody who waits for one
//! account's holds up another's, and a slow one is not begun anew by whoever asks next.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::{Address, Clock, TradingAccount};
use engine::{
    deadline::venue_call,
    ports::{
        detection::Lane,
        venue::{SignRequest, Signature, Signer, VenueError},
    },
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use reqwest::Method;
use tokio::sync::Semaphore;

use crate::{
    answers::{Answers, Topic},
    auth::{Credentials, LOGIN_NONCE, login_headers},
    clob::{clock_hint, signer_error},
    http::{Service, malformed, send},
    limits::{ACCOUNT_DEADLINE, LOGIN_PARALLEL, SMALL_BODY},
    pace::Call,
    pacer::{Endpoint, Pacer},
};

/// What a login is called.
pub(crate) const WHAT: &str = "API login";

/// What logging in takes.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) service: Service,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pacer: Arc<Pacer>,
    pub(crate) answers: Arc<Answers>,
}

type Answer = Result<Arc<Credentials>, VenueError>;

/// A login that has begun.
#[derive(Clone)]
struct Login {
    /// Uptime.
    began: Duration,
    lane: Lane,
    answer: Shared<BoxFuture<'static, Answer>>,
}

/// The logins of all accounts, by signing address, because that is what the venue binds credentials to.
pub(crate) struct Logins {
    means: Means,
    begun: Mutex<HashMap<Address, Login>>,
    /// Of exits, and of everything else: neither waits for the other's.
    turns: [Arc<Semaphore>; 2],
}

impl Logins {
    pub(crate) fn new(means: Means) -> Self {
        let turns = || Arc::new(Semaphore::new(LOGIN_PARALLEL));
        Self { means, begun: Mutex::default(), turns: [turns(), turns()] }
    }

    /// Others, made in another way; nobody is logged in yet.
    pub(crate) fn with(&self, change: impl FnOnce(&mut Means)) -> Self {
        let mut means = self.means.clone();
        change(&mut means);
        Self::new(means)
    }

    /// Anybody's credentials, for questions that the venue answers to everybody who is somebody.
    pub(crate) fn any(&self) -> Option<Arc<Credentials>> {
        self.lock().values().find_map(|login| login.answer.peek()?.as_ref().ok().cloned())
    }

    /// Credentials the venue has refused are derived anew on next use.
    pub(crate) fn forget(&self, signer: Address) {
        self.lock().remove(&signer);
    }

    /// The account's credentials, once its login is done.
    pub(crate) async fn of(&self, account: &TradingAccount, lane: Lane) -> Answer {
        self.login(account, lane).answer.await
    }

    /// The account's credentials, if its login is done at most `patience` after it began: however many ask, and however
    /// often, one that hangs holds them up for that long.
    pub(crate) async fn within(&self, account: &TradingAccount, lane: Lane, patience: Duration) -> Answer {
        let Login { began, answer, .. } = self.login(account, lane);
        if let Some(answer) = answer.peek() {
            return answer.clone();
        }
        let clock = self.means.clock.as_ref();
        let left = began.saturating_add(patience).saturating_sub(clock.uptime());
        venue_call(clock, WHAT, left, answer).await
    }

    /// The login that has begun; a new one where there is none, where it has failed, and for an exit where one waits
    /// among those of entries.
    fn login(&self, account: &TradingAccount, lane: Lane) -> Login {
        let mut begun = self.lock();
        let known = begun.get(&account.signer).filter(|login| match login.answer.peek() {
            Some(answer) => answer.is_ok(),
            None => login.lane == Lane::Exits || lane == Lane::Entries,
        });
        if let Some(login) = known {
            return login.clone();
        }
        let login = self.begin(account.clone(), lane);
        begun.insert(account.signer, login.clone());
        login
    }

    fn begin(&self, account: TradingAccount, lane: Lane) -> Login {
        let [exits, entries] = &self.turns;
        let turns = match lane {
            Lane::Exits => exits,
            Lane::Entries => entries,
        };
        let (means, turns) = (self.means.clone(), Arc::clone(turns));
        let task = tokio::spawn(async move {
            let _turn = turns.acquire().await;
            means.answers.counted(Topic::Logins, means.log_in(&account, lane)).await
        });
        let ended = |error: tokio::task::JoinError| VenueError::Unavailable {
            what: WHAT.to_owned(),
            reason: error.to_string(),
        };
        let answer = async move { task.await.unwrap_or_else(|error| Err(ended(error))) };
        Login { began: self.means.clock.uptime(), lane, answer: answer.boxed().shared() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Login>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As if it had logged in.
    #[cfg(test)]
    pub(crate) fn put(&self, signer: Address, credentials: Arc<Credentials>) {
        let answer = std::future::ready(Ok(credentials)).boxed().shared();
        let _done = answer.clone().now_or_never();
        self.lock().insert(signer, Login { began: Duration::ZERO, lane: Lane::Exits, answer });
    }
}

impl Means {
    /// Creates credentials, or derives the ones that exist already.
    async fn log_in(&self, account: &TradingAccount, lane: Lane) -> Answer {
        let seconds = self.clock.now().seconds();
        let request =
            SignRequest::ApiLogin { key: account.key.clone(), timestamp: seconds, nonce: LOGIN_NONCE };
        let signature = self.sign(request).await?;
        let call = async |method, path| {
            let call = Call { endpoint: Endpoint::Login, lane, tokens: None };
            let turn = self.pacer.wait(call, ACCOUNT_DEADLINE).await;
            turn.map_err(|wait| VenueError::RateLimited { what: WHAT.to_owned(), retry_after: Some(wait) })?;
            let request = self.service.request(method, path);
            let request = login_headers(request, account.signer, seconds, &signature);
            let answer = send(request, ACCOUNT_DEADLINE, SMALL_BODY).await;
            let answer = answer.map_err(|failure| failure.into_error(WHAT))?;
            self.pacer.learn_of(call, &answer);
            Ok::<_, VenueError>(answer)
        };
        let mut answer = call(Method::POST, "/auth/api-key").await?;
        if answer.status == 400 {
            answer = call(Method::GET, "/auth/derive-api-key").await?;
        }
        Credentials::of_answer(account.signer, &answer, WHAT).map(Arc::new).map_err(|error| match error {
            VenueError::Refused { what, reason } if answer.status == 401 => {
                VenueError::Refused { what, reason: reason + &clock_hint(self.clock.now()) }
            }
            other => other,
        })
    }

    async fn sign(&self, request: SignRequest) -> Result<Signature, VenueError> {
        let signed = self.signer.sign(&[request]).await.pop();
        signed
            .ok_or_else(|| malformed(WHAT, &"the signer answered nothing"))?
            .map_err(|error| signer_error(WHAT, &error))
    }
}
