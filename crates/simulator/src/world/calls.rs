//! What calls of the venue's contracts do: approvals, transfers, wrapping, splits, merges, redemptions, session
//! signers. Run against what everything mined and waiting leaves; a call that cannot be undoes all of its
//! transaction, as on the chain.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use alloy_sol_types::{SolCall, SolEvent};
use domain::{Address, ConditionId, Shares, TokenId, TxHash, Usd, money::Rounding};

use super::{
    World,
    chain::Tx,
    contract_state::{Slot, Write},
    data::{Row, RowKind},
    foreign_moves::PositionCall,
    ledger::{Asset, Transfer},
    logs::{Log, evm, log, transfer},
    redemption_logs::Redeemed,
    registry::{Market, MarketState},
};
use crate::contracts::{
    COLLATERAL, COLLATERAL_ADAPTER, COLLATERAL_ONRAMP, CONDITIONAL_TOKENS, Exchange,
    NEG_RISK_COLLATERAL_ADAPTER, NOBODY, POSITION_MANAGER, ROUTER, USDC_E, abi, token_contract,
};

/// One call a wallet makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Contract.
    pub to: Address,
    /// Input.
    pub data: Vec<u8>,
}

/// Why a transaction was undone.
pub type Revert = String;

/// What calls did.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// What moved.
    pub transfers: Vec<Transfer>,
    /// What was logged.
    pub logs: Vec<Log>,
    /// What the Data API shows.
    pub rows: Vec<Row>,
    /// What contracts remember.
    pub writes: Vec<Write>,
}

impl Effects {
    /// As a transaction.
    #[must_use]
    pub fn into_tx(self, hash: TxHash) -> Tx {
        let Self { transfers, logs, rows, writes } = self;
        Tx { transfers, logs, rows, writes, ..Tx::new(hash) }
    }
}

/// The redemption of these shares of both outcomes; `None` while the market is not resolved.
#[must_use]
pub fn redemption(market: &Market, wallet: Address, held: [i64; 2], directly: bool) -> Option<Effects> {
    let MarketState::Resolved(payouts) = market.state else { return None };
    let [(first, one), (second, two)] = [0, 1].map(|index: usize| {
        let token = market.spec.tokens.get(index).copied().unwrap_or(TokenId([0; 32]));
        (token, held.get(index).copied().unwrap_or(0))
    });
    let shares = [(first, one), (second, two)];
    let mut transfers = Vec::new();
    let (mut payout, mut paid_each) = (Usd::ZERO, [0; 2]);
    let each = shares.into_iter().zip(payouts).zip(&mut paid_each);
    for (((token, amount), price), paid_for) in each.filter(|(((_, amount), _), _)| *amount > 0) {
        transfers.push(Transfer { asset: Asset::Token(token), from: wallet, to: NOBODY, amount });
        let paid = price.cost(Shares(amount), Rounding::Down).unwrap_or_default();
        payout.0 = payout.0.saturating_add(paid.0);
        *paid_for = paid.0;
    }
    if payout.is_positive() {
        transfers.push(Transfer { asset: Asset::Collateral, from: NOBODY, to: wallet, amount: payout.0 });
    }
    let condition = market.spec.condition;
    let (condition_id, payout_usd) = (condition.as_slice(), payout.0);
    let redeemed = Redeemed { wallet, condition: condition_id, shares, payout: payout_usd, paid: paid_each };
    let logs = redeemed.logs(market.exchange(), directly);
    let total = Shares(one.saturating_add(two));
    let rows = vec![Row { wallet, condition, kind: RowKind::Redeem, shares: total, usd: payout }];
    Some(Effects { transfers, logs, rows, writes: Vec::new() })
}

/// A wallet's calls, one after the other.
struct Machine<'a> {
    world: &'a World,
    wallet: Address,
    effects: Effects,
    moved: BTreeMap<(Address, Asset), i64>,
    words: BTreeMap<Slot, U256>,
}

impl World {
    /// What a wallet's calls do.
    ///
    /// # Errors
    /// Why they are undone.
    pub fn run_calls(&self, wallet: Address, calls: &[Call]) -> Result<Effects, Revert> {
        let (moved, words) = (BTreeMap::new(), BTreeMap::new());
        let mut machine = Machine { world: self, wallet, effects: Effects::default(), moved, words };
        for call in calls {
            machine.call(call)?;
        }
        machine.effects.writes.extend(machine.words);
        Ok(machine.effects)
    }
}

