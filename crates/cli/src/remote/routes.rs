//! `atoll routes`, `domains`, `crons`: how requests find a worker, and when it runs by itself.

use super::args::{CronsCommand, DomainsCommand, PatternsArgs, RoutesCommand, WorkerArgs};
use super::client::{Client, Request, path};
use super::context::{Context, Target, all};
use super::failure::{CommandError, OK, Result, near_miss};
use super::rollout::ON_ITS_WAY;
use super::show::{Table, count, printable};
use atoll_api::rest::{Crons, Domain, NewRoute, PutDomain, Route, SetRoutes};
use atoll_model::RoutePattern;
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) async fn routes(context: &Context, command: &RoutesCommand) -> Result<u8> {
    match command {
        RoutesCommand::List { all, worker, .. } => list(context, *all, worker).await,
        RoutesCommand::Set(args) => {
            let patterns = patterns(args)?;
            let target = context.target(&args.worker).await?;
            set(&target, patterns.clone()).await?;
            context.print(json!({"worker": target.worker, "routes": patterns}), || {
                format!(
                    "{} has {} now: {}\n{ON_ITS_WAY}",
                    target.worker,
                    count(patterns.len(), "route"),
                    patterns.join(", ")
                )
            });
            Ok(OK)
        }
        RoutesCommand::Add(args) => {
            let patterns = patterns(args)?;
            let target = context.target(&args.worker).await?;
            let mut added = Vec::new();
            for pattern in patterns {
                let new = NewRoute {
                    pattern,
                    worker: Some(target.worker.clone()),
                };
                let path = path(&["accounts", &target.account, "routes"]);
                let route: Route = target
                    .client
                    .call(Request::change(Method::POST, path)?.json(&new)?)
                    .await?;
                added.push(route);
            }
            context.print(json!({"worker": target.worker, "added": added}), || {
                added
                    .iter()
                    .map(|route| format!("{} is {}'s\n", printable(&route.pattern), target.worker))
                    .chain([ON_ITS_WAY.to_owned()])
                    .collect()
            });
            Ok(OK)
        }
        RoutesCommand::Delete { route, .. } => {
            let client = context.client()?;
            let account = context.account(&client).await?;
            let routes = of_account(&client, &account).await?;
            let spelled = RoutePattern::parse(route).map_or_else(|_| route.clone(), |pattern| pattern.to_string());
            let found = routes.iter().find(|one| one.id == *route || one.pattern == spelled);
            let found = found.ok_or_else(|| {
                let near = near_miss(&spelled, routes.iter().map(|one| one.pattern.as_str()));
                CommandError::missing(format!("there is no route {route:?}"))
                    .hint(near.unwrap_or_else(|| "`atoll routes list --all` lists them.".to_owned()))
            })?;
            let path = path(&["accounts", &account, "routes", &found.id]);
            let _: Value = client.call(Request::change(Method::DELETE, path)?).await?;
            context.print(json!({"deleted": found}), || {
                format!("the route {} is gone\n", printable(&found.pattern))
            });
            Ok(OK)
        }
    }
}

/// Patterns in their one spelling; checked here, so that the mistake is told in the words of who wrote it.
fn patterns(args: &PatternsArgs) -> Result<Vec<String>> {
    let read = |pattern: &String| match RoutePattern::parse(pattern) {
        Ok(read) => Ok(read.to_string()),
        Err(error) => Err(CommandError::usage(error.to_string())
            .hint("A pattern is HOST/PATH; the host may begin with *, the path may end with it: example.com/api/*")),
    };
    args.patterns.iter().map(read).collect()
}

pub(crate) async fn set(target: &Target, patterns: Vec<String>) -> Result<()> {
    let body = SetRoutes { patterns };
    let request = Request::change(Method::PUT, target.path(&["routes"]))?.json(&body)?;
    let _: Value = target.client.call(request).await?;
    Ok(())
}

async fn of_account(client: &Client, account: &str) -> Result<Vec<Route>> {
    all(client, &path(&["accounts", account, "routes"]), None).await
}

async fn list(context: &Context, everyones: bool, worker: &WorkerArgs) -> Result<u8> {
    let (routes, of) = if everyones {
        let client = context.client()?;
        let account = context.account(&client).await?;
        (of_account(&client, &account).await?, format!("the account {account}"))
    } else {
        let target = context.target(worker).await?;
        let routes: Vec<Route> = all(&target.client, &target.path(&["routes"]), None).await?;
        (routes, target.worker)
    };
    context.print(json!({"routes": routes}), || {
        if routes.is_empty() {
            return format!("{of} has no routes: `atoll routes add PATTERN` adds one\n");
        }
        let mut table = Table::new(&["Pattern", "Worker", "Id"]);
        for route in &routes {
            table.row([
                route.pattern.clone(),
                route.worker.clone().unwrap_or_else(|| "(none)".to_owned()),
                route.id.clone(),
            ]);
        }
        table.text()
    });
    Ok(OK)
}

