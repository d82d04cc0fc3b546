//! PoPs, tails, logs, metrics, calls.

use crate::bench::{Bench, START_MS, pop};
use atoll_api::pop::{Health, LogRecord, Shipment, VersionHealth};
use atoll_control::Telemetry;
use atoll_control::fleet::TailItem;
use http::Method;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;

#[tokio::test]
async fn pops_join_and_go() {
    let bench = Bench::new().await;
    let operator = async |method, path: &str, body| bench.call_as(&bench.platform, method, path, body).await;
    assert_eq!(
        operator(Method::GET, "/v1/pops", Value::Null).await.expect(200)["items"],
        json!([])
    );
    bench.pops.recorded().pops.push(pop("a"));
    assert_eq!(
        operator(Method::GET, "/v1/pops", Value::Null).await.expect(200)["items"][0]["state"],
        "alive"
    );
    let token = operator(
        Method::POST,
        "/v1/pops/join-tokens",
        json!({ "region": "eu", "ttl_s": 60 }),
    )
    .await;
    assert!(token.expect(201)["token"].is_string());
    assert_eq!(bench.pops.recorded().join_tokens, [(Some("eu".to_owned()), 60)]);
    operator(Method::POST, "/v1/pops/join-tokens", json!({ "ttl_s": 59 }))
        .await
        .refused(400, "invalid");
    let step = |step: &str| json!({ "step": step });
    let added = operator(Method::POST, "/v1/authority", step("add")).await.expect(200);
    assert_eq!(added["certificates"][0]["signs"], true);
    operator(Method::POST, "/v1/authority", step("switch"))
        .await
        .refused(409, "conflict");
    operator(Method::POST, "/v1/authority", step("sideways"))
        .await
        .refused(400, "invalid");
    let forced = operator(
        Method::POST,
        "/v1/authority",
        json!({ "step": "switch", "force": true }),
    );
    assert_eq!(
        forced.await.expect(200),
        operator(Method::GET, "/v1/authority", Value::Null).await.expect(200)
    );
    bench.get("/v1/authority").await.refused(403, "forbidden");
    operator(Method::DELETE, "/v1/pops/nobody", Value::Null)
        .await
        .refused(404, "not_found");
    operator(Method::DELETE, "/v1/pops/a", Value::Null).await.expect(200);
    assert_eq!(bench.pops.recorded().revoked, ["a"]);
    bench.get("/v1/pops").await.refused(403, "forbidden");
    let status = operator(Method::GET, "/v1/status", Value::Null).await.expect(200);
    assert_eq!(
        (&status["pops"]["alive"], &status["domains"]),
        (&json!(1), &json!(["localhost"]))
    );
    // Not told is not zero.
    assert_eq!(bench.get("/v1/status").await.expect(200).get("pops"), None);
}

