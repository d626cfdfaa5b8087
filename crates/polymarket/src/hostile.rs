//! A corpus of hostile bytes for every decoder: what a good answer becomes when each of its values is replaced by
//! something absurd, left out, said twice or cut off, and bodies that are absurd as a whole.

use domain::{Book, money::ONE};
use serde_json::Value;

use crate::limits::MAX_AMOUNT;

/// Nesting far beyond what any answer has, and beyond what a reader's stack would bear.
const DEEP: usize = 20_000;
/// A long text.
const LONG: usize = 20_000;

/// Values for the place of every other one: hostile sizes, depths and numbers.
fn values() -> Vec<String> {
    let mut values: Vec<String> = [
        "null",
        "true",
        "[]",
        "{}",
        "[[]]",
        "[null]",
        "0",
        "-0",
        "-1",
        "1e400",
        "-1e400",
        "1e-400",
        "0.1e1",
        "1e18",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "340282366920938463463374607431768211456",
        "\"\"",
        "\" \"",
        "\"-1\"",
        "\"1e400\"",
        "\"0x\"",
        "\"0xzz\"",
        "\"NaN\"",
        "\"Infinity\"",
        "\"\u{ff10}\"",
        "\"1,5\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"9223372036854775808\"",
        "\"-9223372036854775809\"",
        "\"0.0000000000000000000000001\"",
        "\"115792089237316195423570985008687907853269984665640564039457584007913129639936\"",
        "\"2999-99-99T99:99:99Z\"",
    ]
    .map(str::to_owned)
    .to_vec();
    values.push(format!("\"{}\"", "9".repeat(LONG)));
    values.push(format!("\"0x{}\"", "f".repeat(LONG)));
    values.push("9".repeat(2_000));
    values.push(format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP)));
    values.push(format!("{}1{}", "{\"a\":".repeat(1_000), "}".repeat(1_000)));
    values
}

/// Bodies that are absurd as a whole.
fn bodies() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = values().into_iter().map(String::into_bytes).collect();
    bodies.extend([
        b"".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"<html>502 Bad Gateway</html>".to_vec(),
        b"{\"a\"".to_vec(),
        vec![0; 1_000],
        "{\"a\":1,".repeat(10_000).into_bytes(),
        format!("[{}1]", "1,".repeat(100_000)).into_bytes(),
    ]);
    bodies
}

/// Puts `value` in the place of the leaf with this number; `None` when there is no such leaf. A leaf is a value without
/// others in it, or one that holds others, so that whole objects are replaced, too.
fn replaced(value: &Value, left: &mut usize, with: &str) -> Option<String> {
    if *left == 0 {
        return Some(with.to_owned());
    }
    *left -= 1;
    let parts = |parts: Vec<(String, &Value)>, left: &mut usize, (open, close): (char, char)| {
        let mut out = None;
        let texts: Vec<String> = parts
            .iter()
            .map(|(name, value)| {
                let text = if out.is_some() { None } else { replaced(value, left, with) };
                let found = text.is_some();
                let text = text.unwrap_or_else(|| value.to_string());
                if found {
                    out = Some(());
                }
                format!("{name}{text}")
            })
            .collect();
        out.map(|()| format!("{open}{}{close}", texts.join(",")))
    };
    match value {
        Value::Array(list) => {
            parts(list.iter().map(|value| (String::new(), value)).collect(), left, ('[', ']'))
        }
        Value::Object(fields) => {
            let named = |(name, value)| (format!("{}:", Value::from(name as &str)), value);
            parts(fields.iter().map(|(name, value)| named((name, value))).collect(), left, ('{', '}'))
        }
        _ => None,
    }
}

/// The sample without one of its fields, and with one of them twice.
fn fields(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(all) => {
            for (name, field) in all {
                let mut without = all.clone();
                without.remove(name);
                out.push(Value::Object(without).to_string());
                let whole = value.to_string();
                let again = format!("{}:{field}", Value::from(name.as_str()));
                out.push(format!("{},{again}}}", whole.strip_suffix('}').unwrap_or(&whole)));
            }
        }
        Value::Array(list) if list.len() == 1 => {
            let mut inner = Vec::new();
            list.iter().for_each(|value| fields(value, &mut inner));
            out.extend(inner.into_iter().map(|text| format!("[{text}]")));
        }
        _ => {}
    }
}

