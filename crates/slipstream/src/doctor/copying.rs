//! Who copies whom, and what is held.

use domain::Clock;
use engine::ports::{
    following::{Following as _, RelationshipStatus},
    reports::Reports as _,
    store::StoreResult,
};
use store::SqlStore;

use super::finding::Finding;
use crate::{holding::end_words, story::hold_words, wording::count};

const AREA: &str = "copying";

/// Looks at relationships and holds.
pub(super) async fn look(store: &SqlStore, clock: &dyn Clock) -> Vec<Finding> {
    match found(store, clock).await {
        Ok(findings) => findings,
        Err(error) => {
            vec![Finding::unknown((AREA, "relationships"), error.to_string(), "see the database above")]
        }
    }
}

async fn found(store: &SqlStore, clock: &dyn Clock) -> StoreResult<Vec<Finding>> {
    let relationships = store.relationships(None).await?;
    let number = |status| relationships.iter().filter(|one| one.status == status).count();
    let (active, paused) = (number(RelationshipStatus::Active), number(RelationshipStatus::Paused));
    let seen = format!("{active} active, {paused} paused, {} ended", number(RelationshipStatus::Stopped));
    let what = (AREA, "relationships");
    let mut findings = vec![match active {
        0 => Finding::warn(
            what,
            format!("nobody is copied: {seen}"),
            "`slipstream follow 0x…`, or `slipstream resume NUMBER`",
        ),
        _ => Finding::ok(what, seen),
    }];
    let holds = store.following(clock.now()).await?.holds;
    for hold in &holds {
        let fix = format!("when its cause is gone: {}", end_words(hold));
        findings.push(Finding::warn((AREA, format!("hold {}", hold.id)), hold_words(hold), fix));
    }
    if holds.is_empty() {
        findings.push(Finding::ok((AREA, "holds"), format!("{} in force", count(0, "hold"))));
    }
    Ok(findings)
}
