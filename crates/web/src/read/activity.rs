//! Leaders' trades and the answers to them, and the whole story of one trade or order.

use domain::{
    Address, OrderId, Price, Shares, Timestamp, TokenId, TxHash, Usd, decide::Verdict, ids::RelationshipId,
    lifecycle::OrderState, trade::Action,
};
use engine::ports::reports::{DecisionRecord, Reports};
use schemars::JsonSchema;
use serde::Serialize;
use story::{
    Answer, AnswerLine, CopiedOrder, GroupStory, OrderStory, answers, find_order, find_trade, order_story,
    trade_story,
};

use super::{MarketLine, Names, Read, markets};
use crate::{Tenant, Web};

/// A leader's trade and one answer to it. Amounts are millionths.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ActivityLine {
    /// The decision's number; grows.
    pub(crate) decision: i64,
    /// When it was decided.
    #[schemars(with = "i64")]
    pub(crate) at: Timestamp,
    /// For whom.
    #[schemars(with = "i64")]
    pub(crate) relationship: RelationshipId,
    /// In which account.
    pub(crate) account: String,
    /// Whose trade.
    #[schemars(with = "Option<String>")]
    pub(crate) leader: Option<Address>,
    /// The leader's transaction.
    #[schemars(with = "String")]
    pub(crate) trade: TxHash,
    /// What the leader did.
    #[schemars(with = "String")]
    pub(crate) action: Action,
    /// The token.
    #[schemars(with = "String")]
    pub(crate) token: TokenId,
    /// Its market.
    pub(crate) market: MarketLine,
    /// `copied` or `skipped`.
    pub(crate) answer: &'static str,
    /// Where the copy is, or why there is none, in a word.
    pub(crate) word: String,
    /// What it came to, with its numbers.
    pub(crate) sentence: String,
    /// The last order of the copy.
    pub(crate) order: Option<OrderLine>,
}

impl ActivityLine {
    /// How it looks: a copy that traded, one that is under way, one that came to nothing.
    pub(crate) fn tone(&self) -> &'static str {
        use OrderState::{Cancelled, ExpiredUnseen, Failed, Killed, Missed, Rejected};
        let Some(order) = &self.order else { return "" };
        let over = matches!(order.state, Cancelled | ExpiredUnseen | Failed | Killed | Missed | Rejected);
        match (order.shares.is_positive(), over) {
            (true, _) => "good",
            (false, true) => "warn",
            (false, false) => "accent",
        }
    }
}

/// An order of a copy, beside the leader's price.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct OrderLine {
    /// Its id.
    #[schemars(with = "String")]
    pub(crate) id: OrderId,
    /// Where it is.
    #[schemars(with = "String")]
    pub(crate) state: OrderState,
    /// Shares that were traded.
    #[schemars(with = "i64")]
    pub(crate) shares: Shares,
    /// Our average price.
    #[schemars(with = "Option<i64>")]
    pub(crate) price: Option<Price>,
    /// The leader's; zero for a merge, which has none.
    #[schemars(with = "i64")]
    pub(crate) leader_price: Price,
    /// Fees.
    #[schemars(with = "i64")]
    pub(crate) fees: Usd,
    /// What copying cost: the worse price and the fees.
    #[schemars(with = "i64")]
    pub(crate) cost: Usd,
    /// Microseconds from the leader's trade to the venue's first reply.
    pub(crate) delay_us: Option<i64>,
}

impl OrderLine {
    pub(crate) fn of(order: &CopiedOrder) -> Self {
        let at = |stage| order.stages.iter().find(|line| line.stage == stage).and_then(|line| line.at);
        let (traded, replied) = (at(story::Stage::Traded), at(story::Stage::Replied));
        Self {
            id: order.id,
            state: order.state,
            shares: order.cost.shares,
            price: order.price,
            leader_price: order.leader_price,
            fees: order.cost.fees,
            cost: order.cost.cost,
            delay_us: replied.zip(traded).map(|(replied, traded)| replied.0.saturating_sub(traded.0)),
        }
    }
}

/// A page of answers, newest first.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ActivityPage {
    /// The answers.
    pub(crate) items: Vec<ActivityLine>,
    /// What to ask for next; nothing on the last page.
    pub(crate) next: Option<String>,
}

