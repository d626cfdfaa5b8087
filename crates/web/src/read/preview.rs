//! What a leader's last trades would have become under a policy: the very decision that a follower gets, on what was known
//! when each was seen, as if nothing else had been copied.

use domain::{
    Address, Price, Shares, Timestamp, Usd,
    decide::{EntryInputs, Verdict, decide_entry},
    policy::Policy,
    trade::Action,
};
use engine::ports::following::Account;
use schemars::JsonSchema;
use serde::Serialize;

use super::{MarketLine, Read};
use crate::{
    Tenant, Web,
    limits::{PREVIEW_GROUPS, PREVIEWED},
    problem::Problem,
};

/// One trade of the leader and what it would have become.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct PreviewLine {
    /// When the leader traded.
    #[schemars(with = "i64")]
    pub(crate) traded_at: Timestamp,
    /// What the leader did.
    #[schemars(with = "String")]
    pub(crate) action: Action,
    /// In which market.
    pub(crate) market: MarketLine,
    /// The leader's shares.
    #[schemars(with = "i64")]
    pub(crate) shares: Shares,
    /// The leader's price.
    #[schemars(with = "Option<i64>")]
    pub(crate) price: Option<Price>,
    /// The leader's dollars. Millionths.
    #[schemars(with = "i64")]
    pub(crate) leader_usd: Usd,
    /// Whether it would have been copied.
    pub(crate) copied: bool,
    /// For how many dollars.
    #[schemars(with = "Option<i64>")]
    pub(crate) usd: Option<Usd>,
    /// At most at which price.
    #[schemars(with = "Option<i64>")]
    pub(crate) limit: Option<Price>,
    /// In words, with what bounded it or the reason.
    pub(crate) words: String,
}

/// What the last trades would have become.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Previewed {
    /// Newest first; none, where nothing of the leader was seen yet.
    pub(crate) lines: Vec<PreviewLine>,
    /// How many would have been bought.
    pub(crate) copied: usize,
    /// For how many dollars in all.
    #[schemars(with = "i64")]
    pub(crate) usd: Usd,
    /// How many of those above are buys of the leader.
    pub(crate) buys: usize,
}

/// Decides a leader's last trades under a policy, with the money of an account.
pub(crate) async fn preview(
    web: &Web,
    tenant: Tenant,
    leader: Address,
    account: Option<&str>,
    policy: &Policy,
) -> Read<Previewed> {
    let store = web.store.as_ref();
    let account = account_of(store.accounts(tenant.owner()).await?, account)?;
    let nothing = Previewed { lines: Vec::new(), copied: 0, usd: Usd::ZERO, buys: 0 };
    let Some(known) = store.leaders().await?.into_iter().find(|known| known.wallet == leader) else {
        return Ok(nothing);
    };
    let mut previewed = nothing;
    for group in store.groups_of(known.id, PREVIEW_GROUPS).await? {
        if previewed.lines.len() >= PREVIEWED {
            break;
        }
        if group.key.action.never_copied().is_some() {
            continue;
        }
        let Some(number) = group.parts.checked_sub(1) else { continue };
        let Some(part) = store.part(group.key, number).await? else { continue };
        let snapshot = part.snapshot;
        let mut line = PreviewLine {
            traded_at: group.traded_at,
            action: group.key.action,
            market: MarketLine::of(snapshot.market.as_ref().map(story::MarketName::of).as_ref()),
            shares: snapshot.whole.shares,
            price: snapshot.whole.price().filter(|_| group.key.action.is_order()),
            leader_usd: snapshot.whole.usd,
            copied: false,
            usd: None,
            limit: None,
            words: String::new(),
        };
        if group.key.action == Action::Buy {
            previewed.buys += 1;
            let inputs = EntryInputs {
                age: part.seen_at.since(group.traded_at),
                free: account.as_ref().map_or(Usd(i64::MAX / 4), |account| account.cash),
                account_cap: account.as_ref().and_then(|account| account.cap),
                ..EntryInputs::default()
            };
            match decide_entry(&snapshot, policy, &inputs)? {
                Verdict::Copy(order) => {
                    line.copied = true;
                    line.usd = Some(Usd(order.amount));
                    line.limit = Some(order.limit);
                    line.words =
                        order.binding.map_or_else(String::new, |rule| format!("bounded by {}", rule.label()));
                    previewed.copied += 1;
                    previewed.usd = previewed.usd.plus(Usd(order.amount))?;
                }
                Verdict::Skip(reason) if reason.label() == reason.to_string() => {
                    line.words = reason.to_string()
                }
                Verdict::Skip(reason) => line.words = format!("{}: {reason}", reason.label()),
            }
        } else if policy.follow_exits {
            line.words = "sells the same part of what is held".to_owned();
        } else {
            line.words = "exits are not followed".to_owned();
        }
        previewed.lines.push(line);
    }
    Ok(previewed)
}

/// The account that is meant; none, where there are several and none is named.
fn account_of(accounts: Vec<Account>, wanted: Option<&str>) -> Read<Option<Account>> {
    let mut there: Vec<Account> = accounts.into_iter().filter(|account| !account.removed).collect();
    let Some(wanted) = wanted else {
        return Ok(if there.len() == 1 { there.pop() } else { None });
    };
    let is_meant = |account: &Account| account.label == wanted || account.trading.id.to_string() == wanted;
    let found = there.into_iter().find(is_meant);
    found.map(Some).ok_or_else(|| Problem::of_field("account", format!("there is no account {wanted}")))
}
