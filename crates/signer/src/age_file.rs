//! Files that `age` encrypted for this installation's public key, so that a private key can be sealed on another
//! machine, with a tool everybody has. One kind of recipient (X25519), one chunk.
//! Source: the format's specification, age-encryption.org/v1 (github.com/C2SP/C2SP/blob/main/age.md).

use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::STANDARD_NO_PAD};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce, aead::Aead as _};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::{
    cipher::{NoRandomness, derive, random},
    limits::LONGEST_AGE_FILE,
};

const VERSION: &str = "age-encryption.org/v1";
const WRAPPING: &[u8] = b"age-encryption.org/v1/X25519";
/// The nonce of what is encrypted once with its key.
const ONCE: [u8; 12] = [0; 12];
/// The nonce of a payload's first chunk that is its last as well.
const ONLY_CHUNK: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ARMOUR: (&str, &str) = ("-----BEGIN AGE ENCRYPTED FILE-----", "-----END AGE ENCRYPTED FILE-----");

/// A file that is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgeError {
    /// Not of this format.
    #[error("it is no file of age with at most {LONGEST_AGE_FILE} bytes; make one with `age -r age1… FILE`")]
    Format,
    /// For somebody else.
    #[error(
        "it is not encrypted for this installation, or damaged; `slipstream signer public-key` says for whom to encrypt"
    )]
    NotForUs,
    /// Nothing to encrypt with.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Encrypts a short text for a public key.
pub(crate) fn encrypt(to: &PublicKey, plain: &[u8]) -> Result<Vec<u8>, AgeError> {
    let (file_key, nonce) = (random::<16>()?, random::<16>()?);
    let ephemeral = StaticSecret::from(*random::<32>()?);
    let share = PublicKey::from(&ephemeral);
    let wrapped = wrapping(&ephemeral, to, &share, to)
        .and_then(|key| once(key.as_slice(), ONCE, file_key.as_slice(), true))
        .ok_or(AgeError::NotForUs)?;
    let stanza = STANDARD_NO_PAD.encode(wrapped.as_slice());
    let header = format!("{VERSION}\n-> X25519 {}\n{stanza}\n---", STANDARD_NO_PAD.encode(share.as_bytes()));
    let mac = header_mac(file_key.as_slice(), header.as_bytes()).finalize().into_bytes();
    let payload_key = derive(file_key.as_slice(), nonce.as_slice(), b"payload");
    let payload = once(payload_key.as_slice(), ONLY_CHUNK, plain, true).ok_or(AgeError::Format)?;
    let mut file = format!("{header} {}\n", STANDARD_NO_PAD.encode(mac)).into_bytes();
    file.extend(nonce.as_slice());
    file.extend(payload.as_slice());
    Ok(file)
}

/// Opens a file, armoured or not, that was encrypted for `identity`.
pub(crate) fn decrypt(identity: &StaticSecret, file: &[u8]) -> Result<Zeroizing<Vec<u8>>, AgeError> {
    if file.len() > LONGEST_AGE_FILE {
        return Err(AgeError::Format);
    }
    let binary = match std::str::from_utf8(file).ok().map(str::trim) {
        Some(text) if text.starts_with(ARMOUR.0) => unarmoured(text).ok_or(AgeError::Format)?,
        _ => file.to_vec(),
    };
    let parsed = Parsed::of(&binary).ok_or(AgeError::Format)?;
    let own = PublicKey::from(identity);
    let file_key = parsed.stanzas.iter().find_map(|(share, wrapped)| {
        once(wrapping(identity, share, share, &own)?.as_slice(), ONCE, wrapped, false)
    });
    let file_key = file_key.filter(|key| key.len() == 16).ok_or(AgeError::NotForUs)?;
    header_mac(&file_key, parsed.header).verify_slice(&parsed.mac).map_err(|_| AgeError::NotForUs)?;
    let (nonce, payload) = parsed.rest.split_first_chunk::<16>().ok_or(AgeError::Format)?;
    let key = derive(&file_key, nonce, b"payload");
    once(key.as_slice(), ONLY_CHUNK, payload, false).ok_or(AgeError::NotForUs)
}

fn unarmoured(text: &str) -> Option<Vec<u8>> {
    let body = text.strip_prefix(ARMOUR.0)?.strip_suffix(ARMOUR.1)?;
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(body).ok()
}

