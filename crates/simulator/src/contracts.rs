//! Addresses and event shapes of the contracts the simulated chain speaks for.
//! Owns constants only; never decides anything.
//!
//! Source: the venue's contract page (docs.polymarket.com/resources/contracts) and the events that the
//! V2 and V3 exchanges, ConditionalTokens and ERC-20/ERC-1155 declare.

use alloy_primitives::address;
use domain::{Address, TokenId};

/// Polygon's chain id.
pub const CHAIN_ID: u64 = 137;
/// ConditionalTokens, the ERC-1155 of the V2 era.
pub const CONDITIONAL_TOKENS: Address = known(address!("4D97DCd97eC945f40cF65F87097ACe5EA0476045"));
/// PositionManager, the ERC-1155 of the V3 era.
pub const POSITION_MANAGER: Address = known(address!("006F54F7f9A22e0000CC2AB60031000000ae9fEF"));
/// pUSD, the collateral: ERC-20 with six decimals.
pub const COLLATERAL: Address = known(address!("C011a7E12a19f7B1f670d46F03B03f3342E82DFB"));
/// USDC.e, the collateral of ConditionalTokens' ordinary positions.
pub const USDC_E: Address = known(address!("2791Bca1f2de4661ED88A30C99A7a9449Aa84174"));
/// The collateral of ConditionalTokens' neg-risk positions. Made up: the address was not recorded, and nobody
/// reads it.
pub const WRAPPED_COLLATERAL: Address = known(address!("00000000000000000000000000000000000c0117"));
/// Splits, merges and redeems ordinary positions in pUSD, in its own name.
pub const COLLATERAL_ADAPTER: Address = known(address!("AdA100Db00Ca00073811820692005400218FcE1f"));
/// The same for neg-risk positions.
pub const NEG_RISK_COLLATERAL_ADAPTER: Address = known(address!("adA2005600Dec949baf300f4C6120000bDB6eAab"));
/// Redeems neg-risk positions.
pub const NEG_RISK_ADAPTER: Address = known(address!("d91E80cF2E7be2e162c6513ceD06f1dD0dA35296"));
/// POL as a token: where the chain logs movements of the coin that gas is paid in.
pub const POL_TOKEN: Address = known(address!("0000000000000000000000000000000000001010"));
/// Makes pUSD of USDC.e.
pub const COLLATERAL_ONRAMP: Address = known(address!("93070a847efEf7F70739046A929D47a521F5B8ee"));
/// Splits, merges and redeems positions of the V3 era.
pub const ROUTER: Address = known(address!("12121212006e4CD160D18e3f00711DA5c3372600"));
/// Modules of the V3 era that hold shares of the V2 era.
pub const BINARY_MODULE: Address = known(address!("1000008dD9001B968442c1000017eaE6E0dA00Ba"));
/// See [`BINARY_MODULE`].
pub const NEG_RISK_MODULE: Address = known(address!("200000900045e3B6259600682756002200028933"));
/// See [`BINARY_MODULE`].
pub const COMBINATORIAL_MODULE: Address = known(address!("30000034706C7d8e12009DAB006Be20000c031A8"));
/// Redeems for those who let it.
pub const AUTO_REDEEMER: Address = known(address!("a1200000d0002264C9a1698e001292D00E1b00af"));
/// Where perpetuals are paid in. Source: the official clients' environment.
pub const PERPS_DEPOSIT: Address = known(address!("DCa4af75705dbB50f62437045afF9921947917d2"));
/// Makes and owns deposit wallets.
pub const DEPOSIT_WALLET_FACTORY: Address = known(address!("00000000000Fb5C9ADea0298D729A0CB3823Cc07"));
/// Says what code deposit wallets run.
pub const DEPOSIT_WALLET_BEACON: Address = known(address!("7A18EDfe055488A3128f01F563e5B479D92ffc3a"));
/// Makes Safes.
pub const SAFE_FACTORY: Address = known(address!("aacFeEa03eb1561C4e67d661e40682Bd20E3541b"));
/// Lets a Safe make several calls in one.
pub const SAFE_MULTISEND: Address = known(address!("A238CBeb142c10Ef7Ad8442C6D1f9E89e07e7761"));
/// Makes proxy wallets and passes calls on to them.
pub const PROXY_FACTORY: Address = known(address!("aB45c5A4B0c941a2F231C04C3f49182e1A254052"));
/// Through which calls of proxy wallets are relayed.
pub const RELAY_HUB: Address = known(address!("D216153c06E857cD7f72665E0aF1d7D82172F494"));
/// Who relays them. The address is made up.
pub const RELAY: Address = known(address!("000000000000000000000000000000000000be1a"));
/// What a wallet must allow before it can do everything. pUSD, then shares: contract and who may take.
/// Source: the official clients' list of trading approvals.
pub const PUSD_SPENDERS: [Address; 7] = [
    Exchange::V2.address(),
    Exchange::V2NegRisk.address(),
    COLLATERAL_ADAPTER,
    NEG_RISK_COLLATERAL_ADAPTER,
    ROUTER,
    Exchange::V3.address(),
    PERPS_DEPOSIT,
];
/// See [`PUSD_SPENDERS`].
pub const SHARE_OPERATORS: [(Address, Address); 10] = [
    (CONDITIONAL_TOKENS, Exchange::V2.address()),
    (CONDITIONAL_TOKENS, Exchange::V2NegRisk.address()),
    (CONDITIONAL_TOKENS, COLLATERAL_ADAPTER),
    (CONDITIONAL_TOKENS, NEG_RISK_COLLATERAL_ADAPTER),
    (CONDITIONAL_TOKENS, AUTO_REDEEMER),
    (CONDITIONAL_TOKENS, BINARY_MODULE),
    (CONDITIONAL_TOKENS, NEG_RISK_MODULE),
    (POSITION_MANAGER, ROUTER),
    (POSITION_MANAGER, Exchange::V3.address()),
    (POSITION_MANAGER, AUTO_REDEEMER),
];
/// Where the neg-risk adapter leaves the No shares of a conversion. Source: `NO_TOKEN_BURN_ADDRESS` of
/// Polymarket/neg-risk-ctf-adapter.
pub const CONVERTED: Address = known(address!("a5ef39c3d3e10d0b270233af41cac69796b12966"));
/// Who receives taker fees. Source: `FeeCharged` of a recorded V2 settlement (block 89,010,807).
pub const FEE_RECEIVER: Address = known(address!("115f48dc2a731aa16251c6d6e1befc42f92accc9"));
/// The liquidity of the venue itself: the one wallet whose balance has no floor.
pub const HOUSE: Address = known(address!("00000000000000000000000000000000000b00c5"));
/// Source and sink of minted and burned tokens.
pub const NOBODY: Address = Address([0; 20]);

