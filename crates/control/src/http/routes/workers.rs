//! Workers, and secrets of workers.

use super::super::context::{Context, Reply, limit, ok, page};
use super::super::endpoint::{Endpoint, Need};
use super::told;
use crate::catalog::{NewDeployment, SecretPut};
use crate::secrets::SecretValue;
use atoll_api::rest::{ChangeWorker, Empty, Page, PageQuery, PutSecret, Secret, SecretChangeQuery, Version, Worker};
use atoll_model::{Action, DeploymentId, Resource, SecretName, VersionId};
use http::{Method, StatusCode};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::list::<Worker, _>(
            "/v1/accounts/{account}/workers",
            "listWorkers",
            "Workers by name.",
            Need::Account(Resource::Worker, Action::Read),
            list,
        )
        .asks::<PageQuery>(),
        Endpoint::new::<Worker, _>(
            Method::GET,
            "/v1/accounts/{account}/workers/{worker}",
            "getWorker",
            "A worker, with the deployment that serves.",
            Need::Account(Resource::Worker, Action::Read),
            get,
        ),
        Endpoint::new::<Worker, _>(
            Method::PATCH,
            "/v1/accounts/{account}/workers/{worker}",
            "changeWorker",
            "Says at which addresses of the platform's own a worker is reached.",
            Need::Account(Resource::Worker, Action::Write),
            change,
        )
        .takes::<ChangeWorker>(),
        Endpoint::new::<Empty, _>(
            Method::DELETE,
            "/v1/accounts/{account}/workers/{worker}",
            "deleteWorker",
            "Removes a worker with all its versions, deployments, secrets, routes and domains.",
            Need::Account(Resource::Worker, Action::Write),
            delete,
        ),
        Endpoint::list::<Secret, _>(
            "/v1/accounts/{account}/workers/{worker}/secrets",
            "listSecrets",
            "Secrets of the newest version: names, never values.",
            Need::Account(Resource::Secret, Action::Read),
            secrets,
        ),
        Endpoint::new::<Version, _>(
            Method::PUT,
            "/v1/accounts/{account}/workers/{worker}/secrets/{name}",
            "putSecret",
            "Gives a secret a value: a new version that differs from the newest in this alone. It serves at once, unless `deploy` is false.",
            Need::Account(Resource::Secret, Action::Write),
            put_secret,
        )
        .takes::<PutSecret>(),
        Endpoint::new::<Version, _>(
            Method::DELETE,
            "/v1/accounts/{account}/workers/{worker}/secrets/{name}",
            "deleteSecret",
            "Removes a secret: a new version that differs from the newest in this alone. It serves at once, unless `deploy` is false.",
            Need::Account(Resource::Secret, Action::Write),
            delete_secret,
        )
        .asks::<SecretChangeQuery>(),
    ]
}

async fn list(context: Context) -> Reply {
    let query: PageQuery = context.query()?;
    let (catalog, limit) = (&context.catalog, limit(query.limit)?);
    let account = catalog.account(context.account()).await?;
    let workers = catalog
        .workers(context.account(), query.after.unwrap_or_default(), limit + 1)
        .await?;
    let (addresses, subdomain) = (&context.state().addresses, account.subdomain.as_deref());
    let workers = workers
        .into_iter()
        .map(|worker| told::worker(worker, addresses, subdomain))
        .collect();
    ok(&page(workers, limit, |worker: &Worker| worker.name.clone()))
}

/// The worker as it is now.
async fn worker(context: &Context) -> Result<Worker, super::super::ApiError> {
    let (catalog, account) = (&context.catalog, context.account());
    let found = catalog.worker(account.clone(), context.worker()).await?;
    let subdomain = catalog.account(account.clone()).await?.subdomain;
    let mut deployments = catalog.deployments(account, context.worker(), None, 1).await?;
    let mut worker = told::worker(found, &context.state().addresses, subdomain.as_deref());
    worker.deployment = deployments.pop().map(told::deployment);
    Ok(worker)
}

async fn get(context: Context) -> Reply {
    ok(&worker(&context).await?)
}

async fn change(context: Context) -> Reply {
    let change: ChangeWorker = context.json()?;
    let (account, name, caller) = (context.account(), context.worker(), context.caller()?);
    let done = context
        .catalog
        .set_addresses(&caller, account, name, change.subdomain, change.previews)
        .await?;
    let worker = worker(&context).await?;
    context.changed(StatusCode::OK, &done, &worker)
}

async fn delete(context: Context) -> Reply {
    let done = context
        .catalog
        .delete_worker(&context.caller()?, context.account(), context.worker())
        .await?;
    context.changed(StatusCode::OK, &done, &Empty {})
}

async fn secrets(context: Context) -> Reply {
    // A worker that does not exist has no empty list.
    context.catalog.worker(context.account(), context.worker()).await?;
    let secrets = context.catalog.secrets(context.account(), context.worker()).await?;
    let secret = |secret: crate::catalog::SecretFacts| Secret {
        name: secret.name.to_string(),
        revision: secret.revision,
        created_ms: secret.created_ms,
    };
    ok(&Page {
        items: secrets.into_iter().map(secret).collect(),
        next: None,
    })
}

async fn put_secret(context: Context) -> Reply {
    let put: PutSecret = context.json()?;
    let value = Some(SecretValue::new(put.value));
    change_secret(context, value, put.deploy, put.message).await
}

async fn delete_secret(context: Context) -> Reply {
    let query: SecretChangeQuery = context.query()?;
    change_secret(context, None, query.deploy.unwrap_or(true), None).await
}

async fn change_secret(context: Context, value: Option<SecretValue>, deploy: bool, message: Option<String>) -> Reply {
    let name = SecretName::new(context.part("name"));
    let version = VersionId::new(context.new_id("version")?);
    let deployment = NewDeployment {
        id: DeploymentId::new(context.new_id("deployment")?),
        source: "secret".to_owned(),
        message: message.clone(),
        // A wrong value breaks a worker as well as wrong code does.
        immediate: false,
        replaces: None,
    };
    let done = context
        .catalog
        .change_secrets(
            &context.caller()?,
            context.account(),
            context.worker(),
            vec![SecretPut { name, value }],
            version,
            deploy.then_some(deployment),
            message,
        )
        .await?;
    let version = told::version(done.value.clone(), Vec::new());
    context.changed(StatusCode::OK, &done, &version)
}