/// The parts of a file.
struct Parsed<'a> {
    /// What is authenticated.
    header: &'a [u8],
    /// Ephemeral shares and encrypted file keys.
    stanzas: Vec<(PublicKey, Vec<u8>)>,
    mac: Vec<u8>,
    rest: &'a [u8],
}

impl<'a> Parsed<'a> {
    fn of(file: &'a [u8]) -> Option<Self> {
        let mut stanzas = Vec::new();
        let mut at = 0;
        let mut wanted = false;
        let mut first = true;
        loop {
            let tail = file.get(at..)?;
            let length = tail.iter().position(|byte| *byte == b'\n')?;
            let line = std::str::from_utf8(tail.get(..length)?).ok()?;
            if first && line != VERSION {
                return None;
            }
            if let Some(mac) = line.strip_prefix("--- ") {
                let header = file.get(..at + 3)?;
                let mac = STANDARD_NO_PAD.decode(mac).ok()?;
                return Some(Self { header, stanzas, mac, rest: file.get(at + length + 1..)? });
            }
            if let Some(arguments) = line.strip_prefix("-> ") {
                let share = arguments.strip_prefix("X25519 ").map(|share| STANDARD_NO_PAD.decode(share));
                wanted = share.is_some();
                if let Some(share) = share {
                    let share = <[u8; 32]>::try_from(share.ok()?.as_slice()).ok()?;
                    stanzas.push((PublicKey::from(share), Vec::new()));
                }
            } else if let (true, Some((_, body))) = (wanted, stanzas.last_mut()) {
                body.extend(STANDARD_NO_PAD.decode(line).ok()?);
            }
            first = false;
            at += length + 1;
        }
    }
}

/// The key that wraps a file key: of what `ours` and `theirs` share, of the ephemeral share and the recipient.
fn wrapping(
    ours: &StaticSecret,
    theirs: &PublicKey,
    share: &PublicKey,
    recipient: &PublicKey,
) -> Option<Zeroizing<[u8; 32]>> {
    let salt = [share.as_bytes().as_slice(), recipient.as_bytes()].concat();
    let shared = ours.diffie_hellman(theirs);
    // A share that gives the same for everybody's key.
    shared.was_contributory().then(|| derive(shared.as_bytes(), &salt, WRAPPING))
}

/// ChaCha20-Poly1305 with a key that is used with this nonce once.
fn once(key: &[u8], nonce: [u8; 12], text: &[u8], encrypts: bool) -> Option<Zeroizing<Vec<u8>>> {
    let cipher = ChaCha20Poly1305::new_from_slice(key).ok()?;
    let nonce = Nonce::from(nonce);
    let done = if encrypts { cipher.encrypt(&nonce, text) } else { cipher.decrypt(&nonce, text) };
    done.ok().map(Zeroizing::new)
}

