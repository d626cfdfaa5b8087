//! What clients may look up: their orders and trades, as JSON of the venue. Reads only.

use domain::{Address, ConditionId, OrderId, Price, Timestamp, TokenId, money::Rounding};
use serde_json::{Value, json};

use super::{
    World,
    journal::{Ending, OrderRecord, OrderState, Trade, TradeStatus},
    registry::ApiKey,
};

/// Filters of `/data/trades`.
#[derive(Clone, Debug, Default)]
pub struct TradeFilter {
    /// Trade id.
    pub id: Option<String>,
    /// Taker's wallet.
    pub taker: Option<Address>,
    /// A maker's wallet, or the taker's, which some clients send as `maker_address`.
    pub maker: Option<Address>,
    /// Condition.
    pub market: Option<ConditionId>,
    /// Token.
    pub asset: Option<TokenId>,
    /// Unix seconds.
    pub before: Option<i64>,
    /// Unix seconds.
    pub after: Option<i64>,
}

impl World {
    /// An order of this key, as JSON, if look-ups can see it.
    #[must_use]
    pub fn order_json(&self, now: Timestamp, key: &ApiKey, id: OrderId) -> Option<Value> {
        let record = self.journal.orders.get(&id)?;
        (record.owner == key.key && self.is_visible(now, record)).then(|| self.record_json(id, record))
    }

    /// Resting orders of this key, oldest id first.
    #[must_use]
    pub fn open_orders_json(&self, now: Timestamp, key: &ApiKey) -> Vec<Value> {
        let live = self.journal.live_of(&key.key);
        let visible = live.filter(|(_, record)| self.is_visible(now, record));
        visible.map(|(id, record)| self.record_json(*id, record)).collect()
    }

    fn wallets_of(&self, key: &ApiKey) -> Vec<Address> {
        (0..=3).filter_map(|kind| self.registry.wallet_of(key.address, kind)).collect()
    }

    fn is_visible(&self, now: Timestamp, record: &OrderRecord) -> bool {
        let Some(since) = record.known_since else { return false };
        let hidden = self.knobs.lookup_hides_finished
            && !matches!(record.state, OrderState::Live | OrderState::Delayed);
        !hidden && since.plus(self.knobs.lookup_lag()) <= now
    }

    fn record_json(&self, id: OrderId, record: &OrderRecord) -> Value {
        let market = self.registry.market_of(&record.fields.token);
        let status = match (record.state, record.ending) {
            (OrderState::Delayed, _) => "DELAYED",
            (OrderState::Live, _) => "LIVE",
            (OrderState::Matched, _) => "MATCHED",
            (_, Some(Ending::MarketResolved)) => "CANCELED_MARKET_RESOLVED",
            (OrderState::Canceled | OrderState::Killed, _) => "CANCELED",
            (OrderState::Refused, _) => "INVALID",
        };
        let trades: Vec<&str> = record
            .trades
            .iter()
            .filter_map(|number| self.journal.trades.get(*number))
            .map(|trade| trade.id.as_str())
            .collect();
        json!({
            "id": id,
            "status": self.status_text("ORDER", status),
            "owner": record.owner,
            "maker_address": record.fields.maker,
            "market": market.map_or_else(String::new, |market| market.spec.condition.to_string()),
            "asset_id": record.fields.token,
            "side": record.fields.side.to_string(),
            "original_size": self.size_text(record.shares().0),
            "size_matched": self.size_text(record.filled_shares().0),
            "price": record.limit.to_string(),
            "outcome": market.map_or("", |market| market.outcome(&record.fields.token)),
            "expiration": record.expiration.to_string(),
            "order_type": record.order_type.name(),
            "associate_trades": trades,
            "created_at": record.known_since.map_or(0, Timestamp::seconds),
        })
    }

    pub(super) fn status_text(&self, kind: &str, status: &str) -> String {
        if self.knobs.prefixed_statuses { format!("{kind}_STATUS_{status}") } else { status.to_owned() }
    }

