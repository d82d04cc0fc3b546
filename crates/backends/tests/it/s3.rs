//! S3: the contract of blob stores, against an S3 server over HTTP.

use crate::s3_server::Server;
use atoll_backends::{S3Options, S3Store};
use atoll_store::blob::{BlobError, BlobStore, Expect, contract};
use bytes::Bytes;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract() {
    let mut servers = Vec::new();
    contract::run(contract::Nesting::Apart, async || {
        let server = Server::start(true).await;
        let store = S3Store::open(&server.options()).await.unwrap();
        servers.push(server);
        Arc::new(store) as Arc<dyn BlobStore>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_conditions_is_refused() {
    let server = Server::start(false).await;
    let error = S3Store::open(&server.options()).await.unwrap_err().to_string();
    assert!(error.contains("ignores If-None-Match"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_told() {
    let server = Server::start(true).await;
    let mut options = server.options();
    options.access_key = Some(("key".into(), "wrong".into()));
    let error = S3Store::open(&options).await.unwrap_err();
    assert!(matches!(error, BlobError::Failed { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_without_conditions_serves_what_is_known_by_its_hash_if_it_is_meant() {
    let mut servers = Vec::new();
    contract::run_without_conditions(contract::Nesting::Apart, async || {
        let server = Server::start(false).await;
        let options = S3Options {
            conditional_writes: false,
            ..server.options()
        };
        let store = S3Store::open(&options).await.unwrap();
        servers.push(server);
        Arc::new(store) as Arc<dyn BlobStore>
    })
    .await;
    let options = S3Options {
        conditional_writes: false,
        ..servers[0].options()
    };
    let store = S3Store::open(&options).await.unwrap();
    let etag = store.put("k", Bytes::from_static(b"1"), Expect::Absent).await.unwrap();
    let twice = store.put("k", Bytes::from_static(b"2"), Expect::Absent).await;
    assert!(matches!(twice, Err(BlobError::Conflict { .. })), "{twice:?}");
    let error = store.put("k", Bytes::from_static(b"2"), Expect::Etag(etag)).await;
    assert!(error.unwrap_err().to_string().contains("no conditional writes"));
}

/// A service that somebody runs, as `docs/operations/control.md` says; nothing is tried if none is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_from_the_environment_keeps_the_contract() {
    let said = |name: &str| std::env::var(format!("ATOLL_TEST_S3_{name}")).ok();
    let Some(endpoint) = said("ENDPOINT") else { return };
    let conditional_writes = said("CONDITIONAL_WRITES").is_none_or(|word| word != "false");
    let options = S3Options {
        allow_http: endpoint.starts_with("http://"),
        endpoint: Some(endpoint),
        region: said("REGION").unwrap_or_else(|| "us-east-1".to_owned()),
        bucket: said("BUCKET").unwrap_or_else(|| "atoll-test".to_owned()),
        access_key: said("KEY").zip(said("SECRET")),
        conditional_writes,
    };
    // One bucket for all: what the step before left goes.
    let fresh = async || {
        let store = S3Store::open(&options).await.unwrap();
        loop {
            let page = store.list("", None, 1_000).await.unwrap();
            for object in &page.objects {
                store.delete(&object.key).await.unwrap();
            }
            if !page.more {
                break;
            }
        }
        Arc::new(store) as Arc<dyn BlobStore>
    };
    match conditional_writes {
        true => contract::run(contract::Nesting::Apart, fresh).await,
        false => contract::run_without_conditions(contract::Nesting::Apart, fresh).await,
    }
}
