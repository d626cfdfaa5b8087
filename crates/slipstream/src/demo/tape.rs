//! The tape: recorded trades of real wallets, as `tape/PROVENANCE.md` describes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
};

use anyhow::{Context, bail, ensure};
use domain::{Address, ConditionId, Price, Shares, Side, TokenId, TxHash, Usd, money};
use flate2::read::GzDecoder;
use serde::{Deserialize, Deserializer, Serialize};

use crate::secrets::InstallationSecret;

/// The tape that ships with the program.
pub const RECORDED: &[u8] = include_bytes!("../../tape/recorded.jsonl.gz");
/// Milliseconds of tape between two synthetic exits.
const EXIT_EVERY: u64 = 2_000;
/// How a packed file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Largest file that is read, unpacked.
const LARGEST: u64 = 256 * 1024 * 1024;
/// Longest silence between two events of a tape, in milliseconds: a day. Longer ones are a mistake.
const LONGEST_SILENCE: u64 = 86_400_000;

/// A whole tape.
#[derive(Clone, Debug)]
pub struct Tape {
    /// What it is about.
    pub header: Header,
    /// Events, ascending in time.
    pub events: Vec<Event>,
    /// Rows of a Data API file that cannot be played, by reason.
    pub left_out: BTreeMap<LeftOut, u64>,
}

/// Why a row of a Data API file is not played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// It lacks wallet, time, condition, size or hash.
    Unreadable,
    /// Its wallet is none of those with the most rows.
    Wallet,
    /// It is a kind of activity that is not played, such as a reward or a conversion.
    Kind,
    /// Its price, size, side or outcome cannot be.
    Values,
    /// Another row says otherwise about the token of the outcome, or about the time of the transaction.
    Contradicted,
    /// The market was redeemed before.
    Resolved,
    /// It redeems, and what was held does not tell which outcome won.
    Winner,
}

impl LeftOut {
    /// What such rows are called.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Wallet => "of wallets with fewer trades",
            Self::Kind => "of a kind that is not played",
            Self::Values => "without a possible price, size, side or outcome",
            Self::Contradicted => "contradicted by other rows",
            Self::Resolved => "after their market was redeemed",
            Self::Winner => "redeeming an unknown winner",
        }
    }
}

/// First line of a tape.
#[derive(Clone, Debug, Deserialize)]
pub struct Header {
    /// Version of the format.
    pub tape: u32,
    /// Leaders.
    pub wallets: Vec<Address>,
    /// Markets.
    pub markets: Vec<TapeMarket>,
}

/// A market as far as the recordings know it.
#[derive(Clone, Debug, Deserialize)]
pub struct TapeMarket {
    /// Condition id.
    pub condition: ConditionId,
    /// Outcome tokens by outcome index, `None` where the recordings never name it.
    pub tokens: [Option<TokenId>; 2],
    /// Their labels.
    pub outcomes: [Option<String>; 2],
    /// Short name.
    pub slug: Option<String>,
    /// Question.
    pub title: Option<String>,
}

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// It happened.
    Recorded,
    /// It follows from what happened.
    Derived,
    /// It was made up.
    Synthetic,
}

/// One line of a tape.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// When, in milliseconds since the tape's start.
    #[serde(deserialize_with = "millis")]
    pub at: u64,
    /// Whose: index of the wallet.
    pub w: usize,
    /// Where: index of the market.
    pub m: usize,
    /// Where it comes from.
    pub prov: Provenance,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happens.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "k", rename_all = "snake_case")]
pub enum EventKind {
    /// A fill.
    Trade {
        /// Outcome index.
        o: usize,
        /// Side.
        side: Side,
        /// Price.
        #[serde(deserialize_with = "text")]
        px: Price,
        /// Shares.
        #[serde(deserialize_with = "text")]
        qty: Shares,
        /// Transaction.
        tx: TxHash,
    },
    /// The wallet redeemed; the market is resolved.
    Redeem {
        /// Winning outcome index.
        winner: usize,
        /// Dollars paid out.
        #[serde(deserialize_with = "text")]
        usd: Usd,
    },
    /// Dollars became shares of both outcomes.
    Split {
        /// Shares of each.
        #[serde(deserialize_with = "text")]
        qty: Shares,
        /// Transaction.
        tx: TxHash,
    },
    /// Shares of both outcomes became dollars.
    Merge {
        /// Shares of each.
        #[serde(deserialize_with = "text")]
        qty: Shares,
        /// Transaction.
        tx: TxHash,
    },
    /// An opening balance.
    Open {
        /// Outcome index.
        o: usize,
        /// Shares.
        #[serde(deserialize_with = "text")]
        qty: Shares,
    },
}

fn text<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
    D: Deserializer<'de>,
{
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// Seconds with at most three decimals, read as text so that no float is involved.
fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let micros =
        money::parse_decimal(&number.to_string(), money::Excess::Cut).map_err(serde::de::Error::custom)?;
    u64::try_from(micros / 1_000).map_err(serde::de::Error::custom)
}

