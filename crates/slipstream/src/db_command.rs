//! `slipstream db`: the database as whoever administers it sees it.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use domain::Clock as _;
use serde_json::{Value, json};
use store::{Copied, Migrated, PostgresAddress, ServerStatus, SqlStore};

use crate::{
    backup,
    cli::Installation,
    clock::SystemClock,
    commands::{Answer, DATABASE, Request},
    configuration::{ConfigFile, Server, ServerUrl},
    instance::end_others,
    queue_command::JobsDesk,
    secrets, socket,
    wording::{causes, count, dollars},
};

/// What an address of a file begins with.
const SQLITE: &str = "sqlite:";

/// Commands on the database.
#[derive(Debug, Subcommand)]
pub enum DbCommand {
    /// What the database's server is doing: connections, sessions, who writes, roles.
    #[command(after_help = "Examples:\n  slipstream db status\n  slipstream db status --json")]
    Status(DbArgs),
    /// Bring schema, view, roles and rights up to date. As the database's owner; past any pooler.
    #[command(after_help = "Examples:
  slipstream db migrate --url file:owner.url   # the first time, as who may make roles
  slipstream db migrate")]
    Migrate(DbArgs),
    /// Copy a file's database into an empty one on a server, and compare every row. Interrupted, it goes on.
    #[command(after_help = "Example, with nothing running on either:
  slipstream db copy --from sqlite:data/slipstream.db --to postgres://slipstream_migration@db/slipstream")]
    Copy(CopyArgs),
}

