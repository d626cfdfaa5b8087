//! What is held for a cause, and lifting it: `slipstream holds`, `slipstream lift`.

use anyhow::ensure;
use domain::{
    Clock,
    ids::{AccountId, HoldId},
};
use engine::ports::{
    following::{Hold, HoldCause, HoldScope},
    gateway::RejectReason,
    store::Store,
};
use serde_json::json;

use crate::{backup::has_real_money, cli::Installation, commands::Answer, story};

/// Arguments of `lift`.
#[derive(Debug, clap::Args)]
pub struct LiftArgs {
    /// Number of the hold.
    pub hold: i64,
    /// Lift a restore's hold although nobody has compared the wallets with the books: what was bought after the backup
    /// may be bought again.
    #[arg(long)]
    pub unchecked: bool,
    /// Where the installation is.
    #[command(flatten)]
    pub at: Installation,
}

/// A hold in words, by the name of the account, with what to do where that is known.
fn words_of(hold: &Hold, accounts: &[(AccountId, String)]) -> String {
    let words = story::hold_words(hold);
    let HoldScope::Account(id) = hold.scope else { return words };
    let Some((_, label)) = accounts.iter().find(|(account, _)| *account == id) else { return words };
    let words = words.replacen(&format!("account {id}"), &format!("account {id} (`{label}`)"), 1);
    let approval = hold.cause == HoldCause::Venue && hold.reason.contains(RejectReason::Approval.word());
    if approval {
        format!(
            "{words}\n  stop `run`, `slipstream account check {label} --approve`, `run`, `slipstream lift {}`",
            hold.id
        )
    } else {
        words
    }
}

/// How a hold ends, in words.
pub(crate) fn end_words(hold: &Hold) -> String {
    match hold.cause {
        HoldCause::Reconciliation => {
            "it stands until `slipstream run` has compared the wallets with the books".to_owned()
        }
        HoldCause::NotReady => {
            "it ends by itself when that is right, or with the process that says so".to_owned()
        }
        _ => format!("`slipstream lift {}` ends it", hold.id),
    }
}

/// What is held.
///
/// # Errors
/// Store errors.
pub(crate) async fn holds(store: &dyn Store, clock: &dyn Clock) -> anyhow::Result<Answer> {
    let holds = store.following(clock.now()).await?.holds;
    let accounts = store.accounts(None).await?;
    let labels: Vec<_> = accounts.into_iter().map(|account| (account.trading.id, account.label)).collect();
    Ok(told(&holds, &labels))
}

/// Holds in words, by the labels of accounts.
pub(crate) fn told(holds: &[Hold], accounts: &[(AccountId, String)]) -> Answer {
    let lines: Vec<String> = holds.iter().map(|hold| words_of(hold, accounts)).collect();
    let text = if lines.is_empty() { "nothing is held".to_owned() } else { lines.join("\n") };
    let ids: Vec<HoldId> = holds.iter().map(|hold| hold.id).collect();
    Answer { text, json: json!({ "holds": ids, "words": lines }), ok: true }
}

/// Lifts a hold. That of a restore stands until `run` has compared the wallets: it takes another one's place then.
///
/// # Errors
/// In words, with what to do.
pub(crate) async fn lift(
    store: &dyn Store,
    clock: &dyn Clock,
    id: HoldId,
    unchecked: bool,
) -> anyhow::Result<Answer> {
    let holds = store.following(clock.now()).await?.holds;
    let to_compare =
        holds.iter().any(|hold| hold.id == id && hold.cause == HoldCause::Reconciliation) && !unchecked;
    ensure!(
        !to_compare || !has_real_money(&store.accounts(None).await?),
        "hold {id} stands until the wallets were compared with the books: lifted now, what was bought after the backup could \
         be bought again. `slipstream run` compares them ([live] enabled, with an RPC provider), and says then which hold to \
         lift. `slipstream lift {id} --unchecked` lifts it all the same"
    );
    let lifted = store.lift_hold(None, id, clock.now()).await?;
    let text = if lifted {
        format!("hold {id} is lifted; what users have paused stays paused")
    } else {
        format!("hold {id} was not in force; `slipstream holds` lists those that are")
    };
    Ok(Answer { text, json: json!({ "hold": id, "lifted": lifted }), ok: lifted })
}
