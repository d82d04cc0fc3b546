//! Cloudflare's API over a socket: the shape of what each endpoint answers, and what is there afterwards.

mod assets;
mod bench;
mod client;
mod kv;
mod tails;
mod workers;

use bench::ACCOUNT;
use client::Client;
use serde_json::json;

#[tokio::test]
async fn everything_is_in_the_envelope() {
    let client = Client::start().await;
    let at = |path: &str| path.replace("{a}", &format!("/accounts/{ACCOUNT}"));
    let check = async |method: &str, path: &str, status: u16, code: u64| {
        let answer = client.send(method, &at(path), json!({})).await;
        assert_eq!(
            (answer.status, answer.code()),
            (status, code),
            "{method} {path}: {}",
            answer.body
        );
        assert_eq!(answer.body["success"], false);
        assert_eq!(answer.body["result"], serde_json::Value::Null);
    };
    check("GET", "/nowhere", 404, 7003).await;
    check("GET", "{a}/nowhere", 404, 7003).await;
    check("GET", "/accounts/other/workers/scripts", 403, 10000).await;
    check("POST", "/user", 405, 10405).await;
    check("DELETE", "{a}/workers/subdomain", 405, 10405).await;
    check("PUT", "{a}/workers/scripts/x", 400, 10001).await;
    check("PUT", "{a}/workers/scripts/x/secrets", 404, 10007).await;
    check("POST", "{a}/storage/kv/namespaces", 400, 10001).await;
    check("GET", "{a}/workers/services/none", 404, 10090).await;
    check("GET", "{a}/workers/scripts/none/settings", 404, 10007).await;
    check("POST", "{a}/d1/database", 400, 10501).await;
    check("GET", "{a}/hyperdrive/configs", 400, 10501).await;
    check("GET", "{a}/r2/buckets/none", 404, 10006).await;
    check("GET", "{a}/workflows/none", 404, 10200).await;
    check("GET", "/user", 403, 9109).await;
    check("GET", "/tails/none", 401, 10000).await;
    for list in [
        "queues",
        "d1/database",
        "workers/durable_objects/namespaces",
        "workflows",
    ] {
        let answer = client.get(&at(&format!("{{a}}/{list}"))).await;
        assert_eq!(answer.result(), &json!([]), "{list}");
    }
    assert_eq!(
        client.get(&at("{a}/r2/buckets")).await.result(),
        &json!({"buckets": []})
    );
}

#[tokio::test]
async fn a_token_says_what_it_is_for() {
    let client = Client::start().await;
    let verified = client.get("/user/tokens/verify").await;
    assert_eq!(verified.result()["status"], "active");
    let accounts = client.get("/accounts?page=1&per_page=50").await;
    assert_eq!(accounts.result()[0]["id"], ACCOUNT);
    assert_eq!(accounts.body["result_info"]["total_pages"], 1);
    assert_eq!(client.get("/accounts?page=2").await.result(), &json!([]));
    let memberships = client.get("/memberships?page=1").await;
    assert_eq!(memberships.result()[0]["account"]["id"], ACCOUNT);
    let without = client.with_token("atoll_wrong");
    let answer = without.get("/accounts").await;
    assert_eq!((answer.status, answer.code()), (401, 10000));
}

#[tokio::test]
async fn a_subdomain_is_one_accounts() {
    let client = Client::start().await;
    let base = format!("/accounts/{ACCOUNT}/workers");
    assert_eq!(
        client.get(&format!("{base}/subdomain")).await.result()["subdomain"],
        ACCOUNT
    );
    assert_eq!(client.get(&format!("{base}/subdomains/{ACCOUNT}")).await.code(), 10031);
    assert_eq!(client.get(&format!("{base}/subdomains/free")).await.code(), 10032);
    let chosen = client
        .send("PUT", &format!("{base}/subdomain"), json!({"subdomain": "free"}))
        .await;
    assert_eq!(chosen.result()["subdomain"], "free");
    assert_eq!(client.get(&format!("{base}/subdomains/free")).await.code(), 10031);
}