impl Tape {
    /// The recorded tape.
    ///
    /// # Errors
    /// When the file built into the program is damaged.
    pub fn recorded() -> anyhow::Result<Self> {
        Self::read(RECORDED).context("the tape built into this program")
    }

    /// Reads a tape, or a trades or activity file of the Data API; packed or not.
    ///
    /// # Errors
    /// In words, with the line, when it is neither or holds no trade.
    pub fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let text = unpack(bytes)?;
        let first = text.lines().next().unwrap_or_default();
        let tape = match serde_json::from_str::<Version>(first) {
            Ok(version) => Self::of_lines(&text, &version)?,
            Err(_) => super::recording::read(&text)?,
        };
        let trades = |event: &Event| matches!(event.kind, EventKind::Trade { .. });
        ensure!(tape.events.iter().any(trades), "holds no trade that can be played");
        Ok(tape)
    }

    fn of_lines(text: &str, version: &Version) -> anyhow::Result<Self> {
        ensure!(version.tape == 1, "is a tape of version {}; this program reads version 1", version.tape);
        let mut lines = text.lines();
        let header: Header =
            serde_json::from_str(lines.next().unwrap_or("")).context("line 1: no tape header")?;
        let mut events = Vec::new();
        let mut before = 0;
        for (index, line) in lines.enumerate() {
            let number = index + 2;
            let event: Event = serde_json::from_str(line).with_context(|| format!("line {number}"))?;
            header.check(&event).with_context(|| format!("line {number}"))?;
            let Some(silence) = event.at.checked_sub(before) else { bail!("line {number}: time goes back") };
            ensure!(silence <= LONGEST_SILENCE, "line {number}: a silence of more than a day");
            before = event.at;
            events.push(event);
        }
        Ok(Self { header, events, left_out: BTreeMap::new() })
    }

    /// The same, and after its end each leader sells whatever it still holds in a market that was not
    /// resolved, at the token's last price on the tape. These sales never happened: they are synthetic.
    #[must_use]
    pub fn with_synthetic_exits(mut self) -> Self {
        let mut held: BTreeMap<(usize, usize, usize), i64> = BTreeMap::new();
        let mut last_price = BTreeMap::new();
        let mut resolved = BTreeSet::new();
        for event in &self.events {
            let mut moved = |o: usize, shares: i64| {
                let balance = held.entry((event.w, event.m, o)).or_default();
                *balance = balance.saturating_add(shares);
            };
            match event.kind {
                EventKind::Trade { o, side, px, qty, .. } => {
                    last_price.insert((event.m, o), px);
                    moved(o, if side == Side::Buy { qty.0 } else { -qty.0 });
                }
                EventKind::Split { qty, .. } => (0..2).for_each(|o| moved(o, qty.0)),
                EventKind::Merge { qty, .. } => (0..2).for_each(|o| moved(o, -qty.0)),
                EventKind::Open { o, qty } => moved(o, qty.0),
                EventKind::Redeem { .. } => {
                    resolved.insert(event.m);
                }
            }
        }
        let secret = InstallationSecret::of_seed(0);
        let mut at = self.length();
        for ((w, m, o), shares) in held {
            let Some(px) = last_price.get(&(m, o)).copied() else { continue };
            if shares <= 0 || resolved.contains(&m) {
                continue;
            }
            at = at.saturating_add(EXIT_EVERY);
            let tx = TxHash(secret.derive(&[b"synthetic exit", &at.to_be_bytes()]));
            let kind = EventKind::Trade { o, side: Side::Sell, px, qty: Shares(shares), tx };
            self.events.push(Event { at, w, m, prov: Provenance::Synthetic, kind });
        }
        self
    }

    /// Length in milliseconds.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.events.last().map_or(0, |event| event.at)
    }
}

/// What tells a tape from everything else.
#[derive(Deserialize)]
struct Version {
    tape: u32,
}

fn unpack(bytes: &[u8]) -> anyhow::Result<String> {
    let (mut text, limit) = (String::new(), LARGEST + 1);
    if bytes.starts_with(&GZIP) {
        GzDecoder::new(bytes).take(limit).read_to_string(&mut text).context("cannot be unpacked")?;
    } else {
        bytes.take(limit).read_to_string(&mut text).context("is neither packed nor text")?;
    }
    ensure!(u64::try_from(text.len())? <= LARGEST, "is larger than {LARGEST} bytes");
    Ok(text)
}

