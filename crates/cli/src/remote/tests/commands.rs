//! Commands that look and commands that change one thing: what they ask for, what they print.

use super::*;
use atoll_api::rest;
use serde_json::json;

pub(super) const OLD: &str = "1f2e3d4c-0000-4000-8000-000000000001";
pub(super) const NEW: &str = "90ab12cd-0000-4000-8000-000000000002";
pub(super) const DEPLOYMENT: &str = "dddd0000-0000-4000-8000-00000000000d";

pub(super) fn account(id: &str) -> rest::Account {
    rest::Account {
        id: id.to_owned(),
        name: id.to_uppercase(),
        created_ms: 0,
        suspended: false,
        subdomain: Some(id.to_owned()),
        bounds: Default::default(),
    }
}

pub(super) fn share(version: &str, percent: f64) -> rest::VersionShare {
    rest::VersionShare {
        version: version.to_owned(),
        percent,
    }
}

pub(super) fn version(id: &str, number: u64) -> rest::Version {
    rest::Version {
        id: id.to_owned(),
        number,
        artifact: "00".repeat(32),
        created_ms: NOW_MS - 60_000,
        author: "token:ci".to_owned(),
        source: "cli".to_owned(),
        message: None,
        tag: Some(format!("v{number}")),
        code_bytes: 2_048,
        startup_ms: Some(3),
        secrets: vec![],
        preview_urls: vec![],
        exports: vec![],
        manifest: None,
    }
}

pub(super) fn rollout(state: rest::RolloutState) -> rest::Rollout {
    rest::Rollout {
        state,
        unproven: false,
        canary: Some("fra-1".to_owned()),
        requests: 250,
        errors: 0,
        reason: None,
        since_ms: NOW_MS,
        pops: rest::RolloutPops { applied: 3, total: 3 },
    }
}

pub(super) fn deployment(versions: Vec<rest::VersionShare>, state: rest::RolloutState) -> rest::Deployment {
    rest::Deployment {
        id: DEPLOYMENT.to_owned(),
        number: 2,
        kind: rest::DeploymentKind::Deploy,
        created_ms: NOW_MS - 120_000,
        author: "token:ci".to_owned(),
        source: "cli".to_owned(),
        message: Some("new cart".to_owned()),
        immediate: false,
        versions,
        urls: vec!["http://shop.acme.localhost".to_owned()],
        rollout: Some(rollout(state)),
    }
}

pub(super) fn worker(name: &str) -> rest::Worker {
    rest::Worker {
        name: name.to_owned(),
        tag: "0".repeat(32),
        created_ms: 0,
        subdomain: true,
        previews: false,
        urls: vec![format!("http://{name}.acme.localhost")],
        deployment: Some(deployment(vec![share(OLD, 100.0)], rest::RolloutState::Live)),
    }
}

/// `/v1/accounts/acme/workers/shop...`
pub(super) fn shop(rest: &str) -> String {
    format!("/v1/accounts/acme/workers/shop{rest}")
}

/// A control plane with a worker `shop` of two versions.
pub(super) async fn with_shop() -> Fake {
    let fake = Fake::start().await;
    fake.on("GET", &shop(""), Answer::json(&worker("shop")));
    fake.on(
        "GET",
        &shop("/versions"),
        Answer::page(&[version(NEW, 2), version(OLD, 1)]),
    );
    fake
}