fn decoded<T: SolCall>(data: &[u8]) -> Option<T> {
    T::abi_decode(data).ok()
}

const fn plain(address: alloy_primitives::Address) -> Address {
    Address(address.0.0)
}

fn amount(value: U256) -> Result<i64, Revert> {
    i64::try_from(value).map_err(|_| format!("amount {value} is more than anybody has"))
}

impl<'a> Machine<'a> {
    fn call(&mut self, call: &Call) -> Result<(), Revert> {
        match call.to {
            COLLATERAL => self.erc20(COLLATERAL, Asset::Collateral, &call.data),
            USDC_E => self.erc20(USDC_E, Asset::Usdce, &call.data),
            CONDITIONAL_TOKENS | POSITION_MANAGER => self.erc1155(call.to, &call.data),
            COLLATERAL_ADAPTER | NEG_RISK_COLLATERAL_ADAPTER => self.adapter(call.to, &call.data),
            ROUTER => self.router(&call.data),
            COLLATERAL_ONRAMP => self.onramp(&call.data),
            to if to == self.wallet => self.session(&call.data),
            to => Err(format!("contract {to} is not simulated")),
        }
    }

    fn balance(&self, wallet: Address, asset: Asset) -> i64 {
        let moved = self.moved.get(&(wallet, asset)).copied().unwrap_or(0);
        self.world.ledger.balance(wallet, asset).saturating_add(moved)
    }

    fn word(&self, slot: Slot) -> U256 {
        let written = self.words.get(&slot).copied().or_else(|| self.world.pending_word(&slot));
        written.unwrap_or_else(|| self.world.unwritten(&slot))
    }

    /// Moves without a log; minting and burning by nobody.
    fn move_silently(&mut self, moved: Transfer) -> Result<(), Revert> {
        if moved.from != NOBODY && self.balance(moved.from, moved.asset) < moved.amount {
            return Err("transfer amount exceeds balance".to_owned());
        }
        for (who, change) in [(moved.from, moved.amount.saturating_neg()), (moved.to, moved.amount)] {
            let sum = self.moved.entry((who, moved.asset)).or_default();
            *sum = sum.saturating_add(change);
        }
        self.effects.transfers.push(moved);
        Ok(())
    }

    fn move_asset(&mut self, moved: Transfer) -> Result<(), Revert> {
        self.move_silently(moved)?;
        self.effects.logs.push(transfer(&moved));
        Ok(())
    }

    /// Lets `spender` use up an allowance; an unlimited one stays.
    fn spend(&mut self, token: Address, spender: Address, spent: i64) -> Result<(), Revert> {
        let slot = Slot::Allowance { token, owner: self.wallet, spender };
        let (allowed, spent) = (self.word(slot), U256::from(spent.unsigned_abs()));
        let left = allowed.checked_sub(spent).ok_or("insufficient allowance")?;
        if allowed != U256::MAX {
            self.words.insert(slot, left);
        }
        Ok(())
    }

    fn need_operator(&self, token: Address, operator: Address) -> Result<(), Revert> {
        let slot = Slot::Operator { token, owner: self.wallet, operator };
        if self.word(slot).is_zero() {
            return Err("caller is not token owner or approved".to_owned());
        }
        Ok(())
    }

    fn erc20(&mut self, token: Address, asset: Asset, data: &[u8]) -> Result<(), Revert> {
        if let Some(call) = decoded::<abi::Erc20::approveCall>(data) {
            let (owner, spender) = (self.wallet, plain(call.spender));
            self.words.insert(Slot::Allowance { token, owner, spender }, call.amount);
            let event = abi::Approval { owner: evm(owner), spender: call.spender, value: call.amount };
            self.effects.logs.push(log(token, &event.encode_log_data()));
            return Ok(());
        }
        let call = decoded::<abi::Erc20::transferCall>(data).ok_or("unknown call of a token")?;
        let (from, to, amount) = (self.wallet, plain(call.to), amount(call.amount)?);
        self.move_asset(Transfer { asset, from, to, amount })
    }

