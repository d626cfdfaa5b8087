//! What owners of wallets sign for the relayer. Hashing of its own, as in [`crate::signing`].
//!
//! Sources: the official clients (PyPI `polymarket-client` 0.14.0, Polymarket/builder-relayer-client).

use alloy_primitives::{Address as EvmAddress, B256, Bytes, U256, hex, keccak256};
use alloy_sol_types::{SolCall, SolStruct, SolValue, eip712_domain, sol};
use domain::Address;

use crate::{
    contracts::{CHAIN_ID, RELAY_HUB, SAFE_FACTORY, SAFE_MULTISEND, abi},
    signing::recover,
    world::calls::Call,
};

sol! {
    /// A transaction of a Safe.
    struct SafeTx {
        address to;
        uint256 value;
        bytes data;
        uint8 operation;
        uint256 safeTxGas;
        uint256 baseGas;
        uint256 gasPrice;
        address gasToken;
        address refundReceiver;
        uint256 nonce;
    }

    /// What the owner of a new Safe signs.
    struct CreateProxy {
        address paymentToken;
        uint256 payment;
        address paymentReceiver;
    }
}

/// What ends the signature of a session signer, in place of the owner's.
const SESSION_MAGIC: [u8; 32] = hex!("6492649264926492649264926492649264926492649264926492649264926492");

const fn evm(address: Address) -> EvmAddress {
    EvmAddress::new(address.0)
}

/// A session signer and its own signature, taken out of their envelope; `None` for an owner's signature.
#[must_use]
pub fn session(signature: &[u8]) -> Option<(Address, Vec<u8>)> {
    let payload = signature.strip_suffix(&SESSION_MAGIC)?;
    let (signer, _, inner) = <(B256, B256, Bytes)>::abi_decode_params(payload).ok()?;
    let address = Address::from_slice(signer.get(12..)?).ok()?;
    Some((address, inner.to_vec()))
}

/// Who signed a batch of a deposit wallet; a session signer's envelope is opened before.
#[must_use]
pub fn batch_signer(
    wallet: Address,
    nonce: u64,
    deadline: u64,
    calls: &[Call],
    signature: &[u8],
) -> Option<Address> {
    // The type's names are part of what is signed; they are `Batch` and `Call` on the wire.
    let item = |call: &Call| {
        let words = [
            keccak256("Call(address target,uint256 value,bytes data)"),
            evm(call.to).into_word(),
            B256::ZERO,
            keccak256(&call.data),
        ];
        keccak256(words.concat())
    };
    let list: Vec<B256> = calls.iter().map(item).collect();
    let kind = "Batch(address wallet,uint256 nonce,uint256 deadline,Call[] calls)Call(address target,uint256 value,bytes data)";
    let words = [
        keccak256(kind),
        evm(wallet).into_word(),
        B256::from(U256::from(nonce)),
        B256::from(U256::from(deadline)),
        keccak256(list.concat()),
    ];
    let domain = eip712_domain! {
        name: "DepositWallet", version: "1", chain_id: CHAIN_ID, verifying_contract: evm(wallet),
    };
    let digest = keccak256(
        [&[0x19, 0x01][..], domain.separator().as_slice(), keccak256(words.concat()).as_slice()].concat(),
    );
    recover(&digest.0, signature)
}

/// A signature over a message as wallets sign text: with a prefix that no transaction has.
fn personal(digest: B256) -> [u8; 32] {
    keccak256([&b"\x19Ethereum Signed Message:\n32"[..], digest.as_slice()].concat()).0
}

/// Who signed a transaction of a Safe. `v` is four more than usual, which says that it was signed as text.
#[must_use]
pub fn safe_signer(
    safe: Address,
    nonce: u64,
    (call, delegate): (&Call, bool),
    signature: &[u8],
) -> Option<Address> {
    let (words, v) = signature.split_at_checked(64)?;
    let plain = [words, &[v.first()?.checked_sub(4)?], v.get(1..)?].concat();
    let transaction = SafeTx {
        to: evm(call.to),
        value: U256::ZERO,
        data: call.data.clone().into(),
        operation: u8::from(delegate),
        safeTxGas: U256::ZERO,
        baseGas: U256::ZERO,
        gasPrice: U256::ZERO,
        gasToken: EvmAddress::ZERO,
        refundReceiver: EvmAddress::ZERO,
        nonce: U256::from(nonce),
    };
    let domain = eip712_domain! { chain_id: CHAIN_ID, verifying_contract: evm(safe), };
    recover(&personal(transaction.eip712_signing_hash(&domain)), &plain)
}

