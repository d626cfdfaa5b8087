//! Every text with which the venue answers instead of doing what was asked: one meaning, one action. The only
//! table of them: replies are read by it, and docs/venue-errors.md is written from it.
//!
//! Sources: docs.polymarket.com/resources/error-codes, the official clients, and answers recorded in public
//! repositories. A text that is not here is an unknown outcome.

use engine::ports::venue::RejectReason;

/// What a text says about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Taken and dropped: nothing matched.
    Killed,
    /// Refused for good.
    Refused(RejectReason),
    /// Known already, outcome open.
    Duplicated,
    /// Not taken now.
    NotNow(Closed),
    /// Nothing is said about the order.
    Open,
}

/// Why the venue takes nothing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The matching engine restarts (425); post-only mode follows.
    Restarting,
    /// Too many calls.
    RateLimited,
    /// No trading at all, not even cancels.
    Disabled,
    /// Cancels only.
    CancelOnly,
    /// Post-only orders and cancels only.
    PostOnly,
}

impl Meaning {
    /// The meaning, in a word of the documentation.
    const fn word(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Refused(reason) => reason.word(),
            Self::Duplicated => "known already",
            Self::NotNow(Closed::Restarting) => "restarting",
            Self::NotNow(Closed::RateLimited) => "too many calls",
            Self::NotNow(Closed::Disabled) => "trading disabled",
            Self::NotNow(Closed::CancelOnly) => "cancel-only mode",
            Self::NotNow(Closed::PostOnly) => "post-only mode",
            Self::Open => "unknown",
        }
    }

    /// What we do, in a sentence of the documentation.
    const fn action(self) -> &'static str {
        match self {
            Self::Killed => "The order is over. An entry stays so; an exit gets its next attempt.",
            Self::Refused(reason) => reason.action(),
            Self::Duplicated => "Look it up until its outcome is seen. Nothing is signed.",
            Self::NotNow(_) => {
                "Nothing was taken. Wait as long as told, then the same bytes within their deadline; after it an \
                 entry is missed and an exit gets its next attempt when the wait is over."
            }
            Self::Open => {
                "Look it up. The same bytes within their deadline while nobody has seen them; nothing is signed."
            }
        }
    }
}

/// A text, by its unmistakable part.
pub(crate) struct Text {
    /// The part, in lower case.
    pub(crate) part: &'static str,
    /// The status it comes with.
    pub(crate) status: u16,
    /// The whole of it, as documented or recorded.
    pub(crate) whole: &'static str,
    /// What it means.
    pub(crate) meaning: Meaning,
}

const fn text(part: &'static str, status: u16, whole: &'static str, meaning: Meaning) -> Text {
    Text { part, status, whole, meaning }
}

use Meaning::{Duplicated, Killed, NotNow, Open, Refused};
use RejectReason as Why;

