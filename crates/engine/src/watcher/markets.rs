//! Markets nobody knows yet while the venue cannot be asked: copies of buys in them wait.
//!
//! A part that waits is stored without decisions and holds nothing else up: each unknown token is asked for
//! again beside the steps, less and less often. It waits as long as the most patient follower's age limit;
//! then everybody is decided, and each is told the age.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::{
    Market, TokenId, TopOfBook,
    ids::LeaderId,
    trade::{Action, Part, PartKind},
};
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, join, pending},
    stream::FuturesUnordered,
};

use super::{Watcher, WatcherError, deciding::Basis};
use crate::{
    limits,
    market_cache::Rules,
    ports::{
        detection::{Lane, StoredPart},
        store::StoreResult,
    },
};

/// Rules and book of a token, once told.
type Answer = (TokenId, Rules, Option<TopOfBook>);

/// The tokens that are asked for again.
#[derive(Default)]
pub(super) struct UnknownMarkets {
    asks: HashMap<TokenId, Ask>,
    /// (A lock makes them shareable; nobody shares them.)
    answers: Mutex<FuturesUnordered<BoxFuture<'static, Answer>>>,
    /// Answers that came while the watcher rested.
    answered: Vec<Answer>,
}

impl UnknownMarkets {
    /// The next answer that came.
    fn next(&mut self) -> Option<Answer> {
        self.answered.pop().or_else(|| self.answers().next().now_or_never().flatten())
    }

    /// Waits for an answer, for ever if nothing was asked.
    pub(super) async fn wait(&mut self) {
        let next = self.answers().next().await;
        match next {
            Some(answer) => self.answered.push(answer),
            None => pending().await,
        }
    }

    /// How long until a market is to be asked for again.
    pub(super) fn rests(&self, now: Duration) -> Option<Duration> {
        let waiting = self.asks.values().filter(|ask| !ask.asking);
        waiting.map(|ask| ask.due.saturating_sub(now)).min()
    }

    fn answers(&mut self) -> &mut FuturesUnordered<BoxFuture<'static, Answer>> {
        self.answers.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a token is asked for again, by uptime.
struct Ask {
    due: Duration,
    pause: Duration,
    asking: bool,
}

impl Ask {
    const fn at(due: Duration) -> Self {
        Self { due, pause: limits::MARKET_FIRST, asking: false }
    }

    fn put_off(&mut self, now: Duration) {
        self.asking = false;
        self.due = now.saturating_add(self.pause);
        self.pause = self.pause.saturating_mul(2).min(limits::MARKET_LAST);
    }
}

/// Whether the decisions of a part wait for a market that nobody could be asked for: only an entry needs it,
/// and once some followers are decided, the others are decided from the same facts.
pub(super) fn needs_market(stored: &StoredPart) -> bool {
    let Part { kind, key, .. } = stored.part;
    let entry = kind == PartKind::Trade && key.action == Action::Buy;
    entry && stored.snapshot.market.is_none() && stored.decided_through.0 == 0
}

impl Watcher {
    /// What is known of a market and its best offers now. A token that is asked for again already is not asked for
    /// here: a silent venue would hold up each part for a deadline.
    pub(super) async fn rules_and_top(
        &self,
        token: TokenId,
        lane: Lane,
    ) -> StoreResult<(Rules, Option<TopOfBook>)> {
        if self.unknown.asks.contains_key(&token) {
            return Ok((Rules::Unanswered, None));
        }
        let (rules, book) = join(self.markets.ask(token, lane), self.markets.book(token, lane)).await;
        Ok((rules?, book.map(|book| book.top())))
    }

    /// [`Watcher::rules_and_top`] where it does not matter why a market is not known.
    pub(super) async fn market_and_top(
        &self,
        token: TokenId,
        lane: Lane,
    ) -> Result<(Option<Market>, Option<TopOfBook>), WatcherError> {
        let (rules, top) = self.rules_and_top(token, lane).await?;
        Ok((rules.known(), top))
    }

