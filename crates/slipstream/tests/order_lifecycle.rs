//! The drawing of docs/order-lifecycle.md, compared with the code: every arrow drawn is one the code takes,
//! and every change the code makes by an event is drawn.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    lifecycle::{Evidence, Filled, OrderEvent, OrderState, step},
    money::{Shares, Usd},
    trade::Quantity,
};

const EVENTS: [OrderEvent; 9] = [
    OrderEvent::OutcomeOpen,
    OrderEvent::SeenLive,
    OrderEvent::SeenDelayed,
    OrderEvent::SeenMatched,
    OrderEvent::SeenKilled,
    OrderEvent::SeenRejected,
    OrderEvent::SeenCancelled,
    OrderEvent::DeadlineOver,
    OrderEvent::NeverSeen,
];

struct Arrow {
    from: String,
    to: String,
    labels: Vec<String>,
}

fn group(state: OrderState) -> &'static str {
    match state {
        OrderState::Failed => "Failed",
        state if state.is_open() => "Open",
        state if state.is_given_up() => "GivenUp",
        _ => "Filled",
    }
}

/// The states that a name in the drawing stands for; none for those of the intent.
fn members(name: &str) -> BTreeSet<OrderState> {
    OrderState::ALL
        .into_iter()
        .filter(|state| format!("{state:?}") == name || group(*state) == name)
        .collect()
}

/// The arrows of the drawing, and which states it draws in which box.
fn drawing(text: &str) -> (Vec<Arrow>, BTreeMap<String, BTreeSet<String>>) {
    let drawn = text.split("```mermaid").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let (mut arrows, mut boxes, mut open) = (Vec::new(), BTreeMap::new(), Vec::<String>::new());
    for line in drawn.lines().map(str::trim) {
        let mut inside = |name: &str| {
            if let Some(outer) = open.last().filter(|_| !members(name).is_empty()) {
                boxes.entry(outer.clone()).or_insert_with(BTreeSet::new).insert(name.to_owned());
            }
        };
        if let Some((ends, labels)) = line.split_once(": ") {
            let (from, to) = ends.split_once(" --> ").unwrap();
            inside(from);
            inside(to);
            let labels = labels.split(", ").map(str::to_owned).collect();
            arrows.push(Arrow { from: from.to_owned(), to: to.to_owned(), labels });
        } else if let Some(name) = line.strip_prefix("state ").and_then(|rest| rest.strip_suffix(" {")) {
            open.push(name.to_owned());
        } else if line == "}" {
            open.pop();
        } else if !line.contains("-->") {
            inside(line);
        }
    }
    (arrows, boxes)
}

/// What a label of the drawing stands for: an event, or quantities.
fn meaning(label: &str) -> (Option<OrderEvent>, Evidence) {
    let filled = Filled { quantity: Quantity { shares: Shares(100), usd: Usd(50) }, fee: Usd::ZERO };
    let nothing = Evidence::default();
    let in_a_block = Evidence { chain: filled, ..nothing };
    let trades = Evidence { trades: filled, ..nothing };
    if let Some(event) = EVENTS.into_iter().find(|event| format!("{event:?}") == label) {
        return (Some(event), nothing);
    }
    let evidence = match label {
        "matched" | "off the chain" => trades,
        "venue confirmed" => Evidence { trades_confirmed: true, ..trades },
        "retrying" => Evidence { retrying: true, ..trades },
        "in a block" | "no longer final" => in_a_block,
        "final" => Evidence { chain_final: true, ..in_a_block },
        "failed" => Evidence { failed: filled.quantity, ..nothing },
        "gone" => nothing,
        other => panic!("the drawing says `{other}`; give it a meaning in this test"),
    };
    (None, evidence)
}

#[test]
fn the_drawing_of_an_order_is_the_code() {
    let (arrows, boxes) = drawing(include_str!("../../../docs/order-lifecycle.md"));
    let orders: Vec<&Arrow> =
        arrows.iter().filter(|a| !members(&a.from).is_empty() && !members(&a.to).is_empty()).collect();
    let mut wrong = Vec::new();
    for name in ["Open", "Filled", "GivenUp"] {
        let drawn: BTreeSet<OrderState> = boxes[name].iter().flat_map(|state| members(state)).collect();
        assert_eq!(drawn, members(name), "states drawn in {name}");
    }
    for arrow in &orders {
        for (label, from) in arrow
            .labels
            .iter()
            .flat_map(|label| members(&arrow.from).into_iter().map(move |from| (label, from)))
        {
            let (event, evidence) = meaning(label);
            let next = step(from, event, &evidence).state;
            if !members(&arrow.to).contains(&next) {
                wrong.push(format!("drawn: {from:?} --> {}: {label}; the code goes to {next:?}", arrow.to));
            }
        }
    }
    for (state, event) in OrderState::ALL.into_iter().flat_map(|state| EVENTS.map(|event| (state, event))) {
        let next = step(state, Some(event), &Evidence::default()).state;
        let stays = group(state) == group(next) && (group(state) != "Open" || state == next);
        let drawn = orders.iter().any(|arrow| {
            let named = arrow.labels.iter().any(|label| *label == format!("{event:?}") || label == "gone");
            named && members(&arrow.from).contains(&state) && members(&arrow.to).contains(&next)
        });
        if !stays && !drawn {
            wrong.push(format!("not drawn: {state:?} --> {next:?}: {event:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "\n{}\n\nWhat to do: draw in docs/order-lifecycle.md what crates/domain/src/lifecycle.rs does.\n",
        wrong.join("\n"),
    );
}
