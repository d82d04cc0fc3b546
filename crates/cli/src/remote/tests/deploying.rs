//! From a directory to a deployment: what is sent, in which order, and how it may end.

use super::commands::{DEPLOYMENT, NEW, OLD, account, deployment, rollout, share, shop, version, worker};
use super::*;
use atoll_api::rest::{self, RolloutState};
use atoll_model::BlobHash;
use serde_json::json;

const CODE: &str = "export default { fetch() { return new Response('hi') } }\n";

fn project(place: &Place, keys: &str) {
    place.write("dist/index.js", CODE);
    place.write("public/index.html", "hello");
    place.write("public/new.css", "a{}");
    place.write(".dev.vars", "SECRET=of this machine\n");
    place.write(
        "wrangler.json",
        &format!(
            r#"{{ "name": "shop", "main": "dist/index.js", "no_bundle": true, "compatibility_date": "2026-01-01",
                 "assets": {{ "directory": "public" }}, "vars": {{ "GREETING": "hi" }}{keys} }}"#
        ),
    );
}

fn hash(text: &str) -> String {
    BlobHash::of(text.as_bytes()).to_string()
}

/// A control plane that takes a version and a deployment, which goes through these states.
async fn taking(states: &[rest::Rollout]) -> Fake {
    let fake = Fake::start().await;
    fake.on(
        "POST",
        "/v1/accounts/acme/blobs/missing",
        Answer::json(&json!({"missing": [hash(CODE), hash("a{}")]})),
    );
    for text in [CODE, "a{}"] {
        let path = format!("/v1/accounts/acme/blobs/{}", hash(text));
        fake.on(
            "PUT",
            &path,
            Answer::json(&json!({"hash": hash(text), "size": text.len()})),
        );
    }
    fake.on("POST", &shop("/versions"), Answer::json(&version(NEW, 2)));
    let made = rest::Deployment {
        rollout: None,
        ..deployment(vec![share(NEW, 100.0)], RolloutState::Probing)
    };
    fake.on("POST", &shop("/deployments"), Answer::json(&made));
    for state in states {
        let now = rest::Deployment {
            rollout: Some(state.clone()),
            ..made.clone()
        };
        fake.on("GET", &shop(&format!("/deployments/{DEPLOYMENT}")), Answer::json(&now));
    }
    fake
}

/// The worker is there, with a version whose assets were others.
fn there(fake: &Fake) {
    fake.on("GET", &shop(""), Answer::json(&worker("shop")));
    let manifest = json!({
        "format": 1, "account": "acme", "worker": "shop", "main_module": null, "modules": [], "compat_date": "2026-01-01",
        "assets": {"config": {"binding": null}, "files": [
            {"path": "/index.html", "blob": hash("hello"), "size": 5},
            {"path": "/gone.txt", "blob": hash("x"), "size": 1},
        ]},
    });
    let mut old = version(OLD, 1);
    old.manifest = Some(serde_json::from_value(manifest).expect("a manifest"));
    fake.on("GET", &shop(&format!("/versions/{OLD}")), Answer::json(&old));
}

#[tokio::test]
async fn a_project_becomes_live() {
    let fake = taking(&[rollout(RolloutState::Baking), rollout(RolloutState::Live)]).await;
    there(&fake);
    let place = Place::of(&fake);
    project(&place, "");
    let ran = place.run_words(&["deploy", "-m", "new cart", "--tag", "v2"]).await;
    ran.check(
        0,
        &[
            "shop: 1 module, 57 B (",
            "2 assets, 8 B",
            "env.GREETING",
            "+ /new.css",
            "- /gone.txt",
            "assets: 1 new, 0 changed, 1 gone, 1 as before",
            "2 files uploaded (60 B)",
            &format!("version {NEW} (number 2), starts in 3 ms"),
            "on fra-1, being watched",
            "is live on 3 of 3 PoPs",
            "http://shop.acme.localhost",
        ],
    );
    let asked = fake.one("POST", &shop("/versions")).json();
    assert_eq!((&asked["message"], &asked["tag"]), (&json!("new cart"), &json!("v2")));
    assert_eq!(asked["keep_secrets"], true);
    // Secrets of this machine stay here.
    assert!(!asked.to_string().contains("of this machine"));
    assert_eq!(asked["manifest"]["account"], "acme");
    assert_eq!(asked["manifest"]["modules"][0]["blob"], hash(CODE));
    assert_eq!(asked["manifest"]["assets"]["files"][1]["path"], "/new.css");
    let body = fake.one("POST", &shop("/deployments")).json();
    assert_eq!(body["versions"], json!([{"version": NEW, "percent": 100.0}]));
    let lines = fake.lines();
    let at = |line: String| {
        lines
            .iter()
            .position(|known| *known == line)
            .unwrap_or_else(|| panic!("{line}: {lines:#?}"))
    };
    // Nothing is a version before all of it is there.
    let blob = format!("PUT /v1/accounts/acme/blobs/{}", hash(CODE));
    assert!(at(blob) < at(format!("POST {}", shop("/versions"))));
    assert!(at(format!("POST {}", shop("/versions"))) < at(format!("POST {}", shop("/deployments"))));
}

