//! The house, checked from its sources: who may know whom, how large a file may be, what must stand at its
//! top, what may stand nowhere, and whether the documents still name what is there.
//!
//! Reads files of the repository and nothing else.

#![cfg(test)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

/// Which room may know which. The one place where an arrow is allowed.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("eip712", &["domain"]),
    ("engine", &["domain"]),
    // Who people are and what they may do: a core of its own, which borrows the words for a store's failures.
    ("access", &["domain", "engine"]),
    ("operations", &["domain"]),
    ("store", &["access", "domain", "engine", "operations"]),
    ("queue", &["domain", "engine"]),
    ("polymarket", &["domain", "eip712", "engine"]),
    ("signer", &["domain", "eip712", "engine"]),
    // Not even the engine: the venue knows nothing of who trades there.
    ("simulator", &["domain"]),
    // The simulator's matcher behind the engine's ports (docs/decisions/0020).
    ("paper", &["domain", "engine", "simulator"]),
    // Processes of others: it knows nothing of copying.
    ("servers", &[]),
    ("testkit", &["access", "domain", "engine", "operations"]),
    // What is told of what is stored, for terminal and pages alike (docs/decisions/0038).
    ("story", &["domain", "engine"]),
    ("web", &["access", "domain", "engine", "story"]),
    (
        "slipstream",
        &[
            "access",
            "domain",
            "eip712",
            "engine",
            "operations",
            "store",
            "queue",
            "paper",
            "polymarket",
            "servers",
            "signer",
            "simulator",
            "story",
            "web",
        ],
    ),
];

/// Libraries that only these rooms may use outside tests.
const KEPT_TO: &[(&str, &[&str])] = &[
    ("secp256k1", &["access", "signer", "simulator"]),
    ("sqlx", &["store"]),
    ("redis", &["queue"]),
    ("axum", &["simulator", "slipstream", "web"]),
    ("alloy-primitives", &["access", "eip712", "signer", "polymarket", "simulator"]),
    ("alloy-sol-types", &["simulator"]),
    ("ring", &["access"]),
    ("reqwest", &["polymarket", "slipstream"]),
    ("tokio-tungstenite", &["polymarket"]),
];

/// All that the rules of copying may stand on.
const DOMAIN_STANDS_ON: [&str; 2] = ["serde", "thiserror"];

/// Lines a source file may have.
const LINES: usize = 500;

/// Files that may be longer: path, their own ceiling, the reason.
const LONGER: &[(&str, usize, &str)] = &[];

/// Lines of code, tests and comments not counted, that may differ between databases.
const DIALECT_LINES: usize = 200;

