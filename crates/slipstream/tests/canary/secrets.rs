//! Every secret there is, and the forms in which it could be found.

use std::collections::BTreeSet;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// The key that everybody knows, and its address.
pub(super) const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
pub(super) const EOA: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
/// Another key that everybody knows, for what is done with a file.
pub(super) const SECOND_KEY: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
/// Made for tests; they open nothing else.
pub(super) const IDENTITY: &str =
    "AGE-SECRET-KEY-13XZNAP72Y42UP0YMCETKQVNC7NTV4CHU4TWS2Q90WYLRMQV9L6QSGJQ627";
pub(super) const PASSPHRASE: &str = "correct horse battery staple";
/// Parts of a provider's URL.
pub(super) const RPC_KEY: &str = "9b1d7rpcUrlKeyOfAProvider4e5f";
pub(super) const RPC_PASSWORD: &str = "9b1d7rpcPasswordOfAProvider4e5f";
/// What asks the relayer.
pub(super) const BUILDER_SECRET: &str = "YnVpbGRlci1zZWNyZXQtb2YtdGhlLWNhbmFyeQ==";
pub(super) const BUILDER_PASSPHRASE: &str = "builder-passphrase-of-the-canary-7d1";
/// As a bot of Telegram's has it, in the wrong place.
pub(super) const BOT_TOKEN: &str = "7104298871:AAH-canary_bot_token_of_telegram_x";

/// Text that must be nowhere, by the name of the secret it is a form of.
pub(super) struct Secrets(pub(super) Vec<(&'static str, Vec<u8>)>);

impl Secrets {
    pub(super) fn seeded() -> Self {
        let mut all = Self(Vec::new());
        for (name, hex_key) in [("private key", KEY), ("second private key", SECOND_KEY)] {
            all.bytes(name, &hex::decode(hex_key).unwrap());
        }
        for (name, text) in [
            ("age identity", IDENTITY),
            ("passphrase", PASSPHRASE),
            ("key in a provider's URL", RPC_KEY),
            ("password in a provider's URL", RPC_PASSWORD),
            ("builder secret", BUILDER_SECRET.trim_end_matches('=')),
            ("builder passphrase", BUILDER_PASSPHRASE),
            ("bot token", BOT_TOKEN),
        ] {
            all.text(name, text);
        }
        all
    }

    pub(super) fn text(&mut self, name: &'static str, text: &str) {
        for form in [text.to_owned(), text.to_lowercase(), text.to_uppercase(), STANDARD_NO_PAD.encode(text)]
        {
            self.0.push((name, form.into_bytes()));
        }
    }

    /// As hexadecimal digits, base64, numbers in a list, and as they are.
    pub(super) fn bytes(&mut self, name: &'static str, bytes: &[u8]) {
        let (digits, list) = (hex::encode(bytes), format!("{bytes:?}"));
        let list = list.trim_matches(['[', ']']).to_owned();
        for form in [
            digits.to_uppercase(),
            digits,
            list,
            STANDARD_NO_PAD.encode(bytes),
            URL_SAFE_NO_PAD.encode(bytes),
        ] {
            self.0.push((name, form.into_bytes()));
        }
        self.0.push((name, bytes.to_vec()));
    }

    pub(super) fn found_in(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let found =
            |secret: &&(&str, Vec<u8>)| bytes.windows(secret.1.len()).any(|window| window == secret.1);
        let told: BTreeSet<&str> = self.0.iter().filter(found).map(|(name, _)| *name).collect();
        told.into_iter().map(|name| format!("the {name} is in {place}")).collect()
    }
}
