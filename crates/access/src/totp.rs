//! Codes of an authenticator app (RFC 6238), and the recovery codes for when it is lost.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{Hash, Timestamp};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha1::Sha1;

use crate::{
    access::{Access, Peer, Randomness},
    caller::{Caller, found},
    did,
    error::{AccessError, AccessResult},
    limits::RECOVERY_CODES,
    people::{Purpose, User, UserId},
    secret::{self, NoRandomness},
    sign_in::NewSession,
};

/// Seconds that a code is for. What every app can do; others differ in what else they can.
const STEP: i64 = 30;

/// A secret for an app that has not shown a code yet.
#[derive(Serialize)]
pub struct TotpOffer {
    /// For typing into the app.
    pub secret: String,
    /// For a picture that the app reads.
    pub uri: String,
    /// To be given back with the first code; tells nothing.
    pub offer: String,
}

impl std::fmt::Debug for TotpOffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an offer of a secret")
    }
}

/// The code of a step of time.
fn code(secret: &[u8], step: i64) -> Option<u32> {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).ok()?;
    mac.update(&step.to_be_bytes());
    let hash: [u8; 20] = mac.finalize().into_bytes().into();
    let at = usize::from(hash.last()? & 15);
    let four: [u8; 4] = hash.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some((u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000)
}

/// The step of time whose code this is: now's, or one beside it, and later than those that were used.
fn step_of(secret: &[u8], given: &str, now: Timestamp, used: i64) -> Option<i64> {
    let given: String = given.chars().filter(|letter| !letter.is_whitespace()).collect();
    let is = |step: i64| {
        let expected = code(secret, step).map(|code| format!("{code:06}"));
        expected.is_some_and(|expected| secret::same(expected.as_bytes(), given.as_bytes()))
    };
    let now = now.seconds().div_euclid(STEP);
    [now.saturating_sub(1), now, now.saturating_add(1)].into_iter().find(|step| *step > used && is(*step))
}

/// Base 32 of RFC 4648 without filling.
fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0);
    let letters = (0..bytes.len().saturating_mul(8)).step_by(5).map(|start| {
        let value = (start..start.saturating_add(5)).fold(0, |value, at| value << 1 | usize::from(bit(at)));
        char::from(LETTERS.get(value).copied().unwrap_or(b'A'))
    });
    letters.collect()
}

fn sealed_for(user: UserId) -> String {
    format!("totp of user {user}")
}

fn offered_to(user: UserId) -> String {
    format!("totp offered to user {user}")
}

/// Codes for paper, and what is kept of them.
fn recovery_codes(random: &dyn Randomness) -> Result<Vec<(String, Hash)>, NoRandomness> {
    let make = |_| {
        let mut bytes = [0; 10];
        random.fill(&mut bytes)?;
        let letters = base32(&bytes).to_lowercase();
        let groups: Vec<&str> = (0..4).filter_map(|at| letters.get(at * 4..at * 4 + 4)).collect();
        let shown = groups.join("-");
        let kept = kept_of(&shown);
        Ok((shown, kept))
    };
    (0..RECOVERY_CODES).map(make).collect()
}

fn kept_of(code: &str) -> Hash {
    let letters: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    secret::derived("recovery", &letters.to_lowercase())
}

impl Access {
    /// A new secret for an authenticator app. Nothing is kept of it until the app has shown a code.
    ///
    /// # Errors
    /// [`AccessError::StepUp`], [`AccessError::NoPassphrase`]; when the system fails.
    pub fn offer_totp(&self, caller: &Caller) -> AccessResult<TotpOffer> {
        caller.needs_proof(self.now())?;
        let mut bytes = zeroize::Zeroizing::new([0; 20]);
        self.random.fill(bytes.as_mut_slice())?;
        let sealed = self.sealing.seal(self.random.as_ref(), &offered_to(caller.user), bytes.as_slice())?;
        let secret = base32(bytes.as_slice());
        let uri = format!("otpauth://totp/Slipstream:{}?secret={secret}&issuer=Slipstream", caller.name);
        Ok(TotpOffer { secret, uri, offer: URL_SAFE_NO_PAD.encode(sealed) })
    }

    /// Asks for the app's codes from now on, because it has shown the right one; new recovery codes, to be shown once.
    ///
    /// # Errors
    /// [`AccessError::WrongCode`], [`AccessError::StepUp`]; when the store fails.
    pub async fn add_totp(
        &self,
        caller: &Caller,
        offer: &str,
        code: &str,
        peer: &Peer,
    ) -> AccessResult<Vec<String>> {
        caller.needs_proof(self.now())?;
        let sealed = URL_SAFE_NO_PAD.decode(offer).map_err(|_| AccessError::BadTicket)?;
        let secret = self.sealing.open(&offered_to(caller.user), &sealed).ok_or(AccessError::BadTicket)?;
        let step = step_of(&secret, code, self.now(), 0).ok_or(AccessError::WrongCode)?;
        let user = self.user_of(caller).await?;
        let sealed = self.sealing.seal(self.random.as_ref(), &sealed_for(user.id), &secret)?;
        let user = User { totp: Some(sealed), totp_step: step, ..user };
        self.change(user, peer, did::TOTP_ADDED).await?;
        self.new_recovery_codes(caller, peer).await
    }

