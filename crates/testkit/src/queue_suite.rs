//! The conformance suite of the queue port: what every doorbell must do, in one process or over many.
//!
//! A crate with a queue awaits [`run_all`] with a function that makes an empty one. Waits are on whatever clock the queue
//! has; a case never sleeps.

use std::{future::Future, pin::Pin, sync::Arc, task::Poll, time::Duration};

use domain::ids::IntentId;
use engine::ports::{
    detection::{Lane, QueuedIntent},
    queue::{End, Queue},
};
use futures_util::future::join_all;

/// Longer than anything here takes.
const WAIT: Duration = Duration::from_secs(10);

/// Ids of entries.
fn entries(ids: impl IntoIterator<Item = i64>) -> Vec<QueuedIntent> {
    ids.into_iter().map(|id| QueuedIntent { id: IntentId(id), lane: Lane::Entries }).collect()
}

/// Ids of exits.
fn exits(ids: impl IntoIterator<Item = i64>) -> Vec<QueuedIntent> {
    ids.into_iter().map(|id| QueuedIntent { id: IntentId(id), lane: Lane::Exits }).collect()
}

/// Tries every case on a queue of its own.
///
/// # Panics
/// When a promise is not kept.
pub async fn run_all<Made: Future<Output = Arc<dyn Queue>>>(make: impl Fn() -> Made) {
    exits_go_first_from_either_end(make().await.as_ref()).await;
    small_trades_overtake_large_ones_in_their_own_order(make().await.as_ref()).await;
    whoever_waits_is_woken(make().await.as_ref()).await;
    a_rebuilt_lane_replaces_the_old_one(make().await.as_ref()).await;
    whoever_takes_exits_only_gets_no_entries(make().await.as_ref()).await;
    depth_is_what_waits(make().await.as_ref()).await;
    a_thousand_ids_are_taken_once_each(make().await.as_ref()).await;
}

async fn pop(queue: &dyn Queue, limit: usize, end: End) -> Vec<QueuedIntent> {
    queue.pop(limit, end, WAIT).await.unwrap_or_else(|error| panic_with(&error.to_string()))
}

async fn push(queue: &dyn Queue, ids: &[QueuedIntent], end: End) {
    queue.push(ids, end).await.unwrap_or_else(|error| panic_with(&error.to_string()));
}

#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(found: &T, expected: &T) {
    assert!(found == expected, "found {found:?}, expected {expected:?}");
}

fn panic_with<T>(text: &str) -> T {
    assert!(text.is_empty(), "{text}");
    unreachable!("an error has a text")
}

async fn exits_go_first_from_either_end(queue: &dyn Queue) {
    push(queue, &entries([1, 2, 3]), End::Far).await;
    push(queue, &exits([10, 11]), End::Far).await;
    same(&pop(queue, 3, End::Far).await, &[exits([10, 11]), entries([3])].concat());
    same(&pop(queue, 9, End::Serving).await, &entries([1, 2]));
}

async fn small_trades_overtake_large_ones_in_their_own_order(queue: &dyn Queue) {
    push(queue, &entries(100..200), End::Far).await;
    push(queue, &entries([1, 2]), End::Serving).await;
    same(&pop(queue, 3, End::Serving).await, &entries([1, 2, 100]));
    same(&pop(queue, 2, End::Far).await, &entries([199, 198]));
}

/// By an arrival, and by a lane that was built anew.
async fn whoever_waits_is_woken(queue: &dyn Queue) {
    let mut waiting: Pin<Box<_>> = Box::pin(queue.pop(9, End::Serving, WAIT));
    assert!(!is_ready(&mut waiting).await, "nothing is there");
    push(queue, &entries([7]), End::Far).await;
    same(&waiting.await.ok(), &Some(entries([7])));
    let mut waiting: Pin<Box<_>> = Box::pin(queue.pop(9, End::Far, WAIT));
    assert!(!is_ready(&mut waiting).await, "nothing is there");
    let replaced = queue.replace(Lane::Exits, &[IntentId(8), IntentId(9)]).await;
    same(&replaced, &Ok(()));
    same(&waiting.await.ok(), &Some(exits([8, 9])));
}

async fn a_rebuilt_lane_replaces_the_old_one(queue: &dyn Queue) {
    push(queue, &entries([1, 2]), End::Far).await;
    push(queue, &exits([9]), End::Far).await;
    same(&queue.replace(Lane::Entries, &[IntentId(3), IntentId(4)]).await, &Ok(()));
    same(&queue.depth(Lane::Entries).await, &Ok(2));
    same(&pop(queue, 9, End::Serving).await, &[exits([9]), entries([3, 4])].concat());
    push(queue, &entries([1, 2]), End::Far).await;
    same(&queue.replace(Lane::Entries, &[]).await, &Ok(()));
    same(&queue.depth(Lane::Entries).await, &Ok(0));
}

async fn whoever_takes_exits_only_gets_no_entries(queue: &dyn Queue) {
    push(queue, &entries([1]), End::Serving).await;
    let mut waiting = Box::pin(queue.pop_exits(9, WAIT));
    assert!(!is_ready(&mut waiting).await, "an entry is no exit");
    push(queue, &exits([5, 6]), End::Serving).await;
    same(&waiting.await.ok(), &Some(exits([5, 6])));
    same(&pop(queue, 9, End::Serving).await, &entries([1]));
}

async fn depth_is_what_waits(queue: &dyn Queue) {
    push(queue, &[entries([1, 2]), exits([3])].concat(), End::Serving).await;
    same(&queue.depth(Lane::Entries).await, &Ok(2));
    same(&queue.depth(Lane::Exits).await, &Ok(1));
    same(&pop(queue, 2, End::Serving).await, &[exits([3]), entries([1])].concat());
    same(&queue.depth(Lane::Entries).await, &Ok(1));
    same(&queue.depth(Lane::Exits).await, &Ok(0));
}

/// Whoever finds a stop sign ends; there is one for each.
async fn a_thousand_ids_are_taken_once_each(queue: &dyn Queue) {
    let worker = async || {
        let mut taken = Vec::new();
        loop {
            let batch: Vec<i64> =
                pop(queue, 7, End::Serving).await.iter().map(|queued| queued.id.0).collect();
            assert!(!batch.is_empty(), "waited in vain");
            taken.extend(batch.iter().filter(|id| **id >= 0));
            let signs: Vec<i64> = batch.into_iter().filter(|id| *id < 0).collect();
            if !signs.is_empty() {
                push(queue, &entries(signs.into_iter().skip(1)), End::Far).await;
                return taken;
            }
        }
    };
    let filling = async {
        for hundred in 0..10 {
            push(queue, &entries(hundred * 100..(hundred + 1) * 100), End::Far).await;
        }
        push(queue, &entries([-1, -2, -3, -4]), End::Far).await;
    };
    let workers = join_all((0..4).map(|_| worker()));
    let (taken, ()) = futures_util::future::join(workers, filling).await;
    let mut all = taken.concat();
    all.sort_unstable();
    same(&all, &(0..1_000).collect::<Vec<i64>>());
}

/// Whether a future is ready when it is polled once; what it answers then is lost.
async fn is_ready<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context).is_ready())).await
}
