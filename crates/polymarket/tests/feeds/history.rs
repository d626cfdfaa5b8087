//! The Data API under its limits: many wallets at once, and nobody is told to slow down.

use std::{collections::BTreeMap, sync::Arc};

use domain::{Address, Clock, Timestamp};
use engine::ports::venue::{History, TradeHistory, VenueError};
use futures_util::{StreamExt, stream};
use polymarket::{DataApi, Endpoint, VenueLimits};
use simulator::world::endpoints::{Group, Quota};

use crate::harness::{Venue, run};

/// Calls of trades in 10 s here; the published limit is 200.
const TRADES: u32 = 40;

#[test]
fn many_wallets_are_read_at_the_venue_s_pace() {
    run(async {
        let venue = Venue::new().await;
        venue.knobs(|knobs| {
            knobs.rates.per_ip = true;
            // Time passes in steps here, also while a request is on its way: what comes a step late waits.
            knobs.rates.most_delay_ms = 1_000;
            let quota = Quota { per_10s: Some(TRADES), per_10min: None };
            knobs.rates.quotas = BTreeMap::from([(Group::DataApiTrades, quota)]);
        });
        let clock = Arc::clone(&venue.clock) as Arc<dyn Clock>;
        let other = vec![(Endpoint::HistoryTrades, TRADES, None)];
        let limits = VenueLimits { other, ..VenueLimits::default() };
        let client = polymarket::client().unwrap();
        let api = DataApi::new(client, &venue.running.data_url).paced(Arc::clone(&clock), limits);
        let read = async |number: u8| loop {
            match api.activity(Address([number; 20]), Timestamp::from_seconds(1)).await {
                Ok(History { responses, gap: None }) => return responses.len(),
                Ok(History {
                    gap: Some(VenueError::RateLimited { retry_after: Some(wait), .. }), ..
                })
                | Err(VenueError::RateLimited { retry_after: Some(wait), .. }) => clock.sleep(wait).await,
                other => panic!("{other:?}"),
            }
        };
        let all = stream::iter(0..60).map(read).buffer_unordered(16).collect::<Vec<_>>();
        let read = venue.while_time_passes(all).await;
        assert_eq!((read.len(), read.iter().sum::<usize>()), (60, 120));
        let counts = venue.world.with(|world, _| world.traffic.counts()[&Group::DataApiTrades]);
        assert_eq!(counts.throttled, 0, "{counts:?}");
        assert!(counts.requests >= 60);
        venue.knobs(|knobs| knobs.rates.most_delay_ms = 0);
        // The same without a pace: the venue would have said so.
        let hasty = DataApi::new(polymarket::client().unwrap(), &venue.running.data_url);
        let mut refused = 0;
        for number in 0..100 {
            let read = hasty.activity(Address([number; 20]), Timestamp::from_seconds(1)).await;
            let gap = read.map_or_else(Some, |history| history.gap);
            refused += usize::from(matches!(gap, Some(VenueError::RateLimited { .. })));
        }
        assert!(refused > 0);
    });
}
