//! What a key takes: one notation for each kind of value, how it is read, how it is written. Amounts are
//! read from their digits; no number of a configuration is ever a float.

use std::{
    borrow::Cow,
    fmt::Write as _,
    net::SocketAddr,
    ops::RangeInclusive,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use domain::{Hash, Price, Usd, money::ONE};
use polymarket::RpcUrl;

use super::server_url::{Server, ServerUrl, kept_urls};

/// The most dollars a key takes: enough for everybody, and far from where sums could overflow.
const MOST_DOLLARS: Usd = Usd(1_000_000_000 * ONE);
/// Letters of a name.
const NAME_LETTERS: usize = 40;
/// The most calls that a limit takes.
const MOST_CALLS: u32 = 10_000_000;
/// A run of this many letters and digits may be a key, a seed or a password.
const SECRET_RUN: usize = 32;
/// That many words may be a mnemonic.
const SECRET_WORDS: usize = 12;
/// Letters of a code that are shown.
const SHOWN_OF_CODE: usize = 10;
/// Letters of a refused value that are shown.
const SHOWN: usize = 48;

/// What a key takes, and where in `S` its value goes. Each setter is the reason that its key exists.
pub enum Kind<S: 'static> {
    /// A small whole number.
    Count(RangeInclusive<u16>, fn(&mut S, u16)),
    /// A whole number that is not negative.
    Seed(fn(&mut S, u64)),
    /// `true` or `false`.
    Flag(fn(&mut S, bool)),
    /// Dollars above zero.
    Dollars(fn(&mut S, Usd)),
    /// A decimal number.
    Decimal {
        /// Smallest and largest, in millionths.
        range: RangeInclusive<i64>,
        /// It is a multiple of this, in millionths.
        step: i64,
        /// Takes millionths.
        set: fn(&mut S, i64),
    },
    /// A span of time.
    Time(RangeInclusive<Duration>, fn(&mut S, Duration)),
    /// One of these words; of others it is said why they are not among them.
    Choice(&'static [Choice<S>], &'static [NotYet]),
    /// A short text for people.
    Name(fn(&mut S, String)),
    /// A file that exists.
    File(fn(&mut S, PathBuf)),
    /// A file that exists and that its owner alone may read.
    Secret(fn(&mut S, PathBuf)),
    /// A directory, which is made if it does not exist.
    Directory(fn(&mut S, PathBuf)),
    /// The URL of a websocket without a path, or nothing.
    Socket(fn(&mut S, String)),
    /// The origin of an HTTP service.
    Origin(fn(&mut S, String)),
    /// An address of this machine and a port.
    Address(fn(&mut S, SocketAddr)),
    /// URLs of providers: a list, or a text with commas. They may carry keys.
    Urls(fn(&mut S, Vec<RpcUrl>)),
    /// Calls in 10 seconds, and in 10 minutes where they are limited too.
    Calls(fn(&mut S, u32, Option<u32>)),
    /// 32 bytes that everybody may know.
    Code(fn(&mut S, Hash)),
    /// The address of a server, or a file that holds it.
    Server(Server, fn(&mut S, ServerUrl)),
}

