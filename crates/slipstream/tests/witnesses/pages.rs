//! Look-ups of orders and trades that do not fit on a page.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    client::Language,
    orders::{id_of, post, sign},
    venue::{Kind, Venue},
    witnessed,
};

witnessed! {
    orders_and_trades => typescript_reads_pages, python_reads_pages;
}

/// What is on a page: its rows' ids.
fn ids(rows: &Value) -> BTreeSet<String> {
    rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Seven orders and five trades, three to a page: all are found, none twice, and each page says how it goes on.
async fn orders_and_trades(language: Language) {
    let venue = Venue::open().await;
    let mut client = venue.trader(language).await;
    venue.running.world().with(|world, _| world.knobs.clob_page = 3);
    let names: Vec<String> = (0..7).map(|number| format!("order{number}")).collect();
    for name in &names {
        sign(&mut client, name, Kind::Plain, "BUY", 0.45, 10.0).await;
    }
    let replies = client.ok("post_many", json!({ "names": names, "orderType": "GTC" })).await;
    let placed: BTreeSet<String> = replies.as_array().unwrap().iter().map(id_of).collect();
    let open = client.ok("open_orders", json!({})).await;
    assert_eq!((open.as_array().unwrap().len(), ids(&open)), (7, placed.clone()));
    let first = ids(&client.ok("first_open_orders", json!({})).await);
    assert!(first.len() == 3 && first.is_subset(&placed), "{first:?}");

    for number in 0..5 {
        let name = format!("taker{number}");
        sign(&mut client, &name, Kind::Plain, "BUY", 0.56, 5.0).await;
        assert_eq!(post(&mut client, &name, "FAK").await["status"], "matched");
    }
    let of_token = json!({ "asset_id": Kind::Plain.token() });
    let trades = client.ok("trades", of_token.clone()).await;
    let all = ids(&trades);
    assert_eq!((trades.as_array().unwrap().len(), all.len()), (5, 5), "{trades}");
    let page = client.ok("trades_page", of_token.clone()).await;
    assert_eq!((&page["limit"], &page["count"]), (&json!(3), &json!(3)));
    let next = json!({ "asset_id": Kind::Plain.token(), "cursor": page["next_cursor"] });
    let last = client.ok("trades_page", next).await;
    assert_eq!((&last["count"], &last["next_cursor"]), (&json!(2), &json!("LTE=")));
    let read: BTreeSet<String> = ids(&page["trades"]).union(&ids(&last["trades"])).cloned().collect();
    assert_eq!(read, all);
    let nobody = json!({ "builder": format!("0x{}", "b1".repeat(32)) });
    assert_eq!(client.ok("builder_trades", nobody).await["trades"], json!([]));
    venue.close().await;
}
