//! Secrets: their names are shown, their values never.
//!
//! A change of a script's secrets makes a version and deploys it at once, which needs the newest version to be the one that
//! serves; a change of the latest version's makes a version and deploys nothing.

use super::Body;
use super::deployments::{new_deployment, whole_version};
use super::envelope::{Answer, ApiError, Result, code, good};
use super::scripts::found;
use super::state::{Api, Who};
use crate::catalog::{CatalogError, NewDeployment, SecretPut, Version, new_uuid};
use crate::secrets::SecretValue;
use atoll_model::{Action, Resource, SecretName, TenantId, VersionId, WorkerName};
use axum::extract::Path;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A secret as it is sent.
#[derive(Deserialize)]
pub(super) struct Secret {
    name: Option<String>,
    text: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl Secret {
    fn put(self, name: Option<&str>) -> Result<SecretPut> {
        let kind = self.kind.as_deref().unwrap_or("secret_text");
        if kind != "secret_text" {
            return Err(ApiError::validation(format!(
                "a secret has the type \"secret_text\"; {kind:?} is not built in this release of Atoll"
            )));
        }
        let name = name.or(self.name.as_deref()).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| ApiError::validation("the secret has no name"))?;
        let name = SecretName::new(name);
        let text = self
            .text
            .ok_or_else(|| ApiError::validation(format!("secret {name} has no text")))?;
        Ok(SecretPut {
            name,
            value: Some(SecretValue::new(text)),
        })
    }
}

fn shown(name: &SecretName) -> Value {
    json!({"name": name, "type": "secret_text"})
}

impl Who {
    fn secrets(&self, account: &str, worker: &str, action: Action) -> Result<(TenantId, WorkerName)> {
        let worker = WorkerName::new(worker);
        let account = self.need(account, Resource::Secret, action, Some(&worker))?;
        Ok((account, worker))
    }
}

/// What comes with a change.
#[derive(Default)]
struct Notes {
    deploy: Option<NewDeployment>,
    message: Option<String>,
    tag: Option<String>,
}

async fn change(
    api: &Api,
    who: &Who,
    account: &TenantId,
    worker: &WorkerName,
    puts: Vec<SecretPut>,
    notes: Notes,
) -> Result<Version> {
    let version = VersionId::new(new_uuid()?);
    let done = api
        .catalog
        .change_secrets_tagged(
            who.caller(),
            account.clone(),
            worker.clone(),
            puts,
            version,
            notes.deploy,
            notes.message,
            notes.tag,
        )
        .await;
    match done {
        Ok(done) => Ok(api.told(done)),
        Err(CatalogError::Conflict(why)) => Err(ApiError::bad(code::NOT_DEPLOYED, why)),
        Err(error) => Err(error.into()),
    }
}

/// `GET .../workers/scripts/{name}/secrets`
pub(super) async fn list(api: Api, who: Who, Path((account, name)): Path<(String, String)>) -> Answer {
    let (account, name) = who.secrets(&account, &name, Action::Read)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let secrets = api.catalog.secrets(account, name).await?;
    let secrets: Vec<Value> = secrets.iter().map(|secret| shown(&secret.name)).collect();
    good(secrets)
}

/// `GET .../workers/scripts/{name}/secrets/{secret}`
pub(super) async fn get(api: Api, who: Who, Path((account, name, secret)): Path<(String, String, String)>) -> Answer {
    let (account, name) = who.secrets(&account, &name, Action::Read)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let secrets = api.catalog.secrets(account, name).await?;
    let own = secrets.iter().find(|own| own.name.as_str() == secret);
    let own = own.ok_or_else(|| ApiError::missing(code::NO_SECRET, format!("there is no secret {secret:?}")))?;
    good(shown(&own.name))
}

