//! What a browser says for a passkey (WebAuthn, level 3), and whether it is true.
//!
//! Attestation is not asked for: which company made a device is nobody's business here. A use must have verified the
//! person (a finger, a face, a PIN), so that a passkey is two proofs in one.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{cbor::Value, secret};

/// Algorithms that are taken, the best first: ES256, EdDSA, RS256. Numbers of COSE.
pub(crate) const ALGORITHMS: [i64; 3] = [-7, -8, -257];

/// A browser's answer, as its own `toJSON()` writes it.
#[derive(Clone, Debug, Deserialize)]
pub struct PasskeyAnswer {
    /// The credential, base64url.
    pub id: String,
    /// What was said.
    pub response: PasskeyResponse,
}

/// What a browser says for a passkey; all base64url.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PasskeyResponse {
    /// What the browser itself says.
    #[serde(rename = "clientDataJSON")]
    pub client_data: String,
    /// Of a new passkey.
    #[serde(default)]
    pub attestation_object: Option<String>,
    /// Of a use.
    #[serde(default)]
    pub authenticator_data: Option<String>,
    /// Of a use.
    #[serde(default)]
    pub signature: Option<String>,
}

/// What our site is called.
pub(crate) struct Site<'s> {
    /// As browsers write it: scheme, host, port.
    pub(crate) origin: &'s str,
}

impl Site<'_> {
    /// The host alone, which passkeys belong to.
    pub(crate) fn id(&self) -> &str {
        let host = self.origin.split_once("://").map_or(self.origin, |(_, host)| host);
        host.rsplit_once(':')
            .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
            .map_or(host, |(host, _)| host)
    }
}

/// A new passkey, as its device gave it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NewPasskey {
    pub(crate) credential: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) algorithm: i64,
    pub(crate) counter: i64,
}

/// What the browser says of what it did.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    cross_origin: bool,
}

/// The challenge that an answer names; whether it is one of ours is not known by that.
pub(crate) fn challenge(answer: &PasskeyAnswer) -> Option<String> {
    client_data(answer).map(|(said, _)| said.challenge)
}

fn client_data(answer: &PasskeyAnswer) -> Option<(ClientData, [u8; 32])> {
    let bytes = decoded(&answer.response.client_data)?;
    Some((serde_json::from_slice(&bytes).ok()?, Sha256::digest(&bytes).into()))
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The hash of what a browser said, if it said this of our site and did so there.
fn said_here(answer: &PasskeyAnswer, site: &Site<'_>, kind: &str, challenge: &str) -> Option<[u8; 32]> {
    let (said, hash) = client_data(answer)?;
    let is_ours = said.kind == kind
        && secret::same(said.challenge.as_bytes(), challenge.as_bytes())
        && said.origin == site.origin
        && !said.cross_origin;
    is_ours.then_some(hash)
}

/// What a device says: for our site, with the person there and verified.
struct DeviceData<'d> {
    counter: i64,
    has_key: bool,
    rest: &'d [u8],
}

fn device_data<'d>(bytes: &'d [u8], site: &Site<'_>) -> Option<DeviceData<'d>> {
    const PRESENT: u8 = 1;
    const VERIFIED: u8 = 1 << 2;
    const HAS_KEY: u8 = 1 << 6;
    let (hash, rest) = bytes.split_first_chunk::<32>()?;
    let ([flags], rest) = rest.split_first_chunk::<1>()?;
    let (counter, rest) = rest.split_first_chunk::<4>()?;
    let ours: [u8; 32] = Sha256::digest(site.id().as_bytes()).into();
    let proves = *hash == ours && flags & PRESENT != 0 && flags & VERIFIED != 0;
    proves.then(|| DeviceData {
        counter: i64::from(u32::from_be_bytes(*counter)),
        has_key: flags & HAS_KEY != 0,
        rest,
    })
}

/// The passkey that an answer to this challenge brings; `None` when anything is not as it must be.
pub(crate) fn new_passkey(answer: &PasskeyAnswer, site: &Site<'_>, challenge: &str) -> Option<NewPasskey> {
    /// Source: WebAuthn, 6.5.2.
    const LONGEST_CREDENTIAL: usize = 1_023;
    said_here(answer, site, "webauthn.create", challenge)?;
    let object = decoded(answer.response.attestation_object.as_deref()?)?;
    let (object, _) = Value::read(&object)?;
    let data = device_data(object.named("authData")?.bytes()?, site)?;
    if !data.has_key {
        return None;
    }
    // The model of the device, the length of the credential, the credential, the key.
    let (_, rest) = data.rest.split_first_chunk::<16>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (credential, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (key, after) = Value::read(rest)?;
    let algorithm = key.at(3)?.int()?;
    let key_bytes = rest.get(..rest.len().checked_sub(after.len())?)?;
    let is_known = ALGORITHMS.contains(&algorithm) && is_key(&key, algorithm);
    let is_named = decoded(&answer.id)? == credential && credential.len() <= LONGEST_CREDENTIAL;
    (is_known && is_named).then(|| NewPasskey {
        credential: credential.to_vec(),
        key: key_bytes.to_vec(),
        algorithm,
        counter: data.counter,
    })
}

/// The device's count after this use of a passkey; `None` when the key did not sign it, or it is for something else.
pub(crate) fn use_of(
    answer: &PasskeyAnswer,
    site: &Site<'_>,
    challenge: &str,
    (key, algorithm): (&[u8], i64),
) -> Option<i64> {
    let hash = said_here(answer, site, "webauthn.get", challenge)?;
    let device = decoded(answer.response.authenticator_data.as_deref()?)?;
    let signature = decoded(answer.response.signature.as_deref()?)?;
    let data = device_data(&device, site)?;
    let (key, _) = Value::read(key)?;
    let signed = [device.as_slice(), &hash].concat();
    is_signed(&key, algorithm, &signed, &signature)?;
    Some(data.counter)
}

/// The point of an ES256 key.
fn point(key: &Value) -> Option<Vec<u8>> {
    let is_p256 = key.at(1)?.int()? == 2 && key.at(-1)?.int()? == 1;
    let (x, y) = (key.at(-2)?.bytes()?, key.at(-3)?.bytes()?);
    (is_p256 && x.len() == 32 && y.len() == 32).then(|| [&[4], x, y].concat())
}

/// The point of an Ed25519 key.
fn edwards(key: &Value) -> Option<&[u8]> {
    let is_ed25519 = key.at(1)?.int()? == 1 && key.at(-1)?.int()? == 6;
    key.at(-2)?.bytes().filter(|x| is_ed25519 && x.len() == 32)
}

/// Modulus and exponent of an RSA key.
fn rsa(key: &Value) -> Option<RsaPublicKeyComponents<&[u8]>> {
    let is_rsa = key.at(1)?.int()? == 3;
    let (n, e) = (key.at(-1)?.bytes()?, key.at(-2)?.bytes()?);
    is_rsa.then_some(RsaPublicKeyComponents { n, e })
}

fn is_key(key: &Value, algorithm: i64) -> bool {
    match algorithm {
        -7 => point(key).is_some(),
        -8 => edwards(key).is_some(),
        -257 => rsa(key).is_some(),
        _ => false,
    }
}

fn is_signed(key: &Value, algorithm: i64, text: &[u8], signature: &[u8]) -> Option<()> {
    match algorithm {
        -7 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point(key)?).verify(text, signature).ok(),
        -8 => UnparsedPublicKey::new(&ED25519, edwards(key)?).verify(text, signature).ok(),
        -257 => rsa(key)?.verify(&RSA_PKCS1_2048_8192_SHA256, text, signature).ok(),
        _ => None,
    }
}
