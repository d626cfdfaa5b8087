//! Every limit of the engine, in one place.

use std::time::Duration;

use domain::Usd;

/// Relationships decided in one transaction.
pub const DECISION_CHUNK: usize = 500;
/// Ids a worker takes from the queue at once.
pub const POP_BATCH: usize = 64;
/// Ids it takes at once while its batches are quick: two commits for more orders.
pub const POP_LARGE_BATCH: usize = 256;
/// A batch that took at most this long was quick. Whoever comes next waits no longer than that.
pub const QUICK_BATCH: Duration = Duration::from_millis(250);
/// A trade with more orders than this is queued at the far end, so that it cannot starve small ones.
pub const SMALL_TRADE: usize = 50;
/// Every n-th batch of a worker comes from the far end.
pub const FAR_END_EVERY: u64 = 4;
/// The same bytes of an entry may be sent this long after signing.
pub const ENTRY_RESEND: Duration = Duration::from_secs(5);
/// The same bytes of an exit may be sent this long after signing.
pub const EXIT_RESEND: Duration = Duration::from_secs(5);
/// Look-ups must have been negative this long before an order counts as never seen.
pub const UNSEEN_AFTER: Duration = Duration::from_secs(120);
/// A gap between two negative look-ups longer than this counts only this much.
pub const UNSEEN_STEP: Duration = Duration::from_secs(15);
/// A head of the chain that has not risen for this long proves nothing about what is in no block.
pub const HEAD_STALLED_AFTER: Duration = Duration::from_secs(60);
/// What has waited for this long is taken from the store by a worker for whom the queue has nothing.
pub const UNHEARD_AFTER: Duration = Duration::from_secs(1);
/// Nobody else takes it from the store for this long: longer than signing takes.
pub const TAKEN_FOR: Duration = Duration::from_secs(2);
/// And this often a process looks for such work.
pub const UNHEARD_EVERY: Duration = Duration::from_secs(1);
/// Most ids put into a rebuilt lane of the queue; the rest waits in the store.
pub const REBUILD_LIMIT: usize = 100_000;
/// Deadline of building and signing a batch, credentials included.
pub const PREPARE_DEADLINE: Duration = Duration::from_secs(10);
/// Pause before a sale that the signer refuses is tried again: somebody must arm the account for it.
pub const UNSIGNED_PAUSE: Duration = Duration::from_secs(15);
/// Pause before what could not be prepared, or not in time, is planned again.
pub const UNPREPARED_PAUSE: Duration = Duration::from_secs(1);
/// How often an entry may fail for a reason of its own before it is a dead letter
/// ([decision 0030](../../../docs/decisions/0030-dead-letters.md)).
pub const ENTRY_FAILURES: u32 = 5;
/// The same of an exit: with the pauses below, after a quarter of an hour.
pub const EXIT_FAILURES: u32 = 20;
/// Pause after the first such failure; it doubles …
pub const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// … up to this.
pub const LONGEST_FAILED_PAUSE: Duration = Duration::from_secs(60);
/// Deadline of one post.
pub const POST_DEADLINE: Duration = Duration::from_secs(10);
/// Orders of one account in one post. Source: docs (place orders).
pub const POST_BATCH: usize = 15;
/// A worker waits this long for the first rate token of its batch.
pub const ADMISSION_PATIENCE: Duration = Duration::from_millis(250);
/// Whoever gets its rate token within this goes back into the queue, others wait in the store.
pub const ADMISSION_SOON: Duration = Duration::from_secs(2);
/// Pause before the same bytes are sent again when the venue says "not now" without a time …
pub const NOT_NOW_PAUSE: Duration = Duration::from_millis(250);
/// … and the shortest with one.
pub const NOT_NOW_PAUSE_LEAST: Duration = Duration::from_millis(50);
/// An account that the venue lets only sell, and everybody where it trades with nobody, tries again after this.
pub const REFUSAL_HOLD: Duration = Duration::from_secs(3_600);
/// While everybody is held for the region, the venue is asked this often whether it trades with it by now.
pub const REGION_EVERY: Duration = Duration::from_secs(600);
/// An account that is banned, or whose kind of wallet is not allowed, tries again after this.
pub const BAN_HOLD: Duration = Duration::from_secs(86_400);
/// Settled orders by which the rate of failures is judged.
pub const FAILURE_WINDOW: usize = 50;
/// Fewer failures than this are no rate.
pub const FAILURES_AT_LEAST: usize = 5;
/// Failed settlements among the judged, in per cent, from which fills cannot be relied on …
pub const FAILURES_ALARM: usize = 20;
/// … and below which they can again.
pub const FAILURES_OVER: usize = 10;
/// Deadline of a read at decision time (market, book).
pub const READ_DEADLINE: Duration = Duration::from_secs(2);
/// All pages of a leader's history together, each of which has its own deadline in the adapter: whoever does not come
/// to an end within this is given up with all it had.
pub const HISTORY_DEADLINE: Duration = Duration::from_secs(300);
/// Deadline of a look-up, a block, a list of positions.
pub const LOOK_UP_DEADLINE: Duration = Duration::from_secs(10);
/// A worker's lease on an order it signed or resolves.
pub const WORK_LEASE: Duration = Duration::from_secs(30);
/// A watcher's lease: one that stands by takes over within five seconds.
pub const WATCHER_LEASE: Duration = Duration::from_secs(4);
/// A watcher renews its lease when it is this old: two renewals may fail before it runs out.
pub const WATCHER_RENEWAL: Duration = Duration::from_millis(1_500);
/// How often a watcher that stands by asks whether it is its turn.
pub const STANDBY_LOOK: Duration = Duration::from_millis(250);
/// A watcher none of whose steps succeeds for this long leaves its lease to one that stands by …
pub const WATCHES_IN_VAIN: Duration = Duration::from_secs(5);
/// … as does whoever rescues the queue and cannot reach it for this long. …
pub const RESCUES_IN_VAIN: Duration = Duration::from_secs(2);
/// … At the next time after twice as long, and at last after this.
pub const IN_VAIN_LAST: Duration = Duration::from_secs(300);
/// Whoever left a lease to others asks for it again after this: they ask at least once a second.
pub const STANDS_ASIDE: Duration = Duration::from_secs(3);
/// How long the watcher may remember exposure that was released meanwhile.
pub const FOLLOWING_REFRESH: Duration = Duration::from_secs(1);
/// It waits at least this many times as long as reading took, which grows with the number of relationships.
pub const FOLLOWING_REFRESH_SHARE: u32 = 20;
/// While a trade is being decided it is remembered this long before that is interrupted.
pub const FOLLOWING_LAG: Duration = Duration::from_secs(10);
/// An order whose outcome is known is looked up no sooner than this: a block takes two seconds, and the
/// chain's own logs tell first. Sooner, the look-ups of a large trade's first orders delay its last ones.
pub const KNOWN_OUTCOME_LOOK: Duration = Duration::from_secs(5);
/// … and no later than this, or where the user channel tells of it.
pub const KNOWN_OUTCOME_LAST: Duration = Duration::from_secs(15);
/// An order whose outcome is open is looked up no sooner than this …
pub const OPEN_OUTCOME_LOOK: Duration = Duration::from_millis(200);
/// … and no later than this.
pub const OPEN_OUTCOME_LAST: Duration = Duration::from_secs(5);
/// Where the user channel is open, an open outcome is looked up no sooner than this.
pub const LISTENING_LOOK: Duration = Duration::from_secs(1);
/// Accounts whose user channels are open at once.
pub const CHANNELS_OPEN: usize = 200;
/// A user channel stays open this long after the last open outcome: settlement is told as well, and orders come
/// in bursts.
pub const CHANNEL_KEPT: Duration = Duration::from_secs(60);
/// Accounts with open outcomes are looked for this often, and whenever a worker has sent something.
pub const CHANNELS_EVERY: Duration = Duration::from_secs(1);
/// News of accounts booked in one transaction.
pub const NEWS_BATCH: usize = 512;
/// What an order is told to have filled may be beyond what was signed by this much, in millionths: the dollars of
/// each listed trade are rounded against us.
pub const ROUNDED_AWAY: i64 = 10_000;
/// An order of which nothing can be computed or applied is looked at again after this.
pub const NOT_BELIEVED_PAUSE: Duration = Duration::from_secs(60);
/// Attempts of one exit.
pub const EXIT_ATTEMPTS: u32 = 20;
/// Pause before the next attempt of an exit, times the number of attempts so far.
pub const EXIT_PAUSE: Duration = Duration::from_millis(500);
/// Bytes that a sender wrote before it ended count as on their way this long: longer than a venue has been
/// seen to take from reading an order to matching it.
pub const LATE_BYTES: Duration = Duration::from_secs(60);
/// An exit that could not be carried out is looked at again after this, then after twice as long …
pub const REVISIT_FIRST: Duration = Duration::from_secs(1);
/// … and at last this often, until followers hold what they should.
pub const REVISIT_LAST: Duration = Duration::from_secs(120);
/// While an order of the token is open, an exit is looked at again after this.
pub const REVISIT_OPEN: Duration = Duration::from_secs(2);
/// An exit that the user's pause or a hold stops is looked at again after this at the latest: whoever resumes or
/// lifts makes it due at once, and the end of a hold is known.
pub const REVISIT_BLOCKED: Duration = Duration::from_secs(600);
/// Exits looked at again in one step.
pub const REVISIT_BATCH: usize = 500;
/// Buys left to a sync that are looked at in one step …
pub const SYNC_BATCH: usize = 500;
/// … and how often.
pub const SYNC_EVERY: Duration = Duration::from_secs(1);
/// A head older than this is no word on what leaders hold now.
pub const SYNC_HEAD_AGE: Duration = Duration::from_secs(60);
/// A market nobody knows, which the venue could not be asked for, is asked for again after this, then after
/// twice as long …
pub const MARKET_FIRST: Duration = Duration::from_millis(500);
/// … and at last this often, while a copy of it may still be young enough.
pub const MARKET_LAST: Duration = Duration::from_secs(5);
/// Parts that wait for markets nobody knows; further ones are decided as they are.
pub const WAITING_PARTS: usize = 10_000;
/// Without news the watcher looks again after this: what other processes change is seen no later.
pub const WATCHER_REST: Duration = Duration::from_secs(1);
/// The chain's head is asked for no more often than this …
pub const HEAD_EVERY: Duration = Duration::from_millis(100);
/// … also, without regard to how fast blocks come, for this long after a doorbell has rung; otherwise not while doorbells
/// work.
pub const BELL_FOLLOW_UP: Duration = Duration::from_secs(1);
/// Blocks are never expected to come more slowly. Polygon's come each two seconds.
pub const SLOWEST_BLOCKS: Duration = Duration::from_millis(2_500);
/// So many heads below the newest one in a row say that it was never there: those who lag are asked last.
pub const HEADS_BELOW: u32 = 5;
/// A part whose turn has come and that cannot be decided yet is tried again after this.
pub const DECIDE_AGAIN: Duration = Duration::from_millis(250);
/// Without news settlement looks again after this, or when the next order is due …
pub const SETTLE_REST: Duration = Duration::from_secs(1);
/// … but not sooner than this: an order may be due and in other hands.
pub const SETTLE_PAUSE: Duration = Duration::from_millis(50);
/// … and, while answers are waited for, not sooner than this.
pub const SETTLE_ASKING: Duration = Duration::from_millis(250);
/// Orders claimed for settling at once.
pub const SETTLE_BATCH: usize = 128;
/// Orders that are looked up, or wait for their account's turn …
pub const LOOK_UPS: usize = 256;
/// … and how many of one account are looked up at once.
pub const LOOK_UPS_OF_ACCOUNT: usize = 64;
/// Answers to look-ups are waited for this long before those that are there are recorded together.
pub const SETTLE_GATHER: Duration = Duration::from_millis(100);
/// Reads and posts in flight at once.
pub const IN_FLIGHT: usize = 64;
/// Blocks read in one step of the watcher.
pub const BLOCKS_PER_STEP: i64 = 50;
/// The deepest reorganisation that is followed; a deeper one stops detection loudly.
pub const REORG_DEPTH: usize = 256;
/// Rows of the Data API older than this before the newest known row are asked for again.
pub const HISTORY_OVERLAP: Duration = Duration::from_secs(120);
/// Rows of the Data API that are ahead of our clock by more than this are of no time that was yet.
pub const HISTORY_AHEAD: Duration = Duration::from_secs(120);
/// Trades whose showings by the sources are compared, the newest ones.
pub const SOURCE_GROUPS: usize = 4_096;
/// Lags of a source that its median is taken of.
pub const SOURCE_SAMPLES: usize = 256;
/// A source is late when its newest trades, in the middle, came after more than this: by then most followers' policies
/// buy no more.
pub const SOURCE_LATE: Duration = Duration::from_secs(30);
/// The Data API is late after this: it is asked from time to time only, and is not the first where there is another.
pub const HISTORY_LATE: Duration = Duration::from_secs(180);
/// A source of which nothing was read for this long has stopped: a block comes every two seconds, and histories are asked
/// for more often.
pub const SOURCE_STOPPED: Duration = Duration::from_secs(60);
/// The newest trades of a source by which it is judged whether it is late …
pub const LATE_SAMPLES: usize = 5;
/// … and how many there must be.
pub const LATE_AT_LEAST: usize = 3;
/// News of the live feed taken in one step.
pub const LIVE_BATCH: usize = 1_000;
/// Messages of the live feed are told from their repetitions this long …
pub const LIVE_KEPT: Duration = Duration::from_secs(600);
/// … of at most this many groups …
pub const LIVE_GROUPS: usize = 10_000;
/// … and at most this many of each.
pub const LIVE_MESSAGES: usize = 1_000;
/// After a gap of the live feed the history is asked for this often …
pub const LIVE_ASK_PAUSE: Duration = Duration::from_millis(750);
/// … for this long: its rows come later than the trades.
pub const LIVE_HURRY: Duration = Duration::from_secs(5);
/// Others who do not say the same of an exit are asked again after this, then after twice as long …
pub const WITNESS_FIRST: Duration = Duration::from_millis(500);
/// … and at last this often, until they do.
pub const WITNESS_LAST: Duration = Duration::from_secs(30);
/// Without a chain, sales that long before a newer one are counted back again with it, and newest sales no older than twice
/// as long when they are looked at: what positions showed at first may have been newer than all rows.
pub const COUNTED_AGAIN: Duration = Duration::from_secs(300);
/// An exit whose balances cannot be read is decided as unknown after this long.
pub const BALANCE_PATIENCE: Duration = Duration::from_secs(600);
/// Sales of a token whose balances could not be read when they were decided, read again in one look.
pub const SALES_READ_AGAIN: usize = 32;
/// State of blocks that old may be pruned by nodes that keep no archive (128 blocks on Polygon are 4 min).
pub const STATE_KEPT: Duration = Duration::from_secs(120);
/// Redemptions whose payouts are asked for at once.
pub const REDEMPTIONS_AT_ONCE: usize = 8;
/// A redemption whose payouts nobody told is asked for again after this, then after twice as long …
pub const PAYOUT_FIRST: Duration = Duration::from_secs(2);
/// … and at last this often.
pub const PAYOUT_LAST: Duration = Duration::from_secs(300);
/// What is held, to be redeemed once it is resolved, is read this often.
pub const HOLDINGS_EVERY: Duration = Duration::from_secs(5);
/// Whether a condition of which shares are held is resolved is asked again after this, then after twice as long …
pub const REDEEM_FIRST: Duration = Duration::from_secs(2);
/// … and at last this often.
pub const REDEEM_LAST: Duration = Duration::from_secs(120);
/// A redemption that failed, or could not be begun, is begun again after [`REDEEM_FIRST`], at last this often.
pub const REDEEM_AGAIN_LAST: Duration = Duration::from_secs(3_600);
/// An open transaction of a wallet is looked at after this, then after twice as long …
pub const TRANSACTION_FIRST: Duration = Duration::from_secs(1);
/// … and at last this often.
pub const TRANSACTION_LAST: Duration = Duration::from_secs(15);
/// A transaction of a wallet that is open after this is stuck: people are told, and an EOA offers more. Polygon takes
/// two seconds for a block.
pub const TRANSACTION_STUCK: Duration = Duration::from_secs(90);
/// Attempts of one transaction at ever higher fees.
pub const FEE_ATTEMPTS: u32 = 8;
/// Deadline of preparing, sending or looking up a transaction of a wallet, all its questions included.
pub const REDEEM_DEADLINE: Duration = Duration::from_secs(60);
/// An EOA redeems for at least this: less does not pay for the gas.
pub const REDEEM_LEAST: Usd = Usd(10_000);
/// Whoever claims a periodic task has it this long; what it does at once takes far less.
pub const TASK_LEASE: Duration = Duration::from_secs(60);
/// A periodic task that failed is tried again after this, then after twice as long …
pub const TASK_RETRY_FIRST: Duration = Duration::from_secs(60);
/// … and at last this often.
pub const TASK_RETRY_LAST: Duration = Duration::from_secs(3_600);
/// Old events are looked for this often.
pub const PRUNE_EVENTS_EVERY: Duration = Duration::from_secs(3_600);
/// Events that every subscriber has read are kept this long.
pub const EVENTS_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Events looked at and removed in one transaction.
pub const PRUNE_BATCH: usize = 1_000;
/// Old skips are looked for this often.
pub const SUM_SKIPS_EVERY: Duration = Duration::from_secs(3_600);
/// Skips are kept one by one for this long, then as sums.
pub const SKIPS_KEPT: Duration = Duration::from_secs(90 * 24 * 3_600);
/// Decisions looked at, and old skips among them removed, in one transaction.
pub const SUM_BATCH: usize = 1_000;
/// Groups judged for finality in one step.
pub const FINALITY_BATCH: usize = 500;
/// A book put together from a feed is answered when it was heard of within this time; else the venue is asked.
pub const BOOK_FRESH_FOR: Duration = Duration::from_secs(5);
/// Between two requests for a snapshot of the same token.
pub const BOOK_REFRESH_PAUSE: Duration = Duration::from_secs(5);
/// Books of tokens that nobody asked for within this time are not followed any more, unless they are held.
pub const BOOK_KEPT: Duration = Duration::from_secs(1_800);
/// Markets whose rules are remembered; new ones open every few minutes, for ever.
pub const MARKETS_REMEMBERED: usize = 20_000;
/// Books followed at once, those asked for most recently; ten sockets full.
pub const BOOKS_FOLLOWED: usize = 5_000;
/// Which tokens are held is read this often.
pub const HELD_TOKENS_EVERY: Duration = Duration::from_secs(30);
/// Orders that a line of the log names, of those it is about.
pub const NAMED_IN_A_LINE: usize = 10;
