//! Workers as Cloudflare's API names them: scripts, services, and their settings.

use super::Shared;
use super::assets;
use super::deployments::{deploy_whole, serving};
use super::envelope::{Answer, ApiError, Result, code, good};
use super::form;
use super::state::{Api, Who};
use super::time::rfc3339;
use super::upload::{Facts, For, Settings, migration_step, newest, note_migrations, settings, upload};
use super::{Body, bindings};
use crate::catalog::{Account, CatalogError, Version, Worker};
use atoll_model::artifact::Manifest;
use atoll_model::{Action, BindingSpec, Resource, TenantId, WorkerName};
use axum::Extension;
use axum::extract::{Multipart, Path, Query};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The one environment that a worker has. Others are workers of their own, `NAME-ENVIRONMENT`.
pub(super) const ENVIRONMENT: &str = "production";
/// How many workers are read at a time.
const PAGE: u32 = 500;

/// A worker and what is known of its newest version.
struct Whole {
    worker: Worker,
    version: Version,
    manifest: Manifest,
    facts: Facts,
    settings: Settings,
    account: Account,
}

/// The worker; `code` is the error's if there is none.
pub(super) async fn found(api: &Api, account: &TenantId, name: &WorkerName, code: u32) -> Result<Worker> {
    match api.catalog.worker(account.clone(), name.clone()).await {
        Err(CatalogError::NotFound { .. }) => Err(missing(name, code)),
        worker => Ok(worker?),
    }
}

pub(super) fn missing(name: &WorkerName, code: u32) -> ApiError {
    // Both sentences begin as clients expect them in their messages.
    let kind = if code == code::NO_SERVICE { "service" } else { "Worker" };
    ApiError::missing(code, format!("This {kind} does not exist on your account: {name}"))
}

async fn whole(api: &Api, account: &TenantId, name: &WorkerName, code: u32) -> Result<Whole> {
    let worker = found(api, account, name, code).await?;
    // A worker is there from its first version on; both can be removed in between.
    let (version, manifest) = newest(api, account, name).await?.ok_or_else(|| missing(name, code))?;
    let facts = api.facts(account, name, vec![version.artifact]).await?;
    let facts = facts.into_values().next().unwrap_or_default();
    let text = api.catalog.client_settings(account.clone(), name.clone()).await?;
    Ok(Whole {
        worker,
        version,
        manifest,
        facts,
        settings: settings(&text),
        account: api.catalog.account(account.clone()).await?,
    })
}

impl Whole {
    /// As the older endpoints call the newest upload: `script`.
    fn script(&self) -> Value {
        let Self {
            worker,
            version,
            manifest,
            facts,
            settings,
            ..
        } = self;
        let last_deployed_from = match version.source.as_str() {
            "wrangler" => "wrangler",
            // Clients ask before they overwrite what came from elsewhere.
            _ => "api",
        };
        json!({
            "id": worker.name,
            "tag": worker.tag,
            "tags": settings.get("tags").cloned().unwrap_or_else(|| json!([])),
            "etag": version.artifact.to_string(),
            "handlers": facts.handlers,
            "named_handlers": facts.named_handlers,
            "created_on": rfc3339(worker.created_ms),
            "modified_on": rfc3339(version.created_ms),
            "migration_tag": worker.migration_tag,
            "usage_model": "standard",
            "last_deployed_from": last_deployed_from,
            "compatibility_date": manifest.compat_date,
            "compatibility_flags": manifest.compat_flags,
            "has_assets": manifest.assets.is_some(),
            "has_modules": !facts.script && manifest.main_module.is_some(),
            "logpush": settings.get("logpush").cloned().unwrap_or(Value::Bool(false)),
            "observability": settings.get("observability"),
            "placement": settings.get("placement"),
            "tail_consumers": tail_consumers(manifest),
            "limits": shown_limits(manifest),
        })
    }

    fn environment(&self) -> Value {
        json!({
            "environment": ENVIRONMENT,
            "created_on": rfc3339(self.worker.created_ms),
            "modified_on": rfc3339(self.version.created_ms),
            "script": self.script(),
        })
    }

    fn bindings(&self) -> Vec<Value> {
        all_bindings(&self.manifest, &self.version, &self.facts)
    }

    /// `subdomain` of the newer endpoints: where it is reached.
    fn subdomain(&self, api: &Api) -> Value {
        subdomain(api, &self.worker, &self.account)
    }
}

