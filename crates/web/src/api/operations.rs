//! Every operation of the API: how it is called, what it takes and gives, who carries it out.

use axum::routing::{MethodRouter, delete, get, patch, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{
    reads::{self, OrderAnswer, PageOf, Session, TradeAnswer, WorkAnswer},
    writes::{
        self, AddAccount, AddLeader, Edit, FollowBody, FollowedAnswer, PanicAnswer, PanicBody, PolicyAnswer,
        PreviewBody, Said,
    },
};
use crate::{
    Shared,
    read::{
        AccountLine, ActivityPage, Curve, HoldLine, Home, LeaderLine, LeaderPage, Previewed,
        RelationshipLine, Results,
    },
};

/// How a body or a query is described.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// One operation.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// Its name for programs.
    pub(super) id: &'static str,
    /// What it does.
    pub(super) summary: &'static str,
    /// Whether it is asked page by page.
    pub(super) paged: bool,
    pub(super) body: Option<Shape>,
    pub(super) status: u16,
    pub(super) answer: Shape,
    pub(super) handler: fn() -> MethodRouter<Shared>,
}

fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn reads_at(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    answer: Shape,
    handler: fn() -> MethodRouter<Shared>,
) -> Operation {
    Operation { method: "get", path, id, summary, paged: false, body: None, status: 200, answer, handler }
}

const fn writes_at(
    (method, path): (&'static str, &'static str),
    id: &'static str,
    summary: &'static str,
    (body, status, answer): (Option<Shape>, u16, Shape),
    handler: fn() -> MethodRouter<Shared>,
) -> Operation {
    Operation { method, path, id, summary, paged: false, body, status, answer, handler }
}

/// All of them.
pub(super) const OPERATIONS: &[Operation] = &[
    reads_at("/session", "session", "Who asks, and the token that writes carry", shape::<Session>, || {
        get(reads::session)
    }),
    reads_at(
        "/home",
        "home",
        "Equity, today's result, newest answers, holds in force",
        shape::<Home>,
        || get(reads::home),
    ),
    reads_at("/curve", "curve", "The booked result over time", shape::<Curve>, || get(reads::curve)),
    reads_at("/leaders", "leaders", "Leaders that are known here", shape::<Vec<LeaderLine>>, || {
        get(reads::leaders)
    }),
    writes_at(
        ("post", "/leaders"),
        "addLeader",
        "Know a wallet as a leader without copying it yet",
        (Some(shape::<AddLeader>), 201, shape::<Said>),
        || post(writes::add_leader),
    ),
    reads_at(
        "/leaders/{wallet}",
        "leader",
        "A leader's newest trades and our answers",
        shape::<LeaderPage>,
        || get(reads::leader),
    ),
    reads_at(
        "/relationships",
        "relationships",
        "Who copies whom, how, and what it came to",
        shape::<Vec<RelationshipLine>>,
        || get(reads::relationships),
    ),
    writes_at(
        ("post", "/relationships"),
        "follow",
        "Copy a leader with an account",
        (Some(shape::<FollowBody>), 201, shape::<FollowedAnswer>),
        || post(writes::follow),
    ),
    reads_at(
        "/relationships/{relationship}",
        "relationship",
        "One relationship",
        shape::<RelationshipLine>,
        || get(reads::relationship),
    ),
    writes_at(
        ("patch", "/relationships/{relationship}"),
        "edit",
        "Change how a relationship copies",
        (Some(shape::<Edit>), 200, shape::<PolicyAnswer>),
        || patch(writes::edit),
    ),
    writes_at(
        ("post", "/relationships/{relationship}/pause"),
        "pause",
        "Copy nothing until resumed; once answered, nothing further is signed",
        (None, 200, shape::<Said>),
        || post(writes::pause),
    ),
    writes_at(
        ("post", "/relationships/{relationship}/resume"),
        "resume",
        "Copy again",
        (None, 200, shape::<Said>),
        || post(writes::resume),
    ),
    writes_at(
        ("post", "/relationships/{relationship}/stop"),
        "stop",
        "End a relationship for good",
        (None, 200, shape::<Said>),
        || post(writes::stop),
    ),
    writes_at(
        ("post", "/preview"),
        "preview",
        "What a leader's last ten trades would have become under a policy",
        (Some(shape::<PreviewBody>), 200, shape::<Previewed>),
        || post(writes::preview),
    ),
    Operation {
        paged: true,
        ..reads_at(
            "/activity",
            "activity",
            "Answers to leaders' trades, newest first",
            shape::<ActivityPage>,
            || get(reads::activity),
        )
    },
    reads_at(
        "/trades/{tx}",
        "trade",
        "A leader's transaction and every answer to it",
        shape::<TradeAnswer>,
        || get(reads::trade),
    ),
    reads_at("/orders/{order}", "order", "An order's story, stage by stage", shape::<OrderAnswer>, || {
        get(reads::order)
    }),
    reads_at(
        "/results",
        "results",
        "What is held, what it brought, what copying cost",
        shape::<Results>,
        || get(reads::results),
    ),
    Operation {
        paged: true,
        ..reads_at(
            "/ledger",
            "ledger",
            "Every change of cash and positions, oldest first",
            shape::<PageOf>,
            || get(reads::ledger),
        )
    },
    reads_at(
        "/accounts",
        "accounts",
        "Accounts and whether they may trade",
        shape::<Vec<AccountLine>>,
        || get(reads::accounts),
    ),
    writes_at(
        ("post", "/accounts"),
        "addPaperAccount",
        "Make an account with play money",
        (Some(shape::<AddAccount>), 201, shape::<Said>),
        || post(writes::add_account),
    ),
    reads_at("/holds", "holds", "What is held for a cause", shape::<Vec<HoldLine>>, || get(reads::holds)),
    writes_at(
        ("delete", "/holds/{hold}"),
        "lift",
        "Lift a hold; what users have paused stays paused",
        (None, 200, shape::<Said>),
        || delete(writes::lift),
    ),
    writes_at(
        ("post", "/panic"),
        "panic",
        "Buy nothing more; sell nothing more either, or only what leaders sell, or everything",
        (Some(shape::<PanicBody>), 200, shape::<PanicAnswer>),
        || post(writes::panic),
    ),
    reads_at("/work", "work", "Jobs, queue, sources and providers", shape::<WorkAnswer>, || get(reads::work)),
];
