//! KV: namespaces in the catalog, keys and values at the PoPs.

use crate::bench::ACCOUNT;
use crate::client::Client;
use serde_json::json;

fn namespaces() -> String {
    format!("/accounts/{ACCOUNT}/storage/kv/namespaces")
}

async fn namespace(client: &Client, title: &str) -> String {
    let made = client.send("POST", &namespaces(), json!({"title": title})).await;
    made.result()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn namespaces_have_pages_that_end() {
    let client = Client::start().await;
    for title in ["b", "a", "c"] {
        namespace(&client, title).await;
    }
    let page = |page: u32| format!("{}?per_page=2&page={page}&order=title&direction=asc", namespaces());
    let first = client.get(&page(1)).await;
    assert_eq!(first.result()[0]["title"], "a");
    assert_eq!(first.body["result_info"]["total_count"], 3);
    assert_eq!(client.get(&page(2)).await.result().as_array().unwrap().len(), 1);
    assert_eq!(client.get(&page(3)).await.result(), &json!([]));
    let again = client.send("POST", &namespaces(), json!({"title": "a"})).await;
    assert_eq!((again.status, again.code()), (409, 10014));
    let id = first.result()[0]["id"].as_str().unwrap().to_owned();
    let own = format!("{}/{id}", namespaces());
    client.send("PUT", &own, json!({"title": "z"})).await.result();
    assert_eq!(client.get(&own).await.result()["title"], "z");
    client.send("DELETE", &own, json!({})).await.result();
    assert!(client.bench.pops.recorded().edits.last().unwrap().clear);
    assert_eq!(client.get(&own).await.code(), 10013);
}

#[tokio::test]
async fn values_are_put_asked_and_removed() {
    let client = Client::start().await;
    let base = format!("{}/{}", namespaces(), namespace(&client, "items").await);
    let value = |key: &str| format!("{base}/values/{key}");
    client
        .raw("PUT", &value("a%2Fb%20%C3%BC?expiration_ttl=60"), "text/plain", "plain")
        .await
        .result();
    let parts = [
        ("value", "text/plain", b"formed".as_slice()),
        ("metadata", "text/plain", br#"{"m":1}"#),
    ];
    client.form("PUT", &value("c"), &parts).await.result();
    let got = client.get(&value("a%2Fb%20%C3%BC")).await;
    assert_eq!(got.body, json!("plain"));
    assert!(got.headers.contains_key("expiration"));
    assert_eq!(
        client.get(&format!("{base}/metadata/c")).await.result(),
        &json!({"m": 1})
    );
    let keys = client.get(&format!("{base}/keys?prefix=c")).await;
    assert_eq!(keys.result(), &json!([{"name": "c", "metadata": {"m": 1}}]));
    assert_eq!(keys.body["result_info"]["cursor"], "");
    let bulk = json!([
        {"key": "x", "value": "1"},
        {"key": "y", "value": "AP8=", "base64": true, "expiration_ttl": 100, "metadata": {"n": 2}},
    ]);
    let put = client.send("PUT", &format!("{base}/bulk"), bulk).await;
    assert_eq!(put.result()["successful_key_count"], 2);
    let asked = json!({"keys": ["x", "none"], "withMetadata": true});
    let got = client.send("POST", &format!("{base}/bulk/get"), asked).await;
    let expected = json!({"values": {"x": {"value": "1", "metadata": null}, "none": null}});
    assert_eq!(got.result(), &expected);
    client
        .send("DELETE", &format!("{base}/bulk"), json!(["x", "y"]))
        .await
        .result();
    client.send("DELETE", &value("c"), json!({})).await.result();
    let missing = client.get(&value("c")).await;
    assert_eq!((missing.status, missing.code()), (404, 10009));
    assert_eq!(client.bench.pops.recorded().values.len(), 1);
}

#[tokio::test]
async fn more_keys_than_a_page_have_a_cursor() {
    let client = Client::start().await;
    let base = format!("{}/{}", namespaces(), namespace(&client, "many").await);
    let pairs: Vec<_> = (0..1_200)
        .map(|at| json!({"key": format!("{at:05}"), "value": "v"}))
        .collect();
    client.send("PUT", &format!("{base}/bulk"), json!(pairs)).await.result();
    // More than one edit may hold is several.
    assert_eq!(client.bench.pops.recorded().edits.len(), 2);
    let first = client.get(&format!("{base}/keys")).await;
    assert_eq!(first.result().as_array().unwrap().len(), 1_000);
    let cursor = first.body["result_info"]["cursor"].as_str().unwrap();
    let second = client.get(&format!("{base}/keys?cursor={cursor}")).await;
    assert_eq!(second.result().as_array().unwrap().len(), 200);
    assert_eq!(second.body["result_info"]["cursor"], "");
}

#[tokio::test]
async fn what_is_refused() {
    let client = Client::start().await;
    let base = format!("{}/{}", namespaces(), namespace(&client, "items").await);
    let value = |key: &str| format!("{base}/values/{key}");
    let long = "k".repeat(513);
    assert_eq!(client.raw("PUT", &value(&long), "text/plain", "v").await.code(), 10021);
    assert_eq!(
        client
            .raw("PUT", &value("k?expiration_ttl=59"), "text/plain", "v")
            .await
            .code(),
        10021
    );
    let large = vec![b'v'; (25 << 20) + 1];
    assert_eq!(client.raw("PUT", &value("k"), "text/plain", large).await.code(), 10027);
    let bulk = json!([{"key": "a", "value": "1"}, {"key": "", "value": "1"}]);
    assert_eq!(client.send("PUT", &format!("{base}/bulk"), bulk).await.code(), 10021);
    let elsewhere = format!("{}/none/values/k", namespaces());
    assert_eq!(client.raw("PUT", &elsewhere, "text/plain", "v").await.code(), 10013);
    // Nothing of all that was stored.
    assert!(client.bench.pops.recorded().edits.is_empty());
    // Without a PoP nobody can be asked: later, perhaps.
    client.bench.pops.recorded().pops.clear();
    let answer = client.get(&value("k")).await;
    assert_eq!((answer.status, answer.code()), (503, 10429));
    assert_eq!(answer.headers["retry-after"], "1");
}