/// All of them. The first whose part is found counts, so what says nothing about the order stands first.
pub(crate) const TEXTS: &[Text] = &[
    // Sent with status 400, yet nothing is said about the order.
    text("context canceled", 400, "context canceled", Open),
    text("order match delayed", 400, "order match delayed due to market conditions", Open),
    // Documented as rejected before the book, reported as filled afterwards (py-clob-client #261, #273).
    text("order timed out", 500, "order timed out", Open),
    text("could not insert order", 500, "could not insert order", Open),
    text("could not run the execution", 500, "could not run the execution", Open),
    text("there are no matching orders", 500, "there are no matching orders", Open),
    text("rounding issues", 500, "the trade contains rounding issues", Open),
    text(
        "discrepancy greater than allowed",
        500,
        "the price of the taker's order has a discrepancy greater than allowed with the worst maker order",
        Open,
    ),
    text("fok orders are filled or killed", 500, "FOK orders are filled or killed", Open),
    text("internal server error", 500, "Internal server error", Open),
    text("is invalid. duplicated", 400, "order 0xab is invalid. Duplicated.", Duplicated),
    text(
        "no orders found to match with fak order",
        400,
        "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found.",
        Killed,
    ),
    text(
        "couldn't be fully filled",
        400,
        "order couldn't be fully filled. FOK orders are fully filled or killed.",
        Killed,
    ),
    text(
        "trading is currently disabled",
        503,
        "Trading is currently disabled. Check polymarket.com for updates",
        NotNow(Closed::Disabled),
    ),
    text(
        "trading is currently cancel-only",
        503,
        "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed.",
        NotNow(Closed::CancelOnly),
    ),
    text(
        "post-only mode",
        503,
        "post-only mode: only post-only orders and cancels are allowed",
        NotNow(Closed::PostOnly),
    ),
    // The longer texts begin with the shorter one.
    text(
        "allowance is not enough",
        400,
        "not enough balance / allowance: the allowance is not enough -> spender: 0xe111, allowance: 0",
        Refused(Why::Approval),
    ),
    text(
        "balance is not enough",
        400,
        "not enough balance / allowance: the balance is not enough -> balance: 0",
        Refused(Why::Money),
    ),
    text("not enough balance", 400, "not enough balance / allowance", Refused(Why::Money)),
    text("insufficient balance", 200, "Insufficient balance", Refused(Why::Money)),
    text(
        "breaks minimum tick size rule",
        400,
        "order 0xab is invalid. Price (0.561) breaks minimum tick size rule: 0.01",
        Refused(Why::Tick),
    ),
    text(
        "lower than the minimum",
        400,
        "order 0xab is invalid. Size (1) lower than the minimum: 5",
        Refused(Why::Minimum),
    ),
    // Reported of the live venue, not documented.
    text(
        "invalid amount for a marketable buy order",
        400,
        "invalid amount for a marketable BUY order ($0.98), min size: $1",
        Refused(Why::Minimum),
    ),
    text(
        "no orderbook exists",
        404,
        "No orderbook exists for the requested token id",
        Refused(Why::MarketUnknown),
    ),
    text("market not found", 404, "market not found", Refused(Why::MarketUnknown)),
    text(
        "not yet ready to process new orders",
        400,
        "the market is not yet ready to process new orders",
        Refused(Why::MarketClosed),
    ),
    text("address banned", 400, "'0xf39f' address banned", Refused(Why::Banned)),
    text(
        "address in closed only mode",
        400,
        "'0xf39f' address in closed only mode",
        Refused(Why::ClosedOnly),
    ),
    text(
        "maker address not allowed",
        400,
        "maker address not allowed, please use the deposit wallet flow",
        Refused(Why::WalletKind),
    ),
    text(
        "trading restricted in your region",
        403,
        "Trading restricted in your region, please refer to available regions",
        Refused(Why::Region),
    ),
    text("invalid api key", 401, "Unauthorized/Invalid api key", Refused(Why::Credentials)),
    text("invalid l1 request headers", 401, "Invalid L1 Request headers", Refused(Why::Credentials)),
    text(
        "order owner has to be the owner of the api key",
        400,
        "the order owner has to be the owner of the API KEY",
        Refused(Why::Credentials),
    ),
    text(
        "order signer address has to be the address of the api key",
        400,
        "the order signer address has to be the address of the API KEY",
        Refused(Why::Credentials),
    ),
    text("invalid signature", 400, "invalid signature", Refused(Why::Signature)),
    text("order_version_mismatch", 400, "order_version_mismatch", Refused(Why::OrderVersion)),
    text(
        "invalid order version",
        400,
        "invalid order version, please use the latest clob-client",
        Refused(Why::OrderVersion),
    ),
    text("invalid order payload", 400, "Invalid order payload", Refused(Why::Payload)),
    text(
        "too many orders in payload",
        400,
        "Too many orders in payload: 16, max allowed: 15",
        Refused(Why::Payload),
    ),
    text("invalid nonce", 400, "invalid nonce", Refused(Why::Payload)),
    text(
        "invalid amounts",
        400,
        "invalid amounts, the buy orders maker amount supports a max accuracy of 2 decimals, taker amount a max \
         of 4 decimals",
        Refused(Why::Amounts),
    ),
    // Recorded of the live venue (JKorf/Polymarket.Net #5), not documented.
    text(
        "the taker amount for a",
        400,
        "the taker amount for a $0.22 order of size 19.69 should be '4.3318'",
        Refused(Why::Amounts),
    ),
    text("invalid expiration", 400, "invalid expiration", Refused(Why::Expiration)),
    text("crosses the book", 400, "order 0xab crosses the book", Refused(Why::Crosses)),
    text(
        "invalid post-only order",
        400,
        "invalid post-only order: order crosses book",
        Refused(Why::Crosses),
    ),
    text(
        "order canceled in the ctf exchange contract",
        400,
        "order canceled in the CTF exchange contract",
        Refused(Why::CancelledOnChain),
    ),
];

