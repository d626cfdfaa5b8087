//! Until when a certificate is good: the two dates of an X.509 certificate, read from its bytes, and nothing else of it.
//!
//! Source: RFC 5280, 4.1: `Certificate ::= SEQUENCE { tbsCertificate, … }`, whose fields are an optional `[0]` version, the serial
//! number, the algorithm, the issuer and the validity: two times, each a UTCTime or a GeneralizedTime.

use std::time::Duration;

use domain::Timestamp;

/// From when until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From then.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
}

/// The bytes are no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no certificate that can be read")]
pub struct Unreadable;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// What is worth a look: a third of its life or less is left, as those who renew by themselves never let happen.
const LEFT_OF_LIFE: u32 = 3;
/// What must not wait: so little is left, whatever its life.
const URGENT: Duration = Duration::from_secs(3 * 24 * 3_600);

/// How much longer a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// More than a third of its life, for so long.
    Enough(Duration),
    /// A third or less.
    Little(Duration),
    /// Three days or less, and less than a third of its life.
    Urgent(Duration),
    /// It has ended, or has not begun.
    None,
}

impl Validity {
    /// Of a certificate's bytes (DER).
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn of(certificate: &[u8]) -> Result<Self, Unreadable> {
        let (whole, _) = part(certificate, SEQUENCE)?;
        let (mut fields, _) = part(whole, SEQUENCE)?;
        if fields.first() == Some(&VERSION) {
            fields = next_value(fields)?.rest;
        }
        // Serial number, algorithm, issuer.
        for _ in 0..3 {
            fields = next_value(fields)?.rest;
        }
        let (validity, _) = part(fields, SEQUENCE)?;
        let (from, rest) = time(validity)?;
        let (until, _) = time(rest)?;
        Ok(Self { from, until })
    }

    /// How much longer it is good.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> Left {
        if now < self.from || now >= self.until {
            return Left::None;
        }
        let left = self.until.since(now);
        let third = self.until.since(self.from).checked_div(LEFT_OF_LIFE).unwrap_or_default();
        if left > third {
            Left::Enough(left)
        } else if left > URGENT {
            Left::Little(left)
        } else {
            Left::Urgent(left)
        }
    }
}

/// A value, and what follows it.
struct Value<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

/// The next value.
fn next_value(bytes: &[u8]) -> Result<Value<'_>, Unreadable> {
    let (tag, rest) = bytes.split_first().ok_or(Unreadable)?;
    let (first, rest) = rest.split_first().ok_or(Unreadable)?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x0F)).ok_or(Unreadable)?;
            let length = digits
                .iter()
                .try_fold(0_usize, |length, digit| length.checked_mul(256)?.checked_add(usize::from(*digit)));
            (length.ok_or(Unreadable)?, rest)
        }
        _ => return Err(Unreadable),
    };
    let (content, rest) = rest.split_at_checked(length).ok_or(Unreadable)?;
    Ok(Value { tag: *tag, content, rest })
}

fn part(bytes: &[u8], tag: u8) -> Result<(&[u8], &[u8]), Unreadable> {
    let value = next_value(bytes)?;
    if value.tag == tag { Ok((value.content, value.rest)) } else { Err(Unreadable) }
}

/// `YYMMDDHHMMSSZ`, of 1950 to 2049, or `YYYYMMDDHHMMSSZ`.
fn time(bytes: &[u8]) -> Result<(Timestamp, &[u8]), Unreadable> {
    let Value { tag, content, rest } = next_value(bytes)?;
    let text = std::str::from_utf8(content).map_err(|_| Unreadable)?;
    let digits = text.strip_suffix('Z').ok_or(Unreadable)?;
    let (year, others) = match tag {
        UTC_TIME => digits.split_at_checked(2),
        GENERALIZED_TIME => digits.split_at_checked(4),
        _ => None,
    }
    .ok_or(Unreadable)?;
    let number = |text: &str| text.parse::<i64>().map_err(|_| Unreadable);
    let mut year = number(year)?;
    if tag == UTC_TIME {
        year = year.saturating_add(if year < 50 { 2_000 } else { 1_900 });
    }
    let two = |at: usize| number(others.get(at..at.saturating_add(2)).ok_or(Unreadable)?);
    let (month, day) = (two(0)?, two(2)?);
    let seconds =
        two(4)?.saturating_mul(3_600).saturating_add(two(6)?.saturating_mul(60)).saturating_add(two(8)?);
    if others.len() != 10 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(Unreadable);
    }
    let days = days_from_civil(year, month, day);
    Ok((Timestamp::from_seconds(days.saturating_mul(86_400).saturating_add(seconds)), rest))
}

