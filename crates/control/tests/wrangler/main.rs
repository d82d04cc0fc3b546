//! The real wrangler against the control plane, with PoPs that record: `tests/wrangler/table.rs` of the repository has the table.
//!
//! `ATOLL_WRANGLER_TARGET='{"base": "http://127.0.0.1:7070/client/v4", "token": "atoll_..", "account": "main", "pop":
//! "127.0.0.1:8787", "host": "shop.main.localhost"}'` runs it against a platform with PoPs, `atoll up` for one, whose account is
//! empty.

#[allow(dead_code)] // Half of it is for the tests of single endpoints.
#[path = "../cloudflare/bench.rs"]
mod bench;
#[path = "../../../../tests/wrangler/table.rs"]
mod table;

use anyhow::Result;
use atoll_control::fleet::TailItem;
use bench::{ACCOUNT, Bench};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use std::path::Path;
use table::{Events, Target};

impl Events for Bench {
    async fn cause(&self) -> Result<()> {
        let event = json!({
            "outcome": "ok",
            "scriptName": "shop",
            "exceptions": [],
            "logs": [{"message": ["seen"], "level": "log", "timestamp": 1}],
            "eventTimestamp": 1,
            "event": {
                "request": {"url": "http://shop.acme.localhost/", "method": "GET", "headers": {}, "cf": {}},
                "response": {"status": 200},
            },
        });
        for (_, items) in &self.pops.recorded().tails {
            // A tail that is over takes nothing.
            let _ = items.try_send(TailItem::Event(event.to_string()));
        }
        Ok(())
    }
}

/// A platform with PoPs.
#[derive(serde::Deserialize)]
struct Platform {
    base: String,
    token: String,
    account: String,
    /// Where a PoP serves its clients: `host:port`.
    pop: String,
    /// The host of worker `shop`.
    host: String,
}

impl Events for Platform {
    async fn cause(&self) -> Result<()> {
        // A path that no asset has: those are served without the worker, and a tail shows nothing of them.
        let request = Request::get(format!("http://{}/event", self.pop))
            .header("host", &self.host)
            .body(Empty::<Bytes>::new())?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        client.request(request).await?.into_body().collect().await?;
        Ok(())
    }
}

#[tokio::test]
async fn wrangler_does_what_the_table_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wrangler");
    let ready = std::env::var_os("ATOLL_TEST_WRANGLER");
    if let Err(missing) = table::installed(&folder) {
        // Where it is installed, not to find it is a failure.
        assert!(ready.is_none_or(|value| value != "ready"), "{missing}");
        println!("SKIPPED: {missing}");
        return;
    }
    if let Ok(platform) = std::env::var("ATOLL_WRANGLER_TARGET") {
        let platform: Platform = serde_json::from_str(&platform).unwrap();
        let target = Target {
            base: platform.base.clone(),
            token: platform.token.clone(),
            account: platform.account.clone(),
        };
        if let Err(error) = table::run(&folder, &target, &platform).await {
            panic!("{error:#}");
        }
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let bench = Bench::start(temp.path()).await.unwrap();
    let target = Target {
        base: bench.base(),
        token: bench.token.clone(),
        account: ACCOUNT.to_owned(),
    };
    if let Err(error) = table::run(&folder, &target, &bench).await {
        panic!("{error:#}");
    }
}
