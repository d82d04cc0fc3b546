//! The real wrangler against the control plane, with PoPs that record: `tests/wrangler/table.rs` of the repository has the table.
//! The end-to-end tests run the same table against a platform whose PoPs serve.

#[allow(dead_code)] // Half of it is for the tests of single endpoints.
#[path = "../cloudflare/bench.rs"]
mod bench;
#[path = "../../../../tests/wrangler/table.rs"]
mod table;

use anyhow::Result;
use atoll_control::fleet::TailItem;
use bench::{ACCOUNT, Bench};
use serde_json::json;
use std::path::Path;
use table::{Pops, Target};

impl Pops for Bench {
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

    async fn answers(&self, _host: &str, _path: &str) -> Result<Vec<(u16, String)>> {
        Ok(Vec::new())
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
