//! What the catalog must do on every database. Each implementation's tests run [`run`].

mod access;
mod addresses;
mod deploying;
mod pops;
mod staging;

use super::*;
use crate::audit::{Broken, Link};
use crate::secrets::SecretValue;
use crate::tokens::Token;
use access::*;
use addresses::*;
use atoll_model::edge::{EdgeEntry, EdgeKey, EdgeWorker, WEIGHT_WHOLE};
use atoll_model::{
    Action, AliasName, BlobHash, DeploymentId, DomainName, EdgeConfig, NamespaceId, Permissions, Quota, Resource,
    Revision, SecretName, TenantId, VersionId, WorkerName,
};
use atoll_stdx::{ManualClock, SplitMix64};
use deploying::*;
use pops::*;
use staging::*;

/// When the tests begin.
const START_MS: u64 = 1_800_000_000_000;

/// Runs every case, each on an empty database of its own that `fresh` gives. Needs a tokio runtime with threads.
///
/// # Panics
/// If a case fails.
pub async fn run(mut fresh: impl AsyncFnMut() -> Arc<dyn Database>) {
    a_deployment_is_a_revision_and_an_audit_entry(&Bench::new(fresh().await).await).await;
    what_is_refused_leaves_nothing(&Bench::new(fresh().await).await).await;
    going_back_brings_back_what_was(&Bench::new(fresh().await).await).await;
    secrets_go_with_versions_and_are_told_to_nobody(&Bench::new(fresh().await).await).await;
    the_master_key_is_replaced(fresh().await).await;
    requests_are_known_by_their_key(&Bench::new(fresh().await).await).await;
    routes_and_domains_have_one_owner(&Bench::new(fresh().await).await).await;
    aliases_and_crons_reach_the_edge(&Bench::new(fresh().await).await).await;
    tokens_stand_for_somebody(&Bench::new(fresh().await).await).await;
    accounts_are_bounded(&Bench::new(fresh().await).await).await;
    old_versions_make_room(&Bench::new(fresh().await).await).await;
    namespaces_have_titles(&Bench::new(fresh().await).await).await;
    a_deleted_worker_is_gone(&Bench::new(fresh().await).await).await;
    deployments_at_once_are_all_there(Bench::new(fresh().await).await).await;
    tampering_with_the_audit_log_is_found(&Bench::new(fresh().await).await).await;
    followers_keep_up(&Bench::new(fresh().await).await).await;
    subdomains_are_one_accounts(&Bench::new(fresh().await).await).await;
    the_newest_versions_have_addresses(&Bench::new(fresh().await).await).await;
    hosts_have_one_owner(&Bench::new(fresh().await).await).await;
    held_blobs_are_not_condemned(&Bench::new(fresh().await).await).await;
    a_deposed_leader_changes_nothing(&Bench::new(fresh().await).await).await;
    pops_join_once_and_are_revoked_by_generation(&Bench::new(fresh().await).await).await;
    keys_of_the_platform_are_sealed_and_change_hands(&Bench::new(fresh().await).await).await;
    edits_of_kv_have_an_order(&Bench::new(fresh().await).await).await;
    a_change_is_staged_until_it_is_settled(&Bench::new(fresh().await).await).await;
    a_deployment_is_withdrawn(&Bench::new(fresh().await).await).await;
    only_the_leader_publishes(&Bench::new(fresh().await).await).await;
    pasts_are_kept_for_some_minutes(&Bench::new(fresh().await).await).await;
}

/// A catalog with an account, and what a test needs to speak of it.
struct Bench {
    catalog: Catalog,
    database: Arc<dyn Database>,
    clock: ManualClock,
    caller: Caller,
    account: TenantId,
    worker: WorkerName,
}

fn vault() -> Arc<Vault> {
    Arc::new(Vault::parse(&Vault::generate().unwrap()).unwrap())
}

fn version(code: &str) -> NewVersion {
    NewVersion {
        id: VersionId::new(new_uuid().unwrap()),
        artifact: BlobHash::of(code.as_bytes()),
        code_bytes: code.len() as u64,
        source: "test".into(),
        message: Some(format!("version {code}")),
        tag: None,
        startup_ms: Some(3),
        keep: KeepSecrets::All,
        put: Vec::new(),
    }
}

fn deployment() -> NewDeployment {
    NewDeployment {
        id: DeploymentId::new(new_uuid().unwrap()),
        source: "test".into(),
        message: None,
        immediate: false,
        replaces: None,
    }
}

fn whole(version: &VersionId) -> Vec<SplitOf> {
    vec![SplitOf {
        version: version.clone(),
        weight: WEIGHT_WHOLE,
    }]
}

fn split(pairs: &[(&VersionId, u16)]) -> Vec<SplitOf> {
    let one = |(version, weight): &(&VersionId, u16)| SplitOf {
        version: (*version).clone(),
        weight: *weight,
    };
    pairs.iter().map(one).collect()
}

impl Bench {
    async fn new(database: Arc<dyn Database>) -> Self {
        let clock = ManualClock::new(START_MS);
        let catalog = Catalog::open(database.clone(), vault(), Arc::new(clock.clone()))
            .await
            .unwrap();
        let (caller, account) = (Caller::new("operator"), TenantId::new("acme"));
        catalog
            .create_account(&caller, account.clone(), "Acme".into())
            .await
            .unwrap();
        Self {
            catalog,
            database,
            clock,
            caller,
            account,
            worker: WorkerName::new("shop"),
        }
    }

    async fn upload(&self, code: &str) -> VersionId {
        let (account, worker) = (self.account.clone(), self.worker.clone());
        let done = self
            .catalog
            .create_version(&self.caller, account, worker, version(code))
            .await;
        done.unwrap().value.id
    }

    async fn deploy(&self, split: Vec<SplitOf>) -> Result<Done<Deployment>> {
        let (account, worker) = (self.account.clone(), self.worker.clone());
        self.catalog
            .deploy(&self.caller, account, worker, split, deployment())
            .await
    }

    /// What the edge is told of the worker.
    async fn edge(&self) -> Option<EdgeWorker> {
        let config = self.catalog.check().await.unwrap();
        let key = EdgeKey::Worker(self.account.clone(), self.worker.clone());
        config.get(&key).map(|entry| match &**entry {
            EdgeEntry::Worker(worker) => worker.clone(),
            other => panic!("{other:?}"),
        })
    }

    async fn serving(&self) -> Vec<(VersionId, u16)> {
        let worker = self.edge().await.unwrap();
        worker
            .shares
            .iter()
            .map(|share| (share.version.clone(), share.weight))
            .collect()
    }

    async fn marks(&self) -> (Revision, Link) {
        let link = self.catalog.verify_audit(Vec::new()).await.unwrap();
        assert_eq!(link, self.catalog.audit_head().await.unwrap());
        (self.catalog.config_head().await.unwrap().revision, link)
    }

    async fn execute(&self, sql: &'static str) -> Result<u64, SqlError> {
        self.database
            .write(move |transaction| transaction.execute(sql, &[]))
            .await
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T>, expected: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(expected), "{error:?} does not say {expected:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_store::sql::{SqliteDatabase, SqliteOptions};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite_keeps_the_contract() {
        let mut temps = Vec::new();
        run(async || {
            let temp = tempfile::tempdir().unwrap();
            let database = SqliteDatabase::open(temp.path(), &SqliteOptions::default()).unwrap();
            temps.push(temp);
            Arc::new(database) as Arc<dyn Database>
        })
        .await;
    }
}
