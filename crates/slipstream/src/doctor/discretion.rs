//! What may stand in a report that somebody pastes into a ticket: no secret, no user's name, no more of a path or a
//! wallet than is needed to know which one is meant.

use std::path::{Path, PathBuf};

use crate::{configuration::may_be_secret, wording::harmless};

/// Hexadecimal digits of an address.
const ADDRESS: usize = 40;

/// How texts are cut.
pub(super) struct Discretion {
    /// Paths, the longest first, and what stands for each.
    paths: Vec<(String, String)>,
    whole_wallets: bool,
}

impl Discretion {
    /// Shortens these paths and the home directory; wallets too, unless all of them is wanted.
    pub(super) fn new(paths: &[PathBuf], whole_wallets: bool) -> Self {
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
    pub(super) fn text(&self, text: &str) -> String {
        let mut out = harmless(text);
        for (path, short) in &self.paths {
            out = out.replace(path.as_str(), short);
        }
        let mut shown = String::with_capacity(out.len());
        let part = |letter: char| letter.is_ascii_alphanumeric() || "+=_-".contains(letter);
        let mut rest = out.as_str();
        while let Some(begin) = rest.find(part) {
            let (before, from) = rest.split_at(begin);
            let (word, after) = from.split_at(from.find(|letter| !part(letter)).unwrap_or(from.len()));
            shown.push_str(before);
            shown.push_str(&self.word(word));
            rest = after;
        }
        shown.push_str(rest);
        shown
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
            _ if may_be_secret(word) => format!("({} characters, not shown)", word.len()),
            _ => word.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
