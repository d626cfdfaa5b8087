//! Leaders' trades, drawn from the seed: each buy is of a market of its own, so that the venue's books alone say which
//! order answers which trade. Leaders sell what they have bought, half of it or all, now and then in
//! the block they bought it in.

use std::time::Duration;

use anyhow::Context;
use domain::{Address, Clock, ConditionId, Price, Shares, Side, TokenId, TxHash, money::ONE};
use simulator::world::{
    control::{ForeignFill, ForeignTrade, Level, Levels},
    fees::FeeSchedule,
    registry::MarketSpec,
};

use super::{random::Random, witness::Witness};
use crate::demo::control::Control;

/// Leaders whom everybody follows.
const LEADERS: u8 = 3;
/// What a leader buys at a time.
const BOUGHT: Shares = Shares(100 * ONE);
/// Shares that each follower finds on the book.
const FOR_EACH: i64 = 200 * ONE;
/// Tokens that leaders hold before they begin to sell.
const HELD: usize = 4;
/// Of so many of its buys a leader sells one at once: in the same block, as a rule.
const SOLD_AT_ONCE: usize = 8;
/// Trades that are under way together.
const TOGETHER: usize = 3;
/// A trade that is answered by fewer than nearly all followers is not waited for any longer.
const WAIT: Duration = Duration::from_secs(8);
/// Time between two looks at what is answered.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// A leader's trade, as it was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaderTrade {
    pub(super) tx: TxHash,
    pub(super) token: TokenId,
    pub(super) side: Side,
    /// Of what the leader had bought of this token, how many halves it has left after it.
    pub(super) halves: u8,
}

/// What a leader has.
#[derive(Clone, Copy)]
struct Holding {
    leader: Address,
    token: TokenId,
    cents: i64,
    halves: u8,
}

/// A trade that followers are answering.
struct UnderWay {
    trade: LeaderTrade,
    expected: usize,
    until: Duration,
}

/// Plays.
pub(super) struct Tape {
    control: Control,
    random: Random,
    followers: usize,
    holdings: Vec<Holding>,
    under_way: Vec<UnderWay>,
    pub(super) trades: Vec<LeaderTrade>,
    /// Copies that are expected so far, if nothing is missed.
    pub(super) expected: usize,
}

/// The leaders.
pub(super) fn leaders() -> Vec<Address> {
    let wallet = |number| {
        let mut bytes = [0x1e; 20];
        bytes[1] = number;
        Address(bytes)
    };
    (0..LEADERS).map(wallet).collect()
}

/// 32 bytes that say what they are of, with a number at the end.
fn numbered(of: u8, number: u64) -> [u8; 32] {
    let mut bytes = [of; 32];
    let tail = number.to_be_bytes();
    bytes.iter_mut().rev().zip(tail.iter().rev().take(4)).for_each(|(to, from)| *to = *from);
    bytes
}

impl Tape {
    pub(super) fn new(control: Control, seed: u64, followers: usize) -> Self {
        let random = Random::new(seed, 1);
        Self {
            control,
            random,
            followers,
            holdings: Vec::new(),
            under_way: Vec::new(),
            trades: Vec::new(),
            expected: 0,
        }
    }

    /// Waits until few enough trades are under way, then makes the next one.
    pub(super) async fn step(&mut self, witness: &Witness, clock: &dyn Clock) -> anyhow::Result<()> {
        self.until_fewer_than(TOGETHER, witness, clock).await;
        let sells = self.holdings.len() > HELD && self.random.below(2) == 0;
        let number = self.random.below(self.holdings.len().try_into().unwrap_or(0));
        let number = usize::try_from(number).unwrap_or(0);
        if sells && number < self.holdings.len() {
            let holding = self.holdings.remove(number);
            self.sell(holding, witness, clock).await
        } else {
            self.buy(witness, clock).await?;
            match self.holdings.pop() {
                Some(bought) if self.trades.len().is_multiple_of(SOLD_AT_ONCE) => {
                    self.sell(bought, witness, clock).await
                }
                bought => {
                    self.holdings.extend(bought);
                    Ok(())
                }
            }
        }
    }

    async fn until_fewer_than(&mut self, most: usize, witness: &Witness, clock: &dyn Clock) {
        loop {
            let now = clock.uptime();
            self.under_way.retain(|one| {
                let answered = witness.makers(one.trade.token, one.trade.side);
                answered < one.expected.saturating_sub(one.expected / 20) && now < one.until
            });
            if self.under_way.len() < most {
                return;
            }
            clock.sleep(LOOK_EVERY).await;
        }
    }

