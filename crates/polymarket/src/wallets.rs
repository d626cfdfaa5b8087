//! Wallets of an EOA: where they are, which one is used, what it still needs before it can trade, and how to get it.
//! Reads the chain; changes nothing.
//!
//! Sources: docs.polymarket.com/resources/contracts; init code as the official clients derive addresses from it.

use alloy_primitives::{Address as EvmAddress, B256, U256, hex, keccak256};
use domain::{Address, Timestamp, Usd, WalletAction, WalletKind};
use eip712::{
    COLLATERAL, DEPOSIT_WALLET_FACTORY, DOLLAR_SPENDERS, PROXY_FACTORY, SAFE_FACTORY, SHARE_OPERATORS, USDC_E,
};
use engine::ports::venue::VenueError;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::{
    http::malformed,
    limits::{CALLS_IN_FLIGHT, SESSION_NOTICE},
    providers::JsonRpc,
};

/// Says what code deposit wallets run; those made before it run the implementation below.
const BEACON: Address = Address(hex!("7a18edfe055488a3128f01f563e5b479d92ffc3a"));
const IMPLEMENTATION: Address = Address(hex!("58ca52ebe0dadfdf531cde7062e76746de4db1eb"));
/// Hash of the init code of a proxy wallet.
const PROXY_INIT_CODE: B256 =
    B256::new(hex!("d21df8dc65880a8606f09fe0ce3df9b8869287ab0b058be05aa9e8af6330a00b"));
/// Hash of the init code of a Safe.
const SAFE_INIT_CODE: B256 =
    B256::new(hex!("2bce2127ff07fb632d16c8347c4ebf501f4841168bed00d9e6ef715ddb6fcecf"));
/// An ERC-1967 beacon proxy with 64 bytes of arguments, before and after the beacon's address.
const BEACON_PROXY: ([u8; 10], [u8; 87]) = (
    hex!("6100923d8160233d3973"),
    hex!(
        "60195155f3363d3d373d3d363d602036600436635c60da1b60e01b36527fa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6c"
        "b3582b35133d50545afa5036515af43d6000803e604d573d6000fd5b3d6000f3"
    ),
);
/// An ERC-1967 proxy with 64 bytes of arguments, before and after the implementation's address.
const PLAIN_PROXY: ([u8; 10], [u8; 66]) = (
    hex!("61007d3d8160233d3973"),
    hex!(
        "60095155f3363d3d373d3d363d7f360894a13ba1a3210667c828492db98dca3e2076"
        "cc3735a920a3ca505d382bbc545af43d6000803e6038573d6000fd5b3d6000f3"
    ),
);
/// `allowance(address,address)`.
const ALLOWANCE: [u8; 4] = hex!("dd62ed3e");
/// `isApprovedForAll(address,address)`.
const IS_APPROVED_FOR_ALL: [u8; 4] = hex!("e985e9c5");
/// `balanceOf(address)`.
const BALANCE_OF: [u8; 4] = hex!("70a08231");
/// `sessionSignerAuthorizedUntil(address)` of deposit wallets: Unix seconds, zero for a stranger. Source: the wallet's
/// interface as integrators read it; the venue documents only how keys are authorised.
const SESSION_UNTIL: [u8; 4] = hex!("b9ac71d6");
/// An allowance above this is as good as none at all: more than all pUSD there will ever be.
const PLENTY: U256 = U256::from_limbs([u64::MAX, 0, 0, 0]);

const fn evm(address: Address) -> EvmAddress {
    EvmAddress::new(address.0)
}

/// The proxy wallet of an EOA (type 1).
#[must_use]
pub fn proxy_wallet(eoa: Address) -> Address {
    Address(evm(PROXY_FACTORY).create2(keccak256(eoa.0), PROXY_INIT_CODE).0.0)
}

/// The Safe of an EOA (type 2).
#[must_use]
pub fn safe(eoa: Address) -> Address {
    Address(evm(SAFE_FACTORY).create2(keccak256(evm(eoa).into_word()), SAFE_INIT_CODE).0.0)
}

