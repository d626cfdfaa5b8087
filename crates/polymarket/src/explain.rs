//! What is known about the cause of a refusal beside the order: the venue's copy of the balances, its version, the
//! place where it sees this program. Asks; changes nothing of an order, and never makes an outcome certain.

use std::time::Duration;

use domain::{Side, TokenId, TradingAccount};
use eip712::Exchange;
use engine::{
    deadline::{venue_call, within},
    ports::venue::{PostReply, PreparedOrder, RejectReason},
};
use serde::Deserialize;

use crate::{
    answers::Topic,
    clob::{Clob, clock_hint},
    http::Answer,
    limits::{EXPLAIN_DEADLINE, EXPLAIN_MARGIN},
};

/// Words of a refusal that is about the balance and nothing else.
const BALANCE: &str = "balance is not enough";

/// The answer to one request, in which each thing is asked once however many orders were refused.
pub(crate) struct Explaining<'a> {
    clob: &'a Clob,
    account: &'a TradingAccount,
    /// Whether the answer's status is 403: by the venue, or by the front end before it.
    forbidden: bool,
    /// Whether the venue trades with this place, and what it says of it.
    region: Option<(bool, String)>,
    /// By asset and exchange: whether it may be moved, once the venue has looked again.
    allowed: Vec<(Moved, Option<bool>)>,
    /// Uptime at which the caller gives the replies up: they must be told before, explained or not.
    ends: Duration,
}

/// That this program is too old for the venue concerns everybody: it takes more than one refusal to believe it.
fn unproven(reply: PostReply) -> PostReply {
    match reply {
        PostReply::Rejected { reason: RejectReason::OrderVersion, text } => {
            PostReply::Rejected { reason: RejectReason::Signature, text }
        }
        reply => reply,
    }
}

/// What is to be moved (a token's shares, or dollars), and the exchange that moves it, if that is known.
type Moved = (Option<TokenId>, Option<Exchange>);

/// The part of a request's body that tells what an order pays with.
#[derive(Deserialize)]
struct Body {
    order: Order,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    token_id: TokenId,
    side: Side,
}

impl<'a> Explaining<'a> {
    pub(crate) fn of(
        clob: &'a Clob,
        account: &'a TradingAccount,
        answer: Option<&Answer>,
        ends: Duration,
    ) -> Self {
        let forbidden = answer.is_some_and(|answer| answer.status == 403);
        Self { clob, account, forbidden, region: None, allowed: Vec::new(), ends }
    }

    /// The reply with its cause; the reply alone where there is no time left to ask for it.
    pub(crate) async fn explained(&mut self, order: &PreparedOrder, reply: PostReply) -> PostReply {
        let clock = self.clob.clock.as_ref();
        let left = self.ends.saturating_sub(clock.uptime()).saturating_sub(EXPLAIN_MARGIN);
        if left.is_zero() {
            return unproven(reply);
        }
        let asked = self.asked(order, reply.clone());
        within(clock, left, asked).await.unwrap_or_else(|_| unproven(reply))
    }

    async fn asked(&mut self, order: &PreparedOrder, reply: PostReply) -> PostReply {
        match reply {
            PostReply::Rejected { reason, text } => self.refusal(order, reason, text).await,
            // Cloudflare refuses blocked places with a page of its own, which says nothing about the order.
            PostReply::Unknown { text, .. } if self.forbidden => {
                let (blocked, region) = self.region().await;
                PostReply::Unknown { text: format!("{text} ({region})"), blocked }
            }
            reply => reply,
        }
    }

    async fn refusal(&mut self, order: &PreparedOrder, reason: RejectReason, text: String) -> PostReply {
        let clob = self.clob;
        let (reason, hint) = match reason {
            RejectReason::Money | RejectReason::Approval => match self.allowed(order).await {
                // That it is the balance may be said in so many words.
                Some(false) if !text.to_ascii_lowercase().contains(BALANCE) => (
                    RejectReason::Approval,
                    "an approval is missing; `slipstream account check` names it".to_owned(),
                ),
                Some(_) => (RejectReason::Money, "the venue has looked at the wallet again".to_owned()),
                None => (reason, "the venue could not be asked to look at the wallet again".to_owned()),
            },
            // The venue refuses a wrong date in the words of wrong credentials.
            RejectReason::Credentials => {
                return PostReply::Rejected { reason, text: text + &clock_hint(clob.clock.now()) };
            }
            RejectReason::OrderVersion => clob.judge_version().await,
            RejectReason::WalletKind => {
                let kind = self.account.kind;
                (
                    reason,
                    format!("the account's wallet is a {kind:?} wallet; the venue wants deposit wallets"),
                )
            }
            RejectReason::Region => (reason, self.region().await.1),
            _ => return PostReply::Rejected { reason, text },
        };
        PostReply::Rejected { reason, text: format!("{text} ({hint})") }
    }

    async fn region(&mut self) -> (bool, String) {
        if self.region.is_none() {
            self.region = Some(match &self.clob.geoblock {
                Some(geoblock) => match self.clob.answers.counted(Topic::Region, geoblock.region()).await {
                    Ok(region) => (region.blocked, region.to_string()),
                    Err(error) => (false, error.to_string()),
                },
                None => (false, "where the venue sees this program is not asked".to_owned()),
            });
        }
        self.region.clone().unwrap_or_default()
    }

    /// Has the venue look again at what an order pays with, and reads whether it may be moved; `None` if that cannot
    /// be known soon.
    async fn allowed(&mut self, order: &PreparedOrder) -> Option<bool> {
        let Body { order } = serde_json::from_slice(&order.body).ok()?;
        let asset = (order.side == Side::Sell).then_some(order.token_id);
        let clob = self.clob;
        let exchange = clob.known_exchange(order.token_id);
        if let Some((_, known)) = self.allowed.iter().find(|(known, _)| *known == (asset, exchange)) {
            return *known;
        }
        let ask = async {
            clob.look_again(self.account, asset).await?;
            match exchange {
                Some(exchange) => clob.is_allowed(self.account, asset, exchange).await,
                None => Ok(None),
            }
        };
        let ask = venue_call(clob.clock.as_ref(), "balances", EXPLAIN_DEADLINE, ask);
        let allowed = match clob.answers.counted(Topic::Balances, ask).await {
            Ok(allowed) => allowed,
            Err(error) => {
                tracing::warn!(account = %self.account.id, %error, "the venue's copy of a wallet is not read anew");
                None
            }
        };
        self.allowed.push(((asset, exchange), allowed));
        allowed
    }
}
