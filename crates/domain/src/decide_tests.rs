//! Tests of the decision: the documented cases one by one, then the properties.

use proptest::prelude::*;

use super::*;
use crate::{
    downtime::DowntimeRule,
    ids::{ConditionId, TokenId},
    market::{FEE_STEP, FeeSchedule, Level},
    money::TickSize,
    policy::{Caps, PriceBand},
};

fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}
fn price(text: &str) -> Price {
    text.parse().unwrap()
}

fn snapshot(shares: i64, leader_price: &str, ask: &str, bid: &str) -> TradeSnapshot {
    let shares = Shares(shares * ONE);
    let level = |text: &str| Some(Level { price: price(text), size: Shares(1_000 * ONE) });
    TradeSnapshot {
        whole: Quantity { shares, usd: price(leader_price).cost(shares, Rounding::Down).unwrap() },
        market: Some(Market {
            token: TokenId([1; 32]),
            condition: ConditionId::from_slice(&[2; 32]).unwrap(),
            tick: TickSize::Hundredth,
            minimum_size: Shares(5 * ONE),
            negative_risk: false,
            fee: FeeSchedule { rate: 70_000, exponent: 1, ..FeeSchedule::default() },
            taker_delay_ms: 0,
            accepting_orders: true,
            payout: None,
            title: String::new(),
            slug: String::new(),
            outcome: String::new(),
        }),
        top: Some(TopOfBook { bid: level(bid), ask: level(ask) }),
        own_order: false,
        sync: None,
    }
}

fn rich() -> EntryInputs {
    EntryInputs { age: Duration::from_secs(2), free: usd("100000"), ..EntryInputs::default() }
}

fn skip(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Skip(reason) => reason.label(),
        Verdict::Copy(_) => "copied",
    }
}

fn copy(verdict: Verdict) -> CopyOrder {
    match verdict {
        Verdict::Copy(order) => order,
        Verdict::Skip(reason) => panic!("skipped: {reason}"),
    }
}

#[test]
fn a_tenth_of_the_leaders_dollars() {
    let order =
        copy(decide_entry(&snapshot(200, "0.5", "0.5", "0.49"), &Policy::careful(), &rich()).unwrap());
    assert_eq!((order.amount, order.limit, order.binding), (usd("10").0, price("0.51"), None));
    assert!(order.reserve > usd("10"));
}

#[test]
fn every_reason_to_skip_an_entry() {
    let policy = Policy::careful();
    let base = || snapshot(200, "0.5", "0.5", "0.49");
    let decide = |trade: &TradeSnapshot| skip(decide_entry(trade, &policy, &rich()).unwrap());
    assert_eq!(decide(&TradeSnapshot { own_order: true, ..base() }), "own order");
    let old = EntryInputs { age: Duration::from_secs(61), ..rich() };
    assert_eq!(skip(decide_entry(&base(), &policy, &old).unwrap()), "too old");
    assert_eq!(decide(&TradeSnapshot { market: None, ..base() }), "market unknown");
    assert_eq!(decide(&TradeSnapshot { top: None, ..base() }), "book unknown");
    assert_eq!(decide(&TradeSnapshot { whole: Quantity::ZERO, ..base() }), "no price");
    let mut closed = base();
    closed.market.as_mut().unwrap().accepting_orders = false;
    assert_eq!(decide(&closed), "market closed");
    assert_eq!(decide(&snapshot(200, "0.5", "0.56", "0.49")), "price moved");
    assert_eq!(decide(&snapshot(20, "0.5", "0.5", "0.49")), "below minimum");
    let banded =
        Policy { band: crate::policy::PriceBand { from: price("0.6"), to: price("0.9") }, ..policy.clone() };
    assert_eq!(skip(decide_entry(&base(), &banded, &rich()).unwrap()), "outside price band");
    let poor = EntryInputs { free: usd("2"), ..EntryInputs::default() };
    assert_eq!(skip(decide_entry(&base(), &policy, &poor).unwrap()), "cap reached");
    let done = EntryInputs { decided_before: usd("10"), ..rich() };
    assert_eq!(skip(decide_entry(&base(), &policy, &done).unwrap()), "already copied");
    let newer = Policy { of_newer_version: true, ..policy.clone() };
    assert_eq!(skip(decide_entry(&base(), &newer, &rich()).unwrap()), "of a newer version");
    let holds = ExitInputs { held: Shares(30 * ONE), ..ExitInputs::default() };
    assert_eq!(decide_exit(&base(), &newer, &holds), decide_exit(&base(), &policy, &holds), "exits go on");
}

