//! Versions and deployments.

use super::envelope::{Answer, ApiError, Result, code, good};
use super::scripts::{all_bindings, found, shown_limits};
use super::state::{Api, Who};
use super::time::rfc3339;
use super::upload::{Facts, For, upload};
use super::{Body, Shared, form};
use crate::catalog::{CatalogError, Deployment, DeploymentKind, NewDeployment, SplitOf, Version, new_uuid};
use atoll_model::artifact::Manifest;
use atoll_model::edge::WEIGHT_WHOLE;
use atoll_model::{DeploymentId, TenantId, VersionId, WorkerName};
use axum::Extension;
use axum::extract::{Multipart, Path};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many deployments are shown: those that a deployment can be gone back to easily.
const SHOWN: u32 = 10;
/// How many versions are shown.
const VERSIONS_SHOWN: u32 = 100;

/// A version as it is shown in lists.
fn shown(version: &Version, has_preview: bool) -> Value {
    let mut annotations = Map::new();
    let mut annotate = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            annotations.insert(name.to_owned(), json!(value));
        }
    };
    annotate("workers/message", version.message.as_deref());
    annotate("workers/tag", version.tag.as_deref());
    json!({
        "id": version.id,
        "number": version.number,
        "metadata": {
            "created_on": rfc3339(version.created_ms),
            "modified_on": rfc3339(version.created_ms),
            "author_id": version.author,
            "author_email": version.author,
            "source": version.source,
            "has_preview": has_preview,
        },
        "annotations": annotations,
        "startup_time_ms": version.startup_ms.unwrap_or(0),
    })
}

/// A version with what it consists of.
fn shown_whole(version: &Version, manifest: &Manifest, facts: &Facts, has_preview: bool) -> Value {
    let mut all = shown(version, has_preview);
    all["resources"] = json!({
        "bindings": all_bindings(manifest, version, facts),
        "script": {
            "etag": version.artifact.to_string(),
            "handlers": facts.handlers,
            "named_handlers": facts.named_handlers,
            "last_deployed_from": version.source,
        },
        "script_runtime": {
            "compatibility_date": manifest.compat_date,
            "compatibility_flags": manifest.compat_flags,
            "usage_model": "standard",
            "limits": shown_limits(manifest),
        },
    });
    all
}

/// Has the version an address of its own?
async fn has_preview(api: &Api, account: &TenantId, worker: &WorkerName) -> Result<bool> {
    let previews = found(api, account, worker, code::NO_SCRIPT).await?.previews;
    Ok(previews && api.catalog.account(account.clone()).await?.subdomain.is_some())
}

/// `POST .../workers/scripts/{name}/versions`
pub(super) async fn create_version(
    api: Api,
    who: Who,
    Extension(shared): Extension<Arc<Shared>>,
    Path((account, name)): Path<(String, String)>,
    form: Multipart,
) -> Answer {
    let (account, name) = who.writes(&account, &name)?;
    // The first version is deployed with it: a worker is made by PUT.
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let _turn = shared.turn().await?;
    let parts = form::parts(form).await?;
    let uploaded = upload(&api, &who, &account, &name, parts, For::Version).await?;
    let has_preview = has_preview(&api, &account, &name).await?;
    good(shown_whole(
        &uploaded.version,
        &uploaded.manifest,
        &uploaded.facts,
        has_preview,
    ))
}

/// `GET .../workers/scripts/{name}/versions`
pub(super) async fn versions(api: Api, who: Who, Path((account, name)): Path<(String, String)>) -> Answer {
    let (account, name) = who.reads(&account, &name)?;
    let has_preview = has_preview(&api, &account, &name).await?;
    let versions = api.catalog.versions(account, name, None, VERSIONS_SHOWN).await?;
    let items: Vec<Value> = versions.iter().map(|version| shown(version, has_preview)).collect();
    good(json!({"items": items}))
}

/// `GET .../workers/scripts/{name}/versions/{version}`
pub(super) async fn version(
    api: Api,
    who: Who,
    Path((account, name, version)): Path<(String, String, String)>,
) -> Answer {
    let (account, name) = who.reads(&account, &name)?;
    let has_preview = has_preview(&api, &account, &name).await?;
    let version = api
        .catalog
        .version(account.clone(), name.clone(), VersionId::new(version))
        .await?;
    good(whole_version(&api, &account, &name, &version, has_preview).await?)
}

/// A version with what it consists of, from the stores.
pub(super) async fn whole_version(
    api: &Api,
    account: &TenantId,
    name: &WorkerName,
    version: &Version,
    has_preview: bool,
) -> Result<Value> {
    let manifest = api.manifest(account, name, version).await?;
    let facts = api.facts(account, name, vec![version.artifact]).await?;
    let facts = facts.into_values().next().unwrap_or_default();
    Ok(shown_whole(version, &manifest, &facts, has_preview))
}

fn shown_deployment(deployment: &Deployment) -> Value {
    let triggered_by = match deployment.kind {
        // Somebody's own doing: clients show the source instead.
        DeploymentKind::Deploy => None,
        DeploymentKind::Rollback | DeploymentKind::AutomaticRollback => Some("rollback"),
        DeploymentKind::Secret => Some("secret"),
    };
    let mut annotations = Map::new();
    if let Some(triggered_by) = triggered_by {
        annotations.insert("workers/triggered_by".to_owned(), json!(triggered_by));
    }
    if let Some(message) = &deployment.message {
        annotations.insert("workers/message".to_owned(), json!(message));
    }
    let versions: Vec<Value> = deployment
        .split
        .iter()
        .map(|share| json!({"version_id": share.version, "percentage": percentage(share.weight)}))
        .collect();
    json!({
        "id": deployment.id,
        "source": deployment.source,
        "strategy": "percentage",
        "author_email": deployment.author,
        "created_on": rfc3339(deployment.created_ms),
        "annotations": annotations,
        "versions": versions,
    })
}