/// A word and what it sets.
pub type Choice<S> = (&'static str, fn(&mut S));

/// A word that is refused, and why.
pub type NotYet = (&'static str, &'static str);

/// A value as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw<'a> {
    /// Without a type: from the environment, a default, or what lacks its quotes.
    Word(&'a str),
    /// Between quotes.
    Text(&'a str),
    /// A number, by its digits.
    Number(Cow<'a, str>),
    /// `true` or `false`.
    Flag(bool),
    /// A list of texts, joined by commas.
    List(String),
    /// Something that no key takes, by the name of its type.
    Other(&'static str),
}

impl Raw<'_> {
    /// As it is shown to people: cut short, harmless to a terminal, and never a likely secret.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Word(text) => shown(text),
            Self::Text(text) => quoted(&shown(text)),
            Self::Number(digits) => shown(digits),
            Self::Flag(flag) => flag.to_string(),
            Self::List(_) => "(a list)".to_owned(),
            Self::Other(kind) => format!("({kind})"),
        }
    }
}

/// `text`, unless it may be a secret that was put in the wrong place.
pub(super) fn shown(text: &str) -> String {
    if may_be_secret(text) {
        return format!("({} characters, not shown)", text.chars().count());
    }
    let mut out = String::new();
    for letter in text.chars().take(SHOWN) {
        if letter.is_control() {
            let _ = write!(out, "{}", letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out
}

/// A file, or a socket.
fn is_there(path: &Path) -> bool {
    path.exists() && !path.is_dir()
}

/// The mode of a file that others than its owner may use.
fn open_to_others(path: &Path) -> Option<u32> {
    let mode = path.metadata().ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

pub(crate) fn may_be_secret(text: &str) -> bool {
    let part_of_secret = |letter: char| letter.is_ascii_alphanumeric() || "+=_-".contains(letter);
    text.split(|letter: char| !part_of_secret(letter)).any(|run| run.len() >= SECRET_RUN)
        || text.split_whitespace().count() >= SECRET_WORDS
}

/// As TOML writes a text.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

impl<S: 'static> Kind<S> {
    /// What it takes, in words that go on after "must be".
    #[must_use]
    pub fn expected(&self) -> String {
        match self {
            Self::Count(range, _) => format!("a whole number from {} to {}", range.start(), range.end()),
            Self::Seed(_) => format!("a whole number from 0 to {}", i64::MAX),
            Self::Flag(_) => "true or false".to_owned(),
            Self::Dollars(_) => format!("dollars from {} to {MOST_DOLLARS}, as a plain number", Usd(1)),
            Self::Decimal { range, step, .. } => {
                let (from, to, step) = (Price(*range.start()), Price(*range.end()), Price(*step));
                format!("a plain number from {from} to {to}, in steps of {step}")
            }
            Self::Time(range, _) => {
                let (from, to) = (time(*range.start()), time(*range.end()));
                format!("a time from \"{from}\" to \"{to}\": a whole number and ms, s, m or h")
            }
            Self::Choice(words, _) => {
                words.iter().map(|(word, _)| quoted(word)).collect::<Vec<_>>().join(" or ")
            }
            Self::Name(_) => format!("a text of 1 to {NAME_LETTERS} letters"),
            Self::File(_) => "the path of a file, as text".to_owned(),
            Self::Secret(_) => "the path of a file with mode 600, as text".to_owned(),
            Self::Directory(_) => "the path of a directory, as text".to_owned(),
            Self::Socket(_) => "`wss://host` or `ws://host`, as text, or an empty text".to_owned(),
            Self::Origin(_) => "`https://host` or `http://host`, as text".to_owned(),
            Self::Address(_) => {
                "an IP address and a port (\"127.0.0.1:9010\", \"[::1]:9010\"), as text".to_owned()
            }
            Self::Urls(_) => {
                "a list of URLs, or a text of URLs with commas between them; `file:PATH` in place of one: \
                               a file with mode 600 that holds it"
                    .to_owned()
            }
            Self::Calls(_) => {
                "calls in 10 seconds, as \"900/10s\", and if these are limited too in 10 minutes, as \
                               \"900/10s 20000/10m\""
                    .to_owned()
            }
            Self::Code(_) => "0x and 64 hexadecimal digits, as text".to_owned(),
            Self::Server(server, _) => server.expected(),
        }
    }

    /// Whether TOML writes it between quotes.
    fn is_text(&self) -> bool {
        match self {
            Self::Count(..) | Self::Seed(_) | Self::Flag(_) | Self::Dollars(_) | Self::Decimal { .. } => {
                false
            }
            Self::Time(..)
            | Self::Choice(..)
            | Self::Name(_)
            | Self::File(_)
            | Self::Secret(_)
            | Self::Directory(_)
            | Self::Socket(_)
            | Self::Origin(_)
            | Self::Address(_)
            | Self::Urls(_)
            | Self::Calls(_)
            | Self::Code(_)
            | Self::Server(..) => true,
        }
    }

    /// As TOML writes the value that is `word` in the environment.
    #[must_use]
    pub fn toml(&self, word: &str) -> String {
        match self {
            Self::Urls(_) => {
                let list: Vec<String> = word.split(',').map(quoted).collect();
                format!("[{}]", list.join(", "))
            }
            _ if self.is_text() => quoted(word),
            _ => word.to_owned(),
        }
    }

    /// A value as it is shown with its mistake. URLs may carry keys and passwords.
    pub(super) fn shown(&self, raw: &Raw<'_>) -> String {
        if matches!(self, Self::Urls(_) | Self::Server(..)) { "(not shown)".to_owned() } else { raw.shown() }
    }

    /// Reads a value into `settings`. Paths are relative to `base`. Returns the value as the environment
    /// writes it.
    ///
    /// # Errors
    /// In words that go on after the key and its value.
    pub(super) fn apply(&self, settings: &mut S, raw: &Raw<'_>, base: &Path) -> Result<String, String> {
        let unfit = || format!("must be {}", self.expected());
        let word = match raw {
            Raw::Word(word) => Cow::Borrowed(*word),
            Raw::Text(text) if self.is_text() => Cow::Borrowed(*text),
            Raw::Text(_) => return Err(format!("{}, without quotes", unfit())),
            Raw::List(joined) if matches!(self, Self::Urls(_)) => Cow::Borrowed(joined.as_str()),
            Raw::Number(digits) if !self.is_text() => digits.clone(),
            Raw::Flag(flag) if matches!(self, Self::Flag(_)) => Cow::Owned(flag.to_string()),
            Raw::Number(_) | Raw::Flag(_) if self.is_text() => {
                return Err(format!("{}, between quotes", unfit()));
            }
            Raw::Number(_) | Raw::Flag(_) | Raw::List(_) | Raw::Other(_) => return Err(unfit()),
        };
        if let Self::Choice(_, not_yet) = self
            && let Some((_, why)) = not_yet.iter().find(|(known, _)| *known == word)
        {
            return Err((*why).to_owned());
        }
        let read = match self {
            Self::File(_) | Self::Secret(_) if !word.is_empty() && !is_there(&base.join(&*word)) => {
                return Err("names no file that is there; correct the path, or leave the key out".to_owned());
            }
            Self::Secret(_) if open_to_others(&base.join(&*word)).is_some() => {
                let mode = open_to_others(&base.join(&*word)).unwrap_or_default();
                return Err(format!("may be read by others (mode {mode:o}); run `chmod 600` on it"));
            }
            Self::Urls(set) => {
                let urls = kept_urls(&word, base)?;
                // What is shown of them is their hosts.
                let hosts: Vec<&str> = urls.iter().map(RpcUrl::host).collect();
                let shown = hosts.join(",");
                set(settings, urls);
                return Ok(shown);
            }
            Self::Server(server, set) => {
                let url = ServerUrl::read(*server, &word, base)?;
                let shown = url.to_string();
                set(settings, url);
                return Ok(shown);
            }
            Self::Code(set) => {
                let code: Hash = word.parse().map_err(|_| unfit())?;
                set(settings, code);
                // Something else may have been put here by mistake.
                return Ok(format!("{}…", word.chars().take(SHOWN_OF_CODE).collect::<String>()));
            }
            _ => self.set(settings, &word, base),
        };
        read.map(|()| word.into_owned()).ok_or_else(unfit)
    }

    fn set(&self, settings: &mut S, word: &str, base: &Path) -> Option<()> {
        match self {
            Self::Count(range, set) => {
                set(settings, whole(word)?.try_into().ok().filter(|n| range.contains(n))?)
            }
            Self::Seed(set) => set(settings, whole(word)?),
            Self::Flag(set) => set(settings, word.parse().ok()?),
            Self::Dollars(set) => {
                let dollars: Usd = word.parse().ok()?;
                set(settings, Some(dollars).filter(|usd| usd.is_positive() && *usd <= MOST_DOLLARS)?);
            }
            Self::Decimal { range, step, set } => {
                let Price(value) = word.parse().ok()?;
                let even = value.checked_rem(*step) == Some(0);
                set(settings, Some(value).filter(|value| even && range.contains(value))?);
            }
            Self::Time(range, set) => set(settings, read_time(word).filter(|time| range.contains(time))?),
            Self::Choice(words, _) => words.iter().find(|(known, _)| *known == word)?.1(settings),
            Self::Name(set) => {
                let fits = (1..=NAME_LETTERS).contains(&word.chars().count());
                let visible = !word.chars().any(char::is_control) && !word.trim().is_empty();
                set(settings, Some(word.to_owned()).filter(|_| fits && visible)?);
            }
            Self::File(set) | Self::Secret(set) | Self::Directory(set) => {
                let usable = !word.is_empty() && !word.contains('\0');
                set(settings, Some(base.join(word)).filter(|_| usable)?);
            }
            Self::Socket(set) => set(settings, socket(word)?),
            Self::Origin(set) => set(settings, origin(word)?),
            Self::Address(set) => set(settings, word.parse().ok()?),
            Self::Urls(set) => set(settings, kept_urls(word, Path::new("")).ok()?),
            Self::Calls(set) => {
                let (short, long) = read_calls(word)?;
                set(settings, short, long);
            }
            Self::Code(set) => set(settings, word.parse().ok()?),
            Self::Server(server, set) => set(settings, ServerUrl::read(*server, word, Path::new("")).ok()?),
        }
        Some(())
    }
}

/// The origin of websockets; it carries no user, path or query.
fn socket(word: &str) -> Option<String> {
    let host = word.strip_prefix("wss://").or_else(|| word.strip_prefix("ws://"));
    (word.is_empty() || host.is_some_and(is_host)).then(|| word.to_owned())
}

/// The origin of an HTTP service; it carries no user, path or query.
fn origin(word: &str) -> Option<String> {
    let host = word.strip_prefix("https://").or_else(|| word.strip_prefix("http://"));
    host.is_some_and(is_host).then(|| word.to_owned())
}

fn is_host(host: &str) -> bool {
    let usual = |letter: char| letter.is_ascii_alphanumeric() || "-.:[]".contains(letter);
    !host.is_empty() && host.chars().all(usual)
}

/// A whole number that TOML can write too: digits and nothing else, at most `i64::MAX`.
fn whole(word: &str) -> Option<u64> {
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let value = word.parse::<i64>().ok().filter(|_| digits)?;
    u64::try_from(value).ok()
}

fn read_calls(word: &str) -> Option<(u32, Option<u32>)> {
    let calls = |word: &str, window: &str| {
        let calls = u32::try_from(whole(word.strip_suffix(window)?)?).ok()?;
        (1..=MOST_CALLS).contains(&calls).then_some(calls)
    };
    match word.split_once(' ') {
        None => Some((calls(word, "/10s")?, None)),
        Some((short, long)) => Some((calls(short, "/10s")?, Some(calls(long, "/10m")?))),
    }
}

fn read_time(word: &str) -> Option<Duration> {
    let unit = word.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let number = whole(word.strip_suffix(unit)?)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// A time in the largest unit that leaves nothing over.
fn time(time: Duration) -> String {
    let millis = time.as_millis();
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let unit = units.into_iter().find(|(_, size)| millis >= *size && millis.is_multiple_of(*size));
    let (unit, size) = unit.unwrap_or(("ms", 1));
    format!("{}{unit}", millis / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (text, millis) in [("500ms", 500), ("30s", 30_000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(read_time(text), Some(Duration::from_millis(millis)));
            assert_eq!(time(Duration::from_millis(millis)), text);
        }
        for text in
            ["", "s", "30", "30 s", "-1s", "1.5s", "1d", "99999999999999999999s", "9999999999999999h", "1sé"]
        {
            assert_eq!(read_time(text), None, "{text}");
        }
    }

    #[test]
    fn sockets_have_a_host_and_nothing_else() {
        for word in ["", "ws://127.0.0.1:8080", "wss://ws.example.org", "ws://[::1]:9"] {
            assert_eq!(socket(word).as_deref(), Some(word));
        }
        for word in
            ["https://a", "wss://", "wss://user@host", "wss://host/ws", "wss://host?key=1", "host", " "]
        {
            assert_eq!(socket(word), None, "{word}");
        }
        for word in ["https://a.example", "http://127.0.0.1:80"] {
            assert_eq!(origin(word).as_deref(), Some(word));
        }
        for word in ["", "wss://a", "https://", "https://user@host", "https://host/", "host"] {
            assert_eq!(origin(word), None, "{word}");
        }
    }

    #[test]
    fn calls_are_read_with_their_windows() {
        assert_eq!(read_calls("900/10s"), Some((900, None)));
        assert_eq!(read_calls("5000/10s 120000/10m"), Some((5_000, Some(120_000))));
        for text in [
            "",
            "900",
            "0/10s",
            "-1/10s",
            "900/s",
            "900/10m",
            "1/10s 0/10m",
            "1/10s  2/10m",
            "1/10m 2/10s",
            "99999999999/10s",
        ] {
            assert_eq!(read_calls(text), None, "{text}");
        }
    }

    #[test]
    fn a_likely_secret_is_not_shown() {
        let key = "0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";
        assert_eq!(shown(key), "(66 characters, not shown)");
        assert_eq!(Raw::Text(&format!("key={key};")).shown(), "\"(71 characters, not shown)\"");
        let mnemonic = "test test test test test test test test test test test junk";
        assert!(!shown(mnemonic).contains("test"));
        assert_eq!(shown("a tape\u{1b}[2J"), "a tape\\u{1b}[2J");
        assert_eq!(shown(&"x ".repeat(10)), "x ".repeat(10));
        assert_eq!(shown(&"é/".repeat(40)).chars().count(), SHOWN + 1);
    }

    #[test]
    fn texts_are_quoted_as_toml_reads_them() {
        for text in ["plain", "a \"b\" \\ c", "tab\tand\u{7f}bell\u{7}", ""] {
            let written = format!("key = {}", quoted(text));
            let read: toml::Table = written.parse().unwrap();
            assert_eq!(read["key"].as_str(), Some(text), "{written}");
        }
    }
}
