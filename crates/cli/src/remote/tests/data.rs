//! Secrets and KV: what is typed is never shown, what is written arrives as it was.

use super::commands::{NEW, shop, version, with_shop};
use super::*;
use atoll_api::rest;
use serde_json::json;

#[tokio::test]
async fn secrets() {
    let fake = with_shop().await;
    fake.on("PUT", &shop("/secrets/KEY"), Answer::json(&version(NEW, 3)));
    let secret = json!({"name": "KEY", "revision": 2, "created_ms": NOW_MS});
    fake.on("GET", &shop("/secrets"), Answer::page(&[secret]));
    fake.on("DELETE", &shop("/secrets/KEY"), Answer::json(&version(NEW, 4)));
    let mut place = Place::of(&fake);
    place.input.text = "hush\nhush\n".to_owned();
    let ran = place.run("secret put KEY --name shop").await;
    ran.check(0, &["shop: the secret KEY has a new value"]);
    // Of what is piped in, the last line end alone is not the value's.
    assert_eq!(
        fake.one("PUT", &shop("/secrets/KEY")).json(),
        json!({"value": "hush\nhush", "deploy": true})
    );
    assert!(!ran.out.contains("hush") && !ran.err.contains("hush"));
    place.input = Typed {
        terminal: true,
        text: "typed\n".to_owned(),
    };
    place
        .run("secret put KEY --name shop")
        .await
        .check(0, &["it is not shown"]);
    assert_eq!(fake.asked().pop().unwrap().json()["value"], "typed");
    let file = place.write("key.pem", "pem\n");
    place
        .run(&format!("secret put KEY --name shop --file {}", file.display()))
        .await
        .check(0, &[]);
    assert_eq!(fake.asked().pop().unwrap().json()["value"], "pem\n");
    place.run("secret list --name shop").await.check(0, &["KEY", "2"]);
    place.input = Typed::default();
    place
        .run("secret delete KEY --name shop")
        .await
        .check(0, &["delete the secret KEY?: yes", "is deleted"]);
    place
        .run("secret delete KYE --name shop")
        .await
        .check(4, &["did you mean \"KEY\"?"]);
    place.run("secret put EMPTY --name shop").await.check(1, &["is empty"]);
}

#[tokio::test]
async fn many_secrets_are_one_version() {
    let fake = with_shop().await;
    let mut serving = commands::worker("shop");
    serving.deployment = Some(commands::deployment(
        vec![commands::share(NEW, 100.0)],
        rest::RolloutState::Live,
    ));
    let manifest: atoll_model::Manifest = serde_json::from_value(json!({
        "format": 1, "account": "acme", "worker": "shop", "main_module": "a.js",
        "modules": [{"name": "a.js", "kind": "Esm", "blob": "00".repeat(32), "size": 1}],
        "assets": null, "compat_date": "2026-01-01",
    }))
    .unwrap();
    let mut newest = version(NEW, 2);
    newest.manifest = Some(manifest.clone());
    fake.on("GET", &shop(&format!("/versions/{NEW}")), Answer::json(&newest));
    fake.on(
        "POST",
        &shop("/versions"),
        Answer::json(&version("cccc0000-0000-4000-8000-000000000003", 3)),
    );
    fake.on("POST", &shop("/deployments"), Answer::json(&serving.deployment));
    let mut place = Place::of(&fake);
    place.input.text = r#"{"A": "hush", "B": null}"#.to_owned();
    // The old one serves: it is not clear who is to get them.
    place
        .run("secret bulk --name shop")
        .await
        .check(1, &["is not the one that serves everybody"]);
    let fake2 = &fake;
    fake2.on("GET", &shop(""), Answer::json(&serving));
    place.run("secret bulk --name shop").await.check(1, &["is not the one"]);
    let ran = place.run("secret bulk --name shop").await;
    ran.check(0, &["1 secret set, 1 deleted, in version cccc0000"]);
    let asked = fake.one("POST", &shop("/versions")).json();
    assert_eq!(asked["secrets"], json!({"A": "hush", "B": null}));
    assert_eq!(asked["manifest"], serde_json::to_value(manifest).unwrap());
    assert_eq!(asked["keep_secrets"], true);
}

fn namespace(id: &str, title: &str) -> rest::Namespace {
    rest::Namespace {
        id: id.to_owned(),
        kind: "kv".to_owned(),
        title: title.to_owned(),
        created_ms: NOW_MS,
    }
}

async fn with_namespaces() -> Fake {
    let fake = Fake::start().await;
    let all = [namespace("aa11", "carts"), namespace("bb22", "shop-TEXTS")];
    fake.on("GET", "/v1/accounts/acme/namespaces", Answer::page(&all));
    fake
}

fn at(rest: &str) -> String {
    format!("/v1/accounts/acme/namespaces/{rest}")
}

#[tokio::test]
async fn namespaces() {
    let fake = with_namespaces().await;
    fake.on(
        "POST",
        "/v1/accounts/acme/namespaces",
        Answer::json(&namespace("cc33", "texts")),
    );
    fake.on("DELETE", &at("aa11"), Answer::json(&json!({})));
    fake.on("PATCH", &at("aa11"), Answer::json(&namespace("aa11", "baskets")));
    let place = Place::of(&fake);
    place.run("kv namespace list").await.check(0, &["aa11", "carts"]);
    place
        .run("kv namespace create texts")
        .await
        .check(0, &["\"binding\": \"TEXTS\", \"id\": \"cc33\""]);
    place
        .run("kv namespace rename carts baskets")
        .await
        .check(0, &["is baskets from now on"]);
    place
        .run("kv namespace delete aa11")
        .await
        .check(0, &["with all that is in it?: yes", "is deleted"]);
    place
        .run("kv namespace delete cart")
        .await
        .check(4, &["did you mean \"carts\"?"]);
}

