//! The frames of the venue's websockets: books, their changes, markets, a client's orders and trades, as
//! JSON. Reads only. Sources: docs.polymarket.com/market-data/websocket (market and user channel).

use std::collections::BTreeSet;

use domain::{ConditionId, Price, Shares, Side, Timestamp, TokenId, money::ONE};
use serde_json::{Map, Value, json};

use super::{
    World,
    events::{Entry, Event, LevelChange, OrderStep},
    journal::{OrderState, Trade},
    registry::MarketState,
};

/// Whom a market frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Whoever watches a token of this market.
    Market(ConditionId),
    /// As [`Audience::Market`], if asked for.
    Custom(ConditionId),
    /// Everybody who asked for it.
    Everybody,
}

impl World {
    /// A token's whole book; `None` for an unknown token or a closed market.
    #[must_use]
    pub fn book_frame(&self, token: &TokenId, now: Timestamp) -> Option<Value> {
        let market = self.registry.market_of(token)?;
        if matches!(market.state, MarketState::Closed | MarketState::Resolved(_)) {
            return None;
        }
        let book = self.book(token);
        // The worst level first, the best one last.
        let levels = |side| -> Vec<Value> {
            let levels = book.as_ref().map_or_else(Vec::new, |book| book.levels(side));
            let rows = levels.into_iter().rev();
            rows.map(|(price, size)| json!({ "price": price.to_string(), "size": size.to_string() }))
                .collect()
        };
        let last = book.as_ref().and_then(super::book::BookView::last_trade);
        Some(json!({
            "market": market.spec.condition,
            "asset_id": token,
            "timestamp": now.millis().to_string(),
            "hash": "",
            "bids": levels(Side::Buy),
            "asks": levels(Side::Sell),
            "tick_size": market.tick.size().to_string(),
            "last_trade_price": last.map_or_else(String::new, |(price, _)| price.to_string()),
            "event_type": "book",
        }))
    }

