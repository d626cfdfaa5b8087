//! What may be shown. In a message of this program: nothing that may be a secret, because a secret that was typed in the
//! wrong place would be repeated by whoever refuses it. In a report that somebody pastes into a ticket: no user's name
//! either, and no more of a path or a wallet than is needed to know which one is meant.

use std::path::{Path, PathBuf};

use crate::{configuration::may_be_secret, wording::harmless};

/// Hexadecimal digits of an address.
const ADDRESS: usize = 40;

/// As short a run of letters and digits is no secret.
const SHORTEST_SECRET: usize = 32;
/// Letters of 24, 32, 48 and 64 bytes in base64, without what it is filled up with.
const BASE64: [usize; 4] = [32, 43, 64, 86];
/// What age's identities begin with.
const IDENTITY: &str = "AGE-SECRET-KEY-";
/// Letters of a hexadecimal number that are shown where it may be a key: enough to look an order or a transaction up by.
const SHOWN_OF_HEX: usize = 10;

/// A message without anything that may be a secret. Of a long hexadecimal number, which may also be the id of an order, its
/// beginning is shown.
#[must_use]
pub fn without_secrets(text: &str) -> String {
    let no_base64 =
        each_word(text, "+/=", |word| if is_base64_secret(word) { hidden(word) } else { word.to_owned() });
    each_word(&no_base64, "+=_-", |word| {
        let hex = word.strip_prefix("0x").unwrap_or(word).bytes().all(|byte| byte.is_ascii_hexdigit());
        let digits = word.strip_prefix("0x").unwrap_or(word).len();
        let mixed = is_mixed(word);
        match word.len() {
            _ if word.to_ascii_uppercase().contains(IDENTITY) => hidden(word),
            0..SHORTEST_SECRET => word.to_owned(),
            _ if hex && digits == ADDRESS => word.to_owned(),
            _ if hex => format!("{}…", word.get(..SHOWN_OF_HEX).unwrap_or_default()),
            _ if mixed => hidden(word),
            _ => word.to_owned(),
        }
    })
}

fn is_mixed(word: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| word.as_bytes().iter().any(kind);
    has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit)
}

/// Whether a run of base64's letters is as long as 24, 32, 48 or 64 bytes are in it. Its slashes must not hide it; what begins
/// with one is rather a path.
fn is_base64_secret(word: &str) -> bool {
    let letters = word.trim_end_matches('=');
    // Behind the name of a flag or a key.
    let letters = letters.rsplit_once('=').map_or(letters, |(_, value)| value);
    let is_path = letters.starts_with('/') && !word.ends_with('=');
    letters.contains('/') && !is_path && is_mixed(letters) && BASE64.contains(&letters.len())
}

fn hidden(word: &str) -> String {
    format!("({} characters, not shown)", word.len())
}

