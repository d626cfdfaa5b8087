//! Signing in with a wallet (EIP-4361).
//!
//! The text to sign is made here, as a whole, and only a text that was made here is taken back: so nothing in it can be
//! another site's, another chain's, too old or used. Nobody parses what a stranger wrote.

use alloy_primitives::eip191_hash_message;
use domain::Address;
use secp256k1::{
    Message,
    ecdsa::{RecoverableSignature, RecoveryId},
};

use crate::{
    access::{Access, Peer},
    caller::Caller,
    did,
    error::{AccessError, AccessResult},
    limits::STEP_FOR,
    people::{Purpose, Ticket, User},
    secret::{Secret, digest},
    sign_in::SignedIn,
};

/// The statement of each text.
const STATEMENT: &str = "Sign in to Slipstream. This moves no money and allows nobody to trade.";

impl Access {
    /// The text that this wallet signs; it works once, for five minutes.
    ///
    /// # Errors
    /// When the store or the system fails.
    pub async fn wallet_text(&self, wallet: Address) -> AccessResult<String> {
        // Everybody may ask, so nothing of it may pile up.
        self.tidy().await?;
        let nonce = Secret::letters(self.random.as_ref())?;
        let now = self.now();
        let until = now.plus(STEP_FOR);
        let origin = self.settings.origin.as_str();
        let domain = origin.split_once("://").map_or(origin, |(_, host)| host);
        let text = format!(
            "{domain} wants you to sign in with your Ethereum account:\n{}\n\n{STATEMENT}\n\nURI: {origin}\nVersion: 1\n\
             Chain ID: {}\nNonce: {}\nIssued At: {now}\nExpiration Time: {until}",
            checksummed(wallet),
            self.settings.chain,
            nonce.reveal(),
        );
        let ticket =
            Ticket { hash: digest(&text), purpose: Purpose::Ethereum, user: None, role: None, until };
        self.people.add_ticket(&ticket, false, None).await?;
        Ok(text)
    }

    /// Signs in whoever has linked the wallet that signed this text of ours. Who has an authenticator app is asked for a
    /// code, too.
    ///
    /// # Errors
    /// [`AccessError::BadTicket`] for another text; [`AccessError::WrongCredentials`] for a wallet that is not linked or did
    /// not sign it; [`AccessError::TooMany`]; when the store fails.
    pub async fn sign_in_with_wallet(
        &self,
        text: &str,
        signature: &str,
        peer: &Peer,
    ) -> AccessResult<SignedIn> {
        let wallet = self.wallet_of(text, signature).await?;
        let counted = self.count(&wallet.to_string(), peer).await?;
        let user = self.people.user_of_wallet(wallet).await?;
        let Some(user) = user.filter(|user| user.disabled_at.is_none()) else {
            self.people.note(&self.line(None, peer, did::REFUSED, wallet.to_string())).await?;
            return Err(AccessError::WrongCredentials);
        };
        self.was_right(counted).await?;
        self.first_proof(&user, peer).await
    }

    /// Links the wallet that signed this text of ours: the caller may sign in with it from now on.
    ///
    /// # Errors
    /// [`AccessError::StepUp`]; [`AccessError::Conflict`] for another user's wallet; as [`Access::sign_in_with_wallet`].
    pub async fn link_wallet(
        &self,
        caller: &Caller,
        text: &str,
        signature: &str,
        peer: &Peer,
    ) -> AccessResult<Address> {
        caller.needs_proof(self.now())?;
        let wallet = self.wallet_of(text, signature).await?;
        let user = self.user_of(caller).await?;
        self.change(User { wallet: Some(wallet), ..user }, peer, did::WALLET_LINKED).await?;
        Ok(wallet)
    }

    /// Removes the link.
    ///
    /// # Errors
    /// [`AccessError::StepUp`]; [`AccessError::Invalid`] when the caller could not sign in any more; when the store fails.
    pub async fn unlink_wallet(&self, caller: &Caller, peer: &Peer) -> AccessResult<()> {
        caller.needs_proof(self.now())?;
        let user = self.user_of(caller).await?;
        if user.password.is_none() && self.people.passkeys_of(user.id).await?.is_empty() {
            let why = "set a password or add a passkey first: you could not sign in any more";
            return Err(AccessError::Invalid(why.to_owned()));
        }
        self.change(User { wallet: None, ..user }, peer, did::WALLET_REMOVED).await?;
        Ok(())
    }

    /// The wallet that signed a text of ours, which is used up.
    async fn wallet_of(&self, text: &str, signature: &str) -> AccessResult<Address> {
        self.redeem(text, Purpose::Ethereum).await?;
        let named = text.lines().nth(1).and_then(|line| line.to_lowercase().parse::<Address>().ok());
        let signed = signer(text, signature).ok_or(AccessError::WrongCredentials)?;
        if named == Some(signed) { Ok(signed) } else { Err(AccessError::WrongCredentials) }
    }
}

/// Who signed a text as wallets sign texts (ERC-191); `None` when it is no signature.
fn signer(text: &str, signature: &str) -> Option<Address> {
    let bytes = hex::decode(signature.strip_prefix("0x")?).ok()?;
    let (rest, [v]) =
        bytes.split_first_chunk::<64>().and_then(|(rs, v)| Some((rs, <[u8; 1]>::try_from(v).ok()?)))?;
    let recovery = RecoveryId::try_from(i32::from(if v >= 27 { v.wrapping_sub(27) } else { v })).ok()?;
    let signature = RecoverableSignature::from_compact(rest, recovery).ok()?;
    let message = Message::from_digest(eip191_hash_message(text.as_bytes()).0);
    let key = signature.recover(message).ok()?.serialize_uncompressed();
    Some(Address(alloy_primitives::Address::from_raw_public_key(key.get(1..)?).into_array()))
}

/// As EIP-55 writes an address.
fn checksummed(address: Address) -> String {
    alloy_primitives::Address::from(address.0).to_checksum(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EIP-55's own examples.
    #[test]
    fn addresses_are_written_with_their_checksum() {
        for text in
            ["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"]
        {
            assert_eq!(checksummed(text.to_lowercase().parse().unwrap()), text);
        }
    }

    #[test]
    fn what_is_no_signature_has_no_signer() {
        let long = format!("0x{}", "00".repeat(65));
        for signature in ["", "0x", "0x00", "1b", &long, &long[..130], &format!("{long}00"), "0xzz"] {
            assert_eq!(signer("text", signature), None, "{signature}");
        }
    }
}