/// Bindings and secrets of a version.
pub(super) fn all_bindings(manifest: &Manifest, version: &Version, facts: &Facts) -> Vec<Value> {
    let bindings = manifest.bindings.iter();
    let secrets = version.secrets.iter();
    bindings
        .map(|(name, spec)| bindings::show(name, spec, &facts.bindings))
        .chain(secrets.map(|secret| bindings::show_secret(&secret.name)))
        .collect()
}

/// Limits that differ from the default, under Cloudflare's names.
pub(super) fn shown_limits(manifest: &Manifest) -> Value {
    let mut shown = Map::new();
    for (key, value) in &manifest.limits {
        let name = match key.as_str() {
            "subrequests_max" => "subrequests",
            other => other,
        };
        shown.insert(name.to_owned(), json!(value));
    }
    Value::Object(shown)
}

pub(super) fn tail_consumers(manifest: &Manifest) -> Vec<Value> {
    let consumers = manifest.tail_consumers.iter();
    consumers
        .map(|service| json!({"service": service, "environment": ENVIRONMENT}))
        .collect()
}

fn subdomain(api: &Api, worker: &Worker, account: &Account) -> Value {
    let own = account.subdomain.as_deref();
    let url = api.addresses.worker(worker.name.as_str(), own).into_iter().next();
    // What follows the first eight digits of a version's id, or an alias.
    let suffix = own.zip(api.addresses.domains.first()).map(|(own, domain)| {
        let port = api.addresses.port.map_or_else(String::new, |port| format!(":{port}"));
        format!("-{}.{own}.{domain}{port}", worker.name)
    });
    json!({
        "enabled": worker.subdomain,
        "previews_enabled": worker.previews,
        "url": url,
        "preview_url_suffix": suffix,
    })
}

/// `GET .../workers/services/{name}`
pub(super) async fn service(api: Api, who: Who, Path((account, name)): Path<(String, String)>) -> Answer {
    let (account, name) = who.reads(&account, &name)?;
    let whole = whole(&api, &account, &name, code::NO_SERVICE).await?;
    let environment = whole.environment();
    good(json!({
        "id": name,
        "created_on": rfc3339(whole.worker.created_ms),
        "modified_on": rfc3339(whole.version.created_ms),
        "usage_model": "standard",
        "default_environment": environment,
        "environments": [environment],
    }))
}

fn only_environment(environment: &str) -> Result<()> {
    if environment == ENVIRONMENT {
        return Ok(());
    }
    Err(ApiError::missing(
        code::NO_SERVICE,
        format!(
            "there is no environment {environment:?}: a worker has {ENVIRONMENT:?} alone, others are workers of their own"
        ),
    ))
}

/// `GET .../workers/services/{name}/environments/{environment}`
pub(super) async fn environment(
    api: Api,
    who: Who,
    Path((account, name, environment)): Path<(String, String, String)>,
) -> Answer {
    let (account, name) = who.reads(&account, &name)?;
    only_environment(&environment)?;
    good(whole(&api, &account, &name, code::NO_SERVICE).await?.environment())
}

/// `GET .../workers/services/{name}/environments/{environment}/bindings`
pub(super) async fn environment_bindings(
    api: Api,
    who: Who,
    Path((account, name, environment)): Path<(String, String, String)>,
) -> Answer {
    let (account, name) = who.reads(&account, &name)?;
    only_environment(&environment)?;
    good(whole(&api, &account, &name, code::NO_SERVICE).await?.bindings())
}

/// `GET .../workers/services/{name}/environments/{environment}/subdomain`
pub(super) async fn environment_subdomain(
    api: Api,
    who: Who,
    Path((account, name, environment)): Path<(String, String, String)>,
) -> Answer {
    let (account, name) = who.reads(&account, &name)?;
    only_environment(&environment)?;
    good(whole(&api, &account, &name, code::NO_SERVICE).await?.subdomain(&api))
}

