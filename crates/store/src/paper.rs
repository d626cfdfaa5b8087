//! What became of paper orders.

use async_trait::async_trait;
use domain::OrderId;
use engine::ports::{
    paper::{PaperBook, PaperMatch},
    store::{StoreError, StoreResult},
};

use crate::{
    SqlStore, accounts,
    column::Fields,
    sql::{self, values},
};

#[async_trait]
impl PaperBook for SqlStore {
    async fn keep_match(&self, one: &PaperMatch) -> StoreResult<bool> {
        const KEEP: &str = "INSERT INTO paper_matches (order_id, owner_id, account_id, shares, usd, fee, at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (order_id) DO NOTHING";
        let PaperMatch { order, account, shares, usd, fee, at } = *one;
        let mut write = self.write().await?;
        let Some(owner) = accounts::owner_of(write.connection(), account).await? else {
            return Err(StoreError::NotFound { what: "account", id: account.0 });
        };
        let values = values![order, owner, account, shares, usd, fee, at];
        let kept = sql::execute(write.connection(), KEEP, values).await? > 0;
        if kept {
            write.commit().await?
        } else {
            write.undo().await?
        }
        Ok(kept)
    }

    async fn find_match(&self, order: OrderId) -> StoreResult<Option<PaperMatch>> {
        const FIND: &str = "SELECT account_id, shares, usd, fee, at FROM paper_matches WHERE order_id = $1";
        let Some(row) = sql::row(&mut self.read().await?, FIND, values![order]).await? else {
            return Ok(None);
        };
        let mut fields = Fields::of(&row);
        Ok(Some(PaperMatch {
            order,
            account: fields.get()?,
            shares: fields.get()?,
            usd: fields.get()?,
            fee: fields.get()?,
            at: fields.get()?,
        }))
    }
}