/// Who asked for a Safe of his own.
#[must_use]
pub fn safe_creator(signature: &[u8]) -> Option<Address> {
    let create = CreateProxy {
        paymentToken: EvmAddress::ZERO,
        payment: U256::ZERO,
        paymentReceiver: EvmAddress::ZERO,
    };
    let domain = eip712_domain! {
        name: "Polymarket Contract Proxy Factory", chain_id: CHAIN_ID, verifying_contract: evm(SAFE_FACTORY),
    };
    recover(&create.eip712_signing_hash(&domain).0, signature)
}

/// A call relayed for a proxy wallet.
#[derive(Clone, Copy, Debug)]
pub struct Relayed<'a> {
    /// EOA.
    pub from: Address,
    /// The proxy factory.
    pub to: Address,
    /// Its input.
    pub data: &'a [u8],
    /// Most gas.
    pub gas_limit: u64,
    /// Nonce at the hub.
    pub nonce: u64,
    /// Who relays.
    pub relay: Address,
}

impl Relayed<'_> {
    /// Who signed it: fee and gas price are zero.
    #[must_use]
    pub fn signer(&self, signature: &[u8]) -> Option<Address> {
        let number = |value: u64| U256::from(value).to_be_bytes::<32>();
        let message = [
            &b"rlx:"[..],
            &self.from.0,
            &self.to.0,
            self.data,
            &number(0),
            &number(0),
            &number(self.gas_limit),
            &number(self.nonce),
            &RELAY_HUB.0,
            &self.relay.0,
        ];
        recover(&personal(keccak256(message.concat())), signature)
    }
}

/// The calls inside a Safe's transaction: itself, or those of a multi-send.
///
/// # Errors
/// What cannot be.
pub fn safe_calls(call: &Call, delegate: bool) -> Result<Vec<Call>, String> {
    match (call.to == SAFE_MULTISEND, delegate) {
        (false, false) => Ok(vec![call.clone()]),
        (true, true) => {
            let packed =
                abi::MultiSend::multiSendCall::abi_decode(&call.data).map_err(|error| error.to_string())?;
            unpack(&packed.transactions)
        }
        _ => Err("a Safe delegates to the multi-send contract only, and does not call it".to_owned()),
    }
}

/// `operation(1) to(20) value(32) length(32) data` one after the other.
fn unpack(mut packed: &[u8]) -> Result<Vec<Call>, String> {
    let mut calls = Vec::new();
    while !packed.is_empty() {
        let short = || "a multi-send that breaks off".to_owned();
        let (head, rest) = packed.split_at_checked(85).ok_or_else(short)?;
        let to =
            Address::from_slice(head.get(1..21).ok_or_else(short)?).map_err(|error| error.to_string())?;
        let number = |from: usize| head.get(from..from.saturating_add(32)).map(U256::from_be_slice);
        let length: usize = number(53).and_then(|length| length.try_into().ok()).ok_or_else(short)?;
        let (data, rest) = rest.split_at_checked(length).ok_or_else(short)?;
        if head.first() != Some(&0) || number(21) != Some(U256::ZERO) {
            return Err("a multi-send that delegates or pays is not simulated".to_owned());
        }
        calls.push(Call { to, data: data.to_vec() });
        packed = rest;
    }
    Ok(calls)
}

