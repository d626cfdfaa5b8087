//! The event logs of settlements and token movements, encoded as the contracts do.
//!
//! Order of a settlement (the exchanges' `matchOrders`): one `OrderFilled` per maker order, one for the
//! taker order with the exchange as its taker, then `OrdersMatched`.

use alloy_primitives::{Address as EvmAddress, B256, LogData, U256};
use alloy_sol_types::SolEvent;
use domain::{Address, OrderId, Side, TokenId};

use super::ledger::{Asset, Transfer};
use crate::contracts::{COLLATERAL, Exchange, FEE_RECEIVER, NOBODY, POL_TOKEN, USDC_E, abi, token_contract};

/// An event log before it has a place in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Contract.
    pub address: Address,
    /// Topics.
    pub topics: Vec<[u8; 32]>,
    /// Data.
    pub data: Vec<u8>,
}

/// One order's part in a settlement. Amounts in millionths.
#[derive(Clone, Copy, Debug)]
pub struct Leg {
    /// Order id.
    pub order: OrderId,
    /// Its wallet.
    pub wallet: Address,
    /// Its side.
    pub side: Side,
    /// Its token.
    pub token: TokenId,
    /// Dollars exchanged.
    pub usd: i64,
    /// Shares exchanged.
    pub shares: i64,
    /// Fee charged.
    pub fee: i64,
    /// Builder code of the order.
    pub builder: [u8; 32],
    /// Metadata of the order.
    pub metadata: [u8; 32],
}

impl Leg {
    const fn amounts(&self) -> (i64, i64) {
        match self.side {
            Side::Buy => (self.usd, self.shares),
            Side::Sell => (self.shares, self.usd),
        }
    }

    fn filled(&self, exchange: Exchange, taker: Address) -> Log {
        let (maker_amount, taker_amount) = self.amounts();
        let event = abi::OrderFilled {
            orderHash: B256::from(self.order.0),
            maker: evm(self.wallet),
            taker: evm(taker),
            side: side_code(self.side),
            tokenId: U256::from_be_bytes(self.token.0),
            makerAmountFilled: number(maker_amount),
            takerAmountFilled: number(taker_amount),
            fee: number(self.fee),
            builder: B256::from(self.builder),
            metadata: B256::from(self.metadata),
        };
        log(exchange.address(), &event.encode_log_data())
    }
}

/// Logs of one settlement.
#[must_use]
pub fn settlement(exchange: Exchange, taker: &Leg, makers: &[Leg]) -> Vec<Log> {
    let mut logs = Vec::with_capacity(3 * makers.len() + 3);
    for maker in makers {
        let (from, to) = match taker.side {
            Side::Buy => (maker.wallet, taker.wallet),
            Side::Sell => (taker.wallet, maker.wallet),
        };
        if maker.token == taker.token {
            logs.push(token_transfer(exchange.address(), from, to, maker.token, maker.shares));
        } else {
            logs.extend(pair_transfers(exchange.address(), taker, maker));
        }
        logs.push(maker.filled(exchange, taker.wallet));
    }
    logs.push(taker.filled(exchange, exchange.address()));
    if taker.fee > 0 {
        let event = abi::FeeCharged { receiver: evm(FEE_RECEIVER), amount: number(taker.fee) };
        logs.push(log(exchange.address(), &event.encode_log_data()));
    }
    let (maker_amount, taker_amount) = taker.amounts();
    let matched = abi::OrdersMatched {
        takerOrderHash: B256::from(taker.order.0),
        takerOrderMaker: evm(taker.wallet),
        side: side_code(taker.side),
        tokenId: U256::from_be_bytes(taker.token.0),
        makerAmountFilled: number(maker_amount),
        takerAmountFilled: number(taker_amount),
    };
    logs.push(log(exchange.address(), &matched.encode_log_data()));
    logs
}

/// Movements of a pair of shares that is minted through the exchange for two buys, or merged by it for two
/// sales.
fn pair_transfers(exchange: Address, taker: &Leg, maker: &Leg) -> [Log; 3] {
    let shares = number(maker.shares);
    let batch = |from, to| {
        let event = abi::TransferBatch {
            operator: evm(exchange),
            from: evm(from),
            to: evm(to),
            ids: [taker, maker].map(|leg| U256::from_be_bytes(leg.token.0)).to_vec(),
            values: vec![shares; 2],
        };
        log(token_contract(&taker.token), &event.encode_log_data())
    };
    let single = |from, to, leg: &Leg| token_transfer(exchange, from, to, leg.token, maker.shares);
    match taker.side {
        Side::Buy => [
            batch(NOBODY, exchange),
            single(exchange, maker.wallet, maker),
            single(exchange, taker.wallet, taker),
        ],
        Side::Sell => [
            single(maker.wallet, exchange, maker),
            single(taker.wallet, exchange, taker),
            batch(exchange, NOBODY),
        ],
    }
}