#[tokio::test]
async fn a_tail_is_a_line_for_each_event() {
    let bench = Bench::new().await;
    bench.deployed("shop", "1").await;
    let path = "/v1/accounts/acme/workers/shop/tail";
    bench.get(path).await.refused(503, "no_pops");
    bench.pops.recorded().pops.push(pop("a"));
    for query in ["status=odd", "sampling_rate=0", "sampling_rate=1.5", "nonsense=1"] {
        bench.get(&format!("{path}?{query}")).await.refused(400, "invalid");
    }
    bench
        .get("/v1/accounts/acme/workers/nothing/tail")
        .await
        .refused(404, "not_found");
    let query = "status=error,ok&method=get&header=x-a:%20b&ip=1.2.3.4&search=text&version=v&sampling_rate=0.5";
    let request = bench.request(Some(&bench.acme), &Method::GET, &format!("{path}?{query}"), "", &[]);
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let response = client.request(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let mut body = response.into_body();
    let (ask, sender) = bench.pops.recorded().tails.pop().unwrap();
    let filters: Value = serde_json::from_str(&ask.filters).unwrap();
    assert_eq!(
        filters["filters"],
        json!([
            { "sampling_rate": 0.5 },
            { "outcome": ["exception", "exceededCpu", "exceededMemory", "unknown", "ok"] },
            { "method": ["GET"] },
            { "header": { "key": "x-a", "query": "b" } },
            { "client_ip": ["1.2.3.4"] },
            { "query": "text" },
            { "scriptVersion": "v" },
        ])
    );
    sender
        .send(TailItem::Event(r#"{"outcome":"ok"}"#.into()))
        .await
        .unwrap();
    sender.send(TailItem::Dropped(3)).await.unwrap();
    let mut lines = Vec::new();
    while lines.len() < 3 {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let text = String::from_utf8(frame.to_vec()).unwrap();
        lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    assert_eq!(
        lines,
        [
            json!({ "type": "begun", "pops": 1 }),
            json!({ "type": "event", "event": { "outcome": "ok" } }),
            json!({ "type": "dropped", "count": 3 }),
        ]
    );
    // Who goes away ends it on the PoPs, too.
    drop(body);
    sender.closed().await;
}

#[tokio::test]
async fn records_and_counts_are_asked_for() {
    let bench = Bench::new().await;
    bench.deployed("shop", "1").await;
    let record = |number: u64, level: &str| LogRecord {
        time_ms: START_MS + number,
        account: "acme".into(),
        worker: "shop".into(),
        version: "v1".into(),
        level: level.into(),
        request: format!("r{number}"),
        json: json!({ "message": format!("line {number}") }).to_string(),
    };
    let levels = ["info", "error", "warn", "debug", "log"];
    let shipment = Shipment {
        number: 1,
        logs: levels
            .iter()
            .enumerate()
            .map(|(number, level)| record(number as u64, level))
            .collect(),
        dropped: [("queue".to_owned(), 2)].into(),
        ..Shipment::default()
    };
    bench.telemetry.ingest_shipment("a", &shipment);
    let path = "/v1/accounts/acme/workers/shop/logs";
    let messages = |answer: &Value| -> Vec<String> {
        let items = answer["items"].as_array().unwrap().iter();
        items
            .map(|item| item["record"]["message"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = bench.get(path).await.expect(200);
    assert_eq!((messages(&all).len(), &all["dropped"]), (5, &json!(2)));
    assert_eq!(
        messages(&bench.get(&format!("{path}?level=warn")).await.expect(200)),
        ["line 1", "line 2"]
    );
    assert_eq!(
        messages(&bench.get(&format!("{path}?limit=2")).await.expect(200)),
        ["line 3", "line 4"]
    );
    assert_eq!(
        messages(&bench.get(&format!("{path}?search=line%203")).await.expect(200)),
        ["line 3"]
    );
    assert_eq!(
        messages(&bench.get(&format!("{path}?request=r2")).await.expect(200)),
        ["line 2"]
    );
    let window = format!("{path}?since_ms={}&until_ms={}", START_MS + 1, START_MS + 3);
    assert_eq!(messages(&bench.get(&window).await.expect(200)), ["line 1", "line 2"]);
    // On from there.
    let next = all["next"].as_str().unwrap();
    assert_eq!(
        messages(&bench.get(&format!("{path}?after={next}")).await.expect(200)),
        Vec::<String>::new()
    );
    bench.telemetry.ingest_shipment(
        "b",
        &Shipment {
            logs: vec![record(9, "log"), record(10, "log")],
            ..Shipment::default()
        },
    );
    let more = bench.get(&format!("{path}?after={next}&limit=1")).await.expect(200);
    assert_eq!(messages(&more), ["line 9"]);
    let last = bench
        .get(&format!("{path}?after={}", more["next"].as_str().unwrap()))
        .await
        .expect(200);
    assert_eq!(
        (messages(&last), &last["items"][0]["pop"]),
        (vec!["line 10".to_owned()], &json!("b"))
    );
    bench.get(&format!("{path}?level=loud")).await.refused(400, "invalid");
    bench
        .get("/v1/accounts/acme/workers/nothing/logs")
        .await
        .refused(404, "not_found");
    // Counts.
    let health = |until_ms: u64, version: &str, requests: u64| Health {
        since_ms: until_ms - 1_000,
        until_ms,
        versions: vec![VersionHealth {
            account: "acme".into(),
            worker: "shop".into(),
            version: version.into(),
            requests,
            statuses: vec![0, requests, 0, 0, 0],
            latency: vec![requests],
            cpu_us: 10 * requests,
            ..VersionHealth::default()
        }],
        routes: vec![VersionHealth {
            account: "acme".into(),
            worker: "shop".into(),
            route: "shop.example.com/*".into(),
            requests: 1,
            ..VersionHealth::default()
        }],
        ..Health::default()
    };
    for pop in ["a", "b"] {
        bench.telemetry.ingest_health(pop, &health(START_MS + 1_000, "v1", 3));
        bench.telemetry.ingest_health(pop, &health(START_MS + 2_000, "v1", 4));
        bench.telemetry.ingest_health(pop, &health(START_MS + 12_000, "v2", 5));
    }
    let path = format!(
        "/v1/accounts/acme/metrics?from_ms={START_MS}&to_ms={}",
        START_MS + 60_000
    );
    let all = bench.get(&path).await.expect(200);
    assert_eq!(all["series"].as_array().unwrap().len(), 1);
    let point = &all["series"][0]["points"][0];
    assert_eq!(
        (&point["requests"], &point["statuses"][1], &point["cpu_us"]),
        (&json!(24), &json!(24), &json!(240))
    );
    assert_eq!(all["series"][0]["points"].as_array().unwrap().len(), 1);
    let routes = bench.get(&format!("{path}&by=route,worker")).await.expect(200);
    let route = &routes["series"][0];
    assert_eq!(
        (&route["worker"], &route["route"], &route["points"][0]["requests"]),
        (&json!("shop"), &json!("shop.example.com/*"), &json!(6))
    );
    bench
        .get(&format!("{path}&by=route,version"))
        .await
        .refused(400, "invalid");
    let steps = bench
        .get(&format!("{path}&step_ms=10000&by=version,pop"))
        .await
        .expect(200);
    let told: Vec<Value> = steps["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|series| {
            json!([
                series["version"],
                series["pop"],
                series["points"][0]["time_ms"],
                series["points"][0]["requests"]
            ])
        })
        .collect();
    assert_eq!(
        told,
        [
            json!(["v1", "a", START_MS, 7]),
            json!(["v1", "b", START_MS, 7]),
            json!(["v2", "a", START_MS + 10_000, 5]),
            json!(["v2", "b", START_MS + 10_000, 5]),
        ]
    );
    assert_eq!(
        bench.get(&format!("{path}&worker=other")).await.expect(200)["series"],
        json!([])
    );
    for query in ["&step_ms=5", "&step_ms=0", "&by=moon", "&to_ms=x"] {
        bench.get(&format!("{path}{query}")).await.refused(400, "invalid");
    }
    bench
        .get(&format!(
            "/v1/accounts/acme/metrics?from_ms=0&to_ms={START_MS}&step_ms=10000"
        ))
        .await
        .refused(400, "invalid");
}

#[tokio::test]
async fn a_call_goes_to_a_pop_and_comes_back() {
    let bench = Bench::new().await;
    let (version, _) = bench.deployed("shop", "1").await;
    let call = async |token: &str, path: &str, body: &'static str| {
        let headers = [
            ("x-mine", "1"),
            ("idempotency-key", "k"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
        ];
        bench
            .send(bench.request(Some(token), &Method::POST, path, body, &headers))
            .await
    };
    call(&bench.acme, "/v1/invoke/shop", "").await.refused(409, "conflict");
    bench
        .patch("/v1/accounts/acme", json!({ "subdomain": "acme" }))
        .await
        .expect(200);
    bench
        .patch("/v1/accounts/acme/workers/shop", json!({ "subdomain": true }))
        .await
        .expect(200);
    call(&bench.acme, "/v1/invoke/shop", "").await.refused(503, "no_pops");
    // A PoP that says what it got.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            let echo = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let headers: Vec<String> = parts.headers.keys().map(ToString::to_string).collect();
                let told = json!({
                    "method": parts.method.as_str(), "uri": parts.uri.to_string(), "host": parts.headers["host"].to_str().unwrap(),
                    "headers": headers, "body": String::from_utf8_lossy(&body),
                });
                let response = http::Response::builder().status(418).header("x-worker", "yes");
                Ok::<_, Infallible>(response.body(Full::new(bytes::Bytes::from(told.to_string()))).unwrap())
            });
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), echo));
        }
    });
    bench.pops.recorded().target = Some(address.clone());
    let answer = call(&bench.acme, "/v1/invoke/shop/a%20b/c?x=1&account=acme&y=2", "hello").await;
    let told = answer.expect(418);
    assert_eq!(
        (&answer.headers["x-worker"], &answer.headers["atoll-invoked"]),
        (&"yes".parse().unwrap(), &address.parse().unwrap())
    );
    assert_eq!(
        (&told["uri"], &told["body"]),
        (&json!("/a%20b/c?x=1&y=2"), &json!("hello"))
    );
    assert_eq!(told["host"], "shop.acme.localhost:8787");
    let headers = told["headers"].as_array().unwrap();
    assert!(headers.contains(&json!("x-mine")));
    for gone in ["authorization", "idempotency-key", "connection", "x-hop"] {
        assert!(!headers.contains(&json!(gone)), "{gone}");
    }
    assert_eq!(call(&bench.acme, "/v1/invoke/shop", "").await.expect(418)["uri"], "/");
    // By alias.
    call(&bench.acme, "/v1/invoke/shop:live", "")
        .await
        .refused(404, "not_found");
    let alias = json!({ "versions": [{ "version": version, "percent": 100 }] });
    bench
        .put("/v1/accounts/acme/workers/shop/aliases/live", alias)
        .await
        .expect(200);
    let told = call(&bench.acme, "/v1/invoke/shop:live", "").await.expect(418);
    assert_eq!(told["host"], "live-shop.acme.localhost:8787");
    // Who may.
    call(&bench.platform, "/v1/invoke/shop", "")
        .await
        .refused(400, "invalid");
    call(&bench.platform, "/v1/invoke/shop?account=acme", "")
        .await
        .expect(418);
    call(&bench.acme, "/v1/invoke/shop?account=rival", "")
        .await
        .refused(403, "forbidden");
    call(&bench.acme, "/v1/invoke/nothing", "")
        .await
        .refused(404, "not_found");
    let little = crate::bench::token(&bench.catalog, Some("acme"), &["worker:read@other"]).await;
    call(&little, "/v1/invoke/shop", "").await.refused(403, "forbidden");
    bench.pops.recorded().target = Some("http://127.0.0.1:1".into());
    call(&bench.acme, "/v1/invoke/shop", "").await.refused(502, "no_pops");
}
