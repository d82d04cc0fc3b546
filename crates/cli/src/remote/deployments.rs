//! `atoll deployments` and `atoll rollback`: what serves, what served, and the way back.

use super::args::{DeploymentArgs, DeploymentsCommand, ListArgs, RollbackArgs};
use super::client::Request;
use super::context::{Context, all};
use super::failure::{CommandError, OK, Result};
use super::rollout::{self, Follow};
use super::show::{Table, ago, printable};
use super::versions::{SOURCE, find, shown, worker};
use atoll_api::rest::{Deployment, DeploymentKind, Rollback};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

pub(crate) async fn run(context: &Context, command: &DeploymentsCommand) -> Result<u8> {
    match command {
        DeploymentsCommand::List(args) => list(context, args).await,
        DeploymentsCommand::Status(args) => status(context, args).await,
    }
}

fn kind(kind: DeploymentKind) -> &'static str {
    match kind {
        DeploymentKind::Deploy => "deploy",
        DeploymentKind::Rollback => "rollback",
        DeploymentKind::AutomaticRollback => "automatic rollback",
        DeploymentKind::Secret => "secret",
    }
}

async fn list(context: &Context, args: &ListArgs) -> Result<u8> {
    let target = context.target(&args.worker).await?;
    let deployments: Vec<Deployment> = all(&target.client, &target.path(&["deployments"]), Some(args.limit)).await?;
    let now = context.world.clock.now_ms();
    context.print(json!({"worker": target.worker, "deployments": deployments}), || {
        if deployments.is_empty() {
            return format!(
                "{} was never deployed: `atoll deploy` or `atoll versions deploy` does it\n",
                target.worker
            );
        }
        let mut table = Table::new(&["Deployment", "Made", "Kind", "Versions", "By", "Message"]);
        for one in &deployments {
            table.row([
                one.id.clone(),
                ago(one.created_ms, now),
                kind(one.kind).to_owned(),
                shown(&one.versions),
                format!("{} ({})", one.author, one.source),
                one.message.clone().unwrap_or_default(),
            ]);
        }
        table.text()
    });
    Ok(OK)
}

async fn status(context: &Context, args: &DeploymentArgs) -> Result<u8> {
    let target = context.target(&args.worker).await?;
    let id = match &args.deployment {
        Some(wanted) if wanted.len() == 36 => wanted.clone(),
        wanted => {
            let deployments: Vec<Deployment> = all(&target.client, &target.path(&["deployments"]), None).await?;
            let begins = |one: &&Deployment| wanted.as_deref().is_none_or(|wanted| one.id.starts_with(wanted));
            let found: Vec<&Deployment> = deployments.iter().filter(begins).collect();
            match (&*found, wanted) {
                ([one], _) => one.id.clone(),
                ([newest, ..], None) => newest.id.clone(),
                ([], None) => {
                    return Err(CommandError::missing(format!("{} was never deployed", target.worker))
                        .hint("`atoll deploy` deploys the project of a directory."));
                }
                ([], Some(wanted)) => {
                    let error = CommandError::missing(format!("{} has no deployment {wanted:?}", target.worker));
                    return Err(error.hint("`atoll deployments list` lists them."));
                }
                (many, Some(wanted)) => {
                    let many = many.len();
                    return Err(
                        CommandError::usage(format!("{wanted:?} may be any of {many} deployments"))
                            .hint("Write more of the id."),
                    );
                }
            }
        }
    };
    let follow = Follow {
        detach: !args.watch,
        timeout: Duration::from_secs(args.timeout),
    };
    rollout::status(context, &target, &id, follow).await
}

pub(crate) async fn rollback(context: &Context, args: &RollbackArgs) -> Result<u8> {
    let target = context.target(&args.worker).await?;
    let version = match &args.version {
        Some(wanted) => Some(find(&target, wanted).await?.id),
        None => None,
    };
    let serving = worker(&target).await?.deployment;
    let deployments: Vec<Deployment> = all(&target.client, &target.path(&["deployments"]), Some(2)).await?;
    let before = match (&version, deployments.get(1)) {
        (Some(version), _) => super::show::short(version).to_owned(),
        (None, Some(before)) => format!(
            "{} (deployment {})",
            shown(&before.versions),
            super::show::short(&before.id)
        ),
        (None, None) => {
            let error = CommandError::missing(format!("nothing served before what {} serves now", target.worker));
            return Err(rollout::nothing_before(error));
        }
    };
    let now = serving
        .as_ref()
        .map_or_else(|| "nothing".to_owned(), |now| shown(&now.versions));
    let question = format!(
        "{}: go back from {} to {}?",
        target.worker,
        printable(&now),
        printable(&before)
    );
    context.confirm(&question, args.yes).await?;
    let rollback = Rollback {
        version,
        message: args.message.clone(),
        immediate: None,
        source: Some(SOURCE.to_owned()),
        replaces: serving.map(|deployment| deployment.id),
    };
    let request = Request::change(Method::POST, target.path(&["rollback"]))?.json(&rollback)?;
    let deployment: Deployment = target.client.call(request).await.map_err(rollout::nothing_before)?;
    let follow = Follow {
        detach: args.detach,
        timeout: Duration::from_secs(args.timeout),
    };
    rollout::follow_and_print(context, &target, deployment, follow).await
}
