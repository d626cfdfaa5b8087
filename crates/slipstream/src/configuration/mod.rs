//! What an installation is told: one TOML file, overridden by the environment, overridden by the command
//! line. Owns the table of keys and everything that follows from it: reading, refusing what nobody reads,
//! telling all mistakes at once, the reference. Knows no secret: none is a value of a key, and whatever
//! looks like one is not repeated; addresses of servers may hold a password and are shown without. Never starts anything.

pub mod command;
pub mod keys;
mod kind;
mod mistakes;
#[cfg(test)]
mod properties;
mod read;
mod reference;
mod server_url;
#[cfg(test)]
mod tests;
mod twice;
mod unknown;

use std::{
    ffi::OsString,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use domain::{Usd, policy::Policy};

use self::keys::{
    AccessSettings, ChainSettings, DatabaseSettings, DemoSettings, EngineSettings, FollowerSettings,
    LiveSettings, QueueSettings, RunSettings, VenueSettings, WebSettings,
};
use self::read::read_anyway;
pub(crate) use self::{
    keys::{NAMED_VARIABLES, OTHER_NAMES},
    kind::may_be_secret,
    read::PREFIX,
};
pub use self::{
    mistakes::{Mistake, Mistakes, Place},
    read::{Variables, read},
    reference::{markdown, toml, toml_with},
    server_url::{Server, ServerUrl},
};

/// The file that is checked if none is named.
pub const FILE: &str = "slipstream.toml";
/// The variable that names the file.
pub const FILE_VARIABLE: &str = "SLIPSTREAM_CONFIG";

/// A file longer than this is something else.
const LONGEST: u64 = 1 << 20;

/// What file and environment say, without a mistake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// `[run]`
    pub run: RunSettings,
    /// `[demo]`
    pub demo: DemoSettings,
    /// `[engine]`
    pub engine: EngineSettings,
    /// `[chain]`
    pub chain: ChainSettings,
    /// `[venue]`
    pub venue: VenueSettings,
    /// `[web]`
    pub web: WebSettings,
    /// `[live]`
    pub live: LiveSettings,
    /// `[database]`
    pub database: DatabaseSettings,
    /// `[queue]`
    pub queue: QueueSettings,
    /// `[access]`
    pub access: AccessSettings,
    /// Every `[[follower]]`.
    pub followers: Vec<FollowerSettings>,
    /// The same, for people.
    effective: Vec<Effective>,
}

/// A line of what is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Effective {
    /// A section begins.
    Header(String),
    /// A key.
    Key {
        /// Its name.
        name: &'static str,
        /// Its value, as TOML.
        value: String,
        /// Who said so.
        source: String,
    },
}

