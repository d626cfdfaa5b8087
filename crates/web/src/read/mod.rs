//! What pages and API tell, read for one tenant. The same values for both: pages write them for people, the API as they are.

mod activity;
mod home;
mod leaders;
mod preview;
mod relationships;
mod results;
mod values;

use std::collections::HashMap;

use domain::{
    Address, Shares, TokenId,
    ids::{AccountId, LeaderId, RelationshipId},
    money::LOT,
};
use engine::ports::{
    following::{Account, Hold, HoldScope, Relationship},
    store::Store,
};
use schemars::JsonSchema;
use serde::Serialize;
use story::{MarketName, concerns, market_names, wording};

pub(crate) use self::{
    activity::{ActivityLine, ActivityPage, OrderLine, TradePage, activity, order, trade},
    home::{Curve, Home, curve, home},
    leaders::{LeaderLine, LeaderPage, leader, leaders},
    preview::{Previewed, preview},
    relationships::{
        AccountLine, HoldLine, RelationshipLine, RelationshipPage, accounts, holds, relationship,
        relationships,
    },
    results::{Position, Results, results},
    values::Values,
};
use crate::{Tenant, problem::Problem};

/// What reading comes to.
pub(crate) type Read<T> = Result<T, Problem>;

/// A market, by its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct MarketLine {
    /// The question.
    pub(crate) title: String,
    /// The outcome of the token.
    pub(crate) outcome: String,
}

impl MarketLine {
    fn of(name: Option<&MarketName>) -> Self {
        match name {
            Some(MarketName { title, outcome, slug }) => {
                let named = [title, slug].into_iter().find(|name| !name.is_empty());
                let title = named.cloned().unwrap_or_else(|| NAMELESS.to_owned());
                Self { title, outcome: outcome.clone() }
            }
            None => Self { title: NAMELESS.to_owned(), outcome: String::new() },
        }
    }
}

/// What stands for a market that the venue has told no name of.
const NAMELESS: &str = "A market without a name";

/// Whether as much is held as can be sold; less is left over from rounding.
pub(crate) const fn is_open(shares: Shares) -> bool {
    shares.0 >= LOT.0 || shares.0 < 0
}

/// Names that stand beside numbers, of what a tenant may see.
pub(crate) struct Names {
    accounts: Vec<Account>,
    relationships: Vec<Relationship>,
    leaders: HashMap<LeaderId, Address>,
}

impl Names {
    pub(crate) async fn read(store: &dyn Store, tenant: Tenant) -> Read<Self> {
        let (accounts, relationships) =
            (store.accounts(tenant.owner()).await?, store.relationships(tenant.owner()).await?);
        let leaders = store.leaders().await?;
        Ok(Self {
            accounts,
            relationships,
            leaders: leaders.iter().map(|one| (one.id, one.wallet)).collect(),
        })
    }

    fn account(&self, id: AccountId) -> String {
        let found = self.accounts.iter().find(|account| account.trading.id == id);
        found.map_or_else(|| id.to_string(), |account| wording::harmless(&account.label))
    }

    fn relationship(&self, id: RelationshipId) -> Option<&Relationship> {
        self.relationships.iter().find(|relationship| relationship.id == id)
    }

    fn leader(&self, id: LeaderId) -> Option<Address> {
        self.leaders.get(&id).copied()
    }

    /// The account and the leader of a relationship.
    fn of(&self, id: RelationshipId) -> (String, Option<Address>) {
        match self.relationship(id) {
            Some(found) => (self.account(found.account), self.leader(found.leader)),
            None => (String::new(), None),
        }
    }

    /// Whether a hold is about anything of the tenant's.
    fn concerned(&self, hold: &Hold) -> bool {
        match hold.scope {
            HoldScope::Account(id) => self.accounts.iter().any(|account| account.trading.id == id),
            HoldScope::Installation => true,
            _ => self.relationships.iter().any(|relationship| concerns(hold, relationship)),
        }
    }
}

/// Names of the markets of these tokens.
async fn markets(
    store: &dyn Store,
    tokens: impl Iterator<Item = TokenId>,
) -> Read<HashMap<TokenId, MarketName>> {
    let markets = market_names(store, tokens).await?;
    Ok(markets.iter().map(|(token, market)| (*token, MarketName::of(market))).collect())
}