#[tokio::test]
async fn versions() {
    let fake = with_shop().await;
    let mut full = version(NEW, 2);
    full.secrets = vec![rest::SecretOfVersion {
        name: "KEY".to_owned(),
        revision: 4,
    }];
    full.preview_urls = vec!["http://90ab12cd-shop.acme.localhost".to_owned()];
    fake.on("GET", &shop(&format!("/versions/{NEW}")), Answer::json(&full));
    let place = Place::of(&fake);
    let ran = place.run("versions list --name shop").await;
    ran.check(0, &[NEW, "100 %", "60 s ago", "2.0 KiB", "3 ms", "v2"]);
    let json = place.run("versions list --name shop --json --limit 1").await.json();
    assert_eq!(json["versions"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["serving"][0]["version"], OLD);
    let asked = fake.asked();
    assert!(asked.iter().any(|asked| asked.query == "limit=1"), "{asked:?}");
    let ran = place.run("versions view 90ab --name shop").await;
    ran.check(0, &[NEW, "secrets   KEY", "http://90ab12cd-shop", "token:ci"]);
    place
        .run("versions view v3 --name shop")
        .await
        .check(4, &["no version \"v3\"", "did you mean \"v2\"?"]);
}

#[tokio::test]
async fn traffic_is_shared() {
    let fake = with_shop().await;
    let both = vec![share(NEW, 10.0), share(OLD, 90.0)];
    fake.on(
        "POST",
        &shop("/deployments"),
        Answer::json(&deployment(both.clone(), rest::RolloutState::Baking)),
    );
    let path = shop(&format!("/deployments/{DEPLOYMENT}"));
    fake.on(
        "GET",
        &path,
        Answer::json(&deployment(both.clone(), rest::RolloutState::Rolling)),
    );
    fake.on("GET", &path, Answer::json(&deployment(both, rest::RolloutState::Live)));
    let place = Place::of(&fake);
    let ran = place.run("versions deploy 90ab@10 1f2e@90 --name shop -m try").await;
    ran.check(
        0,
        &[
            "90ab12cd 10 %, 1f2e3d4c 90 % serve in place of 1f2e3d4c?: yes, as nobody can be asked here",
            "on fra-1, being watched: 250 requests, 0 errors",
            "going to all PoPs",
            "is live on 3 of 3 PoPs",
        ],
    );
    let asked = fake.one("POST", &shop("/deployments")).json();
    let expected = json!({"versions": [{"version": NEW, "percent": 10.0}, {"version": OLD, "percent": 90.0}],
        "message": "try", "immediate": false, "source": "cli", "replaces": DEPLOYMENT});
    assert_eq!(asked, expected);
    place
        .run("versions deploy 90ab@10 --name shop")
        .await
        .check(1, &["10 % in all"]);
}

#[tokio::test]
async fn who_is_asked_may_say_no() {
    let fake = with_shop().await;
    let mut place = Place::of(&fake);
    place.input = Typed {
        terminal: true,
        text: "no\n".to_owned(),
    };
    place
        .run("versions deploy 90ab --name shop")
        .await
        .check(1, &["[y/N]", "nothing was done"]);
    assert!(fake.lines().iter().all(|line| line.starts_with("GET")));
}

#[tokio::test]
async fn deployments() {
    let fake = with_shop().await;
    let one = deployment(vec![share(OLD, 100.0)], rest::RolloutState::Live);
    fake.on("GET", &shop("/deployments"), Answer::page(std::slice::from_ref(&one)));
    fake.on("GET", &shop(&format!("/deployments/{DEPLOYMENT}")), Answer::json(&one));
    let place = Place::of(&fake);
    place
        .run("deployments list --name shop")
        .await
        .check(0, &[DEPLOYMENT, "2 min ago", "1f2e3d4c", "new cart"]);
    place
        .run("deployments status --name shop")
        .await
        .check(0, &["live on 3 of 3 PoPs"]);
    place
        .run("deployments status dddd --name shop")
        .await
        .check(0, &["live"]);
    place
        .run("deployments status eeee --name shop")
        .await
        .check(4, &["no deployment \"eeee\""]);
    let json = place.run("deployments status --name shop --watch --json").await.json();
    assert_eq!(json["deployment"]["rollout"]["state"], "live");
}

#[tokio::test]
async fn rolling_back() {
    let fake = with_shop().await;
    let now = deployment(vec![share(NEW, 100.0)], rest::RolloutState::Live);
    let before = rest::Deployment {
        id: "bbbb0000-0000-4000-8000-00000000000b".to_owned(),
        ..deployment(vec![share(OLD, 100.0)], rest::RolloutState::Live)
    };
    fake.on("GET", &shop("/deployments"), Answer::page(&[now, before.clone()]));
    fake.on("POST", &shop("/rollback"), Answer::json(&before));
    let place = Place::of(&fake);
    let ran = place.run("rollback --name shop -m broken").await;
    ran.check(
        0,
        &["to 1f2e3d4c (deployment bbbb0000)?: yes", "is live on 3 of 3 PoPs"],
    );
    let asked = fake.one("POST", &shop("/rollback")).json();
    assert_eq!(
        asked,
        json!({"message": "broken", "source": "cli", "replaces": DEPLOYMENT})
    );
    place.run("rollback v1 --name shop -y").await.check(0, &["live"]);
}

#[tokio::test]
async fn workers_are_listed_and_removed() {
    let fake = with_shop().await;
    let hidden = rest::Worker {
        subdomain: false,
        ..worker("api")
    };
    fake.on(
        "GET",
        "/v1/accounts/acme/workers",
        Answer::page(&[hidden, worker("shop")]),
    );
    fake.on(
        "GET",
        "/v1/accounts/acme/workers/shpo",
        Answer::error(404, "not_found", "no"),
    );
    fake.on("DELETE", &shop(""), Answer::json(&json!({})));
    let mut place = Place::of(&fake);
    let ran = place.run("workers list").await;
    ran.check(
        0,
        &["api", "routes and domains alone", "shop", "http://shop.acme.localhost"],
    );
    place.run("delete shpo").await.check(4, &["no worker \"shpo\"", "shop"]);
    place.input = Typed {
        terminal: true,
        text: "n\n".to_owned(),
    };
    place.run("delete shop").await.check(1, &["[y/N]", "nothing was done"]);
    assert!(fake.lines().iter().all(|line| line.starts_with("GET")));
    place.run("delete shop -y").await.check(0, &["shop is gone"]);
    fake.one("DELETE", &shop(""));
}

#[tokio::test]
async fn nothing_to_roll_back_to() {
    let fake = with_shop().await;
    fake.on(
        "GET",
        &shop("/deployments"),
        Answer::page(&[deployment(vec![share(OLD, 100.0)], rest::RolloutState::Live)]),
    );
    Place::of(&fake)
        .run("rollback --name shop")
        .await
        .check(4, &["nothing served before", "versions deploy"]);
}

#[tokio::test]
async fn logging_in_and_out() {
    let fake = Fake::start().await;
    let identity = json!({"token": "3f9c", "account": "acme", "permissions": ["worker:write", "*:read"]});
    fake.on("GET", "/v1/identity", Answer::json(&identity));
    fake.on("GET", "/v1/status", Answer::error(500, "internal", "reached"));
    fake.on("DELETE", "/v1/tokens/3f9c", Answer::json(&json!({})));
    let mut place = Place::empty();
    place.input.text = format!("{}\n", fake::TOKEN);
    let login = format!("login --control {} --profile test", fake.url);
    place.run(&login).await.check(
        0,
        &[
            "logged in",
            "the account \"acme\"",
            "worker:write, *:read",
            "credentials.toml",
        ],
    );
    place.run("status --profile test").await.check(6, &["reached"]);
    let ran = place.run("whoami --profile test").await;
    ran.check(0, &["the profile \"test\"", "for the account \"acme\"", "worker:write"]);
    place
        .run("logout --profile test --revoke")
        .await
        .check(0, &["revoked and forgotten"]);
    place
        .run("status --profile test")
        .await
        .check(1, &["no profile \"test\""]);
    // What is refused is not kept.
    place.input.text = "atoll_wrong\n".to_owned();
    place
        .run(&login)
        .await
        .check(3, &["does not accept the token from this login"]);
    place.run("status --profile test").await.check(1, &["no profile"]);
    place.input.text = "two words\n".to_owned();
    place.run(&login).await.check(1, &["that is no token"]);
}

#[tokio::test]
async fn routes_domains_and_crons() {
    let fake = with_shop().await;
    let route = |pattern: &str| rest::Route {
        id: "ab".repeat(16),
        pattern: pattern.to_owned(),
        worker: Some("shop".to_owned()),
    };
    let all = [route("example.com/*"), route("example.com/api/*")];
    fake.on("GET", "/v1/accounts/acme/routes", Answer::page(&all));
    fake.on("GET", &shop("/routes"), Answer::page(&all[..1]));
    fake.on("PUT", &shop("/routes"), Answer::page(&all[..1]));
    fake.on("POST", "/v1/accounts/acme/routes", Answer::json(&all[1]));
    fake.on(
        "DELETE",
        &format!("/v1/accounts/acme/routes/{}", "ab".repeat(16)),
        Answer::json(&json!({})),
    );
    let place = Place::of(&fake);
    place
        .run("routes list --name shop")
        .await
        .check(0, &["example.com/*", "shop"]);
    place.run("routes list --all").await.check(0, &["example.com/api/*"]);
    place
        .run("routes set https://Example.com/* --name shop")
        .await
        .check(0, &["shop has 1 route now: example.com/*"]);
    assert_eq!(
        fake.one("PUT", &shop("/routes")).json(),
        json!({"patterns": ["example.com/*"]})
    );
    place
        .run("routes add example.com/api/* --name shop")
        .await
        .check(0, &["example.com/api/* is shop's"]);
    place
        .run("routes add example.com/*/x --name shop")
        .await
        .check(1, &["no route pattern", "HOST/PATH"]);
    place.run("routes delete example.com/*").await.check(0, &["is gone"]);
    place
        .run("routes delete exmaple.com/*")
        .await
        .check(4, &["did you mean \"example.com/*\"?"]);

    let domain = rest::Domain {
        id: "0".repeat(32),
        name: "shop.example".to_owned(),
        worker: "shop".to_owned(),
    };
    let path = "/v1/accounts/acme/domains/shop.example";
    fake.on("PUT", path, Answer::json(&domain))
        .on("DELETE", path, Answer::bytes(204, ""));
    fake.on("GET", "/v1/accounts/acme/domains", Answer::page(&[domain]));
    place
        .run("domains add Shop.Example --name shop")
        .await
        .check(0, &["all requests for shop.example are shop's"]);
    place.run("domains list").await.check(0, &["shop.example"]);
    place.run("domains delete shop.example").await.check(0, &["is gone"]);
    place
        .run("domains delete shop.exmaple")
        .await
        .check(4, &["did you mean"]);

    fake.on("GET", &shop("/crons"), Answer::json(&json!({"crons": ["0 * * * *"]})));
    fake.on("PUT", &shop("/crons"), Answer::json(&json!({"crons": []})));
    place.run("crons list --name shop").await.check(0, &["0 * * * *"]);
    place
        .run_words(&["crons", "set", "1 2 * * *", "--name", "shop"])
        .await
        .check(0, &["1 2 * * *"]);
    place
        .run_words(&["crons", "set", "1 2 * *", "--name", "shop"])
        .await
        .check(1, &["five fields"]);
}

#[tokio::test]
async fn aliases() {
    let fake = with_shop().await;
    let alias = rest::Alias {
        name: "beta".to_owned(),
        versions: vec![share(NEW, 20.0), share(OLD, 80.0)],
        urls: vec!["http://beta-shop.acme.localhost".to_owned()],
    };
    fake.on("GET", &shop("/aliases"), Answer::page(std::slice::from_ref(&alias)));
    fake.on("PUT", &shop("/aliases/beta"), Answer::json(&alias));
    fake.on("DELETE", &shop("/aliases/beta"), Answer::json(&json!({})));
    let place = Place::of(&fake);
    place
        .run("aliases list --name shop")
        .await
        .check(0, &["beta", "90ab12cd 20 %", "http://beta-shop"]);
    place
        .run("aliases set beta v2@20 v1 --name shop")
        .await
        .check(0, &["shop:beta is", "http://beta-shop"]);
    let asked = fake.one("PUT", &shop("/aliases/beta")).json();
    assert_eq!(asked["versions"][1], json!({"version": OLD, "percent": 80.0}));
    place
        .run("aliases delete beta --name shop")
        .await
        .check(0, &["is gone"]);
    place
        .run("aliases delete bta --name shop")
        .await
        .check(4, &["did you mean \"beta\"?"]);
}
