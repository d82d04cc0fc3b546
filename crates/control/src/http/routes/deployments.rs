//! Deployments, going back, aliases.

use super::super::context::{Context, Reply, limit, ok, page};
use super::super::endpoint::{Endpoint, Need};
use super::super::error::ApiError;
use super::told;
use super::versions::number;
use crate::catalog::{self, Done};
use atoll_api::rest::{Alias, Deployment, Empty, NewDeployment, Page, PageQuery, PutAlias, Rollback};
use atoll_model::{Action, AliasName, DeploymentId, Resource, VersionId};
use http::{Method, StatusCode};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let (read, write) = (
        Need::Account(Resource::Worker, Action::Read),
        Need::Account(Resource::Worker, Action::Write),
    );
    vec![
        Endpoint::new::<Deployment, _>(
            Method::POST,
            "/v1/accounts/{account}/workers/{worker}/deployments",
            "createDeployment",
            "Has versions serve. The answer comes when it is decided for good; how far it is on the PoPs, the deployment's `rollout` says.",
            write,
            create,
        )
        .takes::<NewDeployment>()
        .creates(),
        Endpoint::list::<Deployment, _>(
            "/v1/accounts/{account}/workers/{worker}/deployments",
            "listDeployments",
            "Deployments, the newest first.",
            read,
            list,
        )
        .asks::<PageQuery>(),
        Endpoint::new::<Deployment, _>(
            Method::GET,
            "/v1/accounts/{account}/workers/{worker}/deployments/{deployment}",
            "getDeployment",
            "A deployment, with how far it is.",
            read,
            get,
        )
        .led(),
        Endpoint::new::<Deployment, _>(
            Method::POST,
            "/v1/accounts/{account}/workers/{worker}/rollback",
            "rollBack",
            "Goes back: to a version, or to what served before.",
            write,
            roll_back,
        )
        .takes::<Rollback>()
        .creates(),
        Endpoint::list::<Alias, _>(
            "/v1/accounts/{account}/workers/{worker}/aliases",
            "listAliases",
            "Aliases by name.",
            read,
            aliases,
        ),
        Endpoint::new::<Alias, _>(
            Method::GET,
            "/v1/accounts/{account}/workers/{worker}/aliases/{alias}",
            "getAlias",
            "An alias.",
            read,
            alias,
        ),
        Endpoint::new::<Alias, _>(
            Method::PUT,
            "/v1/accounts/{account}/workers/{worker}/aliases/{alias}",
            "putAlias",
            "Points an alias at one version, or at two with shares.",
            write,
            put_alias,
        )
        .takes::<PutAlias>(),
        Endpoint::new::<Empty, _>(
            Method::DELETE,
            "/v1/accounts/{account}/workers/{worker}/aliases/{alias}",
            "deleteAlias",
            "Removes an alias.",
            write,
            delete_alias,
        ),
    ]
}

fn source(source: Option<String>) -> String {
    source.unwrap_or_else(|| "api".to_owned())
}

async fn answer(context: &Context, done: Done<catalog::Deployment>) -> Reply {
    let (account, worker) = (context.account(), context.worker());
    let mut deployment = told::deployment(done.value.clone());
    let found = context.catalog.worker(account.clone(), worker.clone()).await?;
    let subdomain = context.catalog.account(account.clone()).await?.subdomain;
    if found.subdomain {
        deployment.urls = context.state().addresses.worker(worker.as_str(), subdomain.as_deref());
    }
    // It is decided: what is not known of its rollout does not make it an error.
    let rollout = context.state().pops.rollout(&account, &worker, &done.value.id).await;
    deployment.rollout = rollout.unwrap_or_default();
    context.changed(StatusCode::CREATED, &done, &deployment)
}