    fn erc1155(&mut self, token: Address, data: &[u8]) -> Result<(), Revert> {
        if let Some(call) = decoded::<abi::Erc1155::setApprovalForAllCall>(data) {
            let (owner, operator) = (self.wallet, plain(call.operator));
            let slot = Slot::Operator { token, owner, operator };
            self.words.insert(slot, U256::from(u8::from(call.approved)));
            let event =
                abi::ApprovalForAll { owner: evm(owner), operator: call.operator, approved: call.approved };
            self.effects.logs.push(log(token, &event.encode_log_data()));
            return Ok(());
        }
        let call = decoded::<abi::Erc1155::safeTransferFromCall>(data).ok_or("unknown call of shares")?;
        let id = TokenId(call.id.to_be_bytes());
        if plain(call.from) != self.wallet || token_contract(&id) != token {
            return Err("caller is not token owner or approved".to_owned());
        }
        let (from, to, amount) = (self.wallet, plain(call.to), amount(call.amount)?);
        self.move_asset(Transfer { asset: Asset::Token(id), from, to, amount })
    }

    fn onramp(&mut self, data: &[u8]) -> Result<(), Revert> {
        let call = decoded::<abi::Onramp::wrapCall>(data).ok_or("unknown call of the onramp")?;
        if plain(call.asset) != USDC_E {
            return Err("InvalidAsset()".to_owned());
        }
        let (wallet, to, amount) = (self.wallet, plain(call.to), amount(call.amount)?);
        self.spend(USDC_E, COLLATERAL_ONRAMP, amount)?;
        // The onramp keeps what it wraps.
        self.move_asset(Transfer { asset: Asset::Usdce, from: wallet, to: COLLATERAL_ONRAMP, amount })?;
        self.move_asset(Transfer { asset: Asset::Collateral, from: NOBODY, to, amount })
    }

    fn session(&mut self, data: &[u8]) -> Result<(), Revert> {
        let wallet = self.wallet;
        if let Some(call) = decoded::<abi::DepositWallet::authorizeSessionSignerCall>(data) {
            let signer = plain(call.signer);
            self.words.insert(Slot::Session { wallet, signer }, call.validUntil);
            return Ok(());
        }
        let call = decoded::<abi::DepositWallet::revokeSessionSignerCall>(data).ok_or("unknown call")?;
        self.words.insert(Slot::Session { wallet, signer: plain(call.signer) }, U256::ZERO);
        Ok(())
    }

    fn adapter(&mut self, adapter: Address, data: &[u8]) -> Result<(), Revert> {
        if let Some(call) = decoded::<abi::Adapter::splitPositionCall>(data) {
            return self.split(adapter, call.conditionId, amount(call.amount)?);
        }
        if let Some(call) = decoded::<abi::Adapter::mergePositionsCall>(data) {
            return self.merge(adapter, call.conditionId, amount(call.amount)?);
        }
        let call = decoded::<abi::Adapter::redeemPositionsCall>(data).ok_or("unknown call of an adapter")?;
        self.need_operator(CONDITIONAL_TOKENS, adapter)?;
        let market = self.market(adapter, call.conditionId.as_slice())?;
        let held = market.spec.tokens.map(|token| self.balance(self.wallet, Asset::Token(token)).max(0));
        self.redeem(market, held)
    }

