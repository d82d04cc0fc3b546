//! Static assets in the request's path: before the worker, without one, and through the same response phase.

use crate::harness::{PATIENCE, Server, options};
use atoll_edge::assets::AssetServer;
use atoll_model::AssetsConfig;

async fn server(worker: bool) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let page = format!("<!doctype html><title>t</title>{}", "<p>page".repeat(100));
    std::fs::write(folder.path().join("index.html"), page).unwrap();
    std::fs::write(folder.path().join("data.json"), "[1,2,3]").unwrap();
    let (assets, warnings) = AssetServer::open(folder.path(), AssetsConfig::default()).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    (Server::serving(Some(assets), worker, options(), PATIENCE).await, folder)
}

#[tokio::test]
async fn assets_come_first_and_the_worker_gets_the_rest() {
    let (server, _folder) = server(true).await;
    let answer = server.get("/data.json", "").await;
    assert_eq!((answer.status, answer.text()), (200, "[1,2,3]"));
    assert_eq!(answer.header("content-length"), Some("7"));
    let etag = answer.header("etag").unwrap().to_owned();
    assert_eq!(server.get("/other", "").await.text(), "hello");
    let answer = server.get("/data.json", &format!("If-None-Match: {etag}\r\n")).await;
    assert_eq!((answer.status, answer.header("etag")), (304, Some(etag.as_str())));
    let answer = server.get("/data.json", "Range: bytes=1-3\r\n").await;
    assert_eq!((answer.status, answer.text()), (206, "1,2"));
    assert_eq!(answer.header("content-range"), Some("bytes 1-3/7"));
}

#[tokio::test]
async fn pages_are_chunked_and_encoded_and_still_match_their_tags() {
    let (server, _folder) = server(true).await;
    let plain = server.get("/", "").await;
    assert_eq!(plain.header("transfer-encoding"), Some("chunked"));
    assert!(plain.text().starts_with("<!doctype html>"));
    let encoded = server.get("/", "Accept-Encoding: br\r\n").await;
    assert_eq!(encoded.header("content-encoding"), Some("br"));
    assert!(encoded.body.len() < plain.body.len());
    let weak = encoded.header("etag").unwrap();
    assert!(weak.starts_with("W/\""), "{weak}");
    let answer = server
        .get("/", &format!("Accept-Encoding: br\r\nIf-None-Match: {weak}\r\n"))
        .await;
    assert_eq!(answer.status, 304);
}

#[tokio::test]
async fn assets_alone_are_a_site() {
    let (server, _folder) = server(false).await;
    assert_eq!(server.get("/data.json", "").await.status, 200);
    assert_eq!(server.get("/other", "").await.status, 404);
    let mut raw = server.connect().await;
    raw.send("HEAD /data.json HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = raw.head().await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("7")));
    raw.send("GET /data.json HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.text(), "[1,2,3]");
}
