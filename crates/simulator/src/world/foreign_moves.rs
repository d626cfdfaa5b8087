//! What foreign wallets do with shares without an order: split, merge, convert, send. Books the movements and
//! logs them as the contracts do, called by the wallet itself or through a collateral adapter.
//!
//! Sources: `PositionSplit` and `PositionsConverted` recorded on Polygon (block 87,003,104; see the tests) and the
//! order in which the adapters' contracts call each other (Polymarket/ctf-exchange-v2 and
//! Polymarket/neg-risk-ctf-adapter). What the contracts of the V3 era log is not known; there only movements are
//! told.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use alloy_sol_types::SolEvent;
use domain::{Address, ConditionId, Shares, TokenId, Usd};
use serde::{Deserialize, Serialize};

use super::{
    World, WorldError,
    chain::Tx,
    data::{Row, RowKind},
    ledger::{Asset, Transfer},
    logs::{Log, evm, log, number, transfer},
};
use crate::{
    contracts::{
        COLLATERAL_ADAPTER, CONDITIONAL_TOKENS, CONVERTED, Exchange, NEG_RISK_ADAPTER,
        NEG_RISK_COLLATERAL_ADAPTER, NOBODY, USDC_E, WRAPPED_COLLATERAL, abi, token_contract,
    },
    wire::decimal,
};

/// One act of a foreign wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ForeignMove {
    /// Dollars become shares of both outcomes.
    Split {
        /// Wallet.
        wallet: Address,
        /// Which market.
        condition: ConditionId,
        /// Shares of each.
        #[serde(with = "decimal")]
        shares: Shares,
    },
    /// Shares of both outcomes become dollars.
    Merge {
        /// Wallet.
        wallet: Address,
        /// Which market.
        condition: ConditionId,
        /// Shares of each.
        #[serde(with = "decimal")]
        shares: Shares,
    },
    /// No shares of one market of a neg-risk event become Yes shares of others.
    Convert {
        /// Wallet.
        wallet: Address,
        /// What is given.
        gives: TokenId,
        /// What comes, of each as much.
        gets: Vec<TokenId>,
        /// How much.
        #[serde(with = "decimal")]
        shares: Shares,
    },
    /// Shares go to another wallet.
    Send {
        /// Wallet.
        wallet: Address,
        /// To whom.
        to: Address,
        /// What.
        token: TokenId,
        /// How much.
        #[serde(with = "decimal")]
        shares: Shares,
    },
}

/// One way of calling the contracts.
pub(super) struct PositionCall {
    pub(super) wallet: Address,
    pub(super) exchange: Exchange,
    /// Without a collateral adapter in between.
    pub(super) directly: bool,
    pub(super) shares: i64,
}

impl PositionCall {
    /// Logs of dollars that become shares of both outcomes.
    pub(super) fn split(&self, condition: ConditionId, tokens: &[TokenId]) -> Vec<Log> {
        let mut logs = self.here(tokens);
        logs.extend(self.told(condition, true));
        logs
    }

    /// Logs of shares of both outcomes that become dollars.
    pub(super) fn merge(&self, condition: ConditionId, tokens: &[TokenId]) -> Vec<Log> {
        let mut logs = self.away(tokens, NOBODY);
        logs.extend(self.told(condition, false));
        logs
    }