const fn known(address: alloy_primitives::Address) -> Address {
    Address(address.0.0)
}

/// The exchange contract an order is signed for and settled by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// CTF Exchange V2.
    V2,
    /// Neg-risk CTF Exchange V2.
    V2NegRisk,
    /// Exchange V3, for all position ids of that era.
    V3,
}

impl Exchange {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V2, Self::V2NegRisk, Self::V3];

    /// The exchange at an address.
    #[must_use]
    pub fn at(address: Address) -> Option<Self> {
        Self::ALL.into_iter().find(|exchange| exchange.address() == address)
    }

    /// The exchange of a token: V3 ids say so themselves, older ones follow their market's kind.
    #[must_use]
    pub fn of(token: &TokenId, neg_risk: bool) -> Self {
        match (token.is_v3(), neg_risk) {
            (true, _) => Self::V3,
            (false, true) => Self::V2NegRisk,
            (false, false) => Self::V2,
        }
    }

    /// The contract's address.
    #[must_use]
    pub const fn address(self) -> Address {
        known(match self {
            Self::V2 => address!("E111180000d2663C0091e4f400237545B87B996B"),
            Self::V2NegRisk => address!("e2222d279d744050d28e00520010520000310F59"),
            Self::V3 => address!("e3333700cA9d93003F00f0F71f8515005F6c00Aa"),
        })
    }

    /// The version in the contract's EIP-712 domain.
    #[must_use]
    pub const fn domain_version(self) -> &'static str {
        match self {
            Self::V2 | Self::V2NegRisk => "2",
            Self::V3 => "3",
        }
    }
}

