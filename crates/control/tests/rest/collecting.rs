//! Blobs that no version needs.

use crate::bench::{Bench, upload};
use atoll_control::Caller;
use atoll_control::catalog::{KvEdit, KvValue};
use atoll_control::collect::{GRACE_MIN, collect};
use atoll_model::{BlobHash, TenantId};
use atoll_store::blob::{blob_key, has_blob, put_blob};
use bytes::Bytes;
use http::Method;
use serde_json::json;

#[tokio::test]
async fn what_no_version_needs_goes_after_the_grace() {
    let bench = Bench::new().await;
    let pass = async |dry| {
        collect(&bench.catalog, &bench.blobs, &bench.clock, GRACE_MIN, dry)
            .await
            .unwrap()
    };
    let here = async |bytes: &'static str| has_blob(&*bench.blobs, &BlobHash::of(bytes.as_bytes())).await.unwrap();
    let grace_ms = GRACE_MIN.as_millis() as u64;
    bench.deployed("shop", "kept").await;
    for stray in ["stray", "used later", "asked for"] {
        put_blob(&*bench.blobs, Bytes::from_static(stray.as_bytes()))
            .await
            .unwrap();
    }
    // An object that is no blob.
    bench
        .blobs
        .put("blobs/zz/other", "x".into(), atoll_store::blob::Expect::Absent)
        .await
        .unwrap();
    let told = pass(false).await;
    assert_eq!((told.needed, told.found, told.orphans, told.removed), (2, 5, 3, 0));
    bench.clock.advance_ms(grace_ms - 1);
    assert_eq!(pass(false).await.removed, 0);
    // Held at the last moment: by an upload, and by a question.
    bench.upload("shop", "used later").await.expect(201);
    let wanted = json!({ "hashes": [BlobHash::of(b"asked for").to_string()] });
    let missing = bench.post("/v1/accounts/acme/blobs/missing", wanted).await.expect(200);
    assert_eq!(missing["missing"], json!([]));
    bench.clock.advance_ms(1);
    let dry = pass(true).await;
    assert_eq!((dry.orphans, dry.removed, dry.removed_bytes), (2, 1, 5));
    assert!(here("stray").await);
    let told = pass(false).await;
    assert_eq!((told.orphans, told.removed, told.removed_bytes), (2, 1, 5));
    assert!(!here("stray").await && here("kept").await && here("used later").await && here("asked for").await);
    bench.clock.advance_ms(grace_ms);
    assert_eq!(pass(false).await.removed, 1);
    assert!(!here("asked for").await);
    // A worker that is gone takes its blobs with it, its manifests' signatures too.
    bench.delete("/v1/accounts/acme/workers/shop").await.expect(200);
    assert_eq!(pass(false).await.orphans, 4);
    bench.clock.advance_ms(grace_ms);
    assert_eq!(pass(false).await.removed, 4);
    assert_eq!(bench.blobs.list("signatures/", None, 10).await.unwrap().objects, []);
    assert_eq!(bench.blobs.list("blobs/", None, 10).await.unwrap().objects.len(), 1);
    // As the operator asks for it.
    let ask = async |token: &str, body| bench.call_as(token, Method::POST, "/v1/blobs/collect", body).await;
    let told = ask(&bench.platform, json!({ "dry_run": true })).await.expect(200);
    assert_eq!(
        told,
        json!({ "needed": 0, "found": 0, "orphans": 0, "removed": 0, "removed_bytes": 0 })
    );
    ask(&bench.platform, json!({ "grace_s": 3_599 }))
        .await
        .refused(400, "invalid");
    ask(&bench.acme, json!({})).await.refused(403, "forbidden");
    // What was removed can be uploaded again.
    bench.deployed("shop", "stray").await;
    assert_eq!(pass(false).await.orphans, 0);
}

#[tokio::test]
async fn values_of_kv_edits_stay() {
    let bench = Bench::new().await;
    let (caller, account) = (Caller::new("operator"), TenantId::new("acme"));
    let namespace = bench
        .catalog
        .create_namespace(&caller, account.clone(), "kv".into(), "n".into())
        .await
        .unwrap()
        .value
        .id;
    let value = put_blob(&*bench.blobs, Bytes::from_static(b"a large value"))
        .await
        .unwrap();
    let put = KvEdit::Put {
        key: "k".into(),
        value: KvValue::Blob(value),
        metadata: None,
        expiration: None,
    };
    let edit = async |edit| {
        bench
            .catalog
            .edit_kv(&caller, account.clone(), namespace.clone(), vec![edit])
            .await
            .unwrap()
    };
    let pass = async || {
        collect(&bench.catalog, &bench.blobs, &bench.clock, GRACE_MIN, false)
            .await
            .unwrap()
    };
    edit(put).await;
    for _ in 0..2 {
        assert_eq!(pass().await.orphans, 0);
        bench.clock.advance_ms(GRACE_MIN.as_millis() as u64);
    }
    edit(KvEdit::Delete { key: "k".into() }).await;
    assert_eq!(pass().await.orphans, 1);
    bench.clock.advance_ms(GRACE_MIN.as_millis() as u64);
    assert_eq!(pass().await.removed, 1);
}

#[tokio::test]
async fn nothing_goes_while_a_manifest_cannot_be_read() {
    let bench = Bench::new().await;
    let version = bench.upload("shop", "kept").await.expect(201);
    put_blob(&*bench.blobs, Bytes::from_static(b"stray")).await.unwrap();
    collect(&bench.catalog, &bench.blobs, &bench.clock, GRACE_MIN, false)
        .await
        .unwrap();
    bench.clock.advance_ms(GRACE_MIN.as_millis() as u64);
    let artifact: BlobHash = version["artifact"].as_str().unwrap().parse().unwrap();
    bench.blobs.delete(&blob_key(&artifact)).await.unwrap();
    let error = collect(&bench.catalog, &bench.blobs, &bench.clock, GRACE_MIN, false)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("nothing is collected"), "{error}");
    assert!(has_blob(&*bench.blobs, &BlobHash::of(b"stray")).await.unwrap());
    let asked = bench
        .call_as(&bench.platform, Method::POST, "/v1/blobs/collect", json!({}))
        .await;
    asked.refused(409, "conflict");
    // Its version can no longer be told, and says so.
    let path = format!(
        "/v1/accounts/acme/workers/shop/versions/{}",
        version["id"].as_str().unwrap()
    );
    bench.get(&path).await.refused(404, "not_found");
    assert_eq!(
        bench
            .call(Method::POST, "/v1/accounts/acme/workers/shop/versions", upload("kept"))
            .await
            .status,
        201
    );
}
