//! Uploads, versions, deployments, secrets, triggers, and what is left of a worker that goes.

use crate::bench::ACCOUNT;
use crate::client::{CODE, Client};
use atoll_model::{ModuleKind, TenantId, WorkerName};
use serde_json::{Value, json};

async fn manifest(client: &Client, name: &str) -> atoll_model::Manifest {
    let (account, name) = (TenantId::new(ACCOUNT), WorkerName::new(name));
    let catalog = &client.bench.catalog;
    let versions = catalog.versions(account.clone(), name.clone(), None, 1).await.unwrap();
    let (blobs, trusted) = (&*client.bench.blobs, &client.bench.trusted);
    atoll_store::artifact::load(blobs, &versions[0].artifact, &account, &name, trusted)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_worker_is_uploaded_deployed_and_shown_again() {
    let client = Client::start().await;
    let bindings = json!([
        {"name": "T", "type": "plain_text", "text": "hi"},
        {"name": "DB", "type": "d1", "id": "0f", "internalEnv": "x"},
        {"name": "K", "type": "secret_text", "text": "s3cret"},
    ]);
    let code = format!("{CODE}\n//# sourceMappingURL=index.js.map\n");
    let modules = [
        ("index.js", "application/javascript+module", code.as_bytes()),
        ("./lib/a.wasm", "application/wasm", b"\0asm".as_slice()),
        ("data.bin", "application/octet-stream", b"x".as_slice()),
        ("index.js.map", "application/source-map", b"{}".as_slice()),
    ];
    let more = json!({
        "bindings": bindings,
        "compatibility_date": "2026-01-01",
        "compatibility_flags": ["nodejs_compat"],
        "limits": {"cpu_ms": 50, "subrequests": 7},
        "placement": {"mode": "smart"},
        "annotations": {"workers/message": "first", "workers/tag": "v1"},
        "migrations": {"new_tag": "m1", "steps": [{"new_sqlite_classes": ["Room"]}]},
    });
    let put = client.upload("PUT", "shop", more, &modules).await;
    let version = put.result()["deployment_id"].as_str().unwrap().to_owned();
    assert_eq!((version.len(), &put.result()["startup_time_ms"]), (32, &json!(3)));
    assert_eq!(client.bench.trials.secrets("shop"), ["K"]);

    let found = manifest(&client, "shop").await;
    let kinds: Vec<(&str, ModuleKind, bool)> = found
        .modules
        .iter()
        .map(|module| (module.name.as_str(), module.kind, module.source_map.is_some()))
        .collect();
    let expected = [
        ("lib/a.wasm", ModuleKind::Wasm, false),
        ("data.bin", ModuleKind::Data, false),
        ("index.js", ModuleKind::Esm, true),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(found.limits["subrequests_max"], 7);

    let service = client.get(&format!("/accounts/{ACCOUNT}/workers/services/shop")).await;
    let script = &service.result()["default_environment"]["script"];
    assert_eq!(script["last_deployed_from"], "wrangler");
    assert_eq!(script["migration_tag"], "m1");
    let settings = client.get(&client.script("shop", "/settings")).await;
    let shown = settings.result()["bindings"].as_array().unwrap();
    assert_eq!(shown[..2], bindings.as_array().unwrap()[..2]);
    assert_eq!(shown[2], json!({"name": "K", "type": "secret_text"}));
    assert_eq!(settings.result()["placement"]["mode"], "smart");
    assert!(!settings.body.to_string().contains("s3cret"));

    let versions = client.get(&client.script("shop", "/versions?deployable=true")).await;
    let items = versions.result()["items"].as_array().unwrap();
    assert_eq!(items[0]["id"].as_str().unwrap().replace('-', ""), version);
    assert_eq!(items[0]["annotations"]["workers/message"], "first");
    let id = items[0]["id"].as_str().unwrap();
    let whole = client.get(&client.script("shop", &format!("/versions/{id}"))).await;
    let resources = &whole.result()["resources"];
    assert_eq!(resources["script"]["handlers"], json!(["fetch"]));
    assert_eq!(
        resources["script_runtime"]["limits"],
        json!({"cpu_ms": 50, "subrequests": 7})
    );
    let deployments = client.get(&client.script("shop", "/deployments")).await;
    let newest = &deployments.result()["deployments"][0];
    assert_eq!(newest["versions"], json!([{"version_id": id, "percentage": 100}]));
    // PoPs were told of the newest revision.
    let head = client.bench.catalog.config_head().await.unwrap().revision;
    assert!(client.bench.pops.recorded().changed.contains(&head));
}

#[tokio::test]
async fn what_is_not_given_anew_is_kept_or_goes_as_asked() {
    let client = Client::start().await;
    let first = json!({"bindings": [
        {"name": "VAR", "type": "plain_text", "text": "1"},
        {"name": "KEPT", "type": "secret_text", "text": "a"},
        {"name": "OTHER", "type": "secret_text", "text": "b"},
    ]});
    client.deploy("shop", CODE, first).await.result();
    // A variable takes a secret's name, another secret is inherited by name; variables are not kept.
    let second = json!({"bindings": [
        {"name": "OTHER", "type": "plain_text", "text": "now a variable"},
        {"name": "KEPT", "type": "inherit"},
    ]});
    client.deploy("shop", CODE, second).await.result();
    assert_eq!(client.bench.trials.secrets("shop"), ["KEPT"]);
    let names: Vec<String> = manifest(&client, "shop")
        .await
        .bindings
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["OTHER"]);
    // Variables are kept when asked for.
    let third = json!({"keep_bindings": ["plain_text"], "bindings": []});
    client.deploy("shop", CODE, third).await.result();
    assert!(client.bench.trials.secrets("shop").is_empty());
    assert_eq!(manifest(&client, "shop").await.bindings.len(), 1);
    let fourth = client
        .deploy("shop", CODE, json!({"bindings": [{"name": "GONE", "type": "inherit"}]}))
        .await;
    assert_eq!((fourth.status, fourth.code()), (400, 10057));
    assert!(fourth.message().starts_with("inherit binding 'GONE' is invalid"));
}

#[tokio::test]
async fn an_upload_that_is_refused_leaves_no_version() {
    let client = Client::start().await;
    let check = async |more: Value, modules: &[crate::client::Part<'_>], code: u64, expected: &str| {
        let answer = client.upload("PUT", "shop", more, modules).await;
        assert_eq!(answer.code(), code, "{}", answer.body);
        assert!(answer.message().contains(expected), "{}", answer.body);
    };
    let module = |code: &'static str| [("index.js", "application/javascript+module", code.as_bytes())];
    check(json!({}), &module("throw at start"), 10021, "thrown at start").await;
    check(json!({}), &[], 10021, "no part of the form").await;
    check(json!({"main_module": null}), &module(CODE), 10021, "neither").await;
    check(
        json!({"compatibility_date": "soon"}),
        &module(CODE),
        10021,
        "compatibility date",
    )
    .await;
    check(json!({"limits": {"memory": 1}}), &module(CODE), 10021, "not known").await;
    check(json!({"containers": [{}]}), &module(CODE), 10501, "Containers").await;
    check(
        json!({"migrations": {"old_tag": "m0", "new_tag": "m1"}}),
        &module(CODE),
        10079,
        "precondition",
    )
    .await;
    let kv = json!({"bindings": [{"name": "KV", "type": "kv_namespace", "namespace_id": "none"}]});
    check(kv, &module(CODE), 10041, "not valid").await;
    let service = json!({"bindings": [{"name": "S", "type": "service", "service": "none"}]});
    check(service, &module(CODE), 10143, "not found").await;
    check(
        json!({"assets": {"jwt": "x"}}),
        &module(CODE),
        10021,
        "not valid or has ended",
    )
    .await;
    check(json!({}), &[("index.js", "text/x-python", b"")], 10501, "Python").await;
    let answer = client.upload("POST", "shop", json!({}), &module(CODE)).await;
    assert_eq!((answer.status, answer.code()), (404, 10007));
    let scripts = client.get(&format!("/accounts/{ACCOUNT}/workers/scripts")).await;
    assert_eq!(scripts.result(), &json!([]));
}

#[tokio::test]
async fn an_older_script_is_a_module_without_exports() {
    let client = Client::start().await;
    let more = json!({"main_module": null, "body_part": "index.js"});
    let modules = [(
        "index.js",
        "application/javascript",
        b"addEventListener('fetch', () => {})".as_slice(),
    )];
    let put = client.upload("PUT", "old", more, &modules).await;
    assert_eq!(put.result()["has_modules"], false);
    assert_eq!(manifest(&client, "old").await.modules[0].kind, ModuleKind::Esm);
}

#[tokio::test]
async fn shares_of_versions_and_the_way_back() {
    let client = Client::start().await;
    client.deploy("shop", CODE, json!({})).await.result();
    let modules = [("index.js", "application/javascript+module", CODE.as_bytes())];
    let annotations = json!({"annotations": {"workers/alias": "stage"}});
    let second = client.upload("POST", "shop", annotations, &modules).await;
    let second = second.result()["id"].clone();
    let versions = client.get(&client.script("shop", "/versions")).await;
    let first = versions.result()["items"][1]["id"].clone();
    let path = client.script("shop", "/deployments");
    let deploy = async |versions: Value| {
        let body = json!({"strategy": "percentage", "versions": versions, "annotations": {"workers/message": "m"}});
        client.send("POST", &path, body).await
    };
    let split = json!([{"version_id": first, "percentage": 99.5}, {"version_id": second, "percentage": 0.5}]);
    assert_eq!(deploy(split.clone()).await.result()["versions"], split);
    let whole = json!([{"version_id": first, "percentage": 100}, {"version_id": second, "percentage": 0}]);
    let deployed = deploy(whole).await;
    assert_eq!(deployed.result()["versions"].as_array().unwrap().len(), 1);
    let id = deployed.result()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        client.get(&format!("{path}/{id}")).await.result()["annotations"]["workers/message"],
        "m"
    );
    assert_eq!(
        deploy(json!([{"version_id": first, "percentage": 99}])).await.code(),
        10021
    );
    assert_eq!(
        deploy(json!([{"version_id": "none", "percentage": 100}])).await.code(),
        10222
    );
    let (account, worker) = (TenantId::new(ACCOUNT), WorkerName::new("shop"));
    let aliases = client.bench.catalog.aliases(account, worker).await.unwrap();
    assert_eq!(
        aliases.keys().map(|alias| alias.as_str()).collect::<Vec<_>>(),
        ["stage"]
    );
}