impl Header {
    fn check(&self, event: &Event) -> anyhow::Result<()> {
        ensure!(event.w < self.wallets.len(), "wallet {} does not exist", event.w);
        let market =
            self.markets.get(event.m).with_context(|| format!("market {} does not exist", event.m))?;
        match event.kind {
            EventKind::Trade { o, px, qty, .. } => {
                ensure!(market.tokens.get(o).is_some_and(Option::is_some), "outcome {o} has no token");
                ensure!(px.0 > 0 && px.0 < money::ONE && qty.is_positive(), "{qty} at {px} is no trade");
            }
            EventKind::Open { o, qty } => {
                ensure!(market.tokens.get(o).is_some_and(Option::is_some), "outcome {o} has no token");
                ensure!(qty.is_positive(), "an opening balance of {qty}");
            }
            EventKind::Split { qty, .. } | EventKind::Merge { qty, .. } => {
                ensure!(qty.is_positive(), "a split or merge of {qty}");
            }
            EventKind::Redeem { winner, usd } => {
                ensure!(winner < 2 && usd >= Usd::ZERO, "winner {winner}, {usd} $")
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_tape_is_whole() {
        let tape = Tape::recorded().unwrap();
        let trades = tape.events.iter().filter(|event| matches!(event.kind, EventKind::Trade { .. })).count();
        let recorded = tape.events.iter().filter(|event| event.prov == Provenance::Recorded).count();
        assert_eq!((tape.events.len(), trades, recorded), (580, 555, 566));
        assert_eq!(tape.header.wallets.len(), 12);
    }

    #[test]
    fn synthetic_exits_sell_what_is_held_at_the_end_and_nothing_else() {
        let line = |rest: &str| format!(r#"{{"w":0,"prov":"recorded",{rest}}}"#);
        let trade = |at: u64, market: u8, side: &str, px: &str, qty: &str| {
            let tx = TxHash([u8::try_from(at).unwrap(); 32]);
            line(&format!(
                r#""k":"trade","at":{at},"m":{market},"o":0,"side":"{side}","px":"{px}","qty":"{qty}","tx":"{tx}""#
            ))
        };
        let lines = [
            line(r#""k":"open","at":0,"m":0,"o":0,"qty":"3""#),
            trade(1, 0, "BUY", "0.4", "10"),
            trade(2, 0, "SELL", "0.6", "4.5"),
            // Half of what was split is merged again: as much is left of the other outcome, which has no price.
            line(&format!(r#""k":"split","at":2,"m":0,"qty":"2","tx":"{}""#, TxHash([9; 32]))),
            line(&format!(r#""k":"merge","at":2,"m":0,"qty":"1","tx":"{}""#, TxHash([8; 32]))),
            // Sold again to the last share.
            trade(3, 1, "BUY", "0.4", "10"),
            trade(4, 1, "SELL", "0.5", "10"),
            // Resolved: there is nothing to sell.
            trade(5, 2, "BUY", "0.4", "10"),
            line(r#""k":"redeem","at":6,"m":2,"winner":0,"usd":"10""#),
        ];
        let events: Vec<Event> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let recorded = events.len();
        let header = Header { tape: 1, wallets: vec![], markets: vec![] };
        let tape = Tape { header, events, left_out: BTreeMap::new() }.with_synthetic_exits();
        let [sale] = &tape.events[recorded..] else { panic!("{:?}", &tape.events[recorded..]) };
        assert_eq!((sale.at, sale.m, sale.prov), (6_000 + EXIT_EVERY, 0, Provenance::Synthetic));
        let EventKind::Trade { side, px, qty, .. } = sale.kind else { panic!("{sale:?}") };
        assert_eq!((side, px, qty), (Side::Sell, Price(600_000), Shares(9_500_000)));
    }

    #[test]
    fn synthetic_exits_of_the_shipped_tape_are_as_many_transactions() {
        let tape = Tape::recorded().unwrap();
        let length = tape.length();
        let longer = tape.with_synthetic_exits();
        let tail = longer.events.iter().filter(|event| event.prov == Provenance::Synthetic);
        let hashes: BTreeSet<_> = tail
            .map(|event| match event.kind {
                EventKind::Trade { tx, .. } if event.at > length => tx,
                _ => panic!("{event:?}"),
            })
            .collect();
        assert!(longer.events.len() > 580);
        assert_eq!(hashes.len(), longer.events.len() - 580);
    }

    #[test]
    fn damaged_tapes_are_refused_with_their_line() {
        use flate2::{Compression, write::GzEncoder};
        use std::io::Write;
        let pack = |text: &str| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let header = r#"{"tape":1,"wallets":["0x0000000000000000000000000000000000000001"],"markets":[]}"#;
        for (text, words) in [
            (String::new(), "neither a tape nor JSON"),
            (header.to_owned(), "no trade"),
            (r#"{"tape":1,"wallets":3}"#.to_owned(), "line 1"),
            (
                format!("{header}\n{}", r#"{"k":"split","at":1e12,"w":0,"m":3,"qty":"1","prov":"recorded"}"#),
                "line 2",
            ),
            (r#"{"tape":2,"wallets":[],"markets":[]}"#.to_owned(), "version 2"),
            (format!("{header}\n{{"), "line 2"),
            (
                format!(
                    "{header}\n{}",
                    r#"{"k":"open","at":0,"w":0,"m":3,"o":0,"qty":"1","prov":"derived"}"#
                ),
                "market 3",
            ),
        ] {
            let error = format!("{:#}", Tape::read(&pack(&text)).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
        assert!(Tape::read(b"not packed").is_err());
    }
}