/// A text with its runs of letters, digits and these signs replaced.
fn each_word(text: &str, signs: &str, mut shown: impl FnMut(&str) -> String) -> String {
    let part = |letter: char| letter.is_ascii_alphanumeric() || signs.contains(letter);
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(begin) = rest.find(part) {
        let (before, from) = rest.split_at(begin);
        let (word, after) = from.split_at(from.find(|letter| !part(letter)).unwrap_or(from.len()));
        out.push_str(before);
        out.push_str(&shown(word));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// How texts of a report are cut.
pub(crate) struct Discretion {
    /// Paths, the longest first, and what stands for each.
    paths: Vec<(String, String)>,
    whole_wallets: bool,
}

impl Discretion {
    /// Shortens these paths and the home directory; wallets too, unless all of them is wanted.
    pub(crate) fn new(paths: &[PathBuf], whole_wallets: bool) -> Self {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let mut known: Vec<(String, String)> = Vec::new();
        let mut add = |path: &Path, short: String| {
            // One that consists of a letter or two would be found everywhere.
            let text = path.to_string_lossy().into_owned();
            if text.len() > 2 && path.is_absolute() {
                known.push((text, short));
            }
        };
        for path in paths {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let forms = [Some(path.clone()), std::path::absolute(path).ok(), path.canonicalize().ok()];
            for form in forms.into_iter().flatten() {
                add(&form, format!("…/{name}"));
                if let Some(parent) = form.parent().filter(|parent| parent.parent().is_some()) {
                    add(parent, "…".to_owned());
                }
            }
        }
        if let Some(home) = home {
            add(&home, "~".to_owned());
        }
        known.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        known.dedup();
        Self { paths: known, whole_wallets }
    }

    /// A text as it may be shown.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut out = harmless(text);
        for (path, short) in &self.paths {
            out = out.replace(path.as_str(), short);
        }
        each_word(&out, "+=_-", |word| self.word(word))
    }

    fn word(&self, word: &str) -> String {
        let digits = word.strip_prefix("0x").unwrap_or(word);
        let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        match (hex, digits.len()) {
            (true, ADDRESS) if self.whole_wallets => word.to_owned(),
            (true, ADDRESS) => {
                let (head, tail) =
                    (digits.get(..4).unwrap_or_default(), digits.get(36..).unwrap_or_default());
                format!("0x{head}…{tail}")
            }
            _ if may_be_secret(word) => hidden(word),
            _ => word.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_repeats_no_secret() {
        let key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
        let wallet = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
        let text = format!(
            "invalid value '{key}' or 0x{key} for {wallet}, --AGE-SECRET-KEY-1Q, rAl0vsOaF+NrpKa00jj/lEustHjL7V78rnhNe/Ty/4A="
        );
        assert_eq!(
            without_secrets(&text),
            format!(
                "invalid value 'ac0974bec3…' or 0xac0974be… for {wallet}, (19 characters, not shown), \
                     (44 characters, not shown)"
            )
        );
        for (shown, hidden) in [
            ("--secret=rAl0vsOaF+NrpKa00jj/lEustHjL7V78rnhNe/Ty/4A=", "--(51 characters, not shown)"),
            ("(/Al0vsOaF+NrpKa00jj/lEustHjL7V78rnhNe/Ty/4A=)", "((44 characters, not shown))"),
            ("/srv/Ann1/slipstream/copies/of/november/201", "/srv/Ann1/slipstream/copies/of/november/201"),
        ] {
            assert_eq!(without_secrets(shown), hidden);
        }
        let secret = "dGhlIHNlY3JldCBvZiBhbiBBUEkga2V5IDEyMw==";
        assert_eq!(without_secrets(secret), format!("({} characters, not shown)", secret.len()));
        let file = "cannot read /srv/slipstream-before-the-upgrade-of-november.db: not there";
        assert_eq!(without_secrets(file), file);
    }

    #[test]
    fn nothing_that_is_nobodys_business_is_shown() {
        let paths = [PathBuf::from("/srv/ann/slipstream-data"), PathBuf::from("/srv/ann/slipstream.toml")];
        let discretion = Discretion::new(&paths, false);
        let wallet = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
        let key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
        let text = format!(
            "/srv/ann/slipstream-data/slipstream.db of {wallet}: {key}, 0x{key}, AGE-SECRET-KEY-{}",
            "Q".repeat(58)
        );
        assert_eq!(
            discretion.text(&text),
            "…/slipstream-data/slipstream.db of 0xf39f…2266: (64 characters, not shown), (66 characters, not shown), \
             (73 characters, not shown)"
        );
        let open = Discretion::new(&paths, true).text(&text);
        assert!(open.contains(wallet) && !open.contains(key) && !open.contains("ann"), "{open}");
        assert_eq!(discretion.text("chmod 600 on /srv/ann/other"), "chmod 600 on …/other");
        assert_eq!(discretion.text("a\u{1b}[31mb"), "a[31mb");
    }
}