    fn trade_status(&self, trade: &Trade) -> &'static str {
        match (trade.status, self.knobs.shows_not_broadcasted) {
            (TradeStatus::Matched, true) => "MATCHED_NOT_BROADCASTED",
            (status, _) => status.name(),
        }
    }

    pub(super) fn size_text(&self, micros: i64) -> String {
        if self.knobs.prefixed_statuses || self.knobs.fixed_sizes {
            micros.to_string()
        } else {
            domain::Shares(micros).to_string()
        }
    }

    /// Trades of this key's wallets that pass the filter, newest first.
    #[must_use]
    pub fn trades_json(&self, now: Timestamp, key: &ApiKey, filter: &TradeFilter) -> Vec<Value> {
        let mut numbers: Vec<(usize, Address)> = self
            .wallets_of(key)
            .into_iter()
            .flat_map(|wallet| self.journal.trades_of(wallet).iter().map(move |number| (*number, wallet)))
            .collect();
        numbers.sort_unstable_by(|left, right| right.cmp(left));
        numbers
            .into_iter()
            .filter_map(|(number, wallet)| Some((self.journal.trades.get(number)?, wallet)))
            .filter(|(trade, _)| trade.matched_at.plus(self.knobs.lookup_lag()) <= now)
            .filter(|(trade, _)| self.passes(trade, filter))
            .map(|(trade, wallet)| self.trade_json(trade, wallet))
            .collect()
    }

    fn passes(&self, trade: &Trade, filter: &TradeFilter) -> bool {
        let market = || self.registry.market_of(&trade.token).map(|market| market.spec.condition);
        let seconds = trade.matched_at.seconds();
        filter.id.as_ref().is_none_or(|id| *id == trade.id)
            && filter.taker.is_none_or(|taker| taker == trade.taker)
            && filter.maker.is_none_or(|wallet| {
                wallet == trade.taker || trade.makers.iter().any(|maker| maker.wallet == wallet)
            })
            && filter.asset.is_none_or(|asset| asset == trade.token)
            && filter.market.is_none_or(|wanted| market() == Some(wanted))
            && filter.before.is_none_or(|before| seconds < before)
            && filter.after.is_none_or(|after| seconds > after)
    }

    /// Sizes of trades are decimal whatever the statuses look like, as the official client reads them.
    pub(super) fn trade_json(&self, trade: &Trade, viewer: Address) -> Value {
        let market = self.registry.market_of(&trade.token);
        let outcome = market.map_or("", |market| market.outcome(&trade.token));
        let price = Price::of(trade.usd, trade.shares, Rounding::Down).unwrap_or_default();
        let bps = market.map_or(0, |market| market.spec.fee.rate.0 / 100).to_string();
        let makers: Vec<Value> = trade
            .makers
            .iter()
            .map(|maker| {
                json!({
                    "order_id": maker.order,
                    "owner": self.journal.orders.get(&maker.order).map_or("", |record| record.owner.as_str()),
                    "maker_address": maker.wallet,
                    "matched_amount": maker.shares.to_string(),
                    "price": maker.price.to_string(),
                    "fee_rate_bps": "0",
                    "asset_id": maker.token,
                    "outcome": market.map_or("", |market| market.outcome(&maker.token)),
                    "side": maker.side.to_string(),
                })
            })
            .collect();
        let is_taker = viewer == trade.taker;
        json!({
            "id": trade.id,
            "taker_order_id": trade.taker_order,
            "market": market.map_or_else(String::new, |market| market.spec.condition.to_string()),
            "asset_id": trade.token,
            "side": trade.side.to_string(),
            "size": trade.shares.to_string(),
            "fee_rate_bps": bps,
            "price": price.to_string(),
            "status": self.status_text("TRADE", self.trade_status(trade)),
            "match_time": trade.matched_at.seconds().to_string(),
            "last_update": trade.updated_at.seconds().to_string(),
            "outcome": outcome,
            "bucket_index": 0,
            "owner": trade.owner,
            "maker_address": trade.taker,
            "maker_orders": makers,
            "transaction_hash": trade.tx.map_or_else(String::new, |hash| hash.to_string()),
            "trader_side": if is_taker { "TAKER" } else { "MAKER" },
        })
    }

    /// Trades whose taker named this builder and that pass the filter, newest first.
    #[must_use]
    pub fn builder_trades_json(&self, code: domain::Hash, filter: &TradeFilter) -> Vec<Value> {
        let named = |trade: &&Trade| {
            self.journal.orders.get(&trade.taker_order).is_some_and(|record| record.fields.builder == code.0)
        };
        let trades = self.journal.trades.iter().rev().filter(named);
        trades
            .filter(|trade| self.passes(trade, filter))
            .map(|trade| self.builder_trade_json(trade, code))
            .collect()
    }

    fn builder_trade_json(&self, trade: &Trade, code: domain::Hash) -> Value {
        let market = self.registry.market_of(&trade.token);
        let price = Price::of(trade.usd, trade.shares, Rounding::Down).unwrap_or_default();
        let venue_fee = trade.fee.less(trade.builder_fee).to_string();
        json!({
            "id": trade.id,
            "tradeType": "TAKER",
            "takerOrderHash": trade.taker_order,
            "builder": code,
            "builderCode": code,
            "market": market.map_or_else(String::new, |market| market.spec.condition.to_string()),
            "assetId": trade.token,
            "side": trade.side.to_string(),
            "size": trade.shares.to_string(),
            "sizeUsdc": trade.usd.to_string(),
            "price": price.to_string(),
            "status": self.status_text("TRADE", self.trade_status(trade)),
            "outcome": market.map_or("", |market| market.outcome(&trade.token)),
            "outcomeIndex": market.map_or(0, |market| market.outcome_index(&trade.token)),
            "owner": trade.owner,
            "maker": trade.taker,
            "transactionHash": trade.tx.map_or_else(String::new, |hash| hash.to_string()),
            "matchTime": trade.matched_at.seconds().to_string(),
            "bucketIndex": 0,
            "fee": venue_fee,
            "feeUsdc": venue_fee,
            "builderFee": trade.builder_fee.to_string(),
            "err_msg": null,
            "createdAt": null,
            "updatedAt": null,
        })
    }

    /// The newest trades of a market, as its page shows them.
    #[must_use]
    pub fn live_activity_json(&self, condition: &ConditionId, most: usize) -> Vec<Value> {
        let Some(market) = self.registry.market(condition) else { return Vec::new() };
        let of_market = |trade: &&Trade| market.spec.tokens.contains(&trade.token);
        let trades = self.journal.trades.iter().rev().filter(of_market).take(most);
        let row = |trade: &Trade| {
            let price = Price::of(trade.usd, trade.shares, Rounding::Down).unwrap_or_default();
            json!({
                "event_type": "trade",
                "market": {
                    "condition_id": condition,
                    "asset_id": trade.token,
                    "question": market.spec.title,
                    "icon": "",
                    "slug": market.spec.slug,
                },
                "user": {
                    "address": trade.taker,
                    "username": "",
                    "profile_picture": "",
                    "optimized_profile_picture": "",
                    "pseudonym": "",
                },
                "side": trade.side.to_string(),
                "size": trade.shares.to_string(),
                "fee_rate_bps": (market.spec.fee.rate.0 / 100).to_string(),
                "price": price.to_string(),
                "outcome": market.outcome(&trade.token),
                "outcome_index": market.outcome_index(&trade.token),
                "transaction_hash": trade.tx.map_or_else(String::new, |hash| hash.to_string()),
                "timestamp": trade.matched_at.seconds().to_string(),
            })
        };
        trades.map(row).collect()
    }
}
