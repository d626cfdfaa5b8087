//! Policies, holds and money at risk in memory, as of one `config_version`.
//!
//! It may lag on releases of exposure (it then skips what could have been copied) but never on additions:
//! whoever adds raises `config_version`, and what the watcher decides itself it adds here at once.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use domain::{
    Address, ConditionId, Side, Timestamp, Usd,
    decide::EntryInputs,
    downtime::DowntimeRule,
    ids::{AccountId, LeaderId, RelationshipId},
    policy::Policy,
};

use crate::ports::following::{
    Account, FollowingSnapshot, Hold, HoldCause, HoldScope, Leader, Relationship, RelationshipStatus,
};

/// The snapshot with its look-ups.
pub(super) struct Following {
    pub config_version: i64,
    pub booked_version: i64,
    /// In the order of their wallets: whoever is asked for first is no matter of chance.
    leaders: BTreeMap<Address, Leader>,
    by_leader: HashMap<LeaderId, Vec<Relationship>>,
    left_over: Vec<Relationship>,
    accounts: HashMap<AccountId, Account>,
    /// Those of more than one relationship.
    holds: Vec<Hold>,
    /// Those of one: there may be as many as relationships.
    held: HashMap<RelationshipId, Vec<Hold>>,
    in_market: HashMap<(RelationshipId, ConditionId), Usd>,
    with_leader: HashMap<RelationshipId, Usd>,
    in_account: HashMap<AccountId, Usd>,
}

impl Following {
    pub fn of(snapshot: FollowingSnapshot) -> Self {
        let mut by_leader: HashMap<LeaderId, Vec<Relationship>> = HashMap::new();
        for relationship in snapshot.relationships {
            by_leader.entry(relationship.leader).or_default().push(relationship);
        }
        for list in by_leader.values_mut() {
            list.sort_by_key(|relationship| relationship.id);
        }
        let mut state = Self {
            config_version: snapshot.config_version,
            booked_version: snapshot.booked_version,
            leaders: snapshot.leaders.into_iter().map(|leader| (leader.wallet, leader)).collect(),
            by_leader,
            left_over: snapshot.left_over,
            accounts: snapshot.accounts.into_iter().map(|account| (account.trading.id, account)).collect(),
            holds: Vec::new(),
            held: HashMap::new(),
            in_market: HashMap::new(),
            with_leader: HashMap::new(),
            in_account: HashMap::new(),
        };
        for hold in snapshot.holds {
            match hold.scope {
                HoldScope::Relationship(of) => state.held.entry(of).or_default().push(hold),
                _ => state.holds.push(hold),
            }
        }
        for exposure in snapshot.exposures {
            state.expose(exposure.relationship, exposure.account, exposure.condition, exposure.usd);
        }
        state
    }

    pub fn leader(&self, wallet: &Address) -> Option<&Leader> {
        self.leaders.get(wallet)
    }

    pub fn leaders(&self) -> impl Iterator<Item = &Leader> {
        self.leaders.values()
    }

    /// Relationships of a leader after `after`, by id, that existed when the trade happened.
    pub fn followers(
        &self,
        leader: LeaderId,
        after: RelationshipId,
        traded_at: Timestamp,
    ) -> impl Iterator<Item = &Relationship> {
        let list = self.by_leader.get(&leader).map_or(&[][..], Vec::as_slice);
        let from = list.partition_point(|relationship| relationship.id <= after);
        list.iter().skip(from).filter(move |relationship| relationship.since <= traded_at)
    }

    /// A relationship of a leader, whatever its state.
    pub fn relationship(&self, leader: LeaderId, id: RelationshipId) -> Option<&Relationship> {
        let list = self.by_leader.get(&leader)?;
        list.binary_search_by_key(&id, |relationship| relationship.id).ok().and_then(|at| list.get(at))
    }

    /// A relationship whose exits are looked at: one that is not stopped, or is to be sold out all the same.
    pub fn exiting(&self, leader: LeaderId, id: RelationshipId, now: Timestamp) -> Option<&Relationship> {
        let left_over = self.left_over.iter().find(|one| one.id == id && self.is_sold_out(one, now));
        self.relationship(leader, id).or(left_over)
    }

    /// Whether a hold wants everything sold that is held through it.
    pub fn is_sold_out(&self, relationship: &Relationship, now: Timestamp) -> bool {
        self.holds_in_scope(relationship, now).any(|hold| hold.sells)
    }