async fn create(context: Context) -> Reply {
    let asked: NewDeployment = context.json()?;
    let split = told::split(asked.versions)?;
    let new = catalog::NewDeployment {
        id: DeploymentId::new(context.new_id("deployment")?),
        source: source(asked.source),
        message: asked.message,
        immediate: asked.immediate,
        replaces: asked.replaces.map(DeploymentId::new),
    };
    let (account, worker, caller) = (context.account(), context.worker(), context.caller()?);
    let done = context.catalog.deploy(&caller, account, worker, split, new).await?;
    answer(&context, done).await
}

async fn roll_back(context: Context) -> Reply {
    let asked: Rollback = context.json()?;
    let new = catalog::NewDeployment {
        id: DeploymentId::new(context.new_id("deployment")?),
        source: source(asked.source),
        message: asked.message,
        immediate: asked.immediate.unwrap_or(true),
        replaces: asked.replaces.map(DeploymentId::new),
    };
    let (account, worker, caller) = (context.account(), context.worker(), context.caller()?);
    let to = asked.version.map(VersionId::new);
    let done = context
        .catalog
        .rollback(&caller, account, worker, to, false, new)
        .await?;
    answer(&context, done).await
}

async fn list(context: Context) -> Reply {
    let query: PageQuery = context.query()?;
    let (limit, before) = (limit(query.limit)?, number(query.after)?);
    let catalog = &context.catalog;
    catalog.worker(context.account(), context.worker()).await?;
    let deployments = catalog
        .deployments(context.account(), context.worker(), before, limit + 1)
        .await?;
    let told = deployments.into_iter().map(told::deployment).collect();
    ok(&page(told, limit, |deployment: &Deployment| {
        deployment.number.to_string()
    }))
}

async fn get(context: Context) -> Reply {
    let id = DeploymentId::new(context.part("deployment"));
    let (account, worker) = (context.account(), context.worker());
    let found = context
        .catalog
        .deployment(account.clone(), worker.clone(), id.clone())
        .await?;
    let mut deployment = told::deployment(found);
    deployment.rollout = context.state().pops.rollout(&account, &worker, &id).await?;
    ok(&deployment)
}

async fn all_aliases(context: &Context) -> Result<Vec<Alias>, ApiError> {
    let (catalog, account, worker) = (&context.catalog, context.account(), context.worker());
    catalog.worker(account.clone(), worker.clone()).await?;
    let subdomain = catalog.account(account.clone()).await?.subdomain;
    let aliases = catalog.aliases(account, worker.clone()).await?;
    let addresses = &context.state().addresses;
    let told = |(name, split)| told::alias(&name, split, &worker, addresses, subdomain.as_deref());
    Ok(aliases.into_iter().map(told).collect())
}

async fn aliases(context: Context) -> Reply {
    ok(&Page {
        items: all_aliases(&context).await?,
        next: None,
    })
}

async fn one_alias(context: &Context) -> Result<Alias, ApiError> {
    let name = context.part("alias");
    let found = all_aliases(context).await?.into_iter().find(|alias| alias.name == name);
    found.ok_or_else(|| ApiError::not_found(format!("there is no alias \"{name}\"")))
}

async fn alias(context: Context) -> Reply {
    ok(&one_alias(&context).await?)
}

async fn put_alias(context: Context) -> Reply {
    let asked: PutAlias = context.json()?;
    let split = told::split(asked.versions)?;
    if split.is_empty() {
        return Err(ApiError::invalid(
            "an alias points at one version or two; DELETE removes it",
        ));
    }
    let name = AliasName::new(context.part("alias"));
    let (account, worker, caller) = (context.account(), context.worker(), context.caller()?);
    let done = context.catalog.set_alias(&caller, account, worker, name, split).await?;
    let alias = one_alias(&context).await?;
    context.changed(StatusCode::OK, &done, &alias)
}

async fn delete_alias(context: Context) -> Reply {
    let name = AliasName::new(context.part("alias"));
    let (account, worker, caller) = (context.account(), context.worker(), context.caller()?);
    let done = context
        .catalog
        .set_alias(&caller, account, worker, name, Vec::new())
        .await?;
    context.changed(StatusCode::OK, &done, &Empty {})
}
