//! Orders that the venue knows and the books do not.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::{OrderPlan, Shares, Timestamp, TokenId, TradingAccount, Usd};
use engine::ports::{
    detection::Lane,
    execution::Execution as _,
    following::Following as _,
    reports::Reports as _,
    venue::{
        Cancel, Cancelled, OrderLookup, OrderQuery, PostReply, PostTimes, PreparedOrder, VenueError,
        VenueTrade,
    },
};
use testkit::{memory_store::MemoryStore, virtual_clock::VirtualClock};

use super::{super::live_account::live_account, *};

/// A venue that lists orders, and takes none.
#[derive(Default)]
struct Lists(Mutex<Vec<FoundOrder>>);

#[async_trait]
impl OrderGateway for Lists {
    async fn orders_since(&self, _: &TradingAccount, _: Timestamp) -> Result<Vec<FoundOrder>, VenueError> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn prepare(&self, _: &[OrderPlan]) -> Vec<Result<PreparedOrder, VenueError>> {
        panic!("nothing is signed")
    }

    async fn post(&self, _: &TradingAccount, _: &PreparedOrder, _: PostTimes) -> PostReply {
        panic!("nothing is sent")
    }

    async fn post_batch(
        &self,
        _: &TradingAccount,
        _: Lane,
        _: &[PreparedOrder],
        _: PostTimes,
    ) -> Vec<PostReply> {
        panic!("nothing is sent")
    }

    async fn look_up(&self, _: &TradingAccount, _: &OrderQuery) -> Result<OrderLookup, VenueError> {
        panic!("it is not known")
    }

    async fn cancel(&self, _: &TradingAccount, _: &Cancel) -> Result<Cancelled, VenueError> {
        panic!("nothing is cancelled")
    }
}

fn order(id: u8, trades: &[(&str, SettlementStatus)]) -> FoundOrder {
    let trade = |(id, status): &(&str, SettlementStatus)| VenueTrade {
        id: (*id).to_owned(),
        status: *status,
        shares: Shares(10_000_000),
        usd: Usd(5_000_000),
        fee: Usd(100_000),
        tx: None,
    };
    FoundOrder {
        id: OrderId([id; 32]),
        token: TokenId([7; 32]),
        side: Side::Buy,
        is_open: false,
        trades: trades.iter().map(trade).collect(),
    }
}

#[tokio::test]
async fn a_lost_order_is_adopted_once_when_it_is_over_and_its_account_is_held() {
    let clock = VirtualClock::new(Timestamp::from_seconds(1_800_000_000));
    let store = MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let (owner, id) = live_account(&store, clock.as_ref()).await;
    store.book_deposit(owner, id, Usd(100_000_000), clock.now()).await.unwrap();
    let account = store.accounts(None).await.unwrap().remove(0);
    let venue = Lists::default();
    let say = |orders: &[FoundOrder]| *venue.0.lock().unwrap() = orders.to_vec();
    let adopt = async || adopt(&store, &venue, clock.as_ref(), &account).await;
    let holds = async || store.following(clock.now()).await.unwrap().holds.len();

    // What was killed left nothing, and nothing is held for it.
    say(&[order(1, &[]), order(2, &[("t0", SettlementStatus::Failed)])]);
    assert_eq!((adopt().await.unwrap(), holds().await), (0, 0));
    // It is waited for whatever may still change.
    say(&[order(3, &[("t1", SettlementStatus::Confirmed), ("t2", SettlementStatus::Mined)])]);
    assert!(format!("{:#}", adopt().await.unwrap_err()).contains("Mined"));
    say(&[FoundOrder { is_open: true, ..order(3, &[("t1", SettlementStatus::Confirmed)]) }]);
    assert!(format!("{:#}", adopt().await.unwrap_err()).contains("open at the venue"));
    assert_eq!((store.adopted_shares(id).await.unwrap().len(), holds().await), (0, 0));

    say(&[order(3, &[("t1", SettlementStatus::Confirmed), ("t2", SettlementStatus::Confirmed)])]);
    for adopted in [1, 0] {
        assert_eq!((adopt().await.unwrap(), holds().await), (adopted, 1));
        assert_eq!(store.adopted_shares(id).await.unwrap(), [(TokenId([7; 32]), Shares(20_000_000))]);
        assert_eq!(store.accounts(None).await.unwrap()[0].cash, Usd(89_800_000));
    }
    let held = store.following(clock.now()).await.unwrap().holds.remove(0);
    assert_eq!(
        (held.scope, held.cause, held.stops_exits),
        (HoldScope::Account(id), HoldCause::Operator, true)
    );
}
