//! From observations to trade groups and parts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use domain::{
    Price, Rounding, Timestamp,
    money::{LOT, MoneyError},
    trade::{GroupKey, Part, Quantity, TradeGroup},
};

use crate::ports::{
    detection::StoredFill,
    venue::{HistoryKind, HistoryResponse, HistoryRow},
};

/// What the chain says of a group, or of a piece of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Observed {
    pub key: GroupKey,
    pub block: i64,
    pub quantity: Quantity,
}

impl Observed {
    /// A leader's fill; `None` for anybody else's.
    pub fn of_fill(fill: &StoredFill) -> Option<Self> {
        let quantity = Quantity { shares: fill.shares, usd: fill.usd };
        fill.group.map(|key| Self { key, block: fill.block, quantity })
    }
}

/// Groups being changed, with everything of the same leader, token and action beside them.
pub(super) struct GroupSet {
    groups: BTreeMap<GroupKey, TradeGroup>,
    changed: BTreeSet<GroupKey>,
}

impl GroupSet {
    pub fn of(stored: Vec<TradeGroup>) -> Self {
        Self {
            groups: stored.into_iter().map(|group| (group.key, group)).collect(),
            changed: BTreeSet::new(),
        }
    }

    /// Sets what the canonical chain now says about these groups. A transaction is in one block, so
    /// the sum over the block's logs is the whole; groups of orphaned blocks that are not seen again
    /// are set to nothing.
    pub fn apply_chain(
        &mut self,
        orphaned: &[GroupKey],
        observed: &[Observed],
        block_time: &dyn Fn(i64) -> Timestamp,
        now: Timestamp,
    ) -> Result<(), MoneyError> {
        let mut sums: BTreeMap<GroupKey, (Quantity, Option<i64>)> =
            orphaned.iter().map(|key| (*key, (Quantity::ZERO, None))).collect();
        for one in observed {
            let (sum, block) = sums.entry(one.key).or_insert((Quantity::ZERO, None));
            *sum = sum.plus(one.quantity)?;
            *block = Some(one.block);
        }
        for (key, (sum, block)) in sums {
            let traded_at = block.map_or(now, block_time);
            let group = self.groups.entry(key).or_insert_with(|| TradeGroup::new(key, traded_at, now));
            group.chain = Some(sum);
            group.sightings.chain.get_or_insert(now);
            if let Some(block) = block {
                group.block = Some(block);
                group.traded_at = traded_at;
            }
            self.changed.insert(key);
        }
        Ok(())
    }

    /// Takes the maximum over single responses; rows are counted inside one response only. `pseudo_blocks`
    /// orders trades by their second in an installation without a chain.
    pub fn apply_history(
        &mut self,
        leader: domain::ids::LeaderId,
        responses: &[HistoryResponse],
        baseline: Timestamp,
        pseudo_blocks: bool,
        now: Timestamp,
    ) -> Result<(), MoneyError> {
        for response in responses {
            for (key, (sum, traded_at)) in sums_of(leader, response, baseline)? {
                let group = self.groups.entry(key).or_insert_with(|| TradeGroup::new(key, traded_at, now));
                let larger = group.history.larger(sum);
                let answered = group.parts > 0 && group.quantity().shares.less(group.decided) < LOT;
                if larger == group.history && answered {
                    continue;
                }
                group.history = larger;
                group.sightings.history.get_or_insert(now);
                if pseudo_blocks && group.block.is_none() {
                    group.block = Some(traded_at.seconds());
                }
                self.changed.insert(key);
            }
        }
        Ok(())
    }

    /// Takes what the live feed adds up to, where it is more than it was and the chain has not told yet.
    pub fn apply_live(&mut self, hints: &BTreeMap<GroupKey, Hint>, now: Timestamp) {
        for (key, hint) in hints {
            let new = || TradeGroup::new(*key, hint.traded_at, now);
            let group = self.groups.entry(*key).or_insert_with(new);
            let larger = group.live.larger(hint.quantity);
            if group.chain.is_none() && larger != group.live {
                group.live = larger;
                group.sightings.live.get_or_insert(now);
                self.changed.insert(*key);
            }
        }
    }

