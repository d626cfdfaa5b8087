//! Keys of `[venue]`: its limits, each a row of the table like any other key.

use std::time::Duration;

use domain::money::ONE;
use polymarket::{Endpoint, Tier};

use super::{
    Key,
    Sample::{Default as Or, Example},
    VenueSettings, key,
};
use crate::configuration::kind::Kind;

const PER_CENT: i64 = ONE / 100;

fn set_tier(venue: &mut VenueSettings, name: &str) {
    venue.limits.signer = Tier::named(name).unwrap_or(Tier::STANDARD);
}

/// Takes another limit than the published one.
fn limit(venue: &mut VenueSettings, endpoint: Endpoint, calls: (u32, Option<u32>)) {
    venue.limits.other.push((endpoint, calls.0, calls.1));
}

/// Keys of `[venue]`. The published limits are as of 2026-08: docs.polymarket.com/api-reference/rate-limits.
pub const VENUE: &[Key<VenueSettings>] = &[
    key(
        "pace",
        Or("0.9"),
        Kind::Decimal {
            range: 10 * PER_CENT..=ONE,
            step: PER_CENT,
            set: |venue, value| venue.limits.share = (value / PER_CENT).unsigned_abs(),
        },
        "How much of each limit is used: 0.9 is nine tenths. Calls at the full limit are refused in the long run.",
    ),
    key(
        "kept_for_exits",
        Or("0.2"),
        Kind::Decimal {
            range: PER_CENT..=80 * PER_CENT,
            step: PER_CENT,
            set: |venue, value| venue.limits.kept_for_exits = (value / PER_CENT).unsigned_abs(),
        },
        "The part of each pace that only exits and cancels may use.",
    ),
    key(
        "own_address",
        Or("false"),
        Kind::Flag(|venue, own| venue.own_address = own),
        "Whether each machine of an installation reaches the venue from an internet address of its own: only processes on \
         one machine then share the limits of an address. Those of a signing key are shared by all. Otherwise all share all.",
    ),
    key(
        "tier",
        Or("standard"),
        Kind::Choice(
            &[
                ("standard", |venue| set_tier(venue, "standard")),
                ("copper", |venue| set_tier(venue, "copper")),
                ("bronze", |venue| set_tier(venue, "bronze")),
                ("silver", |venue| set_tier(venue, "silver")),
                ("gold", |venue| set_tier(venue, "gold")),
                ("platinum", |venue| set_tier(venue, "platinum")),
                ("diamond", |venue| set_tier(venue, "diamond")),
                ("elite", |venue| set_tier(venue, "elite")),
            ],
            &[],
        ),
        "The tier of signing keys whose tier the venue has not told yet. It sets how many orders a second each may \
         place, and cancel.",
    ),
    key(
        "builder",
        Example("0x00000000000000000000000000000000000000000000000000000000000000b1"),
        Kind::Code(|venue, code| venue.builder = Some(code)),
        "The builder code that every order names, in public; what its builder charges counts as a fee. A code is no \
         secret. Without it orders name nobody.",
    ),
    key(
        "positions_lag",
        Or("75s"),
        Kind::Time(Duration::ZERO..=Duration::from_mins(8), |venue, value| {
            venue.limits.positions_lag = value
        }),
        "How long after a trade the Data API may still show the positions before it. Without a chain an exit waits that \
         long: how much the leader kept is read there.",
    ),
    key(
        "limit_order",
        Or("5000/10s 120000/10m"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::Post, (short, long))),
        "The venue's limit of single orders for each IP address.",
    ),
    key(
        "limit_orders",
        Or("2000/10s 21000/10m"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::PostBatch, (short, long))),
        "Its limit of requests with several orders.",
    ),
    key(
        "limit_cancel",
        Or("5000/10s 120000/10m"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::Cancel, (short, long))),
        "Its limit of cancels of one order.",
    ),
    key(
        "limit_cancels",
        Or("2000/10s 15000/10m"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::CancelBatch, (short, long))),
        "Its limit of cancels of several orders.",
    ),
    key(
        "limit_cancel_all",
        Or("250/10s 6000/10m"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::CancelAll, (short, long))),
        "Its limit of cancels of everything.",
    ),
    key(
        "limit_cancel_market",
        Or("1500/10s 21000/10m"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::CancelMarket, (short, long))),
        "Its limit of cancels of all in one market.",
    ),
    key(
        "limit_look_up",
        Or("900/10s"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::Ledger, (short, long))),
        "Its limit of look-ups of one order.",
    ),
    key(
        "limit_open_orders",
        Or("500/10s"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::Orders, (short, long))),
        "Its limit of pages of orders.",
    ),
    key(
        "limit_trades",
        Or("500/10s"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::Trades, (short, long))),
        "Its limit of pages of trades.",
    ),
    key(
        "limit_balance",
        Or("200/10s"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::Balance, (short, long))),
        "Its limit of questions for a balance.",
    ),
    key(
        "limit_balance_update",
        Or("50/10s"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::BalanceUpdate, (short, long))),
        "Its limit of requests to look at a balance anew.",
    ),
    key(
        "limit_book",
        Or("1500/10s"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::Book, (short, long))),
        "Its limit of books.",
    ),
    key(
        "limit_login",
        Or("100/10s"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::Login, (short, long))),
        "Its limit of logins.",
    ),
    key(
        "limit_all",
        Or("9000/10s"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::Other, (short, long))),
        "Its limit of all calls together.",
    ),
    key(
        "limit_history_trades",
        Or("200/10s"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::HistoryTrades, (short, long))),
        "The Data API's limit of pages of trades.",
    ),
    key(
        "limit_history_positions",
        Or("150/10s"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::HistoryPositions, (short, long))),
        "The Data API's limit of pages of positions.",
    ),
    key(
        "limit_history",
        Or("1000/10s"),
        Kind::Calls(|venue, short, long| limit(venue, Endpoint::History, (short, long))),
        "The Data API's limit of all calls together.",
    ),
    key(
        "limit_relayer",
        Or("25"),
        Kind::Count(1..=10_000, |venue, calls| limit(venue, Endpoint::Relayer, (u32::from(calls), None))),
        "The relayer's limit of calls in a minute.",
    ),
];
