//! PoPs that are not there: what was asked is recorded, what is answered was said before. KV is a map.

use super::{
    FleetState, KvEdit, KvKeys, KvKeysAsk, KvPair, Pops, PopsError, TAIL_WAITING_MAX, Tail, TailAsk, TailItem,
};
use crate::catalog::Caller;
use async_trait::async_trait;
use atoll_api::rest;
use atoll_model::{DeploymentId, NamespaceId, Revision, TenantId, WorkerName};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// See the module.
#[derive(Debug, Default)]
pub struct RecordedPops {
    inner: Mutex<Recorded>,
}

/// What was asked and what is answered.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Revisions that were told, in order.
    pub changed: Vec<Revision>,
    /// The PoPs. Empty: questions to PoPs fail.
    pub pops: Vec<rest::Pop>,
    /// Rollouts by deployment.
    pub rollouts: BTreeMap<DeploymentId, rest::Rollout>,
    /// Tails: what was asked, and where its items go.
    pub tails: Vec<(TailAsk, mpsc::Sender<TailItem>)>,
    /// Edits of KV, in order.
    pub edits: Vec<KvEdit>,
    /// What KV has after them.
    pub values: BTreeMap<(TenantId, NamespaceId, String), KvPair>,
    /// Join tokens: region and seconds.
    pub join_tokens: Vec<(Option<String>, u64)>,
    /// Who was revoked.
    pub revoked: Vec<String>,
    /// Where requests of `invoke` go.
    pub target: Option<String>,
    /// The authorities.
    pub authority: rest::Authority,
    /// What is told of the whole.
    pub state: FleetState,
}

impl RecordedPops {
    /// What was asked, and what is to be answered.
    pub fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn some_alive(&self) -> Result<MutexGuard<'_, Recorded>, PopsError> {
        let recorded = self.recorded();
        if recorded.pops.is_empty() {
            return Err(PopsError::NoPops);
        }
        Ok(recorded)
    }
}

#[async_trait]
impl Pops for RecordedPops {
    fn changed(&self, revision: Revision) {
        self.recorded().changed.push(revision);
    }

    async fn pops(&self) -> Result<Vec<rest::Pop>, PopsError> {
        Ok(self.recorded().pops.clone())
    }

    async fn state(&self) -> Result<FleetState, PopsError> {
        Ok(self.recorded().state.clone())
    }

    async fn rollout(
        &self,
        _account: &TenantId,
        _worker: &WorkerName,
        deployment: &DeploymentId,
    ) -> Result<Option<rest::Rollout>, PopsError> {
        Ok(self.recorded().rollouts.get(deployment).cloned())
    }

    fn target(&self) -> Option<String> {
        self.recorded().target.clone()
    }

    async fn tail(&self, ask: TailAsk) -> Result<Tail, PopsError> {
        let mut recorded = self.some_alive()?;
        let (sender, items) = mpsc::channel(TAIL_WAITING_MAX);
        recorded.tails.push((ask, sender));
        Ok(Tail {
            pops: u32::try_from(recorded.pops.len()).unwrap_or(u32::MAX),
            items,
        })
    }

    async fn kv_edit(&self, _caller: &Caller, edit: KvEdit) -> Result<u64, PopsError> {
        let mut recorded = self.recorded();
        let key = |key: &str| (edit.account.clone(), edit.namespace.clone(), key.to_owned());
        if edit.clear {
            recorded
                .values
                .retain(|(account, namespace, _), _| *account != edit.account || *namespace != edit.namespace);
        }
        for deleted in &edit.delete {
            recorded.values.remove(&key(deleted));
        }
        for pair in &edit.put {
            recorded.values.insert(key(&pair.key), pair.clone());
        }
        recorded.edits.push(edit);
        Ok(recorded.edits.len() as u64)
    }

    async fn kv_values(
        &self,
        account: &TenantId,
        namespace: &NamespaceId,
        keys: Vec<String>,
    ) -> Result<Vec<Option<KvPair>>, PopsError> {
        let recorded = self.some_alive()?;
        let value = |key| recorded.values.get(&(account.clone(), namespace.clone(), key)).cloned();
        Ok(keys.into_iter().map(value).collect())
    }

    async fn kv_keys(&self, ask: KvKeysAsk) -> Result<KvKeys, PopsError> {
        let recorded = self.some_alive()?;
        let mut fitting = recorded.values.iter().filter(|((account, namespace, key), _)| {
            *account == ask.account
                && *namespace == ask.namespace
                && key.starts_with(&ask.prefix)
                && ask.cursor.as_ref().is_none_or(|cursor| key > cursor)
        });
        let keys: Vec<KvPair> = fitting
            .by_ref()
            .take(ask.limit as usize)
            .map(|(_, pair)| KvPair {
                value: bytes::Bytes::new(),
                ..pair.clone()
            })
            .collect();
        let cursor = fitting.next().and(keys.last()).map(|pair| pair.key.clone());
        Ok(KvKeys { keys, cursor })
    }

    async fn join_token(
        &self,
        _caller: &Caller,
        region: Option<String>,
        ttl: Duration,
    ) -> Result<rest::JoinToken, PopsError> {
        self.recorded().join_tokens.push((region, ttl.as_secs()));
        Ok(rest::JoinToken {
            token: "recorded".to_owned(),
            expires_ms: ttl.as_secs() * 1_000,
        })
    }

    async fn authority(&self) -> Result<rest::Authority, PopsError> {
        Ok(self.recorded().authority.clone())
    }

    async fn change_authority(
        &self,
        _caller: &Caller,
        change: rest::ChangeAuthority,
    ) -> Result<rest::Authority, PopsError> {
        let mut recorded = self.recorded();
        let certificates = &mut recorded.authority.certificates;
        match change.step {
            rest::AuthorityStep::Add => certificates.push(rest::AuthorityCertificate {
                fingerprint: "22".repeat(32),
                signs: false,
            }),
            rest::AuthorityStep::Switch if !change.force => {
                return Err(PopsError::Conflict("these PoPs are not connected: away".to_owned()));
            }
            rest::AuthorityStep::Switch => certificates.rotate_left(1),
            rest::AuthorityStep::Retire => certificates.truncate(1),
        }
        for (at, certificate) in certificates.iter_mut().enumerate() {
            certificate.signs = at == 0;
        }
        Ok(recorded.authority.clone())
    }

    async fn revoke(&self, _caller: &Caller, name: &str) -> Result<(), PopsError> {
        let mut recorded = self.recorded();
        if !recorded.pops.iter().any(|pop| pop.name == name) {
            return Err(PopsError::Unknown(name.to_owned()));
        }
        recorded.revoked.push(name.to_owned());
        Ok(())
    }
}
