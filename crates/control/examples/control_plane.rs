//! A control plane in a directory, with Cloudflare's API on a port of its own, for wrangler and for whoever tries it by hand:
//! `cargo run -p atoll-control --example control_plane`. It has no PoPs: KV is kept in memory, nothing runs.
//!
//! Prints one line of JSON, `{"base", "token", "account"}`, and lives until its standard input ends. Each line of standard input is
//! a question about what is there by then, answered by one line of JSON: `state`; or a command to it: `tail JSON`, an event for
//! every open tail.

#[path = "../tests/cloudflare/bench.rs"]
mod bench;

use anyhow::Result;
use atoll_control::fleet::TailItem;
use atoll_model::TenantId;
use bench::{ACCOUNT, Bench};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main]
async fn main() -> Result<()> {
    let temp = tempfile::tempdir()?;
    let bench = Bench::start(temp.path()).await?;
    println!(
        "{}",
        json!({"base": bench.base(), "token": bench.token, "account": ACCOUNT})
    );
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match line.split_once(' ') {
            Some(("tail", event)) => tail(&bench, event),
            _ => state(&bench).await?,
        };
        println!("{answer}");
    }
    Ok(())
}

/// Sends an event to every tail that is open, and tells what they were asked to show.
fn tail(bench: &Bench, event: &str) -> Value {
    let recorded = bench.pops.recorded();
    let mut filters = Vec::new();
    for (ask, items) in &recorded.tails {
        // One that is closed or full gets none.
        if items.try_send(TailItem::Event(event.to_owned())).is_ok() {
            filters.push(ask.filters.clone());
        }
    }
    json!({"sent": filters.len(), "filters": filters})
}

/// What is in the catalog and in KV, as far as tests ask for it.
async fn state(bench: &Bench) -> Result<Value> {
    let account = TenantId::new(ACCOUNT);
    let catalog = &bench.catalog;
    let mut workers = serde_json::Map::new();
    for worker in catalog.workers(account.clone(), String::new(), 100).await? {
        let name = worker.name.clone();
        let versions = catalog.versions(account.clone(), name.clone(), None, 100).await?;
        let deployments = catalog.deployments(account.clone(), name.clone(), None, 100).await?;
        let manifest = match versions.first() {
            Some(version) => {
                let artifact = &version.artifact;
                let manifest =
                    atoll_store::artifact::load(&*bench.blobs, artifact, &account, &name, &bench.trusted).await?;
                serde_json::to_value(manifest)?
            }
            None => Value::Null,
        };
        workers.insert(
            name.to_string(),
            json!({
                "worker": worker,
                "versions": versions,
                "deployments": deployments,
                "manifest": manifest,
                "crons": catalog.crons(account.clone(), name.clone()).await?,
                "aliases": catalog.aliases(account.clone(), name.clone()).await?,
                "tried_with": bench.trials.secrets(name.as_str()),
            }),
        );
    }
    let values: Vec<Value> = {
        let recorded = bench.pops.recorded();
        let pairs = recorded.values.iter();
        let shown = pairs.map(|((_, namespace, key), pair)| {
            json!({
                "namespace": namespace,
                "key": key,
                "value": String::from_utf8_lossy(&pair.value),
                "metadata": pair.metadata,
                "expiration": pair.expiration,
            })
        });
        shown.collect()
    };
    Ok(json!({
        "workers": workers,
        "routes": catalog.routes(account.clone()).await?,
        "domains": catalog.domains(account.clone()).await?,
        "namespaces": catalog.namespaces(account, "kv".to_owned()).await?,
        "values": values,
    }))
}
