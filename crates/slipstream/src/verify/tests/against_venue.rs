//! Differences between our books and the venue's.

use async_trait::async_trait;
use domain::{Address, OrderId, Shares, Usd, trade::Quantity};
use engine::ports::venue::VenueError;

use super::{
    super::{
        Check, Executed, Outcome, VenueBooks, VerifyOptions, VerifyReport,
        test_world::{IDS, World, filled_buy},
        verify,
    },
    only, usual,
};

/// Books that say what they are told.
struct Books {
    executed: Result<Option<Executed>, VenueError>,
    of_wallet: Vec<OrderId>,
}

#[async_trait]
impl VenueBooks for Books {
    async fn executed(&self, orders: &[OrderId]) -> Result<Vec<Option<Executed>>, VenueError> {
        self.executed.clone().map(|executed| vec![executed; orders.len()])
    }

    async fn executed_of(&self, _: Address) -> Result<Vec<OrderId>, VenueError> {
        Ok(self.of_wallet.clone())
    }
}

async fn against(world: &World, books: &Books) -> VerifyReport {
    let options = VerifyOptions { venue: Some(books), ..usual() };
    verify(&world.store, &IDS, options).await.unwrap()
}

fn executed(quantity: Quantity) -> Executed {
    Executed { shares: quantity.shares, usd: quantity.usd, fee: Some(Usd(342_870)) }
}

#[tokio::test]
async fn the_venue_has_the_last_word() {
    let world = World::new().await;
    let record = world.confirmed_buy().await;
    let id = record.order.id;
    let same = Books { executed: Ok(Some(executed(filled_buy()))), of_wallet: vec![id] };
    let report = against(&world, &same).await;
    assert!(report.is_clean(), "{report}");
    let more = Quantity { shares: Shares(20_000_000), ..filled_buy() };
    let more = Books { executed: Ok(Some(executed(more))), of_wallet: vec![id] };
    insta::assert_snapshot!(only(&against(&world, &more).await, &[Check::Venue]), @"order 0xafcc.. (intent 1, attempt 0): fill is 19.6 shares for 9.996 $, fee 0.34287; the venue has 20 shares for 9.996 $, fee 0.34287");
    let never = Books { executed: Ok(None), of_wallet: vec![] };
    insta::assert_snapshot!(only(&against(&world, &never).await, &[Check::Venue]), @"order 0xafcc.. (intent 1, attempt 0): fill is 19.6 shares for 9.996 $, fee 0.34287; the venue has 0 shares for 0 $, fee 0.34287");
    let stranger =
        Books { executed: Ok(Some(executed(filled_buy()))), of_wallet: vec![id, OrderId([6; 32])] };
    insta::assert_snapshot!(only(&against(&world, &stranger).await, &[Check::Strangers]), @"account 1 (ann's paper): an order the venue executed is 0x0606..; our books have no such order");
}

#[tokio::test]
async fn a_fill_the_venue_has_before_us_is_not_a_difference() {
    let world = World::new().await;
    let record = world.sign(world.attempt(world.copied_buy().await).await).await;
    assert!(record.open_work);
    let ahead = Books { executed: Ok(Some(executed(filled_buy()))), of_wallet: vec![record.order.id] };
    let report = against(&world, &ahead).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.waiting(), 1);
}

#[tokio::test]
async fn a_silent_venue_is_unknown_and_not_green() {
    let world = World::new().await;
    world.confirmed_buy().await;
    let error = VenueError::Unavailable { what: "books".to_owned(), reason: "503".to_owned() };
    let silent = Books { executed: Err(error), of_wallet: vec![] };
    let report = against(&world, &silent).await;
    assert!(!report.is_clean() && report.first.is_none());
    let venue = report.checks.iter().find(|result| result.check == Check::Venue).unwrap();
    assert_eq!(
        (venue.outcome, venue.unknown.as_deref()),
        (Outcome::Unknown, Some("books: unavailable: 503"))
    );
}
