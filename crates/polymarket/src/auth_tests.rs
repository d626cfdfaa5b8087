//! Credentials: the official clients' signatures, and login answers of every kind.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn reply(api_key: &str, secret: &str, passphrase: &str) -> LoginReply {
    LoginReply {
        api_key: api_key.to_owned(),
        secret: Zeroizing::new(secret.to_owned()),
        passphrase: Zeroizing::new(passphrase.to_owned()),
    }
}

#[test]
fn the_official_clients_sign_the_same() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../tests/vectors/hmac_l2.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 4);
    for vector in vectors {
        let text = |key: &str| vector[key].as_str().unwrap_or_default();
        let signature = l2_signature(
            &keyed_mac(text("secret")).unwrap(),
            &vector["timestamp"].to_string(),
            text("method"),
            text("path"),
            text("body").as_bytes(),
        );
        assert_eq!(signature, text("signature"), "{vector}");
    }
}

#[test]
fn both_base64_alphabets_and_missing_padding_are_read() {
    let signature = |secret| l2_signature(&keyed_mac(secret).unwrap(), "1", "GET", "/", b"");
    assert_eq!(signature("-_-_"), signature("+/+/"));
    assert_eq!(signature("AAA="), signature("AAA"));
    assert!(keyed_mac("not base64!").is_err());
}

#[test]
fn unusable_credentials_are_refused() {
    let address = Address([1; 20]);
    assert!(Credentials::new(address, reply("key", "AAAA", "phrase")).is_ok());
    let long = "A".repeat(MAX_CREDENTIAL + 1);
    for (key, secret, passphrase) in
        [("", "AAAA", "p"), ("k\r\nx", "AAAA", "p"), ("k", "A A", "p"), ("k", "AAAA", &long), ("k", "?", "p")]
    {
        assert!(Credentials::new(address, reply(key, secret, passphrase)).is_err(), "{key} {passphrase}");
    }
}

#[test]
fn addresses_are_checksummed() {
    let address = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266".parse().unwrap();
    assert_eq!(checksummed(address), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
}

const SIGNER: Address = Address([1; 20]);
static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| crate::client().unwrap());

fn answer(status: u16, body: &[u8]) -> Answer {
    Answer::of(status, body)
}

fn login(api_key: &str, secret: &str, passphrase: &str) -> String {
    serde_json::json!({ "apiKey": api_key, "secret": secret, "passphrase": passphrase }).to_string()
}

/// Whatever is read can be used: its headers make a request, and errors are typed and short.
fn is_usable_or_typed(status: u16, body: &[u8]) -> Result<(), TestCaseError> {
    match Credentials::of_answer(SIGNER, &answer(status, body), "API login") {
        Ok(credentials) => {
            prop_assert!((200..300).contains(&status));
            let request =
                credentials.authenticate(CLIENT.get("http://localhost/"), 1, "GET", "/", b"").build();
            prop_assert_eq!(request.unwrap().headers().len(), 5);
        }
        Err(error) => prop_assert!(error.to_string().len() < 1_500, "{}", error),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_credentials_or_a_typed_error(
        status in 100_u16..600, body in proptest::collection::vec(any::<u8>(), 0..400)
    ) {
        is_usable_or_typed(status, &body)?;
    }

    #[test]
    fn any_three_texts_are_credentials_or_a_typed_error(key in ".{0,300}", secret in ".{0,300}", phrase in ".{0,300}") {
        is_usable_or_typed(200, login(&key, &secret, &phrase).as_bytes())?;
    }

    #[test]
    fn a_truncated_answer_is_an_error(end in 0_usize..200) {
        let whole = login("00000000-0000-0000-0000-000000000001", "c2VjcmV0c2VjcmV0", "0123456789abcdef");
        let end = end % whole.len();
        let cut = Credentials::of_answer(SIGNER, &answer(200, &whole.as_bytes()[..end]), "API login");
        let malformed = matches!(cut.err(), Some(VenueError::Malformed { .. }));
        prop_assert!(malformed);
    }

    /// Under any status, whole or cut, with other fields around it.
    #[test]
    fn no_error_quotes_a_secret(status in 100_u16..600, end in 30_usize..400, wrong in 0_usize..4) {
        let (secret, phrase) = ("c2VjcmV0c2VjcmV0", "0123456789abcdef");
        let long = "k".repeat(MAX_CREDENTIAL + 1);
        let body = match wrong {
            0 => login("key", secret, &format!("{phrase} with a blank")),
            1 => login("key", &format!("{secret}!"), phrase),
            2 => login(&long, secret, phrase),
            _ => format!("[{}]", login("key", secret, phrase)),
        };
        let body = &body.as_bytes()[..end.min(body.len())];
        if let Err(error) = Credentials::of_answer(SIGNER, &answer(status, body), "API login") {
            let text = format!("{error} {error:?}");
            prop_assert!(!text.contains(secret) && !text.contains(phrase), "{}", text);
        }
    }
}

/// Hostile sizes, depths and numbers.
#[test]
fn the_corpus_is_survived() {
    let sample = login("00000000-0000-0000-0000-000000000001", "c2VjcmV0c2VjcmV0", "0123456789abcdef");
    let read = |bytes: &[u8]| Credentials::of_answer(SIGNER, &answer(200, bytes), "API login").ok();
    crate::hostile::survives(&sample, read, |credentials| {
        let key = credentials.api_key();
        !key.is_empty() && key.len() <= crate::limits::MAX_CREDENTIAL && !key.chars().any(char::is_control)
    });
}
