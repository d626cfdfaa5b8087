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

use super::tape::{Event, EventKind, Header, LeftOut, Provenance, Tape, TapeMarket};

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
pub fn read(text: &str) -> anyhow::Result<Tape> {
    let value: Value = serde_json::from_str(text).context("is neither a tape nor JSON")?;
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
    let mut maker = Maker::of(&read);
    maker.leave_out(LeftOut::Unreadable, total - read.len());
    // Rows of one transaction are played together, where its first one stands.
    read.sort_by_key(|row| (row.timestamp, maker.place_of(row)));
    for row in &read {
        if let Err(reason) = maker.add(row) {
            maker.leave_out(reason, 1);
        }
    }
    Ok(maker.tape())
}

/// Makes a tape row by row.
#[derive(Default)]
struct Maker {
    wallets: Vec<Address>,
    /// Second and place of each transaction's first row.
    transactions: HashMap<TxHash, (i64, usize)>,
    markets: Vec<TapeMarket>,
    market_of: HashMap<ConditionId, usize>,
    events: Vec<Event>,
    left_out: BTreeMap<LeftOut, u64>,
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
        let mut transactions = HashMap::new();
        for (place, row) in rows.iter().enumerate() {
            transactions.entry(row.tx).or_insert((row.timestamp, place));
        }
        let wallets = wallets.into_iter().map(|(_, wallet)| wallet).collect();
        Self { wallets, transactions, ..Self::default() }
    }

    fn place_of(&self, row: &Row) -> usize {
        self.transactions.get(&row.tx).map_or(usize::MAX, |(_, place)| *place)
    }

    fn leave_out(&mut self, reason: LeftOut, rows: usize) {
        if rows > 0 {
            *self.left_out.entry(reason).or_default() += u64::try_from(rows).unwrap_or(u64::MAX);
        }
    }

    fn add(&mut self, row: &Row) -> Result<(), LeftOut> {
        let wallet = self.wallets.iter().position(|wallet| *wallet == row.wallet).ok_or(LeftOut::Wallet)?;
        if self.transactions.get(&row.tx).is_some_and(|(second, _)| *second != row.timestamp) {
            return Err(LeftOut::Contradicted);
        }
        match row.kind.as_deref() {
            None | Some("TRADE") => self.add_trade(wallet, row),
            Some("REDEEM") => self.add_redemption(wallet, row),
            Some("SPLIT") => self.add_pair(wallet, row, Side::Buy),
            Some("MERGE") => self.add_pair(wallet, row, Side::Sell),
            Some(_) => Err(LeftOut::Kind),
        }
    }

    fn add_trade(&mut self, wallet: usize, row: &Row) -> Result<(), LeftOut> {
        let fill = fill_of(row).ok_or(LeftOut::Values)?;
        let token: TokenId = row.token.parse().map_err(|_| LeftOut::Values)?;
        if token.is_v3() != is_v3(&row.condition) {
            return Err(LeftOut::Values);
        }
        let market = self.open_market(row)?;
        let entry = self.markets.get_mut(market).ok_or(LeftOut::Values)?;
        match entry.tokens.get_mut(fill.outcome) {
            Some(known) if known.is_none_or(|known| known == token) => *known = Some(token),
            _ => return Err(LeftOut::Contradicted),
        }
        if let Some(label) = entry.outcomes.get_mut(fill.outcome) {
            *label = label.take().or_else(|| row.outcome.clone());
        }
        self.hold(wallet, market, fill.outcome, fill.side, fill.shares);
        let kind = EventKind::Trade {
            o: fill.outcome,
            side: fill.side,
            px: fill.price,
            qty: fill.shares,
            tx: row.tx,
        };
        self.push(wallet, market, row.timestamp, kind);
        Ok(())
    }

    /// A split buys both outcomes, a merge sells both.
    fn add_pair(&mut self, wallet: usize, row: &Row, side: Side) -> Result<(), LeftOut> {
        let qty = decimal(&row.size).map(Shares).filter(|qty| qty.is_positive()).ok_or(LeftOut::Values)?;
        let market = self.open_market(row)?;
        for outcome in 0..2 {
            self.hold(wallet, market, outcome, side, qty);
        }
        let kind = match side {
            Side::Buy => EventKind::Split { qty, tx: row.tx },
            Side::Sell => EventKind::Merge { qty, tx: row.tx },
        };
        self.push(wallet, market, row.timestamp, kind);
        Ok(())
    }

    /// The wallet's balance; a sale of more than it holds needs an opening balance, marked derived.
    fn hold(&mut self, wallet: usize, market: usize, outcome: usize, side: Side, shares: Shares) {
        let held = self.held.entry((wallet, market)).or_default();
        let Some(balance) = held.get_mut(outcome) else { return };
        match side {
            Side::Buy => *balance = balance.saturating_add(shares.0),
            Side::Sell => {
                let missing = shares.0.saturating_sub(*balance).max(0);
                *balance = balance.saturating_sub(shares.0).max(0);
                if missing > 0 {
                    let opening = self.openings.entry((wallet, market, outcome)).or_default();
                    *opening = opening.saturating_add(missing);
                }
            }
        }
    }

    /// The winner is the outcome of which the wallet held exactly what it redeemed; if that is not one,
    /// nobody knows and the row is left out.
    fn add_redemption(&mut self, wallet: usize, row: &Row) -> Result<(), LeftOut> {
        let market = *self.market_of.get(&row.condition).ok_or(LeftOut::Winner)?;
        let size = decimal(&row.size).filter(|size| *size > 0).ok_or(LeftOut::Values)?;
        let held = self.held.get(&(wallet, market)).ok_or(LeftOut::Winner)?;
        let winner = match held.map(|shares| shares == size) {
            [true, false] => 0,
            [false, true] => 1,
            _ => return Err(LeftOut::Winner),
        };
        let usd = row.usd.as_ref().and_then(decimal).unwrap_or(size);
        self.redeemed.insert(market);
        self.push(wallet, market, row.timestamp, EventKind::Redeem { winner, usd: Usd(usd) });
        Ok(())
    }

    /// The row's market, unless it was redeemed.
    fn open_market(&mut self, row: &Row) -> Result<usize, LeftOut> {
        let market = self.market(row);
        if self.redeemed.contains(&market) { Err(LeftOut::Resolved) } else { Ok(market) }
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

    fn tape(self) -> Tape {
        let openings = self.openings.into_iter().map(|((w, m, o), shares)| Event {
            at: 0,
            w,
            m,
            prov: Provenance::Derived,
            kind: EventKind::Open { o, qty: Shares(shares) },
        });
        let header = Header { tape: 1, wallets: self.wallets, markets: self.markets };
        Tape { header, events: openings.chain(self.events).collect(), left_out: self.left_out }
    }
}