/// The deposit wallet of an EOA (type 3) as it is made now, and as it was made before there was a beacon.
#[must_use]
pub fn deposit_wallets(eoa: Address) -> [Address; 2] {
    let arguments = [evm(DEPOSIT_WALLET_FACTORY).into_word(), evm(eoa).into_word()].concat();
    let at = |before: &[u8], target: Address, after: &[u8]| {
        let code = [before, &target.0, after, &arguments].concat();
        Address(evm(DEPOSIT_WALLET_FACTORY).create2(keccak256(&arguments), keccak256(code)).0.0)
    };
    let ((before, after), (old_before, old_after)) = (BEACON_PROXY, PLAIN_PROXY);
    [at(&before, BEACON, &after), at(&old_before, IMPLEMENTATION, &old_after)]
}

/// A wallet of an EOA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its kind.
    pub kind: WalletKind,
    /// Where it is, or would be.
    pub wallet: Address,
    /// Whether it is there.
    pub deployed: bool,
    /// pUSD in it.
    pub dollars: Usd,
}

/// Something that is missing, with its remedy in [`Finding::fix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The wallet contract, of this kind, is not deployed.
    NotDeployed(WalletKind),
    /// A contract may not take pUSD.
    Dollars {
        /// Which.
        spender: Address,
    },
    /// A contract may not move shares.
    Shares {
        /// Which contract holds them.
        token: Address,
        /// Which contract wants to move them.
        operator: Address,
    },
    /// There is no pUSD, but there is USDC.e, of which it can be made.
    Unwrapped(Usd),
    /// An EOA has no POL, in which it pays for gas.
    NoGas,
    /// There is no money.
    NoMoney,
    /// The wallet does not let this key trade, or does not any more: until when it did.
    NoSession(Option<Timestamp>),
    /// The wallet lets this key trade, and not for long any more: until when.
    SessionEnds(Timestamp),
}

/// How to get what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fix {
    /// The relayer deploys the wallet.
    Deploy,
    /// The venue's site deploys the wallet.
    Site,
    /// The wallet does this, through the relayer or as a transaction of the EOA.
    Act(WalletAction),
    /// Make pUSD of USDC.e at the venue's onramp.
    Wrap(Usd),
    /// Send POL to the EOA.
    Gas,
    /// Send pUSD to the wallet.
    Deposit,
    /// The wallet's owner authorises a session key.
    Authorise,
}

impl Finding {
    /// The remedy.
    #[must_use]
    pub const fn fix(self) -> Fix {
        match self {
            Self::NotDeployed(WalletKind::Deposit | WalletKind::Safe) => Fix::Deploy,
            Self::NotDeployed(_) => Fix::Site,
            Self::Dollars { spender } => Fix::Act(WalletAction::AllowDollars { spender }),
            Self::Shares { token, operator } => Fix::Act(WalletAction::AllowShares { token, operator }),
            Self::Unwrapped(usd) => Fix::Wrap(usd),
            Self::NoGas => Fix::Gas,
            Self::NoMoney => Fix::Deposit,
            Self::NoSession(_) | Self::SessionEnds(_) => Fix::Authorise,
        }
    }
}

/// What an EOA trades with, and what that still needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletReport {
    /// Which wallet is used.
    pub used: Candidate,
    /// All of them.
    pub candidates: Vec<Candidate>,
    /// What is missing, in the order in which it is remedied.
    pub missing: Vec<Finding>,
    /// Until when a session key may sign; nothing for other keys.
    pub until: Option<Timestamp>,
}

/// Reads wallets of Polygon.
pub struct Wallets<'a> {
    rpc: &'a dyn JsonRpc,
}

impl<'a> Wallets<'a> {
    /// With this provider.
    #[must_use]
    pub const fn new(rpc: &'a dyn JsonRpc) -> Self {
        Self { rpc }
    }

