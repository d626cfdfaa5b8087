//! `slipstream sources`: how late each source of leaders' trades is, and how often it says something else than the
//! chain. What was never heard is unknown, and said to be.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use domain::Clock;
use engine::{
    ports::{feeds::FeedHealth, live::LiveFeed},
    sources::{SourceHealth, SourceName, SourceWatch},
};
use polymarket::{ProviderHealth, Tally, Topic};
use serde_json::{Value, json};

use crate::{
    channels::Channels,
    commands::{Answer, Witnesses},
    screen::{Style, table},
    wording::count,
};

/// A head that was told longer ago may be two blocks old.
const FRESH: Duration = Duration::from_secs(4);

/// What a running process knows of its sources.
#[derive(Clone)]
pub struct Sources {
    /// What each showed.
    pub watch: Arc<SourceWatch>,
    /// The live feed, if it is listened to.
    pub live: Option<Arc<dyn LiveFeed>>,
    /// The venue's channels, if they are listened to.
    pub channels: Option<Channels>,
}

/// How the sources do, as an answer.
///
/// # Errors
/// Where no process runs: nothing is known then.
pub fn answer(witnesses: &Witnesses, clock: &dyn Clock, style: Style) -> anyhow::Result<Answer> {
    let none = "unknown: no process runs here, and only a running one hears its sources";
    let sources = witnesses.sources.as_ref().ok_or_else(|| anyhow::anyhow!(none))?;
    let health = sources.watch.health(clock.now());
    let providers = witnesses.providers.as_ref().map(|providers| providers.health()).unwrap_or_default();
    let behind = |one: &ProviderHealth| one.head.map(|_| one.behind);
    let columns =
        ["source", ">trades", ">first", ">lag", ">behind first", "?>silent for", "*differs from the chain"];
    let mut text = table(style, &columns, health.iter().map(cells));
    for one in health.iter().filter(|one| one.late) {
        let _ = writeln!(text, "  the {} shows trades late now", one.source.name());
    }
    for one in health.iter().filter(|one| one.stopped) {
        let _ = writeln!(text, "  nothing new can be read of the {} now", one.source.name());
    }
    for one in health.iter().filter(|one| one.unreadable.saturating_add(one.failed) > 0) {
        let (source, unreadable, failed) = (one.source.name(), one.unreadable, one.failed);
        let _ = writeln!(text, "  {source}: {unreadable} answers not understood, {failed} did not come");
    }
    let channels = sources.channels.as_ref();
    let answers = witnesses.answers.as_ref().map(|answers| answers.tallies()).unwrap_or_default();
    text.push_str(&of_answers(&answers, style));
    let feeds = [
        ("live feed", sources.live.as_ref().map(|live| live.health())),
        ("market channel", channels.map(|channels| channels.market.health())),
        ("user channel", channels.map(|channels| channels.accounts.health())),
        ("new blocks", witnesses.providers.as_ref().map(|providers| providers.doorbells())),
    ];
    for (name, feed) in &feeds {
        let told = feed.map_or_else(|| "nobody listens".to_owned(), |feed| state_of(&feed));
        let _ = writeln!(text, "  {name}: {told}");
    }
    for one in &providers {
        let _ = writeln!(text, "  provider {}: {}", one.name, of_provider(one));
    }
    let providers: Vec<Value> = providers
        .iter()
        .map(|one| json!({ "name": one.name, "head": one.head, "behind": behind(one), "head_age_ms": one.head_age_ms, "latency_ms": one.latency_ms }))
        .collect();
    let [live, market, user, blocks] = feeds.map(|(_, feed)| feed.map(of_feed));
    let sources: Vec<Value> = health.iter().map(row).collect();
    let json = json!({
        "sources": sources, "live_feed": live, "market_channel": market, "user_channel": user, "doorbells": blocks,
        "providers": providers,
        "answers": answers.iter().map(|(topic, tally)| json!({ "topic": topic, "tally": tally })).collect::<Vec<_>>(),
    });
    Ok(Answer { text: text.trim_end().to_owned(), json, ok: true })
}

/// A line for each thing that the venue's services were asked for.
fn of_answers(answers: &[(Topic, Tally)], style: Style) -> String {
    let asked: Vec<_> = answers.iter().filter(|(_, tally)| tally.is_asked()).collect();
    if asked.is_empty() {
        return String::new();
    }
    let row = |(topic, tally): &(Topic, Tally)| {
        let Tally { answered, malformed, refused, put_off, failed, left_out } = tally;
        let numbers = [answered, malformed, refused, put_off, failed, left_out];
        std::iter::once(topic.name().to_owned()).chain(numbers.map(ToString::to_string)).collect()
    };
    let columns =
        ["asked for", ">answered", ">not understood", ">refused", ">put off", ">failed", "?>rows left out"];
    format!("\n{}\n", table(style, &columns, asked.into_iter().map(row)))
}