pub(crate) async fn put_domain(target: &Target, domain: &str) -> Result<Domain> {
    let path = path(&["accounts", &target.account, "domains", domain]);
    let body = PutDomain {
        worker: target.worker.clone(),
    };
    target
        .client
        .call(Request::change(Method::PUT, path)?.json(&body)?)
        .await
}

async fn all_domains(client: &Client, account: &str) -> Result<Vec<Domain>> {
    all(client, &path(&["accounts", account, "domains"]), None).await
}

pub(crate) async fn domains(context: &Context, command: &DomainsCommand) -> Result<u8> {
    match command {
        DomainsCommand::List(_) => {
            let client = context.client()?;
            let account = context.account(&client).await?;
            let domains = all_domains(&client, &account).await?;
            context.print(json!({"domains": domains}), || {
                if domains.is_empty() {
                    return format!("the account {account} has no domains: `atoll domains add HOST` adds one\n");
                }
                let mut table = Table::new(&["Domain", "Worker"]);
                for domain in &domains {
                    table.row([domain.name.clone(), domain.worker.clone()]);
                }
                table.text()
            });
        }
        DomainsCommand::Add { domain, worker, .. } => {
            let target = context.target(worker).await?;
            let domain = put_domain(&target, &domain.to_lowercase()).await?;
            context.print(json!({"domain": domain}), || {
                format!(
                    "all requests for {} are {}'s, unless a route takes some; its name has to lead to the PoPs\n{ON_ITS_WAY}",
                    printable(&domain.name),
                    printable(&domain.worker)
                )
            });
        }
        DomainsCommand::Delete { domain, .. } => {
            let client = context.client()?;
            let account = context.account(&client).await?;
            let domains = all_domains(&client, &account).await?;
            let name = domain.to_lowercase();
            if !domains.iter().any(|one| one.name == name) {
                let near = near_miss(&name, domains.iter().map(|one| one.name.as_str()));
                return Err(
                    CommandError::missing(format!("the account {account} has no domain {name:?}"))
                        .hint(near.unwrap_or_else(|| "`atoll domains list` lists them.".to_owned())),
                );
            }
            let path = path(&["accounts", &account, "domains", &name]);
            let _: Value = client.call(Request::change(Method::DELETE, path)?).await?;
            context.print(json!({"deleted": name}), || format!("the domain {name} is gone\n"));
        }
    }
    Ok(OK)
}

pub(crate) async fn get_crons(target: &Target) -> Result<Vec<String>> {
    let crons: Crons = target.client.call(Request::get(target.path(&["crons"]))).await?;
    Ok(crons.crons)
}

pub(crate) async fn set_crons(target: &Target, crons: Vec<String>) -> Result<()> {
    let request = Request::change(Method::PUT, target.path(&["crons"]))?.json(&Crons { crons })?;
    let _: Value = target.client.call(request).await?;
    Ok(())
}

pub(crate) async fn crons(context: &Context, command: &CronsCommand) -> Result<u8> {
    let (worker, wanted) = match command {
        CronsCommand::List(args) => (&args.worker, None),
        CronsCommand::Set { crons, worker, .. } => {
            if let Some(bad) = crons.iter().find(|cron| cron.split_whitespace().count() != 5) {
                return Err(
                    CommandError::usage(format!("{bad:?} is no cron expression of five fields"))
                        .hint("Minute, hour, day, month, weekday, in quotes: '30 3 * * 1'"),
                );
            }
            (worker, Some(crons.clone()))
        }
        CronsCommand::Clear(args) => (&args.worker, Some(Vec::new())),
    };
    let target = context.target(worker).await?;
    let crons = match wanted {
        Some(wanted) => {
            set_crons(&target, wanted.clone()).await?;
            wanted
        }
        None => get_crons(&target).await?,
    };
    context.print(json!({"worker": target.worker, "crons": crons}), || {
        match crons.is_empty() {
            true => format!("{} runs at no set times\n", target.worker),
            false => crons.iter().map(|cron| format!("{}\n", printable(cron))).collect(),
        }
    });
    Ok(OK)
}
