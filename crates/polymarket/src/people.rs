//! Whom one may follow: the leaderboard of the Data API, and names of people from Gamma.
//!
//! Source: docs.polymarket.com/api-reference (v1 leaderboard, public-search, public-profile), and what the official
//! unified client (PyPI `polymarket-client` 0.14.0) reads. Names are others' words: whoever prints them cleans them.

use domain::{Address, Usd};
use engine::ports::venue::VenueError;
use reqwest::Client;
use serde::Deserialize;

use crate::{
    http::{Answer, Failure, Service, malformed, shorten},
    json::{NumberError, Scalar},
    limits::{HISTORY_DEADLINE, PAGE_BODY},
};

/// Somebody who trades.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The wallet that trades.
    pub wallet: Address,
    /// The name it gave itself; may be empty.
    pub name: String,
    /// Profit and volume of the period asked for, where the leaderboard told them.
    pub standing: Option<Standing>,
}

/// A place on the leaderboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Profit in dollars; below zero for a loss.
    pub profit: Usd,
    /// Dollars traded.
    pub volume: Usd,
}

/// The period of a leaderboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// The last day.
    Day,
    /// The last week.
    Week,
    /// The last month.
    Month,
    /// Since ever.
    All,
}

impl Period {
    const fn name(self) -> &'static str {
        match self {
            Self::Day => "DAY",
            Self::Week => "WEEK",
            Self::Month => "MONTH",
            Self::All => "ALL",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StandingRow {
    proxy_wallet: Address,
    #[serde(default)]
    user_name: Option<String>,
    vol: Scalar,
    pnl: Scalar,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileRow {
    proxy_wallet: Option<Address>,
    name: Option<String>,
    pseudonym: Option<String>,
}

#[derive(Deserialize)]
struct Found {
    profiles: Option<Vec<ProfileRow>>,
}

/// The services that know people.
pub struct People {
    data: Service,
    gamma: Service,
}

impl People {
    /// The Data API and Gamma at these origins.
    #[must_use]
    pub fn new(client: Client, data: &str, gamma: &str) -> Self {
        Self { data: Service::new(client.clone(), data), gamma: Service::new(client, gamma) }
    }

    /// The most profitable of a period, at most `limit` (50 at the venue).
    ///
    /// # Errors
    /// [`VenueError`].
    pub async fn leaderboard(&self, period: Period, limit: usize) -> Result<Vec<Person>, VenueError> {
        let path = format!("/v1/leaderboard?timePeriod={}&orderBy=PNL&limit={limit}", period.name());
        self.standings(&path).await
    }

    /// Those whose names contain `words`, at most `limit`.
    ///
    /// # Errors
    /// [`VenueError`].
    pub async fn search(&self, words: &str, limit: usize) -> Result<Vec<Person>, VenueError> {
        let what = "GET /public-search";
        let path = format!("/public-search?q={}&search_profiles=true&limit_per_type={limit}", escape(words));
        let found: Found =
            read(what, self.gamma.get(&path, HISTORY_DEADLINE, PAGE_BODY).await)?.json(what)?;
        let people = found.profiles.unwrap_or_default().into_iter().filter_map(person);
        Ok(people.take(limit).collect())
    }

    /// Who trades with a wallet, with its standing of a month; `None` when nobody has ever heard of it.
    ///
    /// # Errors
    /// [`VenueError`].
    pub async fn show(&self, wallet: Address) -> Result<Option<Person>, VenueError> {
        let what = "GET /public-profile";
        let path = format!("/public-profile?address={wallet}");
        let answer = read(what, self.gamma.get(&path, HISTORY_DEADLINE, PAGE_BODY).await)?;
        let profile: Option<ProfileRow> = answer.json_if_found(what)?;
        let standings =
            self.standings(&format!("/v1/leaderboard?timePeriod=MONTH&user={wallet}&limit=1")).await?;
        let standing = standings.into_iter().find(|person| person.wallet == wallet);
        let named = profile.and_then(person).filter(|person| person.wallet == wallet);
        Ok(match (named, standing) {
            (None, None) => None,
            (Some(named), standing) => {
                Some(Person { standing: standing.and_then(|person| person.standing), ..named })
            }
            (None, standing) => standing,
        })
    }

    async fn standings(&self, path: &str) -> Result<Vec<Person>, VenueError> {
        let what = "GET /v1/leaderboard";
        let rows: Vec<StandingRow> =
            read(what, self.data.get(path, HISTORY_DEADLINE, PAGE_BODY).await)?.json(what)?;
        rows.into_iter().map(standing).collect::<Result<_, _>>().map_err(|error| malformed(what, &error))
    }
}

fn read(what: &str, answer: Result<Answer, Failure>) -> Result<Answer, VenueError> {
    answer.map_err(|failure| failure.into_error(what))
}

fn standing(row: StandingRow) -> Result<Person, NumberError> {
    let millionths = |number: &Scalar| number.millionths().map(Usd);
    let standing = Standing { profit: millionths(&row.pnl)?, volume: millionths(&row.vol)? };
    let name = shorten(&row.user_name.unwrap_or_default());
    Ok(Person { wallet: row.proxy_wallet, name, standing: Some(standing) })
}

fn person(row: ProfileRow) -> Option<Person> {
    let name = [row.name, row.pseudonym].into_iter().flatten().find(|name| !name.is_empty());
    Some(Person { wallet: row.proxy_wallet?, name: shorten(&name.unwrap_or_default()), standing: None })
}

/// Everything that could end or change a query is written as its bytes.
fn escape(text: &str) -> String {
    let byte = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_TEXT;

    #[test]
    fn hostile_answers_are_errors() {
        let what = "GET /v1/leaderboard";
        for body in ["", "{}", "[{}]", "[{\"proxyWallet\":\"x\"}]", "[1]"] {
            assert!(Answer::of(200, body).json::<Vec<StandingRow>>(what).is_err(), "{body}");
        }
        let row =
            "[{\"proxyWallet\":\"0x1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e\",\"vol\":1e99,\"pnl\":[]}]";
        assert!(Answer::of(200, row).json::<Vec<StandingRow>>(what).is_err());
        let nobody = Answer::of(200, "{\"profiles\":null}").json::<Found>("search").unwrap();
        assert!(nobody.profiles.is_none());
    }

    /// Hostile sizes, depths and numbers, of the Data API and of Gamma.
    #[test]
    fn the_corpus_is_survived() {
        let wallet = Address([0x1e; 20]);
        let sound = |people: &Vec<Person>| {
            people.iter().all(|one| one.wallet == wallet && one.name.chars().count() <= MAX_TEXT)
        };
        let board = serde_json::json!([{ "proxyWallet": wallet, "userName": "a", "vol": 7.5, "pnl": -2.25 }]);
        let standings = |bytes: &[u8]| {
            let rows: Vec<StandingRow> = Answer::of(200, bytes).json("x").ok()?;
            rows.into_iter().map(|row| standing(row).ok()).collect::<Option<Vec<_>>>()
        };
        crate::hostile::survives(&board.to_string(), standings, sound);
        let profile = serde_json::json!({ "proxyWallet": wallet, "name": "a", "pseudonym": "b" });
        let search = serde_json::json!({ "profiles": [profile] }).to_string();
        let found = |bytes: &[u8]| {
            let found: Found = Answer::of(200, bytes).json("x").ok()?;
            Some(found.profiles.unwrap_or_default().into_iter().filter_map(person).collect::<Vec<_>>())
        };
        crate::hostile::survives(&search, found, sound);
        let one = |bytes: &[u8]| Some(vec![person(Answer::of(200, bytes).json("x").ok()?)?]);
        crate::hostile::survives(&profile.to_string(), one, sound);
    }

    #[test]
    fn a_search_cannot_change_its_query() {
        assert_eq!(escape("a b&c=#é"), "a%20b%26c%3D%23%C3%A9");
    }
}
