//! What an event of the live trade feed costs that concerns nobody who is followed, beside reading its bytes and
//! beside parsing it.

use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use domain::Address;
use polymarket::frames::live::{Wallets, decode};

use super::sample::{median, thread_cpu};

/// Events in one run.
const EVENTS: usize = 100_000;
/// Runs; the median counts.
const RUNS: usize = 7;
/// Wallets that are followed.
const FOLLOWED: u32 = 1_000;

/// CPU time per event.
pub(super) struct EventCost {
    /// Passing it over.
    pub(super) rejected: Duration,
    /// Copying its bytes.
    pub(super) copied: Duration,
    /// Parsing it as JSON.
    pub(super) parsed: Duration,
    /// Its bytes.
    pub(super) bytes: usize,
}

/// Measures on a thread of its own.
pub(super) async fn measure() -> anyhow::Result<EventCost> {
    let measuring = tokio::task::spawn_blocking(all_runs);
    measuring.await.map_err(|_| anyhow!("the measuring thread died"))?
}

/// An event as the feed sends it, of a wallet that nobody follows.
fn event() -> String {
    serde_json::json!({
        "connection_id": "c0ffeec0ffeec0ffee=",
        "payload": {
            "asset": "52114319501245915516055106046884209969926127482827954674443846427813813222426",
            "bio": "", "conditionId": format!("0x{}", "6c".repeat(32)), "eventSlug": "btc-updown-5m-1785027300",
            "icon": "https://polymarket-upload.s3.us-east-2.amazonaws.com/BTC+fullsize.png", "name": "somebody",
            "outcome": "Up", "outcomeIndex": 0, "price": 0.45, "profileImage": "",
            "proxyWallet": format!("0x{}", "Fb".repeat(20)), "pseudonym": "Some-Body", "side": "BUY", "size": 4.33,
            "slug": "btc-updown-5m-1785027300", "timestamp": 1_785_027_308,
            "title": "Bitcoin Up or Down - July 25, 8:55PM-9:00PM ET",
            "transactionHash": format!("0x{}", "0a".repeat(32)),
        },
        "timestamp": 1_785_027_308_241_u64, "topic": "activity", "type": "trades",
    })
    .to_string()
}

fn all_runs() -> anyhow::Result<EventCost> {
    let wallet = |number: u32| {
        let mut bytes = [0x11; 20];
        bytes.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
        Address(bytes)
    };
    let wallets = Wallets::of((0..FOLLOWED).map(wallet));
    let event = event().into_bytes();
    let (mut rejected, mut copied, mut parsed) = (Vec::new(), Vec::new(), Vec::new());
    let mut room = vec![0; event.len()];
    for _ in 0..RUNS {
        rejected.push(per_event(|| {
            let decoded =
                decode(std::hint::black_box(&event), &wallets)?.context("an event that is blank")?;
            ensure!(decoded.events.is_empty() && decoded.passed_over == 1, "the event was not passed over");
            Ok(())
        })?);
        copied.push(per_event(|| {
            std::hint::black_box(&mut room).copy_from_slice(std::hint::black_box(&event));
            Ok(())
        })?);
        parsed.push(per_event(|| {
            let value: serde_json::Value = serde_json::from_slice(std::hint::black_box(&event))?;
            std::hint::black_box(value);
            Ok(())
        })?);
    }
    Ok(EventCost {
        rejected: median(rejected),
        copied: median(copied),
        parsed: median(parsed),
        bytes: event.len(),
    })
}

fn per_event(mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let start = thread_cpu();
    for _ in 0..EVENTS {
        work()?;
    }
    Ok(thread_cpu().saturating_sub(start) / u32::try_from(EVENTS).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_concerns_nobody_has_a_cost() {
        let cost = all_runs().unwrap();
        assert!(cost.bytes > 500 && cost.rejected < cost.parsed, "passing over costs more than parsing");
    }
}
