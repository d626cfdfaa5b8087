//! What anybody may ask: books, prices, markets.

use serde_json::{Value, json};

use crate::{
    client::Language,
    venue::{Kind, Venue},
    witnessed,
};

witnessed! {
    public_data => typescript_reads_public_data, python_reads_public_data;
    balances => typescript_reads_balances, python_reads_balances;
}

/// A number, whether the venue wrote it as one or as text.
fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value} is no number"))
}

async fn public_data(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.stranger(language, 0).await;
    for kind in Kind::ALL {
        let token = kind.token();
        let of_token = json!({ "token": token });
        let book = client.ok("book", of_token.clone()).await;
        // Worst level first: the best one is the last.
        let best = |side: &str| number(&book[side].as_array().unwrap().last().unwrap()["price"]);
        assert_eq!((best("bids"), best("asks")), (0.5, 0.55));
        let hashes = client.ok("book_hash", of_token.clone()).await;
        assert_eq!(hashes[0], hashes[1], "the client computes another hash than it was told");
        let books = client.ok("books", json!({ "tokens": [&token] })).await;
        assert_eq!((&books[0]["bids"], &books[0]["asks"]), (&book["bids"], &book["asks"]));
        assert_eq!(number(&client.ok("midpoint", of_token.clone()).await["mid"]), 0.525);
        assert_eq!(number(&client.ok("spread", of_token.clone()).await["spread"]), 0.05);
        let buy = client.ok("price", json!({ "token": token, "side": "BUY" })).await;
        assert_eq!(number(&buy["price"]), 0.5, "the price of a side is its best resting order");
        assert_eq!(number(&client.ok("tick_size", of_token.clone()).await), 0.01);
        let negative_risk = client.ok("neg_risk", of_token).await;
        assert_eq!(negative_risk, json!(kind == Kind::NegativeRisk));

        let market = json!({ "market": kind.condition().to_string() });
        let info = client.ok("market_info", market.clone()).await;
        assert_eq!((number(&info["mts"]), number(&info["mos"])), (0.01, 5.0));
        assert_eq!((number(&info["fd"]["r"]), number(&info["fd"]["e"])), (0.05, 1.0));
        let tokens: Vec<String> = kind.tokens().iter().map(ToString::to_string).collect();
        assert_eq!(
            info["t"].as_array().unwrap().iter().map(|one| one["t"].clone()).collect::<Vec<_>>(),
            tokens
        );
        let market = client.ok("market", market).await;
        assert_eq!(market["condition_id"], json!(kind.condition().to_string()));
    }
    let markets = client.ok("markets", json!({})).await;
    assert_eq!(markets["data"].as_array().unwrap().len(), Kind::ALL.len());
    venue.close().await;
}

async fn balances(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    let collateral = client.ok("balance", json!({ "assetType": "COLLATERAL" })).await;
    assert_eq!(number(&collateral["balance"]), 1_000_000_000.0);
    assert!(!collateral["allowances"].as_object().unwrap().is_empty());
    let shares = json!({ "assetType": "CONDITIONAL", "token": Kind::Plain.token() });
    assert_eq!(number(&client.ok("balance", shares.clone()).await["balance"]), 100_000_000.0);
    client.ok("update_balance", shares).await;
    let standing = client.ok("closed_only", json!({})).await;
    assert_eq!(standing["closed_only"], json!(false));
    venue.close().await;
}