/// Hundredths of a percent as a number of percent: whole if it is.
fn percentage(weight: u16) -> Value {
    if weight.is_multiple_of(100) {
        json!(weight / 100)
    } else {
        json!(f64::from(weight) / 100.0)
    }
}

/// A number of percent as hundredths of one.
fn weight(percentage: f64) -> Result<u16> {
    let hundredths = percentage * 100.0;
    let rounded = hundredths.round();
    // Also false for what is no number.
    let fits = (0.0..=10_000.0).contains(&rounded) && (hundredths - rounded).abs() < 1e-6;
    if !fits {
        return Err(ApiError::validation(format!(
            "a share is a number of percent from 0 to 100 with two decimal places, not {percentage}"
        )));
    }
    // In range by the line above.
    Ok(rounded as u16)
}

/// `GET .../workers/scripts/{name}/deployments`
pub(super) async fn deployments(api: Api, who: Who, Path((account, name)): Path<(String, String)>) -> Answer {
    let (account, name) = who.reads(&account, &name)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let deployments = api.catalog.deployments(account, name, None, SHOWN).await?;
    let deployments: Vec<Value> = deployments.iter().map(shown_deployment).collect();
    good(json!({"deployments": deployments}))
}

/// `GET .../workers/scripts/{name}/deployments/{id}`
pub(super) async fn deployment(
    api: Api,
    who: Who,
    Path((account, name, id)): Path<(String, String, String)>,
) -> Answer {
    let (account, name) = who.reads(&account, &name)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let deployment = api.catalog.deployment(account, name, DeploymentId::new(id)).await?;
    good(shown_deployment(&deployment))
}

/// What is asked for with a deployment.
#[derive(Deserialize)]
pub(super) struct Deploy {
    strategy: Option<String>,
    versions: Vec<DeployShare>,
    annotations: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Deserialize)]
struct DeployShare {
    version_id: String,
    percentage: f64,
}

/// `POST .../workers/scripts/{name}/deployments`
pub(super) async fn create(
    api: Api,
    who: Who,
    Path((account, name)): Path<(String, String)>,
    Body(asked): Body<Deploy>,
) -> Answer {
    let (account, name) = who.writes(&account, &name)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    if asked.strategy.as_deref().unwrap_or("percentage") != "percentage" {
        return Err(ApiError::validation(
            "the one strategy of a deployment is \"percentage\"",
        ));
    }
    let mut split = Vec::with_capacity(asked.versions.len());
    for share in asked.versions {
        let weight = weight(share.percentage)?;
        // A client that moves all requests away from a version names it with 0 %.
        if weight > 0 {
            let version = VersionId::new(share.version_id);
            split.push(SplitOf { version, weight });
        }
    }
    let message = asked
        .annotations
        .unwrap_or_default()
        .remove("workers/message")
        .flatten();
    let deployment = deploy(&api, &who, &account, &name, split, message).await?;
    good(shown_deployment(&deployment))
}

async fn deploy(
    api: &Api,
    who: &Who,
    account: &TenantId,
    name: &WorkerName,
    split: Vec<SplitOf>,
    message: Option<String>,
) -> Result<Deployment> {
    let new = new_deployment(who, message)?;
    let done = api
        .catalog
        .deploy(who.caller(), account.clone(), name.clone(), split, new)
        .await?;
    Ok(api.told(done))
}

/// A deployment that the caller asks for.
pub(super) fn new_deployment(who: &Who, message: Option<String>) -> Result<NewDeployment> {
    Ok(NewDeployment {
        id: DeploymentId::new(new_uuid()?),
        source: who.source().to_owned(),
        message: message.filter(|message| !message.is_empty()),
        replaces: None,
        immediate: false,
    })
}

/// All requests to one version.
pub(super) async fn deploy_whole(
    api: &Api,
    who: &Who,
    account: &TenantId,
    name: &WorkerName,
    version: &Version,
    message: Option<String>,
) -> Result<Deployment> {
    let split = vec![SplitOf {
        version: version.id.clone(),
        weight: WEIGHT_WHOLE,
    }];
    deploy(api, who, account, name, split, message).await
}

/// Who serves.
pub(super) async fn serving(api: &Api, account: &TenantId, name: &WorkerName) -> Result<Vec<SplitOf>> {
    let newest = api.catalog.deployments(account.clone(), name.clone(), None, 1).await;
    match newest {
        Ok(deployments) => Ok(deployments
            .into_iter()
            .flat_map(|deployment| deployment.split)
            .collect()),
        Err(CatalogError::NotFound { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent() {
        let check = |percent: f64, expected: u16, text: &str| {
            assert_eq!(weight(percent).unwrap(), expected);
            assert_eq!(percentage(expected).to_string(), text);
        };
        check(100.0, 10_000, "100");
        check(10.0, 1_000, "10");
        check(33.33, 3_333, "33.33");
        check(0.01, 1, "0.01");
        check(0.0, 0, "0");
        for bad in [-1.0, 100.01, 0.001, f64::NAN, f64::INFINITY] {
            assert_eq!(weight(bad).unwrap_err().code, code::VALIDATION, "{bad}");
        }
    }
}
