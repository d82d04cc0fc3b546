//! `atoll workers` and `atoll delete`: what there is, and its end.

use super::args::{DeleteArgs, WorkerArgs, WorkersCommand};
use super::client::{Request, path};
use super::context::{Context, all};
use super::failure::{OK, Result};
use super::show::{Table, ago, printable};
use super::versions::worker;
use atoll_api::rest::Worker;
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) async fn run(context: &Context, command: &WorkersCommand) -> Result<u8> {
    match command {
        WorkersCommand::List(_) => list(context).await,
    }
}

async fn list(context: &Context) -> Result<u8> {
    let client = context.client()?;
    let account = context.account(&client).await?;
    let workers: Vec<Worker> = all(&client, &path(&["accounts", &account, "workers"]), None).await?;
    let now = context.world.clock.now_ms();
    context.print(json!({"workers": workers}), || {
        if workers.is_empty() {
            return format!("the account {account} has no workers: `atoll deploy` makes the first\n");
        }
        let mut table = Table::new(&["Worker", "Made", "Address"]);
        for one in &workers {
            let address = one.urls.first().filter(|_| one.subdomain);
            let address = address.map_or_else(|| "routes and domains alone".to_owned(), Clone::clone);
            table.row([one.name.clone(), ago(one.created_ms, now), address]);
        }
        table.text()
    });
    Ok(OK)
}

pub(crate) async fn delete(context: &Context, args: &DeleteArgs) -> Result<u8> {
    let wanted = WorkerArgs {
        name: args.wanted.clone().or_else(|| args.worker.name.clone()),
        ..args.worker.clone()
    };
    let target = context.target(&wanted).await?;
    let found = worker(&target).await?;
    let name = printable(&found.name).to_string();
    let serves = match &found.deployment {
        Some(_) => ", which serves now",
        None => "",
    };
    let question = format!("{name}{serves}: remove it with all its versions, secrets, routes and domains, for good?");
    context.confirm(&question, args.yes).await?;
    let _: Value = target
        .client
        .call(Request::change(Method::DELETE, target.path(&[]))?)
        .await?;
    context.print(json!({"deleted": found.name}), || {
        format!("{name} is gone; PoPs stop serving it within seconds\n")
    });
    Ok(OK)
}
