//! Who comes in, and the listener.

use crate::bench::{Bench, token};
use atoll_control::catalog::Caller;
use atoll_control::http::Tls;
use atoll_control::state::leader_name;
use http::Method;
use http_body_util::{BodyExt, Empty};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn wrong_tokens_are_refused_and_then_not_looked_at() {
    let bench = Bench::new().await;
    let send = async |authorization: &str| {
        let headers = [("authorization", authorization)];
        bench
            .send(bench.request(None, &Method::GET, "/v1/identity", "", &headers))
            .await
    };
    send(&format!("Bearer {}", bench.acme)).await.expect(200);
    for nonsense in [
        "",
        "Basic abc",
        "Bearer",
        "Bearer ",
        "Bearer abc",
        "Bearer atoll_abc",
        &bench.acme,
    ] {
        send(nonsense).await.refused(401, "unauthenticated");
    }
    // Of the right form, and unknown: these cost a look.
    let unknown = atoll_control::tokens::Token::generate().unwrap();
    let unknown = format!("Bearer {}", unknown.expose());
    for _ in 0..atoll_control::http::door::FAILURES_AT_ONCE {
        send(&unknown).await.refused(401, "unauthenticated");
    }
    let late = send(&unknown).await;
    late.refused(429, "too_many_requests");
    assert_eq!(late.headers["retry-after"], "3");
    // Who was right lately is not locked out; who is new from there is.
    send(&format!("Bearer {}", bench.acme)).await.expect(200);
    send(&format!("Bearer {}", bench.platform))
        .await
        .refused(429, "too_many_requests");
    bench.clock.advance_ms(3_000);
    send(&unknown).await.refused(401, "unauthenticated");
    send(&unknown).await.refused(429, "too_many_requests");
    bench.clock.advance_ms(60_000);
    send(&format!("Bearer {}", bench.platform)).await.expect(200);
}

#[tokio::test]
async fn tokens_and_roles() {
    let bench = Bench::new().await;
    let me = bench.get("/v1/identity").await.expect(200);
    assert_eq!(
        (&me["account"], &me["permissions"]),
        (&json!("acme"), &json!(["*:write"]))
    );
    let role = json!({ "permissions": ["worker:write@shop", "logs:read@shop"] });
    bench
        .put("/v1/accounts/acme/roles/shop-ci", role.clone())
        .await
        .expect(200);
    assert_eq!(
        bench.get("/v1/accounts/acme/roles").await.expect(200)["items"][0]["permissions"],
        role["permissions"]
    );
    let new = json!({ "name": "ci", "role": "shop-ci", "ttl_s": 60 });
    let made = bench.post("/v1/tokens", new).await.expect(201);
    let (secret, id) = (made["secret"].as_str().unwrap(), made["token"]["id"].as_str().unwrap());
    let me = bench
        .call_as(secret, Method::GET, "/v1/identity", Value::Null)
        .await
        .expect(200);
    assert_eq!(me["permissions"], role["permissions"]);
    // Its worker, and no other; blobs for it as well.
    let code = bench.upload("shop", "1").await.expect(201);
    bench
        .call_as(secret, Method::GET, "/v1/accounts/acme/workers/shop", Value::Null)
        .await
        .expect(200);
    bench
        .call_as(secret, Method::GET, "/v1/accounts/acme/workers/other", Value::Null)
        .await
        .refused(403, "forbidden");
    bench
        .call_as(secret, Method::GET, "/v1/accounts/acme/workers", Value::Null)
        .await
        .refused(403, "forbidden");
    let wanted = json!({ "hashes": [code["artifact"]] });
    let missing = bench
        .call_as(secret, Method::POST, "/v1/accounts/acme/blobs/missing", wanted)
        .await
        .expect(200);
    assert_eq!(missing["missing"], json!([]));
    // Nobody gives more than they have.
    let maker = token(&bench.catalog, Some("acme"), &["token:write", "worker:read"]).await;
    for permissions in [json!(["worker:write"]), json!(["*:read"])] {
        let new = json!({ "name": "more", "permissions": permissions });
        bench
            .call_as(&maker, Method::POST, "/v1/tokens", new)
            .await
            .refused(403, "forbidden");
        let role = json!({ "permissions": permissions });
        bench
            .call_as(&maker, Method::PUT, "/v1/accounts/acme/roles/more", role)
            .await
            .refused(403, "forbidden");
    }
    let role = json!({ "name": "more", "role": "shop-ci" });
    bench
        .call_as(&maker, Method::POST, "/v1/tokens", role)
        .await
        .refused(403, "forbidden");
    let elsewhere = json!({ "name": "x", "permissions": ["worker:read"], "account": "rival" });
    bench
        .call_as(&maker, Method::POST, "/v1/tokens", elsewhere)
        .await
        .refused(403, "forbidden");
    let both = json!({ "name": "x", "permissions": ["worker:read"], "role": "shop-ci" });
    bench.post("/v1/tokens", both).await.refused(400, "invalid");
    bench
        .post("/v1/tokens", json!({ "name": "x", "role": "nothing" }))
        .await
        .refused(404, "not_found");
    bench
        .post("/v1/tokens", json!({ "name": "x", "permissions": ["worker:fly"] }))
        .await
        .refused(400, "invalid");
    // The end.
    bench
        .delete("/v1/accounts/acme/roles/shop-ci")
        .await
        .refused(409, "conflict");
    bench.clock.advance_ms(61_000);
    bench
        .call_as(secret, Method::GET, "/v1/identity", Value::Null)
        .await
        .refused(401, "unauthenticated");
    bench.delete(&format!("/v1/tokens/{id}")).await.expect(200);
    bench.delete("/v1/tokens/nothing").await.refused(404, "not_found");
    let listed = bench.get("/v1/tokens").await.expect(200);
    let ended = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["id"] == id)
        .unwrap();
    assert!(ended["revoked_ms"].is_u64());
    let platform = bench
        .call_as(&bench.platform, Method::GET, "/v1/tokens", Value::Null)
        .await
        .expect(200);
    assert!(
        platform["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|token| token["account"].is_null())
    );
    let path = "/v1/tokens?account=acme";
    let others = bench
        .call_as(&bench.platform, Method::GET, path, Value::Null)
        .await
        .expect(200);
    assert_eq!(others, bench.get("/v1/tokens").await.expect(200));
}