/// Everything that is made of this sample.
pub(crate) fn corpus(sample: &str) -> Vec<Vec<u8>> {
    let value: Value = serde_json::from_str(sample).expect("a sample is JSON");
    let mut out = bodies();
    for with in values() {
        for place in 0.. {
            match replaced(&value, &mut place.clone(), &with) {
                Some(text) => out.push(text.into_bytes()),
                None => break,
            }
        }
    }
    let mut texts = Vec::new();
    fields(&value, &mut texts);
    out.extend(texts.into_iter().map(String::into_bytes));
    let bytes = sample.as_bytes();
    let step = (bytes.len() / 100).max(1);
    out.extend((0..bytes.len()).step_by(step).map(|end| bytes[..end].to_vec()));
    out
}

/// Lets a decoder read its good sample, and then everything hostile that is made of it: it must answer, and what it
/// believes to have understood must be `sound`, which looks at every amount, price and name in it.
pub(crate) fn survives<T>(sample: &str, reads: impl Fn(&[u8]) -> Option<T>, sound: impl Fn(&T) -> bool) {
    let good = reads(sample.as_bytes()).unwrap_or_else(|| panic!("the sample is not understood: {sample}"));
    assert!(sound(&good), "the sample itself is not sound: {sample}");
    let corpus = corpus(sample);
    let mut understood = 0;
    for bytes in &corpus {
        if let Some(read) = reads(bytes) {
            understood += 1;
            let shown = bytes.get(..bytes.len().min(2_000)).unwrap_or_default();
            assert!(sound(&read), "understood, and not sound: {}", String::from_utf8_lossy(shown));
        }
    }
    // Some of it is no mistake, as an optional field that is left out; but who takes everything decodes nothing.
    assert!(understood < corpus.len(), "all of {understood} were understood");
}

/// Whether these are amounts that anybody can have, in millionths.
pub(crate) fn amounts(amounts: impl IntoIterator<Item = i64>) -> bool {
    amounts.into_iter().all(|amount| (0..=MAX_AMOUNT).contains(&amount))
}

/// Whether these are prices, in millionths.
pub(crate) fn prices(prices: impl IntoIterator<Item = i64>) -> bool {
    prices.into_iter().all(|price| (0..=ONE).contains(&price))
}

/// Whether this is a book: prices and sizes that can be, best first, each price once.
pub(crate) fn is_book(book: &Book) -> bool {
    let levels = || book.bids.iter().chain(&book.asks);
    let falls = book.bids.iter().zip(book.bids.iter().skip(1)).all(|(one, next)| one.price > next.price);
    let rises = book.asks.iter().zip(book.asks.iter().skip(1)).all(|(one, next)| one.price < next.price);
    prices(levels().map(|level| level.price.0))
        && amounts(levels().map(|level| level.size.0))
        && falls
        && rises
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_replaced_once() {
        let sample = r#"{"a":1,"b":[{"c":"x"},2]}"#;
        let value: Value = serde_json::from_str(sample).unwrap();
        let all: Vec<String> = (0..7).map_while(|place| replaced(&value, &mut place.clone(), "9")).collect();
        assert_eq!(
            all,
            [
                "9",
                r#"{"a":9,"b":[{"c":"x"},2]}"#,
                r#"{"a":1,"b":9}"#,
                r#"{"a":1,"b":[9,2]}"#,
                r#"{"a":1,"b":[{"c":9},2]}"#,
                r#"{"a":1,"b":[{"c":"x"},9]}"#,
            ]
        );
        let mut texts = Vec::new();
        fields(&value, &mut texts);
        assert!(texts.contains(&r#"{"b":[{"c":"x"},2]}"#.to_owned()));
        assert!(texts.contains(&r#"{"a":1,"b":[{"c":"x"},2],"a":1}"#.to_owned()));
    }
}