/// What a text means; `None` when nobody knows it.
pub(crate) fn meaning(text: &str) -> Option<Meaning> {
    let lower = text.to_ascii_lowercase();
    TEXTS.iter().find(|text| lower.contains(text.part)).map(|text| text.meaning)
}

/// Texts which the official clients are shown because the simulator is told to say them, and why: nobody tells what brings
/// them about. All others they are shown come of the state of market, account, clock, contract or venue.
const TOLD_TO_SAY: [(&str, &str); 12] = [
    ("context canceled", "A failure inside the venue that nobody describes."),
    ("invalid nonce", "Orders of today have no nonce."),
    (
        "order match delayed due to market conditions",
        "A market that delays answers `delayed` with status 200; when it says this instead is not documented.",
    ),
    ("could not insert order", "A failure inside the venue that nobody describes."),
    ("could not run the execution", "A failure inside the venue that nobody describes."),
    (
        "there are no matching orders",
        "Of the matching engine. An order that finds nobody is answered with the texts of status 400; when with this one is \
         not documented.",
    ),
    ("FOK orders are filled or killed", "Of the matching engine, as the one before."),
    ("the trade contains rounding issues", "Which amounts have them is not documented; ours are exact."),
    (
        "the price of the taker's order has a discrepancy greater than allowed with the worst maker order",
        "How much is allowed is not documented; the simulator matches at makers' prices.",
    ),
    (
        "invalid order version, please use the latest clob-client",
        "A newer wording of `order_version_mismatch`, which the simulator says.",
    ),
    (
        "order 0xab crosses the book",
        "When it is this and when `invalid post-only order: order crosses book`, which the simulator says, is not documented.",
    ),
    (
        "Insufficient balance",
        "With status 200, which the official clients take for success: only our own reader is shown it.",
    ),
];

/// Those texts, each with the status it comes with, but for what the official clients take for success.
pub fn told_to_say() -> impl Iterator<Item = (u16, &'static str)> {
    let status = |told: &str| TEXTS.iter().find(|text| text.whole == told).map(|text| text.status);
    let refused = |(status, _): &(u16, &str)| *status >= 400;
    TOLD_TO_SAY.iter().filter_map(move |(told, _)| Some((status(told)?, *told))).filter(refused)
}

/// docs/venue-errors.md.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(
        "# What the venue answers instead\n\n\
         Written from the table in `crates/polymarket/src/texts.rs`; a test compares, and writes it again with\n\
         `SLIPSTREAM_WRITE_DOCS=1 cargo test --release -p polymarket venue_errors`.\n\n\
         An answer counts as a refusal only if its status is 2xx, 4xx or 503 and its text is one of these. Any other\n\
         text or status leaves the outcome of an order unknown: it is looked up, and never signed anew. Whatever\n\
         the text, 425 and 429 mean that nothing was taken.\n\n\
         | status | text | meaning | what we do |\n|---|---|---|---|\n",
    );
    let by_status: [(&str, Meaning); 2] =
        [("425", NotNow(Closed::Restarting)), ("429", NotNow(Closed::RateLimited))];
    for (status, meaning) in by_status {
        out.push_str(&row(status, "(any)", meaning));
    }
    for text in TEXTS {
        out.push_str(&row(&text.status.to_string(), &format!("`{}`", text.whole), text.meaning));
    }
    out.push_str(
        "\n## What only words bring about\n\n\
         The venue's official clients see these from the simulator because it is told to say them (knob\n\
         `refuse_orders_with`), and not because something is as it is when the venue says them:\n\n",
    );
    for (text, why) in TOLD_TO_SAY {
        out.push_str(&format!("- `{text}`: {why}\n"));
    }
    out
}

fn row(status: &str, text: &str, meaning: Meaning) -> String {
    format!("| {status} | {text} | {} | {} |\n", meaning.word(), meaning.action())
}

#[cfg(test)]
#[path = "texts_tests.rs"]
mod tests;
