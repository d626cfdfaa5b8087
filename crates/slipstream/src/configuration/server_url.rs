//! Addresses that may carry a password or a key, and so are never printed whole, and may be kept in a file.

use std::{fmt, path::Path, sync::Arc};

use polymarket::{RpcUrl, rpc_urls};
use queue::RedisQueue;
use signer::read_private;
use store::PostgresAddress;

use crate::clock::SystemClock;

/// What an address that is kept in a file begins with.
const FILE: &str = "file:";

/// What kind of server an address is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The system of record.
    Postgres,
    /// The queue.
    Redis,
}

impl Server {
    /// What an address of it looks like, in words that go on after "must be".
    pub(super) fn expected(self) -> String {
        let form = match self {
            Self::Postgres => "`postgres://user:password@host:port/database`",
            Self::Redis => "`redis://user:password@host:port/0`",
        };
        format!("{form}, as text, or `{FILE}PATH`: a file with mode 600 that holds it")
    }
}

/// The address of a server, which can be used.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    whole: String,
    shown: String,
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl ServerUrl {
    /// The address that is `word`, or that is in the file it names; its path is relative to `base`.
    ///
    /// # Errors
    /// In words that go on after the key, and repeat nothing of the address.
    pub fn read(server: Server, word: &str, base: &Path) -> Result<Self, String> {
        let whole = said_or_kept(word, base)?;
        let unfit = |error: String| format!("must be {}: {error}", server.expected());
        match server {
            Server::Postgres => {
                whole.parse::<PostgresAddress>().map_err(|error| unfit(error.to_string()))?;
            }
            Server::Redis => {
                RedisQueue::new(&whole, 0, Arc::new(SystemClock))
                    .map_err(|error| unfit(error.to_string()))?;
            }
        }
        let shown = without_user(&whole);
        Ok(Self { whole, shown })
    }

    /// The address with its password, for whoever connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.whole
    }
}

/// What `word` says, or what is in the file it names; its path is relative to `base`.
fn said_or_kept(word: &str, base: &Path) -> Result<String, String> {
    let Some(path) = word.strip_prefix(FILE) else { return Ok(word.to_owned()) };
    let bytes = read_private(&base.join(path)).map_err(|error| format!("names a file: {error}"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "names a file that is no text".to_owned())?;
    Ok(text.trim().to_owned())
}

/// A list of URLs, of which each may be kept in a file.
///
/// # Errors
/// In words that go on after the key, and repeat nothing of any URL.
pub(super) fn kept_urls(list: &str, base: &Path) -> Result<Vec<RpcUrl>, String> {
    let parts = list.split(|letter: char| letter == ',' || letter.is_whitespace());
    let whole: Vec<String> = parts.map(|part| said_or_kept(part, base)).collect::<Result<_, _>>()?;
    rpc_urls(&whole.join(",")).map_err(|error| format!("cannot be used: {error}"))
}

/// An address without who connects, and without what stands behind a question mark: a password may be in either.
fn without_user(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    // A password may hold every letter that ends a name elsewhere; an `@` ends it the last time.
    let host = rest.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::configuration::Configuration;

    #[test]
    fn an_address_is_read_and_its_password_is_never_shown() {
        let here = Path::new("");
        for (server, word, shown) in [
            (
                Server::Postgres,
                "postgres://app:hunter2@db.example:5433/slip?sslmode=require&password=hunter2",
                "postgres://db.example:5433/slip",
            ),
            (Server::Postgres, "postgresql://db/slip", "postgresql://db/slip"),
            (Server::Redis, "redis://:hunter2@10.0.0.1:6379/3", "redis://10.0.0.1:6379/3"),
            (Server::Redis, "redis://u:hun%40ter2@cache", "redis://cache"),
        ] {
            let url = ServerUrl::read(server, word, here).unwrap();
            assert_eq!((url.expose(), url.to_string().as_str()), (word, shown));
            assert_eq!(format!("{url:?}"), shown);
        }
        for (server, word) in [
            (Server::Postgres, "mysql://app:hunter2@db/slip"),
            (Server::Postgres, "postgres://app:hunter2@db:port/slip"),
            (Server::Postgres, "redis://app:hunter2@db"),
            (Server::Postgres, ""),
            (Server::Redis, "postgres://app:hunter2@db/slip"),
            (Server::Redis, "redis://app:hunter2@cache:port"),
            (Server::Redis, "file:/is/not/there/hunter"),
        ] {
            let refused = ServerUrl::read(server, word, here).unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn a_provider_of_the_chain_may_be_in_a_file_of_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (file, configuration) = (directory.path().join("rpc"), directory.path().join("slipstream.toml"));
        let list = "[chain]\nrpc_urls = ['file:rpc', 'https://b.example']\n";
        std::fs::write(&configuration, list).unwrap();
        let load = || Configuration::load(Some(&configuration), []);
        assert!(load().unwrap_err().to_string().contains("names a file"));
        std::fs::write(&file, "https://a.example/hunter2\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = load().unwrap_err().to_string();
        assert!(refused.contains("chmod 600") && !refused.contains("hunter2"), "{refused}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let read = load().unwrap();
        let urls: Vec<&str> = read.chain.rpc_urls.iter().map(RpcUrl::expose).collect();
        assert_eq!(urls, ["https://a.example/hunter2", "https://b.example"]);
        assert!(!read.effective().contains("hunter2"));
    }

    #[test]
    fn an_address_may_be_in_a_file_of_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("url");
        std::fs::write(&file, "postgres://app:hunter2@db/slip\n").unwrap();
        let read = || ServerUrl::read(Server::Postgres, "file:url", directory.path());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read().unwrap_err().contains("chmod 600"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read().unwrap().expose(), "postgres://app:hunter2@db/slip");
    }
}
