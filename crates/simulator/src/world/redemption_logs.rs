//! The event logs of redemptions, for each way a wallet's shares of a resolved market can be redeemed.
//!
//! Sources: logs of Polygon (blocks 90,715,029 to 90,715,039, transactions 0x3f12d5d3, 0xc6c3f62a, 0x92ebcfb0)
//! and the order in which the adapters' contracts call each other (Polymarket/ctf-exchange-v2 and
//! Polymarket/neg-risk-ctf-adapter). Of the V3 era: Polymarket/polymarket-v2-external, `BaseModule.sol`; the router's own
//! event as integrators read it, and its place after the module's is a guess.

use alloy_primitives::{B256, U256};
use alloy_sol_types::SolEvent;
use domain::{Address, TokenId};

use super::{
    ledger::{Asset, Transfer},
    logs::{Log, evm, log, number, token_transfer, transfer},
};
use crate::contracts::{
    COLLATERAL_ADAPTER, CONDITIONAL_TOKENS, Exchange, NEG_RISK_ADAPTER, NEG_RISK_COLLATERAL_ADAPTER, NOBODY,
    ROUTER, USDC_E, WRAPPED_COLLATERAL, abi, module_of, token_contract,
};

/// One wallet's redemption of everything it has of a condition. Amounts in millionths.
#[derive(Clone, Copy, Debug)]
pub struct Redeemed<'a> {
    /// Whose shares.
    pub wallet: Address,
    /// The condition: 32 bytes, or 31 in the V3 era.
    pub condition: &'a [u8],
    /// Both outcomes with the shares of each.
    pub shares: [(TokenId, i64); 2],
    /// Dollars paid.
    pub payout: i64,
    /// Of them for each outcome.
    pub paid: [i64; 2],
}

