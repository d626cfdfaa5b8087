//! Listening to what the venue tells by itself: books of the tokens that matter, and orders with an open outcome.

use std::{sync::Arc, time::Duration};

use engine::{
    account_channels::{AccountChannels, Memory},
    limits::{BOOKS_FOLLOWED, CHANNELS_EVERY, HELD_TOKENS_EVERY},
    ports::store::InstanceId,
};
use tracing::{error, warn};

use super::{ERROR_PAUSE, Shared, turn::Turn};

/// Keeps the books of what is held, and of what somebody asked for lately.
pub(super) async fn market_loop(shared: Arc<Shared>, instance: InstanceId) {
    let (store, clock) = (&shared.ports.store, &shared.ports.clock);
    // Whoever listened before may have ended in the middle of a change.
    shared.cache.forget_books();
    let mut read_at = Duration::ZERO;
    while !shared.supervisor.is_stopped() {
        if clock.uptime() >= read_at {
            let pause = match shared.rounds.of(&instance, store.tokens_held(BOOKS_FOLLOWED)).await {
                Ok(held) => {
                    shared.cache.follow(held);
                    HELD_TOKENS_EVERY
                }
                Err(error) => {
                    warn!(%error, "held tokens cannot be read; books go on as before: {error}");
                    ERROR_PAUSE
                }
            };
            read_at = clock.uptime().saturating_add(pause);
        }
        tokio::select! {
            () = shared.cache.hear() => {}
            () = shared.supervisor.pause(read_at.saturating_sub(clock.uptime())) => {}
        }
    }
}

/// Opens channels of accounts with open outcomes and books what they tell.
pub(super) async fn account_loop(shared: Arc<Shared>, instance: InstanceId) {
    let ports = &shared.ports;
    let Some(channels) = &ports.channels else { return };
    let channels = AccountChannels {
        store: Arc::clone(&ports.store),
        feed: Arc::clone(&channels.accounts),
        clock: Arc::clone(&ports.clock),
        failures: Arc::clone(&shared.failures),
        memory: Memory::default(),
    };
    let mut follow_at = Duration::ZERO;
    let mut turn = Turn::new(&shared, "user channels", &instance);
    while !shared.supervisor.is_stopped() {
        if !turn.is_ours().await {
            channels.feed.follow(&[]);
            if !turn.comes().await {
                return;
            }
        }
        if ports.clock.uptime() >= follow_at {
            if let Err(error) = shared.rounds.of(&instance, channels.follow()).await {
                warn!(%error, "accounts with open outcomes cannot be read: {error}");
            }
            follow_at = ports.clock.uptime().saturating_add(CHANNELS_EVERY);
        }
        let rest = follow_at.saturating_sub(ports.clock.uptime());
        let news = tokio::select! {
            news = channels.next() => news,
            () = shared.rest(&shared.to_listen, rest) => {
                follow_at = Duration::ZERO;
                continue;
            }
        };
        match shared.rounds.of(&instance, channels.book(news)).await {
            Ok(0) => {}
            Ok(_) => shared.to_settle.notify_one(),
            Err(error) => {
                error!(%error, "news of orders cannot be booked; the orders are looked up: {error}");
                shared.supervisor.pause(ERROR_PAUSE).await;
            }
        }
    }
}
