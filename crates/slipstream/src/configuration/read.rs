//! Reads a configuration: what the file and the environment say, against the table of keys. Finds every
//! mistake before it says any. Starts nothing.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::Path,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Configuration, Effective, follower_count,
    keys::{
        ACCESS, CHAIN, DATABASE, DEMO, ENGINE, FOLLOWER, FollowerSettings, Key, LIVE, LiveSettings,
        NAMED_VARIABLES, OTHER_NAMES, QUEUE, RUN, Sample, VENUE, WEB,
    },
    kind::{Kind, Raw, shown},
    mistakes::{Mistake, Mistakes, Place},
    twice, unknown,
};

/// What the names of our variables begin with.
pub(crate) const PREFIX: &str = "SLIPSTREAM_";

/// Mistakes that are looked for: a file with more of them is something else, and takes long.
const MOST: usize = 500;

/// Variables by name; a value that is not text is `None`.
pub type Variables = BTreeMap<String, Option<String>>;

/// A key that was given, and where.
type Given = BTreeMap<&'static str, Range<usize>>;

/// The variable of a key.
pub(super) fn variable(section: &str, key: &str) -> String {
    let named = NAMED_VARIABLES.iter().find(|(of, name, _)| (*of, *name) == (section, key));
    named.map_or_else(|| format!("{PREFIX}{section}_{key}").to_uppercase(), |(.., named)| (*named).to_owned())
}

/// Reads the text of the file called `name`, whose paths are relative to `base`, and what `variables` say
/// against it.
///
/// # Errors
/// Every mistake of both.
pub fn read(name: &str, base: &Path, text: &str, variables: &Variables) -> Result<Configuration, Mistakes> {
    match read_anyway(name, base, text, variables) {
        (configuration, None) => Ok(configuration),
        (_, Some(mistakes)) => Err(mistakes),
    }
}

/// The same, with defaults in place of what is wrong: for looking, never for starting anything.
pub(super) fn read_anyway(
    name: &str,
    base: &Path,
    text: &str,
    variables: &Variables,
) -> (Configuration, Option<Mistakes>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { name, base, text, variables, mistakes: Vec::new(), effective: Vec::new() };
    let errors = errors.get(..MOST).unwrap_or(&errors);
    reader.syntax(errors);
    let (demo, demo_given) = reader.single("demo", DEMO, document.get_ref());
    let (engine, _) = reader.single("engine", ENGINE, document.get_ref());
    let (chain, _) = reader.single("chain", CHAIN, document.get_ref());
    let (venue, _) = reader.single("venue", VENUE, document.get_ref());
    let (live, live_given) = reader.single("live", LIVE, document.get_ref());
    reader.one_opener(&live, &live_given);
    let (run, _) = reader.single("run", RUN, document.get_ref());
    let (database, _) = reader.single("database", DATABASE, document.get_ref());
    let (queue, _) = reader.single("queue", QUEUE, document.get_ref());
    let (web, _) = reader.single("web", WEB, document.get_ref());
    let (access, _) = reader.single("access", ACCESS, document.get_ref());
    let followers = reader.followers(document.get_ref(), errors);
    unknown::sections(&mut reader, document.get_ref());
    unknown::variables(&mut reader);
    match follower_count(demo.followers, followers.len()) {
        Ok(count) if demo.followers.is_none() => reader.put_followers(count, followers.is_empty()),
        Ok(_) => {}
        Err(text) => reader.too_few(demo_given.get("followers"), text),
    }
    let Reader { mut mistakes, effective, .. } = reader;
    // Whoever names the key says more than TOML does about the same place.
    let named: BTreeSet<Place> =
        mistakes.iter().filter(|it| !it.subject.is_empty()).map(|it| it.place).collect();
    mistakes.retain(|mistake| !(mistake.subject.is_empty() && named.contains(&mistake.place)));
    let configuration = Configuration {
        run,
        demo,
        engine,
        chain,
        venue,
        live,
        database,
        queue,
        access,
        web,
        followers,
        effective,
    };
    (configuration, (!mistakes.is_empty()).then(|| Mistakes::of(name, mistakes)))
}

