//! Passkeys, with a device of our own.

use access::{AccessError, Caller, NewSession, PasskeyAnswer, PasskeyId, Role, Settings};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::world::{World, peer};

const ORIGIN: &str = "https://copy.example:8443";
/// The person was there, and was verified.
const VERIFIED: u8 = 0b101;

fn settings() -> Settings {
    Settings { origin: ORIGIN.to_owned(), ..Settings::default() }
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An authenticator and the browser before it, and what of their answers is changed on purpose.
struct Device {
    key: EcdsaKeyPair,
    random: SystemRandom,
    credential: Vec<u8>,
    counter: u32,
    origin: String,
    site: String,
    flags: u8,
    kind: Option<&'static str>,
}

impl Device {
    fn new(number: u8) -> Self {
        let random = SystemRandom::new();
        let bytes = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, bytes.as_ref(), &random).unwrap();
        let (origin, site) = (ORIGIN.to_owned(), "copy.example".to_owned());
        Self {
            key,
            random,
            credential: vec![number; 40],
            counter: 0,
            origin,
            site,
            flags: VERIFIED,
            kind: None,
        }
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let kind = self.kind.unwrap_or(kind);
        let said = json!({ "type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": false });
        said.to_string().into_bytes()
    }

    fn device_data(&self, more: u8) -> Vec<u8> {
        let mut data = Sha256::digest(self.site.as_bytes()).to_vec();
        data.push(self.flags | more);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// The answer to `navigator.credentials.create`.
    fn make(&self, options: &Value) -> PasskeyAnswer {
        let mut data = self.device_data(1 << 6);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.credential.len()).unwrap().to_be_bytes());
        data.extend(&self.credential);
        // {1: 2, 3: -7, -1: 1, -2: x, -3: y}, as CTAP orders it.
        let point = self.key.public_key().as_ref();
        data.extend([0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32]);
        data.extend(&point[1..33]);
        data.extend([0x22, 0x58, 32]);
        data.extend(&point[33..]);
        // {"fmt": "none", "attStmt": {}, "authData": data}
        let mut object = vec![0xa3, 0x63];
        object.extend(b"fmt\x64none\x67attStmt\xa0\x68authData\x58");
        object.push(u8::try_from(data.len()).unwrap());
        object.extend(data);
        let response = json!({
            "clientDataJSON": text(&self.client_data("webauthn.create", options)), "attestationObject": text(&object),
        });
        serde_json::from_value(json!({ "id": text(&self.credential), "response": response })).unwrap()
    }

    /// The answer to `navigator.credentials.get`.
    fn answer(&self, options: &Value) -> PasskeyAnswer {
        let said = self.client_data("webauthn.get", options);
        let data = self.device_data(0);
        let signed = [data.as_slice(), &Sha256::digest(&said)].concat();
        let signature = self.key.sign(&self.random, &signed).unwrap();
        let response = json!({
            "clientDataJSON": text(&said), "authenticatorData": text(&data), "signature": text(signature.as_ref()),
        });
        serde_json::from_value(json!({ "id": text(&self.credential), "response": response })).unwrap()
    }

    async fn add(&self, world: &World, caller: &Caller) -> Result<PasskeyId, AccessError> {
        let options = world.access.new_passkey_options(caller).await.unwrap();
        world.access.add_passkey(caller, "phone", &self.make(&options), &peer(1)).await
    }

    async fn sign_in(&self, world: &World) -> Result<NewSession, AccessError> {
        let options = world.access.passkey_options().await.unwrap();
        world.access.sign_in_with_passkey(&self.answer(&options), &peer(1)).await
    }
}

#[tokio::test]
async fn a_passkey_signs_in_by_itself_and_proves_who_asks() {
    let (world, ann) = World::with_accounts(settings()).await;
    super::second_factors::with_app(&world, &ann).await;
    let mut phone = Device::new(1);
    let options = world.access.new_passkey_options(&ann).await.unwrap();
    assert_eq!((&options["rp"]["id"], &options["attestation"]), (&json!("copy.example"), &json!("none")));
    phone.add(&world, &ann).await.unwrap();
    phone.counter = 1;
    let session = phone.sign_in(&world).await.unwrap();
    let caller = world.caller(&session).await;
    assert_eq!(caller.user(), ann.user());
    caller.needs_proof(world.now()).unwrap();
    world.pass(std::time::Duration::from_secs(5 * 60));
    assert_eq!(caller.needs_proof(world.now()), Err(AccessError::StepUp));
    phone.counter = 2;
    let options = world.access.passkey_options().await.unwrap();
    let answer = phone.answer(&options);
    let proven = world.access.prove_with_passkey(&caller, &answer, &peer(1)).await.unwrap();
    world.caller(&proven).await.needs_proof(world.now()).unwrap();
    phone.counter = 3;
    let replayed = world.access.sign_in_with_passkey(&answer, &peer(1)).await.map(|_| ());
    assert_eq!(replayed, Err(AccessError::BadTicket));
    let known = world.access.passkeys(&ann).await.unwrap();
    assert_eq!((known.len(), known[0].counter, known[0].name.as_str()), (1, 2, "phone"));
    assert!(known[0].used_at.is_some());
}