/// Log of a plain movement: ERC-1155 for shares, ERC-20 for pUSD.
#[must_use]
pub fn transfer(transfer: &Transfer) -> Log {
    match transfer.asset {
        Asset::Token(token) => {
            token_transfer(transfer.from, transfer.from, transfer.to, token, transfer.amount)
        }
        Asset::Collateral => erc20(COLLATERAL, transfer),
        Asset::Usdce => erc20(USDC_E, transfer),
        Asset::Pol => erc20(POL_TOKEN, transfer),
    }
}

fn erc20(token: Address, transfer: &Transfer) -> Log {
    let (from, to, value) = (evm(transfer.from), evm(transfer.to), number(transfer.amount));
    log(token, &abi::Transfer { from, to, value }.encode_log_data())
}

pub(super) fn token_transfer(
    operator: Address,
    from: Address,
    to: Address,
    token: TokenId,
    amount: i64,
) -> Log {
    let event = abi::TransferSingle {
        operator: evm(operator),
        from: evm(from),
        to: evm(to),
        id: U256::from_be_bytes(token.0),
        value: number(amount),
    };
    log(token_contract(&token), &event.encode_log_data())
}

pub(super) fn log(address: Address, data: &LogData) -> Log {
    Log { address, topics: data.topics().iter().map(|topic| topic.0).collect(), data: data.data.to_vec() }
}

pub(super) const fn evm(address: Address) -> EvmAddress {
    EvmAddress::new(address.0)
}

/// Amounts on chain are never negative; a negative one here would be shown by the invariants.
pub(super) fn number(amount: i64) -> U256 {
    U256::from(amount.max(0).unsigned_abs())
}

const fn side_code(side: Side) -> u8 {
    match side {
        Side::Buy => 0,
        Side::Sell => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recorded `OrderFilled` of the V2 neg-risk exchange (block 89,010,807, transaction 0xf4e2024d),
    /// reproduced from its decoded fields. Source: kydlikebtc/polymarket-whalewatch 5fc952eb,
    /// `probe_result.json` (public on-chain data).
    #[test]
    fn reproduces_a_log_of_polygon() {
        let mut id = [0; 32];
        hex::decode_to_slice("1511c948fd0591cdbd58fb628ac37912866a060b6a0174fbad1f93249d4b6473", &mut id)
            .unwrap();
        let leg = Leg {
            order: "0xd58f033880937a94ca703c93f108996681bc9ce67b7a5084abdab35484ba296a".parse().unwrap(),
            wallet: "0x2b4dad71932d9aaef27578ae274d1b59a300ae93".parse().unwrap(),
            side: Side::Buy,
            token: TokenId(id),
            usd: 0x0c_688d,
            shares: 0x033b_3a0d,
            fee: 0,
            builder: [0; 32],
            metadata: [0; 32],
        };
        let log =
            leg.filled(Exchange::V2NegRisk, "0x5e3e40c58e1de0f8f54451d0f115ccfe7b902e90".parse().unwrap());
        let topics: Vec<String> = log.topics.iter().map(hex::encode).collect();
        assert_eq!(
            topics,
            [
                "d543adfd945773f1a62f74f0ee55a5e3b9b1a28262980ba90b1a89f2ea84d8ee",
                "d58f033880937a94ca703c93f108996681bc9ce67b7a5084abdab35484ba296a",
                "0000000000000000000000002b4dad71932d9aaef27578ae274d1b59a300ae93",
                "0000000000000000000000005e3e40c58e1de0f8f54451d0f115ccfe7b902e90",
            ]
        );
        assert_eq!(log.address.to_string(), "0xe2222d279d744050d28e00520010520000310f59");
        assert_eq!(log.data.len(), 7 * 32);
        assert_eq!(log.data[32..64], id);
        assert_eq!(hex::encode(&log.data[64..128]), format!("{:064x}{:064x}", 0x0c_688d, 0x033b_3a0d));
    }

    #[test]
    fn makers_come_first_and_the_taker_names_the_exchange() {
        let leg = |wallet: u8, side| Leg {
            order: OrderId([wallet; 32]),
            wallet: Address([wallet; 20]),
            side,
            token: TokenId([0x11; 32]),
            usd: 5,
            shares: 10,
            fee: if wallet == 1 { 3 } else { 0 },
            builder: [0; 32],
            metadata: [0; 32],
        };
        let logs = settlement(Exchange::V2, &leg(1, Side::Buy), &[leg(2, Side::Sell), leg(3, Side::Sell)]);
        let filled: Vec<_> =
            logs.iter().filter(|log| log.topics[0] == abi::OrderFilled::SIGNATURE_HASH.0).collect();
        let last_bytes = |topic: &[u8; 32]| topic[12..].to_vec();
        assert_eq!(filled.iter().map(|log| log.topics[1][0]).collect::<Vec<_>>(), [2, 3, 1]);
        assert_eq!(last_bytes(&filled[0].topics[3]), [1; 20]);
        assert_eq!(last_bytes(&filled[2].topics[3]), Exchange::V2.address().0);
        assert_eq!(logs.last().unwrap().topics[0], abi::OrdersMatched::SIGNATURE_HASH.0);
    }
}