    /// Which wallet an EOA uses, and what it needs. Of several the one with the most pUSD counts, those last that are
    /// not deployed and that nothing here can deploy; else the first that is deployed, newer kinds first; an EOA
    /// without any is a new user, who gets a deposit wallet.
    ///
    /// # Errors
    /// [`VenueError`] of the provider.
    pub async fn detect(&self, eoa: Address) -> Result<WalletReport, VenueError> {
        let [deposit, older] = deposit_wallets(eoa);
        let places = [
            (WalletKind::Deposit, deposit),
            (WalletKind::Deposit, older),
            (WalletKind::Safe, safe(eoa)),
            (WalletKind::Proxy, proxy_wallet(eoa)),
            (WalletKind::Eoa, eoa),
        ];
        let read = places.map(|(kind, wallet)| self.candidate(kind, wallet));
        let candidates: Vec<Candidate> = stream::iter(read).buffered(CALLS_IN_FLIGHT).try_collect().await?;
        let made_here = |one: &Candidate| matches!(one.kind, WalletKind::Deposit | WalletKind::Safe);
        let within_reach = |one: &Candidate| one.deployed || made_here(one);
        let with_money = candidates.iter().rev().filter(|candidate| candidate.dollars.is_positive());
        let richest = with_money.max_by_key(|candidate| (within_reach(candidate), candidate.dollars.0));
        let there = |candidate: &&Candidate| candidate.deployed && candidate.kind != WalletKind::Eoa;
        let used = richest.or_else(|| candidates.iter().find(there)).or(candidates.first());
        let used = *used.ok_or_else(|| malformed("wallets", &"no candidate"))?;
        let missing = self.missing(used).await?;
        Ok(WalletReport { used, candidates, missing, until: None })
    }

    /// What a deposit wallet that is another's needs before `key` can trade for it at `now`, as its session key.
    ///
    /// # Errors
    /// [`VenueError`] of the provider.
    pub async fn session(
        &self,
        key: Address,
        wallet: Address,
        now: Timestamp,
    ) -> Result<WalletReport, VenueError> {
        let used = self.candidate(WalletKind::Session, wallet).await?;
        let until = if used.deployed { self.session_until(key, wallet).await? } else { None };
        let mut missing = self.missing(used).await?;
        match until.filter(|until| *until > now) {
            None if used.deployed => missing.insert(0, Finding::NoSession(until)),
            Some(until) if until.since(now) < SESSION_NOTICE => {
                missing.insert(0, Finding::SessionEnds(until));
            }
            _ => {}
        }
        Ok(WalletReport { used, candidates: vec![used], missing, until })
    }

    /// Until when a deposit wallet lets a key sign for it; `None` if it never did.
    async fn session_until(&self, key: Address, wallet: Address) -> Result<Option<Timestamp>, VenueError> {
        let until = self.ask(wallet, SESSION_UNTIL, &[key]).await?;
        // The end of time is as good as any later one.
        let seconds = i64::try_from(until).unwrap_or(i64::MAX / 1_000_000).min(i64::MAX / 1_000_000);
        Ok((seconds > 0).then_some(Timestamp::from_seconds(seconds)))
    }

    async fn candidate(&self, kind: WalletKind, wallet: Address) -> Result<Candidate, VenueError> {
        let deployed = kind == WalletKind::Eoa || self.has_code(wallet).await?;
        let dollars = self.dollars(COLLATERAL, wallet).await?;
        Ok(Candidate { kind, wallet, deployed, dollars })
    }

    /// What a wallet needs.
    ///
    /// # Errors
    /// [`VenueError`] of the provider.
    pub async fn missing(&self, used: Candidate) -> Result<Vec<Finding>, VenueError> {
        let wallet = used.wallet;
        let mut findings = Vec::new();
        if !used.deployed {
            findings.push(Finding::NotDeployed(used.kind));
        }
        if used.kind == WalletKind::Eoa {
            let what = "eth_getBalance";
            let wei = self.rpc.ask(what, json!([wallet, "latest"])).await?;
            let digits = wei.as_str().and_then(|wei| wei.strip_prefix("0x"));
            let digits = digits.ok_or_else(|| malformed(what, &"the balance is not hex"))?;
            if digits.trim_start_matches('0').is_empty() {
                findings.push(Finding::NoGas);
            }
        }
        let allowances = DOLLAR_SPENDERS.map(|spender| async move {
            let allowed = self.ask(COLLATERAL, ALLOWANCE, &[wallet, spender]).await?;
            Ok::<_, VenueError>((allowed <= PLENTY).then_some(Finding::Dollars { spender }))
        });
        let operators = SHARE_OPERATORS.map(|(token, operator)| async move {
            let allowed = self.ask(token, IS_APPROVED_FOR_ALL, &[wallet, operator]).await?;
            Ok::<_, VenueError>(allowed.is_zero().then_some(Finding::Shares { token, operator }))
        });
        let dollars: Vec<_> = stream::iter(allowances).buffered(CALLS_IN_FLIGHT).try_collect().await?;
        let shares: Vec<_> = stream::iter(operators).buffered(CALLS_IN_FLIGHT).try_collect().await?;
        findings.extend(dollars.into_iter().chain(shares).flatten());
        if !used.dollars.is_positive() {
            let unwrapped = self.unwrapped(wallet).await?;
            findings.push(if unwrapped.is_positive() {
                Finding::Unwrapped(unwrapped)
            } else {
                Finding::NoMoney
            });
        }
        Ok(findings)
    }