/// Copies of copies are made on wish only, and then they are copies like others.
#[test]
fn orders_of_our_own_are_copied_on_wish() {
    let trade = snapshot(200, "0.5", "0.5", "0.49");
    let own = TradeSnapshot { own_order: true, ..trade.clone() };
    let wants = Policy { copy_own_orders: true, ..Policy::careful() };
    assert_eq!(skip(decide_entry(&own, &Policy::careful(), &rich()).unwrap()), "own order");
    let copied = decide_entry(&own, &wants, &rich()).unwrap();
    assert_eq!(copied, decide_entry(&trade, &Policy::careful(), &rich()).unwrap());
    assert!(matches!(copied, Verdict::Copy(_)));
    let stored =
        serde_json::to_string(&Policy::careful()).unwrap().replace(r#""copy_own_orders":false,"#, "");
    assert!(!stored.contains("copy_own"), "{stored}");
    assert!(!serde_json::from_str::<Policy>(&stored).unwrap().copy_own_orders, "unless it is said");
}

/// Nothing that a follower may wish is read and then passed over: two policies that differ in it alone answer differently.
#[test]
fn every_wish_changes_an_answer() {
    // A new wish does not compile before it is said here where it takes effect.
    let Policy {
        sizing: _,
        caps: Caps { order: _, market: _, leader: _ },
        band: _,
        slippage_to_leader_bps: _,
        slippage_to_book_bps: _,
        below_minimum: _,
        maximum_age: _,
        downtime: _,
        late_slippage_bps: _,
        follow_exits: _,
        copy_own_orders: _,
        phantoms: _,   // crate::exits, and the watcher: what never reached the chain
        entry_type: _, // the worker's plan of an order
        of_newer_version: _,
    } = Policy::careful();
    let (usual, small) = (snapshot(200, "0.5", "0.5", "0.49"), snapshot(20, "0.5", "0.5", "0.49"));
    let own = TradeSnapshot { own_order: true, ..usual.clone() };
    let spent = EntryInputs { in_market: usd("3"), with_leader: usd("3"), ..rich() };
    let old = EntryInputs { age: Duration::from_secs(90), ..rich() };
    let (careful, late) = (Policy::careful, Policy { downtime: DowntimeRule::Late, ..Policy::careful() });
    let caps = |caps: Caps| Policy { caps, ..Policy::careful() };
    let (cap, none) = (Some(usd("8")), Caps::default());
    let above = PriceBand { from: price("0.6"), ..PriceBand::default() };
    let wishes: [(&str, Policy, Policy, &TradeSnapshot, &EntryInputs); 12] = [
        ("sizing", careful(), Policy { sizing: Sizing::Fixed(usd("7")), ..careful() }, &usual, &spent),
        ("cap_order", careful(), caps(Caps { order: cap, ..none }), &usual, &spent),
        ("cap_market", careful(), caps(Caps { market: cap, ..none }), &usual, &spent),
        ("cap_leader", careful(), caps(Caps { leader: cap, ..none }), &usual, &spent),
        ("band", careful(), Policy { band: above, ..careful() }, &usual, &spent),
        ("to the leader", careful(), Policy { slippage_to_leader_bps: 0, ..careful() }, &usual, &spent),
        ("to the book", careful(), Policy { slippage_to_book_bps: 0, ..careful() }, &usual, &spent),
        ("minimum", careful(), Policy { below_minimum: MinimumRule::Raise, ..careful() }, &small, &spent),
        ("age", careful(), Policy { maximum_age: Duration::from_secs(1), ..careful() }, &usual, &spent),
        ("downtime", careful(), late.clone(), &usual, &old),
        ("late slippage", late.clone(), Policy { late_slippage_bps: Some(0), ..late.clone() }, &usual, &old),
        ("own orders", careful(), Policy { copy_own_orders: true, ..careful() }, &own, &spent),
    ];
    for (wish, without, with, trade, inputs) in wishes {
        let answer = |policy: &Policy| decide_entry(trade, policy, inputs).unwrap();
        assert_ne!(answer(&without), answer(&with), "{wish}");
    }
    let keeps = Policy { follow_exits: false, ..careful() };
    let holds = ExitInputs { held: Shares(30 * ONE), ..ExitInputs::default() };
    let exit = |policy: &Policy| decide_exit(&usual, policy, &holds).unwrap();
    assert_ne!(exit(&careful()), exit(&keeps));
}

/// A leader who bets ten dollars and one who bets a quarter of a million, each by the policy of his own relationship;
/// what the leader has left is no input at all.
#[test]
fn leaders_of_every_size_are_copied_by_their_own_policies() {
    let (small, large) = (snapshot(20, "0.5", "0.5", "0.49"), snapshot(500_000, "0.5", "0.5", "0.49"));
    let half = Policy { sizing: Sizing::Ratio(ONE / 2), ..Policy::careful() };
    let fixed = Policy { sizing: Sizing::Fixed(usd("7")), ..Policy::careful() };
    let capped = Policy { caps: Caps { order: Some(usd("20")), ..Caps::default() }, ..half.clone() };
    let amount =
        |trade: &TradeSnapshot, policy: &Policy| copy(decide_entry(trade, policy, &rich()).unwrap()).amount;
    assert_eq!(
        [&half, &fixed, &capped].map(|policy| amount(&small, policy)),
        [5, 7, 5].map(|dollars| dollars * ONE)
    );
    assert_eq!([&fixed, &capped].map(|policy| amount(&large, policy)), [7, 20].map(|dollars| dollars * ONE));
    let cap = EntryInputs { free: usd("200000"), ..rich() };
    assert_eq!(copy(decide_entry(&large, &half, &cap).unwrap()).amount, 125_000 * ONE);
}

#[test]
fn the_binding_cap_is_named() {
    let trade = snapshot(2_000, "0.5", "0.5", "0.49");
    let with = |caps: Caps| Policy { caps, ..Policy::careful() };
    let cases = [
        (with(Caps { order: Some(usd("50")), ..Caps::default() }), rich(), Binding::OrderCap, "50"),
        (
            with(Caps { market: Some(usd("60")), ..Caps::default() }),
            EntryInputs { in_market: usd("20"), ..rich() },
            Binding::MarketCap,
            "40",
        ),
        (
            with(Caps { leader: Some(usd("60")), ..Caps::default() }),
            EntryInputs { with_leader: usd("25"), ..rich() },
            Binding::LeaderCap,
            "35",
        ),
        (
            with(Caps::default()),
            EntryInputs { account_cap: Some(usd("30")), in_account: usd("5"), ..rich() },
            Binding::AccountCap,
            "25",
        ),
    ];
    for (policy, inputs, binding, amount) in cases {
        let order = copy(decide_entry(&trade, &policy, &inputs).unwrap());
        assert_eq!((order.binding, order.amount), (Some(binding), usd(amount).0));
    }
}

#[test]
fn raising_to_the_minimum_respects_every_cap() {
    let trade = snapshot(20, "0.5", "0.5", "0.49");
    let raise = Policy { below_minimum: MinimumRule::Raise, ..Policy::careful() };
    let order = copy(decide_entry(&trade, &raise, &rich()).unwrap());
    assert_eq!((order.binding, order.amount), (Some(Binding::RaisedToMinimum), usd("2.55").0));
    let capped = Policy { caps: Caps { order: Some(usd("2")), ..Caps::default() }, ..raise.clone() };
    assert_eq!(skip(decide_entry(&trade, &capped, &rich()).unwrap()), "below minimum");
    // The same whole group in two parts raises once.
    let after = EntryInputs { decided_before: usd("2.55"), ..rich() };
    assert_eq!(skip(decide_entry(&trade, &raise, &after).unwrap()), "already copied");
}

#[test]
fn exits_sell_what_is_above_the_target() {
    let trade = snapshot(100, "0.5", "0.5", "0.48");
    let policy = Policy::careful();
    let inputs = ExitInputs { held: Shares(30 * ONE), target: Shares(10 * ONE), open_exits: Shares(5 * ONE) };
    let order = copy(decide_exit(&trade, &policy, &inputs).unwrap());
    assert_eq!((order.amount, order.limit), (15 * ONE, price("0.48")));
    let none = ExitInputs { held: Shares(10 * ONE), target: Shares(10 * ONE), open_exits: Shares::ZERO };
    assert_eq!(skip(decide_exit(&trade, &policy, &none).unwrap()), "nothing to sell");
    assert_eq!(skip(decide_exit(&trade, &policy, &ExitInputs::default()).unwrap()), "nothing held");
    let keep = Policy { follow_exits: false, ..policy };
    assert_eq!(skip(decide_exit(&trade, &keep, &inputs).unwrap()), "exits not followed");
}

/// A buy that filled 3.5 shares could never be sold: the leader's exit left them until the market was resolved.
#[test]
fn what_is_below_the_minimum_is_sold_where_nothing_is_to_be_kept() {
    let (trade, policy) = (snapshot(100, "0.5", "0.5", "0.48"), Policy::careful());
    let small =
        |target| ExitInputs { held: Shares(3_500_000), target: Shares(target), open_exits: Shares::ZERO };
    assert_eq!(copy(decide_exit(&trade, &policy, &small(0)).unwrap()).amount, 3_500_000);
    assert_eq!(skip(decide_exit(&trade, &policy, &small(1_000_000)).unwrap()), "sale below minimum");
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let cap = || prop::option::of((1_000_000_i64..500_000_000).prop_map(Usd));
    (
        prop_oneof![
            (1_i64..2 * ONE).prop_map(Sizing::Ratio),
            (10_000_i64..200 * ONE).prop_map(|amount| Sizing::Fixed(Usd(amount)))
        ],
        (cap(), cap(), cap()),
        (0_i64..2_000, 0_i64..2_000),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(sizing, (order, market, leader), (to_leader, to_book), raise, copy_own_orders)| {
            Policy {
                copy_own_orders,
                sizing,
                caps: Caps { order, market, leader },
                slippage_to_leader_bps: to_leader,
                slippage_to_book_bps: to_book,
                below_minimum: if raise { MinimumRule::Raise } else { MinimumRule::Skip },
                ..Policy::careful()
            }
        })
}

prop_compose! {
    fn any_trade()(
        shares in 1_i64..5_000_000_000,
        leader in 10_000_i64..990_000,
        ask in 1_i64..100,
        minimum in 0_i64..20_000_000,
        tick in prop::sample::select(TickSize::ALL.to_vec()),
        rate in 0_i64..100_000,
        exponent in 1_u32..4,
        builder_bps in 0_u16..100,
    ) -> TradeSnapshot {
        let mut trade = snapshot(1, "0.5", "0.5", "0.4");
        let shares = Shares(shares);
        trade.whole = Quantity { shares, usd: Price(leader).cost(shares, Rounding::Down).unwrap() };
        let market = trade.market.as_mut().unwrap();
        (market.tick, market.minimum_size) = (tick, Shares(minimum));
        market.fee = FeeSchedule { rate, exponent, builder_bps, ..FeeSchedule::default() };
        let best = tick.floor(Price(ask * 10_000));
        trade.top.as_mut().unwrap().ask = Some(Level { price: best, size: Shares(ONE) });
        trade
    }
}

proptest! {
    /// Caps only ever reduce, the reserve covers amount and fee of any fills the venue may make, and the order is one
    /// the venue takes.
    #[test]
    fn copies_obey_every_bound(
        trade in any_trade(),
        fills in prop::collection::vec((0_i64..=1_000_000, 1_i64..100), 1..5),
        policy in any_policy(),
        free in 0_i64..1_000_000_000,
        used in 0_i64..300_000_000,
        account_cap in prop::option::of(0_i64..500_000_000),
    ) {
        let inputs = EntryInputs {
            age: Duration::ZERO,
            decided_before: Usd::ZERO,
            in_market: Usd(used),
            with_leader: Usd(used),
            in_account: Usd(used),
            free: Usd(free),
            account_cap: account_cap.map(Usd),
        };
        if let Verdict::Copy(order) = decide_entry(&trade, &policy, &inputs).unwrap() {
            let amount = Usd(order.amount);
            let market = trade.market.as_ref().unwrap();
            for cap in [policy.caps.order, policy.caps.market.map(|cap| cap.less(Usd(used))),
                policy.caps.leader.map(|cap| cap.less(Usd(used))), inputs.account_cap.map(|cap| cap.less(Usd(used)))] {
                prop_assert!(cap.is_none_or(|cap| amount <= cap));
            }
            prop_assert!(order.reserve <= Usd(free) && order.reserve >= amount);
            let (mut spent, mut fees) = (Usd::ZERO, Usd::ZERO);
            for (down, part) in &fills {
                let below = Price(order.limit.0 * down / 1_000_000);
                let price = market.tick.floor(below).max(market.tick.size());
                let usd = amount.less(spent).times(*part, 100, Rounding::Down).unwrap();
                let shares = price.shares_for(usd, Rounding::Down).unwrap();
                spent = spent.plus(usd).unwrap();
                fees = fees.plus(market.fee.taker_fee(shares, price).unwrap()).unwrap();
            }
            // The fee of each fill, and the builder's, is rounded up by itself.
            let rounding = Usd(FEE_STEP.0 * 2 * i64::try_from(fills.len() - 1).unwrap());
            prop_assert!(spent.plus(fees).unwrap() <= order.reserve.plus(rounding).unwrap(),
                "{spent} and {fees} of {}, {:?}", order.reserve, market.fee);
            prop_assert!(market.tick.allows(order.limit) && order.amount % CENT.0 == 0);
            prop_assert!(order.limit <= policy.band.to);
            let amounts = crate::money::OrderAmounts::market_buy(amount, order.limit, market.tick).unwrap();
            prop_assert!(amounts.taker >= market.minimum_size.0);
        }
    }

    /// An order of ours is decided like any other trade where the follower wants that, and skipped elsewhere.
    #[test]
    fn own_orders_follow_the_wish(trade in any_trade(), policy in any_policy(), free in 0_i64..1_000_000_000) {
        let inputs = EntryInputs { free: Usd(free), ..rich() };
        let own = TradeSnapshot { own_order: true, ..trade.clone() };
        let verdict = decide_entry(&own, &policy, &inputs).unwrap();
        if policy.copy_own_orders {
            prop_assert_eq!(verdict, decide_entry(&trade, &policy, &inputs).unwrap());
        } else {
            prop_assert_eq!(verdict, Verdict::Skip(SkipReason::OwnOrder));
        }
    }

    /// Splitting a group into parts never copies more than the whole, and exactly as much when the
    /// remainder can be placed.
    #[test]
    fn parts_never_change_the_total(trade in any_trade(), policy in any_policy(), cut in 1_i64..100) {
        let mut first_trade = trade.clone();
        first_trade.whole.shares = trade.whole.shares.times(cut, 100, Rounding::Down).unwrap();
        first_trade.whole.usd = trade.whole.usd.times(cut, 100, Rounding::Down).unwrap();
        let amount = |verdict: Verdict| match verdict { Verdict::Copy(order) => Usd(order.amount), Verdict::Skip(_) => Usd::ZERO };
        // Same price for both, or slippage decides differently; that is another rule.
        prop_assume!(first_trade.whole.price() == trade.whole.price());
        let at_once = amount(decide_entry(&trade, &policy, &rich()).unwrap());
        let first = amount(decide_entry(&first_trade, &policy, &rich()).unwrap());
        let after = |spent: Usd| EntryInputs {
            decided_before: spent, in_market: spent, with_leader: spent, in_account: spent, ..rich()
        };
        let second = decide_entry(&trade, &policy, &after(first)).unwrap();
        let total = first.plus(amount(second)).unwrap();
        prop_assert!(total <= at_once, "{first} then {second:?}, at once {at_once}");
        let unplaceable = matches!(second, Verdict::Skip(SkipReason::BelowMinimum { .. } | SkipReason::CapReached { .. }));
        prop_assert!(total == at_once || unplaceable, "{first} then {second:?}, at once {at_once}");
    }

    /// Total for every input, also the absurd ones.
    #[test]
    fn deciding_never_panics(
        shares in any::<i64>(), dollars in any::<i64>(), free in any::<i64>(), before in any::<i64>(),
        ratio in any::<i64>(), bps in any::<i64>(),
    ) {
        let mut trade = snapshot(1, "0.5", "0.5", "0.4");
        trade.whole = Quantity { shares: Shares(shares), usd: Usd(dollars) };
        let policy = Policy { sizing: Sizing::Ratio(ratio), slippage_to_leader_bps: bps, slippage_to_book_bps: bps, ..Policy::careful() };
        let inputs = EntryInputs { decided_before: Usd(before), free: Usd(free), ..EntryInputs::default() };
        let _ = decide_entry(&trade, &policy, &inputs);
        let _ = decide_exit(&trade, &policy, &ExitInputs { held: Shares(shares), target: Shares(free), open_exits: Shares(before) });
    }
}