/// `GET .../workers/workers/{name}`
pub(super) async fn worker(api: Api, who: Who, Path((account, name)): Path<(String, String)>) -> Answer {
    let (account, name) = who.reads(&account, &name)?;
    let worker = found(&api, &account, &name, code::NO_SCRIPT).await?;
    let facts = api.catalog.account(account.clone()).await?;
    let text = api.catalog.client_settings(account, name).await?;
    let settings = settings(&text);
    good(json!({
        "id": worker.tag,
        "name": worker.name,
        "created_on": rfc3339(worker.created_ms),
        "tags": settings.get("tags").cloned().unwrap_or_else(|| json!([])),
        "logpush": settings.get("logpush").cloned().unwrap_or(Value::Bool(false)),
        "observability": settings.get("observability"),
        "subdomain": subdomain(&api, &worker, &facts),
    }))
}

/// `GET .../workers/scripts`
pub(super) async fn list(api: Api, who: Who, Path(account): Path<String>) -> Answer {
    let account = who.need(&account, Resource::Worker, Action::Read, None)?;
    let mut all = Vec::new();
    for worker in every(&api, &account).await? {
        all.push(json!({
            "id": worker.name,
            "tag": worker.tag,
            "created_on": rfc3339(worker.created_ms),
            "migration_tag": worker.migration_tag,
            "usage_model": "standard",
        }));
    }
    good(all)
}

