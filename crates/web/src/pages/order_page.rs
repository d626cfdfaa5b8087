//! One order's story, stage by stage.

use askama::Template;
use axum::{Extension, extract::State};
use domain::{Timestamp, Usd};
use story::{OrderStory, Stage, StageLine};

use super::{Failed, Page, Shown, html};
use crate::{
    Shared, Tenant,
    guard::Token,
    problem::Problem,
    read::{self, OrderLine},
    show,
    written::Part,
};

#[derive(Template)]
#[template(path = "order.html")]
struct View {
    page: Page,
    story: OrderStory,
    line: OrderLine,
    account: String,
    difference: Usd,
    stages: Vec<StageView>,
}

/// A row of the waterfall.
struct StageView {
    name: &'static str,
    at: Option<Timestamp>,
    took: String,
    bar: String,
    meaning: &'static str,
}

pub(super) async fn page(
    State(web): State<Shared>,
    tenant: Tenant,
    Extension(token): Extension<Token>,
    Part(order): Part<String>,
) -> Shown {
    let page = |id: &str| Page::new("An order", &format!("/orders/{id}"), &token);
    let found = read::order(&web, tenant, &order).await.map_err(Failed::on(page("")))?;
    let amounts = |error| Failed::on(page(""))(Problem::from(error));
    let difference = found.story.order.price_difference().map_err(amounts)?;
    let stages = waterfall(&found.story.order.stages);
    let page = page(&found.story.order.id.to_string());
    Ok(html(&View { page, line: found.line, account: found.account, difference, stages, story: found.story }))
}

/// Two parts, each to its own scale: settling takes a thousand times as long as sending.
fn waterfall(lines: &[StageLine]) -> Vec<StageView> {
    let is_settling = |stage| matches!(stage, Stage::Mined | Stage::Confirmed);
    let (settling, sending): (Vec<StageLine>, Vec<StageLine>) =
        lines.iter().partition(|line| is_settling(line.stage));
    let begin = sending.first().and_then(|line| line.at);
    let sent = sending.iter().filter_map(|line| line.at).max();
    let mut rows = part(&sending, begin);
    rows.extend(part(&settling, sent));
    rows
}

fn part(lines: &[StageLine], begin: Option<Timestamp>) -> Vec<StageView> {
    let end = lines.iter().filter_map(|line| line.at).max();
    let whole = begin.zip(end).map_or(1, |(begin, end)| end.0.saturating_sub(begin.0).max(1));
    let thousandths =
        |micros: i64| i64::try_from(i128::from(micros.max(0)) * 1_000 / i128::from(whole)).unwrap_or(1_000);
    let row = |line: &StageLine| {
        let drawn = line.at.zip(begin).zip(line.delay_us).map(|((at, begin), delay)| {
            let from = at.0.saturating_sub(delay.max(0)).saturating_sub(begin.0);
            show::bar(thousandths(from), thousandths(delay), "")
        });
        StageView {
            name: line.stage.label(),
            at: line.at,
            took: show::span(line.delay_us),
            bar: drawn.unwrap_or_default(),
            meaning: meaning(line.stage),
        }
    };
    lines.iter().map(row).collect()
}

const fn meaning(stage: Stage) -> &'static str {
    match stage {
        Stage::Traded => "the leader's trade, dated by its block",
        Stage::Seen => "a source told of it",
        Stage::Decided => "the policy was applied to it and to the book",
        Stage::Signed => "bytes and id were stored before anything was sent",
        Stage::Sent => "the first byte went to the venue",
        Stage::Replied => "the venue answered",
        Stage::Mined => "first seen filled in a block",
        Stage::Confirmed => "that block is final",
    }
}