impl Redeemed<'_> {
    /// The logs, by the contract that redeems: the wallet calls it itself (`directly`), or a collateral adapter
    /// does in its own name, to which the wallet hands its shares first.
    #[must_use]
    pub fn logs(&self, exchange: Exchange, directly: bool) -> Vec<Log> {
        let mut logs = Vec::new();
        match (exchange, directly) {
            (Exchange::V3, _) => return self.position_by_position(),
            (Exchange::V2, true) => self.redeem_tokens(self.wallet, USDC_E, &mut logs),
            (Exchange::V2, false) => {
                logs.push(self.handed_over(self.wallet, COLLATERAL_ADAPTER));
                self.redeem_tokens(COLLATERAL_ADAPTER, USDC_E, &mut logs);
            }
            (Exchange::V2NegRisk, true) => self.redeem_neg_risk(self.wallet, &mut logs),
            (Exchange::V2NegRisk, false) => {
                logs.push(self.handed_over(self.wallet, NEG_RISK_COLLATERAL_ADAPTER));
                self.redeem_neg_risk(NEG_RISK_COLLATERAL_ADAPTER, &mut logs);
            }
        }
        if self.payout > 0 {
            let (from, to, amount) = (NOBODY, self.wallet, self.payout);
            logs.push(transfer(&Transfer { asset: Asset::Collateral, from, to, amount }));
        }
        logs
    }

    /// The router hands the shares of each outcome to its module, which pays, burns them and says so.
    fn position_by_position(&self) -> Vec<Log> {
        let mut logs = Vec::new();
        for ((token, amount), paid) in
            self.shares.into_iter().zip(self.paid).filter(|((_, held), _)| *held > 0)
        {
            let (module, wallet) = (module_of(&token), self.wallet);
            logs.push(token_transfer(ROUTER, wallet, module, token, amount));
            if paid > 0 {
                let (asset, from, to) = (Asset::Collateral, NOBODY, wallet);
                logs.push(transfer(&Transfer { asset, from, to, amount: paid }));
            }
            logs.push(token_transfer(module, module, NOBODY, token, amount));
            let position = U256::from_be_bytes(token.0);
            let redeemed = abi::PositionRedeemed {
                initiator: evm(ROUTER),
                positionId: position,
                recipient: evm(wallet),
                amount: number(amount),
                payout: number(paid),
            };
            logs.push(log(module, &redeemed.encode_log_data()));
            let told = abi::RouterPositionRedeemed {
                initiator: evm(wallet),
                positionId: position,
                amount: number(amount),
            };
            logs.push(log(ROUTER, &told.encode_log_data()));
        }
        logs
    }

    /// ConditionalTokens burns the shares of `redeemer` and says so.
    fn redeem_tokens(&self, redeemer: Address, collateral: Address, logs: &mut Vec<Log>) {
        logs.extend(self.burns(redeemer));
        let Ok(condition) = <[u8; 32]>::try_from(self.condition) else { return };
        let event = abi::PayoutRedemption {
            redeemer: evm(redeemer),
            collateralToken: evm(collateral),
            parentCollectionId: B256::ZERO,
            conditionId: B256::from(condition),
            indexSets: vec![U256::from(1), U256::from(2)],
            payout: number(self.payout),
        };
        logs.push(log(CONDITIONAL_TOKENS, &event.encode_log_data()));
    }

    /// The neg-risk adapter takes the shares, redeems them in its own name and says for whom.
    fn redeem_neg_risk(&self, redeemer: Address, logs: &mut Vec<Log>) {
        logs.push(self.handed_over(redeemer, NEG_RISK_ADAPTER));
        self.redeem_tokens(NEG_RISK_ADAPTER, WRAPPED_COLLATERAL, logs);
        let Ok(condition) = <[u8; 32]>::try_from(self.condition) else { return };
        let event = abi::NegRisk::PayoutRedemption {
            redeemer: evm(redeemer),
            conditionId: B256::from(condition),
            amounts: self.shares.iter().map(|(_, amount)| number(*amount)).collect(),
            payout: number(self.payout),
        };
        logs.push(log(NEG_RISK_ADAPTER, &event.encode_log_data()));
    }

    /// Both outcomes, also one of which there is nothing, in one batch.
    fn handed_over(&self, from: Address, to: Address) -> Log {
        let batch = abi::TransferBatch {
            operator: evm(to),
            from: evm(from),
            to: evm(to),
            ids: self.shares.iter().map(|(token, _)| U256::from_be_bytes(token.0)).collect(),
            values: self.shares.iter().map(|(_, amount)| number(*amount)).collect(),
        };
        let [(first, _), _] = &self.shares;
        log(token_contract(first), &batch.encode_log_data())
    }

    /// One burn for each outcome of which there is something.
    fn burns(&self, holder: Address) -> impl Iterator<Item = Log> {
        let held = self.shares.into_iter().filter(|(_, amount)| *amount > 0);
        held.map(move |(token, amount)| token_transfer(holder, holder, NOBODY, token, amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: Address = Address([7; 20]);

    fn told(exchange: Exchange, directly: bool) -> Vec<(String, String)> {
        let token = if exchange == Exchange::V3 { TokenId([0; 32]) } else { TokenId([0x11; 32]) };
        let redeemed = Redeemed {
            wallet: WALLET,
            condition: &[5; 32],
            shares: [(token, 5), (TokenId([0x22; 32]), 0)],
            payout: 5,
            paid: [5, 0],
        };
        let name = |log: &Log| {
            let last = log.topics.get(3).or(log.topics.get(1)).map(|topic| hex::encode(&topic[12..14]));
            let event = match log.topics[0] {
                topic if topic == abi::TransferBatch::SIGNATURE_HASH.0 => "batch to",
                topic if topic == abi::TransferSingle::SIGNATURE_HASH.0 => "burn to",
                topic if topic == abi::PayoutRedemption::SIGNATURE_HASH.0 => "redeemed by",
                topic if topic == abi::NegRisk::PayoutRedemption::SIGNATURE_HASH.0 => "neg-risk redeemed by",
                topic if topic == abi::PositionRedeemed::SIGNATURE_HASH.0 => "position redeemed for",
                topic if topic == abi::RouterPositionRedeemed::SIGNATURE_HASH.0 => "told by",
                _ => "paid from",
            };
            let redeemer = event.contains("redeemed").then(|| hex::encode(&log.topics[1][12..14]));
            (event.to_owned(), redeemer.or(last).unwrap_or_default())
        };
        redeemed.logs(exchange, directly).iter().map(name).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(event, whose)| ((*event).to_owned(), (*whose).to_owned())).collect()
    }

    #[test]
    fn each_way_of_redeeming_names_the_contract_that_does_it() {
        let (paid, burn) = (("paid from", "0000"), ("burn to", "0000"));
        assert_eq!(told(Exchange::V2, true), pairs(&[burn, ("redeemed by", "0707"), paid]));
        assert_eq!(
            told(Exchange::V2, false),
            pairs(&[("batch to", "ada1"), burn, ("redeemed by", "ada1"), paid])
        );
        let adapter = [("batch to", "d91e"), burn, ("redeemed by", "d91e")];
        let direct = [&adapter[..], &[("neg-risk redeemed by", "0707"), paid]].concat();
        assert_eq!(told(Exchange::V2NegRisk, true), pairs(&direct));
        let through =
            [&[("batch to", "ada2")], &adapter[..], &[("neg-risk redeemed by", "ada2"), paid]].concat();
        assert_eq!(told(Exchange::V2NegRisk, false), pairs(&through));
        let v3 = told(Exchange::V3, false);
        let events: Vec<&str> = v3.iter().map(|(event, _)| event.as_str()).collect();
        assert_eq!(events, ["burn to", "paid from", "burn to", "position redeemed for", "told by"]);
    }
}