#[tokio::test]
async fn keys() {
    let fake = with_namespaces().await;
    let accepted = json!({"position": 9});
    fake.on("PUT", &at("aa11/values/user%3A1%2F2"), Answer::json(&accepted));
    fake.on("DELETE", &at("aa11/values/user%3A1%2F2"), Answer::json(&accepted));
    fake.on(
        "GET",
        &at("aa11/values/user%3A1%2F2"),
        Answer::bytes(200, vec![0, 0xff, b'\n']).field("atoll-kv-metadata", "{\"a\":1}"),
    );
    let key = |name: &str| json!({"name": name});
    fake.on(
        "GET",
        &at("aa11/keys"),
        Answer::json(&json!({"items": [key("a"), key("b")], "next": "b"})),
    );
    fake.on("GET", &at("aa11/keys"), Answer::json(&json!({"items": [key("c")]})));
    let mut place = Place::of(&fake);
    let put = [
        "kv",
        "key",
        "put",
        "user:1/2",
        "value",
        "--namespace",
        "carts",
        "--ttl",
        "60",
        "--metadata",
        "{\"a\": \"\u{e9}\"}",
    ];
    place.run_words(&put).await.check(0, &["user:1/2 is written (5 bytes)"]);
    let asked = fake.asked().pop().unwrap();
    assert_eq!(
        (asked.query.as_str(), &*asked.body),
        ("expiration_ttl=60", &b"value"[..])
    );
    assert_eq!(asked.fields["atoll-kv-metadata"], "{\"a\":\"\\u00e9\"}");
    place.input.text = "piped".to_owned();
    place
        .run("kv key put user:1/2 --namespace aa11")
        .await
        .check(0, &["5 bytes"]);
    // Byte for byte, and nothing else.
    let ran = place.run("kv key get user:1/2 --namespace carts").await;
    assert_eq!((ran.exit, &*ran.bytes), (0, &[0, 0xff, b'\n'][..]));
    let json = place.run("kv key get user:1/2 --namespace carts --json").await.json();
    assert_eq!(
        json,
        json!({"key": "user:1/2", "value": "AP8K", "base64": true, "metadata": {"a": 1}})
    );
    place
        .run("kv key get other --namespace carts")
        .await
        .check(4, &["there is no key \"other\""]);
    let ran = place.run("kv key list --namespace carts --prefix u").await;
    assert_eq!(ran.out, "a\nb\nc\n");
    let lists: Vec<String> = fake
        .asked()
        .into_iter()
        .filter(|asked| asked.path.ends_with("/keys"))
        .map(|asked| asked.query)
        .collect();
    assert!(
        lists[1].contains("after=b") && lists.iter().all(|query| query.contains("prefix=u")),
        "{lists:?}"
    );
    place
        .run("kv key delete user:1/2 --namespace carts")
        .await
        .check(0, &["is deleted"]);
    place
        .run("kv key get .. --namespace carts")
        .await
        .check(1, &["dots alone"]);
}

#[tokio::test]
async fn a_binding_names_its_namespace() {
    let fake = with_namespaces().await;
    fake.on("GET", &at("bb22/values/a"), Answer::bytes(200, "text"));
    fake.on("GET", &at("aa11/values/a"), Answer::bytes(200, "cart"));
    let place = Place::of(&fake);
    place.write(
        "wrangler.json",
        r#"{ "name": "shop", "main": "dist/not-built-yet.js", "compatibility_date": "2026-01-01",
             "kv_namespaces": [{ "binding": "TEXTS" }, { "binding": "CARTS", "id": "aa11" }, { "binding": "NEW" }] }"#,
    );
    assert_eq!(place.run("kv key get a --binding TEXTS").await.out, "text");
    assert_eq!(place.run("kv key get a --binding CARTS").await.out, "cart");
    place
        .run("kv key get a --binding NEW")
        .await
        .check(4, &["made by the first `atoll deploy`"]);
    place
        .run("kv key get a --binding TEXT")
        .await
        .check(1, &["did you mean \"TEXTS\"?"]);
}

#[tokio::test]
async fn many_keys() {
    let fake = with_namespaces().await;
    fake.on("POST", &at("aa11/values"), Answer::json(&json!({"position": 12})));
    fake.on("GET", &at("aa11/values/a"), Answer::bytes(200, "1"));
    let place = Place::of(&fake);
    place.write(
        "values.json",
        r#"[{"key": "a", "value": "1"}, {"key": "b", "value": "AA==", "base64": true, "expiration_ttl": 60}]"#,
    );
    place.write("keys.json", r#"["a", "b"]"#);
    place
        .run("kv bulk put values.json --namespace carts")
        .await
        .check(0, &["2 keys written"]);
    let asked = fake.one("POST", &at("aa11/values")).json();
    assert_eq!(
        asked["put"][1],
        json!({"key": "b", "value": "AA==", "base64": true, "expiration_ttl": 60})
    );
    let json = place.run("kv bulk get keys.json --namespace carts --json").await.json();
    assert_eq!(json["values"], json!({"a": {"value": "1"}, "b": null}));
    place
        .run("kv bulk delete keys.json --namespace carts")
        .await
        .check(0, &["delete 2 keys", "2 keys deleted"]);
    assert_eq!(fake.asked().pop().unwrap().json(), json!({"delete": ["a", "b"]}));
    place.write("bad.json", r#"{"a": 1}"#);
    place
        .run("kv bulk put bad.json --namespace carts")
        .await
        .check(1, &["bad.json is not what is read here", "JSON list"]);
    place
        .run("kv bulk put none.json --namespace carts")
        .await
        .check(1, &["none.json"]);
}