impl Configuration {
    /// Reads the file, if there is to be one, and the environment.
    ///
    /// # Errors
    /// Every mistake of both.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Mistakes> {
        match Self::load_anyway(file, environment) {
            (configuration, None) => Ok(configuration),
            (_, Some(mistakes)) => Err(mistakes),
        }
    }

    /// The same, with defaults in place of what is wrong: for looking, never for starting anything.
    pub fn load_anyway(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> (Self, Option<Mistakes>) {
        let variables = ours(environment);
        let Some(file) = file else { return read_anyway("", Path::new(""), "", &variables) };
        let name = crate::wording::harmless(&file.display().to_string());
        let base = file.parent().map(Path::to_owned).unwrap_or_default();
        match contents(file) {
            Ok(text) => read_anyway(&name, &base, &text, &variables),
            Err(wrong) => {
                // The environment's mistakes are told with it.
                let (configuration, environment) = read_anyway(&name, &base, "", &variables);
                let mut list = environment.map(|found| found.list().to_vec()).unwrap_or_default();
                list.push(wrong);
                (configuration, Some(Mistakes::of(&name, list)))
            }
        }
    }

    /// How many followers a demo has. `flag` is what the command line asks for.
    ///
    /// # Errors
    /// When it asks for fewer than are described.
    pub fn follower_count(&self, flag: Option<u16>) -> Result<u16, Mistakes> {
        follower_count(flag.or(self.demo.followers), self.followers.len()).map_err(|text| {
            let subject = flag.map(|flag| format!("--followers {flag}")).unwrap_or_default();
            Mistakes::of("", vec![Mistake { place: Place::CommandLine, subject, text }])
        })
    }

    /// Number of keys that file or environment set.
    #[must_use]
    pub fn set(&self) -> usize {
        let set = |line: &&Effective| matches!(line, Effective::Key { source, .. } if source != "default");
        self.effective.iter().filter(set).count()
    }

    /// What is in force, for programs: each value as TOML has it, with who said so.
    #[must_use]
    pub fn effective_json(&self) -> serde_json::Value {
        let mut section = "";
        let settings = self.effective.iter().filter_map(|line| match line {
            Effective::Header(header) => {
                section = header;
                None
            }
            Effective::Key { name, value, source } => {
                Some(serde_json::json!({ "section": section, "key": name, "value": value, "source": source }))
            }
        });
        settings.collect()
    }

    /// What is in force, as TOML: each value with who said so.
    #[must_use]
    pub fn effective(&self) -> String {
        let mut out = String::new();
        let keys = self.effective.iter().filter_map(|line| match line {
            Effective::Key { name, value, .. } => Some(name.len() + 3 + value.chars().count()),
            Effective::Header(_) => None,
        });
        // A long path must not push every comment off the screen.
        let width = keys.filter(|width| *width <= 40).max().unwrap_or(0);
        for line in &self.effective {
            match line {
                Effective::Header(header) => out.push_str(&format!("\n{header}\n")),
                Effective::Key { name, value, source } => {
                    let setting = format!("{name} = {value}");
                    out.push_str(&format!("{setting:<width$}  # {source}\n"));
                }
            }
        }
        out
    }
}

/// Puts keys of a `[[follower]]` (name and value as the environment would write it) into its settings, for flags and
/// commands.
///
/// # Errors
/// Every mistake, in words.
pub fn change_follower(
    settings: &mut keys::FollowerSettings,
    changes: &[(String, String)],
) -> Result<(), Vec<String>> {
    let mut mistakes = Vec::new();
    for (name, word) in changes {
        if let Some(cap) = cap_of(&mut settings.policy, name).filter(|_| word == NO_CAP) {
            *cap = None;
            continue;
        }
        let key = keys::FOLLOWER.iter().find(|key| key.name == name);
        let applied = key.map(|key| key.kind.apply(settings, &kind::Raw::Word(word), Path::new("")));
        match applied {
            Some(Ok(_)) => {}
            Some(Err(text)) => {
                let or = if cap_of(&mut settings.policy, name).is_some() { ", or `none`" } else { "" };
                mistakes.push(format!("{name} = {} {text}{or}", kind::shown(word)));
            }
            None => mistakes.push(format!("there is no {name}")),
        }
    }
    let named = |wanted: &str| changes.iter().any(|(name, _)| name == wanted);
    if named("ratio") && named("fixed") {
        mistakes.push(
            "ratio and fixed stand beside each other; keep the one that says how much to buy".to_owned(),
        );
    }
    if mistakes.is_empty() {
        mistakes = settings.policy.mistakes();
    }
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
}

/// The word that takes a cap off.
const NO_CAP: &str = "none";

/// What a policy may be without.
fn cap_of<'a>(policy: &'a mut Policy, name: &str) -> Option<&'a mut Option<Usd>> {
    match name {
        "cap_order" => Some(&mut policy.caps.order),
        "cap_market" => Some(&mut policy.caps.market),
        "cap_leader" => Some(&mut policy.caps.leader),
        _ => None,
    }
}