    /// USDC.e in a wallet, of which pUSD can be made.
    ///
    /// # Errors
    /// [`VenueError`] of the provider.
    pub async fn unwrapped(&self, wallet: Address) -> Result<Usd, VenueError> {
        self.dollars(USDC_E, wallet).await
    }

    async fn has_code(&self, address: Address) -> Result<bool, VenueError> {
        let what = "eth_getCode";
        let code = self.rpc.ask(what, json!([address, "latest"])).await?;
        let digits = code
            .as_str()
            .and_then(|code| code.strip_prefix("0x"))
            .ok_or_else(|| malformed(what, &"the code is not hex"))?;
        Ok(!digits.is_empty())
    }

    /// pUSD of a wallet.
    ///
    /// # Errors
    /// [`VenueError`].
    pub async fn money(&self, wallet: Address) -> Result<Usd, VenueError> {
        self.dollars(COLLATERAL, wallet).await
    }

    /// pUSD of a wallet after a block.
    ///
    /// # Errors
    /// [`VenueError`], also while no provider has the block.
    pub async fn money_at(&self, wallet: Address, block: i64) -> Result<Usd, VenueError> {
        let block = format!("0x{block:x}");
        dollars(self.ask_at(COLLATERAL, BALANCE_OF, &[wallet], &block).await?)
    }

    async fn dollars(&self, token: Address, wallet: Address) -> Result<Usd, VenueError> {
        dollars(self.ask(token, BALANCE_OF, &[wallet]).await?)
    }

    /// A call that answers one word.
    async fn ask(
        &self,
        contract: Address,
        selector: [u8; 4],
        arguments: &[Address],
    ) -> Result<U256, VenueError> {
        self.ask_at(contract, selector, arguments, "latest").await
    }

    async fn ask_at(
        &self,
        contract: Address,
        selector: [u8; 4],
        arguments: &[Address],
        block: &str,
    ) -> Result<U256, VenueError> {
        let words = arguments.iter().flat_map(|address| evm(*address).into_word().0);
        let data: Vec<u8> = selector.into_iter().chain(words).collect();
        let call = json!({ "to": contract, "data": hex::encode_prefixed(data) });
        read_word(&self.rpc.ask("eth_call", json!([call, block])).await?)
    }
}

fn dollars(balance: U256) -> Result<Usd, VenueError> {
    i64::try_from(balance).map(Usd).map_err(|_| malformed("balanceOf", &"more money than there is"))
}

/// The result of a call that answers one word.
pub(crate) fn read_word(result: &Value) -> Result<U256, VenueError> {
    let digits = result.as_str().and_then(|text| text.strip_prefix("0x"));
    let bytes = digits.and_then(|digits| hex::decode(digits).ok());
    let word = bytes.as_deref().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    word.map(U256::from_be_bytes).ok_or_else(|| malformed("eth_call", &"the result is not one word"))
}

#[cfg(test)]
mod tests {
    use eip712::Chain;

    use super::*;
    use crate::{
        rpc::Rpc,
        test_server::{TestServer, reply},
    };

    const EOA: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";

