//! How numbers, times and names are written for people: the same on a screen, in a report and in a story.

use std::time::Duration;

use domain::{Address, Price, Shares, Timestamp, Usd, money::ONE};

/// What is written where a number is not known.
pub const NONE: &str = "–";

/// Dollars with two decimals and thousands apart: `1,234.50`.
#[must_use]
pub fn dollars(usd: Usd) -> String {
    let cents = rounded(usd.0, 10_000);
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", grouped(cents.unsigned_abs() / 100), cents.unsigned_abs() % 100)
}

/// Dollars with their sign, also when positive.
#[must_use]
pub fn signed_dollars(usd: Usd) -> String {
    let text = dollars(usd);
    if text.starts_with('-') || text == "0.00" { text } else { format!("+{text}") }
}

/// Shares with two decimals; the venue trades lots of a hundredth.
#[must_use]
pub fn shares(shares: Shares) -> String {
    dollars(Usd(shares.0))
}

/// A price with three decimals, four where a tenth of a cent is not fine enough.
#[must_use]
pub fn price(price: Price) -> String {
    let tenths = rounded(price.0, 100);
    let text = format!("{}.{:04}", tenths / 10_000, tenths.rem_euclid(10_000));
    text.strip_suffix('0').map_or_else(|| text.clone(), str::to_owned)
}

/// A leader's price; a merge has none.
#[must_use]
pub fn leader_price(leader: Price) -> String {
    if leader == Price(0) { NONE.to_owned() } else { price(leader) }
}

/// A share of a whole in per cent with one decimal, with its sign; `None` of nothing.
#[must_use]
pub fn signed_percent(part: i64, whole: i64) -> Option<String> {
    let tenths = tenths_of_percent(i128::from(part), i128::from(whole))?;
    let sign = match tenths {
        i128::MIN..0 => "-",
        0 => "",
        _ => "+",
    };
    Some(format!("{sign}{}.{} %", tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10))
}

/// A share of a whole in per cent with one decimal; `–` of nothing.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    let tenths = tenths_of_percent(i128::from(part), i128::from(whole));
    tenths.map_or_else(|| NONE.to_owned(), |tenths| format!("{}.{} %", tenths / 10, tenths % 10))
}

/// To the nearest, halves away from zero. Sixty-four bits times two thousand fit 128 easily.
fn tenths_of_percent(part: i128, whole: i128) -> Option<i128> {
    let twice = part.checked_mul(2_000)?.checked_div(whole)?;
    twice.checked_add(twice.signum())?.checked_div(2)
}

/// A time span: `850 µs`, `12 ms`, `1.25 s`, `75 s`.
#[must_use]
pub fn span(micros: i64) -> String {
    match micros {
        i64::MIN..0 => format!("-{}", span(micros.saturating_neg())),
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..60_000_000 => format!("{}.{:02} s", micros / ONE, micros % ONE / 10_000),
        _ => format!("{} s", micros / ONE),
    }
}

/// Seconds as `m:ss`, or `h:mm:ss`.
#[must_use]
pub fn clock_span(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A time that is waited for, or an age, as people say it.
#[must_use]
pub fn lasting(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..1 => format!("{} ms", time.as_millis()),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Time of day in UTC.
#[must_use]
pub fn time_of_day(at: Timestamp) -> String {
    at.to_string().get(11..19).unwrap_or(NONE).to_owned()
}

/// An address by its ends: `0x4766…39d9`.
#[must_use]
pub fn short_address(address: Address) -> String {
    let text = address.to_string();
    let ends = text.get(..6).zip(text.get(text.len().saturating_sub(4)..));
    ends.map_or_else(|| text.clone(), |(head, tail)| format!("{head}…{tail}"))
}

/// Text of others without anything that a terminal would obey.
#[must_use]
pub fn harmless(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control() && !is_formatting(*letter)).collect()
}

/// Letters without a shape that change how their neighbours are drawn.
const fn is_formatting(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Text of at most `width` letters; what is cut is marked.
#[must_use]
pub fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let head: String = text.chars().take(width.saturating_sub(1)).collect();
    if width == 0 { String::new() } else { format!("{}…", head.trim_end()) }
}

/// Text of at most `width` letters without its middle: names of markets begin and end with what tells them
/// apart.
#[must_use]
pub fn fit_middle(text: &str, width: usize) -> String {
    let letters = text.chars().count();
    if letters <= width {
        return text.to_owned();
    }
    let tail = width.saturating_sub(1) / 2;
    let head = width.saturating_sub(1).saturating_sub(tail);
    let first: String = text.chars().take(head).collect();
    let last: String = text.chars().skip(letters.saturating_sub(tail)).collect();
    format!("{first}…{last}")
}

/// Lines of whole words, of at most `width` letters where a word is not longer.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().filter(|line| {
            line.is_empty() || line.chars().count().saturating_add(1 + word.chars().count()) <= width
        });
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// An error with its causes, each once: some errors repeat what caused them. Without the system's numbers of them.
#[must_use]
pub fn causes(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(cause.trim()) {
            told.push_str(": ");
            told.push_str(&cause);
        }
    }
    without_numbers(&told)
}

