//! The transport's part: small posts over loopback that the venue refuses at once.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use domain::Clock;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Client;

/// Bytes of a usual order.
pub(super) const BODY: usize = 760;
/// Posts in flight.
pub(super) const IN_FLIGHT: usize = 64;
/// Posts measured.
const POSTS: usize = 10_000;
/// Posts before, so that all connections are open.
const WARM_UP: usize = 1_000;

/// Time per post, with [`IN_FLIGHT`] of them in flight, both ends in this process. They carry no
/// credentials, so the simulator does nothing but refuse them.
pub(super) async fn post_time(
    clob_url: &str,
    client: &Client,
    clock: &dyn Clock,
) -> anyhow::Result<Duration> {
    posts(clob_url, client, WARM_UP).await?;
    let start = clock.uptime();
    posts(clob_url, client, POSTS).await?;
    let took = clock.uptime().saturating_sub(start);
    Ok(took / u32::try_from(POSTS).unwrap_or(u32::MAX))
}

async fn posts(clob_url: &str, client: &Client, count: usize) -> anyhow::Result<()> {
    let url = format!("{clob_url}/order");
    stream::iter(0..count)
        .map(|_| async {
            let reply = client.post(&url).body(vec![b'x'; BODY]).send().await?;
            let status = reply.status().as_u16();
            reply.bytes().await?;
            anyhow::Ok(status)
        })
        .buffer_unordered(IN_FLIGHT)
        .try_for_each(|status| async move {
            ensure!(status == 401, "the simulator answered a post without credentials with {status}");
            Ok(())
        })
        .await
        .context("posting to the simulator")
}
