//! A runtime that serves nothing and remembers everything.

use async_trait::async_trait;
use atoll_api::pop::{KvAnswer, KvChange, KvItem, KvQuestion, NodeHealth, TailStart, VersionHealth};
use atoll_model::{BindingSpec, EdgeConfig, Revision, VersionId};
use atoll_pop::{Runtime, StartError, StartFault, StartedFacts, Surroundings, TailSink, WorkerToStart};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

#[derive(Debug, Default)]
pub struct Fake {
    /// Versions that do not start.
    pub bad: Mutex<BTreeSet<VersionId>>,
    pub prepared: Mutex<Vec<VersionId>>,
    /// Starts wait for one of these, if it is set; and what begins and ends: the version, and whether it ended.
    pub hold: Mutex<Option<Arc<Semaphore>>>,
    pub starts: Mutex<Vec<(VersionId, bool)>>,
    /// What the started versions had for secrets.
    pub secrets: Mutex<HashMap<VersionId, Vec<(String, String)>>>,
    pub served: watch::Sender<(Arc<EdgeConfig>, Surroundings)>,
    pub kv: Mutex<BTreeMap<String, Vec<u8>>>,
    pub positions: watch::Sender<Vec<u64>>,
    /// So many changes of KV fail before one is taken.
    pub kv_failures: Mutex<u32>,
    pub health: Mutex<Vec<VersionHealth>>,
    pub tails: watch::Sender<HashMap<String, TailSink>>,
}

impl Fake {
    pub async fn serves(&self, revision: Revision) -> (Arc<EdgeConfig>, Surroundings) {
        let mut served = self.served.subscribe();
        let found = served.wait_for(|(config, _)| config.revision() >= revision);
        tokio::time::timeout(crate::plane::LONG, found)
            .await
            .unwrap()
            .unwrap()
            .clone()
    }

    pub async fn has_position(&self, position: u64) {
        let mut positions = self.positions.subscribe();
        let found = positions.wait_for(|all| all.last().is_some_and(|last| *last >= position));
        tokio::time::timeout(crate::plane::LONG, found).await.unwrap().unwrap();
    }
}

#[async_trait]
impl Runtime for Fake {
    async fn prepare(&self, worker: WorkerToStart) -> Result<StartedFacts, StartError> {
        let id = worker.loaded.share.version.clone();
        self.starts.lock().unwrap().push((id.clone(), false));
        let hold = self.hold.lock().unwrap().clone();
        if let Some(hold) = hold {
            hold.acquire().await.unwrap().forget();
        }
        self.starts.lock().unwrap().push((id.clone(), true));
        let version = worker.loaded.version.as_ref().unwrap();
        let secret = |(name, spec): &(String, BindingSpec)| match spec {
            BindingSpec::Secret { value } => Some((name.clone(), value.clone())),
            _ => None,
        };
        let secrets = version.bindings.iter().filter_map(secret).collect();
        self.secrets.lock().unwrap().insert(id.clone(), secrets);
        self.prepared.lock().unwrap().push(id.clone());
        if self.bad.lock().unwrap().contains(&id) {
            return Err(StartError::new(StartFault::Startup, "it throws"));
        }
        Ok(StartedFacts {
            startup: Duration::from_micros(100),
        })
    }

    async fn activate(&self, config: Arc<EdgeConfig>, surroundings: Surroundings) {
        self.served.send_replace((config, surroundings));
    }

    fn health(&self) -> (Vec<VersionHealth>, NodeHealth) {
        (std::mem::take(&mut *self.health.lock().unwrap()), NodeHealth::default())
    }

    async fn tail_start(&self, tail: TailStart, sink: TailSink) {
        self.tails.send_modify(|tails| {
            tails.insert(tail.session, sink);
        });
    }

    async fn tail_stop(&self, session: &str) {
        self.tails.send_modify(|tails| {
            tails.remove(session);
        });
    }

    async fn kv_change(&self, change: KvChange) -> Result<(), String> {
        {
            let mut failures = self.kv_failures.lock().unwrap();
            if *failures > 0 {
                *failures -= 1;
                return Err("the disk is full".into());
            }
        }
        let mut kv = self.kv.lock().unwrap();
        if change.clear {
            kv.clear();
        }
        for key in change.delete {
            kv.remove(&key);
        }
        for item in change.put {
            assert!(item.value_blob.is_empty());
            kv.insert(item.key, item.value.to_vec());
        }
        drop(kv);
        self.positions.send_modify(|all| all.push(change.position));
        Ok(())
    }

    async fn kv_ask(&self, question: KvQuestion) -> KvAnswer {
        let kv = self.kv.lock().unwrap();
        let item = |key: &String| KvItem {
            key: key.clone(),
            found: kv.contains_key(key),
            value: kv.get(key).cloned().unwrap_or_default().into(),
            ..KvItem::default()
        };
        let keys: Vec<String> = match question.keys.is_empty() {
            false => question.keys,
            true => kv
                .keys()
                .filter(|key| key.starts_with(&question.prefix))
                .cloned()
                .collect(),
        };
        KvAnswer {
            items: keys.iter().map(item).collect(),
            ..KvAnswer::default()
        }
    }
}
