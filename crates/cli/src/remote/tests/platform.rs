//! Commands about the platform and about what workers do: what they ask for, what they print.

use super::commands::{NEW, account, shop, with_shop};
use super::*;
use atoll_api::rest;
use serde_json::json;

#[tokio::test]
async fn pops_and_status() {
    let fake = Fake::start().await;
    let pop = rest::Pop {
        name: "fra-1".to_owned(),
        region: "eu".to_owned(),
        release: "0.1.0".to_owned(),
        state: rest::PopState::Alive,
        public_address: "http://10.0.0.1:8787".to_owned(),
        neighbour_address: "10.0.0.1:8788".to_owned(),
        publication: 17,
        canary: true,
        joined_ms: 0,
        seen_ms: NOW_MS - 1_000,
        certificate_until_ms: NOW_MS,
        clock_off_ms: 3,
        memory_bytes: 5 << 20,
        in_flight: 2,
        isolates: 4,
        telemetry_dropped: 0,
    };
    fake.on("GET", "/v1/pops", Answer::page(&[pop]));
    let token = json!({"token": "join_hush", "expires_ms": NOW_MS});
    fake.on("POST", "/v1/pops/join-tokens", Answer::json(&token));
    fake.on("DELETE", "/v1/pops/fra-1", Answer::json(&json!({})));
    let status = rest::Status {
        release: "0.1.0".to_owned(),
        now_ms: NOW_MS,
        leader: "control-1".to_owned(),
        epoch: 3,
        revision: 40,
        publication: 41,
        staged: 1,
        domains: vec!["localhost".to_owned()],
        pops: Some(rest::PopCounts {
            alive: 0,
            draining: 0,
            gone: 3,
        }),
        alarms: vec![rest::Alarm {
            since_ms: NOW_MS - 5_000,
            code: "config_rejected".to_owned(),
            message: "fra-2 refused publication 40".to_owned(),
        }],
    };
    fake.on("GET", "/v1/status", Answer::json(&status));
    let place = Place::of(&fake);
    place
        .run("pops list")
        .await
        .check(0, &["fra-1", "alive (canary)", "#17", "5.0 MiB"]);
    let ran = place.run("pops join-token --region eu --ttl 2h").await;
    ran.check(0, &["usable once"]);
    // The token alone: it can be piped.
    assert_eq!(ran.out, "join_hush\n");
    assert_eq!(
        fake.one("POST", "/v1/pops/join-tokens").json(),
        json!({"region": "eu", "ttl_s": 7200})
    );
    place
        .run("pops remove fra-1")
        .await
        .check(0, &["It has to join again", "fra-1 is revoked"]);
    place
        .run("pops remove fra-2 -y")
        .await
        .check(4, &["did you mean \"fra-1\"?"]);
    let authority = rest::Authority {
        certificates: vec![rest::AuthorityCertificate {
            fingerprint: "ab".repeat(32),
            signs: true,
        }],
        pops: vec![rest::AuthorityPop {
            name: "fra-1".to_owned(),
            state: rest::PopState::Gone,
            current: false,
        }],
    };
    fake.on("GET", "/v1/authority", Answer::json(&authority));
    fake.on("POST", "/v1/authority", Answer::json(&authority));
    place
        .run("pops authority")
        .await
        .check(0, &["abab", "signs", "not known: it is away"]);
    place
        .run("pops authority retire --force")
        .await
        .check(0, &["with every certificate"]);
    assert_eq!(
        fake.one("POST", "/v1/authority").json(),
        json!({"step": "retire", "force": true})
    );
    place.run("status").await.check(
        0,
        &[
            "control-1 (epoch 3)",
            "1 change on the way",
            "fra-2 refused",
            "no PoP is connected",
        ],
    );
    assert_eq!(
        place.run("status --json").await.json()["status"]["alarms"][0]["code"],
        "config_rejected"
    );
}

#[tokio::test]
async fn tokens() {
    let fake = Fake::start().await;
    let token = |id: &str, name: &str| {
        json!({"id": id, "account": "acme", "name": name, "permissions": ["worker:write"], "created_ms": 0,
               "expires_ms": null, "used_ms": NOW_MS, "revoked_ms": null})
    };
    fake.on(
        "GET",
        "/v1/tokens",
        Answer::page(&[token("3f9c0a", "ci"), token("3f9c0b", "laptop")]),
    );
    let made = json!({"token": token("77aa", "new"), "secret": "atoll_fresh"});
    fake.on("POST", "/v1/tokens", Answer::json(&made));
    fake.on("DELETE", "/v1/tokens/3f9c0a", Answer::json(&json!({})));
    let place = Place::of(&fake);
    place
        .run("tokens list")
        .await
        .check(0, &["3f9c0a", "laptop", "worker:write", "for ever"]);
    let ran = place.run("tokens create new --permission worker:write --ttl 30d").await;
    ran.check(0, &["it is not shown again"]);
    assert_eq!(ran.out, "atoll_fresh\n");
    assert!(!ran.err.contains("atoll_fresh"));
    let asked = fake.one("POST", "/v1/tokens").json();
    assert_eq!(
        asked,
        json!({"account": "acme", "name": "new", "permissions": ["worker:write"], "ttl_s": 2_592_000})
    );
    place
        .run("tokens revoke ci -y")
        .await
        .check(0, &["the token 3f9c0a (ci) is refused from now on"]);
    place
        .run("tokens revoke 3f9c -y")
        .await
        .check(1, &["may be any of 2 tokens"]);
    place
        .run("tokens revoke c1 -y")
        .await
        .check(4, &["did you mean \"ci\"?"]);
}

