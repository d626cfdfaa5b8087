//! Cancels of every kind as the venue carries them out, and as its limits of signers count them.

use std::time::Duration;

use domain::{Hash, OrderAmounts, OrderId, OrderPlan, OrderType, Side, TokenId, TradingAccount, money::ONE};
use engine::ports::{
    detection::Lane,
    venue::{Cancel, Cancelled, NotCancelled, OrderGateway, PostReply, PostTimes, VenueError},
};
use polymarket::{Clob, Tier, VenueLimits};
use simulator::world::{endpoints::Group, rates::Signers};

use crate::harness::{OTHER, TOKEN, Venue, account, adapter, condition, run};

/// Shares of an order, and how many the venue takes at once.
const SHARES: i64 = 5;
const BATCH: usize = 15;

struct Scene {
    venue: Venue,
    clob: Clob,
    account: TradingAccount,
}

impl Scene {
    async fn new(limits: VenueLimits) -> Self {
        let venue = Venue::new().await;
        let (clob, signer) = adapter(&venue);
        let account = account(&venue, &signer, "trader", 1).await;
        Self { venue, clob: clob.paced(limits), account }
    }

    fn enforced(&self, signers: Signers) {
        self.venue.knobs(|knobs| knobs.rates.signers = signers);
    }

    /// Rests that many orders of 5 shares at one cent.
    async fn rest(&self, token: TokenId, count: usize) -> Vec<OrderId> {
        // No two orders are the same.
        self.venue.clock.advance(Duration::from_millis(1));
        let salts = u64::from(token.0[31])..;
        let plan = |salt| OrderPlan {
            account: self.account.clone(),
            token,
            side: Side::Buy,
            amounts: OrderAmounts { maker: SHARES * ONE / 100, taker: SHARES * ONE },
            negative_risk: false,
            salt: salt * 1_000,
            timestamp: domain::Clock::now(self.venue.clock.as_ref()),
            order_type: OrderType::GoodTillCancelled { post_only: false },
            defer: false,
            builder: Hash([0; 32]),
        };
        let plans: Vec<OrderPlan> = salts.take(count).map(plan).collect();
        let prepared: Vec<_> = self.clob.prepare(&plans).await.into_iter().collect::<Result<_, _>>().unwrap();
        for batch in prepared.chunks(BATCH) {
            let times = PostTimes::whenever(Duration::from_secs(5));
            let post = self.clob.post_batch(&self.account, Lane::Entries, batch, times);
            let replies = self.venue.while_time_passes(post).await;
            assert!(replies.iter().all(|reply| matches!(reply, PostReply::Accepted(_))), "{replies:?}");
        }
        prepared.iter().map(|order| order.id).collect()
    }

    async fn cancel(&self, what: &Cancel) -> Result<Cancelled, VenueError> {
        self.venue.while_time_passes(self.clob.cancel(&self.account, what)).await
    }

    fn refused(&self) -> u64 {
        let count = |group| {
            self.venue.world.with(|world, _| {
                world.traffic.counts().get(&group).map_or(0, |counts| counts.throttled_signer)
            })
        };
        [Group::DeleteOrder, Group::DeleteOrders, Group::CancelAll, Group::CancelMarketOrders]
            .into_iter()
            .map(count)
            .sum()
    }
}

/// Ids that nobody knows.
fn strangers(count: u16) -> Vec<OrderId> {
    let id = |number: u16| {
        let mut bytes = [0xee; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        OrderId(bytes)
    };
    (0..count).map(id).collect()
}

fn same(mut one: Vec<OrderId>, mut other: Vec<OrderId>) {
    one.sort_unstable();
    other.sort_unstable();
    assert_eq!(one, other);
}

#[test]
fn every_kind_cancels_what_it_names_and_nothing_else() {
    run(async {
        let scene = Scene::new(VenueLimits::default()).await;
        let (yes, no) = (scene.rest(TOKEN, 4).await, scene.rest(OTHER, 3).await);
        let one = scene.cancel(&Cancel::Orders(vec![yes[0]])).await.unwrap();
        assert_eq!((one.cancelled, one.kept), (vec![yes[0]], Vec::new()));
        let two = scene.cancel(&Cancel::Orders(vec![yes[0], yes[1]])).await.unwrap();
        assert_eq!(two.cancelled, [yes[1]]);
        assert_eq!(two.kept, [(yes[0], NotCancelled::Done)]);
        let market = |token| Cancel::Market { condition: condition(), token };
        same(scene.cancel(&market(Some(OTHER))).await.unwrap().cancelled, no);
        same(scene.cancel(&market(None)).await.unwrap().cancelled, yes[2..].to_vec());
        let more = [scene.rest(TOKEN, 2).await, scene.rest(OTHER, 2).await].concat();
        same(scene.cancel(&Cancel::All).await.unwrap().cancelled, more);
    });
}

/// A bucket of the lowest tier holds 120 tokens and gets 80 a second.
#[test]
fn more_cancels_than_a_bucket_holds_go_in_pieces_and_none_is_refused() {
    run(async {
        let scene = Scene::new(VenueLimits::default()).await;
        scene.enforced(Signers::Enforce);
        let done = scene.cancel(&Cancel::Orders(strangers(300))).await.unwrap();
        assert_eq!((done.cancelled.len(), done.kept.len()), (0, 300));
        assert_eq!(scene.refused(), 0);
    });
}

#[test]
fn what_cancel_all_cancelled_is_paid_before_the_next_cancel() {
    run(async {
        for signers in [Signers::Enforce, Signers::Off] {
            let scene = Scene::new(VenueLimits::default()).await;
            scene.rest(TOKEN, 150).await;
            scene.enforced(signers);
            // One, and 150 for what it cancelled: 43 more than a pace of 108 has.
            assert_eq!(scene.cancel(&Cancel::All).await.unwrap().cancelled.len(), 150);
            let began = domain::Clock::uptime(scene.venue.clock.as_ref());
            scene.cancel(&Cancel::All).await.unwrap();
            let waited = domain::Clock::uptime(scene.venue.clock.as_ref()) - began;
            assert!(waited >= Duration::from_millis(400), "{signers:?}: {waited:?}");
            assert_eq!(scene.refused(), 0, "{signers:?}");
        }
    });
}

/// Told a higher tier than the venue grants: a batch that no bucket ever holds is refused without a time to wait;
/// the tier and the moment in the headers are what is known then.
#[test]
fn a_tier_and_a_moment_in_the_headers_are_obeyed() {
    run(async {
        let silver = Tier::named("Silver").unwrap();
        let scene = Scene::new(VenueLimits { signer: silver, ..VenueLimits::default() }).await;
        scene.enforced(Signers::Enforce);
        let ids = Cancel::Orders(strangers(200));
        let refused = scene.clob.cancel(&scene.account, &ids).await;
        assert!(matches!(refused, Err(VenueError::RateLimited { .. })), "{refused:?}");
        let began = domain::Clock::uptime(scene.venue.clock.as_ref());
        assert_eq!(scene.cancel(&ids).await.unwrap().kept.len(), 200);
        let waited = domain::Clock::uptime(scene.venue.clock.as_ref()) - began;
        // 80 tokens too few at 80 a second, told to the second.
        assert!(waited >= Duration::from_secs(1), "{waited:?}");
        assert_eq!(scene.refused(), 1);
    });
}