/// Days since 1970-01-01. Years begin in March here, so that the leap day is a year's last one.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year.saturating_sub(1) } else { year };
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719,468 days lie between 1 March of the year 0 and 1970.
    year.saturating_mul(365).saturating_add(leaps).saturating_add(of_year).saturating_sub(719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of RFC 5280's own form: version, serial number, algorithm, issuer, validity.
    fn certificate(from: &[u8], until: &[u8], tag: u8) -> Vec<u8> {
        let value = |tag: u8, content: &[u8]| {
            let mut bytes = vec![tag, 0x82];
            bytes.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            bytes.extend(content);
            bytes
        };
        let validity = value(SEQUENCE, &[value(tag, from), value(tag, until)].concat());
        let fields = [
            value(VERSION, &value(2, &[2])),
            value(2, &[1; 20]),
            value(SEQUENCE, &[6, 1, 42]),
            value(SEQUENCE, &[0; 300]),
            validity,
        ];
        value(SEQUENCE, &value(SEQUENCE, &fields.concat()))
    }

    #[test]
    fn both_notations_of_time_are_read() {
        let short = certificate(b"260101000000Z", b"260401120005Z", UTC_TIME);
        let long = certificate(b"20260101000000Z", b"20260401120005Z", GENERALIZED_TIME);
        let read = Validity::of(&short).unwrap();
        assert_eq!(read, Validity::of(&long).unwrap());
        assert_eq!(read.from.to_string(), "2026-01-01T00:00:00.000Z");
        assert_eq!(read.until.to_string(), "2026-04-01T12:00:05.000Z");
        let last_century = certificate(b"500101000000Z", b"491231235959Z", UTC_TIME);
        let read = Validity::of(&last_century).unwrap();
        assert_eq!(read.from.to_string(), "1950-01-01T00:00:00.000Z");
        assert_eq!(read.until.to_string(), "2049-12-31T23:59:59.000Z");
    }

    #[test]
    fn a_third_of_its_life_is_little_and_three_days_are_urgent() {
        let day = |day: i64| Timestamp::from_seconds(day * 86_400);
        let of = Validity { from: day(0), until: day(90) };
        let days = |days: u64| Duration::from_secs(days * 86_400);
        assert_eq!(of.left(day(59)), Left::Enough(days(31)));
        assert_eq!(of.left(day(60)), Left::Little(days(30)));
        assert_eq!(of.left(day(87)), Left::Urgent(days(3)));
        assert_eq!((of.left(day(90)), of.left(day(-1))), (Left::None, Left::None));
        // Those that live for six days are renewed every other day.
        let short = Validity { from: day(0), until: day(6) };
        assert_eq!(short.left(day(3)), Left::Enough(days(3)));
    }

    proptest! {
        #[test]
        fn no_bytes_end_it(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..400, byte in any::<u8>()) {
            let _ = Validity::of(&bytes);
            let mut broken = certificate(b"260101000000Z", b"260401120005Z", UTC_TIME);
            if let Some(place) = broken.get_mut(at) {
                *place = byte;
            }
            let _ = Validity::of(&broken);
        }

        #[test]
        fn days_are_those_of_the_clock(seconds in -2_000_000_000_i64..4_000_000_000) {
            let told = Timestamp::from_seconds(seconds).to_string();
            let digits: String = told.chars().filter(char::is_ascii_digit).take(14).collect();
            let text = format!("{digits}Z");
            let bytes = [&[GENERALIZED_TIME, 15][..], text.as_bytes()].concat();
            prop_assert_eq!(time(&bytes).unwrap().0, Timestamp::from_seconds(seconds));
        }
    }
}