    /// Whether one more part may wait.
    pub(super) fn has_room_to_wait(&self) -> bool {
        let waiting = self.pending.iter().filter(|pending| matches!(pending.basis, Basis::Market));
        waiting.count() < limits::WAITING_PARTS
    }

    /// Asks for the markets that parts wait for, takes what was answered, and lets those go whose time is
    /// over. Whoever waits no longer is decided when its turn comes.
    pub(super) async fn market_step(&mut self) -> Result<(), WatcherError> {
        if self.unknown.asks.is_empty() && !self.pending.iter().any(|one| matches!(one.basis, Basis::Market))
        {
            return Ok(());
        }
        while let Some(answer) = self.unknown.next() {
            self.take_market(answer);
        }
        self.let_the_too_old_go().await?;
        let mut wanted: HashMap<TokenId, Lane> = HashMap::new();
        for pending in self.pending.iter().filter(|pending| matches!(pending.basis, Basis::Market)) {
            let key = &pending.stored.part.key;
            let lane = wanted.entry(key.token).or_insert(Lane::Entries);
            *lane = Lane::of(key.action).min(*lane);
        }
        let now = self.clock.uptime();
        self.unknown.asks.retain(|token, _| wanted.contains_key(token));
        for (token, lane) in wanted {
            self.ask_for_market(token, lane, now);
        }
        Ok(())
    }

    fn ask_for_market(&mut self, token: TokenId, lane: Lane, now: Duration) {
        let UnknownMarkets { asks, answers, .. } = &mut self.unknown;
        let answers = answers.get_mut().unwrap_or_else(PoisonError::into_inner);
        let first = now.saturating_add(limits::MARKET_FIRST);
        let ask = asks.entry(token).or_insert_with(|| Ask::at(first));
        if ask.asking || ask.due > now || answers.len() >= limits::IN_FLIGHT {
            return;
        }
        ask.asking = true;
        let markets = self.markets.clone();
        answers.push(Box::pin(async move {
            let (rules, book) = join(markets.ask_anew(token, lane), markets.book(token, lane)).await;
            (token, rules, book.map(|book| book.top()))
        }));
    }

    fn take_market(&mut self, (token, rules, top): Answer) {
        let now = self.clock.uptime();
        let market = match rules {
            Rules::Known(market) => Some(market),
            Rules::NoSuchToken => None,
            Rules::Unanswered => {
                if let Some(ask) = self.unknown.asks.get_mut(&token) {
                    ask.put_off(now);
                }
                return;
            }
        };
        self.unknown.asks.remove(&token);
        // Sales wait for the buys before them, and are decided from the same word.
        let undecided = self.pending.iter_mut().filter(|pending| {
            let StoredPart { part, snapshot, decided_through, .. } = &pending.stored;
            part.key.token == token && snapshot.market.is_none() && decided_through.0 == 0
        });
        for pending in undecided {
            pending.stored.snapshot.market.clone_from(&market);
            pending.stored.snapshot.top = top;
            if matches!(pending.basis, Basis::Market) {
                pending.basis = Basis::Later;
            }
        }
    }

    /// Parts that are older than every follower of their leader allows wait no longer.
    async fn let_the_too_old_go(&mut self) -> Result<(), WatcherError> {
        let now = self.clock.now();
        let leaders: HashSet<LeaderId> = self.pending.iter().map(|one| one.stored.part.key.leader).collect();
        let following = self.following().await?;
        let patience: HashMap<LeaderId, Duration> =
            leaders.into_iter().map(|leader| (leader, following.longest_age(leader))).collect();
        for pending in self.pending.iter_mut().filter(|one| matches!(one.basis, Basis::Market)) {
            let longest = patience.get(&pending.stored.part.key.leader).copied().unwrap_or_default();
            if now.since(pending.group.traded_at) > longest {
                pending.basis = Basis::Later;
            }
        }
        Ok(())
    }
}
