//! Any Data API trades or activity file as a tape: v1 (camelCase, a bare array) or v2 (snake_case, inside
//! `data`). What cannot be played is left out and counted, never guessed.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context, bail, ensure};
use domain::{
    Address, ConditionId, Price, Shares, Side, TokenId, TxHash, Usd,
    money::{self, Excess, Rounding},
};
use serde::Deserialize;
use serde_json::{Number, Value};

use super::tape::{Event, EventKind, Header, Provenance, Tape, TapeMarket};

/// Leaders of a tape; further wallets are left out, those with the fewest rows first.
const MOST_WALLETS: usize = 50;
/// Silence on a tape, in milliseconds; longer ones are cut.
const LONGEST_SILENCE: u64 = 60_000;

#[derive(Deserialize)]
struct Row {
    #[serde(alias = "proxyWallet", alias = "proxy_wallet")]
    wallet: Address,
    timestamp: i64,
    #[serde(alias = "conditionId", alias = "condition_id")]
    condition: ConditionId,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    size: Number,
    #[serde(default)]
    price: Option<Number>,
    #[serde(default, alias = "usdcSize", alias = "usdc_size")]
    usd: Option<Number>,
    #[serde(default, alias = "asset", alias = "token_id")]
    token: String,
    #[serde(default)]
    side: String,
    #[serde(default, alias = "outcomeIndex", alias = "outcome_index")]
    outcome_index: Option<usize>,
    #[serde(default)]
    outcome: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    slug: Option<String>,
    #[serde(alias = "transactionHash", alias = "transaction_hash")]
    tx: TxHash,
}

/// A row that can be played, or a redemption.
struct Fill {
    outcome: usize,
    side: Side,
    price: Price,
    shares: Shares,
}

/// Reads a Data API file.
///
/// # Errors
/// In words, when it is not one or holds nothing to play.
pub fn read(bytes: &[u8]) -> anyhow::Result<Tape> {
    let value: Value = serde_json::from_slice(bytes).context("is neither a tape nor JSON")?;
    let rows = match value {
        Value::Array(rows) => rows,
        Value::Object(mut page) => match page.remove("data") {
            Some(Value::Array(rows)) => rows,
            _ => bail!("has no array `data`: it is not an answer of the Data API"),
        },
        _ => bail!("is not an answer of the Data API"),
    };
    let total = rows.len();
    let mut read: Vec<Row> = rows.into_iter().filter_map(|row| serde_json::from_value(row).ok()).collect();
    ensure!(!read.is_empty(), "none of its {total} rows is a trade with wallet, token, price, size and hash");
    // The venue lists the newest first; equal seconds keep their order of happening.
    if read.first().map(|row| row.timestamp) > read.last().map(|row| row.timestamp) {
        read.reverse();
    }
    read.sort_by_key(|row| row.timestamp);
    let mut maker = Maker::of(&read);
    for row in &read {
        maker.add(row);
    }
    maker.tape()
}

/// Makes a tape row by row.
#[derive(Default)]
struct Maker {
    wallets: Vec<Address>,
    markets: Vec<TapeMarket>,
    market_of: HashMap<ConditionId, usize>,
    events: Vec<Event>,
    /// Last row's second and its place on the tape.
    clock: Option<(i64, u64)>,
    held: BTreeMap<(usize, usize), [i64; 2]>,
    openings: BTreeMap<(usize, usize, usize), i64>,
    redeemed: HashSet<usize>,
}

impl Maker {
    fn of(rows: &[Row]) -> Self {
        let mut counts: HashMap<Address, usize> = HashMap::new();
        for row in rows {
            *counts.entry(row.wallet).or_default() += 1;
        }
        let mut wallets: Vec<(usize, Address)> =
            counts.into_iter().map(|(wallet, count)| (count, wallet)).collect();
        wallets.sort_unstable_by(|left, right| right.cmp(left));
        wallets.truncate(MOST_WALLETS);
        Self { wallets: wallets.into_iter().map(|(_, wallet)| wallet).collect(), ..Self::default() }
    }

    fn add(&mut self, row: &Row) {
        let Some(wallet) = self.wallets.iter().position(|wallet| *wallet == row.wallet) else { return };
        match row.kind.as_deref() {
            None | Some("TRADE") => self.add_trade(wallet, row),
            Some("REDEEM") => self.add_redemption(wallet, row),
            Some(_) => {}
        }
    }

    fn add_trade(&mut self, wallet: usize, row: &Row) {
        let Some(fill) = fill_of(row) else { return };
        let Ok(token) = row.token.parse::<TokenId>() else { return };
        let market = self.market(row);
        if self.redeemed.contains(&market) {
            return;
        }
        let Some(entry) = self.markets.get_mut(market) else { return };
        match entry.tokens.get_mut(fill.outcome) {
            Some(known) if known.is_none_or(|known| known == token) => *known = Some(token),
            _ => return,
        }
        if let Some(label) = entry.outcomes.get_mut(fill.outcome) {
            *label = label.take().or_else(|| row.outcome.clone());
        }
        self.hold(wallet, market, &fill);
        let kind = EventKind::Trade {
            o: fill.outcome,
            side: fill.side,
            px: fill.price,
            qty: fill.shares,
            tx: row.tx,
        };
        self.push(wallet, market, row.timestamp, kind);
    }

