//! The way of the APIs to the PoPs: whichever sessions this control plane has now. There are none while another one leads.

use async_trait::async_trait;
use atoll_api::rest;
use atoll_control::catalog::Caller;
use atoll_control::deployer::Board;
use atoll_control::fleet::{FleetState, KvEdit, KvKeys, KvKeysAsk, KvPair, Tail, TailAsk};
use atoll_control::{Pops, PopsError};
use atoll_model::{DeploymentId, NamespaceId, Revision, TenantId, WorkerName};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// See the module.
#[derive(Default)]
pub(crate) struct CurrentPops {
    current: RwLock<Option<Current>>,
}

/// Of a term.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    pub(crate) pops: Arc<dyn Pops>,
    /// What the deployer is doing: newer than what the catalog says.
    pub(crate) board: Arc<Board>,
}

impl fmt::Debug for CurrentPops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CurrentPops({:?})", self.current())
    }
}

impl CurrentPops {
    /// From now on these, or none.
    pub(crate) fn set(&self, pops: Option<Current>) {
        // One assignment.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = pops;
    }

    fn term(&self) -> Option<Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn current(&self) -> Option<Arc<dyn Pops>> {
        Some(self.term()?.pops)
    }

    fn there(&self) -> Result<Arc<dyn Pops>, PopsError> {
        self.current().ok_or(PopsError::NoPops)
    }
}

#[async_trait]
impl Pops for CurrentPops {
    fn changed(&self, revision: Revision) {
        if let Some(pops) = self.current() {
            pops.changed(revision);
        }
    }

    async fn pops(&self) -> Result<Vec<rest::Pop>, PopsError> {
        self.there()?.pops().await
    }

    async fn state(&self) -> Result<FleetState, PopsError> {
        let Current { pops, board } = self.term().ok_or(PopsError::NoPops)?;
        let mut state = pops.state().await?;
        state.publication = state.publication.max(board.publication());
        state.staged = board.staged();
        state.alarms.extend(board.alarms());
        Ok(state)
    }

    fn counted(&self) -> Vec<(&'static str, u64)> {
        self.current().map(|pops| pops.counted()).unwrap_or_default()
    }

    async fn rollout(
        &self,
        account: &TenantId,
        worker: &WorkerName,
        deployment: &DeploymentId,
    ) -> Result<Option<rest::Rollout>, PopsError> {
        let Current { pops, board } = self.term().ok_or(PopsError::NoPops)?;
        match board.rollout(deployment) {
            Some(rollout) => Ok(Some(rollout)),
            None => pops.rollout(account, worker, deployment).await,
        }
    }

    fn target(&self) -> Option<String> {
        self.current()?.target()
    }

    async fn tail(&self, ask: TailAsk) -> Result<Tail, PopsError> {
        self.there()?.tail(ask).await
    }

    async fn kv_edit(&self, caller: &Caller, edit: KvEdit) -> Result<u64, PopsError> {
        self.there()?.kv_edit(caller, edit).await
    }

    async fn kv_values(
        &self,
        account: &TenantId,
        namespace: &NamespaceId,
        keys: Vec<String>,
    ) -> Result<Vec<Option<KvPair>>, PopsError> {
        self.there()?.kv_values(account, namespace, keys).await
    }

    async fn kv_keys(&self, ask: KvKeysAsk) -> Result<KvKeys, PopsError> {
        self.there()?.kv_keys(ask).await
    }

    async fn join_token(
        &self,
        caller: &Caller,
        region: Option<String>,
        ttl: Duration,
    ) -> Result<rest::JoinToken, PopsError> {
        self.there()?.join_token(caller, region, ttl).await
    }

    async fn authority(&self) -> Result<rest::Authority, PopsError> {
        self.there()?.authority().await
    }

    async fn change_authority(
        &self,
        caller: &Caller,
        change: rest::ChangeAuthority,
    ) -> Result<rest::Authority, PopsError> {
        self.there()?.change_authority(caller, change).await
    }

    async fn revoke(&self, caller: &Caller, name: &str) -> Result<(), PopsError> {
        self.there()?.revoke(caller, name).await
    }
}
