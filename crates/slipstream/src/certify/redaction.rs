//! What of a request or a reply may be kept. Values of fields that could let somebody act for the account are
//! never written; nor are they anywhere else once they were seen, nor is whose account it is.

use serde_json::Value;

/// Stands in for what is left out.
const LEFT_OUT: &str = "[left out]";
/// A text that is shorter is no secret worth the name, and would be found everywhere.
const SHORTEST: usize = 8;

/// Fields whose values are left out: credentials, signatures, and who it is.
const FIELDS: [&str; 22] = [
    "signature",
    "owner",
    "order_owner",
    "trade_owner",
    "apiKey",
    "api_key",
    "key",
    "secret",
    "passphrase",
    "maker",
    "signer",
    "maker_address",
    "proxyWallet",
    "address",
    "user",
    "ip",
    "name",
    "pseudonym",
    "bio",
    "profileImage",
    "wallet",
    "session_signer_address",
];

/// Remembers what must not be written.
#[derive(Default)]
pub(super) struct Redaction {
    hidden: Vec<String>,
}

impl Redaction {
    /// Hides a text from now on, in any case of its letters.
    pub(super) fn hide(&mut self, text: &str) {
        let text = text.to_ascii_lowercase();
        if text.len() >= SHORTEST && !self.hidden.contains(&text) {
            self.hidden.push(text);
        }
    }

    /// A body as it may be kept: JSON without what is to be left out, anything else as text.
    pub(super) fn body(&mut self, bytes: &[u8]) -> Value {
        match serde_json::from_slice::<Value>(bytes) {
            Ok(mut value) => {
                self.learn(&value);
                self.clear(&mut value);
                value
            }
            Err(_) => Value::String(self.text(&String::from_utf8_lossy(bytes))),
        }
    }

    /// A text without what was hidden.
    pub(super) fn text(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for hidden in &self.hidden {
            // Lowering ASCII moves nothing: positions in the lowered text are positions in the text.
            let lowered = out.to_ascii_lowercase();
            let (mut kept, mut from) = (String::with_capacity(out.len()), 0);
            for (at, hit) in lowered.match_indices(hidden.as_str()) {
                kept.push_str(out.get(from..at).unwrap_or_default());
                kept.push_str(LEFT_OUT);
                from = at + hit.len();
            }
            kept.push_str(out.get(from..).unwrap_or_default());
            out = kept;
        }
        out
    }

    fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Value::String(text) if FIELDS.contains(&name.as_str()) => self.hide(text),
                        value => self.learn(value),
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|value| self.learn(value)),
            _ => {}
        }
    }

    fn clear(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    match value {
                        Value::String(text) if FIELDS.contains(&name.as_str()) => LEFT_OUT.clone_into(text),
                        value => self.clear(value),
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|value| self.clear(value)),
            Value::String(text) => *text = self.text(text),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_seen_in_one_place_is_left_out_everywhere() {
        let mut redaction = Redaction::default();
        let wallet = "0xF39fd6e51aad88f6f4ce6ab8827279cfffb92266";
        let body = json!({
            "owner": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
            "order": { "maker": wallet, "signature": "0xabcdef0123", "salt": 7, "tokenId": "1234567890" },
        });
        let kept = redaction.body(body.to_string().as_bytes()).to_string();
        for secret in ["1b4e28ba", "f39fd6", "F39fd6", "abcdef0123"] {
            assert!(!kept.contains(secret), "{kept}");
        }
        assert!(kept.contains("1234567890") && kept.contains("\"salt\":7"), "{kept}");
        let reply = json!({ "error": format!("'{}' address banned", wallet.to_lowercase()) });
        let kept = redaction.body(reply.to_string().as_bytes()).to_string();
        assert_eq!(kept, json!({ "error": "'[left out]' address banned" }).to_string());
        let text = redaction
            .text("bad key 1B4E28BA-2FA1-11D2-883F-0016D3CCA427, again 1b4e28ba-2fa1-11d2-883f-0016d3cca427");
        assert_eq!(text, "bad key [left out], again [left out]");
    }

    /// A text within the very mark that stands for what is left out.
    #[test]
    fn hiding_comes_to_an_end() {
        let mut redaction = Redaction::default();
        redaction.hide("left out");
        assert_eq!(redaction.text("left out, [left out]"), "[left out], [[left out]]");
    }

    #[test]
    fn what_is_no_json_is_kept_as_text() {
        let mut redaction = Redaction::default();
        redaction.hide("0xsecretsecret");
        assert_eq!(redaction.body(b"<html>0xSECRETsecret</html>"), json!("<html>[left out]</html>"));
        assert_eq!(redaction.body(&[0xff]), json!("\u{fffd}"));
    }
}