#[tokio::test]
async fn secrets_make_versions() {
    let client = Client::start().await;
    let secrets = client.script("shop", "/secrets");
    client.deploy("shop", CODE, json!({})).await.result();
    let put = client
        .send(
            "PUT",
            &secrets,
            json!({"name": "A", "text": "1", "type": "secret_text"}),
        )
        .await;
    assert_eq!(put.result(), &json!({"name": "A", "type": "secret_text"}));
    let bulk = json!({"secrets": {"A": null, "B": {"text": "2", "type": "secret_text"}, "NONE": null}});
    let bulk = client
        .send("PATCH", &client.script("shop", "/secrets-bulk"), bulk)
        .await;
    assert_eq!(bulk.result(), &json!([{"name": "B", "type": "secret_text"}]));
    assert_eq!(client.get(&format!("{secrets}/B")).await.result()["name"], "B");
    assert_eq!(client.get(&format!("{secrets}/A")).await.code(), 10056);
    let latest = format!("/accounts/{ACCOUNT}/workers/workers/shop/versions/latest");
    let env = json!({"env": {"C": {"type": "secret_text", "text": "3"}}, "annotations": {"workers/tag": "t"}});
    let version = client.send("PATCH", &latest, env).await;
    assert_eq!(version.result()["annotations"]["workers/tag"], "t");
    assert_eq!(version.result()["resources"]["bindings"].as_array().unwrap().len(), 2);
    // The newest version does not serve now.
    let put = client.send("PUT", &secrets, json!({"name": "A", "text": "1"})).await;
    assert_eq!((put.status, put.code()), (400, 10215));
    let removed = client
        .send("DELETE", &format!("{secrets}/B?url_encoded=true"), json!({}))
        .await;
    assert_eq!(removed.code(), 10215);
    let kind = client
        .send("PUT", &secrets, json!({"name": "A", "text": "1", "type": "secret_key"}))
        .await;
    assert_eq!(kind.code(), 10021);
}

