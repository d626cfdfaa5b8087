//! Users and tokens in words, and as data.

use access::{ApiToken, Scope, User};
use serde_json::{Value, json};

/// A user.
pub(super) fn user_line(user: &User) -> (String, Value) {
    let ways = [
        user.password.is_some().then_some("password"),
        user.totp.is_some().then_some("app"),
        user.wallet.is_some().then_some("wallet"),
    ];
    let ways: Vec<&str> = ways.into_iter().flatten().collect();
    let by = if ways.is_empty() { "no password".to_owned() } else { ways.join(", ") };
    let off = user.disabled_at.map(|at| format!(", disabled since {at}")).unwrap_or_default();
    let text = format!("{:>4}  {}  {} ({by}){off}", user.id, user.name, user.role);
    let data = json!({
        "id": user.id, "name": user.name, "role": user.role, "ways": ways,
        "disabled_at": user.disabled_at.map(|at| at.to_string()), "since": user.created_at.to_string(),
    });
    (text, data)
}

/// A token, without its secret.
pub(super) fn token_line(token: &ApiToken) -> (String, Value) {
    let scopes: Vec<&str> = token.scopes.list().map(Scope::name).collect();
    let from: Vec<String> = token.addresses.iter().map(ToString::to_string).collect();
    let mut text = format!("{:>4}  {} …  {} ({})", token.id, token.prefix, token.name, scopes.join(", "));
    if !from.is_empty() {
        text.push_str(&format!(" from {}", from.join(", ")));
    }
    let times = [("used", token.used_at), ("ends", token.expires_at), ("revoked", token.revoked_at)];
    for (word, at) in times.into_iter().filter_map(|(word, at)| Some((word, at?))) {
        text.push_str(&format!(", {word} {at}"));
    }
    let data = json!({
        "id": token.id, "name": token.name, "prefix": token.prefix, "scopes": scopes, "addresses": from,
        "created_at": token.created_at.to_string(), "expires_at": token.expires_at.map(|at| at.to_string()),
        "used_at": token.used_at.map(|at| at.to_string()), "revoked_at": token.revoked_at.map(|at| at.to_string()),
    });
    (text, data)
}
