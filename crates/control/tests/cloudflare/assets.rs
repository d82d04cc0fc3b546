//! Uploads of static assets: what is sent once is not sent again, and a deployment has what its token stands for.

use crate::bench::ACCOUNT;
use crate::client::{Answer, CODE, Client};
use atoll_model::{BlobHash, TenantId, WorkerName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

const A: &str = "0123456789abcdef0123456789abcdef";
const B: &str = "fedcba9876543210fedcba9876543210";

async fn begin(client: &Client, worker: &str, manifest: Value) -> Answer {
    let path = client.script(worker, "/assets-upload-session");
    client.send("POST", &path, json!({"manifest": manifest})).await
}

async fn bucket(client: &Client, jwt: &str, files: &[(&str, &str)]) -> Answer {
    let encoded: Vec<(&str, String)> = files.iter().map(|(hash, text)| (*hash, BASE64.encode(text))).collect();
    let parts: Vec<crate::client::Part<'_>> = encoded
        .iter()
        .map(|(hash, text)| (*hash, "text/html", text.as_bytes()))
        .collect();
    let path = format!("/accounts/{ACCOUNT}/workers/assets/upload?base64=true");
    client.with_token(jwt).form("POST", &path, &parts).await
}

fn jwt(answer: &Answer) -> String {
    answer.result()["jwt"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn assets_are_sent_once() {
    let client = Client::start().await;
    let manifest = json!({
        "/index.html": {"hash": A, "size": 2},
        "/copy.html": {"hash": A, "size": 2},
        "/b.html": {"hash": B, "size": 3},
    });
    let begun = begin(&client, "shop", manifest.clone()).await;
    assert_eq!(begun.result()["buckets"], json!([[A, B]]));
    let session = jwt(&begun);
    // Not finished: no deployment.
    let assets = |jwt: &str| json!({"assets": {"jwt": jwt, "config": {"not_found_handling": "404-page", "_headers": "/*\n  x: y\n"}}});
    let early = client.deploy("shop", CODE, assets(&session)).await;
    assert!(early.message().contains("not finished"), "{}", early.body);
    assert_eq!(bucket(&client, &session, &[(A, "toolong")]).await.code(), 10021);
    let first = bucket(&client, &session, &[(A, "hi")]).await;
    assert_eq!((first.status, first.result()), (202, &json!({})));
    // Again, as after an answer that was lost.
    assert_eq!(bucket(&client, &session, &[(A, "hi")]).await.status, 202);
    let last = bucket(&client, &session, &[(B, "bye")]).await;
    assert_eq!(last.status, 201);
    let done = jwt(&last);
    assert_eq!(bucket(&client, "none", &[(A, "hi")]).await.status, 401);
    let other = client.deploy("other", CODE, assets(&done)).await;
    assert!(other.message().contains("another worker"), "{}", other.body);
    client.deploy("shop", CODE, assets(&done)).await.result();

    let (account, worker) = (TenantId::new(ACCOUNT), WorkerName::new("shop"));
    let catalog = &client.bench.catalog;
    let versions = catalog
        .versions(account.clone(), worker.clone(), None, 1)
        .await
        .unwrap();
    let (blobs, trusted) = (&*client.bench.blobs, &client.bench.trusted);
    let stored = atoll_store::artifact::load(blobs, &versions[0].artifact, &account, &worker, trusted).await;
    let stored = stored.unwrap().assets.unwrap();
    let files: Vec<(&str, BlobHash)> = stored
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.blob))
        .collect();
    let expected = [
        ("/b.html", BlobHash::of(b"bye")),
        ("/copy.html", BlobHash::of(b"hi")),
        ("/index.html", BlobHash::of(b"hi")),
    ];
    assert_eq!(files, expected);
    assert_eq!(stored.headers.as_deref(), Some("/*\n  x: y\n"));

    // Nothing to send the second time, and assets alone are a worker.
    let again = begin(&client, "shop", manifest.clone()).await;
    assert_eq!(again.result()["buckets"], json!([]));
    let mut alone = assets(&jwt(&again));
    alone["main_module"] = Value::Null;
    client.upload("PUT", "shop", alone, &[]).await.result();
    // What the store has lost is asked for again.
    let key = atoll_store::blob::blob_key(&BlobHash::of(b"hi"));
    client.bench.blobs.delete(&key).await.unwrap();
    assert_eq!(begin(&client, "shop", manifest).await.result()["buckets"], json!([[A]]));
}

#[tokio::test]
async fn what_is_no_manifest_of_assets() {
    let client = Client::start().await;
    let check = async |manifest: Value, code: u64| {
        let answer = begin(&client, "shop", manifest).await;
        assert_eq!(answer.code(), code, "{}", answer.body);
    };
    check(json!({"/a": {"hash": "xyz", "size": 1}}), 10021).await;
    check(json!({"a": {"hash": A, "size": 1}}), 10021).await;
    check(
        json!({"/a": {"hash": A, "size": 1}, "/b": {"hash": A, "size": 2}}),
        10021,
    )
    .await;
    check(json!({"/a": {"hash": A, "size": 1_u64 << 40}}), 10027).await;
    assert_eq!(begin(&client, "shop", json!({})).await.result()["buckets"], json!([]));
}