#[tokio::test]
async fn routes_domains_schedules_and_addresses() {
    let client = Client::start().await;
    for name in ["shop", "other"] {
        client.deploy(name, CODE, json!({})).await.result();
    }
    let routes = client.script("shop", "/routes");
    let put = client
        .send(
            "PUT",
            &routes,
            json!([{"pattern": "example.com/a/*", "zone_name": "example.com"}]),
        )
        .await;
    assert_eq!(put.result()[0]["pattern"], "example.com/a/*");
    let taken = client
        .send(
            "PUT",
            &client.script("other", "/routes"),
            json!([{"pattern": "example.com/a/*"}]),
        )
        .await;
    assert_eq!((taken.status, taken.code()), (409, 10020));
    let zones = client
        .get(&format!("/zones?name=example.com&account.id={ACCOUNT}"))
        .await;
    let zone = zones.result()[0]["id"].as_str().unwrap().to_owned();
    let of_zone = client.get(&format!("/zones/{zone}/workers/routes")).await;
    assert_eq!(of_zone.result()[0]["script"], "shop");
    let origins = json!([{"hostname": "Shop.example.com"}]);
    let changes = client
        .send(
            "POST",
            &client.script("shop", "/domains/changeset?replace_state=true"),
            origins.clone(),
        )
        .await;
    assert_eq!(changes.result()["added"][0]["hostname"], "shop.example.com");
    let records = json!({"override_scope": true, "override_existing_origin": true, "origins": origins});
    let set = client
        .send("PUT", &client.script("shop", "/domains/records"), records.clone())
        .await;
    let id = set.result()[0]["id"].as_str().unwrap().to_owned();
    let record = format!("/accounts/{ACCOUNT}/workers/domains/records/{id}");
    assert_eq!(client.get(&record).await.result()["service"], "shop");
    let moved = client
        .send("PUT", &client.script("other", "/domains/records"), records)
        .await;
    assert_eq!(moved.result()[0]["service"], "other");
    let none = json!({"override_scope": true, "origins": []});
    client
        .send("PUT", &client.script("other", "/domains/records"), none)
        .await
        .result();
    assert_eq!(client.get(&record).await.code(), 7003);
    let refused = json!({"origins": [{"hostname": "a.example.com", "previews_enabled": true}]});
    let refused = client
        .send("PUT", &client.script("shop", "/domains/records"), refused)
        .await;
    assert_eq!(refused.code(), 10021);

    let schedules = client.script("shop", "/schedules");
    client
        .send("PUT", &schedules, json!([{"cron": "*/5 * * * *"}]))
        .await
        .result();
    assert_eq!(
        client.get(&schedules).await.result()["schedules"],
        json!([{"cron": "*/5 * * * *"}])
    );
    assert_eq!(
        client.send("PUT", &schedules, json!([{"cron": "never"}])).await.code(),
        10021
    );

    let subdomain = client.script("shop", "/subdomain");
    let set = client
        .send("POST", &subdomain, json!({"enabled": false, "previews_enabled": true}))
        .await;
    assert_eq!(set.result(), &json!({"enabled": false, "previews_enabled": true}));
    let worker = client.get(&format!("/accounts/{ACCOUNT}/workers/workers/shop")).await;
    let addresses = &worker.result()["subdomain"];
    assert_eq!(addresses["url"], "http://shop.acme.localhost:8787");
    assert_eq!(addresses["preview_url_suffix"], "-shop.acme.localhost:8787");
    let patch = json!({"tags": ["a"], "observability": {"enabled": true}, "logpush": null, "unknown": 1});
    let patched = client
        .send("PATCH", &client.script("shop", "/script-settings"), patch)
        .await;
    assert_eq!(patched.result()["tags"], json!(["a"]));
    assert_eq!(patched.result().get("unknown"), None);
}

#[tokio::test]
async fn a_worker_that_others_use_is_not_deleted_unless_forced() {
    let client = Client::start().await;
    client.deploy("shop", CODE, json!({})).await.result();
    let binding = json!([{"name": "S", "type": "service", "service": "shop"}]);
    let tails = json!({"bindings": binding, "tail_consumers": [{"service": "shop"}]});
    client.deploy("caller", CODE, tails).await.result();
    let references = client.get(&client.script("shop", "/references")).await;
    assert_eq!(references.result()["services"]["incoming"][0]["service"], "caller");
    let producers = client
        .get(&format!("/accounts/{ACCOUNT}/workers/tails/by-consumer/shop"))
        .await;
    assert_eq!(producers.result()[0]["producer"]["service"], "caller");
    let path = format!("/accounts/{ACCOUNT}/workers/services/shop");
    let refused = client.send("DELETE", &format!("{path}?force=false"), json!({})).await;
    assert_eq!((refused.status, refused.code()), (409, 10064));
    client
        .send("DELETE", &format!("{path}?force=true"), json!({}))
        .await
        .result();
    assert_eq!(client.get(&path).await.code(), 10090);
}
