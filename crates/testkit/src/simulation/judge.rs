//! The judge: compares what the engine stored with the venue's own books, when all is quiet.

use std::collections::BTreeMap;

use domain::{
    OrderId, Shares, Side, Timestamp, TokenId, Usd,
    decide::Verdict,
    ids::{IntentId, RelationshipId},
    lifecycle::{Filled, OrderAlarm},
    money::ONE,
    policy::Sizing,
};
use engine::{
    orders::booked_so_far,
    ports::{
        detection::Detection,
        execution::{Intent, OrderRecord},
        reports::{IntentEnd, Reports},
        store::{EventKind, Store, StoreResult},
    },
};

use super::{
    scenario::{Scenario, leader_wallet},
    venue::{Venue, VenueLine},
    world::World,
};
use crate::executor::block_on;

/// More rows than any run makes.
const ALL: usize = 100_000;

/// What a run has come to.
#[derive(Clone, Debug, Default)]
pub struct Verdict2 {
    /// Broken rules, in words; empty when all is well.
    pub broken: Vec<String>,
    /// Shares bought for followers.
    pub bought: i64,
    /// Shares sold for followers.
    pub sold: i64,
    /// Attempts signed.
    pub attempts: usize,
    /// Whether followers still hold what their leader has sold.
    pub stranded: bool,
}