    /// A leader buys something that nobody has traded yet; what.
    pub(super) async fn buy(&mut self, witness: &Witness, clock: &dyn Clock) -> anyhow::Result<TokenId> {
        let number = u64::try_from(self.trades.len()).unwrap_or(u64::MAX);
        let tokens = [TokenId(numbered(0x51, number)), TokenId(numbered(0x52, number))];
        let market = MarketSpec {
            condition: ConditionId::from_slice(&numbered(0xc0, number)).context("a condition")?,
            tokens,
            outcomes: ["Yes".to_owned(), "No".to_owned()],
            tick: Price(10_000),
            min_size: Shares(5 * ONE),
            neg_risk: self.random.below(2) == 0,
            fee: FeeSchedule { rate: Price(40_000), exponent: 1 },
            title: format!("Market {number}"),
            slug: String::new(),
            event_slug: String::new(),
            end_date: String::new(),
        };
        self.control.add_market(&market).await?;
        let leader = *self.random.one_of(&leaders()).context("no leader")?;
        let cents = i64::try_from(self.random.below(30)).unwrap_or(0).saturating_add(30);
        let holding = Holding { leader, token: tokens[0], cents, halves: 2 };
        self.trade(holding, (Side::Buy, BOUGHT), witness, clock).await?;
        self.holdings.push(holding);
        Ok(tokens[0])
    }

    /// A leader sells half of what it has left of a token, or all.
    async fn sell(
        &mut self,
        mut holding: Holding,
        witness: &Witness,
        clock: &dyn Clock,
    ) -> anyhow::Result<()> {
        let halves = if holding.halves == 2 && self.random.below(2) == 0 { 1 } else { holding.halves };
        holding.halves = holding.halves.saturating_sub(halves);
        let shares = Shares(BOUGHT.0 / 2 * i64::from(halves));
        self.trade(holding, (Side::Sell, shares), witness, clock).await?;
        if holding.halves > 0 {
            self.holdings.push(holding);
        }
        Ok(())
    }

    /// Leaders sell of everything that they have kept whole, and of every other half that they have left.
    pub(super) async fn wind_up(&mut self, witness: &Witness, clock: &dyn Clock) -> anyhow::Result<()> {
        for holding in std::mem::take(&mut self.holdings) {
            self.until_fewer_than(TOGETHER, witness, clock).await;
            if holding.halves == 2 || self.random.below(2) == 0 {
                self.sell(holding, witness, clock).await?;
            }
        }
        self.until_fewer_than(1, witness, clock).await;
        Ok(())
    }

    async fn trade(
        &mut self,
        holding: Holding,
        (side, shares): (Side, Shares),
        witness: &Witness,
        clock: &dyn Clock,
    ) -> anyhow::Result<()> {
        let Holding { leader, token, cents, halves } = holding;
        let followers = i64::try_from(self.followers).unwrap_or(i64::MAX);
        let each = Shares(FOR_EACH.saturating_mul(followers.saturating_add(1)));
        let level = |cents: i64| Level { price: Price(cents * 10_000), shares: each };
        let levels = Levels { token, bids: vec![level(cents - 1)], asks: vec![level(cents)], extend: false };
        self.control.set_levels(&levels).await?;
        let price = Price(if side == Side::Buy { cents } else { cents - 1 } * 10_000);
        let tx = TxHash(numbered(0x77, u64::try_from(self.trades.len()).unwrap_or(u64::MAX)));
        let fill = ForeignFill { wallet: leader, token, side, price, shares, maker: false };
        self.control.trade(&ForeignTrade { tx_hash: tx, fills: vec![fill], moves: Vec::new() }).await?;
        let trade = LeaderTrade { tx, token, side, halves };
        let bought = witness.makers(token, Side::Buy);
        let expected = if side == Side::Buy { self.followers } else { bought };
        self.expected = self.expected.saturating_add(expected);
        self.trades.push(trade);
        // Of a second sale of the same token the venue's books do not say whether it is answered.
        let wait = if side == Side::Sell && halves == 0 { WAIT / 8 } else { WAIT };
        self.under_way.push(UnderWay { trade, expected, until: clock.uptime().saturating_add(wait) });
        Ok(())
    }
}
