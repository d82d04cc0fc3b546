//! What is true of every endpoint, asked of every row of the table by way of the document.

use crate::bench::{Bench, token};
use atoll_control::http::document;
use http::Method;
use serde_json::{Value, json};

/// Method, path with its parts filled in, id, and whether it takes JSON.
fn endpoints() -> Vec<(Method, String, String, bool)> {
    let document = serde_json::to_value(document()).unwrap();
    let mut endpoints = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let filled = path
                .replace("{account}", "acme")
                .replace("{worker}", "shop")
                .replace("{hash}", &"0".repeat(64))
                .replace("{token}", "abc");
            let mut parts: Vec<&str> = filled.split('/').collect();
            parts
                .iter_mut()
                .filter(|part| part.starts_with('{'))
                .for_each(|part| *part = "x");
            let json = !operation["requestBody"]["content"]["application/json"].is_null();
            let id = operation["operationId"].as_str().unwrap().to_owned();
            endpoints.push((method.to_uppercase().parse().unwrap(), parts.join("/"), id, json));
        }
    }
    endpoints
}

/// Those that every valid token may call: what they do depends on whose it is.
const OPEN: [&str; 4] = ["getIdentity", "getStatus", "invoke", "invokePath"];

#[tokio::test]
async fn nobody_gets_anything_without_a_token() {
    let bench = Bench::new().await;
    let endpoints = endpoints();
    assert!(endpoints.len() > 60, "{}", endpoints.len());
    for (method, path, id, _) in endpoints {
        let answer = bench.send(bench.request(None, &method, &path, "", &[])).await;
        answer.refused(401, "unauthenticated");
        assert_eq!(answer.headers["www-authenticate"], "Bearer", "{id}");
    }
}

#[tokio::test]
async fn every_endpoint_asks_for_its_permission() {
    let bench = Bench::new().await;
    // May look at secrets of one worker, which no path here names.
    let little = token(&bench.catalog, Some("acme"), &["secret:read@nothing"]).await;
    // May do everything, elsewhere.
    let foreign = token(&bench.catalog, Some("rival"), &["*:write"]).await;
    for (method, path, id, _) in endpoints() {
        if OPEN.contains(&id.as_str()) {
            continue;
        }
        let answer = bench.send(bench.request(Some(&little), &method, &path, "", &[])).await;
        answer.refused(403, "forbidden");
        if path.starts_with("/v1/accounts/acme") {
            let answer = bench.send(bench.request(Some(&foreign), &method, &path, "", &[])).await;
            answer.refused(403, "forbidden");
        }
    }
    // Reading is not writing.
    let reader = token(&bench.catalog, None, &["*:read"]).await;
    for (method, path, id, _) in endpoints() {
        let reads = method == Method::GET || OPEN.contains(&id.as_str()) || id == "verifyAudit";
        let answer = bench.send(bench.request(Some(&reader), &method, &path, "", &[])).await;
        assert_eq!(answer.status == 403, !reads, "{id}: {answer:?}");
    }
}

#[tokio::test]
async fn bodies_that_make_no_sense_are_refused() {
    let bench = Bench::new().await;
    for (method, path, id, takes_json) in endpoints() {
        if !takes_json {
            continue;
        }
        for nonsense in ["[", "{\"nonsense\": 1}", "[]", "\"text\""] {
            let kind = [("content-type", "application/json")];
            let request = bench.request(Some(&bench.platform), &method, &path, nonsense, &kind);
            let answer = bench.send(request).await;
            assert_eq!(
                (answer.status.as_u16(), answer.json()["error"]["code"].as_str()),
                (400, Some("invalid")),
                "{id} {nonsense}"
            );
        }
        let kind = [("content-type", "text/plain")];
        let answer = bench
            .send(bench.request(Some(&bench.platform), &method, &path, "{}", &kind))
            .await;
        answer.refused(415, "invalid");
    }
    let body = bench.request(Some(&bench.acme), &Method::GET, "/v1/accounts/acme", "body", &[]);
    bench.send(body).await.refused(400, "invalid");
    let large = json!({ "name": "x".repeat(2 << 20), "id": "x" });
    bench
        .call_as(&bench.platform, Method::POST, "/v1/accounts", large)
        .await
        .refused(413, "too_large");
    for query in ["?limit=0", "?limit=x", "?nonsense=1"] {
        bench
            .get(&format!("/v1/accounts/acme/workers{query}"))
            .await
            .refused(400, "invalid");
    }
    bench.get("/v1/nothing").await.refused_without_id(404, "not_found");
    bench
        .call(Method::DELETE, "/v1/accounts", Value::Null)
        .await
        .refused_without_id(405, "invalid");
}

impl crate::bench::Answer {
    /// What no endpoint answered.
    #[track_caller]
    fn refused_without_id(&self, status: u16, code: &str) {
        assert_eq!(self.expect(status)["error"]["code"], code);
    }
}

#[tokio::test]
async fn the_document_is_the_one_that_is_kept() {
    let bench = Bench::new().await;
    let served = bench
        .send(bench.request(None, &Method::GET, "/v1/openapi.json", "", &[]))
        .await;
    let served = served.expect(200);
    assert_eq!(served["openapi"], "3.1.0");
    // Every reference leads somewhere.
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&served, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        let pointer = reference.trim_start_matches('#');
        assert!(served.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let ids: Vec<String> = endpoints().into_iter().map(|(_, _, id, _)| id).collect();
    let unique: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "an operation's id stands twice");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&served).unwrap());
    if std::env::var_os("ATOLL_REFERENCE").is_some_and(|value| value == "write") {
        std::fs::write(path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == text,
        "docs/reference/openapi.json is not the document of this build: run the test with ATOLL_REFERENCE=write"
    );
}