#[tokio::test]
async fn the_first_deployment_of_a_worker() {
    let fake = taking(&[rollout(RolloutState::Live)]).await;
    fake.on(
        "GET",
        &shop(""),
        Answer::error(404, "not_found", "there is no worker \"shop\""),
    );
    fake.on("GET", &shop(""), Answer::json(&worker("shop")));
    fake.on("GET", "/v1/accounts/acme", Answer::json(&account("acme")));
    let place = Place::of(&fake);
    project(&place, "");
    let json = place.run("deploy --json").await.json();
    assert_eq!(json["exit"], 0);
    assert_eq!(json["version"]["id"], NEW);
    assert_eq!(json["deployment"]["rollout"]["state"], "live");
    assert_eq!(json["urls"], json!(["http://shop.acme.localhost"]));
    assert_eq!(json["uploaded"], json!({"blobs": 2, "bytes": 60}));
    assert_eq!(json["asset_changes"]["added"], json!(["/index.html", "/new.css"]));
}

#[tokio::test]
async fn a_canary_that_fails_is_told() {
    let failed = rest::Rollout {
        reason: Some("12 % of the requests failed: TypeError: no cart".to_owned()),
        errors: 30,
        ..rollout(RolloutState::RolledBack)
    };
    let fake = taking(&[rollout(RolloutState::Baking), failed]).await;
    there(&fake);
    let place = Place::of(&fake);
    project(&place, "");
    let ran = place.run("deploy").await;
    ran.check(
        7,
        &[
            "was rolled back on fra-1",
            "TypeError: no cart",
            "250 requests, 30 errors",
            "what served before serves again",
        ],
    );
    assert!(!ran.out.contains("http://shop"), "{ran:?}");
}

#[tokio::test]
async fn a_tenth_of_the_requests() {
    let fake = taking(&[rollout(RolloutState::Live)]).await;
    there(&fake);
    let place = Place::of(&fake);
    project(&place, "");
    place
        .run("deploy --percent 10")
        .await
        .check(0, &["shares: 90ab12cd 10 %, 1f2e3d4c 90 %"]);
    let body = fake.one("POST", &shop("/deployments")).json();
    assert_eq!(
        body["versions"],
        json!([{"version": NEW, "percent": 10.0}, {"version": OLD, "percent": 90.0}])
    );
    assert_eq!(body["replaces"], DEPLOYMENT);
}

#[tokio::test]
async fn what_the_configuration_says_of_addresses() {
    let fake = taking(&[rollout(RolloutState::Live)]).await;
    there(&fake);
    fake.on("PATCH", &shop(""), Answer::json(&worker("shop")));
    fake.on("GET", &shop("/crons"), Answer::json(&json!({"crons": []})));
    fake.on("PUT", &shop("/crons"), Answer::json(&json!({"crons": ["0 * * * *"]})));
    fake.on("PUT", &shop("/routes"), Answer::json(&json!({"items": []})));
    let domain = json!({"id": "0", "name": "shop.example", "worker": "shop"});
    fake.on("PUT", "/v1/accounts/acme/domains/shop.example", Answer::json(&domain));
    let place = Place::of(&fake);
    let keys = r#", "workers_dev": true, "preview_urls": false, "triggers": { "crons": ["0 * * * *"] },
        "routes": ["example.com/api/*", { "pattern": "shop.example", "custom_domain": true }]"#;
    project(&place, keys);
    place.run("deploy").await.check(
        0,
        &["runs at 0 * * * *", "routes: example.com/api/*", "domain: shop.example"],
    );
    assert_eq!(
        fake.one("PATCH", &shop("")).json(),
        json!({"subdomain": true, "previews": false})
    );
    assert_eq!(
        fake.one("PUT", &shop("/routes")).json(),
        json!({"patterns": ["example.com/api/*"]})
    );
    // A domain that is taken: the version serves, and that is said.
    let conflict = Answer::error(409, "exists", "shop.example is another account's");
    fake.on("PUT", "/v1/accounts/acme/domains/shop.example", conflict);
    place.run("deploy").await.check(0, &[]);
    place
        .run("deploy")
        .await
        .check(5, &["is deployed, but not its addresses", "another account's"]);
}

