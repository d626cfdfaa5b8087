//! What held shares would bring now: the venue's best bids.

use std::{collections::BTreeSet, time::Duration};

use domain::{Clock, TokenId, ids::RelationshipId};
use engine::{
    deadline::within,
    ports::{detection::Lane, store::Store, venue::MarketData},
};
use futures_util::{StreamExt, stream};

use crate::Prices;

/// Books asked for at the same time.
const PARALLEL: usize = 16;
/// Tokens asked for, a bound on what the venue is asked for one command. The others have no price.
const TOKENS: usize = 300;
/// Everything is answered by then, or has no price: whoever asked waits.
const WITHIN: Duration = Duration::from_secs(10);

/// Best bids of the tokens that are held, through one relationship or through any; a token without a bid or an answer
/// has none.
///
/// # Errors
/// Store errors.
pub async fn of_held(
    store: &dyn Store,
    markets: &dyn MarketData,
    clock: &dyn Clock,
    relationship: Option<RelationshipId>,
) -> anyhow::Result<Prices> {
    let held = store.positions(None).await?;
    let tokens: BTreeSet<TokenId> = held
        .iter()
        .filter(|record| record.position.shares.is_positive())
        .filter(|record| relationship.is_none_or(|wanted| record.relationship == wanted))
        .map(|record| record.token)
        .collect();
    let mut prices = Prices::new();
    {
        let mut books = stream::iter(tokens.into_iter().take(TOKENS))
            .map(async |token| (token, markets.book(token, Lane::Entries).await))
            .buffer_unordered(PARALLEL);
        let read = async {
            while let Some((token, book)) = books.next().await {
                let bid = book.ok().flatten().and_then(|book| book.bids.first().map(|level| level.price));
                prices.extend(bid.map(|price| (token, price)));
            }
        };
        // What was answered until then counts.
        let _ = within(clock, WITHIN, read).await;
    }
    Ok(prices)
}