    /// Contracts between the wallet and nobody, from the wallet on.
    fn path(&self) -> &'static [Address] {
        match (self.exchange, self.directly) {
            (Exchange::V3, _) | (Exchange::V2, true) => &[],
            (Exchange::V2, false) => &[COLLATERAL_ADAPTER],
            (Exchange::V2NegRisk, true) => &[NEG_RISK_ADAPTER],
            (Exchange::V2NegRisk, false) => &[NEG_RISK_COLLATERAL_ADAPTER, NEG_RISK_ADAPTER],
        }
    }

    /// Who the contracts' own events name.
    fn stakeholder(&self) -> Address {
        self.path().last().copied().unwrap_or(self.wallet)
    }

    fn batch(&self, operator: Address, from: Address, to: Address, tokens: &[TokenId]) -> Log {
        let event = abi::TransferBatch {
            operator: evm(operator),
            from: evm(from),
            to: evm(to),
            ids: tokens.iter().map(|token| U256::from_be_bytes(token.0)).collect(),
            values: vec![number(self.shares); tokens.len()],
        };
        log(tokens.first().map_or(CONDITIONAL_TOKENS, token_contract), &event.encode_log_data())
    }

    /// The shares on their way from the wallet to `end`.
    fn away(&self, tokens: &[TokenId], end: Address) -> Vec<Log> {
        let stops = [&[self.wallet], self.path(), &[end]].concat();
        let pairs = stops.iter().zip(stops.iter().skip(1));
        // Each contract takes the shares from the one before.
        pairs.map(|(from, to)| self.batch(if *to == end { *from } else { *to }, *from, *to, tokens)).collect()
    }

    /// The shares on their way to the wallet.
    fn here(&self, tokens: &[TokenId]) -> Vec<Log> {
        let mut stops = [&[self.wallet], self.path(), &[NOBODY]].concat();
        stops.reverse();
        let pairs = stops.iter().zip(stops.iter().skip(1));
        pairs
            .map(|(from, to)| self.batch(if *from == NOBODY { *to } else { *from }, *from, *to, tokens))
            .collect()
    }

    /// What ConditionalTokens says of a split or merge; nothing is known of the V3 era.
    fn told(&self, condition: ConditionId, split: bool) -> Option<Log> {
        let condition =
            <[u8; 32]>::try_from(condition.as_slice()).ok().filter(|_| self.exchange != Exchange::V3)?;
        let collateral = if self.exchange == Exchange::V2 { USDC_E } else { WRAPPED_COLLATERAL };
        let (stakeholder, token) = (evm(self.stakeholder()), evm(collateral));
        let (parent, condition) = (B256::ZERO, B256::from(condition));
        let (partition, amount) = (vec![U256::from(1), U256::from(2)], number(self.shares));
        let data = if split {
            abi::PositionSplit {
                stakeholder,
                collateralToken: token,
                parentCollectionId: parent,
                conditionId: condition,
                partition,
                amount,
            }
            .encode_log_data()
        } else {
            abi::PositionsMerge {
                stakeholder,
                collateralToken: token,
                parentCollectionId: parent,
                conditionId: condition,
                partition,
                amount,
            }
            .encode_log_data()
        };
        Some(log(CONDITIONAL_TOKENS, &data))
    }

    /// What the neg-risk adapter says of a conversion: who called it.
    fn converted(&self, market: [u8; 32]) -> Log {
        let caller = if self.directly { self.wallet } else { NEG_RISK_COLLATERAL_ADAPTER };
        let event = abi::PositionsConverted {
            stakeholder: evm(caller),
            marketId: B256::from(market),
            indexSet: U256::from(1),
            amount: number(self.shares),
        };
        log(NEG_RISK_ADAPTER, &event.encode_log_data())
    }
}

impl World {
    pub(super) fn add_foreign_move(
        &self,
        tx: &mut Tx,
        moved: &ForeignMove,
        changes: &mut BTreeMap<(Address, Asset), i64>,
    ) -> Result<(), WorldError> {
        let (wallet, shares) = match moved {
            ForeignMove::Split { wallet, shares, .. }
            | ForeignMove::Merge { wallet, shares, .. }
            | ForeignMove::Convert { wallet, shares, .. }
            | ForeignMove::Send { wallet, shares, .. } => (*wallet, *shares),
        };
        if !shares.is_positive() {
            return Err(WorldError::Invalid(format!("{shares} shares cannot be moved")));
        }
        let token =
            |token: TokenId, from, to| Transfer { asset: Asset::Token(token), from, to, amount: shares.0 };
        let dollars = |from, to| Transfer { asset: Asset::Collateral, from, to, amount: shares.0 };
        let (transfers, logs) = match moved {
            ForeignMove::Split { condition, .. } | ForeignMove::Merge { condition, .. } => {
                let split = matches!(moved, ForeignMove::Split { .. });
                let market = self.registry.market(condition).ok_or(WorldError::UnknownMarket(*condition))?;
                let tokens = market.spec.tokens;
                let call = self.call(wallet, market.exchange(), shares);
                let kind = if split { RowKind::Split } else { RowKind::Merge };
                tx.rows.push(Row { wallet, condition: *condition, kind, shares, usd: Usd(shares.0) });
                let (from, to) = if split { (NOBODY, wallet) } else { (wallet, NOBODY) };
                let mut transfers = tokens.map(|one| token(one, from, to)).to_vec();
                transfers.push(dollars(to, from));
                let mut logs =
                    if split { call.split(*condition, &tokens) } else { call.merge(*condition, &tokens) };
                logs.push(transfer(&dollars(to, from)));
                (transfers, logs)
            }
            ForeignMove::Convert { gives, gets, .. } => {
                let market = self.registry.market_of(gives).ok_or(WorldError::UnknownToken(*gives))?;
                if market.exchange() != Exchange::V2NegRisk {
                    return Err(WorldError::Invalid(format!("token {gives} is of no neg-risk market")));
                }
                let call = self.call(wallet, market.exchange(), shares);
                let condition = market.spec.condition;
                tx.rows.push(Row { wallet, condition, kind: RowKind::Conversion, shares, usd: Usd::ZERO });
                let mut transfers = vec![token(*gives, wallet, NOBODY)];
                transfers.extend(gets.iter().map(|one| token(*one, NOBODY, wallet)));
                let mut logs = call.away(&[*gives], CONVERTED);
                logs.push(call.converted(<[u8; 32]>::try_from(condition.as_slice()).unwrap_or_default()));
                logs.extend(call.here(gets));
                (transfers, logs)
            }
            ForeignMove::Send { to, token: what, .. } => {
                let one = token(*what, wallet, *to);
                (vec![one], vec![transfer(&one)])
            }
        };
        self.top_up(tx, wallet, &transfers, changes)?;
        tx.transfers.extend(transfers);
        tx.logs.extend(logs);
        Ok(())
    }