/// `PUT .../workers/scripts/{name}/secrets`
pub(super) async fn put(
    api: Api,
    who: Who,
    Path((account, name)): Path<(String, String)>,
    Body(secret): Body<Secret>,
) -> Answer {
    let (account, name) = who.secrets(&account, &name, Action::Write)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let put = secret.put(None)?;
    let secret = put.name.clone();
    let deploy = Some(new_deployment(&who, None)?);
    let notes = Notes {
        deploy,
        ..Notes::default()
    };
    change(&api, &who, &account, &name, vec![put], notes).await?;
    good(shown(&secret))
}

/// `DELETE .../workers/scripts/{name}/secrets/{secret}`
pub(super) async fn delete(
    api: Api,
    who: Who,
    Path((account, name, secret)): Path<(String, String, String)>,
) -> Answer {
    let (account, name) = who.secrets(&account, &name, Action::Write)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let put = SecretPut {
        name: SecretName::new(secret),
        value: None,
    };
    let notes = Notes {
        deploy: Some(new_deployment(&who, None)?),
        ..Notes::default()
    };
    change(&api, &who, &account, &name, vec![put], notes).await?;
    good(Value::Null)
}

/// A merge patch (RFC 7396) of secrets: what is null goes, and going is no error for one that is not there.
async fn patched(
    api: &Api,
    account: &TenantId,
    name: &WorkerName,
    patch: BTreeMap<String, Option<Secret>>,
) -> Result<Vec<SecretPut>> {
    let there = api.catalog.secrets(account.clone(), name.clone()).await?;
    let mut puts = Vec::with_capacity(patch.len());
    for (secret, value) in patch {
        match value {
            Some(value) => puts.push(value.put(Some(&secret))?),
            None if there.iter().any(|own| own.name.as_str() == secret) => puts.push(SecretPut {
                name: SecretName::new(secret),
                value: None,
            }),
            None => {}
        }
    }
    Ok(puts)
}

/// `{secrets: {NAME: {text, type} | null}}`
#[derive(Deserialize)]
pub(super) struct Bulk {
    secrets: BTreeMap<String, Option<Secret>>,
}

/// `PATCH .../workers/scripts/{name}/secrets-bulk`
pub(super) async fn bulk(
    api: Api,
    who: Who,
    Path((account, name)): Path<(String, String)>,
    Body(bulk): Body<Bulk>,
) -> Answer {
    let (account, name) = who.secrets(&account, &name, Action::Write)?;
    found(&api, &account, &name, code::NO_SCRIPT).await?;
    let puts = patched(&api, &account, &name, bulk.secrets).await?;
    if !puts.is_empty() {
        let notes = Notes {
            deploy: Some(new_deployment(&who, None)?),
            ..Notes::default()
        };
        change(&api, &who, &account, &name, puts, notes).await?;
    }
    let secrets = api.catalog.secrets(account, name).await?;
    let secrets: Vec<Value> = secrets.iter().map(|secret| shown(&secret.name)).collect();
    good(secrets)
}

/// `{env: {NAME: {text, type} | null}, annotations}`
#[derive(Deserialize)]
pub(super) struct Latest {
    env: Option<BTreeMap<String, Option<Secret>>>,
    annotations: Option<BTreeMap<String, Option<String>>>,
}

/// `PATCH .../workers/workers/{name}/versions/latest`: a version that differs from the newest in these secrets.
pub(super) async fn latest(
    api: Api,
    who: Who,
    Path((account, name)): Path<(String, String)>,
    Body(patch): Body<Latest>,
) -> Answer {
    let (account, name) = who.secrets(&account, &name, Action::Write)?;
    let worker = found(&api, &account, &name, code::NO_SCRIPT).await?;
    let puts = patched(&api, &account, &name, patch.env.unwrap_or_default()).await?;
    let mut annotations = patch.annotations.unwrap_or_default();
    let notes = Notes {
        deploy: None,
        message: annotations.remove("workers/message").flatten(),
        tag: annotations.remove("workers/tag").flatten(),
    };
    let version = change(&api, &who, &account, &name, puts, notes).await?;
    good(whole_version(&api, &account, &name, &version, worker.previews).await?)
}
