//! What the venue lists of an account: its trades since a moment and its open orders, whoever placed them.

use std::collections::BTreeMap;

use domain::{OrderId, Side, Timestamp, TokenId, TradingAccount};
use engine::ports::{
    detection::Lane,
    venue::{FoundOrder, VenueError, VenueOrderStatus, VenueTrade},
};
use serde::Deserialize;

use crate::{
    clob::Clob,
    http::malformed,
    json::Scalar,
    limits::TRADE_CLOCK_SLACK,
    lookup::{ORDERS, OrderRow, Role, TRADES, TradeRow, order_state, trade_of},
};

/// Nobody waits for the answer with an exit.
const LANE: Lane = Lane::Entries;

/// An order as the list of open ones tells it.
#[derive(Deserialize)]
struct OpenRow {
    id: OrderId,
    status: String,
    original_size: Option<Scalar>,
    size_matched: Scalar,
    asset_id: TokenId,
    side: Side,
}

/// Trades of an order that are found so far, without fees.
struct Traded {
    token: TokenId,
    side: Side,
    /// By id, because pages overlap when trades arrive between two of them.
    trades: BTreeMap<String, (VenueTrade, Role)>,
}

impl Clob {
    /// Every order of an account's wallet that has traded since, and every open one.
    pub(crate) async fn list_since(
        &self,
        account: &TradingAccount,
        since: Timestamp,
    ) -> Result<Vec<FoundOrder>, VenueError> {
        // In this order: what trades meanwhile is in both, or was open.
        let open: Vec<OpenRow> = self.pages((account, LANE), ORDERS, "").await?;
        let after = since.seconds().saturating_sub(TRADE_CLOCK_SLACK).max(0);
        let rows: Vec<TradeRow> = self.pages((account, LANE), TRADES, &format!("?after={after}")).await?;
        let wallet = account.wallet.to_string();
        let mut traded: BTreeMap<OrderId, Traded> = BTreeMap::new();
        for row in &rows {
            note(row, &wallet, &mut traded).map_err(|error| malformed("GET /data/trades", &error))?;
        }
        let mut found = BTreeMap::new();
        for (id, Traded { token, side, trades }) in traded {
            let trades = self.with_fees((token, LANE), trades.into_values().collect()).await?;
            found.insert(id, FoundOrder { id, token, side, is_open: false, trades });
        }
        for OpenRow { id, status, original_size, size_matched, asset_id, side } in open {
            let row = OrderRow { id: String::new(), status, original_size, size_matched };
            let status = order_state(&row)?.status;
            let untraded = FoundOrder { id, token: asset_id, side, is_open: false, trades: Vec::new() };
            let order = found.entry(id).or_insert(untraded);
            order.is_open = matches!(status, VenueOrderStatus::Live | VenueOrderStatus::Delayed);
        }
        Ok(found.into_values().collect())
    }
}

/// Notes what a trade says of orders of this wallet.
fn note(row: &TradeRow, wallet: &str, traded: &mut BTreeMap<OrderId, Traded>) -> Result<(), String> {
    let taker = (&row.maker_address, &row.taker_order_id, row.asset_id, row.side);
    let makers = row
        .maker_orders
        .iter()
        .map(|maker| (&maker.maker_address, &maker.order_id, maker.asset_id, maker.side(row)));
    for (maker, id, token, side) in std::iter::once(taker).chain(makers) {
        if !maker.eq_ignore_ascii_case(wallet) {
            continue;
        }
        let id = id.parse::<OrderId>().map_err(|error| error.to_string())?;
        if let Some((trade, role)) = trade_of(row, id)? {
            let order = traded.entry(id).or_insert(Traded { token, side, trades: BTreeMap::new() });
            order.trades.insert(trade.id.clone(), (trade, role));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use domain::{Shares, Usd};
    use engine::ports::venue::{OrderGateway as _, SettlementStatus};
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        clob::tests::{account, clob},
        lookup::tests::{OTHER, TOKEN, page, server, trade_json},
        test_server::reply,
    };

    #[tokio::test]
    async fn all_orders_of_a_wallet_are_found_by_their_trades_and_the_open_ones_by_themselves() {
        let wallet = account(1).wallet.to_string();
        let mut taken = trade_json("t1", "CONFIRMED");
        taken["maker_address"] = json!(wallet.to_uppercase().replace("0X", "0x"));
        let again = taken.clone();
        // A resting one of ours, of the other outcome, in somebody's trade.
        let mut rested = trade_json("t2", "MINED");
        rested["maker_address"] = json!("0x99");
        rested["maker_orders"][1]["maker_address"] = json!(wallet);
        rested["maker_orders"][1]["order_id"] = json!(OrderId([2; 32]).to_string());
        rested["maker_orders"][1]["asset_id"] = json!(TOKEN);
        let mut others = trade_json("t3", "CONFIRMED");
        others["maker_address"] = json!("0x98");
        let open = |id: u8, status: &str| -> Value {
            json!({ "id": OrderId([id; 32]).to_string(), "status": status, "original_size": "5", "size_matched": "0",
                "asset_id": OTHER, "side": "SELL" })
        };
        let (first, second) = (page(&[taken, rested], "Mg=="), page(&[again, others], "LTE="));
        let orders = page(&[open(7, "LIVE"), open(8, "CANCELED")], "LTE=");
        let server = server(move |request| match request.path() {
            "/data/orders" => reply(200, orders.clone()),
            "/data/trades" if request.query("next_cursor").is_some() => reply(200, second.clone()),
            "/data/trades" if request.query("after") == Some("1777399940") => reply(200, first.clone()),
            other => panic!("{other}"),
        })
        .await;
        let found =
            clob(&server).orders_since(&account(1), Timestamp::from_seconds(1_777_400_000)).await.unwrap();
        let seen: Vec<_> = found
            .iter()
            .map(|order| {
                let trades = order.trades.iter().map(|trade| (trade.shares, trade.usd, trade.status));
                (order.id.0[0], order.side, order.is_open, trades.collect::<Vec<_>>())
            })
            .collect();
        let (confirmed, mined) = (SettlementStatus::Confirmed, SettlementStatus::Mined);
        assert_eq!(
            seen,
            [
                (2, Side::Buy, false, vec![(Shares(5_000_000), Usd(2_000_000), mined)]),
                (7, Side::Sell, true, vec![]),
                (8, Side::Sell, false, vec![]),
                (0xab, Side::Buy, false, vec![(Shares(25_000_000), Usd(13_000_000), confirmed)]),
            ]
        );
        assert!(found[3].trades[0].fee > Usd::ZERO, "a taker pays a fee");
    }
}
