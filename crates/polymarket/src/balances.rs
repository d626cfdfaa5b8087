//! The venue's own copy of what a wallet holds and allows. After a deposit, an approval or a payout it is old until
//! the venue is asked to look again.
//!
//! Source: the official clients (`update_balance_allowance`), docs (`/balance-allowance`).

use std::collections::BTreeMap;

use alloy_primitives::U256;
use domain::{Address, TokenId, TradingAccount};
use eip712::Exchange;
use engine::ports::{detection::Lane, venue::VenueError};
use reqwest::Method;
use serde::Deserialize;

use crate::{
    clob::Clob,
    http::{Answer, malformed, shorten},
    limits::MAX_ALLOWANCE,
    pace::Call,
    pacer::Endpoint,
};

const READ: &str = "/balance-allowance";
const UPDATE: &str = "/balance-allowance/update";

#[derive(Deserialize)]
struct Body {
    /// By spender.
    allowances: BTreeMap<String, String>,
}

impl Clob {
    /// Has the venue look at a wallet's dollars, or its shares of a token, again.
    pub(crate) async fn look_again(
        &self,
        account: &TradingAccount,
        token: Option<TokenId>,
    ) -> Result<(), VenueError> {
        let answer = self.balance(account, (Endpoint::BalanceUpdate, UPDATE), token).await?;
        if answer.is_success() { Ok(()) } else { Err(answer.error("GET /balance-allowance/update")) }
    }

    /// Whether an exchange may move a wallet's dollars, or its shares of a token, as the venue sees it; `None` if it does
    /// not tell.
    pub(crate) async fn is_allowed(
        &self,
        account: &TradingAccount,
        token: Option<TokenId>,
        exchange: Exchange,
    ) -> Result<Option<bool>, VenueError> {
        let answer = self.balance(account, (Endpoint::Balance, READ), token).await?;
        allows(&answer, exchange.address(self.chain))
    }

    async fn balance(
        &self,
        account: &TradingAccount,
        (endpoint, path): (Endpoint, &str),
        token: Option<TokenId>,
    ) -> Result<Answer, VenueError> {
        let asset = match token {
            None => "COLLATERAL".to_owned(),
            Some(token) if token.is_v3() => format!("CONDITIONAL-V2&token_id={token}"),
            Some(token) => format!("CONDITIONAL&token_id={token}"),
        };
        let query = format!("?asset_type={asset}&signature_type={}", account.kind.signature_type());
        let turn = Call { endpoint, lane: Lane::Exits, tokens: None };
        self.call(account, turn, (Method::GET, path, &query), Vec::new()).await
    }
}

/// Whether this spender has an allowance; `None` if nothing is said of it.
fn allows(answer: &Answer, spender: Address) -> Result<Option<bool>, VenueError> {
    let what = "GET /balance-allowance";
    let body: Body = answer.json(what)?;
    let mut allowed = None;
    for (name, allowance) in &body.allowances {
        let digits = allowance.len() <= MAX_ALLOWANCE && allowance.bytes().all(|byte| byte.is_ascii_digit());
        let number = allowance.parse::<U256>().ok().filter(|_| digits && !allowance.is_empty());
        let number =
            number.ok_or_else(|| malformed(what, &format!("`{}` is no allowance", shorten(allowance))))?;
        if name.parse() == Ok(spender) {
            allowed = Some(!number.is_zero());
        }
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        clob::tests::{account, clob, server},
        test_server::reply,
    };

    #[tokio::test]
    async fn each_asset_is_asked_for_as_the_venue_names_it() {
        let mut v3 = [0x10; 32];
        (v3[0], v3[31]) = (1, 0);
        v3[19..27].fill(0);
        for (token, asset, id) in [
            (None, "COLLATERAL", None),
            (Some(TokenId([0x11; 32])), "CONDITIONAL", Some(TokenId([0x11; 32]).to_string())),
            (Some(TokenId(v3)), "CONDITIONAL-V2", Some(TokenId(v3).to_string())),
        ] {
            let server = server(|_| reply(200, "")).await;
            clob(&server).look_again(&account(1), token).await.unwrap();
            let seen = server.seen();
            let request = seen.last().unwrap();
            assert_eq!((request.method.as_str(), request.path()), ("GET", UPDATE));
            assert_eq!(request.query("asset_type"), Some(asset));
            assert_eq!(request.query("token_id"), id.as_deref());
            assert_eq!(request.query("signature_type"), Some("0"));
        }
    }

    /// An approval of another exchange is missing, or there: that says nothing about this order.
    #[test]
    fn the_exchange_of_the_order_decides() {
        let spender = Exchange::NegRiskV2.address(eip712::Chain::Polygon);
        let most = alloy_primitives::U256::MAX.to_string();
        let other = Exchange::V3.address(eip712::Chain::Polygon);
        let upper = spender.to_string().to_ascii_uppercase().replacen("0X", "0x", 1);
        for (allowances, expected) in [
            (format!(r#"{{"{spender}":"{most}"}}"#), Some(true)),
            (format!(r#"{{"{upper}":"1"}}"#), Some(true)),
            (format!(r#"{{"{spender}":"{most}","{other}":"0"}}"#), Some(true)),
            (format!(r#"{{"{spender}":"000","{other}":"{most}"}}"#), Some(false)),
            (format!(r#"{{"{other}":"{most}"}}"#), None),
            ("{}".to_owned(), None),
        ] {
            let body = format!(r#"{{"balance":"5","allowances":{allowances}}}"#);
            assert_eq!(allows(&Answer::of(200, body), spender), Ok(expected), "{allowances}");
        }
        for body in [
            "",
            "{}",
            r#"{"allowances":[]}"#,
            r#"{"allowances":{"0x1":""}}"#,
            r#"{"allowances":{"0x1":"-1"}}"#,
        ] {
            let read = allows(&Answer::of(200, body), spender);
            assert!(matches!(read, Err(VenueError::Malformed { .. })), "{body}");
        }
    }

    /// Hostile sizes, depths and numbers.
    #[test]
    fn the_corpus_is_survived() {
        let spender = Exchange::V3.address(eip712::Chain::Polygon);
        let sample = format!(r#"{{"balance":"5000000","allowances":{{"{spender}":"7"}}}}"#);
        // Whatever stands in place of the number, only a number of more than nothing is an approval.
        let allowed = |bytes: &[u8]| {
            let told: serde_json::Value = serde_json::from_slice(bytes).ok()?;
            let written = told["allowances"][spender.to_string()].as_str().map(str::to_owned);
            Some((allows(&Answer::of(200, bytes), spender).ok()?, written))
        };
        crate::hostile::survives(&sample, allowed, |(allowed, written)| {
            let number = written.as_ref().and_then(|text| text.parse::<alloy_primitives::U256>().ok());
            *allowed != Some(true) || number.is_some_and(|number| !number.is_zero())
        });
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..200)
        ) {
            let _ = allows(&Answer::of(status, body), Address([7; 20]));
        }
    }
}
