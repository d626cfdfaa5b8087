//! The `ClobAuth` message: the login (L1) that API credentials are created and derived with.

use alloy_primitives::{hex, keccak256};
use domain::{Address, Hash};

use crate::{
    exchange::Chain,
    word::{Word, address, digest, hash_struct, number},
};

/// The only text a login signs. Source: the official clients' `MSG_TO_SIGN`.
pub const CLOB_AUTH_MESSAGE: &str = "This message attests that I control the given wallet";

const TYPE_HASH: Word = hex!("52578c5c725a28a84fedc8c22aa47947822942f35b4dc350db028e45320e035c");
const MESSAGE_HASH: Word = hex!("474924bb27022542020023b4a52fb834ca5e3dd70b9a4d7e7fe9ca13228cbda3");
const DOMAIN_POLYGON: Word = hex!("cfc66be2a3b30464cb3b588324101f660c9a205fa76e8e5f83ee16a528e1c4cb");
const DOMAIN_AMOY: Word = hex!("a1df8f4e3112eaee2448fbec9ab79f68278407e49d9cf52e3dd3d9692fcac9b6");

/// A login to be signed; its message is always [`CLOB_AUTH_MESSAGE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClobAuth {
    /// The address of the signing key.
    pub address: Address,
    /// Unix time in seconds, as the header says it.
    pub timestamp_seconds: u64,
    /// Chooses among several credentials of one address; 0 as a rule.
    pub nonce: u64,
}

/// What the key signs to log in. The domain has a name, a version and a chain, but no contract.
#[must_use]
pub fn clob_auth_digest(auth: &ClobAuth, chain: Chain) -> Hash {
    let separator = match chain {
        Chain::Polygon => DOMAIN_POLYGON,
        Chain::Amoy => DOMAIN_AMOY,
    };
    let contents = hash_struct(&[
        TYPE_HASH,
        address(auth.address),
        keccak256(auth.timestamp_seconds.to_string()).0,
        number(auth.nonce),
        MESSAGE_HASH,
    ]);
    Hash(digest(&separator, &contents))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_the_hashes_of_their_texts() {
        let domain_type = keccak256("EIP712Domain(string name,string version,uint256 chainId)");
        let domain = |chain: Chain| {
            let words = [domain_type.0, keccak256("ClobAuthDomain").0, keccak256("1").0, number(chain.id())];
            hash_struct(&words)
        };
        let type_hash = keccak256("ClobAuth(address address,string timestamp,uint256 nonce,string message)");
        assert_eq!(TYPE_HASH, type_hash.0);
        assert_eq!(MESSAGE_HASH, keccak256(CLOB_AUTH_MESSAGE).0);
        assert_eq!(DOMAIN_POLYGON, domain(Chain::Polygon));
        assert_eq!(DOMAIN_AMOY, domain(Chain::Amoy));
    }
}