#[tokio::test]
async fn namespaces_are_provided() {
    let fake = taking(&[rollout(RolloutState::Live)]).await;
    there(&fake);
    let namespace = |id: &str, title: &str| json!({"id": id, "kind": "kv", "title": title, "created_ms": 0});
    let path = "/v1/accounts/acme/namespaces";
    fake.on(
        "GET",
        path,
        Answer::page(&[namespace("aa11", "carts"), namespace("bb22", "shop-KNOWN")]),
    );
    fake.on("POST", path, Answer::json(&namespace("cc33", "shop-NEW")));
    let place = Place::of(&fake);
    let keys =
        r#", "kv_namespaces": [{ "binding": "CARTS", "id": "aa11" }, { "binding": "KNOWN" }, { "binding": "NEW" }]"#;
    project(&place, keys);
    place.run("deploy").await.check(
        0,
        &[
            "a KV namespace was made for NEW: cc33 (shop-NEW)",
            "find it by that title",
        ],
    );
    assert_eq!(fake.one("POST", path).json()["title"], "shop-NEW");
    let bindings = fake.one("POST", &shop("/versions")).json()["manifest"]["bindings"].clone();
    let id = |name: &str| {
        let all = bindings.as_array().expect("a list").iter();
        all.filter(|pair| pair[0] == name)
            .map(|pair| pair[1]["namespace"].clone())
            .next()
    };
    assert_eq!(
        [id("CARTS"), id("KNOWN"), id("NEW")],
        [Some("aa11".into()), Some("bb22".into()), Some("cc33".into())]
    );
    project(&place, r#", "kv_namespaces": [{ "binding": "CARTS", "id": "aa12" }]"#);
    let ran = place.run("deploy").await;
    ran.check(
        4,
        &[
            "names the KV namespace aa12, which the account acme does not have",
            "did you mean \"aa11\"?",
        ],
    );
}

#[tokio::test]
async fn a_dry_run_needs_nobody() {
    let place = Place::empty();
    project(&place, "");
    let ran = place.run("deploy --dry-run --outdir out").await;
    ran.check(0, &["shop: 1 module", "nothing was sent"]);
    assert_eq!(
        std::fs::read_to_string(place.path().join("out/index.js")).unwrap(),
        CODE
    );
    let json = place.run("deploy --dry-run --json").await.json();
    assert_eq!(
        (&json["worker"], &json["blobs"], &json["dry_run"]),
        (&json!("shop"), &json!(3), &json!(true))
    );
    assert!(json["gzip_bytes"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_project_is_said_before_anything_is_sent() {
    let fake = Fake::start().await;
    let place = Place::of(&fake);
    place
        .run("deploy")
        .await
        .check(1, &["no configuration found", "atoll init"]);
    place.write("wrangler.json", r#"{ "name": "Shop", "main": "none.js" }"#);
    place
        .run("deploy")
        .await
        .check(1, &["wrangler.json is not valid", "lower-case"]);
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn an_upload_that_does_not_start() {
    let fake = taking(&[]).await;
    let fresh = Fake::start().await;
    fresh.on(
        "POST",
        "/v1/accounts/acme/blobs/missing",
        Answer::json(&json!({"missing": []})),
    );
    fresh.on("GET", "/v1/accounts/acme", Answer::json(&account("acme")));
    fresh.on(
        "POST",
        &shop("/versions"),
        Answer::error(422, "preflight", "it threw while it started: ReferenceError: x"),
    );
    let place = Place::of(&fresh);
    project(&place, "");
    place.run("deploy").await.check(
        1,
        &["ReferenceError: x", "nothing was changed", "nothing had to be uploaded"],
    );
    drop(fake);
}

#[tokio::test]
async fn versions_without_traffic() {
    let fake = taking(&[]).await;
    there(&fake);
    let place = Place::of(&fake);
    project(&place, "");
    place.write("more.env", "A=hush\n");
    let ran = place
        .run("versions upload --secrets-file more.env --keep-secret B")
        .await;
    ran.check(0, &["it has no traffic yet: `atoll versions deploy 90ab12cd`", "env.A"]);
    assert!(!ran.out.contains("hush"));
    let asked = fake.one("POST", &shop("/versions")).json();
    assert_eq!(
        (&asked["secrets"], &asked["keep_secrets"]),
        (&json!({"A": "hush"}), &json!(["B"]))
    );
    assert!(!fake.lines().contains(&format!("POST {}", shop("/deployments"))));
}

#[tokio::test]
async fn ctrl_c_leaves_the_rollout_alone() {
    let fake = taking(&[rollout(RolloutState::Baking)]).await;
    there(&fake);
    let place = Place::of(&fake);
    project(&place, "");
    let (signals, inputs) = mpsc::channel(1);
    let watched = format!("GET {}", shop(&format!("/deployments/{DEPLOYMENT}")));
    let running = place.run_with(&["deploy"], inputs);
    let (ran, ()) = tokio::join!(running, async {
        while !fake.lines().contains(&watched) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        signals.send(crate::terminal::Input::Interrupt).await.expect("it runs");
    });
    ran.check(130, &["the rollout goes on: `atoll deployments status --name shop`"]);
}

#[tokio::test]
async fn who_does_not_wait() {
    let fake = taking(&[]).await;
    there(&fake);
    let place = Place::of(&fake);
    project(&place, "");
    place
        .run("deploy --detach --immediate")
        .await
        .check(0, &["is accepted"]);
    assert_eq!(fake.one("POST", &shop("/deployments")).json()["immediate"], true);
}