pub(super) struct Reader<'a> {
    name: &'a str,
    base: &'a Path,
    text: &'a str,
    pub(super) variables: &'a Variables,
    mistakes: Vec<Mistake>,
    effective: Vec<Effective>,
}

impl Reader<'_> {
    pub(super) fn mistake(&mut self, offset: usize, subject: String, text: String) {
        if self.mistakes.len() >= MOST {
            return;
        }
        self.mistakes.push(Mistake { place: Place::in_text(self.text, offset), subject, text });
    }

    pub(super) fn environment_mistake(&mut self, subject: String, text: String) {
        self.mistakes.push(Mistake { place: Place::Environment, subject, text });
    }

    /// What is no TOML. Of one line only the first thing: the others follow from it.
    fn syntax(&mut self, errors: &[toml::de::Error]) {
        let mut lines = BTreeSet::new();
        for error in errors {
            let offset = error.span().map_or(self.text.len(), |span| span.start);
            if let Place::At { line, .. } = Place::in_text(self.text, offset)
                && lines.insert(line)
            {
                let more = if error.message().contains("duplicate") {
                    twice::words(self.text, offset).map(|words| format!(": {words}"))
                } else {
                    None
                };
                let text = format!("is not TOML: {}{}", error.message(), more.unwrap_or_default());
                self.mistake(offset, String::new(), text);
            }
        }
    }

    /// A section that stands once. Its keys have variables.
    fn single<S: Default + 'static>(
        &mut self,
        section: &'static str,
        keys: &[Key<S>],
        document: &DeTable<'_>,
    ) -> (S, Given) {
        let header = format!("[{section}]");
        let entry = document.iter().find(|(key, _)| key.get_ref() == section);
        let table = match entry.map(|(key, value)| (key, value.get_ref())) {
            None => None,
            Some((_, DeValue::Table(table))) => Some(table),
            Some((key, _)) => {
                let text = format!("is a section: write `{header}`, and its keys below");
                self.mistake(key.span().start, section.to_owned(), text);
                None
            }
        };
        self.effective.push(Effective::Header(header.clone()));
        let (mut settings, given) = self.keys(&header, keys, table);
        for key in keys {
            self.override_by_environment(&mut settings, section, key);
        }
        (settings, given)
    }

    /// Reads what the table says, and the defaults of what it does not say.
    fn keys<S: Default + 'static>(
        &mut self,
        header: &str,
        keys: &[Key<S>],
        table: Option<&DeTable<'_>>,
    ) -> (S, Given) {
        let mut settings = S::default();
        let mut given = Given::new();
        for key in keys {
            let found = table.and_then(|table| table.iter().find(|(name, _)| name.get_ref() == key.name));
            if let Some((_, value)) = found {
                given.insert(key.name, value.span());
                // Stands in for a value that is no TOML.
                if value.span().is_empty() {
                    continue;
                }
                let raw = raw(self.text, value);
                match key.kind.apply(&mut settings, &raw, self.base) {
                    Ok(word) => self.put(key, &word, &self.source(value.span().start)),
                    Err(text) => {
                        let subject = format!("{header} {} = {}", key.name, key.kind.shown(&raw));
                        self.mistake(value.span().start, subject, with_sample(text, key));
                        self.default_of(&mut settings, key);
                    }
                }
            } else {
                self.default_of(&mut settings, key);
            }
        }
        if let Some(table) = table {
            let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
            unknown::keys(self, header, &names, table);
        }
        (settings, given)
    }

    fn default_of<S: 'static>(&mut self, settings: &mut S, key: &Key<S>) {
        if let Sample::Default(word) = key.sample
            && key.kind.apply(settings, &Raw::Word(word), self.base).is_ok()
        {
            self.put(key, word, "default");
        }
    }

    /// The environment wins over the file. Its paths are relative to the working directory.
    fn override_by_environment<S: 'static>(&mut self, settings: &mut S, section: &str, key: &Key<S>) {
        let Some((variable, value)) = self.variable_of(section, key.name) else { return };
        let Some(word) = value else {
            self.environment_mistake(variable, "is not UTF-8 text".to_owned());
            return;
        };
        match key.kind.apply(settings, &Raw::Word(word), Path::new("")) {
            Ok(word) => self.put(key, &word, &variable),
            Err(text) => {
                let subject = format!("{variable}={}", key.kind.shown(&Raw::Word(word)));
                self.environment_mistake(subject, with_sample(text, key));
            }
        }
    }

    /// The variable that says something about a key, and what. Two names with different values are a mistake.
    fn variable_of(&mut self, section: &str, key: &str) -> Option<(String, &Option<String>)> {
        let usual = variable(section, key);
        let other = OTHER_NAMES.iter().find(|(name, _)| *name == usual).map(|(_, other)| *other);
        let said = |name: &str| self.variables.get_key_value(name);
        let (first, second) = (said(&usual), other.and_then(said));
        if let (Some((_, one)), Some((name, another))) = (first, second)
            && one != another
        {
            let text = format!("says something else than {usual}; set one of them, or both to the same");
            self.environment_mistake(name.clone(), text);
        }
        first.or(second).map(|(name, value)| (name.clone(), value))
    }

    /// Notes what is in force, in place of what was said about the key in this section before.
    fn put<S: 'static>(&mut self, key: &Key<S>, word: &str, source: &str) {
        let (value, source) = (key.kind.toml(word), source.to_owned());
        let start = self.effective.iter().rposition(|line| matches!(line, Effective::Header(_))).unwrap_or(0);
        let same = |line: &&mut Effective| matches!(line, Effective::Key { name, .. } if *name == key.name);
        let line = Effective::Key { name: key.name, value, source };
        match self.effective.iter_mut().skip(start).find(same) {
            Some(old) => *old = line,
            None => self.effective.push(line),
        }
    }

    /// Notes the number of followers where nobody gave one.
    fn put_followers(&mut self, count: u16, built_in: bool) {
        let source = if built_in { "default" } else { "one for each [[follower]]" };
        let line = Effective::Key { name: "followers", value: count.to_string(), source: source.to_owned() };
        let header = |line: &Effective| *line == Effective::Header("[demo]".to_owned());
        if let Some(at) = self.effective.iter().position(header) {
            self.effective.insert(at + 1, line);
        }
    }

    fn source(&self, offset: usize) -> String {
        match Place::in_text(self.text, offset) {
            Place::At { line, .. } => format!("{}:{line}", self.name),
            Place::File | Place::Environment | Place::CommandLine => self.name.to_owned(),
        }
    }

    /// All `[[follower]]`. What one lacks is told only if all of it is TOML.
    fn followers(&mut self, document: &DeTable<'_>, errors: &[toml::de::Error]) -> Vec<FollowerSettings> {
        const HEADER: &str = "[[follower]]";
        let Some((key, value)) = document.iter().find(|(key, _)| key.get_ref() == "follower") else {
            return Vec::new();
        };
        let advice = || format!("is a list: write `{HEADER}` for each, and its keys below");
        let DeValue::Array(list) = value.get_ref() else {
            self.mistake(key.span().start, "follower".to_owned(), advice());
            return Vec::new();
        };
        let mut followers = Vec::new();
        let mut names = BTreeMap::new();
        let mut ends = list.iter().skip(1).map(|next| next.span().start);
        for entry in list.iter() {
            let whole = entry.span().start..ends.next().unwrap_or(self.text.len() + 1);
            let whole = !errors.iter().filter_map(toml::de::Error::span).any(|at| whole.contains(&at.start));
            let DeValue::Table(table) = entry.get_ref() else {
                self.mistake(entry.span().start, "follower".to_owned(), advice());
                continue;
            };
            self.effective.push(Effective::Header(HEADER.to_owned()));
            let (follower, given) = self.keys(HEADER, FOLLOWER, Some(table));
            if whole {
                self.judge(HEADER, &follower, &given, entry.span().start);
            }
            if let Some(at) = given.get("name").map(|span| span.start).filter(|_| !follower.name.is_empty())
                && let Some(first) = names.insert(follower.name.clone(), at)
            {
                let subject = format!("{HEADER} name = {}", Raw::Text(&follower.name).shown());
                let text =
                    format!("is the name of another one, in {}; give each its own", self.source(first));
                self.mistake(at, subject, text);
            }
            followers.push(follower);
        }
        followers
    }

    /// What no single key of a follower can tell.
    fn judge(&mut self, header: &str, follower: &FollowerSettings, given: &Given, begin: usize) {
        let before = self.mistakes.len();
        let subject = |name: &str| format!("{header} {name}");
        match (given.get("ratio"), given.get("fixed")) {
            (Some(_), Some(fixed)) => {
                let text = "stands beside `ratio`; keep the one that says how much to buy".to_owned();
                self.mistake(fixed.start, subject("fixed"), text);
            }
            (None, None) => {
                let text = "does not say how much to buy; add `ratio = 0.1` (a tenth of the leader's dollars) or \
                            `fixed = 5` (dollars a trade)";
                self.mistake(begin, header.to_owned(), text.to_owned());
            }
            _ => {}
        }
        if !given.contains_key("name") {
            let text = "has no name; add `name = \"small and careful\"`".to_owned();
            self.mistake(begin, header.to_owned(), text);
        }
        let band = follower.policy.band;
        if band.from > band.to {
            let at = given.get("price_from").or(given.get("price_to")).map_or(begin, |span| span.start);
            let text = format!(
                "no price is from {} to {}; `price_from` must not be above `price_to`",
                band.from, band.to
            );
            self.mistake(at, subject("price_from"), text);
        }
        if self.mistakes.len() == before {
            for text in follower.policy.mistakes() {
                self.mistake(begin, header.to_owned(), text);
            }
        }
    }

    /// Keys are opened here or by a signer's process: of a file beside its socket nobody would know that it is not read.
    fn one_opener(&mut self, live: &LiveSettings, given: &Given) {
        if live.socket.is_none() || live.key_file.is_none() {
            return;
        }
        let text = "stands beside `socket`, whose process opens the keys, so it is not read; keep one of them (`key_file` \
                    belongs in the configuration of `signer serve`)"
            .to_owned();
        let variable = variable("live", "key_file");
        match given.get("key_file") {
            Some(span) if !self.variables.contains_key(&variable) => {
                self.mistake(span.start, "[live] key_file".to_owned(), text);
            }
            _ => self.environment_mistake(variable, text),
        }
    }

    fn too_few(&mut self, given: Option<&Range<usize>>, text: String) {
        let variable = variable("demo", "followers");
        match given {
            _ if self.variables.contains_key(&variable) => self.environment_mistake(variable, text),
            Some(span) => self.mistake(span.start, "[demo] followers".to_owned(), text),
            None => self.mistakes.push(Mistake { place: Place::File, subject: String::new(), text }),
        }
    }
}

