//! Keys, sections and variables that nobody reads: each is refused, with the name that was probably meant.
//! Their values are never shown, because a secret may be among them.

use toml::de::{DeTable, DeValue};

use super::{
    keys::{
        ACCESS, CHAIN, DATABASE, DEMO, ENGINE, FOLLOWER, Key, LIVE, NAMED_VARIABLES, QUEUE, RUN, VENUE, WEB,
    },
    read::{PREFIX, Reader, key_shown, variable},
};

/// Sections as they are written.
const SECTIONS: [(&str, &str); 11] = [
    ("run", "[run]"),
    ("database", "[database]"),
    ("queue", "[queue]"),
    ("access", "[access]"),
    ("demo", "[demo]"),
    ("engine", "[engine]"),
    ("chain", "[chain]"),
    ("venue", "[venue]"),
    ("live", "[live]"),
    ("web", "[web]"),
    ("follower", "[[follower]]"),
];

/// Variables of the program that are no keys: see `ConfigFile`, `crash` and `clock`.
const OTHER_VARIABLES: [&str; 3] = ["SLIPSTREAM_CONFIG", crate::crash::VARIABLE, crate::clock::AHEAD];

/// Words in names of keys that would hold a secret.
const SECRET_WORDS: [&str; 8] =
    ["secret", "password", "passphrase", "private", "mnemonic", "token", "credential", "api_key"];

/// Refuses what `table` has beyond `known`.
pub(super) fn keys(reader: &mut Reader<'_>, header: &str, known: &[&str], table: &DeTable<'_>) {
    for (key, _) in table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
        let name = key.get_ref();
        let text = if is_for_secret(name) {
            "no such key, and no key takes a secret: secrets never stand in a configuration; take it out"
                .to_owned()
        } else if let Some(near) = nearest(name, known.iter().copied()) {
            format!("no such key; did you mean `{near}`?")
        } else if let Some(section) = sections_of(name) {
            format!("no such key; `{name}` belongs to {section}")
        } else {
            format!("no such key; there are {}", known.join(", "))
        };
        reader.mistake(key.span().start, format!("{header} {}", key_shown(name)), text);
    }
}

/// Refuses what the file has beyond its sections.
pub(super) fn sections(reader: &mut Reader<'_>, document: &DeTable<'_>) {
    let known = |name: &str| SECTIONS.iter().any(|(section, _)| *section == name);
    for (key, value) in document.iter().filter(|(key, _)| !known(key.get_ref().as_ref())) {
        let name = key.get_ref();
        let is_table = matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_));
        let what = if is_table { "no such section" } else { "no such key" };
        let near = nearest(name, SECTIONS.iter().map(|(section, _)| *section));
        let text = if is_for_secret(name) {
            format!("{what}, and no key takes a secret: secrets never stand in a configuration; take it out")
        } else if let Some(section) = sections_of(name) {
            format!("{what} here; `{name}` belongs to {section}")
        } else if let Some((_, section)) = SECTIONS.iter().find(|(section, _)| Some(*section) == near) {
            format!("{what}; did you mean `{section}`?")
        } else {
            let sections = SECTIONS.map(|(_, section)| section).join(", ");
            format!("{what}; there are the sections {sections}")
        };
        reader.mistake(key.span().start, key_shown(name), text);
    }
}

/// Refuses variables that begin like one of ours or are nearly one of ours. Others may be somebody else's.
pub(super) fn variables(reader: &mut Reader<'_>) {
    let known: Vec<String> = RUN
        .iter()
        .map(|key| variable("run", key.name))
        .chain(DATABASE.iter().map(|key| variable("database", key.name)))
        .chain(QUEUE.iter().map(|key| variable("queue", key.name)))
        .chain(ACCESS.iter().map(|key| variable("access", key.name)))
        .chain(DEMO.iter().map(|key| variable("demo", key.name)))
        .chain(ENGINE.iter().map(|key| variable("engine", key.name)))
        .chain(CHAIN.iter().map(|key| variable("chain", key.name)))
        .chain(VENUE.iter().map(|key| variable("venue", key.name)))
        .chain(LIVE.iter().map(|key| variable("live", key.name)))
        .chain(WEB.iter().map(|key| variable("web", key.name)))
        .chain(OTHER_VARIABLES.map(str::to_owned))
        .collect();
    let variables = reader.variables;
    for name in variables.keys().filter(|name| !known.contains(name)) {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let near = nearest(rest, known.iter().filter_map(|known| known.strip_prefix(PREFIX)));
        let section = SECTIONS.iter().find(|(section, _)| {
            rest.strip_prefix(&section.to_uppercase()).is_some_and(|key| key.starts_with('_'))
        });
        let named = NAMED_VARIABLES
            .iter()
            .find(|(section, key, _)| rest.eq_ignore_ascii_case(&format!("{section}_{key}")));
        let text = match (near, section) {
            _ if named.is_some() => {
                format!("no such variable; did you mean `{}`?", named.map_or("", |(.., named)| named))
            }
            (Some(near), _) => format!("no such variable; did you mean `{PREFIX}{near}`?"),
            (None, Some(("follower", header))) => {
                format!("no such variable: a {header} is described in a file only")
            }
            (None, Some((_, header))) => format!("no such variable: it names no key of {header}"),
            (None, None) => continue,
        };
        reader.environment_mistake(key_shown(name), text);
    }
}

/// Whether a key of this name would hold a secret itself, not the path of its file.
fn is_for_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    !name.ends_with("_file") && SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// The sections that have a key of this name, as they are written.
fn sections_of(name: &str) -> Option<String> {
    fn has<S: 'static>(keys: &[Key<S>], name: &str) -> bool {
        keys.iter().any(|key| key.name == name)
    }
    let having = [
        ("[run]", has(RUN, name)),
        ("[demo]", has(DEMO, name)),
        ("[database]", has(DATABASE, name)),
        ("[queue]", has(QUEUE, name)),
        ("[access]", has(ACCESS, name)),
        ("[engine]", has(ENGINE, name)),
        ("[chain]", has(CHAIN, name)),
        ("[venue]", has(VENUE, name)),
        ("[live]", has(LIVE, name)),
        ("[web]", has(WEB, name)),
        ("[[follower]]", has(FOLLOWER, name)),
    ];
    let having: Vec<&str> = having.iter().filter(|(_, has)| *has).map(|(section, _)| *section).collect();
    (!having.is_empty()).then(|| having.join(" or "))
}

/// The known name that is at most a third of its letters away.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Far longer than any name, and not worth the time.
    let name = name.get(..name.floor_char_boundary(64)).unwrap_or(name).to_lowercase().replace('-', "_");
    known
        .map(|known| (strsim::damerau_levenshtein(&name, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_has_a_suggestion_and_nonsense_has_none() {
        let known = || DEMO.iter().map(|key| key.name);
        for (slip, meant) in
            [("sped", "speed"), ("folowers", "followers"), ("data-dir", "data_dir"), ("Seed", "seed")]
        {
            assert_eq!(nearest(slip, known()), Some(meant));
        }
        for nonsense in ["", "colour", "x"] {
            assert_eq!(nearest(nonsense, known()), None, "{nonsense}");
        }
    }

    #[test]
    fn every_section_is_known_by_its_keys() {
        assert_eq!(sections_of("speed").as_deref(), Some("[demo]"));
        assert_eq!(sections_of("workers").as_deref(), Some("[engine]"));
        assert_eq!(sections_of("ratio").as_deref(), Some("[[follower]]"));
        assert_eq!(sections_of("slippage"), None);
    }
}