/// Conditions of the V3 era have 31 bytes.
pub(super) fn is_v3(condition: &ConditionId) -> bool {
    condition.as_slice().len() == 31
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

    const TOKEN: &str = "1234567890123456789012345678901234567890123456789012345678901234567890";

    fn row(at: i64, side: &str, size: &str, kind: &str) -> String {
        format!(
            r#"{{"proxyWallet":"0x{:040x}","timestamp":{at},"conditionId":"0x{:064x}","type":"{kind}","size":{size},
            "usdcSize":{size},"price":0.5,"asset":"{}","side":"{side}","outcomeIndex":{},"outcome":"Up",
            "title":"T","slug":"s","transactionHash":"0x{at:064x}"}}"#,
            7,
            9,
            if kind == "TRADE" { TOKEN } else { "" },
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
        let tape = read(&format!("[{}]", rows.join(","))).unwrap();
        let at: Vec<u64> = tape.events.iter().map(|event| event.at).collect();
        // An opening for the five shares that were sold without a purchase; a silence cut to a minute.
        assert_eq!(at, [0, 0, 10_000, 70_000]);
        assert!(matches!(tape.events[0].kind, EventKind::Open { qty: Shares(5_000_000), .. }));
        // 30 redeemed where 20 were held: the winner is not known, the row is left out.
        assert_eq!(tape.events.len(), 4);
        assert_eq!(tape.left_out, [(LeftOut::Winner, 1)].into());
    }

    #[test]
    fn a_redemption_of_what_is_held_names_the_winner() {
        let rows = [row(100, "BUY", "10", "TRADE"), row(200, "", "10", "REDEEM")];
        let tape = read(&format!("{{\"data\":[{}]}}", rows.join(","))).unwrap();
        assert!(matches!(tape.events[1].kind, EventKind::Redeem { winner: 0, usd: Usd(10_000_000) }));
    }

    #[test]
    fn splits_and_merges_move_both_outcomes() {
        let rows = [
            row(100, "", "10", "SPLIT"),
            row(200, "SELL", "4", "TRADE"),
            row(300, "", "7", "MERGE"),
            row(400, "", "3", "REDEEM"),
        ];
        let tape = read(&format!("[{}]", rows.join(","))).unwrap();
        let Tape { events, left_out, .. } = tape;
        // Six of the first outcome are left where seven are merged: one was there before.
        assert!(matches!(events[0].kind, EventKind::Open { o: 0, qty: Shares(1_000_000) }));
        assert!(matches!(events[1].kind, EventKind::Split { qty: Shares(10_000_000), .. }));
        assert!(matches!(events[3].kind, EventKind::Merge { qty: Shares(7_000_000), .. }));
        // Three of the second outcome are left, none of the first.
        assert!(matches!(events[4].kind, EventKind::Redeem { winner: 1, .. }));
        assert!(left_out.is_empty());
    }

    #[test]
    fn what_is_left_out_is_counted_by_reason() {
        let rows = [
            r#"{"a":1}"#.to_owned(),
            row(100, "BUY", "10", "TRADE"),
            row(110, "", "10", "REWARD"),
            row(120, "HOLD", "10", "TRADE"),
            row(130, "BUY", "10", "TRADE").replace(TOKEN, &TOKEN.replace("12", "21")),
            row(140, "BUY", "5", "TRADE").replace(&format!("0x{:064x}", 140), &format!("0x{:064x}", 100)),
            row(150, "", "10", "REDEEM"),
            row(160, "BUY", "10", "TRADE"),
        ];
        let tape = read(&format!("[{}]", rows.join(","))).unwrap();
        assert_eq!(tape.events.len(), 2);
        let expected = [
            (LeftOut::Unreadable, 1),
            (LeftOut::Kind, 1),
            (LeftOut::Values, 1),
            (LeftOut::Contradicted, 2),
            (LeftOut::Resolved, 1),
        ];
        assert_eq!(tape.left_out, expected.into());
    }

    #[test]
    fn rows_of_one_transaction_are_played_together() {
        let in_tx = |row: String, tx: u8| row.replace(&format!("0x{:064x}", 100), &format!("0x{tx:064x}"));
        let rows: Vec<String> =
            [7, 8, 7].map(|tx| in_tx(row(100, "BUY", "10", "TRADE"), tx)).into_iter().collect();
        let tape = read(&format!("[{}]", rows.join(","))).unwrap();
        let played: Vec<u8> = tape
            .events
            .iter()
            .map(|event| match event.kind {
                EventKind::Trade { tx, .. } => tx.0[31],
                _ => panic!("{event:?}"),
            })
            .collect();
        assert_eq!(played, [7, 7, 8]);
    }

    #[test]
    fn files_that_are_no_recording_are_refused() {
        for (text, words) in [
            ("junk", "neither"),
            ("{}", "no array"),
            ("[]", "none of its 0 rows"),
            (r#"[{"a":1}]"#, "none of its 1 rows"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