#[tokio::test]
async fn auditing() {
    let fake = Fake::start().await;
    let entry = json!({"number": 7, "time_ms": NOW_MS, "actor": "token:ci", "account": "acme", "action": "worker.deploy",
                       "target": "shop", "detail": {"number": 2}, "hash": "ab"});
    fake.on(
        "GET",
        "/v1/audit",
        Answer::json(&json!({"items": [entry], "next": "7"})),
    );
    let verdict = |intact: bool| json!({"intact": intact, "head": intact.then_some("7:ab"), "broken": (!intact).then_some("entry 5")});
    fake.on("POST", "/v1/audit/verify", Answer::json(&verdict(true)));
    fake.on("POST", "/v1/audit/verify", Answer::json(&verdict(false)));
    let place = Place::of(&fake);
    place
        .run("audit list --after 6 --limit 1")
        .await
        .check(0, &["worker.deploy", "--after 7 goes on"]);
    place
        .run("audit verify --kept 5:cd")
        .await
        .check(0, &["is intact", "7:ab"]);
    place.run("audit verify").await.check(1, &["WAS CHANGED: entry 5"]);
    assert_eq!(fake.asked()[1].json(), json!({"kept": ["5:cd"]}));
    // Who does not say where to begin is shown the newest, which come backwards.
    let numbered = |number: u64| {
        json!({"number": number, "time_ms": NOW_MS, "actor": "token:ci", "account": "acme",
                                        "action": "worker.deploy", "target": "shop", "detail": null, "hash": "ab"})
    };
    fake.on(
        "GET",
        "/v1/audit",
        Answer::json(&json!({"items": [numbered(902), numbered(901)], "next": "901"})),
    );
    let (newest, older) = (
        "there are older ones: --limit shows more",
        "--after 0 begins with the first",
    );
    let shown = place.run("audit list --limit 2").await;
    shown.check(0, &[newest, older]);
    let text = &shown.out;
    assert!(text.find("901").unwrap() < text.find("902").unwrap(), "{text}");
    assert!(fake.asked()[3].query.contains("direction=desc"));
}

#[tokio::test]
async fn accounts() {
    let fake = Fake::start().await;
    fake.on("GET", "/v1/accounts", Answer::page(&[account("acme")]));
    fake.on("POST", "/v1/accounts", Answer::json(&account("blue")));
    fake.on("PATCH", "/v1/accounts/blue", Answer::json(&account("blue")));
    let place = Place::of(&fake);
    place
        .run("accounts list")
        .await
        .check(0, &["acme", "WORKER.acme.DOMAIN"]);
    place
        .run("accounts create blue --subdomain blue")
        .await
        .check(0, &["account     blue"]);
    assert_eq!(
        fake.one("POST", "/v1/accounts").json(),
        json!({"id": "blue", "name": "blue"})
    );
    place
        .run("accounts update blue")
        .await
        .check(1, &["nothing is to be changed"]);
    place
        .run("accounts update blue --suspend --bound workers=3 --bound cpu_ms=default")
        .await
        .check(0, &[]);
    let asked = fake.asked().pop().unwrap().json();
    assert_eq!(
        asked,
        json!({"suspended": true, "bounds": {"cpu_ms": null, "workers": 3}})
    );
}

