//! The transaction that settles a match: what it moves, logs and shows in the Data API.

use domain::{Address, Shares, Side, TokenId, TxHash, Usd};

use super::{
    World,
    chain::Tx,
    data::{Row, RowKind},
    fees::TakerFee,
    ledger::{Asset, Transfer},
    logs::{self, Leg},
    matching::{Fill, Meeting},
    orders::{Submission, totals},
};
use crate::{
    config::Profile,
    contracts::{FEE_RECEIVER, NOBODY},
};

/// Two parties and what they exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchanged {
    pub token: TokenId,
    pub taker_side: Side,
    pub taker: Address,
    pub maker: Address,
    pub shares: Shares,
    pub usd: Usd,
}

impl Exchanged {
    /// Shares one way, dollars the other.
    pub const fn transfers(&self) -> [Transfer; 2] {
        let (buyer, seller) = match self.taker_side {
            Side::Buy => (self.taker, self.maker),
            Side::Sell => (self.maker, self.taker),
        };
        [
            Transfer { asset: Asset::Token(self.token), from: seller, to: buyer, amount: self.shares.0 },
            Transfer { asset: Asset::Collateral, from: buyer, to: seller, amount: self.usd.0 },
        ]
    }
}

/// What one fill moves: shares against dollars, or a pair that is minted or merged for its dollar.
fn movements(fill: &Fill, token: TokenId, taker_side: Side, taker: Address) -> Vec<Transfer> {
    let exchanged =
        Exchanged { token, taker_side, taker, maker: fill.maker, shares: fill.shares, usd: fill.usd };
    if fill.meeting == Meeting::Trade {
        return exchanged.transfers().to_vec();
    }
    let pair = [(taker, token, fill.usd), (fill.maker, fill.token, fill.maker_usd)];
    let moves = pair.map(|(wallet, token, usd)| {
        let (shares, dollars) = (Asset::Token(token), Asset::Collateral);
        let (gives, gets) = if fill.meeting == Meeting::Mint {
            ((dollars, usd.0), (shares, fill.shares.0))
        } else {
            ((shares, fill.shares.0), (dollars, usd.0))
        };
        [
            Transfer { asset: gives.0, from: wallet, to: NOBODY, amount: gives.1 },
            Transfer { asset: gets.0, from: NOBODY, to: wallet, amount: gets.1 },
        ]
    });
    moves.into_iter().flatten().collect()
}

impl World {
    /// The transaction of a match.
    pub(super) fn match_tx(&self, order: &Submission, fills: &[Fill], fee: TakerFee, hash: TxHash) -> Tx {
        let fields = order.fields;
        let mut transfers = Vec::with_capacity(2 * fills.len() + 1);
        let mut legs = Vec::with_capacity(fills.len());
        let mut rows = Vec::new();
        let condition = self.registry.market_of(&fields.token).map(|market| market.spec.condition);
        let mut row = |wallet, token, side, taker, shares, usd| {
            if let Some(condition) = condition {
                let kind = RowKind::Trade { token, side, taker };
                rows.push(Row { wallet, condition, kind, shares, usd });
            }
        };
        for fill in fills {
            transfers.extend(movements(fill, fields.token, fields.side, fields.maker));
            legs.push(self.leg(fill));
            row(fill.maker, fill.token, fill.side, false, fill.shares, fill.maker_usd);
        }
        let (usd, shares) = totals(fills);
        if self.profile == Profile::Stub {
            transfers.extend(self.lacking(fields.maker, fields.maker_asset(), usd, shares));
        }
        let builder = self.registry.builder(&fields.builder).map(|fees| fees.receiver);
        for (to, fee) in [(Some(FEE_RECEIVER), fee.venue), (builder, fee.builder)] {
            if let Some(to) = to.filter(|_| fee.is_positive()) {
                let asset = Asset::Collateral;
                transfers.push(Transfer { asset, from: fields.maker, to, amount: fee.0 });
            }
        }
        row(fields.maker, fields.token, fields.side, true, shares, usd);
        let taker = Leg {
            order: order.id,
            wallet: fields.maker,
            side: fields.side,
            token: fields.token,
            usd: usd.0,
            shares: shares.0,
            fee: fee.total().0,
            builder: fields.builder,
            metadata: fields.metadata,
        };
        let logs = logs::settlement(order.exchange, &taker, &legs);
        Tx { transfers, logs, rows, ..Tx::new(hash) }
    }

    /// What the stub gives a wallet that could not pay.
    fn lacking(&self, wallet: Address, asset: Asset, usd: Usd, shares: Shares) -> Option<Transfer> {
        let needed = if asset == Asset::Collateral { usd.0 } else { shares.0 };
        let amount = needed.saturating_sub(self.ledger.balance(wallet, asset));
        (amount > 0).then_some(Transfer { asset, from: NOBODY, to: wallet, amount })
    }

    fn leg(&self, fill: &Fill) -> Leg {
        let record = self.journal.orders.get(&fill.order);
        Leg {
            order: fill.order,
            wallet: fill.maker,
            side: fill.side,
            token: fill.token,
            usd: fill.maker_usd.0,
            shares: fill.shares.0,
            fee: 0,
            builder: record.map_or([0; 32], |record| record.fields.builder),
            metadata: record.map_or([0; 32], |record| record.fields.metadata),
        }
    }
}