#[tokio::test]
async fn accounts_are_the_operators() {
    let bench = Bench::new().await;
    let new = json!({ "id": "third", "name": "Third" });
    bench.post("/v1/accounts", new.clone()).await.refused(403, "forbidden");
    let operator = async |method, path: &str, body| bench.call_as(&bench.platform, method, path, body).await;
    operator(Method::POST, "/v1/accounts", new.clone()).await.expect(201);
    operator(Method::POST, "/v1/accounts", new).await.refused(409, "exists");
    operator(Method::POST, "/v1/accounts", json!({ "id": "Not An Id", "name": "" }))
        .await
        .refused(400, "invalid");
    let all = operator(Method::GET, "/v1/accounts?limit=2", Value::Null)
        .await
        .expect(200);
    assert_eq!(
        (&all["items"][1]["id"], &all["next"]),
        (&json!("rival"), &json!("rival"))
    );
    let rest = operator(Method::GET, "/v1/accounts?limit=2&after=rival", Value::Null)
        .await
        .expect(200);
    assert_eq!(
        (&rest["items"][0]["id"], &rest["next"]),
        (&json!("third"), &Value::Null)
    );
    // An account sees itself.
    let own = bench.get("/v1/accounts").await.expect(200);
    assert_eq!(own["items"].as_array().unwrap().len(), 1);
    bench.get("/v1/accounts/rival").await.refused(403, "forbidden");
    operator(Method::GET, "/v1/accounts/nothing", Value::Null)
        .await
        .refused(404, "not_found");
    // All of a change or nothing.
    let change = json!({ "suspended": true, "subdomain": "acme", "bounds": { "workers_max": 3, "nothing": 1 } });
    operator(Method::PATCH, "/v1/accounts/acme", change)
        .await
        .refused(400, "invalid");
    let change = json!({ "suspended": true, "subdomain": "acme", "bounds": { "workers_max": 3 } });
    let changed = operator(Method::PATCH, "/v1/accounts/acme", change).await.expect(200);
    assert_eq!(
        (&changed["suspended"], &changed["bounds"]),
        (&json!(true), &json!({ "workers_max": 3 }))
    );
    bench
        .patch("/v1/accounts/acme", json!({ "suspended": false }))
        .await
        .refused(403, "forbidden");
    operator(Method::PATCH, "/v1/accounts/rival", json!({ "subdomain": "acme" }))
        .await
        .refused(409, "exists");
    let change = json!({ "suspended": false, "bounds": { "workers_max": null } });
    let changed = operator(Method::PATCH, "/v1/accounts/acme", change).await.expect(200);
    assert_eq!(
        (&changed["bounds"], &changed["subdomain"]),
        (&json!({}), &json!("acme"))
    );
    bench.catalog.check().await.unwrap();
}

