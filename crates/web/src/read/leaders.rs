//! Leaders: who is known, who is copied, and what a leader did lately with our answers to it.

use domain::{Address, Price, Shares, Timestamp, TxHash, Usd, trade::Action};
use engine::ports::following::RelationshipStatus;
use schemars::JsonSchema;
use serde::Serialize;

use super::{MarketLine, Names, Read, RelationshipLine, markets, relationships};
use crate::{Tenant, Web, limits::PAGE, problem::Problem};

/// A leader.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct LeaderLine {
    /// The wallet.
    #[schemars(with = "String")]
    pub(crate) wallet: Address,
    /// Relationships of the tenant that copy it now.
    pub(crate) copying: usize,
    /// Those that are paused.
    pub(crate) paused: usize,
    /// When it traded last, as far as it was seen here.
    #[schemars(with = "Option<i64>")]
    pub(crate) traded_at: Option<Timestamp>,
    /// Profit of everything copied of it, less fees. Millionths of dollars.
    #[schemars(with = "i64")]
    pub(crate) result: Usd,
}

/// Leaders that are known here.
pub(crate) async fn leaders(web: &Web, tenant: Tenant) -> Read<Vec<LeaderLine>> {
    let store = web.store.as_ref();
    let names = Names::read(store, tenant).await?;
    let positions = store.positions(tenant.owner()).await?;
    let mut all = Vec::new();
    for leader in store.leaders().await? {
        let own = || names.relationships.iter().filter(|one| one.leader == leader.id);
        if own().next().is_none() && tenant.owner().is_some() {
            continue;
        }
        let count = |status| own().filter(|one| one.status == status).count();
        let held = || positions.iter().filter(|held| own().any(|one| one.id == held.relationship));
        let (realised, fees): (Usd, Usd) =
            (held().map(|held| held.position.realised).sum(), held().map(|held| held.position.fees).sum());
        let newest = store.groups_of(leader.id, 1).await?;
        all.push(LeaderLine {
            wallet: leader.wallet,
            copying: count(RelationshipStatus::Active),
            paused: count(RelationshipStatus::Paused),
            traded_at: newest.first().map(|group| group.traded_at),
            result: realised.minus(fees)?,
        });
    }
    all.sort_by_key(|leader| (leader.copying == 0, std::cmp::Reverse(leader.traded_at)));
    Ok(all)
}

/// A leader's trade with how it was answered.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct LeaderTrade {
    /// The transaction.
    #[schemars(with = "String")]
    pub(crate) tx: TxHash,
    /// When it was made.
    #[schemars(with = "i64")]
    pub(crate) traded_at: Timestamp,
    /// When it was seen.
    #[schemars(with = "i64")]
    pub(crate) seen_at: Timestamp,
    /// What.
    #[schemars(with = "String")]
    pub(crate) action: Action,
    /// In which market.
    pub(crate) market: MarketLine,
    /// Shares.
    #[schemars(with = "i64")]
    pub(crate) shares: Shares,
    /// The average price; none of a merge.
    #[schemars(with = "Option<i64>")]
    pub(crate) price: Option<Price>,
    /// Dollars.
    #[schemars(with = "i64")]
    pub(crate) usd: Usd,
    /// Answers that copy it.
    pub(crate) copied: usize,
    /// Answers that do not.
    pub(crate) skipped: usize,
    /// Why, where all of those say the same.
    pub(crate) reason: Option<&'static str>,
}

/// A leader with its newest trades.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct LeaderPage {
    /// The wallet.
    #[schemars(with = "String")]
    pub(crate) wallet: Address,
    /// Whether it is known here.
    pub(crate) known: bool,
    /// Relationships that copy it, or did.
    pub(crate) relationships: Vec<RelationshipLine>,
    /// Its newest trades that were seen here, newest first.
    pub(crate) trades: Vec<LeaderTrade>,
}

/// The leader with this wallet; one that nobody knows has no trades yet.
pub(crate) async fn leader(web: &Web, tenant: Tenant, wallet: &str) -> Read<LeaderPage> {
    let wallet: Address = wallet.trim().parse().map_err(|_| {
        Problem::of_field("leader", "a wallet is 0x and 40 hex digits; a profile page of the venue shows it")
    })?;
    let store = web.store.as_ref();
    let Some(known) = store.leaders().await?.into_iter().find(|leader| leader.wallet == wallet) else {
        return Ok(LeaderPage { wallet, known: false, relationships: Vec::new(), trades: Vec::new() });
    };
    let mut own = relationships(web, tenant).await?;
    own.retain(|one| one.leader == Some(wallet));
    let groups = store.groups_of(known.id, PAGE).await?;
    let markets = markets(store, groups.iter().map(|group| group.key.token)).await?;
    let mut trades = Vec::with_capacity(groups.len());
    for group in groups {
        let decisions = store.decisions_of(tenant.owner(), group.key).await?;
        let reasons: Vec<&'static str> = decisions
            .iter()
            .filter_map(|decision| match decision.verdict {
                domain::decide::Verdict::Skip(reason) => Some(reason.label()),
                domain::decide::Verdict::Copy(_) => None,
            })
            .collect();
        let same = reasons.first().filter(|first| reasons.iter().all(|reason| reason == *first));
        let quantity = group.quantity();
        trades.push(LeaderTrade {
            tx: group.key.tx,
            traded_at: group.traded_at,
            seen_at: group.first_seen_at,
            action: group.key.action,
            market: MarketLine::of(markets.get(&group.key.token)),
            shares: quantity.shares,
            price: quantity.price().filter(|_| group.key.action.is_order()),
            usd: quantity.usd,
            copied: decisions.len().saturating_sub(reasons.len()),
            skipped: reasons.len(),
            reason: same.copied(),
        });
    }
    Ok(LeaderPage { wallet, known: true, relationships: own, trades })
}
