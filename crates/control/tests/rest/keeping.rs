//! Routes, domains, hosts, crons, stored data, the audit log.

use crate::bench::{Bench, pop};
use http::Method;
use serde_json::{Value, json};

const SHOP: &str = "/v1/accounts/acme/workers/shop";

#[tokio::test]
async fn routes_and_domains_find_workers() {
    let bench = Bench::new().await;
    bench.deployed("shop", "1").await;
    let patterns = json!({ "patterns": ["shop.example.com/*", "Example.com/cart"] });
    let set = bench.put(&format!("{SHOP}/routes"), patterns).await.expect(200);
    assert_eq!(set["items"][1]["pattern"], "example.com/cart");
    assert_eq!(
        bench.get(&format!("{SHOP}/routes")).await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let added = bench
        .post("/v1/accounts/acme/routes", json!({ "pattern": "example.com/static/*" }))
        .await
        .expect(201);
    assert_eq!(added["worker"], Value::Null);
    let route = format!("/v1/accounts/acme/routes/{}", added["id"].as_str().unwrap());
    assert_eq!(bench.get(&route).await.expect(200), added);
    assert_eq!(
        bench.get("/v1/accounts/acme/routes").await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    bench.delete(&route).await.expect(200);
    bench.get(&route).await.refused(404, "not_found");
    bench.delete(&route).await.refused(404, "not_found");
    for (pattern, worker) in [("example.com/a/*/b", "shop"), ("example.com/", "nothing")] {
        let answer = bench
            .post(
                "/v1/accounts/acme/routes",
                json!({ "pattern": pattern, "worker": worker }),
            )
            .await;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{answer:?}");
    }
    let domain = "/v1/accounts/acme/domains/www.example.com";
    bench.get(domain).await.refused(404, "not_found");
    let made = bench.put(domain, json!({ "worker": "shop" })).await.expect(200);
    assert_eq!(bench.get(domain).await.expect(200), made);
    assert_eq!(
        bench.get("/v1/accounts/acme/domains").await.expect(200)["items"],
        json!([made])
    );
    bench
        .put("/v1/accounts/acme/domains/Not..A.Host", json!({ "worker": "shop" }))
        .await
        .refused(400, "invalid");
    bench.delete(domain).await.expect(200);
    bench.delete(domain).await.refused(404, "not_found");
    let crons = json!({ "crons": ["*/5 * * * *"] });
    bench.put(&format!("{SHOP}/crons"), crons.clone()).await.expect(200);
    assert_eq!(bench.get(&format!("{SHOP}/crons")).await.expect(200), crons);
    bench
        .put(&format!("{SHOP}/crons"), json!({ "crons": ["every day"] }))
        .await
        .refused(400, "invalid");
    bench.catalog.check().await.unwrap();
}

#[tokio::test]
async fn a_host_is_one_accounts() {
    let bench = Bench::new().await;
    bench.deployed("shop", "1").await;
    let rival = crate::bench::token(&bench.catalog, Some("rival"), &["*:write"]).await;
    let route = async |token: &str, account: &str, pattern: &str| {
        let path = format!("/v1/accounts/{account}/routes");
        bench
            .call_as(token, Method::POST, &path, json!({ "pattern": pattern }))
            .await
    };
    route(&bench.acme, "acme", "www.example.com/*").await.expect(201);
    let hosts = bench.get("/v1/accounts/acme/hosts").await.expect(200);
    assert_eq!(
        (&hosts["items"][0]["name"], &hosts["items"][0]["guests"]),
        (&json!("example.com"), &json!([]))
    );
    for taken in [
        "www.example.com/other/*",
        "*.example.com/*",
        "example.com/",
        "a.b.example.com/*",
    ] {
        let message = route(&rival, "rival", taken).await.refused(409, "conflict");
        assert!(
            message.contains("another account's") && !message.contains("acme"),
            "{message}"
        );
    }
    for wide in ["*/*", "*.com/*", "*example.com/*", "com/*", "*.co.uk/*", "localhost/*"] {
        for (token, account) in [(&rival, "rival"), (&bench.acme, "acme")] {
            let answer = route(token, account, wide).await;
            assert_eq!(
                (answer.status.as_u16(), answer.json()["error"]["code"].as_str()),
                (400, Some("invalid")),
                "{wide}"
            );
        }
    }
    // The platform's own names.
    for own in [
        "shop.rival.localhost/*",
        "*.acme.localhost/*",
        "*.localhost/*",
        "a.b.c.localhost/",
    ] {
        route(&rival, "rival", own).await.refused(400, "invalid");
    }
    route(&rival, "rival", "shop.localhost/*").await.expect(201);
    route(&bench.acme, "acme", "shop.localhost/a")
        .await
        .refused(409, "conflict");
    // Guests.
    let host = "/v1/accounts/acme/hosts/example.com";
    bench.put(host, json!({ "guests": ["rival"] })).await.expect(200);
    let guest = route(&rival, "rival", "www.example.com/blog/*").await.expect(201);
    bench
        .put(host, json!({ "guests": ["nobody"] }))
        .await
        .refused(404, "not_found");
    bench
        .put("/v1/accounts/acme/hosts/com", json!({}))
        .await
        .refused(400, "invalid");
    bench
        .put("/v1/accounts/acme/hosts/shop.localhost", json!({}))
        .await
        .refused(409, "conflict");
    // Given back, once nothing is there.
    bench.delete(host).await.refused(409, "conflict");
    let routes = bench.get("/v1/accounts/acme/routes").await.expect(200);
    let id = routes["items"][0]["id"].as_str().unwrap();
    bench
        .delete(&format!("/v1/accounts/acme/routes/{id}"))
        .await
        .expect(200);
    bench.delete(host).await.expect(200);
    bench.delete(host).await.refused(404, "not_found");
    route(&rival, "rival", "example.com/*").await.expect(201);
    route(&bench.acme, "acme", "example.com/mine")
        .await
        .refused(409, "conflict");
    assert_eq!(guest["pattern"], "www.example.com/blog/*");
    // The operator decides in the end.
    bench
        .call_as(&bench.platform, Method::PUT, host, json!({}))
        .await
        .expect(200);
    route(&bench.acme, "acme", "example.com/mine").await.expect(201);
    let all = "/v1/accounts/acme/hosts/*";
    bench.put(all, json!({})).await.refused(400, "invalid");
    bench
        .call_as(&bench.platform, Method::PUT, all, json!({}))
        .await
        .expect(200);
    route(&bench.acme, "acme", "*/*").await.expect(201);
    // What somebody else registers is theirs all the same.
    route(&rival, "rival", "new.example.org/*").await.expect(201);
    bench.catalog.check().await.unwrap();
}

#[tokio::test]
async fn values_are_kept() {
    let bench = Bench::new().await;
    let namespaces = "/v1/accounts/acme/namespaces";
    let made = bench.post(namespaces, json!({ "title": "guests" })).await.expect(201);
    bench
        .post(namespaces, json!({ "title": "guests" }))
        .await
        .refused(409, "exists");
    bench
        .post(namespaces, json!({ "title": "x", "kind": "sql" }))
        .await
        .refused(400, "invalid");
    let one = format!("{namespaces}/{}", made["id"].as_str().unwrap());
    assert_eq!(bench.get(&one).await.expect(200), made);
    assert_eq!(
        bench.patch(&one, json!({ "title": "visitors" })).await.expect(200)["title"],
        "visitors"
    );
    assert_eq!(bench.get(namespaces).await.expect(200)["items"][0]["title"], "visitors");
    let value = |key: &str| format!("{one}/values/{key}");
    // Without a PoP values are put and not read.
    let put = async |path: String, body: &'static str, headers: &[(&str, &str)]| {
        bench
            .send(bench.request(Some(&bench.acme), &Method::PUT, &path, body, headers))
            .await
    };
    put(value("a"), "1", &[]).await.expect(200);
    bench.get(&value("a")).await.refused(503, "no_pops");
    bench.pops.recorded().pops.push(pop("a"));
    let metadata = [("atoll-kv-metadata", r#"{"by": "me"}"#)];
    let path = value("dir%2Fb%20c?expiration_ttl=60");
    assert_eq!(put(path, "2", &metadata).await.expect(200)["position"], 2);
    let read = bench.get(&value("dir%2Fb%20c")).await;
    assert_eq!((read.status.as_u16(), &read.bytes[..]), (200, &b"2"[..]));
    assert_eq!(read.headers["atoll-kv-metadata"], r#"{"by":"me"}"#);
    assert_eq!(read.headers["atoll-kv-expiration"], "1800000060");
    for query in [
        "?expiration_ttl=59",
        "?expiration=5",
        "?expiration_ttl=60&expiration=1900000000",
    ] {
        put(value(&format!("a{query}")), "x", &[]).await.refused(400, "invalid");
    }
    put(value("a"), "x", &[("atoll-kv-metadata", "{")])
        .await
        .refused(400, "invalid");
    put(
        value("a"),
        "x",
        &[("atoll-kv-metadata", &json!("x".repeat(1_025)).to_string())],
    )
    .await
    .refused(413, "too_large");
    put(value(&"k".repeat(513)), "x", &[]).await.refused(400, "invalid");
    let keys = bench.get(&format!("{one}/keys?limit=1")).await.expect(200);
    assert_eq!(
        (&keys["items"], &keys["next"]),
        (&json!([{ "name": "a" }]), &json!("a"))
    );
    let keys = bench.get(&format!("{one}/keys?prefix=dir/")).await.expect(200);
    assert_eq!(
        keys["items"],
        json!([{ "name": "dir/b c", "expiration": 1_800_000_060, "metadata": { "by": "me" } }])
    );
    let edits = json!({ "put": [{ "key": "c", "value": "AAE=", "base64": true }], "delete": ["a"] });
    bench.post(&format!("{one}/values"), edits).await.expect(200);
    bench.get(&value("a")).await.refused(404, "not_found");
    assert_eq!(&bench.get(&value("c")).await.bytes[..], [0, 1]);
    bench
        .post(&format!("{one}/values"), json!({}))
        .await
        .refused(400, "invalid");
    let bad = json!({ "put": [{ "key": "c", "value": "not base64", "base64": true }] });
    bench.post(&format!("{one}/values"), bad).await.refused(400, "invalid");
    bench.delete(&value("c")).await.expect(200);
    bench.get(&value("c")).await.refused(404, "not_found");
    bench
        .get(&format!("{namespaces}/{}/keys", "0".repeat(32)))
        .await
        .refused(404, "not_found");
    bench.delete(&one).await.expect(200);
    assert!(bench.pops.recorded().edits.last().unwrap().clear);
    put(value("a"), "1", &[]).await.refused(404, "not_found");
}

#[tokio::test]
async fn the_audit_log_is_read_and_verified() {
    let bench = Bench::new().await;
    bench.deployed("shop", "1").await;
    let own = bench.get("/v1/audit?limit=2").await.expect(200);
    assert_eq!(own["items"].as_array().unwrap().len(), 2);
    assert!(
        own["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|entry| entry["account"] == "acme")
    );
    let after = own["next"].as_str().unwrap();
    let rest = bench.get(&format!("/v1/audit?after={after}")).await.expect(200);
    let last = rest["items"].as_array().unwrap().last().unwrap();
    assert_eq!(last["action"], "worker.deploy");
    assert!(last["actor"].as_str().unwrap().starts_with("token:") && last["detail"]["split"].is_array());
    // Backwards: the newest first, and on from where a page ended.
    let back = bench.get("/v1/audit?direction=desc&limit=1").await.expect(200);
    assert_eq!(back["items"].as_array().unwrap(), std::slice::from_ref(last));
    let before = back["next"].as_str().unwrap();
    let path = format!("/v1/audit?direction=desc&after={before}");
    let older = bench.get(&path).await.expect(200);
    let mut forwards: Vec<Value> = own["items"].as_array().unwrap().clone();
    forwards.extend(rest["items"].as_array().unwrap().clone());
    forwards.pop();
    forwards.reverse();
    assert_eq!((&older["items"], &older["next"]), (&json!(forwards), &Value::Null));
    bench.get("/v1/audit?direction=up").await.refused(400, "invalid");
    bench.get("/v1/audit?account=rival").await.refused(403, "forbidden");
    let operator = async |path: &str| bench.call_as(&bench.platform, Method::GET, path, Value::Null).await;
    let all = operator("/v1/audit").await.expect(200);
    assert_eq!(all["items"][1]["account"], "rival");
    let rivals = operator("/v1/audit?account=rival").await.expect(200);
    assert_eq!(rivals["items"].as_array().unwrap().len(), 1);
    let verify = async |body: Value| {
        bench
            .call_as(&bench.platform, Method::POST, "/v1/audit/verify", body)
            .await
    };
    let verdict = verify(json!({})).await.expect(200);
    assert_eq!((&verdict["intact"], &verdict["broken"]), (&json!(true), &Value::Null));
    let head = verdict["head"].as_str().unwrap();
    assert_eq!(verify(json!({ "kept": [head] })).await.expect(200)["intact"], true);
    let (number, _) = head.split_once(':').unwrap();
    let rewritten = verify(json!({ "kept": [format!("{number}:{}", "0".repeat(64))] }))
        .await
        .expect(200);
    assert_eq!(rewritten["intact"], false);
    assert!(rewritten["broken"].as_str().unwrap().contains("rewritten"));
    verify(json!({ "kept": ["nonsense"] })).await.refused(400, "invalid");
    bench
        .post("/v1/audit/verify", json!({}))
        .await
        .refused(403, "forbidden");
}
