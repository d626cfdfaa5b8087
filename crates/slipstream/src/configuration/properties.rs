//! No input breaks the reading, every mistake is inside what was read, and amounts are exact.

use std::path::Path;

use domain::{Usd, money::ONE, policy::Sizing};
use proptest::prelude::*;

use super::{Configuration, Place, Variables, read};

/// Texts that come near to a configuration.
fn nearly() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "[demo]",
        "[engine]",
        "[[follower]]",
        "[follower]",
        "[[demo]]",
        "demo",
        "follower",
        "speed",
        "seed",
        "ratio",
        "fixed",
        "name",
        "price_from",
        "cap_order",
        "maximum_age",
        "tape",
        "colour",
        "=",
        " = ",
        ".",
        ",",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "\"\"\"",
        "'''",
        "\n",
        "\n",
        "\n",
        "\r\n",
        "#",
        "0.5",
        "-1",
        "30",
        "1e9",
        "\"30s\"",
        "true",
        "2026-11-23",
        "\\u00e9",
        "é",
        "\u{feff}",
        "\0",
        "\u{1b}",
        "99999999999999999999",
        "0x",
        "nan",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_text_breaks_the_reading_and_every_mistake_is_inside_it(
        text in prop_oneof![nearly(), any::<String>(), "[ -~\n\"'=\\[\\]#]{0,200}"],
        variable in "SLIPSTREAM_[A-Z_]{0,20}",
        value in any::<String>(),
    ) {
        let list = [(variable, Some(value))].into();
        if let Err(mistakes) = read("slipstream.toml", Path::new(""), &text, &list) {
            let lines = text.lines().count().max(1);
            prop_assert!(!mistakes.list().is_empty());
            for mistake in mistakes.list() {
                if let Place::At { line, column } = mistake.place {
                    prop_assert!((1..=lines).contains(&line) && column >= 1, "{mistake:?}");
                    let width = text.split('\n').nth(line - 1).unwrap().chars().count();
                    prop_assert!(column <= width + 1, "{mistake:?}");
                }
                prop_assert!(!mistake.text.is_empty());
                prop_assert!(!mistake.subject.chars().any(|letter| letter.is_control()), "{mistake:?}");
            }
        }
    }

    #[test]
    fn amounts_are_read_exactly(millionths in 1..=1_000_000_000 * ONE) {
        let text = format!("[[follower]]\nname = 'a'\nfixed = {}", Usd(millionths));
        let read = read("", Path::new(""), &text, &Variables::new()).unwrap();
        prop_assert_eq!(read.followers[0].policy.sizing, Sizing::Fixed(Usd(millionths)));
    }

    #[test]
    fn any_bytes_of_a_file_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("slipstream.toml");
        std::fs::write(&file, &bytes).unwrap();
        // Told or read, never a panic.
        let _ = Configuration::load(Some(&file), []);
    }
}
