//! Passkeys: adding them, signing in with them, and proving with them who asks.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{
    access::{Access, Peer},
    caller::Caller,
    did,
    error::{AccessError, AccessResult},
    limits::{LONGEST_NAME, MOST_PASSKEYS, STEP_FOR},
    people::{Passkey, PasskeyId, Purpose, User},
    sign_in::NewSession,
    webauthn::{self, ALGORITHMS, PasskeyAnswer, Site},
};

/// Milliseconds that a browser waits for the person.
const PATIENCE_MS: u64 = 120_000;

impl Access {
    fn site(&self) -> Site<'_> {
        Site { origin: &self.settings.origin }
    }

    /// What the caller's browser needs to make a passkey, for its `parseCreationOptionsFromJSON`.
    ///
    /// # Errors
    /// [`AccessError::StepUp`], [`AccessError::NoPassphrase`]; when the store or the system fails.
    pub async fn new_passkey_options(&self, caller: &Caller) -> AccessResult<Value> {
        caller.needs_proof(self.now())?;
        let known = self.people.passkeys_of(caller.user).await?;
        let challenge = self.ticket(Purpose::NewPasskey, (Some(caller.user), None), STEP_FOR, None).await?;
        let known: Vec<Value> = known
            .iter()
            .map(|passkey| json!({ "type": "public-key", "id": URL_SAFE_NO_PAD.encode(&passkey.credential) }))
            .collect();
        let algorithms: Vec<Value> =
            ALGORITHMS.iter().map(|algorithm| json!({ "type": "public-key", "alg": algorithm })).collect();
        Ok(json!({
            "rp": { "id": self.site().id(), "name": "Slipstream" },
            "user": {
                "id": URL_SAFE_NO_PAD.encode(caller.user.0.to_be_bytes()),
                "name": caller.name,
                "displayName": caller.name,
            },
            "challenge": challenge.reveal(),
            "pubKeyCredParams": algorithms,
            "timeout": PATIENCE_MS,
            "excludeCredentials": known,
            "authenticatorSelection": { "residentKey": "required", "requireResidentKey": true, "userVerification": "required" },
            "attestation": "none",
        }))
    }

    /// Adds the passkey that the browser made.
    ///
    /// # Errors
    /// [`AccessError::StepUp`]; [`AccessError::BadTicket`] for a challenge that is not this caller's;
    /// [`AccessError::Invalid`]; [`AccessError::Conflict`] for a passkey that is known.
    pub async fn add_passkey(
        &self,
        caller: &Caller,
        name: &str,
        answer: &PasskeyAnswer,
        peer: &Peer,
    ) -> AccessResult<PasskeyId> {
        let now = self.now();
        caller.needs_proof(now)?;
        let name = name.trim();
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(AccessError::Invalid(format!("name the passkey in 1 to {LONGEST_NAME} characters")));
        }
        let user = self.user_of(caller).await?;
        if self.people.passkeys_of(user.id).await?.len() >= MOST_PASSKEYS {
            return Err(AccessError::Invalid(format!("you have {MOST_PASSKEYS} passkeys; remove one first")));
        }
        let challenge = webauthn::challenge(answer).ok_or(AccessError::BadTicket)?;
        let ticket = self.redeem(&challenge, Purpose::NewPasskey).await?;
        if ticket.user != Some(user.id) {
            return Err(AccessError::BadTicket);
        }
        let new = webauthn::new_passkey(answer, &self.site(), &challenge).ok_or_else(|| {
            let why = "this passkey cannot be used here: it must be made on this page, by a device that verifies you (a \
                       finger, a face or a PIN)";
            AccessError::Invalid(why.to_owned())
        })?;
        let passkey = Passkey {
            id: PasskeyId(0),
            user: user.id,
            credential: new.credential,
            key: new.key,
            algorithm: new.algorithm,
            counter: new.counter,
            name: name.to_owned(),
            created_at: now,
            used_at: None,
        };
        let note = self.note_of(caller, peer, did::PASSKEY_ADDED, name);
        Ok(self.people.add_passkey(&passkey, &note).await?)
    }

    /// The caller's passkeys.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn passkeys(&self, caller: &Caller) -> AccessResult<Vec<Passkey>> {
        Ok(self.people.passkeys_of(caller.user).await?)
    }

    /// Removes one of them.
    ///
    /// # Errors
    /// [`AccessError::StepUp`], [`AccessError::NotFound`]; [`AccessError::Invalid`] when the caller could not sign in any
    /// more; when the store fails.
    pub async fn remove_passkey(&self, caller: &Caller, passkey: PasskeyId, peer: &Peer) -> AccessResult<()> {
        caller.needs_proof(self.now())?;
        let user = self.user_of(caller).await?;
        let has_another_way = user.password.is_some() || user.wallet.is_some();
        if !has_another_way && self.people.passkeys_of(user.id).await?.len() == 1 {
            let why = "set a password first: you could not sign in any more";
            return Err(AccessError::Invalid(why.to_owned()));
        }
        let note = self.note_of(caller, peer, did::PASSKEY_REMOVED, &format!("passkey {passkey}"));
        let removed = self.people.remove_passkey(user.id, passkey, &note).await?;
        if removed { Ok(()) } else { Err(AccessError::NotFound("passkey")) }
    }

    /// What a browser needs to use a passkey, for its `parseRequestOptionsFromJSON`. Whoever asks learns nothing of who has
    /// one: the device knows its own.
    ///
    /// # Errors
    /// When the store or the system fails.
    pub async fn passkey_options(&self) -> AccessResult<Value> {
        // Everybody may ask, so nothing of it may pile up.
        self.tidy().await?;
        let challenge = self.ticket(Purpose::Passkey, (None, None), STEP_FOR, None).await?;
        Ok(json!({
            "challenge": challenge.reveal(),
            "timeout": PATIENCE_MS,
            "rpId": self.site().id(),
            "allowCredentials": [],
            "userVerification": "required",
        }))
    }

    /// Signs in whoever has this passkey; it is two proofs in one, so nothing else is asked for.
    ///
    /// # Errors
    /// [`AccessError::BadTicket`], [`AccessError::WrongCredentials`]; when the store fails.
    pub async fn sign_in_with_passkey(
        &self,
        answer: &PasskeyAnswer,
        peer: &Peer,
    ) -> AccessResult<NewSession> {
        let user = self.user_of_passkey(answer, peer).await?;
        self.begin(&user, None, Some(self.now()), peer, did::SIGNED_IN).await
    }

    /// Proves with a passkey who asks: a session with a new secret, in place of the old one.
    ///
    /// # Errors
    /// [`AccessError::BadTicket`], [`AccessError::WrongCredentials`], also for another user's; when the store fails.
    pub async fn prove_with_passkey(
        &self,
        caller: &Caller,
        answer: &PasskeyAnswer,
        peer: &Peer,
    ) -> AccessResult<NewSession> {
        self.user_of(caller).await?;
        let user = self.user_of_passkey(answer, peer).await?;
        if user.id != caller.user {
            return Err(AccessError::WrongCredentials);
        }
        self.begin(&user, Some(caller), Some(self.now()), peer, did::PROVEN).await
    }

    async fn user_of_passkey(&self, answer: &PasskeyAnswer, peer: &Peer) -> AccessResult<User> {
        let challenge = webauthn::challenge(answer).ok_or(AccessError::BadTicket)?;
        self.redeem(&challenge, Purpose::Passkey).await?;
        match self.passkey_of(answer, &challenge).await? {
            Some(user) => Ok(user),
            None => {
                self.people.note(&self.line(None, peer, did::REFUSED, "a passkey")).await?;
                Err(AccessError::WrongCredentials)
            }
        }
    }

    /// Whose passkey answered, if it did; its use is counted.
    async fn passkey_of(&self, answer: &PasskeyAnswer, challenge: &str) -> AccessResult<Option<User>> {
        let Ok(credential) = URL_SAFE_NO_PAD.decode(&answer.id) else { return Ok(None) };
        let Some((passkey, user)) = self.people.passkey(&credential).await? else { return Ok(None) };
        let key = (passkey.key.as_slice(), passkey.algorithm);
        let Some(counter) = webauthn::use_of(answer, &self.site(), challenge, key) else { return Ok(None) };
        // A device that counts and did not count up was copied.
        let is_copy = (counter != 0 || passkey.counter != 0) && counter <= passkey.counter;
        if is_copy || user.disabled_at.is_some() {
            return Ok(None);
        }
        let used = self.people.use_passkey(&passkey, counter, self.now()).await?;
        Ok(used.then_some(user))
    }
}
