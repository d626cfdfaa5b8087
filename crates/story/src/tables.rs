//! The tables of positions and of activity.

use std::collections::HashMap;

use domain::{
    Market, Price, Shares, Timestamp, TokenId, Usd,
    ids::{AccountId, OwnerId, RelationshipId},
    money::MoneyError,
};
use engine::ports::{
    detection::ExitRevisit,
    reports::{PositionRecord, Reports, SkipSumKey},
    store::Store,
};
use serde::Serialize;

use super::{
    AnswerLine, MarketName, Prices, StoryError, answers, name_of, order_text::short_tx,
    relationship::concerns, trade_text::paint,
};
use crate::{
    screen::{Paint, Row, Screen, Style},
    wording::{self, NONE, dollars, price, signed_dollars, time_of_day},
};

/// Tokens asked for at once.
const PAGE: usize = 500;
/// Exits that wait shown at most.
const WAITING: usize = 20;

/// One position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PositionLine {
    /// Through which relationship.
    pub relationship: RelationshipId,
    /// In which account.
    pub account: AccountId,
    /// Of which token.
    pub token: TokenId,
    /// The market.
    pub market: Option<MarketName>,
    /// Shares held.
    pub shares: Shares,
    /// Average price paid; `None` when nothing is held.
    pub average: Option<Price>,
    /// What the held shares cost, without fees.
    pub cost: Usd,
    /// Today's price, where it is known.
    pub price: Option<Price>,
    /// Profit if all were sold at that price, without fees.
    pub unrealised: Option<Usd>,
    /// Profit of what was sold or redeemed, without fees.
    pub realised: Usd,
    /// Fees paid.
    pub fees: Usd,
}

/// Positions as lines, in their order.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn position_lines(
    records: &[PositionRecord],
    markets: &HashMap<TokenId, Market>,
    prices: &Prices,
) -> Result<Vec<PositionLine>, MoneyError> {
    let line = |record: &PositionRecord| {
        let position = record.position;
        let held = position.shares.is_positive();
        let price = prices.get(&record.token).copied().filter(|_| held);
        Ok(PositionLine {
            relationship: record.relationship,
            account: record.account,
            token: record.token,
            market: markets.get(&record.token).map(MarketName::of),
            shares: position.shares,
            average: position.average(),
            cost: position.cost,
            price,
            unrealised: price.map(|price| position.unrealised(price)).transpose()?,
            realised: position.realised,
            fees: position.fees,
        })
    };
    records.iter().map(line).collect()
}

/// All positions that `owner` may see.
///
/// # Errors
/// Store errors, and amounts beyond computing.
pub async fn positions(
    store: &dyn Store,
    owner: Option<OwnerId>,
    prices: &Prices,
) -> Result<Vec<PositionLine>, StoryError> {
    let records = store.positions(owner).await?;
    // Closed ones are summed up; of a long past there are thousands.
    let held = records.iter().filter(|record| record.position.shares != Shares::ZERO);
    let markets = market_names(store, held.map(|record| record.token)).await?;
    Ok(position_lines(&records, &markets, prices)?)
}

/// Stored markets of these tokens.
///
/// # Errors
/// Store errors.
pub async fn market_names(
    store: &dyn Store,
    tokens: impl Iterator<Item = TokenId>,
) -> Result<HashMap<TokenId, Market>, StoryError> {
    let mut tokens: Vec<TokenId> = tokens.collect();
    tokens.sort_unstable();
    tokens.dedup();
    let mut markets = HashMap::new();
    for page in tokens.chunks(PAGE) {
        markets.extend(store.markets(page).await?.into_iter().map(|market| (market.token, market)));
    }
    Ok(markets)
}

/// Positions as a table with their sums.
#[must_use]
pub fn render_positions(lines: &[PositionLine], style: Style) -> String {
    let mut screen = Screen::new(style);
    position_table(&mut screen, lines);
    screen.finish()
}

/// Open positions one by one, closed ones together.
pub(super) fn position_table(screen: &mut Screen, lines: &[PositionLine]) {
    if lines.is_empty() {
        screen.painted(Paint::Dim, "  no positions");
        return;
    }
    let (open, closed): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.shares != Shares::ZERO);
    let mut rows: Vec<Row> = open.iter().map(|line| position_row(line)).collect();
    if !closed.is_empty() {
        rows.push(sums(&format!("{} closed", closed.len()), &closed));
    }
    if rows.len() > 1 {
        rows.push(sums("all", &lines.iter().collect::<Vec<_>>()));
    }
    let columns =
        [">rel", "~position", ">shares", ">paid", ">now", "?>cost", ">unrealised", ">realised", "?>fees"];
    screen.table(&columns, &rows);
}

fn position_row(line: &PositionLine) -> Row {
    let known = |price_: Option<Price>| price_.map_or_else(|| NONE.to_owned(), price);
    Row::new(vec![
        line.relationship.to_string(),
        name_of(line.market.as_ref()),
        wording::shares(line.shares),
        known(line.average),
        known(line.price),
        dollars(line.cost),
        line.unrealised.map_or_else(|| NONE.to_owned(), signed_dollars),
        signed_dollars(line.realised),
        dollars(line.fees),
    ])
}

