-- The first schema. Conventions, the same on every database:
-- money, shares and prices are millionths, time is microseconds since the Unix epoch, hashes, addresses
-- and token ids are bytes, enumerations are the numbers of crates/store/src/codes.rs. Text is for people,
-- for names given from outside, and for the JSON of policies, markets, snapshots and events.
-- Every row that belongs to somebody names its owner.

-- ---------------------------------------------------------------- the installation

CREATE TABLE installation (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    schema_version  INTEGER NOT NULL,
    -- The oldest schema whose programs may still work on it (docs/decisions/0026-expand-then-contract.md).
    serves          INTEGER NOT NULL,
    software        TEXT    NOT NULL,
    commit_number   INTEGER NOT NULL,
    -- When it was last noticed that the database went back in time, or was restored.
    epoch           INTEGER NOT NULL,
    mark            BLOB    NOT NULL,
    -- Of the installation's secret, which is never here: the same in all processes.
    secret_check    BLOB
) STRICT;

-- Of each commit on a server: processes remember the newest one outside, to notice a database that went back in time.
CREATE TABLE commit_marks (
    number  INTEGER PRIMARY KEY,
    mark    INTEGER NOT NULL
) STRICT;

CREATE TABLE config_version (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    version  INTEGER NOT NULL
) STRICT;
INSERT INTO config_version (id, version) VALUES (1, 1);

-- Raised when money was booked or a reservation given back. A row of its own, because commits 1 and 2 hold
-- that of config_version.
CREATE TABLE booked_version (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    version  INTEGER NOT NULL
) STRICT;
INSERT INTO booked_version (id, version) VALUES (1, 1);