/// Followers of a demo: as many as are wanted, or described, or built in. None that is described is left out.
fn follower_count(wanted: Option<u16>, described: usize) -> Result<u16, String> {
    let most = *keys::FOLLOWERS.end();
    let described = u16::try_from(described)
        .ok()
        .filter(|described| *described <= most)
        .ok_or_else(|| format!("{described} followers are described, {most} are possible; remove some"))?;
    match wanted {
        Some(wanted) if wanted < described => Err(format!(
            "{wanted} wanted, but {described} described; ask for {described} or more, or leave it out"
        )),
        Some(wanted) => Ok(wanted),
        None if described == 0 => Ok(keys::BUILT_IN_FOLLOWERS),
        None => Ok(described),
    }
}

/// The variables that may be ours.
fn ours(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Variables {
    let text = |value: OsString| value.into_string().ok();
    environment
        .into_iter()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), text(value)))
        .filter(|(name, _)| {
            name.starts_with(read::PREFIX)
                || NAMED_VARIABLES.iter().any(|(.., named)| named == name)
                || OTHER_NAMES.iter().any(|(_, other)| other == name)
        })
        .collect()
}

/// The file's text. Works for pipes too.
fn contents(path: &Path) -> Result<String, Mistake> {
    let wrong = |text: String| Mistake { place: Place::File, subject: String::new(), text };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| wrong(format!("cannot be read: {error}; name a file that is there")))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LONGEST) {
        return Err(wrong("is longer than a mebibyte: that is no configuration".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        let head = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default()).into_owned();
        let text = "is not UTF-8 from here on; save the file as UTF-8 text".to_owned();
        // A letter stands for the byte, so that a line that begins with it counts.
        Mistake { place: Place::in_text(&format!("{head}?"), valid), subject: String::new(), text }
    })
}

/// The file of `--config` or its variable.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConfigFile {
    /// Take settings from this file; the environment wins over it, flags win over both.
    #[arg(long = "config", value_name = "FILE", env = FILE_VARIABLE)]
    pub path: Option<PathBuf>,
}

impl ConfigFile {
    /// The file that is named, else [`FILE`] of the working directory if there is one.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        let beside = PathBuf::from(FILE);
        self.path.clone().or_else(|| beside.is_file().then_some(beside))
    }

    /// The configuration of an installation.
    ///
    /// # Errors
    /// Its mistakes.
    pub fn configured(&self) -> Result<Configuration, Mistakes> {
        Configuration::load(self.file().as_deref(), std::env::vars_os())
    }

    /// The same with defaults in place of what is wrong: for looking, never for starting anything.
    #[must_use]
    pub fn configured_anyway(&self) -> (Configuration, Option<Mistakes>) {
        Configuration::load_anyway(self.file().as_deref(), std::env::vars_os())
    }

    /// The data directory as the file tells it, whatever else is wrong in it; where it does not tell, because somebody is
    /// writing it, the one installation beside it.
    #[must_use]
    pub fn data_dir_alone(&self) -> Option<PathBuf> {
        let file = self.file()?;
        let base = file.parent().map(Path::to_owned).unwrap_or_default();
        let told = contents(&file).ok().and_then(|text| {
            let table: toml::Table = text.parse().ok()?;
            Some(base.join(table.get("run")?.get("data_dir")?.as_str()?))
        });
        told.or_else(|| beside(&base))
    }

    /// As the environment names it, where no flag can.
    #[must_use]
    pub fn of_environment() -> Self {
        Self { path: std::env::var_os(FILE_VARIABLE).map(PathBuf::from) }
    }
}

/// The only directory in `base` that has a database of ours.
fn beside(base: &Path) -> Option<PathBuf> {
    let here = if base.as_os_str().is_empty() { Path::new(".") } else { base };
    let names = std::fs::read_dir(here).ok()?.filter_map(|entry| Some(base.join(entry.ok()?.file_name())));
    let mut found = names.filter(|directory| directory.join(crate::commands::DATABASE).is_file());
    found.next().filter(|_| found.next().is_none())
}