/// Sums; unrealised profit is withheld when a held position has no price.
fn sums(name: &str, lines: &[&PositionLine]) -> Row {
    let sum = |of: fn(&PositionLine) -> Usd| lines.iter().map(|line| of(line)).sum::<Usd>();
    let held = || lines.iter().filter(|line| line.shares != Shares::ZERO);
    let known = held().next().is_some() && held().all(|line| line.unrealised.is_some());
    let unrealised: Usd = lines.iter().filter_map(|line| line.unrealised).sum();
    let mut row = Row::new(vec![
        String::new(),
        name.to_owned(),
        String::new(),
        String::new(),
        String::new(),
        dollars(sum(|line| line.cost)),
        if known { signed_dollars(unrealised) } else { NONE.to_owned() },
        signed_dollars(sum(|line| line.realised)),
        dollars(sum(|line| line.fees)),
    ]);
    row.paint = Paint::Bold;
    row
}

/// The newest decisions with what came of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// Newest first.
    pub lines: Vec<AnswerLine>,
    /// Markets of their tokens.
    pub markets: HashMap<TokenId, MarketName>,
    /// There are older skips, of which only sums are kept.
    pub summed: bool,
    /// Exits that could not be carried out and are looked at again.
    pub waiting: Vec<WaitingExit>,
}

/// An exit that is looked at again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaitingExit {
    /// Through which relationship.
    pub relationship: RelationshipId,
    /// The market.
    pub market: Option<MarketName>,
    /// How often it was looked at in vain.
    pub tries: u32,
    /// A hold wants all of it sold. Without one what is to be sold, if anything, is computed at the next look.
    pub sold_out: bool,
}

impl WaitingExit {
    fn sentence(&self) -> String {
        let (relationship, market) = (self.relationship, name_of(self.market.as_ref()));
        let begin = match self.sold_out {
            true => format!("  to be sold for relationship {relationship} as soon as it can be: {market}"),
            false => {
                format!("  whether relationship {relationship} has to sell of {market} is looked at again")
            }
        };
        match self.tries {
            0 => begin,
            tries => format!(
                "{begin} ({} in vain so far)",
                wording::count(usize::try_from(tries).unwrap_or(usize::MAX), "look")
            ),
        }
    }
}

/// Exits that wait, of what is held.
async fn waiting_exits(
    store: &dyn Store,
    owner: Option<OwnerId>,
    now: Timestamp,
) -> Result<Vec<WaitingExit>, StoryError> {
    let mut noted = store.due_revisits(Timestamp(i64::MAX), WAITING).await?;
    if noted.is_empty() {
        return Ok(Vec::new());
    }
    let held = store.positions(owner).await?;
    noted.retain(|noted| {
        let own =
            |held: &PositionRecord| (held.relationship, held.token) == (noted.relationship, noted.token);
        held.iter().any(|held| own(held) && held.position.shares.is_positive())
    });
    let markets = market_names(store, noted.iter().map(|noted| noted.token)).await?;
    let (known, holds) = (store.relationships(owner).await?, store.following(now).await?.holds);
    let line = |noted: &ExitRevisit| WaitingExit {
        relationship: noted.relationship,
        market: markets.get(&noted.token).map(MarketName::of),
        tries: noted.tries,
        sold_out: known
            .iter()
            .filter(|relationship| relationship.id == noted.relationship)
            .any(|relationship| holds.iter().any(|hold| hold.sells && concerns(hold, relationship))),
    };
    Ok(noted.iter().map(line).collect())
}

/// The newest decisions that `owner` may see, newest first; `now` judges which holds are in force.
///
/// # Errors
/// Store errors, and amounts beyond computing.
pub async fn activity(
    store: &dyn Store,
    owner: Option<OwnerId>,
    limit: usize,
    now: Timestamp,
) -> Result<Activity, StoryError> {
    let reports: &dyn Reports = store;
    let decisions = reports.newest_decisions(owner, limit).await?;
    let markets = market_names(store, decisions.iter().map(|decision| decision.key.token)).await?;
    let names = markets.iter().map(|(token, market)| (*token, MarketName::of(market)));
    let older = decisions.len() < limit;
    let summed = older && !reports.skip_sums_after(owner, SkipSumKey::default(), 1).await?.is_empty();
    Ok(Activity {
        lines: answers(reports, &decisions).await?,
        markets: names.collect(),
        summed,
        waiting: waiting_exits(store, owner, now).await?,
    })
}

impl Activity {
    /// As a table.
    #[must_use]
    pub fn render(&self, style: Style) -> String {
        let mut screen = Screen::new(style);
        if self.lines.is_empty() {
            screen.painted(Paint::Dim, "  no decisions yet");
            return screen.finish();
        }
        let row = |line: &AnswerLine| Row {
            cells: vec![
                time_of_day(line.at),
                line.relationship.to_string(),
                short_tx(line.trade.tx),
                line.answer.action(line.trade.action),
                name_of(self.markets.get(&line.trade.token)),
                line.answer.word().to_owned(),
                line.answer.sentence(),
            ],
            paint: paint(&line.answer),
            below: None,
        };
        let rows: Vec<Row> = self.lines.iter().map(row).collect();
        screen.table(&["decided", ">rel", "?trade", "action", "~market", "answer", "*what"], &rows);
        for exit in &self.waiting {
            screen.painted(Paint::Bold, &exit.sentence());
        }
        if self.summed {
            screen.painted(Paint::Dim, "  older skips are summed: slipstream inspect relationship ID");
        }
        screen.finish()
    }
}