CREATE TABLE leases (
    name    TEXT    PRIMARY KEY,
    holder  TEXT,
    fence   INTEGER NOT NULL,
    until   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE instances (
    id        INTEGER PRIMARY KEY,
    name      TEXT    NOT NULL UNIQUE,
    began_at  INTEGER NOT NULL,
    ended_at  INTEGER,
    how       TEXT,
    -- The newest one that its program knows: what no longer serves it is not made while it runs.
    schema_version INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE tasks (
    name         TEXT    PRIMARY KEY,
    due          INTEGER NOT NULL,
    lease_until  INTEGER NOT NULL,
    holder       TEXT,
    fence        INTEGER NOT NULL,
    failures     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_id  INTEGER,
    at        INTEGER NOT NULL,
    event     TEXT    NOT NULL
) STRICT;

CREATE TABLE event_cursors (
    subscriber  TEXT    PRIMARY KEY,
    position    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- ---------------------------------------------------------------- who follows whom

CREATE TABLE owners (
    id          INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE accounts (
    id          INTEGER PRIMARY KEY,
    owner_id    INTEGER NOT NULL REFERENCES owners (id),
    label       TEXT    NOT NULL,
    mode        INTEGER NOT NULL,
    wallet      BLOB    NOT NULL UNIQUE,
    signer      BLOB    NOT NULL,
    kind        INTEGER NOT NULL,
    key_name    TEXT    NOT NULL,
    cap         INTEGER,
    created_at  INTEGER NOT NULL,
    removed_at  INTEGER
) STRICT;
CREATE INDEX accounts_by_owner ON accounts (owner_id);

CREATE TABLE account_cash (
    account_id  INTEGER PRIMARY KEY REFERENCES accounts (id),
    owner_id    INTEGER NOT NULL,
    cash        INTEGER NOT NULL
) STRICT;

-- How the keys below are opened, in words of the signer's. No secret.
CREATE TABLE key_header (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    header  TEXT    NOT NULL
) STRICT;

-- Keys of accounts with real money, sealed: every other column is authenticated with the key, and nothing here opens it.
CREATE TABLE sealed_keys (
    name        TEXT    PRIMARY KEY,
    owner_id    INTEGER NOT NULL REFERENCES owners (id),
    wallet      BLOB    NOT NULL UNIQUE,
    kind        INTEGER NOT NULL,
    until       INTEGER,
    signer      BLOB    NOT NULL,
    version     INTEGER NOT NULL,
    wrapped     BLOB    NOT NULL,
    sealed      BLOB    NOT NULL
) STRICT;

CREATE TABLE leaders (
    id        INTEGER PRIMARY KEY,
    wallet    BLOB    NOT NULL UNIQUE,
    baseline  INTEGER NOT NULL
) STRICT;

CREATE TABLE relationships (
    id              INTEGER PRIMARY KEY,
    owner_id        INTEGER NOT NULL REFERENCES owners (id),
    account_id      INTEGER NOT NULL REFERENCES accounts (id),
    leader_id       INTEGER NOT NULL REFERENCES leaders (id),
    status          INTEGER NOT NULL,
    policy_version  INTEGER NOT NULL,
    since           INTEGER NOT NULL
) STRICT;
CREATE INDEX relationships_by_leader ON relationships (leader_id);
CREATE INDEX relationships_by_owner ON relationships (owner_id);
-- Status 2 is stopped: an account may follow a leader again after it stopped.
CREATE UNIQUE INDEX relationships_once ON relationships (account_id, leader_id) WHERE status <> 2;

CREATE TABLE policies (
    relationship_id  INTEGER NOT NULL REFERENCES relationships (id),
    version          INTEGER NOT NULL,
    owner_id         INTEGER NOT NULL,
    policy           TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    PRIMARY KEY (relationship_id, version)
) STRICT;

CREATE TABLE holds (
    id           INTEGER PRIMARY KEY,
    owner_id     INTEGER,
    scope        INTEGER NOT NULL,
    scope_id     INTEGER NOT NULL,
    cause        INTEGER NOT NULL,
    reason       TEXT    NOT NULL,
    stops_exits  INTEGER NOT NULL,
    sells        INTEGER NOT NULL,
    placed_at    INTEGER NOT NULL,
    expires_at   INTEGER,
    lifted_at    INTEGER,
    -- The operator who placed it in the view copy_relationships of PostgreSQL.
    placed_by    TEXT,
    -- Whose surroundings are not right: the end of that one lifts it.
    instance_id  INTEGER REFERENCES instances (id)
) STRICT;
CREATE INDEX holds_not_lifted ON holds (scope, scope_id) WHERE lifted_at IS NULL;
CREATE INDEX holds_of_instances ON holds (instance_id) WHERE instance_id IS NOT NULL AND lifted_at IS NULL;
-- One of the view's for each relationship.
CREATE UNIQUE INDEX holds_of_view ON holds (scope_id) WHERE placed_by IS NOT NULL AND lifted_at IS NULL;

-- ---------------------------------------------------------------- what leaders do

CREATE TABLE markets (
    token      BLOB PRIMARY KEY,
    condition  BLOB NOT NULL,
    market     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE chain_headers (
    number  INTEGER PRIMARY KEY,
    hash    BLOB    NOT NULL,
    parent  BLOB    NOT NULL,
    time    INTEGER NOT NULL
) STRICT;

-- leader_id is 0 for sources of the installation.
CREATE TABLE cursors (
    source     INTEGER NOT NULL,
    leader_id  INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    PRIMARY KEY (source, leader_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE chain_fills (
    id          INTEGER PRIMARY KEY,
    block_hash  BLOB    NOT NULL,
    log_index   INTEGER NOT NULL,
    block       INTEGER NOT NULL,
    tx          BLOB    NOT NULL,
    order_id    BLOB    NOT NULL,
    wallet      BLOB    NOT NULL,
    token       BLOB    NOT NULL,
    side        INTEGER NOT NULL,
    shares      INTEGER NOT NULL,
    usd         INTEGER NOT NULL,
    fee         INTEGER NOT NULL,
    -- The leader whose group it counts for; the group's other parts are the fill's own.
    leader_id   INTEGER,
    canonical   INTEGER NOT NULL,
    UNIQUE (block_hash, log_index)
) STRICT;
CREATE INDEX chain_fills_by_order ON chain_fills (order_id);
CREATE INDEX chain_fills_by_group ON chain_fills (tx, leader_id) WHERE leader_id IS NOT NULL;

CREATE TABLE redemptions (
    id          INTEGER PRIMARY KEY,
    block_hash  BLOB    NOT NULL,
    log_index   INTEGER NOT NULL,
    block       INTEGER NOT NULL,
    owner_id    INTEGER NOT NULL,
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    condition   BLOB    NOT NULL,
    payout      INTEGER NOT NULL,
    canonical   INTEGER NOT NULL,
    booked_at   INTEGER,
    UNIQUE (block_hash, log_index)
) STRICT;
CREATE INDEX redemptions_unbooked ON redemptions (block, log_index) WHERE booked_at IS NULL;

CREATE TABLE trade_groups (
    id              INTEGER PRIMARY KEY,
    leader_id       INTEGER NOT NULL REFERENCES leaders (id),
    tx              BLOB    NOT NULL,
    token           BLOB    NOT NULL,
    action          INTEGER NOT NULL,
    chain_shares    INTEGER,
    chain_usd       INTEGER,
    history_shares  INTEGER NOT NULL,
    history_usd     INTEGER NOT NULL,
    live_shares     INTEGER NOT NULL,
    live_usd        INTEGER NOT NULL,
    chain_seen_at   INTEGER,
    history_seen_at INTEGER,
    live_seen_at    INTEGER,
    decided         INTEGER NOT NULL,
    inherited       INTEGER NOT NULL,
    given           INTEGER NOT NULL,
    parts           INTEGER NOT NULL,
    block           INTEGER,
    traded_at       INTEGER NOT NULL,
    first_seen_at   INTEGER NOT NULL,
    state           INTEGER NOT NULL,
    disputed        INTEGER,
    UNIQUE (tx, leader_id, token, action)
) STRICT;
CREATE INDEX trade_groups_related ON trade_groups (token, leader_id, action, first_seen_at);
-- A reorganisation takes back what the chain said of its blocks.
CREATE INDEX trade_groups_by_block ON trade_groups (block) WHERE chain_shares IS NOT NULL;
CREATE INDEX trade_groups_seen ON trade_groups (first_seen_at);
CREATE INDEX trade_groups_by_leader ON trade_groups (leader_id, first_seen_at);
-- State 0 is open.
CREATE INDEX trade_groups_open ON trade_groups (first_seen_at) WHERE state = 0;

CREATE TABLE trade_parts (
    id               INTEGER PRIMARY KEY,
    group_id         INTEGER NOT NULL REFERENCES trade_groups (id),
    part             INTEGER NOT NULL,
    added            INTEGER NOT NULL,
    kind             INTEGER NOT NULL,
    seen_at          INTEGER NOT NULL,
    snapshot         TEXT    NOT NULL,
    decided_through  INTEGER NOT NULL,
    complete         INTEGER NOT NULL,
    -- Skips that are in skip_sums instead of decisions.
    summed           INTEGER NOT NULL DEFAULT 0,
    UNIQUE (group_id, part)
) STRICT;
CREATE INDEX trade_parts_incomplete ON trade_parts (id) WHERE complete = 0;

CREATE TABLE exit_factors (
    leader_id     INTEGER NOT NULL,
    token         BLOB    NOT NULL,
    block         INTEGER NOT NULL,
    shares_before INTEGER NOT NULL,
    shares_after  INTEGER NOT NULL,
    PRIMARY KEY (leader_id, token, block)
) STRICT, WITHOUT ROWID;
CREATE INDEX exit_factors_by_block ON exit_factors (block);

-- What followers hold may differ from what they should hold, and no open exit answers that: to be looked at.
CREATE TABLE exit_revisits (
    relationship_id  INTEGER NOT NULL REFERENCES relationships (id),
    token            BLOB    NOT NULL,
    owner_id         INTEGER NOT NULL,
    due              INTEGER NOT NULL,
    tries            INTEGER NOT NULL,
    version          INTEGER NOT NULL,
    PRIMARY KEY (relationship_id, token)
) STRICT, WITHOUT ROWID;
CREATE INDEX exit_revisits_due ON exit_revisits (due);

-- Buys that followers leave to a sync with the leader's position. Kept when the sync was decided: none is synced twice.
CREATE TABLE missed_buys (
    relationship_id  INTEGER NOT NULL REFERENCES relationships (id),
    group_id         INTEGER NOT NULL REFERENCES trade_groups (id),
    owner_id         INTEGER NOT NULL,
    synced           INTEGER NOT NULL,
    PRIMARY KEY (relationship_id, group_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX missed_buys_to_sync ON missed_buys (relationship_id, group_id) WHERE synced = 0;

-- ---------------------------------------------------------------- what followers do

-- One row per follower of every trade: integers only, about 100 bytes with its index.
-- input_1 to input_7 and number_1 to number_4 are the fields of crates/store/src/decisions.rs.
CREATE TABLE decisions (
    id               INTEGER PRIMARY KEY,
    group_id         INTEGER NOT NULL,
    part             INTEGER NOT NULL,
    relationship_id  INTEGER NOT NULL,
    owner_id         INTEGER NOT NULL,
    policy_version   INTEGER NOT NULL,
    decided_at       INTEGER NOT NULL,
    inputs           INTEGER NOT NULL,
    input_1          INTEGER,
    input_2          INTEGER,
    input_3          INTEGER,
    input_4          INTEGER,
    input_5          INTEGER,
    input_6          INTEGER,
    input_7          INTEGER,
    answer           INTEGER NOT NULL,
    number_1         INTEGER,
    number_2         INTEGER,
    number_3         INTEGER,
    number_4         INTEGER,
    UNIQUE (group_id, part, relationship_id)
) STRICT;
CREATE INDEX decisions_by_owner ON decisions (owner_id, id);

-- Old skips, which are decisions no longer: how many on a day (since 1970) for a reason (decisions.answer).
CREATE TABLE skip_sums (
    relationship_id  INTEGER NOT NULL REFERENCES relationships (id),
    day              INTEGER NOT NULL,
    reason           INTEGER NOT NULL,
    owner_id         INTEGER NOT NULL,
    skips            INTEGER NOT NULL,
    PRIMARY KEY (relationship_id, day, reason)
) STRICT, WITHOUT ROWID;

-- Skips among the decisions up to this one are summed.
CREATE TABLE skips_summed (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    through  INTEGER NOT NULL
) STRICT;
INSERT INTO skips_summed (id, through) VALUES (1, 0);

-- Insert-only.
CREATE TABLE intents (
    id               INTEGER PRIMARY KEY,
    owner_id         INTEGER NOT NULL,
    account_id       INTEGER NOT NULL REFERENCES accounts (id),
    relationship_id  INTEGER NOT NULL REFERENCES relationships (id),
    leader_id        INTEGER NOT NULL,
    cause            INTEGER NOT NULL,
    -- Of a sync: what the leader sold up to this block is taken off already. Exits of other buys count from their group's.
    through_block    INTEGER,
    group_id         INTEGER NOT NULL,
    part             INTEGER NOT NULL,
    lane             INTEGER NOT NULL,
    token            BLOB    NOT NULL,
    condition        BLOB    NOT NULL,
    side             INTEGER NOT NULL,
    amount           INTEGER NOT NULL,
    limit_price      INTEGER NOT NULL,
    reserve          INTEGER NOT NULL,
    leader_price     INTEGER NOT NULL,
    traded_at        INTEGER NOT NULL,
    seen_at          INTEGER NOT NULL,
    decided_at       INTEGER NOT NULL,
    expires_at       INTEGER,
    UNIQUE (group_id, part, relationship_id)
) STRICT;
CREATE INDEX intents_that_sell ON intents (relationship_id, token) WHERE side = 1;

CREATE TABLE intent_ends (
    intent_id  INTEGER PRIMARY KEY REFERENCES intents (id),
    owner_id   INTEGER NOT NULL,
    reason     INTEGER NOT NULL,
    at         INTEGER NOT NULL
) STRICT;

-- What became of jobs that waited, insert-only. Operators: act 0 set aside, 1 put back, 2 given up. A worker: 3 a dead letter.
CREATE TABLE queue_history (
    id         INTEGER PRIMARY KEY,
    intent_id  INTEGER NOT NULL REFERENCES intents (id),
    owner_id   INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    act        INTEGER NOT NULL,
    who        TEXT    NOT NULL,
    reason     TEXT    NOT NULL
) STRICT;
CREATE INDEX queue_history_by_intent ON queue_history (intent_id);

-- What is still to be done about an intent: state 0 waits to be signed, 1 settles its newest attempt, 2 is set aside, 3 failed
-- too often. Deleted at the end.
CREATE TABLE work (
    intent_id    INTEGER PRIMARY KEY,
    owner_id     INTEGER NOT NULL,
    state        INTEGER NOT NULL,
    lane         INTEGER NOT NULL,
    due          INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    fence        INTEGER NOT NULL,
    holder       INTEGER,
    lease_until  INTEGER NOT NULL,
    -- For reasons of its own, while it waited.
    failures     INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX work_due ON work (state, lane, due);

CREATE TABLE reservations (
    intent_id        INTEGER PRIMARY KEY,
    owner_id         INTEGER NOT NULL,
    account_id       INTEGER NOT NULL,
    relationship_id  INTEGER NOT NULL,
    condition        BLOB    NOT NULL,
    usd              INTEGER NOT NULL
) STRICT;
CREATE INDEX reservations_by_account ON reservations (account_id);

-- Insert-only: identity and bytes of every order, before its first byte is sent.
CREATE TABLE signed_orders (
    id            INTEGER PRIMARY KEY,
    owner_id      INTEGER NOT NULL,
    intent_id     INTEGER NOT NULL REFERENCES intents (id),
    attempt       INTEGER NOT NULL,
    order_id      BLOB    NOT NULL UNIQUE,
    body          BLOB    NOT NULL,
    maker         INTEGER NOT NULL,
    taker         INTEGER NOT NULL,
    limit_price   INTEGER NOT NULL,
    salt          INTEGER NOT NULL,
    stamped_at    INTEGER NOT NULL,
    signed_at     INTEGER NOT NULL,
    resend_until  INTEGER NOT NULL,
    -- By the store's clock, as leases are: the signer's may differ from that of whoever sends the same bytes again.
    committed_at  INTEGER NOT NULL,
    UNIQUE (intent_id, attempt)
) STRICT;

-- unbooked is 1 while canonical fills have changed since the last update.
CREATE TABLE order_status (
    attempt_id    INTEGER PRIMARY KEY REFERENCES signed_orders (id),
    owner_id      INTEGER NOT NULL,
    state         INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    unbooked      INTEGER NOT NULL,
    reply_shares  INTEGER NOT NULL,
    reply_usd     INTEGER NOT NULL,
    reply_estimated INTEGER NOT NULL,
    unseen_for    INTEGER NOT NULL,
    looked_up_at  INTEGER,
    doubts        INTEGER NOT NULL,
    sent_at       INTEGER,
    replied_at    INTEGER,
    mined_at      INTEGER,
    confirmed_at  INTEGER
) STRICT;
CREATE INDEX order_status_unbooked ON order_status (attempt_id) WHERE unbooked = 1;
-- States 1 to 3 are unknown, live and delayed: posted, with an open outcome.
CREATE INDEX order_status_open ON order_status (attempt_id) WHERE state IN (1, 2, 3);

-- Orders at the venue that this installation did not place, each told once. Kept for ever: whoever forgot one would tell
-- of it again, and they are few, because a wallet is meant for one installation.
CREATE TABLE foreign_orders (
    order_id    BLOB    PRIMARY KEY,
    owner_id    INTEGER NOT NULL,
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    seen_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Orders that were lost when the database went back in time, found again at the venue, each booked once. The ledger says what
-- that did to positions. left_over belongs to the account and to no relationship. Kept for ever.
CREATE TABLE adopted_orders (
    order_id    BLOB    PRIMARY KEY,
    owner_id    INTEGER NOT NULL,
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    token       BLOB    NOT NULL,
    side        INTEGER NOT NULL,
    shares      INTEGER NOT NULL,
    usd         INTEGER NOT NULL,
    fee         INTEGER NOT NULL,
    left_over   INTEGER NOT NULL,
    adopted_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX adopted_orders_by_account ON adopted_orders (account_id);

-- What became of paper orders, written before anybody is told. Kept for ever: look-ups are answered from it.
CREATE TABLE paper_matches (
    order_id    BLOB    PRIMARY KEY,
    owner_id    INTEGER NOT NULL,
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    shares      INTEGER NOT NULL,
    usd         INTEGER NOT NULL,
    fee         INTEGER NOT NULL,
    at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE venue_trades (
    attempt_id  INTEGER NOT NULL REFERENCES signed_orders (id),
    trade_id    TEXT    NOT NULL,
    owner_id    INTEGER NOT NULL,
    status      INTEGER NOT NULL,
    shares      INTEGER NOT NULL,
    usd         INTEGER NOT NULL,
    fee         INTEGER NOT NULL,
    tx          BLOB,
    PRIMARY KEY (attempt_id, trade_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE send_permits (
    attempt_id   INTEGER NOT NULL REFERENCES signed_orders (id),
    instance_id  INTEGER NOT NULL REFERENCES instances (id),
    owner_id     INTEGER NOT NULL,
    fence        INTEGER NOT NULL,
    granted_at   INTEGER NOT NULL,
    returned_at  INTEGER,
    PRIMARY KEY (attempt_id, instance_id)
) STRICT, WITHOUT ROWID;

-- ---------------------------------------------------------------- what wallets do beside trading

-- Bytes are here before the first of them is sent. State 0 is signed, 1 taken: open. Kept for ever, as signed orders are:
-- what was signed with a key is evidence, and a redemption is one row for each condition.
CREATE TABLE wallet_transactions (
    id          INTEGER PRIMARY KEY,
    owner_id    INTEGER NOT NULL,
    account_id  INTEGER NOT NULL REFERENCES accounts (id),
    redemption  TEXT    NOT NULL,
    attempt     INTEGER NOT NULL,
    nonce       INTEGER NOT NULL,
    body        BLOB    NOT NULL,
    tx          BLOB,
    most_fee    INTEGER,
    tip         INTEGER,
    expires_at  INTEGER,
    relayer_id  TEXT,
    state       INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    signed_at   INTEGER NOT NULL,
    ended_at    INTEGER
) STRICT;
-- One open transaction for each wallet; of one nonce each attempt once.
CREATE UNIQUE INDEX wallet_transactions_open ON wallet_transactions (account_id, attempt) WHERE state < 2;

-- ---------------------------------------------------------------- the books

-- Insert-only. Sums of its rows are the positions and the cash.
CREATE TABLE ledger (
    id               INTEGER PRIMARY KEY,
    owner_id         INTEGER NOT NULL,
    account_id       INTEGER NOT NULL REFERENCES accounts (id),
    relationship_id  INTEGER,
    token            BLOB,
    intent_id        INTEGER,
    attempt_id       INTEGER,
    cause            INTEGER NOT NULL,
    shares           INTEGER NOT NULL,
    cash             INTEGER NOT NULL,
    cost             INTEGER NOT NULL,
    realised         INTEGER NOT NULL,
    fee              INTEGER NOT NULL,
    at               INTEGER NOT NULL
) STRICT;
CREATE INDEX ledger_by_owner ON ledger (owner_id, at);
CREATE INDEX ledger_by_intent ON ledger (intent_id, attempt_id) WHERE intent_id IS NOT NULL;

CREATE TABLE positions (
    relationship_id  INTEGER NOT NULL,
    token            BLOB    NOT NULL,
    owner_id         INTEGER NOT NULL,
    account_id       INTEGER NOT NULL REFERENCES accounts (id),
    condition        BLOB    NOT NULL,
    shares           INTEGER NOT NULL,
    cost             INTEGER NOT NULL,
    realised         INTEGER NOT NULL,
    fees             INTEGER NOT NULL,
    PRIMARY KEY (relationship_id, token)
) STRICT, WITHOUT ROWID;
CREATE INDEX positions_by_account ON positions (account_id);
CREATE INDEX positions_at_risk ON positions (relationship_id, token) WHERE cost > 0;
CREATE INDEX positions_held ON positions (token) WHERE shares > 0;

-- ---------------------------------------------------------------- who may do what

-- Of whatever lets somebody in there is a hash here, or a text that the installation's secret opens.
CREATE TABLE users (
    id           INTEGER PRIMARY KEY,
    owner_id     INTEGER NOT NULL UNIQUE REFERENCES owners (id),
    name         TEXT    NOT NULL UNIQUE,
    role         INTEGER NOT NULL,
    disabled_at  INTEGER,
    password     TEXT,
    totp         BLOB,
    totp_step    INTEGER NOT NULL,
    wallet       BLOB    UNIQUE,
    created_at   INTEGER NOT NULL,
    version      INTEGER NOT NULL
) STRICT;

CREATE TABLE recovery_codes (
    user_id   INTEGER NOT NULL REFERENCES users (id),
    hash      BLOB    NOT NULL,
    owner_id  INTEGER NOT NULL,
    PRIMARY KEY (user_id, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE passkeys (
    id          INTEGER PRIMARY KEY,
    owner_id    INTEGER NOT NULL,
    user_id     INTEGER NOT NULL REFERENCES users (id),
    credential  BLOB    NOT NULL UNIQUE,
    public_key  BLOB    NOT NULL,
    algorithm   INTEGER NOT NULL,
    counter     INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    used_at     INTEGER
) STRICT;
CREATE INDEX passkeys_by_user ON passkeys (user_id);

CREATE TABLE user_sessions (
    id          INTEGER PRIMARY KEY,
    owner_id    INTEGER NOT NULL,
    user_id     INTEGER NOT NULL REFERENCES users (id),
    hash        BLOB    NOT NULL UNIQUE,
    created_at  INTEGER NOT NULL,
    seen_at     INTEGER NOT NULL,
    proven_at   INTEGER,
    address     TEXT,
    agent       TEXT    NOT NULL
) STRICT;
CREATE INDEX user_sessions_by_user ON user_sessions (user_id);
CREATE INDEX user_sessions_by_age ON user_sessions (seen_at);

CREATE TABLE api_tokens (
    id          INTEGER PRIMARY KEY,
    owner_id    INTEGER NOT NULL,
    user_id     INTEGER NOT NULL REFERENCES users (id),
    hash        BLOB    NOT NULL UNIQUE,
    name        TEXT    NOT NULL,
    prefix      TEXT    NOT NULL,
    scopes      INTEGER NOT NULL,
    addresses   TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,
    used_at     INTEGER,
    revoked_at  INTEGER
) STRICT;
CREATE INDEX api_tokens_by_user ON api_tokens (user_id);

-- What works once, for a while: links, challenges, the second step of a sign-in.
CREATE TABLE tickets (
    hash     BLOB    PRIMARY KEY,
    purpose  INTEGER NOT NULL,
    user_id  INTEGER,
    role     INTEGER,
    until    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tickets_by_end ON tickets (until);

-- Wrong answers, by a hash of the name or address they belong to.
CREATE TABLE sign_in_attempts (
    hash      BLOB    PRIMARY KEY,
    failures  INTEGER NOT NULL,
    last_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sign_in_attempts_by_age ON sign_in_attempts (last_at);

-- Insert-only, but for addresses of users who are erased.
CREATE TABLE audit_log (
    id        INTEGER PRIMARY KEY,
    owner_id  INTEGER,
    user_id   INTEGER,
    at        INTEGER NOT NULL,
    address   TEXT,
    what      TEXT    NOT NULL,
    subject   TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_log_by_owner ON audit_log (owner_id, id);

-- ---------------------------------------------------------------- words of operators

-- What is let through, of a hundred; what is not here, everybody.
CREATE TABLE flags (
    name     TEXT    PRIMARY KEY,
    percent  INTEGER NOT NULL CHECK (percent BETWEEN 0 AND 100),
    set_at   INTEGER NOT NULL,
    who      TEXT    NOT NULL,
    reason   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Alerts that are not told before `until`.
CREATE TABLE silences (
    rule    TEXT    PRIMARY KEY,
    until   INTEGER NOT NULL,
    who     TEXT    NOT NULL,
    reason  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
