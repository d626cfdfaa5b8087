//! Every limit of this crate, with its reason.

use std::time::Duration;

// Time. The deadline of an order post comes from the caller.

/// How far ahead the date of a good-till-date order lies at least. Source: docs (place orders).
pub const GTD_AHEAD: Duration = Duration::from_secs(180);
/// Connecting, including TLS.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// A look-up, cancellation or login.
pub const ACCOUNT_DEADLINE: Duration = Duration::from_secs(5);
/// What is asked about a refused order before the refusal is told: long enough for two calls.
pub const EXPLAIN_DEADLINE: Duration = Duration::from_secs(3);
/// What is left of a post's deadline when explaining ends, so that the replies are told in time.
pub const EXPLAIN_MARGIN: Duration = Duration::from_millis(250);
/// Market metadata and books.
pub const MARKET_DEADLINE: Duration = Duration::from_secs(4);
/// One page of the Data API.
pub const HISTORY_DEADLINE: Duration = Duration::from_secs(10);
/// One JSON-RPC call.
pub const RPC_DEADLINE: Duration = Duration::from_secs(10);
/// Connecting a websocket, TLS and upgrade included.
pub const SOCKET_CONNECT: Duration = Duration::from_secs(3);
/// Writing a frame to a websocket.
pub const SOCKET_SEND: Duration = Duration::from_secs(5);
/// A text `PING` this often, as the venue asks.
pub const PING_EVERY: Duration = Duration::from_secs(10);
/// A connection without `PONG` for this long is dead: three pings, as the official client counts.
pub const PONG_WITHIN: Duration = Duration::from_secs(30);
/// Pause before the first new attempt to connect; twice as long after each failure …
pub const RECONNECT_FIRST: Duration = Duration::from_millis(100);
/// … up to this, so that a connection is back within 2 s of the server's return.
pub const RECONNECT_LAST: Duration = Duration::from_secs(1);
/// A connection that lived this long was no failure.
pub const STEADY_AFTER: Duration = Duration::from_secs(10);
/// A market channel that tells nothing of its tokens for this long is made again: its snapshots show whether
/// nothing happened.
pub const MARKET_SILENCE: Duration = Duration::from_secs(60);
/// A user channel that tells nothing of its account's orders for this long, while one is open or was a moment ago, is made
/// again, and what it may not have told is looked up.
pub const USER_SILENCE: Duration = Duration::from_secs(60);
/// A text `PING` to the live trade feed this often. Source: npm @polymarket/real-time-data-client 1.4.0.
pub const LIVE_PING_EVERY: Duration = Duration::from_secs(5);
/// A live trade feed that says nothing at all for this long is dead.
pub const LIVE_PONG_WITHIN: Duration = Duration::from_secs(15);
/// A live trade feed that tells of no trade of anybody for this long has stalled, which it does with its socket open
/// and its pings answered (real-time-data-client #26, #35): on the venue several trades are made in every second.
pub const LIVE_SILENCE: Duration = Duration::from_secs(30);
/// A live trade feed that is older is made again: of its two kinds of messages one was seen to stop while the other
/// went on, and others who use it make it again as often.
pub const LIVE_OLDEST: Duration = Duration::from_secs(600);
/// A doorbell is asked whether it is there this often.
pub const BELL_PING_EVERY: Duration = Duration::from_secs(30);
/// A doorbell that says nothing at all for this long is dead.
pub const BELL_PONG_WITHIN: Duration = Duration::from_secs(60);
/// A doorbell that did not ring for this long is not believed: Polygon has a block every two seconds.
pub const BELL_BELIEVED: Duration = Duration::from_secs(6);
/// One that does not ring for this long is hung up anew.
pub const BELL_SILENCE: Duration = Duration::from_secs(15);
/// Longest wait believed when the venue names one.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);
/// What a builder charges is asked again after this.
pub const BUILDER_FEE_FRESH: Duration = Duration::from_secs(3_600);
/// And after this when it was not told; the one that was told last counts meanwhile.
pub const BUILDER_FEE_RETRY: Duration = Duration::from_secs(60);
/// An idle pooled connection is dropped before the venue's front end (about 60 s) drops it under us.
pub const POOL_IDLE: Duration = Duration::from_secs(45);

// Numbers.

/// An amount of shares or dollars above this is not read, in millionths: ten billion, many times what the venue
/// holds. Sums of what is read stay far within 64 bits.
pub const MAX_AMOUNT: i64 = 10_000_000_000 * domain::money::ONE;

// Pace. The venue's own limits are in [`crate::venue_limits`].