/// How a provider does. A head that it told some time ago says where it was, and no more.
fn of_provider(one: &ProviderHealth) -> String {
    let answers = format!("answers in {} ms", one.latency_ms);
    let trouble = one.trouble.as_ref().map(|trouble| format!("; {trouble}")).unwrap_or_default();
    let Some((_, age)) = one.head.zip(one.head_age_ms) else {
        let last = one.last_trouble.as_ref().map(|last| format!(": {last}")).unwrap_or_default();
        return format!("its head is not known{last}{trouble}");
    };
    let fresh = Duration::from_millis(age) < FRESH;
    let was = if fresh { String::new() } else { format!("{} s ago ", age / 1_000) };
    let place = match one.behind {
        ..=0 => "at the head".to_owned(),
        blocks => format!("{} behind", many(blocks.unsigned_abs(), "block")),
    };
    format!("{was}{place}, {answers}{trouble}")
}

/// How a channel does, in words.
fn state_of(feed: &FeedHealth) -> String {
    let open = match feed.wanted {
        0 => "closed, because nothing is to be heard there now".to_owned(),
        1 if feed.open > 0 => "open".to_owned(),
        1 => "NOT open".to_owned(),
        wanted => format!("{} of {wanted} open", feed.open),
    };
    let again = match feed.reconnects {
        0 => String::new(),
        1 => ", connected again once".to_owned(),
        times => format!(", connected again {times} times"),
    };
    format!("{open}; {}, {} not understood{again}", many(feed.frames, "frame"), feed.errors)
}

fn many(number: u64, one: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), one)
}

fn of_feed(feed: FeedHealth) -> Value {
    json!({
        "open": feed.open > 0, "frames": feed.frames, "events": feed.events, "errors": feed.errors,
        "passed_over": feed.passed_over, "failures": feed.failures, "reconnects": feed.reconnects,
    })
}

fn cells(one: &SourceHealth) -> Vec<String> {
    vec![
        one.source.name().to_owned(),
        one.trades.to_string(),
        one.first.to_string(),
        time(one.lag),
        time(one.behind_first),
        time(one.silent),
        differs(one),
    ]
}

fn row(one: &SourceHealth) -> Value {
    let millis = |time: Option<Duration>| time.map(|time| time.as_millis());
    json!({
        "source": one.source, "trades": one.trades, "first": one.first,
        "newest": one.newest.map(|at| at.to_string()), "lag_ms": millis(one.lag),
        "behind_first_ms": millis(one.behind_first), "silent_ms": millis(one.silent),
        "compared": one.compared, "differs": one.differs, "unreadable": one.unreadable, "failed": one.failed,
        "late": one.late, "stopped": one.stopped,
    })
}

fn time(time: Option<Duration>) -> String {
    time.map_or_else(|| "unknown".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
}

fn differs(one: &SourceHealth) -> String {
    match (one.source, one.compared) {
        (SourceName::Chain, _) => "–".to_owned(),
        (_, 0) => "unknown".to_owned(),
        (_, compared) => format!("{} of {compared}", one.differs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A provider whose head was told a while ago is not said to be at the head now.
    #[test]
    fn a_head_of_some_time_ago_is_no_head_of_now() {
        let one = |behind, age: Option<u64>| ProviderHealth {
            name: "a.example".to_owned(),
            owner: "example".to_owned(),
            first: true,
            trouble: None,
            latency_ms: 20,
            head: age.map(|_| 100),
            head_age_ms: age,
            behind,
            pruned: None,
            calls_today: 1,
            calls: 1,
            calls_a_day: None,
            failures: 0,
            wrong: 0,
            last_trouble: None,
        };
        assert_eq!(of_provider(&one(0, Some(300))), "at the head, answers in 20 ms");
        assert_eq!(of_provider(&one(0, Some(12_900))), "12 s ago at the head, answers in 20 ms");
        assert_eq!(of_provider(&one(1, Some(300))), "1 block behind, answers in 20 ms");
        let refused = ProviderHealth { last_trouble: Some("refused".to_owned()), ..one(0, None) };
        assert_eq!(of_provider(&refused), "its head is not known: refused");
    }
}