    const fn call(&self, wallet: Address, exchange: Exchange, shares: Shares) -> PositionCall {
        PositionCall { wallet, exchange, directly: self.knobs.redeem_directly, shares: shares.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: Address = Address([7; 20]);
    const PAIR: [TokenId; 2] = [TokenId([0x11; 32]), TokenId([0x22; 32])];

    fn call(exchange: Exchange, directly: bool) -> PositionCall {
        PositionCall { wallet: WALLET, exchange, directly, shares: 20_000_000 }
    }

    fn hex_of(log: &Log) -> (Vec<String>, String) {
        (log.topics.iter().map(hex::encode).collect(), hex::encode(&log.data))
    }

    /// Topics and data of a `PositionSplit` of Polygon (transaction 0xc6d1c08c), reproduced from its fields.
    #[test]
    fn reproduces_a_split_of_polygon() {
        let wallet = "0x20d2309cd92b797ae7ca175ed828ed8a27fbe29d".parse().unwrap();
        let condition: ConditionId =
            "0xb907d819a95244f9e19dc779e3db2a33133a864d22e9ce222d09a16b48759f49".parse().unwrap();
        let (topics, data) =
            hex_of(&PositionCall { wallet, ..call(Exchange::V2, true) }.told(condition, true).unwrap());
        assert_eq!(
            topics,
            [
                "2e6bb91f8cbcda0c93623c54d0403a43514fabc40084ec96b6d5379a74786298",
                "00000000000000000000000020d2309cd92b797ae7ca175ed828ed8a27fbe29d",
                &"0".repeat(64),
                "b907d819a95244f9e19dc779e3db2a33133a864d22e9ce222d09a16b48759f49",
            ]
        );
        let word = |number: u64| format!("{number:064x}");
        let collateral = "0000000000000000000000002791bca1f2de4661ed88a30c99a7a9449aa84174";
        assert_eq!(data, [collateral, &word(96), &word(20_000_000), &word(2), &word(1), &word(2)].concat());
    }

    /// The same of a `PositionsConverted` (transaction 0xdb22e481), which names the collateral adapter.
    #[test]
    fn reproduces_a_conversion_of_polygon() {
        let mut market = [0; 32];
        hex::decode_to_slice("c93c202f8849d124e5929d3ef5378d9bd7fe1612b8a30c625c6576b0785adf00", &mut market)
            .unwrap();
        let (topics, data) = hex_of(
            &PositionCall { shares: 10_000_000, ..call(Exchange::V2NegRisk, false) }.converted(market),
        );
        assert_eq!(
            topics[..3],
            [
                "b03d19dddbc72a87e735ff0ea3b57bef133ebe44e1894284916a84044deb367e",
                "000000000000000000000000ada2005600dec949baf300f4c6120000bdb6eaab",
                "c93c202f8849d124e5929d3ef5378d9bd7fe1612b8a30c625c6576b0785adf00",
            ]
        );
        assert_eq!(data, format!("{:064x}", 10_000_000));
    }

    #[test]
    fn shares_pass_through_the_adapters_on_their_way() {
        let ends = |logs: Vec<Log>| -> Vec<String> {
            let short = |topic: &[u8; 32]| hex::encode(&topic[12..14]);
            logs.iter().map(|log| format!("{} to {}", short(&log.topics[2]), short(&log.topics[3]))).collect()
        };
        let direct = call(Exchange::V2, true);
        assert_eq!(ends(direct.away(&PAIR, NOBODY)), ["0707 to 0000"]);
        assert_eq!(ends(direct.here(&PAIR)), ["0000 to 0707"]);
        let through = call(Exchange::V2NegRisk, false);
        assert_eq!(ends(through.away(&PAIR, NOBODY)), ["0707 to ada2", "ada2 to d91e", "d91e to 0000"]);
        assert_eq!(ends(through.here(&PAIR)), ["0000 to d91e", "d91e to ada2", "ada2 to 0707"]);
        assert!(call(Exchange::V3, false).told(ConditionId::from_slice(&[1; 32]).unwrap(), true).is_none());
    }
}