    /// The market of a condition, if this contract serves its kind.
    fn market(&self, contract: Address, condition: &[u8]) -> Result<&'a Market, Revert> {
        let condition = ConditionId::from_slice(condition).map_err(|error| error.to_string())?;
        let known = self.world.registry.market(&condition);
        let market = known.ok_or_else(|| format!("condition {condition} is not prepared"))?;
        let expected = match market.exchange() {
            Exchange::V2 => COLLATERAL_ADAPTER,
            Exchange::V2NegRisk => NEG_RISK_COLLATERAL_ADAPTER,
            Exchange::V3 => ROUTER,
        };
        if contract == expected { Ok(market) } else { Err(format!("condition {condition} is not served")) }
    }

    fn split(&mut self, adapter: Address, condition: B256, amount: i64) -> Result<(), Revert> {
        let market = self.market(adapter, condition.as_slice())?;
        let (tokens, condition) = (market.spec.tokens, market.spec.condition);
        let call = PositionCall {
            wallet: self.wallet,
            exchange: market.exchange(),
            directly: false,
            shares: amount,
        };
        self.spend(COLLATERAL, adapter, amount)?;
        let wallet = self.wallet;
        self.move_asset(Transfer { asset: Asset::Collateral, from: wallet, to: NOBODY, amount })?;
        for token in tokens {
            self.move_silently(Transfer { asset: Asset::Token(token), from: NOBODY, to: wallet, amount })?;
        }
        self.effects.logs.extend(call.split(condition, &tokens));
        self.row(condition, RowKind::Split, amount);
        Ok(())
    }

    fn merge(&mut self, adapter: Address, condition: B256, amount: i64) -> Result<(), Revert> {
        let market = self.market(adapter, condition.as_slice())?;
        let (tokens, condition) = (market.spec.tokens, market.spec.condition);
        let call = PositionCall {
            wallet: self.wallet,
            exchange: market.exchange(),
            directly: false,
            shares: amount,
        };
        self.need_operator(CONDITIONAL_TOKENS, adapter)?;
        let wallet = self.wallet;
        for token in tokens {
            self.move_silently(Transfer { asset: Asset::Token(token), from: wallet, to: NOBODY, amount })?;
        }
        self.effects.logs.extend(call.merge(condition, &tokens));
        self.move_asset(Transfer { asset: Asset::Collateral, from: NOBODY, to: wallet, amount })?;
        self.row(condition, RowKind::Merge, amount);
        Ok(())
    }

    fn row(&mut self, condition: ConditionId, kind: RowKind, amount: i64) {
        let wallet = self.wallet;
        self.effects.rows.push(Row { wallet, condition, kind, shares: Shares(amount), usd: Usd(amount) });
    }

    fn redeem(&mut self, market: &Market, held: [i64; 2]) -> Result<(), Revert> {
        let effects =
            redemption(market, self.wallet, held, false).ok_or("result for condition not received yet")?;
        for moved in &effects.transfers {
            self.move_silently(*moved)?;
        }
        self.effects.logs.extend(effects.logs);
        self.effects.rows.extend(effects.rows);
        Ok(())
    }

    fn router(&mut self, data: &[u8]) -> Result<(), Revert> {
        if let Some(call) = decoded::<abi::Router::splitCall>(data) {
            let (condition, amount) = (call.conditionId, amount(call.amount)?);
            let tokens = self.market(ROUTER, condition.as_slice())?.spec.tokens;
            self.spend(COLLATERAL, ROUTER, amount)?;
            let wallet = self.wallet;
            self.move_asset(Transfer { asset: Asset::Collateral, from: wallet, to: NOBODY, amount })?;
            for token in tokens {
                self.move_asset(Transfer { asset: Asset::Token(token), from: NOBODY, to: wallet, amount })?;
            }
            return self.router_row(condition.as_slice(), RowKind::Split, amount);
        }
        self.need_operator(POSITION_MANAGER, ROUTER)?;
        if let Some(call) = decoded::<abi::Router::mergeCall>(data) {
            let (condition, amount) = (call.conditionId, amount(call.amount)?);
            let tokens = self.market(ROUTER, condition.as_slice())?.spec.tokens;
            let wallet = self.wallet;
            for token in tokens {
                self.move_asset(Transfer { asset: Asset::Token(token), from: wallet, to: NOBODY, amount })?;
            }
            self.move_asset(Transfer { asset: Asset::Collateral, from: NOBODY, to: wallet, amount })?;
            return self.router_row(condition.as_slice(), RowKind::Merge, amount);
        }
        let call = decoded::<abi::Router::redeemCall>(data).ok_or("unknown call of the router")?;
        let market = self.market(ROUTER, call.conditionId.as_slice())?;
        let amount = amount(call.amount)?;
        match u8::try_from(call.outcomeIndex) {
            Ok(0) => self.redeem(market, [amount, 0]),
            Ok(1) => self.redeem(market, [0, amount]),
            _ => Err("outcome index is 0 or 1".to_owned()),
        }
    }

    fn router_row(&mut self, condition: &[u8], kind: RowKind, amount: i64) -> Result<(), Revert> {
        let condition = ConditionId::from_slice(condition).map_err(|error| error.to_string())?;
        self.row(condition, kind, amount);
        Ok(())
    }
}

/// How much gas a transaction with these effects takes: made up, but more for more.
#[must_use]
pub fn gas_of(effects: &Effects) -> u64 {
    let steps = effects.logs.len().saturating_add(effects.writes.len());
    60_000_u64.saturating_add(u64::try_from(steps).unwrap_or(u64::MAX).saturating_mul(25_000))
}
