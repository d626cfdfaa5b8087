//! What is answered to `slipstream user` and `slipstream token`.

use access::{Access, Peer, Scopes, TokenId, TokenWish, UserId};
use anyhow::ensure;
use serde_json::{Value, json};

use super::{
    PeopleRequest, days,
    words::{token_line, user_line},
};
use crate::commands::Answer;

/// Users that a list shows.
const MOST: usize = 500;

/// Answers.
///
/// # Errors
/// In words, with what to do.
pub async fn answer(access: &Access, request: &PeopleRequest) -> anyhow::Result<Answer> {
    let here = Peer::default();
    match request {
        PeopleRequest::Invite(role) => invite(access, *role).await,
        PeopleRequest::Users => users(access).await,
        PeopleRequest::Disable { name, undo } => {
            let caller = access.on_this_machine(None).await?;
            let user = access.user_named(&caller, name).await?;
            if *undo {
                access.enable(&caller, user.id, &here).await?;
            } else {
                access.disable(&caller, user.id, &here).await?;
            }
            let word = if *undo { "may sign in again" } else { "is let in no more" };
            Ok(said(&format!("{} {word}", user.name), json!({ "user": user.name, "disabled": !undo })))
        }
        PeopleRequest::Reset { name, without_app } => reset(access, name, *without_app).await,
        PeopleRequest::MakeToken { user, name, scopes, addresses, days: for_days } => {
            let caller = access.on_this_machine(user.as_deref()).await?;
            let wish = TokenWish {
                name: name.clone(),
                scopes: Scopes::of(scopes),
                addresses: addresses.clone(),
                expires_at: for_days.map(|for_days| access.now().plus(days(for_days))),
            };
            let (secret, token) = access.make_token(&caller, wish, &here).await?;
            let text = format!(
                "{}\n  token {} of {}: keep it now, nobody can show it again",
                secret.reveal(),
                token.id,
                caller.name()
            );
            Ok(said(&text, json!({ "token": secret.reveal(), "id": token.id, "user": caller.name() })))
        }
        PeopleRequest::Tokens(user) => {
            let caller = access.on_this_machine(user.as_deref()).await?;
            let tokens = access.tokens(&caller).await?;
            let lines: Vec<String> = tokens.iter().map(|token| token_line(token).0).collect();
            let text =
                if lines.is_empty() { format!("{} has no token", caller.name()) } else { lines.join("\n") };
            Ok(said(&text, tokens.iter().map(|token| token_line(token).1).collect()))
        }
        PeopleRequest::Revoke { user, token } => {
            let caller = access.on_this_machine(user.as_deref()).await?;
            access.revoke_token(&caller, TokenId(*token), &here).await?;
            Ok(said(
                &format!("token {token} lets nobody in any more"),
                json!({ "token": token, "revoked": true }),
            ))
        }
    }
}

/// A link: the administrator's, where there is none, or an invitation.
async fn invite(access: &Access, role: access::Role) -> anyhow::Result<Answer> {
    ensure!(
        !access.settings().single_user,
        "the pages are for this machine alone and have one user, who needs no link: name the address that browsers use \
         ([access] origin), and there are accounts"
    );
    let origin = &access.settings().origin;
    if let Some(link) = access.set_up_link().await? {
        let link = format!("{origin}/set-up/{}", link.reveal());
        let text = format!(
            "{link}\n  makes the administrator; it works once, for a day. Others are invited after that"
        );
        return Ok(said(&text, json!({ "link": link, "role": "administrator" })));
    }
    let caller = access.on_this_machine(None).await?;
    let link = access.invite(&caller, role, &Peer::default()).await?;
    let link = format!("{origin}/sign-up/{}", link.reveal());
    let text = format!("{link}\n  makes one {role}; it works once");
    Ok(said(&text, json!({ "link": link, "role": role })))
}

async fn users(access: &Access) -> anyhow::Result<Answer> {
    let Ok(caller) = access.on_this_machine(None).await else {
        let text = "there is no user; `slipstream user invite` makes a link for the administrator";
        return Ok(said(text, json!([])));
    };
    let users = access.users(&caller, UserId(0), MOST).await?;
    let lines: Vec<String> = users.iter().map(|user| user_line(user).0).collect();
    Ok(said(&lines.join("\n"), users.iter().map(|user| user_line(user).1).collect()))
}

async fn reset(access: &Access, name: &str, without_app: bool) -> anyhow::Result<Answer> {
    let here = Peer::default();
    let caller = access.on_this_machine(None).await?;
    let user = access.user_named(&caller, name).await?;
    if without_app {
        let whose = access.on_this_machine(Some(name)).await?;
        access.remove_totp(&whose, &here).await?;
    }
    let link = access.reset_link(&caller, user.id, &here).await?;
    let link = format!("{}/reset/{}", access.settings().origin, link.reveal());
    let app = if without_app { "; no code of an app is asked for any more" } else { "" };
    let text = format!("{link}\n  sets another password of {}; it works once, for an hour{app}", user.name);
    Ok(said(&text, json!({ "link": link, "user": user.name })))
}

fn said(text: &str, json: Value) -> Answer {
    Answer { text: text.to_owned(), json, ok: true }
}