/// How much of each limit is used, in per cent: calls at 95 to 100 % of a published limit were seen to be
/// refused after about 16 s, at 90 % never (crate polyoxide-core 0.26.1, comments of its rate limiter).
pub const PACED_SHARE: u64 = 90;
/// The part of each pace that only exits and cancels may use, in per cent.
pub const KEPT_FOR_EXITS: u64 = 20;
/// The part of each pace that exits and cancels leave to everything else, in per cent.
pub const KEPT_FOR_ENTRIES: u64 = 10;
/// The venue's two windows.
pub const SHORT_WINDOW: Duration = Duration::from_secs(10);
/// The relayer's window. Source: crate polyoxide-core 0.26.1, `src/rate_limit.rs`.
pub const RELAYER_WINDOW: Duration = Duration::from_secs(60);
/// The longer one.
pub const LONG_WINDOW: Duration = Duration::from_secs(600);
/// A process that has just joined others keeps to one of so many parts, until they know of it: about as much as all leave
/// unused together ([`PACED_SHARE`]).
pub const JOINING: u32 = 10;
/// Slots in which the calls of a window are counted. A window is at most one slot too long.
pub const WINDOW_SLOTS: u32 = 100;
/// A refusal for the rate of calls without a time counts as this long.
pub const LIMITED_WITHOUT_TIME: Duration = Duration::from_secs(1);
/// Buckets of signers kept before idle ones are forgotten.
pub const IDLE_BUCKETS: usize = 20_000;

// Bytes of a response body.

/// Answers about one order, login or cancellation.
pub const SMALL_BODY: usize = 256 * 1024;
/// Books, markets and pages of trades.
pub const PAGE_BODY: usize = 8 * 1024 * 1024;
/// Logs of whole blocks. The busiest Polygon blocks hold about 2 MB of exchange logs.
pub const RPC_BODY: usize = 32 * 1024 * 1024;

// Text.

/// Characters of a foreign text that are kept in an error or reply.
pub const MAX_TEXT: usize = 300;
/// Bytes of an API key, passphrase or secret.
pub const MAX_CREDENTIAL: usize = 256;
/// Digits of an allowance: 2^256 has 78.
pub const MAX_ALLOWANCE: usize = 78;
/// Bytes of a number written as text.
pub const MAX_NUMBER: usize = 64;

// Counts.

/// Signatures asked of the signer in one call, as its port promises.
pub const SIGN_BATCH: usize = 500;
/// Logins at the same time: as many may hang before others wait for them. The venue allows 100 calls of its login group
/// in 10 s.
pub const LOGIN_PARALLEL: usize = 32;
/// Orders wait this long for a login after it began; the orders of other accounts wait with them.
pub const LOGIN_PATIENCE: Duration = Duration::from_secs(1);
/// Ids named in one cancellation. The venue allows 1,000 by one page of its documentation, 3,000 by another.
pub const CANCEL_BATCH: usize = 1_000;
/// Pages of `/data/orders` read in one look-up.
pub const MAX_ORDER_PAGES: usize = 20;
/// Addresses of accounts whose text is remembered.
pub const ADDRESSES_WRITTEN: usize = 50_000;
/// Rules of markets remembered for look-ups.
pub const RULES_CACHE: usize = 10_000;
/// Levels per side of a book.
pub const MAX_LEVELS: usize = 10_000;
/// Bytes of a websocket frame. A book of 10,000 levels per side is below 1 MB.
pub const MAX_FRAME: usize = 4 * 1024 * 1024;
/// Events in one frame. A subscription of 500 tokens is answered with as many books.
pub const MAX_FRAME_EVENTS: usize = 1_000;
/// Levels that one `price_change` event changes.
pub const MAX_FRAME_CHANGES: usize = 10_000;
/// Tokens per market socket: more are said to be cut off in silence. Source: widely reported.
pub const TOKENS_PER_SOCKET: usize = 500;
/// Batches of market news, and news of accounts, that wait for their reader; then sockets are read no further.
pub const FEED_BUFFER: usize = 1_024;
/// Pages of `/data/trades` read in one look-up.
pub const MAX_TRADE_PAGES: usize = 20;
/// Rows asked per page of v2 of the Data API (its maximum).
pub const V2_PAGE: usize = 1_000;
/// Rows asked per page of v1 `/activity` and `/positions` (their maximum).
pub const V1_PAGE: usize = 500;
/// Rows that could not be read and are remembered as told.
pub const MAX_TOLD_ROWS: usize = 256;
/// Rows of a page of v1's `/closed-positions`. Source: docs.polymarket.com, Data API.
pub const V1_CLOSED_PAGE: usize = 50;
/// How long after a trade positions may still show what was held before. Others saw 60 to 70 s.
pub const POSITIONS_LAG: Duration = Duration::from_secs(75);
/// The last offset that v1 takes.
pub const V1_LAST_OFFSET: usize = 10_000;
/// Pages read in one history call.
pub const MAX_HISTORY_PAGES: usize = 200;
/// Blocks asked in one `eth_getLogs`.
pub const LOG_RANGE: i64 = 500;
/// Wallets in one log filter: a list of topics that every large provider takes.
pub const LOG_WALLETS: usize = 250;
/// Balances asked in one `eth_call`; about 30,000 gas each, far below every provider's cap.
pub const BALANCE_BATCH: usize = 200;
/// How many milliseconds a market that holds takers does so. Source: docs (order lifecycle).
pub const TAKER_HOLD: u32 = 250;
/// The longest delay of a market's orders that is believed, in seconds.
pub const MAX_TAKER_DELAY: u32 = 120;
/// Largest exponent of a fee schedule that is believed.
pub const MAX_FEE_EXPONENT: i64 = 8;

