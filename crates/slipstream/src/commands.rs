//! Commands on a store: the same whether they come over the control socket or open the store themselves.

use std::{path::Path, sync::Arc};

use anyhow::{Context, ensure};
use domain::{Clock, ids::RelationshipId};
use engine::ports::{following::RelationshipStatus, store::Store};
use serde::{Deserialize, Serialize};
use store::SqliteStore;

use crate::{clock::SystemClock, socket};

/// Name of the database in a data directory.
pub const DATABASE: &str = "slipstream.db";

/// What can be asked of a running installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Is anybody there.
    Ping,
    /// The user pauses a relationship; once answered, nothing further is signed for it.
    Pause(RelationshipId),
    /// The user resumes it.
    Resume(RelationshipId),
    /// The user ends it for good.
    Stop(RelationshipId),
}

/// An answer for people and for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Text, as printed.
    pub text: String,
    /// The same as data.
    pub json: serde_json::Value,
}

/// Answers from a store.
///
/// # Errors
/// In words, with what to do.
pub async fn answer(store: &dyn Store, clock: &dyn Clock, request: &Request) -> anyhow::Result<Answer> {
    match request {
        Request::Ping => Ok(said("running", serde_json::json!({ "running": true }))),
        Request::Pause(id) => set_status(store, clock, *id, RelationshipStatus::Paused, "paused").await,
        Request::Resume(id) => set_status(store, clock, *id, RelationshipStatus::Active, "active").await,
        Request::Stop(id) => set_status(store, clock, *id, RelationshipStatus::Stopped, "stopped").await,
    }
}

/// Asks the running process of `data_dir`, or opens its store if none runs.
///
/// # Errors
/// In words, with what to do.
pub async fn ask(data_dir: &Path, request: &Request) -> anyhow::Result<Answer> {
    if let Some(answer) = socket::ask(data_dir, request).await? {
        return Ok(answer);
    }
    let path = data_dir.join(DATABASE);
    ensure!(path.exists(), "there is no Slipstream data in {}; give --data-dir", data_dir.display());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = SqliteStore::open(&path, Arc::clone(&clock)).await?;
    answer(&store, clock.as_ref(), request).await
}

async fn set_status(
    store: &dyn Store,
    clock: &dyn Clock,
    id: RelationshipId,
    status: RelationshipStatus,
    word: &str,
) -> anyhow::Result<Answer> {
    let relationships = store.relationships(None).await?;
    let found = relationships.iter().find(|relationship| relationship.id == id);
    let owner = found.with_context(|| format!("there is no relationship {id}"))?.owner;
    let changed = store.set_status(owner, id, status, clock.now()).await?;
    let text = if changed {
        format!("relationship {id} is {word} now")
    } else {
        format!("relationship {id} was {word} already")
    };
    Ok(said(&text, serde_json::json!({ "relationship": id, "status": word, "changed": changed })))
}

fn said(text: &str, json: serde_json::Value) -> Answer {
    Answer { text: text.to_owned(), json }
}