/// The calls inside an input of the proxy factory.
///
/// # Errors
/// What cannot be.
pub fn proxy_calls(data: &[u8]) -> Result<Vec<Call>, String> {
    let decoded = abi::ProxyFactory::proxyCall::abi_decode(data).map_err(|error| error.to_string())?;
    let one = |call: abi::ProxyCall| {
        if call.typeCode != 1 || !call.value.is_zero() {
            return Err("a proxy call that delegates or pays is not simulated".to_owned());
        }
        Ok(Call { to: Address(call.to.0.0), data: call.data.to_vec() })
    };
    decoded.calls.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::{PROXY_FACTORY, USDC_E};

    /// An account whose key everybody knows, and what it signs. Source: Polymarket/builder-relayer-client,
    /// `tests/signatures`: approving ConditionalTokens to take USDC.e.
    const EOA: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
    const APPROVE: &str = "095ea7b30000000000000000000000004d97dcd97ec945f40cf65f87097ace5ea0476045ffffffffffffffff\
        ffffffffffffffffffffffffffffffffffffffffffffffff";
    const PROXY: &str = "4c18e2d2294a00d686714aff8e7936ab657cb4655dfccb2b556efadcb7e835f800dc2fecec69c501e29bb36ecb54b4da6b7c410c4\
        dc740a33af2afde2b77297e1b";
    const SAFE: &str = "f368488355b0566e99eff3bccc35e98b77d8f3a6e6866176188488c34f0305b07e4a4c600c7a1592e4ac1e96b5887ebff2cb269\
        87a3ad501006b39944df098c21f";
    const CREATE: &str = "e3e791c24134b7bebe93b4771bd07c7fe7bbe115eeb0bf629ac3b7a435e7ac8d05f979729d873f7d0e16205becf48ee450aa382\
        bc28c65eedcd6454e81d81f921b";

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    #[test]
    fn signatures_of_the_official_client_are_the_owners() {
        let eoa: Address = EOA.parse().unwrap();
        let call = Call { to: USDC_E, data: bytes(APPROVE) };
        let safe = crate::world::wallets::safe_of(eoa);
        assert_eq!(safe_signer(safe, 0, (&call, false), &bytes(SAFE)), Some(eoa));
        assert_ne!(safe_signer(safe, 1, (&call, false), &bytes(SAFE)), Some(eoa));
        assert_eq!(safe_creator(&bytes(CREATE)), Some(eoa));
        let calls = vec![abi::ProxyCall {
            typeCode: 1,
            to: evm(USDC_E),
            value: U256::ZERO,
            data: call.data.clone().into(),
        }];
        let data = abi::ProxyFactory::proxyCall { calls }.abi_encode();
        let relay = "0xae700edfd9ab986395f3999fe11177b9903a52f1".parse().unwrap();
        let relayed =
            Relayed { from: eoa, to: PROXY_FACTORY, data: &data, gas_limit: 85_338, nonce: 0, relay };
        assert_eq!(relayed.signer(&bytes(PROXY)), Some(eoa));
        assert_eq!(proxy_calls(&data), Ok(vec![call]));
    }

    /// Two calls signed for the deposit wallet of the same account with PyPI `polymarket-client` 0.14.0.
    #[test]
    fn a_batch_of_the_official_python_client_is_the_owners() {
        let eoa: Address = EOA.parse().unwrap();
        let wallet = crate::world::wallets::deposit_wallet_of(eoa);
        let approve_all = "a22cb465000000000000000000000000ada100db00ca00073811820692005400218fce1f\
            0000000000000000000000000000000000000000000000000000000000000001";
        let calls = [
            Call { to: USDC_E, data: bytes(APPROVE) },
            Call { to: crate::contracts::CONDITIONAL_TOKENS, data: bytes(approve_all) },
        ];
        let signature = bytes(
            "e268694132adffab670e13e6f44271fcfc738c55a9c49979ecb6948c988a847722cca4649bc37f1a7ff5ffb0be7409b58db3f6602e4c\
             a7d5e844281a692d92de1b",
        );
        assert_eq!(batch_signer(wallet, 7, 1_795_450_390, &calls, &signature), Some(eoa));
        assert_ne!(batch_signer(wallet, 8, 1_795_450_390, &calls, &signature), Some(eoa));
        let [first, _] = &calls;
        let one = std::slice::from_ref(first);
        assert_ne!(batch_signer(wallet, 7, 1_795_450_390, one, &signature), Some(eoa));
    }

    #[test]
    fn packed_calls_are_taken_apart_or_refused() {
        let one = [&[0][..], &[7; 20], &[0; 32], &U256::from(3).to_be_bytes::<32>(), &[1, 2, 3]].concat();
        let call = Call { to: Address([7; 20]), data: vec![1, 2, 3] };
        assert_eq!(unpack(&[one.clone(), one.clone()].concat()), Ok(vec![call.clone(), call]));
        for bad in [&one[..87], &[&[1], &one[1..]].concat()[..], &[0xff; 100][..]] {
            assert!(unpack(bad).is_err());
        }
    }

    #[test]
    fn an_envelope_that_is_none_is_no_session() {
        assert_eq!(session(&[]), None);
        assert_eq!(session(&SESSION_MAGIC), None);
        assert_eq!(session(&[&[0xff; 96][..], &SESSION_MAGIC].concat()), None);
    }
}
