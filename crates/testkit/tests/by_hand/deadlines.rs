//! Until when the same bytes are sent again, where clocks differ.

use super::*;

/// Orders that were posted, of one whose post nobody got, after settlement on a clock that is behind by so many seconds has
/// looked it up once.
fn posts(after: u64, behind: i64) -> usize {
    let scene = Scene::new(1, &[7], |_| false);
    assert_eq!(scene.work(scene.world.venue.clone()), 1);
    let settlement = scene.settlement(scene.world.clock.skewed(-behind * 1_000_000));
    scene.world.clock.advance(Duration::from_secs(after));
    assert_eq!(block_on(Settling::new(&settlement).run_once()).unwrap(), 1);
    scene.gateway.posts.lock().unwrap().len()
}

/// The bytes were sent again ten seconds after they were signed, by a settler for whom it was the first second.
#[test]
fn a_settler_whose_clock_is_behind_sends_nothing_late() {
    assert_eq!([posts(2, 0), posts(6, 0), posts(10, 9)], [2, 1, 1]);
}