fn header_mac(file_key: &[u8], header: &[u8]) -> Hmac<Sha256> {
    let key = derive(file_key, b"", b"header");
    crate::cipher::mac(&key, header)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::unlock::{Unlock, recipient, recipient_text};

    // Made with pyrage 1.4.0 (Rust's age crate): an identity that holds nothing, and the public test key of Hardhat and
    // Anvil, encrypted for another one and for it, and armoured for it alone.
    const IDENTITY: &str = "AGE-SECRET-KEY-13XZNAP72Y42UP0YMCETKQVNC7NTV4CHU4TWS2Q90WYLRMQV9L6QSGJQ627";
    const RECIPIENT: &str = "age1qah7e4rk2k6ufnx33pfy5mcyf8udtm9xxwlw0ny44at7v0r4tp3s3dx9dq";
    const TWO: &str = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBxVFU2Nm9hTzBlc2M1QWZ3cE4xM3ZPbFVWTkJPTWsvUHM4NVhlQn\
        p0R0VZCldpVzJSS3BQeU1ZakhGWFo3M0FMV040ZmdSc3NQMUF0UGEyVXdIbzJoamsKLT4gWDI1NTE5IGg1VHE3c1BpR24zL2VrM0xaanZjY2dY\
        d1F2WlNPTlhEWVQyRlI4WWhabjgKVHFVU1JNemhJbjlOanhKWWF5dEJLcXVhc3pWVXlPeUZ1KzBvbjRqRytGYwotPiB5ZyVoPlotZ3JlYXNlIC\
        91VmwufApDMDFOL1IrRzVadmpxbWFjZURQb01SK2RhMGJHN3hlUDJ0K3dBTWVwU09GVVlaekJJT2t3REY2N0plK0p5NktWCnc5UG1FNUUxYWJS\
        U3d1RVl3ZDdFR01ySk1EWFI0blUKLS0tIEhJanUzQXVMb2lQRW5PYWpMQS9tZUxzVzVoUlZaZElXSWhaUXRiN0g0dlkKcGlwmRzIL269/SA5eZ\
        xCTI8VMM7JT9QObCKoNKfRxoSFTjXASXzN4dty7AQVQXdaqr6LUX5VWWD4sajnSm0CntBZmlVFONOLyXMkcWN9Za0TkvVRLgv5KuoXJogVUygl\
        4+t/";
    const ARMOURED: &str = "-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBDKzE5ZzYxTFNJb2hhbVB6
NWlRWUJLYTh4NktWWjFNeTZtSCtwclpyeFhBCnZxUlovQVRoenNtdExqand1V0sz
T1FjcVE4TERCQ2IyS01YTnVsNnkxeHcKLT4gMi1ncmVhc2UgQEYyJmtoIFZDWyBA
RlwgRGcjODIKbDlMS0htZ0Q5YjlIUnlJYWVyTGpQNEZBZFRXdVJURzdld3JOSCtO
NG5mY2sxYklFWk1rWFVIcHNlc255aDhjYQpTUUp5MFVqQjNwYjZSTGZTcTltSmZT
VnZrTTVzd05OSHZMTC8KLS0tICt1M0gzSGRoUDN2dU1Fek9lYkMyZ0NHUG9UdDQz
YVV4NUgyUEU2cGFXa0UKuhx2AgjceXPTfzwtGYMwB/IpghuvZcOnBiTfyMgYvjHP
R1henBjUmaXEhl2JGfnLy3Bb6we/BxwTYi33vbjg8vUD/PLrbm9d3m+Ulww2DMG8
vNGA0b8a4fBclo7sFkwONQkx
-----END AGE ENCRYPTED FILE-----
";
    const TEXT: &[u8] = b"0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80\n";

    /// The identity as age has it: its 32 bytes are the X25519 key itself.
    fn identity() -> StaticSecret {
        let (_, bytes) = bech32::decode(IDENTITY).unwrap();
        StaticSecret::from(<[u8; 32]>::try_from(bytes.as_slice()).unwrap())
    }

    #[test]
    fn files_of_age_are_opened() {
        let identity = identity();
        assert_eq!(recipient_text(&PublicKey::from(&identity)), RECIPIENT);
        assert_eq!(recipient(RECIPIENT), Some(PublicKey::from(&identity)));
        assert!(Unlock::read(IDENTITY.as_bytes()).is_ok());
        let two = STANDARD.decode(TWO.replace([' ', '\n'], "")).unwrap();
        assert_eq!(decrypt(&identity, &two).unwrap().as_slice(), TEXT);
        assert_eq!(decrypt(&identity, ARMOURED.as_bytes()).unwrap().as_slice(), TEXT);
        let other = StaticSecret::from([7; 32]);
        assert_eq!(decrypt(&other, &two), Err(AgeError::NotForUs));
        let own = encrypt(&PublicKey::from(&other), TEXT).unwrap();
        assert_eq!(decrypt(&other, &own).unwrap().as_slice(), TEXT);
        assert_eq!(decrypt(&identity, &own), Err(AgeError::NotForUs));
    }

    #[test]
    fn a_changed_file_is_not_opened() {
        let identity = identity();
        let file = encrypt(&PublicKey::from(&identity), TEXT).unwrap();
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(decrypt(&identity, &changed).is_err(), "byte {at}");
            assert!(decrypt(&identity, &file[..at]).is_err(), "{at} bytes");
        }
        assert_eq!(decrypt(&identity, &vec![b'a'; LONGEST_AGE_FILE + 1]), Err(AgeError::Format));
    }

    proptest! {
        #[test]
        fn no_file_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), lines in ".{0,80}\n{0,3}.{0,80}") {
            let identity = identity();
            let one = format!("{VERSION}\n{lines}");
            let other = format!("{VERSION}\n-> X25519 {lines}\n--- AA\n");
            for file in [&bytes, one.as_bytes(), other.as_bytes()] {
                prop_assert!(decrypt(&identity, file).is_err());
            }
        }
    }
}
