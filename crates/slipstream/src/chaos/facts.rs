//! Everybody's books as they are when all is over: what leaders did, what the venue executed, what the database says, what
//! Redis has. Rows and numbers, read past all of the engine: by `psql`, by `redis-cli`, from the venue's operator and its
//! chain. Addresses, tokens and hashes are hex digits without 0x.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use domain::{Address, Side};
use serde_json::{Value, json};
use simulator::contracts::COLLATERAL;

use super::{stack::Stack, tape::LeaderTrade, witness::Witness};
use crate::demo::control::SimulatorVerdict;

/// `balanceOf(address)`. Source: ERC-20.
const BALANCE_OF: &str = "0x70a08231000000000000000000000000";

/// A wallet and a token.
pub type Holding = (String, String);

/// A trade of a leader.
#[derive(Clone, Debug)]
pub struct Trade {
    /// Its transaction.
    pub tx: String,
    /// What was traded.
    pub token: String,
    /// Whether it was bought.
    pub buy: bool,
    /// Of what the leader had bought, the halves that it has left then.
    pub halves: u8,
}

/// An order of which the venue executed something.
#[derive(Clone, Debug)]
pub struct Executed {
    /// Its id.
    pub order: String,
    /// Whose.
    pub wallet: String,
    /// Of what.
    pub token: String,
    /// Whether it bought.
    pub buy: bool,
    /// Millionths of a share that stand; those of failed settlements do not.
    pub shares: i64,
    /// The most that it could give, in millionths of what it gives.
    pub most: i64,
    /// Dollars that stand, without fee.
    pub usd: i64,
}

/// An order of the database.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Its id.
    pub order: String,
    /// The intent that it is an attempt at.
    pub intent: i64,
    /// Number of its state.
    pub state: u8,
    /// Millionths of a share in the ledger: positive for buys.
    pub shares: i64,
    /// Dollars in the ledger, fee included: positive for sales.
    pub cash: i64,
}

/// A decision to copy.
#[derive(Clone, Debug)]
pub struct Intent {
    /// Its number.
    pub id: i64,
    /// For whom.
    pub wallet: String,
    /// Of what.
    pub token: String,
    /// Whether to buy.
    pub buy: bool,
    /// Dollars of a buy, shares of a sale, in millionths.
    pub amount: i64,
    /// Why it came to an end without an order, as a number.
    pub end: Option<i64>,
}

