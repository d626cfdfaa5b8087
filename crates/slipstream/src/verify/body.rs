//! The stored bytes of an order, read back as the venue reads them.

use domain::{Hash, OrderPlan, OrderType};
use serde_json::Value;

/// The fields of a plan that travel, by the venue's names, as they stand in the JSON.
fn fields(plan: &OrderPlan) -> [(&'static str, String); 10] {
    [
        ("salt", plan.salt.to_string()),
        ("maker", plan.account.wallet.to_string()),
        ("signer", plan.signer_field().to_string()),
        ("tokenId", plan.token.to_string()),
        ("makerAmount", plan.amounts.maker.to_string()),
        ("takerAmount", plan.amounts.taker.to_string()),
        ("side", plan.side.to_string()),
        ("signatureType", plan.account.kind.signature_type().to_string()),
        ("timestamp", plan.timestamp.millis().to_string()),
        // Nothing of ours rests, so nothing has a date.
        ("expiration", "0".to_owned()),
    ]
}

/// What a body says that no stored field says.
pub(super) struct Beside {
    pub(super) order_type: OrderType,
    pub(super) builder: Hash,
}

/// Reads it; what cannot be read is as if it were not there.
pub(super) fn beside(body: &[u8]) -> Beside {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let order_type = match json.get("orderType").and_then(Value::as_str) {
        Some("FOK") => OrderType::FillOrKill,
        _ => OrderType::FillAndKill,
    };
    let builder = json.pointer("/order/builder").and_then(Value::as_str).and_then(|text| text.parse().ok());
    Beside { order_type, builder: builder.unwrap_or(Hash([0; 32])) }
}

/// How a type is written.
const fn type_name(order_type: OrderType) -> &'static str {
    match order_type {
        OrderType::FillAndKill => "FAK",
        OrderType::FillOrKill => "FOK",
        OrderType::GoodTillCancelled { .. } => "GTC",
        OrderType::GoodTillDate { .. } => "GTD",
    }
}

/// A field of a body that is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    pub(super) field: &'static str,
    pub(super) found: String,
    pub(super) expected: String,
}

/// Compares a body with the plan it was made of: every field that differs.
///
/// # Errors
/// In words, when the bytes are not the JSON of an order.
pub(super) fn mismatches(body: &[u8], plan: &OrderPlan) -> Result<Vec<Mismatch>, String> {
    let json: Value = serde_json::from_slice(body).map_err(|error| format!("not JSON ({error})"))?;
    let order = json.get("order").ok_or_else(|| "without `order`".to_owned())?;
    let mut found = Vec::new();
    let (order_type, expected) = (text_of(json.get("orderType")), type_name(plan.order_type));
    if order_type != expected {
        found.push(Mismatch { field: "orderType", found: order_type, expected: expected.to_owned() });
    }
    for (field, expected) in fields(plan) {
        let text = text_of(order.get(field));
        // Addresses may be written with capitals (checksums).
        if !text.eq_ignore_ascii_case(&expected) {
            found.push(Mismatch { field, found: text, expected });
        }
    }
    Ok(found)
}

/// Numbers stand as numbers or as text; the venue takes both.
fn text_of(value: Option<&Value>) -> String {
    match value {
        None => "missing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
