//! Probes that look again and again, each by itself: one that hangs keeps no other from looking.

use std::{pin::pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::Clock;
use futures_util::future::{Either, select};

use super::{Board, Check, Reading};
use crate::limits::ROUNDS_BELIEVED;

/// Something that looks.
#[async_trait]
pub trait Probe: Send + Sync {
    /// The checks it has readings for.
    fn checks(&self) -> &[Check];

    /// Time between two looks.
    fn every(&self) -> Duration;

    /// How long a look may take.
    fn within(&self) -> Duration;

    /// Looks: readings of each of its checks, in their order.
    async fn look(&self) -> Vec<Vec<Reading>>;
}

/// Has a probe look for ever.
pub async fn keep(board: Arc<Board>, probe: Arc<dyn Probe>, clock: Arc<dyn Clock>) {
    let believed = probe.every().saturating_mul(ROUNDS_BELIEVED).saturating_add(probe.within());
    for check in probe.checks() {
        board.expect(*check, believed);
    }
    loop {
        look(&board, probe.as_ref(), clock.as_ref()).await;
        clock.sleep(probe.every()).await;
    }
}

/// Has it look once. No answer in time is a failure of all its checks.
async fn look(board: &Board, probe: &dyn Probe, clock: &dyn Clock) {
    let began = clock.uptime();
    let limit = probe.within();
    let seen = match select(pin!(probe.look()), clock.sleep(limit)).await {
        Either::Left((seen, _)) => seen,
        Either::Right(((), _)) => {
            let silent = || vec![Reading::fail(None, format!("no answer within {limit:?}"))];
            probe.checks().iter().map(|_| silent()).collect()
        }
    };
    let took = clock.uptime().saturating_sub(began);
    for (check, readings) in probe.checks().iter().zip(seen) {
        board.put(*check, readings, took);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use domain::Timestamp;
    use futures_util::FutureExt as _;
    use testkit::virtual_clock::VirtualClock;

    use super::*;
    use crate::health::{Kind, Status, Weight};

    const CHECK: Check = Check {
        component: "redis",
        measurement: "responseTime",
        kind: Kind::Datastore,
        unit: "ms",
        weight: Weight::Major,
    };

    struct Second(AtomicU32);

    #[async_trait]
    impl Probe for Second {
        fn checks(&self) -> &[Check] {
            &[CHECK]
        }

        fn every(&self) -> Duration {
            Duration::from_secs(10)
        }

        fn within(&self) -> Duration {
            Duration::from_secs(2)
        }

        /// The second look hangs.
        async fn look(&self) -> Vec<Vec<Reading>> {
            if self.0.fetch_add(1, Relaxed) == 1 {
                std::future::pending::<()>().await;
            }
            vec![vec![Reading::pass(Some(1.0))]]
        }
    }

    #[test]
    fn a_probe_that_hangs_fails_its_checks_and_looks_again_and_nobody_who_asks_makes_it_look() {
        let clock = VirtualClock::new(Timestamp::from_seconds(1));
        let time = || Arc::clone(&clock) as Arc<dyn Clock>;
        let (board, probe) = (Arc::new(Board::new(time())), Arc::new(Second(AtomicU32::new(0))));
        let mut kept = pin!(keep(Arc::clone(&board), Arc::clone(&probe) as Arc<dyn Probe>, time()));
        let mut turn = |seconds| {
            clock.advance(Duration::from_secs(seconds));
            assert!(kept.as_mut().now_or_never().is_none());
            board.report().checks[0].clone()
        };
        assert_eq!(turn(0).status, Status::Pass);
        for _ in 0..1_000 {
            assert_eq!(board.report().status, Status::Pass);
        }
        assert_eq!(probe.0.load(Relaxed), 1, "asking looks at nothing");
        assert_eq!(turn(10).status, Status::Pass, "the look that hangs has its time");
        let failed = turn(2);
        assert_eq!((failed.status, failed.took), (Status::Fail, Duration::from_secs(2)));
        assert_eq!(turn(10).status, Status::Pass);
    }
}
