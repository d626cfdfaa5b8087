//! What the venue tells by itself, heard through the adapter's own sockets.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use domain::{OrderId, Side};
use engine::{
    deadline::within,
    ports::{
        feeds::{AccountEvent, AccountFeed as _, FeedHealth, MarketFeed as _, MarketNews},
        live::LiveFeed as _,
        venue::VenueOrderStatus,
    },
};
use polymarket::{AccountSockets, LiveSocket, MarketSockets};

use super::super::{
    finding::{Seen, Verdict},
    place::Place,
};
use crate::wording::{count, lasting};

/// The longest time that one thing is listened for.
const LISTEN: Duration = Duration::from_secs(20);
/// What a new subscription gets before anything is done that it should tell.
const SETTLE: Duration = Duration::from_secs(1);
/// Between two looks at what was counted.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Whether this came in time.
async fn came(place: &Place, what: impl Future<Output = ()>) -> bool {
    within(place.clock.as_ref(), LISTEN, what).await.is_ok()
}

fn told(health: &FeedHealth) -> String {
    let FeedHealth { frames, errors, failures, .. } = health;
    let lost = usize::try_from(*failures).unwrap_or(usize::MAX);
    let frames = count(usize::try_from(*frames).unwrap_or(usize::MAX), "frame");
    format!("{frames}, {errors} not understood, {} lost or not made", count(lost, "connection"))
}

/// Whether there was no way to hear anything.
const fn deaf(health: &FeedHealth) -> bool {
    health.frames == 0 && health.failures > 0
}

/// What was awaited did not come.
fn missing(done: &str, what: &str, health: &FeedHealth) -> Seen {
    let seen = format!("{what} did not come within {}: {}", lasting(LISTEN), told(health));
    if deaf(health) { Seen::new(Verdict::NotObservable, done, seen) } else { Seen::that(false, done, seen) }
}

pub(super) async fn market(place: &Place) -> anyhow::Result<Seen> {
    const DONE: &str = "subscribed to the token, then placed and cancelled an order";
    let token = place.terms.token;
    let feed =
        MarketSockets::new(place.sockets(), &place.terms.channels, Arc::clone(&place.clock), place.seed());
    feed.follow(&BTreeSet::from([token]));
    let snapshot = async {
        let whole =
            |news: &MarketNews| matches!(news, MarketNews::Snapshot { token: of, .. } if *of == token);
        while !feed.next().await.iter().any(whole) {}
    };
    if !came(place, snapshot).await {
        return Ok(missing(DONE, "a book", &feed.health()));
    }
    let (order, _) = place.rest().await?;
    let price = place.price();
    let change = async {
        let ours = |news: &MarketNews| match news {
            MarketNews::Changed { changes, .. } => {
                changes.iter().any(|change| change.side == Side::Buy && change.price == price)
            }
            _ => false,
        };
        while !feed.next().await.iter().any(ours) {}
    };
    let changed = came(place, change).await;
    place.cancel(order.id).await?;
    let health = feed.health();
    if !changed {
        return Ok(missing(DONE, "the order's price level", &health));
    }
    Ok(Seen::that(health.errors == 0, DONE, format!("a book, then the order's level: {}", told(&health))))
}

pub(super) async fn user(place: &Place) -> anyhow::Result<Seen> {
    const DONE: &str = "logged in to the account's channel, then placed and cancelled an order";
    let feed = AccountSockets::new(
        Arc::clone(&place.clob),
        place.sockets(),
        &place.terms.channels,
        Arc::clone(&place.clock),
        place.seed(),
    );
    feed.follow(std::slice::from_ref(&place.terms.account));
    let opened = async { while !feed.next(1).await.iter().any(|news| news.what == AccountEvent::Gap) {} };
    if !came(place, opened).await {
        return Ok(missing(DONE, "a connection", &feed.health()));
    }
    place.clock.sleep(SETTLE).await;
    let (order, _) = place.rest().await?;
    let placed = came(place, until(&feed, order.id, VenueOrderStatus::Live)).await;
    place.cancel(order.id).await?;
    if !placed {
        return Ok(missing(DONE, "the order", &feed.health()));
    }
    if !came(place, until(&feed, order.id, VenueOrderStatus::Cancelled)).await {
        return Ok(missing(DONE, "the order's end", &feed.health()));
    }
    let health = feed.health();
    Ok(Seen::that(health.errors == 0, DONE, format!("placed, then cancelled: {}", told(&health))))
}

/// Waits until the channel says that an order stands so.
async fn until(feed: &AccountSockets, order: OrderId, status: VenueOrderStatus) {
    let says = |what: &AccountEvent| match what {
        AccountEvent::Order { order: of, facts } => {
            *of == order && facts.order.as_ref().is_some_and(|record| record.status == status)
        }
        AccountEvent::Gap => false,
    };
    while !feed.next(16).await.iter().any(|news| says(&news.what)) {}
}

pub(super) async fn live(place: &Place) -> anyhow::Result<Seen> {
    const DONE: &str = "subscribed to everybody's trades, of both types";
    let recorder = place.recorder();
    let feed = LiveSocket::new(
        Arc::clone(&recorder) as _,
        &place.terms.live,
        Arc::clone(&place.clock),
        place.seed(),
    );
    // Only what concerns wallets that are followed is decoded to the end; of the others it is seen that they do not.
    feed.follow(&BTreeSet::from([place.terms.account.wallet]));
    let count = |kind: &str| recorder.heard().get(kind).copied().unwrap_or_default();
    let both = async {
        while count("trades") == 0 || count("orders_matched") == 0 {
            place.clock.sleep(LOOK_EVERY).await;
        }
    };
    came(place, both).await;
    let health = feed.health();
    let (trades, matched) = (count("trades"), count("orders_matched"));
    let seen = format!("trades {trades}, orders_matched {matched}: {}", told(&health));
    if trades + matched == 0 && health.errors == 0 {
        return Ok(Seen::new(
            Verdict::NotObservable,
            DONE,
            format!("nothing within {}: {seen}", lasting(LISTEN)),
        ));
    }
    Ok(Seen::that(health.errors == 0, DONE, seen))
}