#[tokio::test]
async fn invoking() {
    let fake = Fake::start().await;
    let answer = Answer::bytes(418, vec![1, 0xff])
        .field("atoll-invoked", "10.0.0.1:8787")
        .field("x-own", "yes");
    fake.on("POST", "/v1/invoke/shop%3Abeta/cart", answer);
    fake.on(
        "POST",
        "/v1/invoke/shop",
        Answer::error(503, "no_pops", "no PoP is alive"),
    );
    let mut place = Place::of(&fake);
    place.input.text = "body".to_owned();
    let words = [
        "invoke",
        "shop:beta",
        "--path",
        "/cart?x=1",
        "-d",
        "@-",
        "-H",
        "x-a: b",
        "--include",
    ];
    let ran = place.run_words(&words).await;
    ran.check(1, &["418", "x-own: yes"]);
    assert!(ran.bytes.ends_with(&[1, 0xff]));
    let asked = fake.asked().pop().unwrap();
    assert_eq!((asked.query.as_str(), &*asked.body), ("x=1&account=acme", &b"body"[..]));
    assert_eq!(asked.fields["x-a"], "b");
    // What a worker does is not done twice.
    place.run("invoke shop").await.check(6, &["no PoP is alive"]);
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn tailing() {
    let fake = with_shop().await;
    let event = json!({"outcome": "exception", "scriptName": "shop", "eventTimestamp": NOW_MS, "wallTime": 12, "cpuTime": 3,
        "event": {"request": {"url": "http://shop/cart", "method": "GET"}, "response": {"status": 500}},
        "logs": [{"message": ["hello", {"a": 1}], "level": "warn", "timestamp": NOW_MS}],
        "exceptions": [{"name": "TypeError", "message": "no cart", "stack": "TypeError: no cart\n    at cart.ts:3:1", "timestamp": NOW_MS}]});
    let lines = format!(
        "{{\"type\":\"begun\",\"pops\":3}}\n{{\"type\":\"event\",\"event\":{event}}}\n{{\"type\":\"ping\"}}\n\
         {{\"type\":\"dropped\",\"count\":4}}\n"
    );
    fake.on("GET", &shop("/tail"), Answer::bytes(200, lines));
    fake.on("GET", &shop("/tail"), Answer::error(404, "not_found", "it is gone"));
    let place = Place::of(&fake);
    let line =
        "tail shop --format pretty --status error --method post --search cart --version-id v2 --sampling-rate 0.5";
    let ran = place.run(line).await;
    ran.check(
        4,
        &[
            "watching shop on 3 PoPs",
            "GET http://shop/cart 500 exception (12ms wall, 3ms CPU)",
            "(warn) hello {\"a\":1}",
            "TypeError: no cart",
            "at cart.ts:3:1",
            "4 events that fit are not shown",
            "the tail was cut (the control plane ended it)",
            "it is gone",
        ],
    );
    let asked = fake
        .asked()
        .into_iter()
        .find(|asked| asked.path == shop("/tail"))
        .unwrap();
    for part in [
        "status=error",
        "method=POST",
        "search=cart",
        &format!("version={NEW}"),
        "sampling_rate=0.5",
    ] {
        assert!(
            asked.query.split('&').any(|pair| pair == part),
            "{part}: {}",
            asked.query
        );
    }
}

#[tokio::test]
async fn metrics() {
    let fake = with_shop().await;
    let point = |requests, cpu_us| rest::MetricPoint {
        requests,
        statuses: vec![0, requests - 1, 0, 0, 1],
        exceptions: 1,
        cpu_us,
        subrequests: 3,
        cache_hits: 2,
        cache_misses: 1,
        latency: vec![requests - 1, 1, 0],
        ..rest::MetricPoint::default()
    };
    let series = |route: &str, points| rest::MetricSeries {
        worker: Some("shop".to_owned()),
        route: Some(route.to_owned()),
        points,
        ..rest::MetricSeries::default()
    };
    let told = rest::Metrics {
        from_ms: NOW_MS - 600_000,
        to_ms: NOW_MS,
        step_ms: 600_000,
        latency_bounds_ms: vec![5, 20],
        series: vec![
            series("quiet.example.com/*", vec![point(2, 900)]),
            series("shop.example.com/*", vec![point(100, 42_500)]),
        ],
    };
    let at = "/v1/accounts/acme/metrics";
    fake.on("GET", at, Answer::json(&told));
    let place = Place::of(&fake);
    place.run("metrics --since 10m --by worker,route").await.check(
        0,
        &[
            "Worker",
            "shop.example.com/*",
            "100",
            "5 ms",
            "20 ms",
            "2 of 3",
            "no longer than this",
        ],
    );
    let asked = fake.one("GET", at);
    let since = format!("from_ms={}", NOW_MS - 600_000);
    assert!(
        asked.query.contains(&since) && asked.query.contains("by=worker%2Croute"),
        "{}",
        asked.query
    );
}

#[tokio::test]
async fn logs() {
    let fake = with_shop().await;
    let logs = rest::Logs {
        items: vec![rest::LogRecord {
            time_ms: NOW_MS,
            pop: "fra-1".to_owned(),
            version: NEW.to_owned(),
            level: "error".to_owned(),
            request: "7".to_owned(),
            record: json!({"message": "no cart"}),
        }],
        next: "9".to_owned(),
        dropped: 2,
    };
    fake.on("GET", &shop("/logs"), Answer::json(&logs));
    let place = Place::of(&fake);
    place
        .run("logs --name shop --since 15m --level error")
        .await
        .check(0, &["error fra-1 90ab12cd no cart", "2 records"]);
    let asked = fake.one("GET", &shop("/logs"));
    let since = format!("since_ms={}", NOW_MS - 900_000);
    assert!(
        asked.query.contains(&since) && asked.query.contains("level=error"),
        "{}",
        asked.query
    );
}