/// Seconds a trade may be dated before its order was signed: the venue's clock against ours.
pub const TRADE_CLOCK_SLACK: i64 = 60;

// Providers of the chain.

/// Providers of one chain.
pub const MAX_PROVIDERS: usize = 16;
/// What a provider that was never asked is expected to take.
pub const FIRST_LATENCY: Duration = Duration::from_millis(200);
/// Another provider is asked as well no sooner than this …
pub const HEDGE_LEAST: Duration = Duration::from_millis(100);
/// … and no later, so that two that hang still leave the third an answer within 3 s.
pub const HEDGE_MOST: Duration = Duration::from_secs(1);
/// A provider must be better by this to be asked first instead of the one that was.
pub const CLEARLY_BETTER: Duration = Duration::from_millis(50);
/// Calls within this time count for the breaker …
pub const BREAKER_WINDOW: Duration = Duration::from_secs(10);
/// … if they are at least so many, and half of them failed or were slow.
pub const BREAKER_CALLS: usize = 20;
/// Or so many in a row.
pub const BREAKER_IN_A_ROW: u32 = 3;
/// A call that took longer was slow.
pub const SLOW_CALL: Duration = Duration::from_secs(2);
/// A provider rests this long, then twice as long …
pub const BREAKER_OPEN: Duration = Duration::from_secs(5);
/// … and at most this long.
pub const BREAKER_OPEN_LAST: Duration = Duration::from_secs(60);
/// A provider that answered wrongly is not believed for this long, then twice as long …
pub const ASIDE_FIRST: Duration = Duration::from_secs(60);
/// … and at most this long.
pub const ASIDE_LAST: Duration = Duration::from_secs(3_600);
/// Time from block to block on Polygon.
pub const BLOCK_TIME: Duration = Duration::from_secs(2);
/// Blocks that a head may be behind the best one (10 s).
pub const HEAD_LAG: i64 = 5;
/// A head told longer ago is not compared with.
pub const HEAD_KNOWN_FOR: Duration = Duration::from_secs(30);
/// Headers remembered of each provider, to see whether they link.
pub const HEADERS_REMEMBERED: usize = 64;
/// Least time between two calls to a provider that asked to slow down for the first time …
pub const PACE_FIRST: Duration = Duration::from_millis(50);
/// … and at most, after it asked again and again.
pub const PACE_LAST: Duration = Duration::from_secs(5);
/// After this long without being asked to slow down the time between two calls is halved.
pub const PACE_EASES_AFTER: Duration = Duration::from_secs(60);
/// A question waits at most this long for a provider that asked to slow down.
pub const PACE_WAIT: Duration = Duration::from_secs(2);
/// How often it is seen whose turn it is to be asked for its head.
pub const TEND_EVERY: Duration = Duration::from_secs(1);
/// A provider that is not asked otherwise is asked for its head this often (8,640 calls a day) …
pub const PROBE_EVERY: Duration = Duration::from_secs(10);
/// … and this often while no head rises.
pub const PROBE_WHEN_STALLED: Duration = Duration::from_secs(2);
/// A head that stands for two blocks may be the provider's fault.
pub const HEAD_STANDS_FOR: Duration = Duration::from_secs(4);
/// Deadline of such a question.
pub const PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// A second provider is given this long to say whether a block without logs has any.
pub const SECOND_LOOK: Duration = Duration::from_secs(1);
/// Deadline of all questions about an exit to one provider.
pub const WITNESS_DEADLINE: Duration = Duration::from_secs(5);

/// How many calls a day a provider is asked is told after this long.
pub const PACE_KNOWN_AFTER: Duration = Duration::from_secs(60);

// The relayer and wallets.

/// One call of the relayer, which simulates before it answers.
pub const RELAYER_DEADLINE: Duration = Duration::from_secs(30);
/// How long a question to the relayer waits for its turn, and for the relayer to take it.
pub const RELAYER_PATIENCE: Duration = Duration::from_secs(90);
/// How long a deposit wallet may execute what was signed. Source: the official clients.
pub const BATCH_DEADLINE: Duration = Duration::from_secs(600);
/// Gas of a proxy wallet's calls. Redeeming and all approvals at once take less.
pub const PROXY_GAS_LIMIT: u64 = 1_500_000;
/// A session key that ends sooner than this is told of: its owner has to act.
pub const SESSION_NOTICE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Calls of the chain at the same time while wallets are looked at.
pub const CALLS_IN_FLIGHT: usize = 8;