/// Answers before a decision, of one relationship or of all.
pub(crate) async fn activity(
    web: &Web,
    tenant: Tenant,
    before: Option<i64>,
    limit: usize,
    only: Option<RelationshipId>,
) -> Read<ActivityPage> {
    let store = web.store.as_ref();
    let (mut decisions, mut before) = (Vec::new(), before.unwrap_or(i64::MAX));
    // Of one relationship a few pages are looked through: others' answers lie between.
    let mut more = true;
    for _ in 0..if only.is_some() { 10 } else { 1 } {
        let page = store.decisions_before(tenant.owner(), before, limit.max(crate::limits::PAGE)).await?;
        more = page.len() == limit.max(crate::limits::PAGE);
        before = page.last().map_or(before, |last| last.id);
        decisions.extend(page.into_iter().filter(|one| only.is_none_or(|only| one.relationship == only)));
        if !more || decisions.len() >= limit {
            break;
        }
    }
    if decisions.len() > limit {
        decisions.truncate(limit);
        more = true;
        before = decisions.last().map_or(before, |last| last.id);
    }
    let names = Names::read(store, tenant).await?;
    let items = lines(web, &names, &decisions).await?;
    Ok(ActivityPage { items, next: more.then(|| before.to_string()) })
}

/// Decisions with what came of them.
pub(super) async fn lines(web: &Web, names: &Names, decisions: &[DecisionRecord]) -> Read<Vec<ActivityLine>> {
    let reports: &dyn Reports = web.store.as_ref();
    let told = answers(reports, decisions).await?;
    let markets = markets(web.store.as_ref(), decisions.iter().map(|one| one.key.token)).await?;
    let line = |(told, decision): (AnswerLine, &DecisionRecord)| {
        let (account, leader) = names.of(told.relationship);
        ActivityLine {
            decision: told.decision,
            at: told.at,
            relationship: told.relationship,
            account,
            leader: leader.or_else(|| names.leader(told.trade.leader)),
            trade: told.trade.tx,
            action: told.trade.action,
            token: told.trade.token,
            market: MarketLine::of(markets.get(&told.trade.token)),
            answer: match decision.verdict {
                Verdict::Copy(_) => "copied",
                Verdict::Skip(_) => "skipped",
            },
            word: word(&told.answer),
            sentence: sentence(&told.answer),
            order: match &told.answer {
                Answer::Copied { orders, .. } => orders.last().map(OrderLine::of),
                Answer::Skipped { .. } => None,
            },
        }
    };
    Ok(told.into_iter().zip(decisions).map(line).collect())
}

/// What an answer came to, without the word that stands beside it.
fn sentence(answer: &Answer) -> String {
    match answer {
        Answer::Skipped { reason, words } if reason.label() == words => String::new(),
        Answer::Skipped { words, .. } => words.clone(),
        copied => copied.sentence(),
    }
}

/// The reason of a skip, or where a copy is.
fn word(answer: &Answer) -> String {
    match answer {
        Answer::Skipped { reason, .. } => reason.label().to_owned(),
        copied => copied.word().to_owned(),
    }
}

/// A leader's transaction: what each source says of it, and every answer.
pub(crate) struct TradePage {
    pub(crate) tx: TxHash,
    pub(crate) groups: Vec<(GroupStory, Vec<ActivityLine>)>,
}

/// The trade whose hash begins so.
pub(crate) async fn trade(web: &Web, tenant: Tenant, id: &str) -> Read<TradePage> {
    let store = web.store.as_ref();
    let found = find_trade(store, id).await?;
    let names = Names::read(store, tenant).await?;
    let told = trade_story(store, tenant.owner(), &found).await?;
    let mut groups = Vec::with_capacity(told.groups.len());
    for group in told.groups {
        let decisions = store.decisions_of(tenant.owner(), group.group.key).await?;
        let lines = lines(web, &names, &decisions).await?;
        groups.push((group, lines));
    }
    let tx = groups.first().map_or(TxHash([0; 32]), |(group, _)| group.group.key.tx);
    Ok(TradePage { tx, groups })
}

/// An order's whole story.
pub(crate) struct OrderPage {
    pub(crate) story: OrderStory,
    pub(crate) line: OrderLine,
    pub(crate) account: String,
}

/// The order whose id begins so.
pub(crate) async fn order(web: &Web, tenant: Tenant, id: &str) -> Read<OrderPage> {
    let store = web.store.as_ref();
    let record = find_order(store, tenant.owner(), id).await?;
    let names = Names::read(store, tenant).await?;
    let told = order_story(store, tenant.owner(), &record).await?;
    let line = OrderLine::of(&told.order);
    Ok(OrderPage { account: names.account(told.account), line, story: told })
}
