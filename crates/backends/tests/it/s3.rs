//! S3: the contract of blob stores, against an S3 server over HTTP.

use crate::s3_server::Server;
use atoll_backends::S3Store;
use atoll_store::blob::{BlobError, BlobStore, contract};
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
