//! Asking for payouts: shares of resolved markets become dollars without anybody's help, exactly once in effect.
//!
//! What is to be redeemed is what the ledger holds. A redemption is signed when venue and chain say the same about a
//! condition and the chain shows the shares; its bytes are stored before the first of them is sent, and until it is
//! known what became of them nothing else is signed for that wallet (`under_way.rs`). What was paid is booked from the
//! chain's logs, whoever redeemed ([`crate::redemptions::Redemptions`]); what pays nothing is booked here.

mod under_way;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use domain::{
    Clock, ConditionId, Market, Price, Redemption, Shares, TokenId, TradingAccount, Usd, WalletKind,
    ids::AccountId, money::Rounding,
};
use futures_util::future::join_all;
use tracing::{debug, info, warn};

use crate::{
    crash_points::reach,
    deadline::venue_call,
    limits,
    ports::{
        detection::Lane,
        execution::RedemptionPayout,
        following::HoldScope,
        store::{Store, StoreResult},
        venue::{MarketData, OrderGateway, VenueError},
        wallets::{NewTransaction, Redeemer},
    },
    waits::Waits,
};

/// Redeems.
pub struct Redeeming {
    store: Arc<dyn Store>,
    markets: Arc<dyn MarketData>,
    redeemer: Arc<dyn Redeemer>,
    clock: Arc<dyn Clock>,
    /// Who is told of payouts.
    gateway: Option<Arc<dyn OrderGateway>>,
    /// What was held when it was read last, and the uptime then; read anew when something was done.
    held: Holdings,
    held_at: Option<Duration>,
    /// Conditions that were not resolved when they were asked for.
    unresolved: Waits<ConditionId>,
    /// Those that were, while anybody holds their shares.
    resolved: HashMap<ConditionId, Resolved>,
    /// Holdings whose redemption was begun, or could not be.
    tried: Waits<(AccountId, ConditionId)>,
    /// Wallets whose open transactions were looked at.
    looked: Waits<AccountId>,
    /// Open transactions of which people know that they take long.
    told: HashSet<domain::ids::TransactionId>,
}

/// What is known of a resolved condition.
struct Resolved {
    negative_risk: bool,
    /// What a share of each held token pays.
    payouts: HashMap<TokenId, Price>,
}

/// Shares of one account in one condition.
#[derive(Default)]
struct Held(BTreeMap<TokenId, Shares>);

/// By condition, then by account.
type Holdings = BTreeMap<ConditionId, BTreeMap<AccountId, Held>>;

/// What holding pays: every token's proceeds rounded down, as the chain pays them.
fn worth(held: &Held, payouts: &HashMap<TokenId, Price>) -> Option<Usd> {
    let mut sum = Usd::ZERO;
    for (token, shares) in &held.0 {
        sum = sum.plus(payouts.get(token)?.cost(*shares, Rounding::Down).ok()?).ok()?;
    }
    Some(sum)
}

/// Shares of the V3 era are redeemed position by position: the one of these that pays most. `None` for those of the V2
/// era, of which a condition is redeemed as a whole.
fn one_position(
    condition: ConditionId,
    held: &Held,
    payouts: &HashMap<TokenId, Price>,
) -> Option<(TokenId, Redemption)> {
    let worth = |(token, shares): &(&TokenId, &Shares)| {
        payouts.get(*token).and_then(|price| price.cost(**shares, Rounding::Down).ok())
    };
    let v3 = held.0.iter().filter(|(token, _)| token.is_v3());
    let (token, shares) = v3.max_by_key(worth)?;
    let outcome = *token.0.last()?;
    Some((*token, Redemption::V3 { condition, outcome, shares: *shares }))
}

/// Whether redeeming pays for itself: an EOA pays for the gas.
#[must_use]
pub fn is_worth_redeeming(kind: WalletKind, worth: Usd) -> bool {
    worth.is_positive() && (kind != WalletKind::Eoa || worth >= limits::REDEEM_LEAST)
}