/// Without ` (os error 2)`.
fn without_numbers(text: &str) -> String {
    const BEGIN: &str = " (os error ";
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        out.push_str(before);
        rest = match after.split_once(')') {
            Some((number, after)) if number.bytes().all(|letter| letter.is_ascii_digit()) => after,
            _ => {
                out.push_str(BEGIN);
                after
            }
        };
    }
    out.push_str(rest);
    out
}

/// Groups digits by three.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 trade`, `2 trades`.
#[must_use]
pub fn count(number: usize, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(u64::try_from(number).unwrap_or(u64::MAX)))
}

/// To the nearest multiple, in units of it, halves away from zero.
const fn rounded(amount: i64, unit: i64) -> i64 {
    let half = unit / 2;
    amount.saturating_add(if amount < 0 { -half } else { half }) / unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        for (usd, text) in [
            (0, "0.00"),
            (1_234_567_890, "1,234.57"),
            (-1_234_567_890, "-1,234.57"),
            (-4_000, "0.00"),
            (5_000, "0.01"),
            (999_999_999_999, "1,000,000.00"),
        ] {
            assert_eq!(dollars(Usd(usd)), text);
        }
        assert_eq!(signed_dollars(Usd(1_500_000)), "+1.50");
        assert_eq!(signed_dollars(Usd(-1_500_000)), "-1.50");
        assert_eq!(signed_dollars(Usd::ZERO), "0.00");
        assert_eq!(
            [450_000, 455_500, 999_000, 7_210].map(|millionths| price(Price(millionths))),
            ["0.450", "0.4555", "0.999", "0.0072"]
        );
        assert_eq!(signed_percent(-1, 10_000).as_deref(), Some("0.0 %"));
        assert_eq!(signed_percent(-15, 1_000).as_deref(), Some("-1.5 %"));
        assert_eq!([percent(1, 3), percent(2, 3), percent(1, 0)], ["33.3 %", "66.7 %", NONE]);
        let spans = [0, 850, 1_250, 12_000, 1_254_000, 75_000_000, -2_000].map(span);
        assert_eq!(spans, ["0 µs", "850 µs", "1.2 ms", "12 ms", "1.25 s", "75 s", "-2.0 ms"]);
        let times = [0, 90, 135, 7_200, 2_592_000].map(|seconds| lasting(Duration::from_secs(seconds)));
        assert_eq!(times, ["0 ms", "90 s", "2 min", "2 h", "30 days"]);
        assert_eq!((clock_span(59), clock_span(3_661)), ("0:59".to_owned(), "1:01:01".to_owned()));
        assert_eq!(
            (count(1, "trade"), count(2_000, "trade")),
            ("1 trade".to_owned(), "2,000 trades".to_owned())
        );
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(harmless("Up\u{1b}[31m or\u{202e} down\r\n?"), "Up[31m or down?");
        assert_eq!(fit("Bitcoin Up or Down", 11), "Bitcoin Up…");
        assert_eq!((fit("abc", 3), fit("abc", 0)), ("abc".to_owned(), String::new()));
        let cut = ["Bitcoin Up or Down 5:15PM", "5:15PM", ""].map(|text| fit_middle(text, 12));
        assert_eq!(cut, ["Bitcoi…:15PM", "5:15PM", ""]);
    }

    #[test]
    fn a_cause_is_told_once_and_without_its_number() {
        let lost = std::io::Error::from_raw_os_error(2);
        let words = format!("notes cannot be read: {lost}");
        let error = anyhow::Error::new(lost).context(words).context("the key in notes");
        assert_eq!(causes(&error), "the key in notes: notes cannot be read: No such file or directory");
        assert_eq!(without_numbers("x (os error y) (os error 5)"), "x (os error y)");
    }

    #[test]
    fn lines_are_of_whole_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("", 3), [""]);
        assert_eq!(wrapped("longest of all", 3), ["longest", "of", "all"]);
    }

    #[test]
    fn names_and_times() {
        let address: Address = "0x476639d9000000000000000000000000000039d9".parse().unwrap();
        assert_eq!(short_address(address), "0x4766…39d9");
        assert_eq!(time_of_day(Timestamp::from_seconds(3_661)), "01:01:01");
    }
}