    /// Whether the user or a hold stops this side.
    pub fn blocked(&self, relationship: &Relationship, side: Side, now: Timestamp) -> Option<Blocked> {
        let sold_out = side == Side::Sell && self.is_sold_out(relationship, now);
        if relationship.status != RelationshipStatus::Active && !sold_out {
            return Some(Blocked::User);
        }
        let mut causes = self.holds_on(relationship, side, now).map(|hold| hold.cause).peekable();
        causes.peek()?;
        let rewound = causes.any(|cause| cause == HoldCause::Reconciliation);
        Some(if rewound { Blocked::Rewind } else { Blocked::Hold })
    }

    /// Whether something stops this side, and when that ends by itself, if it does.
    pub fn blocked_until(
        &self,
        relationship: &Relationship,
        side: Side,
        now: Timestamp,
    ) -> Option<Option<Timestamp>> {
        self.blocked(relationship, side, now).map(|blocked| match blocked {
            Blocked::User => None,
            Blocked::Hold | Blocked::Rewind => {
                let ends = self.holds_on(relationship, side, now).map(|hold| hold.expires_at);
                ends.collect::<Option<Vec<Timestamp>>>().and_then(|ends| ends.into_iter().max())
            }
        })
    }

    fn holds_on(
        &self,
        relationship: &Relationship,
        side: Side,
        now: Timestamp,
    ) -> impl Iterator<Item = &Hold> {
        self.holds_in_scope(relationship, now).filter(move |hold| side == Side::Buy || hold.stops_exits)
    }

    fn holds_in_scope(&self, relationship: &Relationship, now: Timestamp) -> impl Iterator<Item = &Hold> {
        let (account, leader, id) = (relationship.account, relationship.leader, relationship.id);
        let own = self.held.get(&id).into_iter().flatten();
        self.holds.iter().chain(own).filter(move |hold| {
            let in_scope = match hold.scope {
                HoldScope::Installation => true,
                HoldScope::Account(of) => of == account,
                HoldScope::Leader(of) => of == leader,
                HoldScope::Relationship(of) => of == id,
            };
            in_scope && hold.expires_at.is_none_or(|expires| expires > now)
        })
    }

    /// The longest age that an active follower of a leader allows a copy to have; none is too long for those who copy
    /// late.
    pub fn longest_age(&self, leader: LeaderId) -> Duration {
        let followers = self.by_leader.get(&leader).into_iter().flatten();
        let active = followers.filter(|one| one.status == RelationshipStatus::Active);
        let longest = |policy: &Policy| match policy.downtime {
            DowntimeRule::Late => Duration::MAX,
            DowntimeRule::Skip | DowntimeRule::Sync => policy.maximum_age,
        };
        active.map(|one| longest(&one.policy)).max().unwrap_or_default()
    }

    /// The numbers an entry of this relationship is decided from, but for the age. In a market nobody knows
    /// nothing is known to be at risk.
    pub fn entry_inputs(
        &self,
        relationship: &Relationship,
        condition: Option<ConditionId>,
        decided_before: Usd,
    ) -> EntryInputs {
        let of = |usd: Option<&Usd>| usd.copied().unwrap_or(Usd::ZERO);
        let account = self.accounts.get(&relationship.account);
        EntryInputs {
            age: Duration::ZERO,
            decided_before,
            in_market: of(condition.and_then(|market| self.in_market.get(&(relationship.id, market)))),
            with_leader: of(self.with_leader.get(&relationship.id)),
            in_account: of(self.in_account.get(&relationship.account)),
            free: account.map_or(Usd::ZERO, |account| account.cash.less(account.reserved)),
            account_cap: account.and_then(|account| account.cap),
        }
    }

    /// Notes a reservation that was just decided.
    pub fn reserve(
        &mut self,
        relationship: RelationshipId,
        account: AccountId,
        condition: ConditionId,
        usd: Usd,
    ) {
        self.expose(relationship, account, condition, usd);
        if let Some(account) = self.accounts.get_mut(&account) {
            account.reserved = Usd(account.reserved.0.saturating_add(usd.0));
        }
    }

    fn expose(&mut self, relationship: RelationshipId, account: AccountId, condition: ConditionId, usd: Usd) {
        let add = |total: &mut Usd| *total = Usd(total.0.saturating_add(usd.0));
        add(self.in_market.entry((relationship, condition)).or_default());
        add(self.with_leader.entry(relationship).or_default());
        add(self.in_account.entry(account).or_default());
    }
}

/// What stops a relationship.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocked {
    User,
    Hold,
    /// One that stands until what was lost with the store's newest commits is found.
    Rewind,
}