/// Where a database is.
#[derive(Debug, Args)]
pub struct DbArgs {
    /// Its address, or `file:PATH` of a file with mode 600 that holds it [default: `url` of `[database]`].
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `db copy`.
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// `sqlite:PATH` of the file.
    #[arg(long, value_name = "sqlite:PATH")]
    pub from: String,
    /// Address of the server's database, or `file:PATH` of a file with mode 600 that holds it.
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs one.
///
/// # Errors
/// In words, with what to do.
pub async fn run(command: &DbCommand) -> anyhow::Result<(Answer, bool)> {
    match command {
        DbCommand::Status(arguments) => {
            let answer = match address(arguments)? {
                Some(url) => {
                    let status = of_server(&store::server_status(&parsed(&url)?).await?, &url);
                    with_process(status).await
                }
                None => of_file().await?,
            };
            Ok((answer, arguments.json))
        }
        DbCommand::Migrate(arguments) => {
            let url = address(arguments)?;
            let url =
                url.context("no server is configured; a file is brought up to date by whoever opens it")?;
            Ok((migrated(&store::migrate(&parsed(&url)?).await?, &url), arguments.json))
        }
        DbCommand::Copy(arguments) => Ok((copy(arguments).await?, arguments.json)),
    }
}

/// The address that is told, or configured.
fn address(arguments: &DbArgs) -> anyhow::Result<Option<ServerUrl>> {
    match &arguments.url {
        Some(word) => read(word).map(Some),
        None => Ok(ConfigFile::of_environment().configured()?.database.url),
    }
}

/// An address that is told, or a file's that holds it.
///
/// # Errors
/// When it is none. It is not shown: a password may be in it.
pub fn read(word: &str) -> anyhow::Result<ServerUrl> {
    ServerUrl::read(Server::Postgres, word, std::path::Path::new(""))
        .map_err(|why| anyhow::anyhow!("the address {why}"))
}

/// For whoever connects.
///
/// # Errors
/// When it is none, which reading it has refused already.
pub fn parsed(url: &ServerUrl) -> anyhow::Result<PostgresAddress> {
    Ok(url.expose().parse()?)
}

/// With what the process that runs here says of its connections, if one does and can.
async fn with_process(mut status: Answer) -> Answer {
    let (configuration, _) = ConfigFile::of_environment().configured_anyway();
    match socket::ask(&configuration.run.data_dir, &Request::Connections).await {
        Ok(None) => {}
        Ok(Some(process)) => {
            status.text = format!("{}\n{}", status.text, process.text);
            if let Some(fields) = status.json.as_object_mut() {
                fields.insert("process".to_owned(), process.json);
            }
        }
        Err(error) => {
            status.text =
                format!("{}\nthe process that runs here says nothing: {}", status.text, causes(&error));
        }
    }
    status
}

/// How this process uses its connections.
#[must_use]
pub fn connections(desk: Option<&JobsDesk>) -> Answer {
    let Some(figures) = desk.and_then(|desk| desk.store.connections()) else {
        return Answer { text: "this process works on a file".to_owned(), json: Value::Null, ok: true };
    };
    let text = format!(
        "this process: {} of {} connections in use ({} %), {} wait for one; {} taken, {} not in time, {:.1} ms waited on average, \
         {:.1} ms at most",
        figures.open.saturating_sub(figures.idle),
        figures.limit,
        figures.saturation_percent(),
        figures.waiting,
        figures.taken,
        figures.refused,
        figures.waited.as_secs_f64() * 1e3 / (figures.taken.max(1) as f64),
        figures.longest_wait.as_secs_f64() * 1e3
    );
    Answer { text, json: json!(figures), ok: true }
}

fn of_server(status: &ServerStatus, url: &ServerUrl) -> Answer {
    let known = store::SCHEMA_VERSION;
    let fits = status.schema == Some(known);
    let mut lines = vec![format!(
        "{url}: PostgreSQL {}{}{}, {} MB",
        status.version,
        if status.encrypted { ", encrypted" } else { ", not encrypted" },
        if status.standby { ", a standby: nothing can be written" } else { "" },
        status.bytes / 1_000_000
    )];
    lines.push(match status.schema {
        None => "no schema of this program: `slipstream db migrate` makes it".to_owned(),
        Some(schema) if fits => format!("schema {schema}, as this version wants it"),
        Some(schema) => {
            format!("schema {schema}, this version wants {known}: `slipstream db migrate`, or the version that made it")
        }
    });
    lines.push(format!(
        "{} of {} connections ({} reserved)",
        status.connections, status.most_connections, status.reserved
    ));
    for role in &status.roles {
        lines.push(format!("  {}: {} of {}", role.role, role.used, role.limit));
    }
    for sessions in &status.sessions {
        lines.push(format!(
            "  {:>4} {} as {}: {}",
            sessions.count, sessions.name, sessions.role, sessions.state
        ));
    }
    let oldest = status.oldest_transaction.unwrap_or(0);
    lines.push(format!("oldest transaction: {oldest} s; {} sessions wait for a lock", status.waiting));
    if let Some(writer) = &status.writer {
        lines.push(format!("writing: {writer}"));
    }
    if status.roles.len() < 4 {
        lines.push(
            "roles of this program are missing: `slipstream db migrate` as who may make roles".to_owned(),
        );
    }
    Answer { text: lines.join("\n"), json: json!(status), ok: fits && !status.standby }
}

async fn of_file() -> anyhow::Result<Answer> {
    let directory = ConfigFile::of_environment().configured()?.run.data_dir;
    let file = directory.join(DATABASE);
    ensure!(file.exists(), "there is no Slipstream data in {}", directory.display());
    let found = SqlStore::look(&file, Arc::new(SystemClock)).await?.examine().await?;
    let damage = match found.damage.as_slice() {
        [] => "no damage".to_owned(),
        places => places.join("\n"),
    };
    let text = format!(
        "{}: SQLite, schema {}, {} MB, {damage}",
        file.display(),
        found.schema,
        found.bytes / 1_000_000
    );
    let json = json!({ "file": file, "schema": found.schema, "software": found.software, "bytes": found.bytes,
        "damage": found.damage });
    Ok(Answer { text, json, ok: found.damage.is_empty() })
}

fn migrated(migrated: &Migrated, url: &ServerUrl) -> Answer {
    let from = migrated.from.map_or_else(|| "nothing".to_owned(), |from| format!("schema {from}"));
    let mut text = format!("{url}: from {from} to schema {}{}", migrated.to, roles_told(migrated));
    if migrated.roles_refused.is_none() {
        text.push_str(". A role has no password until you give it one (`\\password` in psql)");
    }
    let json = json!({ "from": migrated.from, "to": migrated.to, "roles_refused": migrated.roles_refused });
    Answer { text, json, ok: migrated.roles_refused.is_none() }
}

async fn copy(arguments: &CopyArgs) -> anyhow::Result<Answer> {
    let path = arguments.from.strip_prefix(SQLITE);
    let file = PathBuf::from(path.with_context(|| format!("--from is `{SQLITE}PATH` of a database file"))?);
    ensure!(file.is_file(), "there is no file {}", file.display());
    let url = read(&arguments.to)?;
    let directory = file.parent().unwrap_or(&file);
    ensure!(
        socket::ask(directory, &Request::Ping).await?.is_none(),
        "a process runs on {}; stop it first",
        directory.display()
    );
    // Nobody else has it, and its schema is this version's. On a server nobody could see that those who had it are gone.
    let source = SqlStore::open(&file, Arc::new(SystemClock)).await?;
    end_others(&source, None, SystemClock.now()).await?;
    source.close().await?;
    let (copied, roles) = fill(&file, &url).await?;
    let text = format!(
        "{}{}. Now put {} away, with database.mark beside it: started again, both would trade. Set `url` of `[database]` (as \
         `slipstream_app`) and of `[queue]`, and give every process {} of this data directory",
        told(&copied),
        roles_told(&roles),
        file.display(),
        secrets::FILE
    );
    Ok(Answer { text, json: json!(copied), ok: true })
}

fn told(copied: &Copied) -> String {
    let before: u64 = copied.tables.iter().map(|table| table.before).sum();
    let there = if before > 0 { format!(", {before} of them by a copy before") } else { String::new() };
    format!(
        "{} rows of {}{there}; counts and checksums are the same on both sides, and so are {} $ of cash in the ledger",
        copied.rows(),
        count(copied.tables.len(), "table"),
        dollars(domain::Usd(copied.cash))
    )
}

/// Copies a server's database into a file.
///
/// # Errors
/// In words, with what to do; then no file is left.
pub async fn backup(url: &ServerUrl, to: &std::path::Path) -> anyhow::Result<Answer> {
    let copied = store::backup_server(&parsed(url)?, to).await?;
    let text = format!(
        "wrote {}: {}. Without {} of the data directory orders cannot be recomputed: keep a copy of it too, apart from this one",
        to.display(),
        told(&copied),
        secrets::FILE
    );
    Ok(Answer { text, json: json!({ "file": to, "copied": copied }), ok: true })
}

/// Copies a backup into a server's database, which must be empty, holds everything, and sets roles and rights.
///
/// # Errors
/// In words, with what to do.
pub async fn restore(url: &ServerUrl, from: &std::path::Path, at: &Installation) -> anyhow::Result<Answer> {
    let room = at.directory()?.join(backup::ROOM);
    // A copy of the copy, of this version and held, before anybody can work on it.
    let filled = async {
        let held = backup::held_copy(from, &room).await?;
        anyhow::Ok((held.hold, fill(&room.join(DATABASE), url).await?))
    };
    let filled = filled.await;
    // What is left there is of use to nobody.
    let _ = std::fs::remove_dir_all(&room);
    let (hold, (copied, roles)) = filled?;
    let text = format!(
        "restored {}: {}{}. Everything is held. `slipstream run` (or the backend) compares the wallets with the books, and says \
         then which `slipstream lift` lets it trade again; without accounts with real money lift hold {hold}",
        from.display(),
        told(&copied),
        roles_told(&roles)
    );
    let json = json!({ "hold": hold, "copied": copied, "roles_refused": roles.roles_refused });
    Ok(Answer { text, json, ok: true })
}

/// Copies a file's database into an empty one on a server, and sets roles and rights there.
async fn fill(file: &std::path::Path, url: &ServerUrl) -> anyhow::Result<(Copied, Migrated)> {
    let address = parsed(url)?;
    let copied =
        store::copy_to_server(file, &address).await.with_context(|| format!("the database {url}"))?;
    Ok((copied, store::migrate(&address).await?))
}

/// What became of roles and rights, as the end of a sentence.
#[must_use]
pub fn roles_told(migrated: &Migrated) -> String {
    match &migrated.roles_refused {
        None => "; roles and rights are set".to_owned(),
        Some(why) => format!(
            ". Roles and rights could not be set: {why}. Run `slipstream db migrate` once as who may make roles"
        ),
    }
}
