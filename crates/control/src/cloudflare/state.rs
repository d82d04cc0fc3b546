//! A request of this API: what it stands on ([`Api`]) and who makes it ([`Who`]).

use super::envelope::{ApiError, Result, code};
use super::upload::Facts;
use crate::catalog::{Caller, Catalog, CatalogError, Done, Identity, Namespace, Version};
use crate::http::{self, Peer};
use crate::state::ControlState;
use atoll_model::{Action, BlobHash, Manifest, Resource, TenantId, WorkerName};
use atoll_store::artifact::load;
use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, HOST, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Deref;
use std::sync::Arc;

/// The control plane, with the catalog's handle that was the leader's when the request began.
pub(super) struct Api {
    pub catalog: Catalog,
    pub shared: Arc<http::Api>,
}

impl Deref for Api {
    type Target = ControlState;

    fn deref(&self) -> &ControlState {
        &self.shared.state
    }
}

impl FromRequestParts<Arc<http::Api>> for Api {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<http::Api>) -> Result<Self> {
        let catalog = match shared.state.catalog() {
            Ok(catalog) => catalog,
            // What is asked of PoPs meanwhile says that there are none.
            Err(_) if parts.method == Method::GET => shared.state.reading.clone(),
            Err(error) => return Err(ApiError::busy(error.to_string())),
        };
        Ok(Self {
            catalog,
            shared: shared.clone(),
        })
    }
}

impl Api {
    /// What a change came to, after the PoPs were told of it.
    pub fn told<T>(&self, done: Done<T>) -> T {
        self.pops.changed(done.revision);
        done.value
    }

    /// These blobs are about to be needed: they are not collected.
    pub async fn hold(&self, blobs: Vec<BlobHash>) -> Result<()> {
        match self.catalog.hold_blobs(blobs).await {
            // One of them is on its way out: a moment later it can come again.
            Err(CatalogError::Conflict(why)) => Err(ApiError::busy(why)),
            held => Ok(held?),
        }
    }

    /// What a version consists of.
    pub async fn manifest(&self, account: &TenantId, worker: &WorkerName, version: &Version) -> Result<Manifest> {
        // It was accepted here, so whatever is wrong with it now is not the caller's doing.
        load(&*self.blobs, &version.artifact, account, worker, &self.trusted)
            .await
            .map_err(ApiError::internal)
    }

    /// What is kept of artifacts beside their manifests.
    pub async fn facts(
        &self,
        account: &TenantId,
        worker: &WorkerName,
        artifacts: Vec<BlobHash>,
    ) -> Result<HashMap<BlobHash, Facts>> {
        let texts = self
            .catalog
            .artifact_facts(account.clone(), worker.clone(), artifacts)
            .await?;
        let read = |(artifact, text): (BlobHash, String)| {
            let facts = serde_json::from_str(&text).map_err(ApiError::internal)?;
            Ok((artifact, facts))
        };
        texts.into_iter().map(read).collect()
    }

    /// The account's KV namespaces.
    pub async fn kv_namespaces(&self, account: &TenantId) -> Result<Vec<Namespace>> {
        Ok(self
            .catalog
            .namespaces(account.clone(), super::kv::KIND.to_owned())
            .await?)
    }
}

/// Whoever makes a request.
pub(super) struct Who {
    pub identity: Identity,
    caller: Caller,
    wrangler: bool,
}

impl FromRequestParts<Arc<http::Api>> for Who {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<http::Api>) -> Result<Self> {
        let api = Api::from_request_parts(parts, shared).await?;
        let peer = parts.extensions.get::<Peer>().map(|Peer(address)| address.ip());
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let identity = shared.door.enter(&api.catalog, &parts.headers, peer).await;
        let identity = identity.map_err(|error| ApiError {
            retry_after_s: error.retry_after_s,
            ..ApiError::new(
                error.status,
                code::AUTHENTICATION,
                format!("Authentication error: {}", error.message),
            )
        })?;
        let agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        Ok(Self {
            caller: Caller::new(format!("token:{}", identity.token)),
            identity,
            wrangler: agent.is_some_and(|agent| agent.starts_with("wrangler/")),
        })
    }
}

/// The token that a request carries.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The host that a request was sent to.
pub(super) fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(HOST)?.to_str().ok()
}

impl Who {
    /// Who makes the changes, for the audit log.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Where an upload came from.
    pub fn source(&self) -> &'static str {
        if self.wrangler { "wrangler" } else { "api" }
    }

    /// May they do this to something of the account's, or of one worker of it?
    pub fn need(
        &self,
        account: &str,
        resource: Resource,
        action: Action,
        worker: Option<&WorkerName>,
    ) -> Result<TenantId> {
        let refused = |message: String| ApiError::new(StatusCode::FORBIDDEN, code::AUTHENTICATION, message);
        let account = TenantId::new(account);
        if self.identity.account.as_ref().is_some_and(|own| *own != account) {
            return Err(refused(format!(
                "Authentication error: the API token is not one for account {account}"
            )));
        }
        if !self.identity.permissions.allow(resource, action, worker) {
            let action = match action {
                Action::Read => "read",
                Action::Write => "write",
            };
            return Err(refused(format!(
                "Authentication error: the API token lacks the permission {}:{action}",
                resource.name()
            )));
        }
        Ok(account)
    }

    /// May they look at this worker?
    pub fn reads(&self, account: &str, worker: &str) -> Result<(TenantId, WorkerName)> {
        let worker = WorkerName::new(worker);
        let account = self.need(account, Resource::Worker, Action::Read, Some(&worker))?;
        Ok((account, worker))
    }

    /// May they change this worker?
    pub fn writes(&self, account: &str, worker: &str) -> Result<(TenantId, WorkerName)> {
        let worker = WorkerName::new(worker);
        let account = self.need(account, Resource::Worker, Action::Write, Some(&worker))?;
        Ok((account, worker))
    }
}
