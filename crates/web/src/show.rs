//! How values are written in pages. Text of others is escaped by the templates; what is marked safe is made here.

use std::{borrow::Borrow, fmt::Write as _, time::Duration};

use domain::{Address, Price, Shares, Timestamp, Usd, trade::GroupState};
use story::{
    MarketName, name_of,
    wording::{self, NONE},
};

use crate::read::{AccountLine, OrderLine};

/// Dollars.
pub(crate) fn usd(usd: impl Borrow<Usd>) -> String {
    let usd = *usd.borrow();
    let text = wording::dollars(usd);
    text.strip_prefix('-').map_or_else(|| format!("${text}"), |positive| format!("−${positive}"))
}

/// Dollars, where they are known.
pub(crate) fn maybe_usd(known: impl Borrow<Option<Usd>>) -> String {
    let known = *known.borrow();
    known.map_or_else(|| NONE.to_owned(), usd)
}

/// Dollars with their sign.
pub(crate) fn signed(usd: impl Borrow<Usd>) -> String {
    let usd = *usd.borrow();
    let text = wording::signed_dollars(usd);
    match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(lost), _) => format!("−${lost}"),
        (_, Some(won)) => format!("+${won}"),
        _ => format!("${text}"),
    }
}

/// Dollars with their sign, where they are known.
pub(crate) fn maybe_signed(known: impl Borrow<Option<Usd>>) -> String {
    let known = *known.borrow();
    known.map_or_else(|| NONE.to_owned(), signed)
}

/// How a gain or a loss looks.
pub(crate) fn tone(usd: impl Borrow<Usd>) -> &'static str {
    let usd = *usd.borrow();
    match usd.0 {
        ..=-5_000 => "loss",
        5_000.. => "gain",
        _ => "even",
    }
}

/// How one looks that may be unknown.
pub(crate) fn maybe_tone(known: impl Borrow<Option<Usd>>) -> &'static str {
    let known = *known.borrow();
    known.map_or("even", |known| tone(known))
}

/// Basis points in per cent, with their sign when negative.
pub(crate) fn basis_points(known: impl Borrow<Option<i64>>) -> String {
    known.borrow().map_or_else(
        || NONE.to_owned(),
        |points| {
            let (sign, points) = (if points < 0 { "−" } else { "" }, points.unsigned_abs());
            format!("{sign}{}.{:02} %", points / 100, points % 100)
        },
    )
}

/// Shares.
pub(crate) fn shares(shares: impl Borrow<Shares>) -> String {
    let shares = *shares.borrow();
    wording::shares(shares)
}

/// A price.
pub(crate) fn price(price: impl Borrow<Price>) -> String {
    let price = *price.borrow();
    wording::price(price)
}

/// A price that may be unknown.
pub(crate) fn maybe_price(known: impl Borrow<Option<Price>>) -> String {
    let known = *known.borrow();
    known.map_or_else(|| NONE.to_owned(), wording::price)
}

/// A wallet by its ends.
pub(crate) fn wallet(wallet: impl Borrow<Option<Address>>) -> String {
    let wallet = *wallet.borrow();
    wallet.map_or_else(|| NONE.to_owned(), wording::short_address)
}

/// A hash by its ends.
pub(crate) fn hash(hash: impl ToString) -> String {
    let text = hash.to_string();
    match text.get(..10).zip(text.get(text.len().saturating_sub(4)..)) {
        Some((head, tail)) if text.len() > 16 => format!("{head}…{tail}"),
        _ => text,
    }
}

/// A span in microseconds.
pub(crate) fn span(micros: impl Borrow<Option<i64>>) -> String {
    let micros = *micros.borrow();
    micros.map_or_else(|| NONE.to_owned(), wording::span)
}

/// A moment: in UTC, which the page's script writes in the reader's own time. Markup.
pub(crate) fn time(at: impl Borrow<Timestamp>) -> String {
    let at = *at.borrow();
    let text = at.to_string();
    let shown = text.get(11..19).unwrap_or(NONE);
    format!("<time datetime=\"{text}\" data-form=\"time\">{shown}</time>")
}

/// A day and a time of it. Markup.
pub(crate) fn moment(at: impl Borrow<Timestamp>) -> String {
    let at = *at.borrow();
    let text = at.to_string();
    let (day, time) = text.get(..10).zip(text.get(11..19)).unwrap_or((NONE, ""));
    format!("<time datetime=\"{text}\" data-form=\"moment\">{day} {time} UTC</time>")
}

/// A moment that may be unknown. Markup.
pub(crate) fn maybe_moment(at: impl Borrow<Option<Timestamp>>) -> String {
    let at = *at.borrow();
    at.map_or_else(|| NONE.to_owned(), moment)
}

