//! Several providers of one chain behind one [`ChainReader`].
//!
//! Questions go to the provider that answers soonest and surest; one that is slow is asked beside the next one,
//! one that fails is left for the next one at once, one that answers wrongly (another chain, a head far behind,
//! headers that do not link, logs that another provider has) is set aside with a reason. Blocks are read by
//! their hash, so that it does not matter who answers. The list may be replaced while everything runs. No key
//! of a provider's URL is ever shown.

mod asking;
mod health;
mod missing;
mod raw;
mod url;
mod witness;

#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use domain::{Address, Clock, Hash, Shares, TokenId, TxHash};
use eip712::Chain;
use engine::ports::feeds::FeedHealth;
use engine::{
    deadline::venue_call,
    ports::{
        venue::{BlockHeader, ChainEvent, ChainReader, VenueError},
        witness::{ExitClaim, Testimony},
    },
};
use futures_util::{FutureExt, future::join_all};
use reqwest::Client;
use serde_json::Value;
use tracing::{info, warn};

pub(crate) use self::url::host;
use self::{
    asking::{Doubt, Need},
    health::{Health, Standing, links},
};
pub use self::{
    health::ProviderHealth,
    raw::JsonRpc,
    url::{RpcUrl, RpcUrlError, rpc_urls},
};
use crate::{
    doorbell::Doorbells,
    limits::{
        HEAD_LAG, HEAD_STANDS_FOR, PACE_KNOWN_AFTER, PROBE_DEADLINE, PROBE_EVERY, PROBE_WHEN_STALLED,
        SECOND_LOOK, TEND_EVERY,
    },
    rpc::Rpc,
    socket::WebSockets,
};

/// A chain reader that counts what it asks.
#[async_trait]
pub trait ChainProvider: ChainReader {
    /// Calls made so far.
    fn calls(&self) -> u64;

    /// As [`JsonRpc::ask`]; readers that are no JSON-RPC refuse.
    async fn json_rpc(&self, method: &str, _: Value) -> Result<Value, VenueError> {
        Err(VenueError::Refused { what: method.to_owned(), reason: "no JSON-RPC".to_owned() })
    }
}

#[async_trait]
impl ChainProvider for Rpc {
    fn calls(&self) -> u64 {
        self.calls_made()
    }

    async fn json_rpc(&self, method: &str, params: Value) -> Result<Value, VenueError> {
        self.ask(method, params).await
    }
}

/// One provider of a list.
#[derive(Clone)]
pub struct Provider {
    /// What it is called in messages: its host.
    name: String,
    /// By which it is known again in another list. May hold a key.
    identity: Arc<str>,
    reader: Arc<dyn ChainProvider>,
}

impl Provider {
    /// The JSON-RPC at a URL.
    #[must_use]
    pub fn at(client: &Client, url: &RpcUrl, chain: Chain) -> Self {
        let reader = Arc::new(Rpc::new(client.clone(), url.expose(), chain));
        Self { name: url.host().to_owned(), identity: url.expose().into(), reader }
    }

    /// A reader under a name.
    #[must_use]
    pub fn of(name: &str, reader: Arc<dyn ChainProvider>) -> Self {
        Self { name: name.to_owned(), identity: name.into(), reader }
    }
}

/// A provider and its record.
struct Member {
    provider: Provider,
    health: Mutex<Health>,
    /// The day and the number of calls when it began.
    day: Mutex<(i64, u64)>,
    /// Uptime and number of calls when it came into the list.
    since: (Duration, u64),
}

impl Member {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self) -> &str {
        &self.provider.name
    }

    /// Whose it is: several URLs of one provider say the same.
    fn owner(&self) -> &str {
        url::owner(self.name())
    }

    fn set_aside(&self, now: Duration, reason: &str) {
        // Where it is the only one it is asked all the same.
        if self.health().set_aside(now, reason) {
            warn!("RPC provider {} is set aside: {reason}", self.name());
        }
    }

    fn calls_a_day(&self, now: Duration) -> Option<u64> {
        let seconds = now.saturating_sub(self.since.0).as_secs();
        let calls = self.provider.reader.calls().saturating_sub(self.since.1);
        calls.checked_mul(86_400)?.checked_div(seconds).filter(|_| seconds >= PACE_KNOWN_AFTER.as_secs())
    }

    /// Calls of the UTC day that holds `second`.
    fn calls_today(&self, second: i64) -> u64 {
        let (today, calls) = (second.div_euclid(86_400), self.provider.reader.calls());
        let mut day = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        if day.0 != today {
            *day = (today, calls);
        }
        calls.saturating_sub(day.1)
    }
}

