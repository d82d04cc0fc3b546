//! What is absurd stays outside: every field of what changes the edge configuration, nulled, emptied, doubled, oversized. Whatever the
//! API says to it, it says so with a 4xx, or has made of it something that every PoP reads.

use crate::bench::{Bench, upload};
use atoll_model::EdgeConfig;
use http::Method;
use serde_json::{Value, json};

const SHOP: &str = "/v1/accounts/acme/workers/shop";

/// Everything that a value may be instead.
fn instead(value: &Value) -> Vec<Value> {
    let mut all = vec![
        Value::Null,
        json!(""),
        json!([]),
        json!({}),
        json!(true),
        json!(-1),
        json!(0),
        json!(u64::MAX),
        json!(1e300),
        json!("\u{0}\u{0}"),
        json!("x".repeat(100_000)),
        json!("../../etc"),
        json!("\u{202e}\u{1f4a3}"),
        json!(vec![Value::Null; 3]),
        json!(vec![0; 5_000]),
    ];
    match value {
        Value::Array(items) => {
            all.push(json!([items.clone(), items.clone()].concat()));
            all.push(json!(items.iter().cycle().take(3_000).collect::<Vec<_>>()));
        }
        Value::String(text) => {
            all.push(json!(format!("{text}{text}")));
            all.push(json!(format!(" {text}\n")));
        }
        _ => {}
    }
    all
}

/// The body with one of its values, at whatever depth, replaced by each of these; or left out.
fn mutations(body: &Value) -> Vec<Value> {
    let mut all = instead(body);
    match body {
        Value::Object(fields) => {
            for (name, value) in fields {
                let mut without = fields.clone();
                without.remove(name);
                all.push(Value::Object(without));
                for value in mutations(value) {
                    let mut changed = fields.clone();
                    changed.insert(name.clone(), value);
                    all.push(Value::Object(changed));
                }
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                for value in mutations(value) {
                    let mut changed = items.clone();
                    changed[at] = value;
                    all.push(Value::Array(changed));
                }
            }
        }
        _ => {}
    }
    all
}

/// What the catalog says now can be read as it travels, and is what its rows say.
async fn config(bench: &Bench) -> EdgeConfig {
    let config = bench.catalog.check().await.unwrap();
    assert_eq!(EdgeConfig::decode(&config.encode()).unwrap(), config);
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_absurd_is_refused_at_the_door() {
    let bench = Bench::new().await;
    let (one, _) = bench.deployed("shop", "one").await;
    let two = bench.upload("shop", "two").await.expect(201)["id"].clone();
    let split = json!({ "versions": [{ "version": one, "percent": 60 }, { "version": two, "percent": 40 }] });
    let bodies = [
        (Method::POST, format!("{SHOP}/versions"), upload("one")),
        (Method::POST, format!("{SHOP}/deployments"), split.clone()),
        (Method::PUT, format!("{SHOP}/aliases/live"), split),
        (
            Method::PUT,
            format!("{SHOP}/crons"),
            json!({ "crons": ["* * * * *", "0 9 * * MON"] }),
        ),
        (
            Method::PUT,
            format!("{SHOP}/routes"),
            json!({ "patterns": ["a.example.com/*", "b.example.com/x*"] }),
        ),
        (
            Method::PUT,
            "/v1/accounts/acme/domains/c.example.com".to_owned(),
            json!({ "worker": "shop" }),
        ),
        (
            Method::PATCH,
            SHOP.to_owned(),
            json!({ "subdomain": true, "previews": false }),
        ),
        (
            Method::PATCH,
            "/v1/accounts/acme".to_owned(),
            json!({ "subdomain": "acme", "suspended": false, "bounds": { "cpu_ms": 50 } }),
        ),
    ];
    let (mut refused, mut taken) = (0, 0);
    for (method, path, body) in bodies {
        let good = bench
            .call_as(&bench.platform, method.clone(), &path, body.clone())
            .await;
        assert!(good.status.is_success(), "{path}: {good:?}");
        for absurd in mutations(&body) {
            let before = config(&bench).await;
            let answer = bench
                .call_as(&bench.platform, method.clone(), &path, absurd.clone())
                .await;
            let shown: String = absurd.to_string().chars().take(200).collect();
            if answer.status.is_client_error() {
                refused += 1;
                assert!(answer.json()["error"]["message"].is_string(), "{path} {shown}");
                assert_eq!(
                    config(&bench).await,
                    before,
                    "{path} {shown} is refused and changes something"
                );
            } else {
                taken += 1;
                assert!(answer.status.is_success(), "{path} {shown}: {answer:?}");
                config(&bench).await;
            }
        }
        // A key that stands twice is not the last one's.
        let text = body.to_string();
        let twice = format!("{},{}", &text[..text.len() - 1], &text[1..]);
        let kind = [("content-type", "application/json")];
        let request = bench.request(Some(&bench.platform), &method, &path, twice, &kind);
        bench.send(request).await.refused(400, "invalid");
        let request = bench.request(Some(&bench.platform), &method, &path, vec![0; 300], &kind);
        bench.send(request).await.refused(400, "invalid");
    }
    assert!(refused > 10 * taken, "{refused} refused, {taken} taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_pop_would_take_is_named() {
    let bench = Bench::new().await;
    let (one, _) = bench.deployed("shop", "one").await;
    let version = |percent: Value| json!({ "version": one, "percent": percent });
    let deployments = format!("{SHOP}/deployments");
    for (versions, says) in [
        (json!([]), "version"),
        (json!(null), "null"),
        (json!([version(json!(0))]), "a share of 0 %"),
        (json!([version(json!(99))]), "100"),
        (json!([version(json!(101))]), "101"),
        (json!([version(json!(50)), version(json!(50))]), "version"),
        (json!([{ "version": "", "percent": 100 }]), "version"),
        (json!([{ "version": null, "percent": 100 }]), "null"),
        (json!([version(json!(null))]), "null"),
    ] {
        let answer = bench.post(&deployments, json!({ "versions": versions })).await;
        assert!(answer.status.is_client_error(), "{versions}: {answer:?}");
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        println!("{versions}: {message}");
        assert!(message.contains(says), "{versions}: {message}");
    }
}