    /// The wallet's balance; a sale of more than it holds needs an opening balance, marked derived.
    fn hold(&mut self, wallet: usize, market: usize, fill: &Fill) {
        let held = self.held.entry((wallet, market)).or_default();
        let Some(balance) = held.get_mut(fill.outcome) else { return };
        match fill.side {
            Side::Buy => *balance = balance.saturating_add(fill.shares.0),
            Side::Sell => {
                let missing = fill.shares.0.saturating_sub(*balance).max(0);
                *balance = balance.saturating_sub(fill.shares.0).max(0);
                if missing > 0 {
                    *self.openings.entry((wallet, market, fill.outcome)).or_default() += missing;
                }
            }
        }
    }

    /// The winner is the outcome of which the wallet held exactly what it redeemed; if that is not one,
    /// nobody knows and the row is left out.
    fn add_redemption(&mut self, wallet: usize, row: &Row) {
        let Some(market) = self.market_of.get(&row.condition).copied() else { return };
        let (Some(size), Some(held)) = (decimal(&row.size), self.held.get(&(wallet, market))) else { return };
        let winners: Vec<usize> = held
            .iter()
            .enumerate()
            .filter(|(_, shares)| **shares == size && size > 0)
            .map(|(at, _)| at)
            .collect();
        let [winner] = winners.as_slice() else { return };
        let usd = row.usd.as_ref().and_then(decimal).unwrap_or(size);
        self.redeemed.insert(market);
        self.push(wallet, market, row.timestamp, EventKind::Redeem { winner: *winner, usd: Usd(usd) });
    }

    fn market(&mut self, row: &Row) -> usize {
        *self.market_of.entry(row.condition).or_insert_with(|| {
            self.markets.push(TapeMarket {
                condition: row.condition,
                tokens: [None; 2],
                outcomes: [None, None],
                slug: row.slug.clone(),
                title: row.title.clone(),
            });
            self.markets.len() - 1
        })
    }

    fn push(&mut self, w: usize, m: usize, second: i64, kind: EventKind) {
        let at = match self.clock {
            None => 0,
            Some((last, at)) => {
                let gap =
                    u64::try_from(second.saturating_sub(last).max(0)).unwrap_or(0).saturating_mul(1_000);
                at.saturating_add(gap.min(LONGEST_SILENCE))
            }
        };
        self.clock = Some((second, at));
        self.events.push(Event { at, w, m, prov: Provenance::Recorded, kind });
    }

    fn tape(self) -> anyhow::Result<Tape> {
        ensure!(!self.events.is_empty(), "holds no trade that can be played");
        let openings = self.openings.into_iter().map(|((w, m, o), shares)| Event {
            at: 0,
            w,
            m,
            prov: Provenance::Derived,
            kind: EventKind::Open { o, qty: Shares(shares) },
        });
        let header = Header { tape: 1, wallets: self.wallets, markets: self.markets };
        Ok(Tape { header, events: openings.chain(self.events).collect() })
    }
}

fn fill_of(row: &Row) -> Option<Fill> {
    let side = match row.side.as_str() {
        "BUY" => Side::Buy,
        "SELL" => Side::Sell,
        _ => return None,
    };
    let outcome = row.outcome_index.filter(|outcome| *outcome < 2)?;
    let shares = Shares(decimal(&row.size)?);
    let price = match &row.price {
        Some(price) => Price(decimal(price)?),
        None => Price::of(Usd(decimal(row.usd.as_ref()?)?), shares, Rounding::Down)?,
    };
    let playable = price.0 > 0 && price.0 < money::ONE && shares.is_positive();
    playable.then_some(Fill { outcome, side, price, shares })
}

fn decimal(number: &Number) -> Option<i64> {
    money::parse_decimal(&number.to_string(), Excess::Cut).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(at: i64, side: &str, size: &str, kind: &str) -> String {
        format!(
            r#"{{"proxyWallet":"0x{:040x}","timestamp":{at},"conditionId":"0x{:064x}","type":"{kind}","size":{size},
            "usdcSize":{size},"price":0.5,"asset":"{}","side":"{side}","outcomeIndex":{},"outcome":"Up",
            "title":"T","slug":"s","transactionHash":"0x{at:064x}"}}"#,
            7,
            9,
            if kind == "TRADE" { "123" } else { "" },
            if kind == "TRADE" { 0 } else { 999 },
        )
    }

    #[test]
    fn activity_becomes_a_tape() {
        let rows = [
            row(500, "", "30", "REDEEM"),
            row(400, "BUY", "20", "TRADE"),
            row(110, "SELL", "15", "TRADE"),
            row(100, "BUY", "10", "TRADE"),
        ];
        let tape = read(format!("[{}]", rows.join(",")).as_bytes()).unwrap();
        let at: Vec<u64> = tape.events.iter().map(|event| event.at).collect();
        // An opening for the five shares that were sold without a purchase; a silence cut to a minute.
        assert_eq!(at, [0, 0, 10_000, 70_000]);
        assert!(matches!(tape.events[0].kind, EventKind::Open { qty: Shares(5_000_000), .. }));
        // 30 redeemed where 20 were held: the winner is not known, the row is left out.
        assert_eq!(tape.events.len(), 4);
    }

    #[test]
    fn a_redemption_of_what_is_held_names_the_winner() {
        let rows = [row(100, "BUY", "10", "TRADE"), row(200, "", "10", "REDEEM")];
        let tape = read(format!("{{\"data\":[{}]}}", rows.join(",")).as_bytes()).unwrap();
        assert!(matches!(tape.events[1].kind, EventKind::Redeem { winner: 0, usd: Usd(10_000_000) }));
    }

    #[test]
    fn files_that_are_no_recording_are_refused() {
        for (bytes, words) in [
            (&b"junk"[..], "neither"),
            (b"{}", "no array"),
            (b"[]", "none of its 0 rows"),
            (br#"[{"a":1}]"#, "none of its 1 rows"),
        ] {
            let error = read(bytes).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
