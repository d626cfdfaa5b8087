//! Every test that docs/complaints.md names is there.

#![cfg(test)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// The complaints that were collected: about money, the venue and feeds.
const THREADS: [(&str, &[u32]); 26] = [
    ("Crypto-Copy-Trader", &[11, 29, 65]),
    ("EVPOLY", &[5]),
    ("Joshbazz", &[5, 8, 9]),
    ("MrFadiAi bot", &[2]),
    ("PolyHermes", &[22, 38, 39, 55, 58, 61]),
    ("agents", &[207]),
    ("clob-client", &[191, 231, 232, 344]),
    ("copy-trading-bot", &[14, 17]),
    ("dr-manhattan", &[85]),
    ("insider-tracker", &[61]),
    ("nautilus", &[3172, 3345, 3403, 3450, 3774, 3874, 4692, 4705]),
    ("plugin-store", &[129]),
    ("pm-agent-tooling", &[947]),
    ("poly-market-maker", &[72, 79]),
    ("polyfill-rs", &[20]),
    ("polymarket-apis", &[79]),
    ("polymarket-bot", &[61, 62]),
    ("polymarket-cli", &[14, 27, 46, 47, 54, 69, 74, 84]),
    ("polymarket-trade-tracker", &[1]),
    ("py-builder-relayer-client", &[11]),
    (
        "py-clob-client",
        &[
            79, 91, 101, 109, 111, 122, 138, 139, 143, 152, 235, 261, 262, 264, 273, 286, 287, 292, 295, 301,
            302, 335, 337, 338, 340,
        ],
    ),
    ("py-clob-client-v2", &[32, 34, 41, 48, 56, 92]),
    ("real-time-data-client", &[25, 26, 34, 35, 36, 42]),
    ("rs-clob-client", &[63, 226]),
    ("shmlkv bot", &[3]),
    ("valory trader", &[779, 942]),
];

/// Threads that a row is about: project and number.
fn threads(row: &str) -> Vec<(String, u32)> {
    let cell = row.trim().trim_matches('|').split('|').next().unwrap_or_default();
    let (mut project, mut found) = (String::new(), Vec::new());
    for part in cell.split([';', ',']) {
        let Some((name, number)) = part.trim().split_once('#') else { continue };
        let name = name.trim().trim_end_matches("PR").trim();
        if !name.is_empty() {
            project = name.to_owned();
        }
        found.push((project.clone(), number.trim().parse().unwrap()));
    }
    found
}

/// Tests named in the last column, as file and function: each file, then its tests.
fn named(row: &str) -> Vec<(String, String)> {
    let tests = row.trim().trim_matches('|').rsplit('|').next().unwrap_or_default();
    let (mut file, mut found) = (String::new(), Vec::new());
    for span in tests.split('`').skip(1).step_by(2) {
        match span.contains('/') {
            true => file = span.to_owned(),
            false => found.push((file.clone(), span.to_owned())),
        }
    }
    found
}

/// Whether this function is run as a test: by an attribute above it that does not leave it out, as a case of a suite,
/// which takes a bench, or made of a scenario of the official clients (`scenario => typescript_…, python_…;`).
fn is_test(source: &str, name: &str) -> bool {
    let Some((before, after)) = source.split_once(&format!("fn {name}(")) else {
        let made = source.lines().filter_map(|line| line.trim().strip_suffix(';')?.split_once(" => "));
        return made.flat_map(|(_, tests)| tests.split(", ")).any(|test| test == name);
    };
    let above: Vec<&str> = before
        .trim_end()
        .lines()
        .rev()
        .map(str::trim)
        .take_while(|line| !line.is_empty() && !line.ends_with(['}', ';']))
        .collect();
    let commented = above.first().is_some_and(|line| line.starts_with("//"));
    let ignored = above.iter().any(|line| line.starts_with(concat!("#[", "ignore")));
    let run = above
        .iter()
        .any(|line| matches!(*line, "#[test]" | "#[tokio::test]") || line.starts_with("#[tokio::test("));
    !commented && !ignored && (run || after.starts_with("bench: Bench"))
}

#[test]
fn every_complaint_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("docs/complaints.md")).unwrap();
    let rows: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| thread |")).collect();
    assert_eq!(rows.len(), 34);
    let found: BTreeSet<(String, u32)> = rows.iter().flat_map(|row| threads(row)).collect();
    let expected: BTreeSet<(String, u32)> = THREADS
        .iter()
        .flat_map(|(project, numbers)| numbers.iter().map(|number| ((*project).to_owned(), *number)))
        .collect();
    let missing: Vec<_> = expected.symmetric_difference(&found).collect();
    assert!(missing.is_empty(), "threads without a row, or rows of other threads: {missing:?}");
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in rows {
        let tests = named(row);
        if tests.is_empty() {
            wrong.push(format!("no test: {row}"));
        }
        for (file, test) in tests {
            let source = sources
                .entry(file.clone())
                .or_insert_with(|| fs::read_to_string(root().join(&file)).unwrap_or_default());
            if !is_test(source, &test) {
                wrong.push(format!("{file} has no test `{test}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n\nWhat to do: name the test that keeps it so.", wrong.join("\n"));
}

#[test]
fn names_are_read_from_the_last_column() {
    let row = "| a #1 | `not/this` | x | `crates/a.rs` `one`, `crates/b.rs` `two` `three` |";
    let expected = [("crates/a.rs", "one"), ("crates/b.rs", "two"), ("crates/b.rs", "three")];
    let expected: Vec<_> =
        expected.iter().map(|(file, test)| ((*file).to_owned(), (*test).to_owned())).collect();
    assert_eq!(named(row), expected);
}