/// An order that was lost when the database went back in time, and found again.
#[derive(Clone, Debug)]
pub struct Adopted {
    /// Its id.
    pub order: String,
    /// Whose.
    pub wallet: String,
    /// Of what.
    pub token: String,
    /// Whether it bought.
    pub buy: bool,
    /// Millionths of a share that it came to.
    pub shares: i64,
    /// Of these, what belongs to no position: less than nothing for what was sold.
    pub left_over: i64,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decision {
    /// The leader's transaction.
    pub tx: String,
    /// The token.
    pub token: String,
    /// Which part of the trade.
    pub part: i64,
    /// For whom.
    pub wallet: String,
    /// What was decided: below 0 to copy, else the number of the reason not to.
    pub answer: i64,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Every follower's wallet; each follows every leader.
    pub followers: Vec<String>,
    /// What leaders did.
    pub trades: Vec<Trade>,
    /// What the venue executed.
    pub executed: Vec<Executed>,
    /// Millionths of a dollar that each wallet has on the chain.
    pub money: BTreeMap<String, i64>,
    /// What the venue says against its own books.
    pub unsound: Vec<String>,
    /// The database's decisions.
    pub decisions: Vec<Decision>,
    /// Its intents.
    pub intents: Vec<Intent>,
    /// Its orders.
    pub signed: Vec<Signed>,
    /// Orders that it had lost.
    pub adopted: Vec<Adopted>,
    /// Its cash.
    pub cash: BTreeMap<String, i64>,
    /// Its positions.
    pub positions: BTreeMap<Holding, i64>,
    /// What it says is still to be done: name and number.
    pub to_do: BTreeMap<String, i64>,
    /// Length of each lane in Redis.
    pub queue: BTreeMap<String, i64>,
}

const DECISIONS: &str = "SELECT encode(g.tx, 'hex'), encode(g.token, 'hex'), d.part, encode(a.wallet, 'hex'), d.answer \
    FROM decisions d JOIN trade_groups g ON g.id = d.group_id JOIN relationships r ON r.id = d.relationship_id \
    JOIN accounts a ON a.id = r.account_id";
const INTENTS: &str = "SELECT i.id, encode(a.wallet, 'hex'), encode(i.token, 'hex'), i.side, i.amount, coalesce(e.reason, -1) \
    FROM intents i JOIN accounts a ON a.id = i.account_id LEFT JOIN intent_ends e ON e.intent_id = i.id";
const SIGNED: &str = "SELECT encode(s.order_id, 'hex'), s.intent_id, o.state, coalesce(b.shares, 0), coalesce(b.cash, 0) \
    FROM signed_orders s JOIN order_status o ON o.attempt_id = s.id LEFT JOIN (SELECT attempt_id, sum(shares) AS shares, \
    sum(cash) AS cash FROM ledger WHERE attempt_id IS NOT NULL GROUP BY attempt_id) b ON b.attempt_id = s.id";
const ADOPTED: &str = "SELECT encode(o.order_id, 'hex'), encode(a.wallet, 'hex'), encode(o.token, 'hex'), o.side, o.shares, \
    o.left_over FROM adopted_orders o JOIN accounts a ON a.id = o.account_id";
const CASH: &str =
    "SELECT encode(a.wallet, 'hex'), c.cash FROM account_cash c JOIN accounts a ON a.id = c.account_id";
const POSITIONS: &str = "SELECT encode(a.wallet, 'hex'), encode(p.token, 'hex'), sum(p.shares) FROM positions p \
    JOIN accounts a ON a.id = p.account_id GROUP BY 1, 2";
const TO_DO: &str = "SELECT 'work of state ' || state, count(*) FROM work GROUP BY 1 UNION ALL \
    SELECT 'reservations', count(*) FROM reservations UNION ALL \
    SELECT 'parts half decided', count(*) FROM trade_parts WHERE complete = 0 UNION ALL \
    SELECT 'holds that end by themselves', count(*) FROM holds WHERE lifted_at IS NULL AND instance_id IS NOT NULL UNION ALL \
    SELECT 'sales to look at', count(*) FROM exit_revisits UNION ALL \
    SELECT 'fills not booked', count(*) FROM order_status WHERE unbooked = 1";
/// How many of each kind of event.
const EVENTS: &str = "SELECT event::json ->> 'kind', count(*) FROM events GROUP BY 1";
/// The two lanes.
const LANES: [&str; 2] = ["trade_execution_queue", "trade_execution_queue:exits"];

impl Facts {
    /// Reads everything.
    ///
    /// # Errors
    /// When somebody does not answer, or a row makes no sense.
    pub(super) async fn read(
        stack: &Stack,
        followers: &[Address],
        trades: &[LeaderTrade],
        witness: &Witness,
    ) -> anyhow::Result<Self> {
        let verdict: SimulatorVerdict = stack.control.verdict().await?;
        Ok(Self {
            followers: followers.iter().map(|wallet| hex::encode(wallet.0)).collect(),
            trades: trades.iter().map(trade).collect(),
            executed: executed(witness),
            money: money(stack, followers).await?,
            unsound: verdict.violations,
            decisions: read(stack, DECISIONS, |row| {
                let [tx, token, part, wallet, answer] = row;
                let (tx, token, wallet) = (tx.clone(), token.clone(), wallet.clone());
                Ok(Decision { tx, token, part: part.parse()?, wallet, answer: answer.parse()? })
            })?,
            intents: read(stack, INTENTS, |row| {
                let [id, wallet, token, side, amount, end] = row;
                Ok(Intent {
                    id: id.parse()?,
                    wallet: wallet.clone(),
                    token: token.clone(),
                    buy: side == "0",
                    amount: amount.parse()?,
                    end: Some(end.parse()?).filter(|end| *end >= 0),
                })
            })?,
            signed: read(stack, SIGNED, |row| {
                let [order, intent, state, shares, cash] = row;
                Ok(Signed {
                    order: order.clone(),
                    intent: intent.parse()?,
                    state: state.parse()?,
                    shares: shares.parse()?,
                    cash: cash.parse()?,
                })
            })?,
            adopted: adopted(stack)?,
            cash: counts(stack, CASH)?,
            positions: read(stack, POSITIONS, |row| {
                let [wallet, token, shares] = row;
                Ok(((wallet.clone(), token.clone()), shares.parse()?))
            })?
            .into_iter()
            .collect(),
            to_do: counts(stack, TO_DO)?,
            queue: LANES
                .iter()
                .map(|lane| Ok(((*lane).to_owned(), depth(stack, lane)?)))
                .collect::<anyhow::Result<_>>()?,
        })
    }
}

fn adopted(stack: &Stack) -> anyhow::Result<Vec<Adopted>> {
    read(stack, ADOPTED, |row| {
        let [order, wallet, token, side, shares, left_over] = row;
        let (order, wallet, token) = (order.clone(), wallet.clone(), token.clone());
        let (buy, shares, left_over) = (side == "0", shares.parse()?, left_over.parse()?);
        Ok(Adopted { order, wallet, token, buy, shares, left_over })
    })
}

/// What is still to be done, in all: 0 once everything is settled.
pub(super) fn left(stack: &Stack) -> anyhow::Result<i64> {
    let to_do: i64 = counts(stack, TO_DO)?.values().sum();
    LANES.iter().try_fold(to_do, |sum, lane| Ok(sum.saturating_add(depth(stack, lane)?)))
}

/// How many of each kind of event were told.
pub(super) fn events(stack: &Stack) -> anyhow::Result<BTreeMap<String, i64>> {
    counts(stack, EVENTS)
}

fn depth(stack: &Stack, lane: &str) -> anyhow::Result<i64> {
    let text = tokio::task::block_in_place(|| stack.redis.run(&["LLEN", lane]))?;
    text.parse().with_context(|| format!("LLEN {lane} is `{text}`"))
}

fn counts(stack: &Stack, sql: &str) -> anyhow::Result<BTreeMap<String, i64>> {
    Ok(read(stack, sql, |[name, number]| Ok((name.clone(), number.parse()?)))?.into_iter().collect())
}

/// The rows of a question, each of so many fields.
fn read<T, const FIELDS: usize>(
    stack: &Stack,
    sql: &str,
    row: impl Fn(&[String; FIELDS]) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    let parsed = |fields: Vec<String>| {
        let shown = fields.join("|");
        let fields: Result<[String; FIELDS], _> = fields.try_into();
        let fields = fields.ok().with_context(|| format!("a row of {FIELDS} fields: `{shown}`"))?;
        row(&fields).with_context(|| format!("the row `{shown}`"))
    };
    stack.rows(sql)?.into_iter().map(parsed).collect()
}

fn trade(trade: &LeaderTrade) -> Trade {
    Trade {
        tx: hex::encode(trade.tx.0),
        token: hex::encode(trade.token.0),
        buy: trade.side == Side::Buy,
        halves: trade.halves,
    }
}

fn executed(witness: &Witness) -> Vec<Executed> {
    let orders = witness.orders().into_iter();
    orders
        .map(|order| {
            let stands = order.executed();
            Executed {
                order: hex::encode(order.id.0),
                wallet: hex::encode(order.maker.0),
                token: hex::encode(order.token.0),
                buy: order.side == Side::Buy,
                shares: stands.shares.0,
                most: order.maker_amount,
                usd: stands.usd.0,
            }
        })
        .collect()
}

/// What wallets have on the chain, as any wallet software asks for it.
async fn money(stack: &Stack, wallets: &[Address]) -> anyhow::Result<BTreeMap<String, i64>> {
    let client = polymarket::local_client()?;
    let provider = stack.urls.rpc.split(',').next().unwrap_or_default();
    let mut money = BTreeMap::new();
    for wallet in wallets {
        let wallet = hex::encode(wallet.0);
        let call = json!({ "to": COLLATERAL, "data": format!("{BALANCE_OF}{wallet}") });
        let question = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [call, "latest"] });
        let request = client.post(provider).header("content-type", "application/json");
        let reply = request.body(question.to_string()).send().await?.bytes().await?;
        let reply: Value = serde_json::from_slice(&reply).context("the chain's answer")?;
        let word = reply["result"].as_str().unwrap_or_default().trim_start_matches("0x");
        ensure!(word.len() == 64, "the chain does not tell what {wallet} has: {reply}");
        money.insert(wallet, i64::from_str_radix(word, 16).context("more money than there is")?);
    }
    Ok(money)
}