    /// Asks for no codes any more.
    ///
    /// # Errors
    /// [`AccessError::StepUp`]; when the store fails.
    pub async fn remove_totp(&self, caller: &Caller, peer: &Peer) -> AccessResult<()> {
        caller.needs_proof(self.now())?;
        let user = self.user_of(caller).await?;
        self.change(User { totp: None, ..user }, peer, did::TOTP_REMOVED).await?;
        let note = self.note_of(caller, peer, did::CODES_MADE, "none");
        Ok(self.people.set_recovery_codes(caller.user, &[], &note).await?)
    }

    /// Ten codes, each of which replaces a code of the app once; those from before work no more.
    ///
    /// # Errors
    /// [`AccessError::StepUp`]; when the store fails.
    pub async fn new_recovery_codes(&self, caller: &Caller, peer: &Peer) -> AccessResult<Vec<String>> {
        caller.needs_proof(self.now())?;
        let codes = recovery_codes(self.random.as_ref())?;
        let kept: Vec<Hash> = codes.iter().map(|(_, kept)| *kept).collect();
        let note = self.note_of(caller, peer, did::CODES_MADE, &kept.len().to_string());
        self.people.set_recovery_codes(caller.user, &kept, &note).await?;
        Ok(codes.into_iter().map(|(shown, _)| shown).collect())
    }

    /// The second step of a sign-in: a code of the app, or a recovery code.
    ///
    /// # Errors
    /// [`AccessError::WrongCode`], [`AccessError::TooMany`], [`AccessError::BadTicket`]; when the store fails.
    pub async fn second_factor(&self, sign_in: &str, code: &str, peer: &Peer) -> AccessResult<NewSession> {
        let ticket = self.look_at_link(sign_in, Purpose::SecondFactor).await?;
        let id = ticket.user.ok_or(AccessError::BadTicket)?;
        let counted = self.count(&format!("code of user {id}"), peer).await?;
        let user = found(self.people.user(id).await, "user")?;
        if user.disabled_at.is_some() {
            return Err(AccessError::BadTicket);
        }
        let Some(user) = self.accept_code(user, code, peer).await? else {
            self.people.note(&self.line(None, peer, did::REFUSED, format!("user {id}"))).await?;
            return Err(AccessError::WrongCode);
        };
        self.redeem(sign_in, Purpose::SecondFactor).await?;
        self.was_right(counted).await?;
        self.begin(&user, None, Some(self.now()), peer, did::SIGNED_IN).await
    }

    /// The user, if the code is right; it is used up then.
    async fn accept_code(&self, user: User, code: &str, peer: &Peer) -> AccessResult<Option<User>> {
        let sealed = user.totp.as_deref().unwrap_or_default();
        let secret = self.sealing.open(&sealed_for(user.id), sealed);
        let step = secret.and_then(|secret| step_of(&secret, code, self.now(), user.totp_step));
        if let Some(totp_step) = step {
            return match self.change(User { totp_step, ..user }, peer, did::PROVEN).await {
                Ok(user) => Ok(Some(user)),
                // The same code at the same time: one of them used it.
                Err(AccessError::Conflict(_)) => Ok(None),
                Err(error) => Err(error),
            };
        }
        let note = self.line(Some((user.id, user.owner)), peer, did::CODE_USED, "");
        let taken = self.people.take_recovery_code(user.id, kept_of(code), &note).await?;
        Ok(taken.then_some(user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, of SHA-1; six digits are the last six of its eight.
    #[test]
    fn codes_are_those_of_the_standard() {
        let known = [
            (59, 287_082),
            (1_111_111_109, 81_804),
            (1_111_111_111, 50_471),
            (1_234_567_890, 5_924),
            (2_000_000_000, 279_037),
            (20_000_000_000, 353_130),
        ];
        for (seconds, expected) in known {
            assert_eq!(code(b"12345678901234567890", seconds / STEP), Some(expected), "{seconds}");
        }
    }

    #[test]
    fn a_code_works_in_its_step_and_those_beside_it_and_once() {
        let secret = b"12345678901234567890";
        let of = |step: i64| format!("{:06}", code(secret, step).unwrap());
        let now = Timestamp::from_seconds(1_000 * STEP + 7);
        for (step, works) in [(998, false), (999, true), (1_000, true), (1_001, true), (1_002, false)] {
            assert_eq!(step_of(secret, &of(step), now, 0).is_some(), works, "{step}");
        }
        assert_eq!(step_of(secret, &of(1_000), now, 1_000), None, "used");
        assert_eq!(step_of(secret, &of(999), now, 1_000), None, "older than one that was used");
        for wrong in ["", "1", "abcdef", "0000000"] {
            assert_eq!(step_of(secret, wrong, now, 0), None, "{wrong}");
        }
        let right = of(1_000);
        let (first, last) = right.split_at(3);
        assert_eq!(step_of(secret, &format!("{first} {last}"), now, 0), Some(1_000), "as apps show it");
    }

    /// RFC 4648, section 10.
    #[test]
    fn base_32_is_that_of_the_standard() {
        for (plain, expected) in
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foob", "MZXW6YQ"), ("foobar", "MZXW6YTBOI")]
        {
            assert_eq!(base32(plain.as_bytes()), expected, "{plain}");
        }
    }
}