    /// Sources: the venue's clients for the first EOA; Polymarket/builder-relayer-client, signature tests, for the
    /// second.
    #[test]
    fn addresses_are_those_of_the_official_clients() {
        let eoa: Address = EOA.parse().unwrap();
        assert_eq!(safe(eoa).to_string(), "0xd93b25cb943d14d0d34fbaf01fc93a0f8b5f6e47");
        assert_eq!(proxy_wallet(eoa).to_string(), "0x365f0ca36ae1f641e02fe3b7743673da42a13a70");
        let texts = |eoa: Address| deposit_wallets(eoa).map(|wallet| wallet.to_string());
        assert_eq!(
            texts(eoa),
            ["0xbc0ff067b7740eff76c1ca93c875ba6b890d6b50", "0xdf8b9e8f9ab23f261f6e1b171b7454ae6e46ba76"]
        );
        assert_eq!(
            texts("0x0000000000000000000000000000000000000001".parse().unwrap()),
            ["0x94bf330955a0b957662feaf878de77bf25f76cd9", "0x57ffbc34de23124faeb8387fcd689d314e57accd"]
        );
    }

    /// Nothing is approved that is not used; of what the official clients ask for only this is left out.
    #[test]
    fn approvals_are_those_of_the_official_clients_but_for_what_nothing_here_uses() {
        use simulator::contracts;
        let left_out: Vec<Address> =
            contracts::PUSD_SPENDERS.into_iter().filter(|one| !DOLLAR_SPENDERS.contains(one)).collect();
        assert_eq!(left_out, [contracts::PERPS_DEPOSIT]);
        assert!(DOLLAR_SPENDERS.iter().all(|one| contracts::PUSD_SPENDERS.contains(one)));
        let left_out: Vec<(Address, Address)> =
            contracts::SHARE_OPERATORS.into_iter().filter(|one| !SHARE_OPERATORS.contains(one)).collect();
        assert_eq!(
            left_out,
            [
                (contracts::CONDITIONAL_TOKENS, contracts::AUTO_REDEEMER),
                (contracts::CONDITIONAL_TOKENS, contracts::BINARY_MODULE),
                (contracts::CONDITIONAL_TOKENS, contracts::NEG_RISK_MODULE),
                (contracts::POSITION_MANAGER, contracts::AUTO_REDEEMER),
            ]
        );
        assert!(SHARE_OPERATORS.iter().all(|one| contracts::SHARE_OPERATORS.contains(one)));
    }

    #[test]
    fn selectors_are_the_hashes_of_their_signatures() {
        for (selector, text) in [
            (ALLOWANCE, "allowance(address,address)"),
            (IS_APPROVED_FOR_ALL, "isApprovedForAll(address,address)"),
            (BALANCE_OF, "balanceOf(address)"),
            (SESSION_UNTIL, "sessionSignerAuthorizedUntil(address)"),
        ] {
            assert_eq!(selector, keccak256(text)[..4], "{text}");
        }
    }

    #[tokio::test]
    async fn answers_that_are_no_words_are_errors() {
        let hostile = ["null", "7", r#""""#, r#""0x""#, r#""0x12""#, r#""0xzz""#, r#"["0x00"]"#];
        for result in hostile {
            let server = TestServer::start(move |request| {
                let asked: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                let result = if asked["method"] == "eth_chainId" { r#""0x89""# } else { result };
                reply(200, format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, asked["id"]))
            })
            .await;
            let rpc = Rpc::new(crate::client().unwrap(), &server.origin, Chain::Polygon);
            let report = Wallets::new(&rpc).detect(EOA.parse().unwrap()).await;
            assert!(matches!(report, Err(VenueError::Malformed { .. })), "{result}: {report:?}");
        }
        let huge = format!(r#""0x{}""#, "ff".repeat(32));
        let server = TestServer::start(move |request| {
            let asked: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            let result = if asked["method"] == "eth_chainId" { r#""0x89""# } else { huge.as_str() };
            reply(200, format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, asked["id"]))
        })
        .await;
        let rpc = Rpc::new(crate::client().unwrap(), &server.origin, Chain::Polygon);
        assert!(Wallets::new(&rpc).detect(EOA.parse().unwrap()).await.is_err(), "nobody has 2^256 dollars");
    }

    /// Hostile sizes, depths and numbers.
    #[test]
    fn the_corpus_is_survived() {
        let sample = serde_json::Value::from(format!("0x{}", "00".repeat(32))).to_string();
        let word = |bytes: &[u8]| read_word(&serde_json::from_slice::<Value>(bytes).ok()?).ok();
        crate::hostile::survives(&sample, word, U256::is_zero);
    }
}