/// Folders that are not sources.
const NOT_OURS: [&str; 3] = [".git", "target", ".cache"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_symlink() || NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

/// Every text file: its path from the root, and its text.
fn texts() -> BTreeMap<String, String> {
    let root = root();
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    let texts: BTreeMap<String, String> = paths
        .into_iter()
        .filter_map(|path| {
            let text = String::from_utf8(fs::read(&path).unwrap()).ok()?;
            Some((path.strip_prefix(&root).unwrap().to_string_lossy().into_owned(), text))
        })
        .collect();
    for known in ["Cargo.toml", "README.md", "crates/domain/src/lib.rs", "crates/slipstream/tests/house.rs"] {
        assert!(texts.contains_key(known), "`{known}` was not found: this test does not see the sources");
    }
    texts
}

fn sources() -> BTreeMap<String, String> {
    texts().into_iter().filter(|(path, _)| path.ends_with(".rs")).collect()
}

fn manifests() -> BTreeMap<String, Table> {
    let name_of = |path: &str| Some(path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?.to_owned());
    texts().iter().filter_map(|(path, text)| Some((name_of(path)?, text.parse().unwrap()))).collect()
}

/// Names of the packages in one kind of dependency table, those of single platforms included.
fn packages(manifest: &Table, kind: &str) -> BTreeSet<String> {
    let platforms = manifest.get("target").and_then(Value::as_table);
    let tables = std::iter::once(manifest)
        .chain(platforms.into_iter().flat_map(|platforms| platforms.values().filter_map(Value::as_table)));
    tables
        .filter_map(|table| table.get(kind)?.as_table())
        .flatten()
        .map(|(name, value)| value.get("package").and_then(Value::as_str).unwrap_or(name).to_owned())
        .collect()
}

/// What is compiled into the product.
fn normal(manifest: &Table) -> BTreeSet<String> {
    &packages(manifest, "dependencies") | &packages(manifest, "build-dependencies")
}

fn nothing_wrong(found: &[String], remedy: &str) {
    assert!(found.is_empty(), "\n{}\n\nWhat to do: {remedy}\n", found.join("\n"));
}

#[test]
fn rooms_know_only_whom_they_may() {
    let manifests = manifests();
    let rooms: BTreeSet<&str> = manifests.keys().map(String::as_str).collect();
    let listed: BTreeSet<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    assert_eq!(rooms, listed, "ARROWS in crates/slipstream/tests/house.rs must name exactly the crates");
    let mut wrong = Vec::new();
    for (room, allowed) in ARROWS {
        for other in normal(&manifests[*room]) {
            if rooms.contains(other.as_str()) && !allowed.contains(&other.as_str()) {
                wrong.push(format!("`{room}` depends on `{other}`"));
            }
        }
    }
    let own_view = packages(&manifests["simulator"], "dev-dependencies");
    for other in ["polymarket", "eip712"].into_iter().filter(|other| own_view.contains(*other)) {
        wrong.push(format!("`simulator` tests itself with `{other}`"));
    }
    nothing_wrong(
        &wrong,
        "move the code to where both may see it (a type to `domain`, a port to `engine`), or, for a good \
         reason, add the arrow to ARROWS and a page to docs/decisions/. The simulator must stay a second \
         opinion: a mistake on the wire would cancel itself out.",
    );
}

#[test]
fn libraries_stay_in_their_rooms() {
    let manifests = manifests();
    let mut wrong = Vec::new();
    for (library, rooms) in KEPT_TO {
        for (room, manifest) in &manifests {
            if normal(manifest).contains(*library) && !rooms.contains(&room.as_str()) {
                wrong.push(format!("`{room}` depends on `{library}`, which is for {}", rooms.join(", ")));
            }
        }
    }
    for library in normal(&manifests["domain"]) {
        if !DOMAIN_STANDS_ON.contains(&library.as_str()) {
            wrong.push(format!("`domain` depends on `{library}`"));
        }
    }
    nothing_wrong(&wrong, "use the library behind a port of `engine`; `domain` takes plain values.");
}

#[test]
fn manifests_take_everything_from_the_workspace() {
    let from_workspace =
        |value: &Value| value.get("workspace").and_then(Value::as_bool).is_some_and(|inherited| inherited);
    let mut wrong = Vec::new();
    for (room, manifest) in &manifests() {
        if !manifest.get("lints").is_some_and(from_workspace) {
            wrong.push(format!("crates/{room}/Cargo.toml has no `[lints] workspace = true`"));
        }
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in manifest.get(kind).and_then(Value::as_table).into_iter().flatten() {
                if !from_workspace(value) {
                    wrong.push(format!("crates/{room}/Cargo.toml has a version of `{name}` of its own"));
                }
            }
        }
    }
    nothing_wrong(
        &wrong,
        "versions are in [workspace.dependencies] of Cargo.toml; write `workspace = true`.",
    );
}

