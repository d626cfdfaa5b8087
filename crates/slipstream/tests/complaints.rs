//! Every test that docs/complaints.md names is there.

#![cfg(test)]

use std::{collections::BTreeMap, fs, path::Path};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
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

#[test]
fn every_complaint_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("docs/complaints.md")).unwrap();
    let rows: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| thread |")).collect();
    // Rows in the order of the document: money, the venue, feeds.
    let counts: Vec<usize> =
        text.split("\n## ").skip(1).map(|group| group.matches("\n| ").count() - 1).collect();
    assert_eq!(counts, [15, 11, 6], "complaints of a group were added or went missing");
    assert_eq!(rows.len(), 32);
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
            // The functions of the test, whatever runs it.
            if !source.contains(&format!("fn {test}(")) {
                wrong.push(format!("{file} has no `{test}`"));
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
