//! The venue's own copy of what a wallet holds and allows. After a deposit, an approval or a payout it is old until
//! the venue is asked to look again.
//!
//! Source: the official clients (`update_balance_allowance`), docs (`/balance-allowance`).

use std::collections::BTreeMap;

use domain::{TokenId, TradingAccount};
use engine::ports::{detection::Lane, venue::VenueError};
use reqwest::Method;
use serde::Deserialize;

use crate::{
    clob::Clob,
    http::{Answer, malformed},
    limits::{MAX_ALLOWANCE, MAX_TEXT},
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

    /// Whether the exchanges may move a wallet's dollars, or its shares of a token, as the venue sees it.
    pub(crate) async fn is_allowed(
        &self,
        account: &TradingAccount,
        token: Option<TokenId>,
    ) -> Result<bool, VenueError> {
        allows(&self.balance(account, (Endpoint::Balance, READ), token).await?)
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

/// Whether every spender that is named has an allowance.
fn allows(answer: &Answer) -> Result<bool, VenueError> {
    let what = "GET /balance-allowance";
    let body: Body = answer.json(what)?;
    let mut all = !body.allowances.is_empty();
    for allowance in body.allowances.values() {
        let digits = !allowance.is_empty() && allowance.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || allowance.len() > MAX_ALLOWANCE {
            let shown: String = allowance.chars().take(MAX_TEXT).collect();
            return Err(malformed(what, &format!("`{shown}` is no allowance")));
        }
        all &= allowance.bytes().any(|byte| byte != b'0');
    }
    Ok(all)
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

    #[test]
    fn an_approval_is_missing_when_one_spender_has_none() {
        let most = alloy_primitives::U256::MAX.to_string();
        for (allowances, expected) in [
            (format!(r#"{{"0x1":"{most}"}}"#), true),
            (format!(r#"{{"0x1":"{most}","0x2":"0"}}"#), false),
            (r#"{"0x1":"000"}"#.to_owned(), false),
            ("{}".to_owned(), false),
        ] {
            let body = format!(r#"{{"balance":"5","allowances":{allowances}}}"#);
            assert_eq!(allows(&Answer::of(200, body)), Ok(expected), "{allowances}");
        }
        for body in [
            "",
            "{}",
            r#"{"allowances":[]}"#,
            r#"{"allowances":{"0x1":""}}"#,
            r#"{"allowances":{"0x1":"-1"}}"#,
        ] {
            assert!(matches!(allows(&Answer::of(200, body)), Err(VenueError::Malformed { .. })), "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..200)
        ) {
            let _ = allows(&Answer::of(status, body));
        }
    }
}