/// Libraries with their features, as cargo would build them for these arguments.
fn built_for(arguments: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = std::process::Command::new(cargo)
        .current_dir(root())
        .args(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p} with {f}"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

#[test]
fn the_program_and_the_tests_share_every_library() {
    let program = built_for(&["--edges", "normal,build"]);
    let tests = built_for(&["--edges", "normal,build,dev", "--workspace"]);
    assert!(program.len() > 100, "{} libraries", program.len());
    let wrong: Vec<String> = program.difference(&tests).cloned().collect();
    nothing_wrong(
        &wrong,
        "a library that tests want with more features is built twice, and with it all that stand on it: give \
         it the same features in [workspace.dependencies], or do without.",
    );
}

#[test]
fn files_are_short_and_say_what_they_own() {
    let sources = sources();
    let mut wrong = Vec::new();
    for (path, text) in &sources {
        let lines = text.lines().count();
        let ceiling = LONGER.iter().find(|(longer, ..)| longer == path).map_or(LINES, |(_, own, _)| *own);
        if lines > ceiling {
            wrong.push(format!("{path} has {lines} lines, {ceiling} are allowed"));
        }
        if !text.trim_start().starts_with("//!") {
            wrong.push(format!("{path} does not begin with `//!`"));
        }
    }
    for (path, _, reason) in LONGER {
        if sources.get(*path).is_none_or(|text| text.lines().count() <= LINES) {
            wrong.push(format!("{path} needs no exception any more ({reason})"));
        }
    }
    nothing_wrong(
        &wrong,
        "split the file where its parts have names of their own; begin each with what it owns and what it \
         never does. A longer file needs a line with its reason in LONGER, crates/slipstream/tests/house.rs.",
    );
}

/// A file that no `mod` names is never compiled.
#[test]
fn every_source_is_compiled() {
    let sources = sources();
    let root_of_target = |folder: &str, name: &str| {
        ["lib", "main", "mod", "build"].contains(&name)
            || ["/tests", "/examples", "/src/bin"].iter().any(|end| folder.ends_with(end))
    };
    let mut found = Vec::new();
    for path in sources.keys() {
        let Some((folder, name)) = path.strip_suffix(".rs").and_then(|path| path.rsplit_once('/')) else {
            continue;
        };
        if root_of_target(folder, name) {
            continue;
        }
        let named = [format!("mod {name};"), format!("/{name}.rs\"]"), format!("\"{name}.rs\"]")];
        let above = folder.rsplit_once('/').map_or("", |(above, _)| above);
        let declares = |(other, text): (&String, &String)| {
            let place = other.rsplit_once('/').map_or("", |(place, _)| place);
            (place == folder || place == above) && named.iter().any(|named| text.contains(named.as_str()))
        };
        if !sources.iter().any(declares) {
            found.push(path.clone());
        }
    }
    nothing_wrong(&found, "name it in a `mod`, or delete it");
}

/// An absolute path that exists on somebody's machine only.
fn machine_path(line: &str) -> bool {
    ["/home/", "/root/", "/tmp/", "/work/", "/Users/"].iter().any(|folder| {
        line.match_indices(folder).any(|(at, _)| {
            // Behind a letter, a dot or a variable it is the end of another path or of an address.
            let before = line.get(..at).and_then(|text| text.chars().next_back());
            before.is_none_or(|before| !(before.is_alphanumeric() || "._-/}*".contains(before)))
        })
    })
}

/// Something left unfinished or switched off. The words are put together so that this file passes.
fn unfinished(line: &str) -> bool {
    [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[", "ignore"),
        concat!("[", "allow("),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
    ]
    .iter()
    .any(|word| line.contains(word))
}

#[test]
fn nothing_is_left_unfinished_or_bound_to_a_machine() {
    let mut wrong = Vec::new();
    for (path, text) in &texts() {
        let tells_paths = path == "crates/slipstream/tests/house.rs";
        for (number, line) in text.lines().enumerate() {
            if machine_path(line) && !tells_paths {
                wrong.push(format!("{path}:{}: a path of one machine", number + 1));
            }
            if path.ends_with(".rs") && unfinished(line) {
                wrong.push(format!("{path}:{}: unfinished or switched off: {}", number + 1, line.trim()));
            }
        }
    }
    nothing_wrong(
        &wrong,
        "take paths from arguments, the environment or a temporary directory of the test; finish the code or \
         leave it out; instead of silencing a lint, `#[expect(lint, reason = \"…\")]`.",
    );
}

#[test]
fn the_detectors_detect() {
    assert!(machine_path("let file = \"/home/ann/x\";") && machine_path("/tmp/x"));
    assert!(!machine_path("https://example.com/tmp/x") && !machine_path("$HOME/work/"));
    assert!(unfinished(concat!("    to", "do!()")) && unfinished(concat!("#![", "allow(dead_code)]")));
    assert!(!unfinished("#[expect(dead_code, reason = \"\")]"));
    let manifest = "[target.'cfg(unix)'.dependencies]\nhidden = { package = \"sqlx\", version = \"1\" }";
    assert!(normal(&manifest.parse().unwrap()).contains("sqlx"));
}

#[test]
fn what_differs_between_databases_is_small_and_in_one_file() {
    let sources = sources();
    let Some(dialect) = sources.get("crates/store/src/dialect.rs") else {
        panic!("crates/store/src/dialect.rs is gone: say in this test where databases differ now");
    };
    let code = dialect
        .lines()
        .map(str::trim)
        .take_while(|line| *line != "#[cfg(test)]")
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count();
    assert!(code <= DIALECT_LINES, "dialect.rs has {code} lines of code, {DIALECT_LINES} are allowed");
    let mut wrong = Vec::new();
    for (path, text) in sources.iter().filter(|(path, _)| path.starts_with("crates/store/src/")) {
        for word in ["json_each", "unhex(", "randomblob", "BEGIN IMMEDIATE", "jsonb_", "UNNEST("] {
            if text.contains(word) && !path.ends_with("/dialect.rs") {
                wrong.push(format!("{path} says `{word}`, which one database alone understands"));
            }
        }
    }
    nothing_wrong(&wrong, "put it behind a name in crates/store/src/dialect.rs.");
}

/// Texts between single backticks, outside fenced blocks.
fn code_spans(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|prose| prose.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn documents_name_what_is_there() {
    let texts = texts();
    let root = root();
    let words: BTreeSet<&str> = texts
        .iter()
        .filter(|(path, _)| path.ends_with(".rs"))
        .flat_map(|(_, text)| text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')))
        .collect();
    let mut wrong = Vec::new();
    for (path, text) in texts.iter().filter(|(path, _)| path.ends_with(".md")) {
        let folder = root.join(path).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                wrong.push(format!("{path} links to `{target}`"));
            }
        }
        for span in code_spans(text) {
            let file = ["crates/", "docs/"].iter().any(|start| span.starts_with(start));
            if file && !span.contains(['*', ' ', '{']) && !root.join(span).exists() {
                wrong.push(format!("{path} names the file `{span}`"));
            }
            let item = span.split(['(', '<']).next().unwrap_or(span);
            let is_path = item.contains("::") && !item.contains([' ', '/']);
            if is_path && !item.split("::").all(|word| word.is_empty() || words.contains(word)) {
                wrong.push(format!("{path} names `{span}`"));
            }
        }
    }
    nothing_wrong(&wrong, "the code has no such thing: correct the document.");
}