fn with_sample<S: 'static>(text: String, key: &Key<S>) -> String {
    // A path has no sample that would be right elsewhere.
    match key.kind {
        Kind::File(_) | Kind::Secret(_) | Kind::Directory(_) | Kind::Server(..) => text,
        _ => format!("{text}; for example `{} = {}`", key.name, key.kind.toml(key.sample.word())),
    }
}

fn raw<'a>(text: &str, value: &'a Spanned<DeValue<'_>>) -> Raw<'a> {
    let is_quoted = || text.get(value.span()).is_some_and(|text| text.starts_with(['"', '\'']));
    match value.get_ref() {
        DeValue::String(text) if is_quoted() => Raw::Text(text),
        DeValue::String(text) => Raw::Word(text),
        DeValue::Integer(number) => Raw::Number(Cow::Owned(number.to_string())),
        DeValue::Float(number) => Raw::Number(Cow::Borrowed(number.as_str())),
        DeValue::Boolean(flag) => Raw::Flag(*flag),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(list) => {
            let text = |value: &Spanned<DeValue<'_>>| value.get_ref().as_str().map(str::to_owned);
            let texts: Option<Vec<String>> = list.iter().map(text).collect();
            texts.map_or(Raw::Other("a list"), |texts| Raw::List(texts.join(",")))
        }
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

/// The name of a key as it is shown.
pub(super) fn key_shown(name: &str) -> String {
    if name.is_empty() { "\"\"".to_owned() } else { shown(name) }
}