#[tokio::test]
async fn a_passkey_made_elsewhere_or_for_something_else_is_not_taken() {
    let (world, ann) = World::with_accounts(settings()).await;
    let new = || Device::new(1);
    let bad = [
        Device { origin: "https://evil.example".to_owned(), ..new() },
        Device { origin: "https://copy.example".to_owned(), ..new() },
        Device { site: "evil.example".to_owned(), ..new() },
        Device { flags: 1, ..new() },
        Device { flags: 4, ..new() },
        Device { kind: Some("webauthn.get"), ..new() },
    ];
    for device in bad {
        let answer = device.add(&world, &ann).await;
        assert!(
            matches!(answer, Err(AccessError::Invalid(_))),
            "{} {}: {answer:?}",
            device.origin,
            device.flags
        );
    }
    let phone = new();
    let options = world.access.new_passkey_options(&ann).await.unwrap();
    let other = PasskeyAnswer { id: text(&[9; 40]), ..phone.make(&options) };
    let answer = world.access.add_passkey(&ann, "phone", &other, &peer(1)).await;
    assert!(matches!(answer, Err(AccessError::Invalid(_))), "another name of it: {answer:?}");
    // The challenge belongs to whoever asked for it.
    let session = world.add(&ann, "bob", Role::Trader).await;
    let bob = world.caller(&session).await;
    let options = world.access.new_passkey_options(&ann).await.unwrap();
    let stolen = world.access.add_passkey(&bob, "phone", &phone.make(&options), &peer(1)).await;
    assert_eq!(stolen, Err(AccessError::BadTicket));
    phone.add(&world, &ann).await.unwrap();
    let twice = phone.add(&world, &bob).await;
    assert!(matches!(twice, Err(AccessError::Conflict(_))), "{twice:?}");
}

#[tokio::test]
async fn a_use_that_proves_nothing_lets_nobody_in() {
    let (world, ann) = World::with_accounts(settings()).await;
    let phone = Device { counter: 5, ..Device::new(1) };
    phone.add(&world, &ann).await.unwrap();
    let again = |counter: u32| Device { counter, credential: phone.credential.clone(), ..Device::new(1) };
    let wrong = Err(AccessError::WrongCredentials);
    assert_eq!(again(9).sign_in(&world).await.map(|_| ()), wrong, "another key");
    assert_eq!(Device::new(2).sign_in(&world).await.map(|_| ()), wrong, "an unknown credential");
    let mut phone = phone;
    assert_eq!(phone.sign_in(&world).await.map(|_| ()), wrong, "a count that stands: a copy");
    phone.counter = 6;
    let bad: [fn(&mut Device); 5] = [
        |device| device.flags = 1,
        |device| device.flags = 4,
        |device| device.site = "evil.example".to_owned(),
        |device| device.origin = "https://evil.example".to_owned(),
        |device| device.kind = Some("webauthn.create"),
    ];
    for change in bad {
        let (origin, site, flags) = (phone.origin.clone(), phone.site.clone(), phone.flags);
        change(&mut phone);
        assert_eq!(
            phone.sign_in(&world).await.map(|_| ()),
            wrong,
            "{} {} {}",
            phone.origin,
            phone.site,
            phone.flags
        );
        (phone.origin, phone.site, phone.flags, phone.kind) = (origin, site, flags, None);
    }
    // Each byte of what is signed counts.
    let options = world.access.passkey_options().await.unwrap();
    let good = phone.answer(&options);
    let mut data = URL_SAFE_NO_PAD.decode(good.response.authenticator_data.as_deref().unwrap()).unwrap();
    *data.last_mut().unwrap() ^= 8;
    let mut changed = good;
    changed.response.authenticator_data = Some(text(&data));
    assert_eq!(world.access.sign_in_with_passkey(&changed, &peer(1)).await.map(|_| ()), wrong);
    phone.sign_in(&world).await.unwrap();
    let session = world.add(&ann, "bob", Role::Trader).await;
    let bob = world.caller(&session).await;
    phone.counter = 7;
    let options = world.access.passkey_options().await.unwrap();
    let others = world.access.prove_with_passkey(&bob, &phone.answer(&options), &peer(1)).await.map(|_| ());
    assert_eq!(others, wrong, "ann's passkey proves nothing of bob");
}