impl Redeeming {
    /// Nothing has been asked yet.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        markets: Arc<dyn MarketData>,
        redeemer: Arc<dyn Redeemer>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            markets,
            redeemer,
            clock,
            gateway: None,
            held: Holdings::new(),
            held_at: None,
            unresolved: Waits::new(),
            resolved: HashMap::new(),
            tried: Waits::new(),
            looked: Waits::new(),
            told: HashSet::new(),
        }
    }

    /// Has this venue look at a wallet again when it was paid.
    #[must_use]
    pub fn telling(self, gateway: Arc<dyn OrderGateway>) -> Self {
        Self { gateway: Some(gateway), ..self }
    }

    /// Follows what is under way, looks whether conditions are resolved, and begins what is due: at most
    /// [`limits::REDEMPTIONS_AT_ONCE`] of each. Returns how much was done.
    ///
    /// # Errors
    /// Store errors. After a commit whose outcome is open nothing is sent: the next round reads what is stored.
    pub async fn round(&mut self) -> StoreResult<usize> {
        let (ended, mut busy) = self.follow().await?;
        let now = self.clock.uptime();
        let stale = self.held_at.is_none_or(|at| now.saturating_sub(at) >= limits::HOLDINGS_EVERY);
        let holdings = if stale { self.holdings().await? } else { std::mem::take(&mut self.held) };
        self.held_at = if stale { Some(now) } else { self.held_at };
        // Whoever holds another token of it now makes it be asked for again.
        self.resolved.retain(|condition, resolved| {
            let known = |held: &Held| held.0.keys().all(|token| resolved.payouts.contains_key(token));
            holdings.get(condition).is_some_and(|accounts| accounts.values().all(known))
        });
        self.unresolved.0.retain(|condition, _| holdings.contains_key(condition));
        self.tried.0.retain(|(account, condition), _| {
            holdings.get(condition).is_some_and(|held| held.contains_key(account))
        });
        let resolved = self.look(&holdings).await;
        let begun = self.begin(&holdings, &mut busy).await;
        self.held = holdings;
        let begun = begun?;
        if ended + begun > 0 {
            self.held_at = None;
        }
        Ok(ended + resolved + begun)
    }

    /// What is held.
    async fn holdings(&self) -> StoreResult<Holdings> {
        let positions = self.store.positions(None).await?;
        let held: Vec<_> = positions.iter().filter(|held| held.position.shares.is_positive()).collect();
        let mut tokens: Vec<TokenId> = held.iter().map(|held| held.token).collect();
        tokens.sort();
        tokens.dedup();
        let conditions: HashMap<TokenId, ConditionId> =
            self.store.conditions_of(&tokens).await?.into_iter().collect();
        let mut holdings = Holdings::new();
        for held in held {
            let Some(condition) = conditions.get(&held.token) else { continue };
            let account = holdings.entry(*condition).or_default().entry(held.account).or_default();
            let shares = account.0.entry(held.token).or_default();
            *shares = shares.plus(held.position.shares).unwrap_or(*shares);
        }
        Ok(holdings)
    }

    /// Asks whether conditions are resolved, those asked longest ago first. Returns how many are.
    async fn look(&mut self, holdings: &Holdings) -> usize {
        let now = self.clock.uptime();
        let mut due: Vec<_> = holdings
            .iter()
            .filter(|(condition, _)| !self.resolved.contains_key(*condition))
            .filter(|(condition, _)| self.unresolved.is_due(condition, now))
            .collect();
        due.sort_by_key(|(condition, _)| self.unresolved.0.get(*condition).map(|(until, _)| *until));
        due.truncate(limits::REDEMPTIONS_AT_ONCE);
        let answers = join_all(due.iter().map(|(condition, accounts)| {
            let tokens: HashSet<TokenId> =
                accounts.values().flat_map(|held| held.0.keys().copied()).collect();
            self.resolution(**condition, tokens)
        }));
        let mut found = 0;
        for ((condition, _), answer) in due.iter().zip(answers.await) {
            match answer {
                Ok(Some(resolved)) => {
                    found += 1;
                    self.unresolved.0.remove(*condition);
                    self.resolved.insert(**condition, resolved);
                    continue;
                }
                Ok(None) => {}
                Err(error) => debug!(%condition, "whether a condition is resolved is not known: {error}"),
            }
            self.unresolved.put_off(**condition, now, limits::REDEEM_FIRST, limits::REDEEM_LAST);
        }
        found
    }

    /// What a condition pays, once venue and chain say the same.
    async fn resolution(
        &self,
        condition: ConditionId,
        tokens: HashSet<TokenId>,
    ) -> Result<Option<Resolved>, VenueError> {
        let clock = self.clock.as_ref();
        let mut markets = Vec::with_capacity(tokens.len());
        for token in tokens {
            let market = self.markets.market(token, Lane::Entries);
            match venue_call(clock, "market", limits::READ_DEADLINE, market).await? {
                Some(market) if market.payout.is_some() => markets.push(market),
                _ => return Ok(None),
            }
        }
        let ask = self.redeemer.payouts(condition);
        let payouts = venue_call(clock, "payouts", limits::READ_DEADLINE, ask).await?;
        let Some(on_chain) = payouts else { return Ok(None) };
        let ask = self.markets.tokens(condition);
        let outcomes = venue_call(clock, "tokens", limits::READ_DEADLINE, ask).await?;
        let told = |market: &Market| {
            let place = outcomes.iter().position(|token| *token == market.token)?;
            on_chain.get(place).copied().filter(|payout| market.payout == Some(*payout))
        };
        let mut payouts = HashMap::new();
        for market in &markets {
            let Some(payout) = told(market) else {
                warn!(
                    %condition, token = %market.token, ?on_chain,
                    "the venue says that a share pays {:?}, the chain says something else; nothing is redeemed",
                    market.payout
                );
                return Ok(None);
            };
            payouts.insert(market.token, payout);
        }
        let negative_risk = markets.iter().any(|market| market.negative_risk);
        Ok(Some(Resolved { negative_risk, payouts }))
    }

    /// Begins the redemptions that are due, one for each wallet that has nothing under way.
    async fn begin(&mut self, holdings: &Holdings, busy: &mut HashSet<AccountId>) -> StoreResult<usize> {
        if self.resolved.is_empty() {
            return Ok(0);
        }
        let now = self.clock.uptime();
        let is_held = self.held_accounts().await?;
        let mut due = Vec::new();
        for (condition, resolved) in &self.resolved {
            let Some(accounts) = holdings.get(condition) else { continue };
            for (account, held) in accounts {
                let ready = self.tried.is_due(&(*account, *condition), now) && !is_held(*account);
                if ready && due.len() < limits::REDEMPTIONS_AT_ONCE && busy.insert(*account) {
                    due.push((*account, *condition, held, resolved));
                }
            }
        }
        if due.is_empty() {
            return Ok(0);
        }
        let accounts: HashMap<AccountId, TradingAccount> = self
            .store
            .accounts(None)
            .await?
            .into_iter()
            .map(|account| (account.trading.id, account.trading))
            .collect();
        let this = &*self;
        let begun = due.iter().filter_map(|(account, condition, held, resolved)| {
            let account = accounts.get(account)?;
            Some(this.redeem(account, *condition, held, resolved))
        });
        let begun = join_all(begun).await;
        let keys: Vec<_> = due.iter().map(|(account, condition, ..)| (*account, *condition)).collect();
        for key in keys {
            self.tried.put_off(key, now, limits::REDEEM_FIRST, limits::REDEEM_AGAIN_LAST);
        }
        let mut done = 0;
        for begun in begun {
            done += usize::from(begun?);
        }
        Ok(done)
    }

    /// Which accounts must not do anything by themselves now, not even for their good.
    async fn held_accounts(&self) -> StoreResult<impl Fn(AccountId) -> bool + use<>> {
        let now = self.clock.now();
        let holds = self.store.following(now).await?.holds;
        let stopped: Vec<HoldScope> =
            holds.into_iter().filter(|hold| hold.stops_exits).map(|hold| hold.scope).collect();
        Ok(move |account| {
            stopped
                .iter()
                .any(|scope| *scope == HoldScope::Installation || *scope == HoldScope::Account(account))
        })
    }

    /// Redeems one holding, or books that it pays nothing. Whether anything was done.
    async fn redeem(
        &self,
        account: &TradingAccount,
        condition: ConditionId,
        held: &Held,
        resolved: &Resolved,
    ) -> StoreResult<bool> {
        let Some(worth) = worth(held, &resolved.payouts) else { return Ok(false) };
        let mut tokens: Vec<TokenId> = held.0.keys().copied().collect();
        if !worth.is_positive() || !self.redeemer.is_on_chain(account) {
            let payout = |token: &TokenId| {
                Some(RedemptionPayout { token: *token, payout: *resolved.payouts.get(token)? })
            };
            let payouts: Vec<RedemptionPayout> = tokens.iter().filter_map(payout).collect();
            let booked = self.store.book_payouts(account.id, &payouts, self.clock.now()).await?;
            info!(account = %account.id, %condition, booked, "resolved shares pay {worth} $, booked without a transaction");
            return Ok(booked > 0);
        }
        if !is_worth_redeeming(account.kind, worth) {
            debug!(account = %account.id, %condition, %worth, "redeeming does not pay for the gas");
            return Ok(false);
        }
        let redemption = match one_position(condition, held, &resolved.payouts) {
            Some((token, redemption)) => {
                tokens.retain(|one| *one == token);
                redemption
            }
            None if resolved.negative_risk => Redemption::NegativeRisk(condition),
            None => Redemption::Ordinary(condition),
        };
        let prepare = self.redeemer.prepare(account, redemption, &tokens);
        let clock = self.clock.as_ref();
        let transaction = match venue_call(clock, "prepare", limits::REDEEM_DEADLINE, prepare).await {
            Ok(Some(transaction)) => transaction,
            // Redeemed already: it is booked when its block is final.
            Ok(None) => return Ok(false),
            Err(error) => {
                warn!(account = %account.id, %condition, "{worth} $ of resolved shares wait: {error}");
                return Ok(false);
            }
        };
        let signed_at = self.clock.now();
        let new = NewTransaction { account: account.id, redemption, attempt: 0, transaction, signed_at };
        reach("redeeming.before_commit");
        let Some(id) = self.store.commit_transaction(&new).await? else { return Ok(false) };
        reach("redeeming.after_commit");
        info!(account = %account.id, %condition, %worth, nonce = new.transaction.nonce, "redeeming");
        self.send((id, new.attempt), account, &new.transaction).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_third_era_the_position_that_pays_is_redeemed() {
        let token = |outcome: u8| {
            let mut id = [1; 32];
            id[19..27].fill(0);
            id[31] = outcome;
            TokenId(id)
        };
        let condition = ConditionId::from_slice(&token(0).0[..31]).unwrap();
        let held = Held([(token(0), Shares(9_000_000)), (token(1), Shares(5_000_000))].into());
        let redeemed = |first, second| {
            let payouts = HashMap::from([(token(0), Price(first)), (token(1), Price(second))]);
            one_position(condition, &held, &payouts)
        };
        let expected = |outcome, shares| {
            Some((token(outcome), Redemption::V3 { condition, outcome, shares: Shares(shares) }))
        };
        assert_eq!(redeemed(1_000_000, 0), expected(0, 9_000_000));
        assert_eq!(redeemed(0, 1_000_000), expected(1, 5_000_000));
        assert_eq!(redeemed(500_000, 500_000), expected(0, 9_000_000));
        let old = Held([(TokenId([0x11; 32]), Shares(1))].into());
        assert_eq!(one_position(condition, &old, &HashMap::new()), None);
    }
}