/// The module that makes and redeems a position of the V3 era: its id begins with the module's number. Made-up ids that
/// begin otherwise are binary ones.
#[must_use]
pub fn module_of(token: &TokenId) -> Address {
    match token.0.first() {
        Some(2) => NEG_RISK_MODULE,
        Some(3) => COMBINATORIAL_MODULE,
        _ => BINARY_MODULE,
    }
}

/// The ERC-1155 contract that holds a token.
#[must_use]
pub fn token_contract(token: &TokenId) -> Address {
    if token.is_v3() { POSITION_MANAGER } else { CONDITIONAL_TOKENS }
}

/// Contract events and calls. The macro's output has no documentation of its own.
pub mod abi {
    use alloy_sol_types::sol;

    sol! {
        event OrderFilled(bytes32 indexed orderHash, address indexed maker, address indexed taker, uint8 side,
            uint256 tokenId, uint256 makerAmountFilled, uint256 takerAmountFilled, uint256 fee,
            bytes32 builder, bytes32 metadata);
        event OrdersMatched(bytes32 indexed takerOrderHash, address indexed takerOrderMaker, uint8 side,
            uint256 tokenId, uint256 makerAmountFilled, uint256 takerAmountFilled);
        event FeeCharged(address indexed receiver, uint256 amount);
        event TransferSingle(address indexed operator, address indexed from, address indexed to,
            uint256 id, uint256 value);
        event TransferBatch(address indexed operator, address indexed from, address indexed to,
            uint256[] ids, uint256[] values);
        event Transfer(address indexed from, address indexed to, uint256 value);
        event PayoutRedemption(address indexed redeemer, address indexed collateralToken,
            bytes32 indexed parentCollectionId, bytes32 conditionId, uint256[] indexSets, uint256 payout);

        event PositionSplit(address indexed stakeholder, address collateralToken,
            bytes32 indexed parentCollectionId, bytes32 indexed conditionId, uint256[] partition, uint256 amount);
        event PositionsMerge(address indexed stakeholder, address collateralToken,
            bytes32 indexed parentCollectionId, bytes32 indexed conditionId, uint256[] partition, uint256 amount);
        event PositionsConverted(address indexed stakeholder, bytes32 indexed marketId,
            uint256 indexed indexSet, uint256 amount);

        interface NegRisk {
            event PayoutRedemption(address indexed redeemer, bytes32 indexed conditionId, uint256[] amounts,
                uint256 payout);
        }

        event Approval(address indexed owner, address indexed spender, uint256 value);
        event ApprovalForAll(address indexed owner, address indexed operator, bool approved);

        interface Erc20 {
            function balanceOf(address owner) external view returns (uint256);
            function allowance(address owner, address spender) external view returns (uint256);
            function approve(address spender, uint256 amount) external returns (bool);
            function transfer(address to, uint256 amount) external returns (bool);
        }

        interface Erc1155 {
            function isApprovedForAll(address account, address operator) external view returns (bool);
            function setApprovalForAll(address operator, bool approved) external;
            function safeTransferFrom(address from, address to, uint256 id, uint256 amount, bytes data) external;
            function balanceOf(address account, uint256 id) external view returns (uint256);
            function balanceOfBatch(address[] accounts, uint256[] ids) external view returns (uint256[]);
        }

        interface Adapter {
            function splitPosition(address collateral, bytes32 parent, bytes32 conditionId, uint256[] partition,
                uint256 amount) external;
            function mergePositions(address collateral, bytes32 parent, bytes32 conditionId,
                uint256[] partition, uint256 amount) external;
            function redeemPositions(address collateral, bytes32 parent, bytes32 conditionId,
                uint256[] indexSets) external;
        }

        interface Router {
            function split(bytes31 conditionId, uint256 amount) external;
            function merge(bytes31 conditionId, uint256 amount) external;
            function redeem(bytes31 conditionId, uint256 outcomeIndex, uint256 amount) external;
        }

        event PositionRedeemed(address indexed initiator, uint256 indexed positionId, address indexed recipient,
            uint256 amount, uint256 payout);
        event RouterPositionRedeemed(address indexed initiator, uint256 indexed positionId, uint256 amount);

        interface Module {
            function getResult(bytes31 conditionId) external view returns (uint256[]);
        }

        interface Onramp {
            function wrap(address asset, address to, uint256 amount) external;
        }

        interface DepositWallet {
            function authorizeSessionSigner(address signer, uint256 validUntil) external;
            function revokeSessionSigner(address signer) external;
            function sessionSignerAuthorizedUntil(address signer) external view returns (uint256);
            function owner() external view returns (address);
        }

        interface Factory {
            function beacon() external view returns (address);
        }

        interface MultiSend {
            function multiSend(bytes transactions) external;
        }

        struct ProxyCall {
            uint8 typeCode;
            address to;
            uint256 value;
            bytes data;
        }

        interface ProxyFactory {
            function proxy(ProxyCall[] calls) external;
        }

        interface Conditions {
            function payoutDenominator(bytes32 conditionId) external view returns (uint256);
            function payoutNumerators(bytes32 conditionId, uint256 index) external view returns (uint256);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_sol_types::SolEvent;

    use super::{abi, *};

    #[test]
    fn topics_are_the_ones_seen_on_polygon() {
        // Topic 0 of logs of the V2 neg-risk exchange in block 89,010,807.
        let seen = [
            (
                abi::OrderFilled::SIGNATURE_HASH,
                "d543adfd945773f1a62f74f0ee55a5e3b9b1a28262980ba90b1a89f2ea84d8ee",
            ),
            (
                abi::OrdersMatched::SIGNATURE_HASH,
                "174b3811690657c217184f89418266767c87e4805d09680c39fc9c031c0cab7c",
            ),
            (
                abi::FeeCharged::SIGNATURE_HASH,
                "55bb3cade9d43b798a4fe5ffdd05024b2d7870df53920673bfc7e68047cd0ab1",
            ),
        ];
        for (hash, expected) in seen {
            assert_eq!(hex::encode(hash), expected);
        }
        assert!(hex::encode(abi::TransferSingle::SIGNATURE_HASH).starts_with("c3d58168"));
        assert!(hex::encode(abi::TransferBatch::SIGNATURE_HASH).starts_with("4a39dc06"));
        assert!(hex::encode(abi::PayoutRedemption::SIGNATURE_HASH).starts_with("2682012a"));
        // Of the neg-risk adapter, block 90,715,039.
        assert!(hex::encode(abi::NegRisk::PayoutRedemption::SIGNATURE_HASH).starts_with("9140a6a2"));
    }

    #[test]
    fn the_token_says_which_exchange() {
        let old = TokenId([0x11; 32]);
        let mut v3 = [0x11; 32];
        v3[19..27].fill(0);
        assert_eq!(Exchange::of(&old, false), Exchange::V2);
        assert_eq!(Exchange::of(&old, true), Exchange::V2NegRisk);
        assert_eq!(Exchange::of(&TokenId(v3), true), Exchange::V3);
        assert_eq!(token_contract(&TokenId(v3)), POSITION_MANAGER);
    }
}