    /// Takes the parts of every changed group for which `ripe` holds (it sees the group and the others of the
    /// same leader, token and action), in the order of their blocks, in a block entries first: an exit counts the buys of
    /// its block and those before it. To whom something is given back has its turn again.
    pub fn take_parts(
        &mut self,
        ripe: impl Fn(&TradeGroup, &[TradeGroup]) -> bool,
    ) -> Result<Vec<Part>, MoneyError> {
        let mut keys: Vec<GroupKey> = self.changed.iter().copied().collect();
        let block = |key: &GroupKey| self.groups.get(key).and_then(|group| group.block).unwrap_or(i64::MAX);
        keys.sort_by_key(|key| (block(key), key.action.is_exit()));
        let (mut keys, mut parts) = (VecDeque::from(keys), Vec::new());
        while let Some(key) = keys.pop_front() {
            let Some(mut group) = self.groups.remove(&key) else { continue };
            let mut related: Vec<TradeGroup> = self.related(&key);
            if ripe(&group, &related) {
                parts.extend(group.take_parts(&mut related)?);
                for other in related {
                    let before = self.groups.insert(other.key, other);
                    if before != Some(other) {
                        self.changed.insert(other.key);
                    }
                    if before.is_some_and(|before| other.inherited < before.inherited) {
                        keys.push_back(other.key);
                    }
                }
            }
            self.groups.insert(key, group);
        }
        Ok(parts)
    }

    fn related(&self, key: &GroupKey) -> Vec<TradeGroup> {
        let same = |other: &&TradeGroup| {
            (other.key.leader, other.key.token, other.key.action) == (key.leader, key.token, key.action)
        };
        self.groups.values().filter(same).copied().collect()
    }

    pub fn get(&self, key: &GroupKey) -> Option<&TradeGroup> {
        self.groups.get(key)
    }

    /// Which groups changed.
    pub fn changed_keys(&self) -> impl Iterator<Item = &GroupKey> {
        self.changed.iter()
    }

    /// The groups that changed, to store.
    pub fn changed(&self) -> Vec<TradeGroup> {
        self.changed.iter().filter_map(|key| self.groups.get(key)).copied().collect()
    }
}

/// What a row, or several, say of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hint {
    pub quantity: Quantity,
    pub traded_at: Timestamp,
}

type Sums = BTreeMap<GroupKey, (Quantity, Timestamp)>;

fn sums_of(
    leader: domain::ids::LeaderId,
    response: &HistoryResponse,
    baseline: Timestamp,
) -> Result<Sums, MoneyError> {
    let mut sums = Sums::new();
    for row in response.rows.iter().filter(|row| row.traded_at >= baseline) {
        let Some((key, hint)) = hint_of(leader, row)? else { continue };
        let (sum, _) = sums.entry(key).or_insert((Quantity::ZERO, hint.traded_at));
        *sum = sum.plus(hint.quantity)?;
    }
    Ok(sums)
}

/// What a row says; nothing while it names no token.
pub(super) fn hint_of(
    leader: domain::ids::LeaderId,
    row: &HistoryRow,
) -> Result<Option<(GroupKey, Hint)>, MoneyError> {
    let Some(key) = key_of(leader, row) else { return Ok(None) };
    let quantity = match row.kind {
        // The history's price is rounded; the leader's dollars are never taken for more than they were.
        HistoryKind::Trade { shares, price, .. } => {
            Quantity { shares, usd: price.cost(shares, Rounding::Down)? }
        }
        HistoryKind::Moved { shares, .. } => Quantity { shares, usd: domain::Usd::ZERO },
    };
    Ok(Some((key, Hint { quantity, traded_at: row.traded_at })))
}

/// The group a row belongs to; none while it names no token.
fn key_of(leader: domain::ids::LeaderId, row: &HistoryRow) -> Option<GroupKey> {
    let (token, action) = match row.kind {
        HistoryKind::Trade { token, side, .. } => (token, side.into()),
        HistoryKind::Moved { token, action, .. } => (token?, action),
    };
    Some(GroupKey { leader, tx: row.tx, token, action })
}

/// Keys of the groups that responses mention, for loading them.
pub(super) fn keys_of(leader: domain::ids::LeaderId, responses: &[HistoryResponse]) -> Vec<GroupKey> {
    let mut keys = BTreeSet::new();
    for row in responses.iter().flat_map(|response| &response.rows) {
        keys.extend(key_of(leader, row));
    }
    keys.into_iter().collect()
}

/// Average price of a group for people; zero when unknown.
pub(super) fn price_of(group: &TradeGroup) -> Price {
    group.price().unwrap_or_default()
}