#[tokio::test]
async fn who_does_not_lead_says_so() {
    let bench = Bench::new().await;
    let get = async |path: &str| bench.send(bench.request(None, &Method::GET, path, "", &[])).await;
    assert_eq!(get("/readyz").await.status, 200);
    let leader = leader_name(Some("https://one.example:7070"), &"", 7);
    bench.catalog.lead(&Caller::new("test"), leader).await.unwrap();
    bench.leading.send_replace(None);
    // What is in the catalog is told all the same.
    bench.get("/v1/identity").await.expect(200);
    bench.get("/v1/accounts/acme/workers").await.expect(200);
    for (method, path) in [
        (Method::GET, "/v1/accounts/acme/metrics"),
        (Method::GET, "/v1/status"),
        (Method::POST, "/v1/accounts/acme/namespaces"),
    ] {
        let body = if method == Method::GET {
            Value::Null
        } else {
            json!({ "title": "t" })
        };
        let refused = bench.call_as(&bench.acme, method, path, body).await.expect(503);
        assert_eq!(refused["error"]["code"], "not_leading", "{path}");
        assert_eq!(refused["error"]["leader"], "https://one.example:7070", "{path}");
    }
    assert_eq!(get("/readyz").await.status, 503);
    assert_eq!(get("/healthz").await.status, 200);
    assert_eq!(get("/metrics").await.bytes, "up 1\n");
    bench.leading.send_replace(Some(bench.catalog.clone()));
    bench.get("/v1/identity").await.expect(200);
}

#[tokio::test]
async fn answers_name_the_request() {
    let bench = Bench::new().await;
    let send = async |id: &str| {
        let headers = [("x-request-id", id)];
        let request = bench.request(Some(&bench.acme), &Method::GET, "/v1/identity", "", &headers);
        bench.send(request).await.headers["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(send("my-request_1").await, "my-request_1");
    for odd in ["a b", &"x".repeat(65), ""] {
        let id = send(odd).await;
        assert!(id.len() == 32 && id != odd, "{id}");
    }
}

#[tokio::test]
async fn it_stops_when_what_is_in_flight_is_done() {
    let mut bench = Bench::new().await;
    // Half a request.
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    let body = r#"{"id":"late","name":"Late"}"#;
    let head = format!(
        "POST /v1/accounts HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
        bench.platform,
        body.len(),
        &body[..5]
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // An answer on another connection: the first one was accepted before it.
    bench.get("/v1/identity").await.expect(200);
    bench.stop.cancel();
    // The listener is closed, the connection is not.
    while TcpStream::connect(bench.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(&body.as_bytes()[5..]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    bench.server.take().unwrap().await.unwrap();
}

#[tokio::test]
async fn it_speaks_tls() {
    let temp = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (temp.path().join("chain.pem"), temp.path().join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let error = Tls::from_pem(&key, &key).unwrap_err().to_string();
    assert!(error.contains("key.pem"), "{error}");
    let bench = Bench::with(Some(Tls::from_pem(&chain, &key).unwrap())).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(bench.address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get("/v1/identity")
        .header("host", "localhost")
        .header("authorization", format!("Bearer {}", bench.acme))
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.unwrap();
    drop(sender);
    connection.await.unwrap().unwrap();
}