/// A bar of a waterfall: where it begins and how long it is, both of a thousand. Markup.
pub(crate) fn bar(begin: i64, length: i64, class: &str) -> String {
    let mut out = String::from(
        "<svg class=\"bar\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
    );
    let (begin, length) = (begin.clamp(0, 997), length.clamp(3, 1_000));
    let length = length.min(1_000_i64.saturating_sub(begin));
    let _ =
        write!(out, "<rect class=\"{class}\" x=\"{begin}\" y=\"0\" width=\"{length}\" height=\"10\"/></svg>");
    out
}

/// A part of a whole as a thin bar. Markup.
pub(crate) fn share(part: impl Borrow<usize>, whole: impl Borrow<usize>, class: &str) -> String {
    let part = *part.borrow();
    let whole = *whole.borrow();
    let thousandths = part.saturating_mul(1_000).checked_div(whole).unwrap_or(0);
    bar(0, i64::try_from(thousandths).unwrap_or(1_000), class)
}

/// A whole address, or nothing.
pub(crate) fn address(wallet: impl Borrow<Option<Address>>) -> String {
    let wallet = *wallet.borrow();
    wallet.map_or_else(String::new, |wallet| wallet.to_string())
}

/// `1 trade`, `2 trades`.
pub(crate) fn count(number: impl Borrow<usize>, one: &str) -> String {
    let number = *number.borrow();
    match one {
        "copy" if number != 1 => format!("{number} copies"),
        _ => wording::count(number, one),
    }
}

/// What copying cost in an order; nothing where nothing was traded.
pub(crate) fn cost(order: &OrderLine) -> String {
    if order.shares.is_positive() { signed(order.cost) } else { NONE.to_owned() }
}

/// A leader's price; a merge has none.
pub(crate) fn leader_price(price: impl Borrow<Price>) -> String {
    let price = *price.borrow();
    wording::leader_price(price)
}

/// A market's name.
pub(crate) fn market(name: Option<&MarketName>) -> String {
    name_of(name)
}

/// How well a leader's trade is known.
pub(crate) fn state(state: impl Borrow<GroupState>) -> &'static str {
    let state = *state.borrow();
    match state {
        GroupState::Open => "its block is not final yet",
        GroupState::Final => "final on the chain",
        GroupState::Phantom => "told by other sources, and on no block: a phantom",
        GroupState::Overcounted => "the chain has less of it than was decided",
    }
}

/// The limits of a policy, out of its words.
pub(crate) fn caps(words: &[String]) -> String {
    let caps: Vec<&str> = words.iter().filter(|one| one.starts_with("at most")).map(String::as_str).collect();
    if caps.is_empty() { "no limits".to_owned() } else { caps.join(", ") }
}

/// Whether an account may trade, for people.
pub(crate) fn standing(state: &str) -> &str {
    match state {
        "paper" => "play money",
        other => other,
    }
}

/// What to do about it.
pub(crate) fn standing_help(line: &AccountLine) -> String {
    match line.state.as_str() {
        "paper" => "orders are filled from the real books and go nowhere".to_owned(),
        "armed" => {
            let (order, day) = (maybe_usd(line.order_cap), maybe_usd(line.day_cap));
            format!("{order} an order, {} of {day} today", maybe_usd(line.spent))
        }
        "not armed" => format!("slipstream account arm {}", line.label),
        "sealed" => "nobody here has opened its key: slipstream unlock".to_owned(),
        _ => "this process has no keys of its own to ask".to_owned(),
    }
}

/// A span as people say it.
pub(crate) fn lag(lag: impl Borrow<Option<Duration>>) -> String {
    let lag = *lag.borrow();
    lag.map_or_else(|| NONE.to_owned(), wording::lasting)
}

/// An address by its ends.
pub(crate) fn short(wallet: impl Borrow<Address>) -> String {
    wording::short_address(*wallet.borrow())
}

/// The time between two moments.
pub(crate) fn between(begin: impl Borrow<Timestamp>, end: impl Borrow<Timestamp>) -> String {
    wording::span(end.borrow().0.saturating_sub(begin.borrow().0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_kept() {
        assert_eq!(
            [-56, 56, -1_250].map(|points| basis_points(Some(points))),
            ["−0.56 %", "0.56 %", "−12.50 %"]
        );
        assert_eq!([usd(Usd(-1_500_000)), signed(Usd(1_500_000))], ["−$1.50", "+$1.50"]);
        assert_eq!([tone(Usd(-4_999)), tone(Usd(-5_000)), tone(Usd(5_000))], ["even", "loss", "gain"]);
    }
}