/// Every worker of an account.
async fn every(api: &Api, account: &TenantId) -> Result<Vec<Worker>> {
    let mut all: Vec<Worker> = Vec::new();
    loop {
        let after = all.last().map_or_else(String::new, |worker| worker.name.to_string());
        let page = api.catalog.workers(account.clone(), after, PAGE).await?;
        let last = page.len() < PAGE as usize;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

/// `PUT .../workers/scripts/{name}`: a version, and all requests to it.
pub(super) async fn put(
    api: Api,
    who: Who,
    Extension(shared): Extension<Arc<Shared>>,
    Path((account, name)): Path<(String, String)>,
    form: Multipart,
) -> Answer {
    let (account, name) = who.writes(&account, &name)?;
    let _turn = shared.turn().await?;
    let parts = form::parts(form).await?;
    let uploaded = upload(&api, &who, &account, &name, parts, For::Deployment).await?;
    deploy_whole(&api, &who, &account, &name, &uploaded.version, uploaded.message.clone()).await?;
    let (new, migrations) = (uploaded.settings, uploaded.migrations);
    if !new.is_empty() || migrations.is_some() {
        let step = migrations.as_ref().and_then(migration_step);
        keep(&api, &who, &account, &name, step, move |settings| {
            settings.extend(new.clone());
            if let Some(migrations) = &migrations {
                note_migrations(settings, migrations);
            }
        })
        .await?;
    }
    let worker = found(&api, &account, &name, code::NO_SCRIPT).await?;
    let version = uploaded.version;
    good(json!({
        "id": name,
        "tag": worker.tag,
        "etag": version.artifact.to_string(),
        // The version's id without its hyphens, which is what clients take it for.
        "deployment_id": version.id.as_str().replace('-', ""),
        "startup_time_ms": version.startup_ms.unwrap_or(0),
        "handlers": uploaded.facts.handlers,
        "named_handlers": uploaded.facts.named_handlers,
        "created_on": rfc3339(worker.created_ms),
        "modified_on": rfc3339(version.created_ms),
        "migration_tag": worker.migration_tag,
        "usage_model": "standard",
        "compatibility_date": uploaded.manifest.compat_date,
        "compatibility_flags": uploaded.manifest.compat_flags,
        "has_assets": uploaded.manifest.assets.is_some(),
        "has_modules": !uploaded.facts.script && uploaded.manifest.main_module.is_some(),
        "available_on_subdomain": worker.subdomain,
    }))
}

/// Changes settings that are kept.
async fn keep(
    api: &Api,
    who: &Who,
    account: &TenantId,
    name: &WorkerName,
    migration: Option<(Option<String>, String)>,
    edit: impl Fn(&mut Settings) + Send + 'static,
) -> Result<()> {
    let edit = move |text: &str| {
        let mut settings = settings(text);
        edit(&mut settings);
        serde_json::to_string(&settings).map_err(|error| CatalogError::Invalid(error.to_string()))
    };
    let done = api
        .catalog
        .edit_client_settings(who.caller(), account.clone(), name.clone(), migration, edit)
        .await?;
    api.told(done);
    Ok(())
}

/// `GET .../workers/scripts/{name}/settings`
pub(super) async fn get_settings(api: Api, who: Who, Path((account, name)): Path<(String, String)>) -> Answer {
    let (account, name) = who.reads(&account, &name)?;
    let whole = whole(&api, &account, &name, code::NO_SCRIPT).await?;
    let mut shown = whole.script();
    shown["bindings"] = json!(whole.bindings());
    if let Some(assets) = &whole.manifest.assets {
        shown["assets"] = json!({"config": assets::show(assets)});
    }
    good(shown)
}

/// `GET .../workers/scripts/{name}/script-settings`
pub(super) async fn get_script_settings(api: Api, who: Who, Path((account, name)): Path<(String, String)>) -> Answer {
    let (account, name) = who.reads(&account, &name)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let text = api.catalog.client_settings(account, name).await?;
    good(script_settings(&settings(&text)))
}

const SCRIPT_SETTINGS: &[&str] = &["tags", "logpush", "observability", "tail_consumers"];

fn script_settings(settings: &Settings) -> Value {
    let shown = SCRIPT_SETTINGS.iter().map(|key| {
        let value = settings.get(*key).cloned().unwrap_or(Value::Null);
        ((*key).to_owned(), value)
    });
    Value::Object(shown.collect())
}

/// `PATCH .../workers/scripts/{name}/script-settings`: kept and shown again. What `tail_consumers` names becomes true with the next
/// version, which has its own; the rest has no effect on this platform.
pub(super) async fn patch_script_settings(
    api: Api,
    who: Who,
    Path((account, name)): Path<(String, String)>,
    Body(patch): Body<Map<String, Value>>,
) -> Answer {
    let (account, name) = who.writes(&account, &name)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let patch: Map<String, Value> = patch
        .into_iter()
        .filter(|(key, _)| SCRIPT_SETTINGS.contains(&key.as_str()))
        .collect();
    keep(&api, &who, &account, &name, None, move |settings| {
        for (key, value) in &patch {
            if value.is_null() {
                settings.remove(key);
            } else {
                settings.insert(key.clone(), value.clone());
            }
        }
    })
    .await?;
    let text = api.catalog.client_settings(account, name).await?;
    good(script_settings(&settings(&text)))
}

/// `{enabled, previews_enabled}`
#[derive(Deserialize)]
pub(super) struct Subdomain {
    enabled: Option<bool>,
    previews_enabled: Option<bool>,
}

/// `GET .../workers/scripts/{name}/subdomain`
pub(super) async fn get_subdomain(api: Api, who: Who, Path((account, name)): Path<(String, String)>) -> Answer {
    let (account, name) = who.reads(&account, &name)?;
    let worker = found(&api, &account, &name, code::NO_SCRIPT).await?;
    good(json!({"enabled": worker.subdomain, "previews_enabled": worker.previews}))
}

/// `POST .../workers/scripts/{name}/subdomain`: at which of the platform's addresses it is reached. What is not said stays.
pub(super) async fn set_subdomain(
    api: Api,
    who: Who,
    Path((account, name)): Path<(String, String)>,
    Body(asked): Body<Subdomain>,
) -> Answer {
    let (account, name) = who.writes(&account, &name)?;
    let worker = found(&api, &account, &name, code::NO_SCRIPT).await?;
    let differs = |asked: Option<bool>, is: bool| asked.is_some_and(|asked| asked != is);
    if differs(asked.enabled, worker.subdomain) || differs(asked.previews_enabled, worker.previews) {
        let done = api
            .catalog
            .set_addresses(
                who.caller(),
                account.clone(),
                name.clone(),
                asked.enabled,
                asked.previews_enabled,
            )
            .await?;
        api.told(done);
    }
    let worker = found(&api, &account, &name, code::NO_SCRIPT).await?;
    good(json!({"enabled": worker.subdomain, "previews_enabled": worker.previews}))
}

/// `[{cron}]`
#[derive(Deserialize)]
pub(super) struct Schedule {
    cron: String,
}

/// `GET .../workers/scripts/{name}/schedules`
pub(super) async fn get_schedules(api: Api, who: Who, Path((account, name)): Path<(String, String)>) -> Answer {
    let (account, name) = who.reads(&account, &name)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let crons = api.catalog.crons(account, name).await?;
    let schedules: Vec<Value> = crons.into_iter().map(|cron| json!({"cron": cron})).collect();
    good(json!({"schedules": schedules}))
}

/// `PUT .../workers/scripts/{name}/schedules`: these, and no others.
pub(super) async fn set_schedules(
    api: Api,
    who: Who,
    Path((account, name)): Path<(String, String)>,
    Body(schedules): Body<Vec<Schedule>>,
) -> Answer {
    let (account, name) = who.writes(&account, &name)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let crons: Vec<String> = schedules.into_iter().map(|schedule| schedule.cron).collect();
    // Nothing to change is no change: no entry in the audit log, no revision.
    if api.catalog.crons(account.clone(), name.clone()).await? != crons {
        let done = api
            .catalog
            .set_crons(who.caller(), account, name, crons.clone())
            .await?;
        api.told(done);
    }
    let schedules: Vec<Value> = crons.into_iter().map(|cron| json!({"cron": cron})).collect();
    good(json!({"schedules": schedules}))
}

/// Workers that would miss this one: those that serve a version with a binding to it, and those that send it their events.
async fn users(api: &Api, account: &TenantId, name: &WorkerName) -> Result<(Vec<WorkerName>, Vec<WorkerName>)> {
    let (mut callers, mut producers) = (Vec::new(), Vec::new());
    for worker in every(api, account).await? {
        if worker.name == *name {
            continue;
        }
        let (mut calls, mut produces) = (false, false);
        for share in serving(api, account, &worker.name).await? {
            let version = api
                .catalog
                .version(account.clone(), worker.name.clone(), share.version)
                .await?;
            let manifest = api.manifest(account, &worker.name, &version).await?;
            calls |= manifest
                .bindings
                .iter()
                .any(|(_, spec)| matches!(spec, BindingSpec::Service { service, .. } if service == name.as_str()));
            produces |= manifest.tail_consumers.contains(name);
        }
        if calls {
            callers.push(worker.name.clone());
        }
        if produces {
            producers.push(worker.name);
        }
    }
    Ok((callers, producers))
}

/// `GET .../workers/scripts/{name}/references`
pub(super) async fn references(api: Api, who: Who, Path((account, name)): Path<(String, String)>) -> Answer {
    let (account, name) = who.reads(&account, &name)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let (callers, _) = users(&api, &account, &name).await?;
    let incoming: Vec<Value> = callers
        .iter()
        .map(|caller| json!({"service": caller, "environment": ENVIRONMENT, "name": name}))
        .collect();
    good(json!({
        "services": {"incoming": incoming, "outgoing": [], "pages_function": false},
        "durable_objects": [],
        "dispatch_outbounds": [],
    }))
}

/// `GET .../workers/tails/by-consumer/{name}`
pub(super) async fn producers(api: Api, who: Who, Path((account, name)): Path<(String, String)>) -> Answer {
    let (account, name) = who.reads(&account, &name)?;
    let (_, producers) = users(&api, &account, &name).await?;
    let producers: Vec<Value> = producers
        .iter()
        .map(|producer| {
            json!({
                "consumer": {"service": name, "environment": ENVIRONMENT},
                "producer": {"service": producer, "environment": ENVIRONMENT},
            })
        })
        .collect();
    good(producers)
}

/// `?force=true`
#[derive(Deserialize)]
pub(super) struct Force {
    #[serde(default)]
    force: bool,
}

/// `DELETE .../workers/services/{name}` and `.../workers/scripts/{name}`: the worker with all that is its own.
pub(super) async fn delete(
    api: Api,
    who: Who,
    Path((account, name)): Path<(String, String)>,
    Query(force): Query<Force>,
) -> Answer {
    let (account, name) = who.writes(&account, &name)?;
    found(&api, &account, &name, code::NO_SERVICE).await?;
    if !force.force {
        let (callers, producers) = users(&api, &account, &name).await?;
        let names: Vec<&str> = callers.iter().chain(&producers).map(WorkerName::as_str).collect();
        if !names.is_empty() {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                code::IN_USE,
                format!(
                    "{name} is in use by {}; delete with `force` to break them",
                    names.join(", ")
                ),
            ));
        }
    }
    let done = api.catalog.delete_worker(who.caller(), account, name).await?;
    api.told(done);
    good(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_are_damaged_are_none() {
        assert!(settings("").is_empty());
        assert!(settings("[1]").is_empty());
        let kept = settings(r#"{"tags": ["a"], "placement": {"mode": "smart"}}"#);
        assert_eq!(script_settings(&kept)["tags"], json!(["a"]));
        assert_eq!(script_settings(&kept).get("placement"), None);
    }
}
