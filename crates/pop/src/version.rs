//! A version with all that a start needs: artifact verified, modules fetched, secrets at hand.

use crate::runtime::{LoadedVersion, StartError, StartFault};
use crate::secrets::Values;
use crate::{Agent, objects};
use atoll_api::pop::{SecretName as NameOnWire, SecretsRequest};
use atoll_model::{BindingSpec, Manifest, Module, Share, TenantId, WorkerName, WorkerVersion};
use atoll_store::artifact::{ArtifactError, TrustedKeys, load};
use atoll_store::blob::{BlobError, get_blob};
use futures_util::{StreamExt, TryStreamExt};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};
use zeroize::Zeroizing;

/// How many modules of a version are fetched at a time.
const MODULES_AT_ONCE: usize = 8;
/// How long the control plane may take for a version's secrets.
const SECRETS_MAX: Duration = Duration::from_secs(10);

fn artifact_fault(error: &ArtifactError) -> StartError {
    match error {
        ArtifactError::Untrusted(_) => StartError::new(StartFault::Signature, error),
        ArtifactError::Blob(error) => blob_fault(error),
        _ => StartError::new(StartFault::Artifact, error),
    }
}

fn blob_fault(error: &BlobError) -> StartError {
    let fault = match error {
        BlobError::Failed { .. } => StartFault::Unavailable,
        _ => StartFault::Artifact,
    };
    StartError::new(fault, error)
}

/// Why secrets were not given.
fn secrets_fault(status: &Status) -> StartError {
    let fault = match status.code() {
        Code::NotFound | Code::PermissionDenied | Code::InvalidArgument | Code::FailedPrecondition | Code::DataLoss => {
            StartFault::Secrets
        }
        _ => StartFault::Unavailable,
    };
    StartError::new(fault, status.message())
}

impl Agent {
    /// A version of a worker, from wherever its parts are. Nothing of it is kept here but its parts: whoever runs it keeps
    /// the whole.
    pub async fn version(
        &self,
        account: &TenantId,
        worker: &WorkerName,
        share: &Share,
    ) -> Result<Arc<LoadedVersion>, StartError> {
        let manifest = self.manifest(account, worker, share).await?;
        let version = match &manifest.main_module {
            None => None,
            Some(main) => {
                let store = self.objects();
                let modules = manifest.modules.clone().into_iter().map(|module| {
                    let store = store.clone();
                    async move {
                        let source_map = match &module.source_map {
                            Some(map) => Some(get_blob(&*store, map).await?),
                            None => None,
                        };
                        Ok::<_, BlobError>(Module {
                            name: module.name.clone(),
                            kind: module.kind,
                            content: get_blob(&*store, &module.blob).await?,
                            source_map,
                        })
                    }
                });
                let modules: Vec<Module> = futures_util::stream::iter(modules)
                    .buffered(MODULES_AT_ONCE)
                    .try_collect()
                    .await
                    .map_err(|error| blob_fault(&error))?;
                let secrets = self.secrets_of(account, worker, share).await?;
                Some(Arc::new(WorkerVersion {
                    tenant: account.clone(),
                    name: worker.clone(),
                    id: share.version.to_string(),
                    main_module: main.clone(),
                    modules,
                    compat_date: manifest.compat_date,
                    compat_flags: manifest.compat_flags.clone(),
                    bindings: bindings(&manifest, &secrets),
                    crons: Vec::new(),
                    tail_consumers: manifest.tail_consumers.clone(),
                    limits: manifest
                        .limits()
                        .map_err(|error| StartError::new(StartFault::Artifact, error))?,
                    outbound: manifest.outbound.clone(),
                    created_ms: share.created_ms,
                    tag: share.tag.clone().unwrap_or_default(),
                }))
            }
        };
        Ok(Arc::new(LoadedVersion {
            share: share.clone(),
            manifest,
            version,
        }))
    }

    /// The manifest, if it is signed by a key that is trusted.
    async fn manifest(
        &self,
        account: &TenantId,
        worker: &WorkerName,
        share: &Share,
    ) -> Result<Arc<Manifest>, StartError> {
        let keys = self.links.holder.artifact_keys();
        let trusted = TrustedKeys::new(keys.iter().map(Vec::as_slice));
        let store = objects::Reading(self.objects.clone());
        match load(&store, &share.artifact, account, worker, &trusted).await {
            Ok(manifest) => Ok(Arc::new(manifest)),
            // It may have been signed anew since the signature came here.
            Err(ArtifactError::Untrusted(hash)) => {
                let text = hash.to_string();
                self.objects.forget(&format!("signatures/{}/{text}", &text[..2])).await;
                let manifest = load(&store, &share.artifact, account, worker, &trusted).await;
                manifest.map(Arc::new).map_err(|error| artifact_fault(&error))
            }
            Err(error) => Err(artifact_fault(&error)),
        }
    }

    /// The values of a version's secrets: from disk, else from the control plane.
    async fn secrets_of(&self, account: &TenantId, worker: &WorkerName, share: &Share) -> Result<Values, StartError> {
        if share.secrets.is_empty() {
            return Ok(Vec::new());
        }
        let fits = |values: &Values| {
            values.len() == share.secrets.len() && values.iter().all(|(secret, _)| share.secrets.contains(secret))
        };
        if let Some(values) = self.secrets.get(account, worker, &share.version)
            && fits(&values)
        {
            return Ok(values);
        }
        let fault = |why: &str| StartError::new(StartFault::Secrets, why);
        let unavailable = |why: &str| StartError::new(StartFault::Unavailable, why);
        let mut control = self.links.control().ok_or_else(|| {
            unavailable("its secrets are not on this PoP yet, and the control plane, which has them, is not connected")
        })?;
        let request = SecretsRequest {
            account: account.to_string(),
            worker: worker.to_string(),
            version: share.version.to_string(),
            secrets: share
                .secrets
                .iter()
                .map(|secret| NameOnWire {
                    name: secret.name.to_string(),
                    revision: secret.revision,
                })
                .collect(),
        };
        let asked = tokio::time::timeout(SECRETS_MAX, control.secrets(request)).await;
        let answer = match asked {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return Err(secrets_fault(&status)),
            Err(_) => return Err(unavailable("the control plane did not answer in time")),
        };
        if answer.values.len() != share.secrets.len() {
            return Err(fault("the control plane gave another number of values"));
        }
        let values: Values = share
            .secrets
            .iter()
            .cloned()
            .zip(answer.values.into_iter().map(Zeroizing::new))
            .collect();
        if let Err(error) = self.secrets.put(account, worker, &share.version, &values) {
            // It starts all the same; only a restart without a control plane will miss them.
            tracing::error!(%error, "secrets could not be kept");
        }
        Ok(values)
    }
}

/// `env`: the manifest's bindings, and the secrets, each in the place of a binding of its name if there is one.
fn bindings(manifest: &Manifest, secrets: &Values) -> Vec<(String, BindingSpec)> {
    let mut bindings = manifest.bindings.clone();
    for (secret, value) in secrets {
        let value = value.to_string();
        let of_store = bindings.iter_mut().find(|(name, _)| name == secret.name.as_str());
        match of_store {
            Some((_, BindingSpec::StoreSecret { value: place, .. })) => *place = Some(value),
            Some((_, spec)) => *spec = BindingSpec::Secret { value },
            None => bindings.push((secret.name.to_string(), BindingSpec::Secret { value })),
        }
    }
    bindings
}