    /// The frames of some events, in their order, for whoever wants those of some audiences. Changes of both books
    /// of a market at one moment are one frame.
    #[must_use]
    pub fn market_frames<'a>(
        &self,
        entries: impl Iterator<Item = &'a Entry>,
        wanted: impl Fn(Audience) -> bool,
    ) -> Vec<Value> {
        let mut frames: Vec<Value> = Vec::new();
        let mut last_book = None;
        for entry in entries {
            let audience = self.audience(&entry.event).filter(|audience| wanted(*audience));
            let book = match (&entry.event, audience) {
                (Event::Book { .. }, Some(Audience::Market(condition))) => Some((condition, entry.at)),
                _ => None,
            };
            if book.is_some()
                && book == last_book
                && let Some(frame) = frames.iter_mut().rev().find(|frame| is_changes(frame))
                && let Some(changes) = frame.get_mut("price_changes").and_then(Value::as_array_mut)
            {
                changes.extend(changes_of(&entry.event));
            } else if audience.is_some() {
                frames.extend(self.market_frame(entry));
            }
            if book.is_some_and(|(condition, _)| wanted(Audience::Custom(condition))) {
                frames.extend(self.best_frame(entry));
            }
            last_book = book;
        }
        frames
    }

    fn audience(&self, event: &Event) -> Option<Audience> {
        match event {
            Event::Book { token, .. } | Event::LastTrade { token, .. } => {
                Some(Audience::Market(self.registry.market_of(token)?.spec.condition))
            }
            Event::Market { .. } => Some(Audience::Everybody),
            Event::Resolved { condition, .. } => Some(Audience::Custom(*condition)),
            Event::Tick { .. } | Event::Order { .. } | Event::Trade { .. } | Event::Activity { .. } => None,
        }
    }

    fn market_frame(&self, entry: &Entry) -> Option<Value> {
        let at = entry.at.millis().to_string();
        let market = |token: &TokenId| self.registry.market_of(token).map(|market| market.spec.condition);
        match &entry.event {
            Event::Book { token, .. } => Some(json!({
                "market": market(token)?,
                "price_changes": changes_of(&entry.event),
                "timestamp": at,
                "event_type": "price_change",
            })),
            Event::LastTrade { token, side, price, shares, trade } => {
                let tx = self.journal.trades.get(*trade).and_then(|trade| trade.tx);
                Some(json!({
                    "asset_id": token,
                    "event_type": "last_trade_price",
                    "fee_rate_bps": "0",
                    "market": market(token)?,
                    "price": price.to_string(),
                    "side": side.to_string(),
                    "size": shares.to_string(),
                    "timestamp": at,
                    "transaction_hash": tx.map_or_else(String::new, |tx| tx.to_string()),
                }))
            }
            Event::Market { condition } => {
                self.lifecycle_frame(condition, "new_market", at).map(Value::Object)
            }
            Event::Resolved { condition, payouts } => {
                let mut frame = self.lifecycle_frame(condition, "market_resolved", at)?;
                let spec = &self.registry.market(condition)?.spec;
                let won = payouts.iter().position(|payout| *payout == Price(ONE));
                let winner = won.and_then(|won| spec.tokens.get(won));
                let name = |token| self.registry.market(condition).map(|market| market.outcome(token));
                frame.insert("winning_asset_id".to_owned(), json!(winner));
                frame.insert("winning_outcome".to_owned(), json!(winner.and_then(name)));
                Some(Value::Object(frame))
            }
            Event::Tick { .. } | Event::Order { .. } | Event::Trade { .. } | Event::Activity { .. } => None,
        }
    }

    /// One frame per token of a market whose grid changed.
    #[must_use]
    pub fn tick_frames(&self, entry: &Entry) -> Vec<(TokenId, Value)> {
        let Event::Tick { condition, old, new } = &entry.event else { return Vec::new() };
        let tokens = self.registry.market(condition).map(|market| market.spec.tokens);
        let frame = |token: TokenId| {
            json!({
                "event_type": "tick_size_change",
                "asset_id": token,
                "market": condition,
                "old_tick_size": old.to_string(),
                "new_tick_size": new.to_string(),
                "timestamp": entry.at.millis().to_string(),
            })
        };
        tokens.into_iter().flatten().map(|token| (token, frame(token))).collect()
    }

    fn lifecycle_frame(&self, condition: &ConditionId, kind: &str, at: String) -> Option<Map<String, Value>> {
        let market = self.registry.market(condition)?;
        let spec = &market.spec;
        let frame = json!({
            "id": "1",
            "question": spec.title,
            "market": condition,
            "slug": spec.slug,
            "description": "",
            "assets_ids": spec.tokens,
            "outcomes": spec.outcomes,
            "timestamp": at,
            "event_type": kind,
        });
        match frame {
            Value::Object(map) => Some(map),
            _ => None,
        }
    }

    fn best_frame(&self, entry: &Entry) -> Option<Value> {
        let Event::Book { token, best_bid, best_ask, .. } = &entry.event else { return None };
        let (bid, ask) = best_texts(*best_bid, *best_ask);
        let spread = best_ask.unwrap_or(Price(ONE)).0.saturating_sub(best_bid.unwrap_or_default().0);
        Some(json!({
            "event_type": "best_bid_ask",
            "market": self.registry.market_of(token)?.spec.condition,
            "asset_id": token,
            "best_bid": bid,
            "best_ask": ask,
            "spread": Price(spread).to_string(),
            "timestamp": entry.at.millis().to_string(),
        }))
    }

    /// What the holder of an API key is told of an event, if anything; `markets` limits it to some.
    #[must_use]
    pub fn user_frame(&self, entry: &Entry, key: &str, markets: &BTreeSet<ConditionId>) -> Option<Value> {
        match &entry.event {
            Event::Order { order, step, status, filled, trades } => {
                let record = self.journal.orders.get(order).filter(|record| record.owner == key)?;
                let market = self.registry.market_of(&record.fields.token)?;
                if !markets.is_empty() && !markets.contains(&market.spec.condition) {
                    return None;
                }
                // An order that found nothing is told with empty fields.
                let killed = record.state == OrderState::Killed && *step == OrderStep::Cancellation;
                let trades = record.trades.iter().take(*trades);
                let trades = trades.filter_map(|number| self.journal.trades.get(*number));
                let trades: Vec<&str> = trades.map(|trade| trade.id.as_str()).collect();
                let created = record.known_since.map_or(0, Timestamp::seconds).to_string();
                let outcome = market.outcome(&record.fields.token);
                let or_empty = |text: String| if killed { String::new() } else { text };
                Some(json!({
                    "event_type": "order",
                    "id": order,
                    "owner": record.owner,
                    "order_owner": record.owner,
                    "maker_address": record.fields.maker,
                    "market": market.spec.condition,
                    "asset_id": record.fields.token,
                    "side": record.fields.side.to_string(),
                    "original_size": self.size_text(record.shares().0),
                    "size_matched": or_empty(self.size_text(filled.0)),
                    "price": record.limit.to_string(),
                    "outcome": or_empty(outcome.to_owned()),
                    "expiration": record.expiration.to_string(),
                    "order_type": record.order_type.name(),
                    "associate_trades": if trades.is_empty() { Value::Null } else { json!(trades) },
                    "type": step,
                    "status": self.status_text("ORDER", status),
                    "created_at": or_empty(created),
                    "timestamp": entry.at.millis().to_string(),
                }))
            }
            Event::Trade { trade, status, tx } => {
                let trade = self.journal.trades.get(*trade)?;
                let market = self.registry.market_of(&trade.token)?.spec.condition;
                if !self.takes_part(trade, key) || !markets.is_empty() && !markets.contains(&market) {
                    return None;
                }
                let viewer = if trade.owner == key { trade.taker } else { domain::Address([0; 20]) };
                let mut frame = self.trade_json(trade, viewer);
                if let Some(map) = frame.as_object_mut() {
                    for (name, value) in [
                        ("event_type", json!("trade")),
                        ("type", json!("TRADE")),
                        ("trade_owner", json!(trade.owner)),
                        ("status", json!(self.status_text("TRADE", status.name()))),
                        ("transaction_hash", json!(tx.map_or_else(String::new, |tx| tx.to_string()))),
                        ("last_update", json!(entry.at.seconds().to_string())),
                        ("timestamp", json!(entry.at.millis().to_string())),
                    ] {
                        map.insert(name.to_owned(), value);
                    }
                }
                Some(frame)
            }
            _ => None,
        }
    }

    fn takes_part(&self, trade: &Trade, key: &str) -> bool {
        let rests = |order| self.journal.orders.get(order).is_some_and(|record| record.owner == key);
        trade.owner == key || trade.makers.iter().any(|maker| rests(&maker.order))
    }
}

fn is_changes(frame: &Value) -> bool {
    frame.get("event_type").and_then(Value::as_str) == Some("price_change")
}

/// An empty side of bids reads 0, one of asks 1.
fn best_texts(bid: Option<Price>, ask: Option<Price>) -> (String, String) {
    (bid.unwrap_or_default().to_string(), ask.unwrap_or(Price(ONE)).to_string())
}

fn changes_of(event: &Event) -> Vec<Value> {
    let Event::Book { token, levels, best_bid, best_ask } = event else { return Vec::new() };
    let (bid, ask) = best_texts(*best_bid, *best_ask);
    let change = |LevelChange { side, price, shares }: &LevelChange| {
        let size = if *shares == Shares::ZERO { "0".to_owned() } else { shares.to_string() };
        json!({
            "asset_id": token,
            "price": price.to_string(),
            "size": size,
            "side": side.to_string(),
            "hash": "",
            "best_bid": bid,
            "best_ask": ask,
        })
    };
    levels.iter().map(change).collect()
}