/// All providers of a chain.
pub struct Providers {
    clock: Arc<dyn Clock>,
    doorbells: Doorbells,
    members: Mutex<Vec<Arc<Member>>>,
    /// Identity of the one asked first last time.
    first: Mutex<Option<Arc<str>>>,
    /// The highest head anybody told, and the uptime when it was told first.
    rose: Mutex<(i64, Duration)>,
}

impl Providers {
    /// A pool of these.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, providers: Vec<Provider>) -> Arc<Self> {
        let doorbells = Doorbells::new(Arc::new(WebSockets), Arc::clone(&clock), 0);
        let (members, first, rose) = (Mutex::default(), Mutex::default(), Mutex::default());
        let pool = Self { clock, doorbells, members, first, rose };
        pool.set_providers(providers);
        Arc::new(pool)
    }

    /// Replaces the list; takes effect with the next question. Records of providers that stay are kept.
    pub fn set_providers(&self, providers: Vec<Provider>) {
        let day = self.clock.now().seconds().div_euclid(86_400);
        let mut members = self.lock();
        let known = std::mem::take(&mut *members);
        for provider in providers {
            if members.iter().any(|member| member.provider.identity == provider.identity) {
                continue;
            }
            let old = known.iter().find(|member| member.provider.identity == provider.identity);
            members.push(old.cloned().unwrap_or_else(|| {
                let calls = provider.reader.calls();
                Arc::new(Member {
                    provider,
                    health: Mutex::new(Health::new()),
                    day: Mutex::new((day, calls)),
                    since: (self.clock.uptime(), calls),
                })
            }));
        }
        let names: Vec<&str> = members.iter().map(|member| member.name()).collect();
        info!("RPC providers: {}", names.join(", "));
    }

    /// Listens at these websockets for new blocks, instead of those before.
    pub fn hang_doorbells(&self, urls: &[RpcUrl]) {
        self.doorbells.hang(urls);
    }

    /// How its doorbells do.
    pub fn doorbells(&self) -> FeedHealth {
        self.doorbells.health()
    }

    /// How each provider does, in the order of the list.
    #[must_use]
    pub fn health(&self) -> Vec<ProviderHealth> {
        let (now, second) = (self.clock.uptime(), self.clock.now().seconds());
        let first =
            self.ranked(Need::default()).ready.first().map(|member| Arc::clone(&member.provider.identity));
        let members = self.lock().clone();
        let one = |member: &Arc<Member>| {
            let health = member.health().clone();
            let seconds = |until: Duration| until.saturating_sub(now).as_secs().saturating_add(1);
            let trouble = match health.standing(now) {
                Standing::Good => None,
                Standing::Behind(blocks) => Some(format!("its head is {blocks} blocks behind")),
                Standing::Paced(until) => Some(format!("asked to slow down, for {} s", seconds(until))),
                Standing::Resting(until) => Some(format!("failed too often; rests for {} s", seconds(until))),
                Standing::Aside(until, reason) => {
                    Some(format!("set aside for {} s: {reason}", seconds(until)))
                }
            };
            ProviderHealth {
                name: member.name().to_owned(),
                owner: member.owner().to_owned(),
                first: first.as_ref() == Some(&member.provider.identity),
                trouble,
                latency_ms: u64::try_from(health.latency().as_millis()).unwrap_or(u64::MAX),
                head: health.head(now),
                head_age_ms: health.head_age(now).and_then(|age| u64::try_from(age.as_millis()).ok()),
                behind: health.behind(),
                pruned: health.pruned(),
                calls_today: member.calls_today(second),
                calls: member.provider.reader.calls(),
                calls_a_day: member.calls_a_day(now),
                failures: health.failures,
                wrong: health.wrong,
                last_trouble: health.last_trouble,
            }
        };
        members.iter().map(one).collect()
    }

    /// Looks after the providers that are not asked otherwise, until the pool is gone: run it beside everything
    /// else.
    pub async fn tend(pool: Weak<Self>, clock: Arc<dyn Clock>) {
        let mut probed: Vec<(Arc<str>, Duration)> = Vec::new();
        while let Some(pool) = pool.upgrade() {
            pool.probe_round(&mut probed).await;
            drop(pool);
            clock.sleep(TEND_EVERY).await;
        }
    }

    /// Asks every provider for its head, whatever is known of it.
    pub async fn look(&self) {
        let members = self.lock().clone();
        join_all(members.iter().map(|member| self.probe(member))).await;
    }

    /// Asks for the heads of those whose turn has come.
    async fn probe_round(&self, probed: &mut Vec<(Arc<str>, Duration)>) {
        let now = self.clock.uptime();
        let (_, rose) = *self.rose.lock().unwrap_or_else(PoisonError::into_inner);
        let stalled = now.saturating_sub(rose) >= HEAD_STANDS_FOR;
        let every = if stalled { PROBE_WHEN_STALLED } else { PROBE_EVERY };
        let members = self.lock().clone();
        probed.retain(|(identity, _)| members.iter().any(|member| member.provider.identity == *identity));
        let due = members.into_iter().filter(|member| {
            let standing = member.health().standing(now);
            let identity = &member.provider.identity;
            let last = probed.iter().find(|(known, _)| known == identity).map(|(_, at)| *at);
            let asleep = matches!(standing, Standing::Resting(_) | Standing::Aside(..) | Standing::Paced(_));
            let recent = member.health().told_since(now.saturating_sub(every));
            !asleep && !recent && last.is_none_or(|at| now.saturating_sub(at) >= every)
        });
        let due: Vec<_> = due.collect();
        for member in &due {
            probed.retain(|(identity, _)| *identity != member.provider.identity);
            probed.push((Arc::clone(&member.provider.identity), now));
        }
        join_all(due.iter().map(|member| self.probe(member))).await;
    }

    async fn probe(&self, member: &Arc<Member>) {
        let call = |reader: Arc<dyn ChainProvider>| async move { reader.head().await }.boxed();
        let asked = self.run(Arc::clone(member), &call);
        let asked = async { asked.await.1 };
        match venue_call(self.clock.as_ref(), "head", PROBE_DEADLINE, asked).await {
            Ok(head) => self.told_head(member, head).await,
            Err(error) => self.note_refusal(member, "head", Need::default(), &error),
        }
    }

    /// Takes note of a head, and of whether it links with what the same provider told before.
    async fn told_head(&self, member: &Arc<Member>, head: BlockHeader) {
        let now = self.clock.uptime();
        let best = self.best_head(member, now);
        member.health().told_head(now, head.number, best);
        {
            let mut rose = self.rose.lock().unwrap_or_else(PoisonError::into_inner);
            if head.number > rose.0 {
                *rose = (head.number, now);
            }
        }
        self.told_header(member, head).await;
    }

    /// The best head that others told lately, by now.
    fn best_head(&self, member: &Arc<Member>, now: Duration) -> Option<i64> {
        let members = self.lock();
        let others = members.iter().filter(|other| !Arc::ptr_eq(other, member));
        others.filter_map(|other| other.health().head_by_now(now)).max()
    }

    /// A header that does not link with its neighbour is a reorganisation, which the provider then tells of both,
    /// or a mistake, and then it still tells the same of both.
    async fn told_header(&self, member: &Arc<Member>, header: BlockHeader) {
        let Some(other) = member.health().told_header(header) else { return };
        let reader = &member.provider.reader;
        let (low, high) = if header.number < other.number { (header, other) } else { (other, header) };
        let again = join_all([low.number, high.number].map(|number| reader.header(number)));
        let clock = self.clock.as_ref();
        let Ok(again) = venue_call(clock, "header", PROBE_DEADLINE, async { Ok(again.await) }).await else {
            return;
        };
        let again: Vec<_> = again.into_iter().filter_map(|header| header.ok().flatten()).collect();
        let [low, high] = again.as_slice() else { return };
        if !links(low, high) {
            let reason = format!(
                "its headers do not link: block {} names {} as its parent, but its block {} is {}",
                high.number, high.parent, low.number, low.hash
            );
            member.set_aside(self.clock.uptime(), &reason);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a second provider has where one has no logs at all: blocks without a trade are rare, and a provider
    /// whose logs are behind its headers says the same.
    async fn unless_another_has(
        &self,
        member: &Arc<Member>,
        (from, to): (i64, i64),
        call: asking::Call<'_, Vec<ChainEvent>>,
    ) -> Vec<ChainEvent> {
        let ready = self.ranked(Need::block(to)).ready;
        let Some(second) = ready.into_iter().find(|other| !Arc::ptr_eq(other, member)) else {
            return Vec::new();
        };
        let look = async { self.run(Arc::clone(&second), call).await.1 };
        let found = venue_call(self.clock.as_ref(), "logs", SECOND_LOOK, look).await.unwrap_or_default();
        if !found.is_empty() {
            let blocks = if from == to { format!("block {from}") } else { format!("blocks {from} to {to}") };
            let reason = format!("it has no logs of {blocks}, where {} has {}", second.name(), found.len());
            member.set_aside(self.clock.uptime(), &reason);
        }
        found
    }
}

#[async_trait]
impl ChainReader for Providers {
    async fn head(&self) -> Result<BlockHeader, VenueError> {
        let call = |reader: Arc<dyn ChainProvider>| async move { reader.head().await }.boxed();
        let lags = |member: &Arc<Member>, head: &BlockHeader| {
            let best = self.best_head(member, self.clock.uptime());
            let behind = best.is_some_and(|best| best.saturating_sub(head.number) > HEAD_LAG);
            if behind {
                member.health().told_head(self.clock.uptime(), head.number, best);
            }
            if behind { Doubt::Another } else { Doubt::None }
        };
        let (member, head) = self.ask("head", Need::default(), &call, &lags).await?;
        self.told_head(&member, head).await;
        Ok(head)
    }

    async fn finalized(&self) -> Result<BlockHeader, VenueError> {
        let call = |reader: Arc<dyn ChainProvider>| async move { reader.finalized().await }.boxed();
        Ok(self.ask("finalized", Need::default(), &call, &|_, _| Doubt::None).await?.1)
    }

    async fn header(&self, number: i64) -> Result<Option<BlockHeader>, VenueError> {
        let call = move |reader: Arc<dyn ChainProvider>| async move { reader.header(number).await }.boxed();
        // Whoever has no such block yet is not the last to be asked.
        let missing = |_: &Arc<Member>, header: &Option<BlockHeader>| {
            if header.is_some() { Doubt::None } else { Doubt::Another }
        };
        let (member, header) = self.ask("header", Need::block(number), &call, &missing).await?;
        if let Some(header) = header {
            self.told_header(&member, header).await;
        }
        Ok(header)
    }

    async fn block_events(
        &self,
        block: &BlockHeader,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        let (block, wallets): (_, Arc<[Address]>) = (*block, wallets.into());
        let call = move |reader: Arc<dyn ChainProvider>| {
            let wallets = Arc::clone(&wallets);
            async move { reader.block_events(&block, &wallets).await }.boxed()
        };
        let need = Need::block(block.number);
        let (member, events) = self.ask("logs of a block", need, &call, &|_, _| Doubt::None).await?;
        if events.is_empty() {
            return Ok(self.unless_another_has(&member, (block.number, block.number), &call).await);
        }
        Ok(events)
    }

    async fn range_events(
        &self,
        from: i64,
        to: i64,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        let wallets: Arc<[Address]> = wallets.into();
        let call = move |reader: Arc<dyn ChainProvider>| {
            let wallets = Arc::clone(&wallets);
            async move { reader.range_events(from, to, &wallets).await }.boxed()
        };
        let (member, events) =
            self.ask("logs of a range", Need::block(to), &call, &|_, _| Doubt::None).await?;
        if events.is_empty() && from <= to {
            return Ok(self.unless_another_has(&member, (from, to), &call).await);
        }
        Ok(events)
    }

    async fn balances(&self, queries: &[(Address, TokenId)], block: i64) -> Result<Vec<Shares>, VenueError> {
        let queries: Arc<[(Address, TokenId)]> = queries.into();
        let call = move |reader: Arc<dyn ChainProvider>| {
            let queries = Arc::clone(&queries);
            async move { reader.balances(&queries, block).await }.boxed()
        };
        Ok(self.ask("balances", Need::state(block), &call, &|_, _| Doubt::None).await?.1)
    }

    async fn rung(&self) {
        self.doorbells.rung().await;
    }

    fn would_ring(&self) -> bool {
        self.doorbells.works()
    }

    async fn balances_of_block(
        &self,
        queries: &[(Address, TokenId)],
        block: i64,
        hash: Hash,
    ) -> Result<Vec<Shares>, VenueError> {
        let queries: Arc<[(Address, TokenId)]> = queries.into();
        let call = move |reader: Arc<dyn ChainProvider>| {
            let queries = Arc::clone(&queries);
            async move { reader.balances_of_block(&queries, block, hash).await }.boxed()
        };
        Ok(self.ask("balances", Need::state(block), &call, &|_, _| Doubt::None).await?.1)
    }

    async fn transaction_events(
        &self,
        tx: TxHash,
        wallets: &[Address],
    ) -> Result<Vec<ChainEvent>, VenueError> {
        Ok(self.look_for(tx, wallets).await)
    }

    async fn witness(&self, claim: &ExitClaim) -> Result<Testimony, VenueError> {
        self.hear(claim).await
    }
}
