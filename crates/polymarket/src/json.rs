//! Numbers as the venue writes them: as JSON numbers or as strings, plain or with an exponent. They are
//! kept as text and read as integers; no float touches money.

use domain::money::{Excess, ONE, parse_decimal};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;

use crate::limits::{MAX_AMOUNT, MAX_NUMBER};

/// A scalar that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not {1}")]
pub(crate) struct NumberError(String, &'static str);

/// A JSON number or string, as text. Numbers keep every digit they were written with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scalar(pub(crate) String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'"') => serde_json::from_str(text).map(Self).map_err(D::Error::custom),
            Some(b'-' | b'0'..=b'9') => Ok(Self(text.to_owned())),
            _ => Err(D::Error::custom("neither a number nor a string")),
        }
    }
}

impl Scalar {
    fn error(&self, wanted: &'static str) -> NumberError {
        NumberError(self.0.chars().take(MAX_NUMBER).collect(), wanted)
    }

    /// Millionths, rounded to the nearest: the venue's indexers compute in floats, so the sixth decimal
    /// of what they print can be off by a hair in the digits behind it.
    pub(crate) fn millionths(&self) -> Result<i64, NumberError> {
        let bad = || self.error("a decimal number");
        let plain = plain_decimal(&self.0).ok_or_else(bad)?;
        let cut = parse_decimal(&plain, Excess::Cut).map_err(|_| bad())?;
        let seventh = plain.split_once('.').and_then(|(_, fraction)| fraction.as_bytes().get(6));
        let round_up = seventh.is_some_and(|digit| *digit >= b'5');
        let step = match (round_up, plain.starts_with('-')) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => -1,
        };
        cut.checked_add(step).ok_or_else(bad)
    }

    /// Millionths that are zero or more, and no more than anybody has.
    pub(crate) fn amount(&self) -> Result<i64, NumberError> {
        self.millionths().and_then(|value| self.within(value))
    }

    /// `millionths` again, if they are an amount.
    pub(crate) fn within(&self, millionths: i64) -> Result<i64, NumberError> {
        let fits = (0..=MAX_AMOUNT).contains(&millionths);
        fits.then_some(millionths).ok_or_else(|| self.error("an amount from 0 to ten billion"))
    }

    /// A price from 0 to 1, in millionths.
    pub(crate) fn price(&self) -> Result<i64, NumberError> {
        self.amount().ok().filter(|value| *value <= ONE).ok_or_else(|| self.error("a price from 0 to 1"))
    }

    /// A whole number that is zero or more.
    pub(crate) fn whole(&self) -> Result<i64, NumberError> {
        let bad = || self.error("a whole number of at least 0");
        let text = self.0.strip_suffix(".0").unwrap_or(&self.0);
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad());
        }
        text.parse().map_err(|_| bad())
    }
}

/// Rewrites `1.5e-3` as `0.0015`; plain numbers are passed through. `None` for anything else.
fn plain_decimal(text: &str) -> Option<String> {
    if text.len() > MAX_NUMBER {
        return None;
    }
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        return Some(text.to_owned());
    };
    let exponent: i32 = exponent.parse().ok().filter(|exponent| (-40..=40).contains(exponent))?;
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all: String = [whole, fraction].concat();
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let zeros = |count: i32| "0".repeat(usize::try_from(count.max(0)).unwrap_or(0));
    let padded = format!(
        "{}{all}{}",
        zeros(point.checked_neg()?),
        zeros(point.checked_sub(i32::try_from(all.len()).ok()?)?)
    );
    let (before, after) = padded.split_at_checked(usize::try_from(point.max(0)).ok()?)?;
    Some(format!("{sign}{}{before}.{after}", if before.is_empty() { "0" } else { "" }))
}

/// `null` and absence read as the default.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scalar(json: &str) -> Result<Scalar, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn numbers_and_strings_read_the_same() {
        for (json, expected) in [
            ("0.13155333333333333", 131_553),
            ("\"0.5600\"", 560_000),
            ("30", 30_000_000),
            ("33.333332999999996", 33_333_333),
            ("5e-06", 5),
            ("5e-07", 1),
            ("4e-07", 0),
            ("1.25E2", 125_000_000),
            ("12345e-3", 12_345_000),
            ("-1.5", -1_500_000),
            ("-0.0000005", -1),
        ] {
            assert_eq!(scalar(json).unwrap().millionths(), Ok(expected), "{json}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for json in ["null", "true", "[]", "{}"] {
            assert!(scalar(json).is_err(), "{json}");
        }
        for json in ["\"\"", "\"abc\"", "\"1,5\"", "\"NaN\"", "1e99", "\"0x10\"", "1e", "99999999999999999"] {
            assert!(scalar(json).is_err() || scalar(json).unwrap().millionths().is_err(), "{json}");
        }
        assert!(scalar("1.000001").unwrap().price().is_err());
        assert!(scalar("-1").unwrap().amount().is_err());
        assert_eq!(scalar("10000000000").unwrap().amount(), Ok(MAX_AMOUNT));
        for json in ["10000000000.000001", "9000000000000", "9.2e12"] {
            assert!(scalar(json).unwrap().amount().is_err(), "{json}");
        }
        assert_eq!(scalar("1.0").unwrap().whole(), Ok(1));
        for json in ["1.5", "-1", "\"1e3\"", "\"+1\"", "99999999999999999999"] {
            assert!(scalar(json).unwrap().whole().is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in ".{0,80}") {
            let scalar = Scalar(text);
            let _ = (scalar.millionths(), scalar.amount(), scalar.price(), scalar.whole());
        }

        #[test]
        fn exponents_shift_the_point(value in 0_i64..1_000_000_000, exponent in -6_i32..3) {
            let expected = i128::from(value) * 10_i128.pow((exponent + 6) as u32);
            let read = Scalar(format!("{value}e{exponent}")).millionths().unwrap();
            prop_assert_eq!(i128::from(read), expected);
        }
    }
}
