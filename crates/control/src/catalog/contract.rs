//! What the catalog must do on every database. Each implementation's tests run [`run`].

use super::*;
use crate::audit::{Broken, Link};
use crate::secrets::SecretValue;
use crate::tokens::Token;
use atoll_model::edge::{EdgeEntry, EdgeKey, EdgeWorker, WEIGHT_WHOLE};
use atoll_model::{
    Action, AliasName, BlobHash, DeploymentId, DomainName, EdgeConfig, NamespaceId, Permissions, Quota, Resource,
    Revision, SecretName, TenantId, VersionId, WorkerName,
};
use atoll_stdx::{ManualClock, SplitMix64};

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
    a_deposed_leader_changes_nothing(&Bench::new(fresh().await).await).await;
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

async fn a_deployment_is_a_revision_and_an_audit_entry(bench: &Bench) {
    let (revision, link) = bench.marks().await;
    assert_eq!(bench.edge().await, None);
    let first = bench.upload("1").await;
    // An upload alone is nothing to the edge.
    assert_eq!(bench.marks().await.0, revision);
    let done = bench.deploy(whole(&first)).await.unwrap();
    assert_eq!((done.revision, done.repeated), (Revision(revision.0 + 1), false));
    assert_eq!((done.value.number, done.value.kind), (1, DeploymentKind::Deploy));
    let edge = bench.edge().await.unwrap();
    assert_eq!(edge.deployment, done.value.id);
    assert_eq!(edge.shares[0].artifact, BlobHash::of(b"1"));
    bench.clock.advance_ms(1_000);
    let second = bench.upload("2").await;
    bench.deploy(split(&[(&second, 1_000), (&first, 9_000)])).await.unwrap();
    assert_eq!(bench.serving().await, [(second.clone(), 1_000), (first.clone(), 9_000)]);
    // Two uploads, two deployments.
    let (after, end) = bench.marks().await;
    assert_eq!((after.0, end.number), (revision.0 + 2, link.number + 4));
    let records = bench
        .catalog
        .audit(Some(bench.account.clone()), link.number, 100)
        .await
        .unwrap();
    let told: Vec<(&str, &str, u64)> = records
        .iter()
        .map(|record| {
            (
                record.entry.action.as_str(),
                record.entry.actor.as_str(),
                record.entry.time_ms - START_MS,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("version.create", "operator", 0),
            ("worker.deploy", "operator", 0),
            ("version.create", "operator", 1_000),
            ("worker.deploy", "operator", 1_000),
        ]
    );
    assert!(
        records[3].entry.detail.contains(&format!("{second}@1000")),
        "{}",
        records[3].entry.detail
    );
    // What was told is what is there.
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    let versions = bench
        .catalog
        .versions(account.clone(), worker.clone(), None, 10)
        .await
        .unwrap();
    assert_eq!(
        versions.iter().map(|version| version.number).collect::<Vec<_>>(),
        [2, 1]
    );
    assert_eq!(
        bench
            .catalog
            .version(account.clone(), worker.clone(), first)
            .await
            .unwrap(),
        versions[1]
    );
    let older = bench
        .catalog
        .versions(account.clone(), worker.clone(), Some(2), 10)
        .await
        .unwrap();
    assert_eq!(older, versions[1..]);
    let deployments = bench
        .catalog
        .deployments(account.clone(), worker.clone(), None, 10)
        .await
        .unwrap();
    assert_eq!(
        deployments
            .iter()
            .map(|deployment| deployment.number)
            .collect::<Vec<_>>(),
        [2, 1]
    );
    assert_eq!(deployments[0].split.len(), 2);
    assert_eq!(
        bench.catalog.workers(account, String::new(), 10).await.unwrap().len(),
        1
    );
}

async fn what_is_refused_leaves_nothing(bench: &Bench) {
    let first = bench.upload("1").await;
    bench.deploy(whole(&first)).await.unwrap();
    let before = (bench.marks().await, bench.edge().await);
    let unknown = VersionId::new(new_uuid().unwrap());
    refused(bench.deploy(whole(&unknown)).await, "there is no version");
    refused(bench.deploy(vec![]).await, "0 versions are named");
    refused(bench.deploy(split(&[(&first, 9_999)])).await, "99.99 % in all");
    refused(
        bench.deploy(split(&[(&first, 5_000), (&first, 5_000)])).await,
        "named twice",
    );
    refused(
        bench.deploy(split(&[(&first, 10_000), (&unknown, 0)])).await,
        "share of 0 %",
    );
    // Refused half way: the known version's row was written before the unknown one was looked for.
    refused(
        bench.deploy(split(&[(&first, 5_000), (&unknown, 5_000)])).await,
        "there is no version",
    );
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    let stale = NewDeployment {
        replaces: Some(DeploymentId::new(new_uuid().unwrap())),
        ..deployment()
    };
    let result = bench
        .catalog
        .deploy(&bench.caller, account.clone(), worker.clone(), whole(&first), stale)
        .await;
    refused(result, "no longer the one that serves");
    let mut again = version("1");
    again.id = first.clone();
    let result = bench
        .catalog
        .create_version(&bench.caller, account.clone(), worker.clone(), again)
        .await;
    refused(result, "exists already");
    let nobody = TenantId::new("nobody");
    let result = bench
        .catalog
        .create_version(&bench.caller, nobody.clone(), worker.clone(), version("x"))
        .await;
    refused(result, "there is no account");
    let result = bench
        .catalog
        .deploy(&bench.caller, nobody, worker, whole(&first), deployment())
        .await;
    refused(result, "there is no worker");
    for bad in ["", "Shop", "-shop", "a.b", "a/b", &"a".repeat(64)] {
        let bad = WorkerName::new(bad);
        let result = bench
            .catalog
            .create_version(&bench.caller, account.clone(), bad, version("x"))
            .await;
        refused(result, "is no name of a worker");
    }
    let result = bench
        .catalog
        .create_account(&bench.caller, account.clone(), "Again".into())
        .await;
    refused(result, "exists already");
    assert_eq!((bench.marks().await, bench.edge().await), before);
}

async fn going_back_brings_back_what_was(bench: &Bench) {
    let (first, second) = (bench.upload("1").await, bench.upload("2").await);
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    let rollback = async |to: Option<&VersionId>, automatic, new: NewDeployment| {
        let (account, worker) = (account.clone(), worker.clone());
        bench
            .catalog
            .rollback(&bench.caller, account, worker, to.cloned(), automatic, new)
            .await
    };
    refused(rollback(None, false, deployment()).await, "nothing to go back to");
    bench.deploy(whole(&first)).await.unwrap();
    refused(rollback(None, false, deployment()).await, "nothing to go back to");
    bench.deploy(split(&[(&second, 1_000), (&first, 9_000)])).await.unwrap();
    let bad = bench.deploy(whole(&second)).await.unwrap().value;
    let done = rollback(None, false, deployment()).await.unwrap();
    assert_eq!(done.value.kind, DeploymentKind::Rollback);
    assert_eq!(bench.serving().await, [(second.clone(), 1_000), (first.clone(), 9_000)]);
    rollback(Some(&first), false, deployment()).await.unwrap();
    assert_eq!(bench.serving().await, [(first.clone(), WEIGHT_WHOLE)]);
    // A health gate that is late does no harm: what it judged no longer serves.
    let of = |id: &DeploymentId| NewDeployment {
        replaces: Some(id.clone()),
        ..deployment()
    };
    refused(rollback(None, true, of(&bad.id)).await, "no longer the one that serves");
    let judged = bench.deploy(whole(&second)).await.unwrap().value;
    let done = rollback(None, true, of(&judged.id)).await.unwrap();
    assert_eq!(done.value.kind, DeploymentKind::AutomaticRollback);
    assert_eq!(bench.serving().await, [(first, WEIGHT_WHOLE)]);
}

async fn secrets_go_with_versions_and_are_told_to_nobody(bench: &Bench) {
    const CANARY: &str = "a canary that nobody may hear";
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    let put = |name: &str, value: Option<&str>| SecretPut {
        name: SecretName::new(name),
        value: value.map(|value| SecretValue::new(value.to_owned())),
    };
    let mut new = version("1");
    new.put = vec![put("KEY", Some(CANARY)), put("OTHER", Some("o"))];
    let first = bench
        .catalog
        .create_version(&bench.caller, account.clone(), worker.clone(), new)
        .await
        .unwrap()
        .value;
    let opened = async |version: &VersionId| {
        let open = bench
            .catalog
            .open_secrets(account.clone(), worker.clone(), version.clone())
            .await
            .unwrap();
        let pair = |(secret, value): &(atoll_model::edge::SecretRef, SecretValue)| {
            (secret.name.as_str().to_owned(), value.expose().to_owned())
        };
        open.iter().map(pair).collect::<Vec<_>>()
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    assert_eq!(opened(&first.id).await, pairs(&[("KEY", CANARY), ("OTHER", "o")]));
    let change = async |puts: Vec<SecretPut>, deploy: bool| {
        let id = VersionId::new(new_uuid().unwrap());
        let deploy = deploy.then(deployment);
        let (account, worker) = (account.clone(), worker.clone());
        let done = bench
            .catalog
            .change_secrets(&bench.caller, account, worker, puts, id, deploy, None)
            .await;
        done.map(|done| done.value)
    };
    bench.deploy(whole(&first.id)).await.unwrap();
    let second = change(vec![put("KEY", Some("new")), put("OTHER", None)], true)
        .await
        .unwrap();
    assert_eq!((second.artifact, second.number), (first.artifact, 2));
    assert_eq!(opened(&second.id).await, pairs(&[("KEY", "new")]));
    assert_eq!(bench.serving().await, [(second.id.clone(), WEIGHT_WHOLE)]);
    // The old version has its own for good.
    assert_eq!(opened(&first.id).await, pairs(&[("KEY", CANARY), ("OTHER", "o")]));
    let facts = bench.catalog.secrets(account.clone(), worker.clone()).await.unwrap();
    assert_eq!(
        facts.iter().map(|facts| facts.name.as_str()).collect::<Vec<_>>(),
        ["KEY"]
    );
    let kept = bench.upload("3").await;
    assert_eq!(opened(&kept).await, pairs(&[("KEY", "new")]));
    let mut bare = version("4");
    bare.keep = KeepSecrets::Only(vec![]);
    let bare = bench
        .catalog
        .create_version(&bench.caller, account.clone(), worker.clone(), bare)
        .await
        .unwrap()
        .value;
    assert_eq!(opened(&bare.id).await, []);
    // The newest version does not serve: a deployment would bring in more than the secret.
    refused(
        change(vec![put("KEY", Some("x"))], true).await,
        "not the one that serves everybody",
    );
    refused(change(vec![put("KEY", None)], false).await, "there is no secret");
    refused(
        change(vec![put("a b", Some("x"))], false).await,
        "is no name of a secret",
    );
    refused(
        change(vec![put("A", Some(&"x".repeat(6_000)))], false).await,
        "secret_bytes_max is 5120",
    );
    // Neither audit log nor edge configuration nor any row holds a value.
    let config = bench.catalog.check().await.unwrap().encode();
    let records = bench.catalog.audit(None, 0, 1_000).await.unwrap();
    let text = format!("{records:?}{facts:?}{first:?}");
    assert!(!config.windows(6).any(|window| window == b"canary") && !text.contains("canary"));
    let sealed = bench
        .database
        .read(|transaction| transaction.query("SELECT sealed FROM secrets", &[]));
    for row in sealed.await.unwrap() {
        assert!(!row.blob(0).unwrap().windows(6).any(|window| window == b"canary"));
    }
    // A sealed value that is moved to another name does not open.
    bench
        .execute("UPDATE secrets SET sealed = (SELECT s.sealed FROM secrets s WHERE s.revision = 1)")
        .await
        .unwrap();
    let moved = bench
        .catalog
        .open_secrets(account.clone(), worker.clone(), second.id)
        .await;
    refused(moved, "was changed or belongs to something else");
}

async fn the_master_key_is_replaced(database: Arc<dyn Database>) {
    let (old, new) = (Vault::generate().unwrap(), Vault::generate().unwrap());
    let open = async |keys: &str| {
        let vault = Arc::new(Vault::parse(keys).unwrap());
        let clock = Arc::new(ManualClock::new(START_MS));
        Catalog::open(database.clone(), vault, clock).await.unwrap()
    };
    let (caller, worker) = (Caller::new("operator"), WorkerName::new("shop"));
    let catalog = open(&old).await;
    let mut versions = Vec::new();
    for at in 0..3 {
        let account = TenantId::new(format!("account{at}"));
        catalog
            .create_account(&caller, account.clone(), String::new())
            .await
            .unwrap();
        let mut made = version("1");
        made.put = vec![SecretPut {
            name: SecretName::new("KEY"),
            value: Some(SecretValue::new(format!("value {at}"))),
        }];
        let done = catalog
            .create_version(&caller, account.clone(), worker.clone(), made)
            .await
            .unwrap();
        versions.push((account, done.value.id));
    }
    let catalog = open(&format!("{}\n{}", *new, *old)).await;
    assert_eq!(catalog.rotate_master_key(&caller).await.unwrap().value, 3);
    assert_eq!(catalog.rotate_master_key(&caller).await.unwrap().value, 0);
    // The old key is no longer needed, and no longer enough.
    let (after, before) = (open(&new).await, open(&old).await);
    for (at, (account, version)) in versions.into_iter().enumerate() {
        let secrets = after
            .open_secrets(account.clone(), worker.clone(), version.clone())
            .await
            .unwrap();
        assert_eq!(secrets[0].1.expose(), format!("value {at}"));
        refused(
            before.open_secrets(account, worker.clone(), version).await,
            "is needed to open",
        );
    }
}

async fn requests_are_known_by_their_key(bench: &Bench) {
    let first = bench.upload("1").await;
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    let deploy = async |caller: &Caller, split: Vec<SplitOf>| {
        bench
            .catalog
            .deploy(caller, account.clone(), worker.clone(), split, deployment())
            .await
    };
    let caller = bench.caller.clone().with_key("key-1", b"deploy 1");
    let done = deploy(&caller, whole(&first)).await.unwrap();
    let marks = bench.marks().await;
    bench.clock.advance_ms(60_000);
    let again = deploy(&caller, whole(&first)).await.unwrap();
    assert_eq!(
        (&again.value, again.revision, again.repeated),
        (&done.value, done.revision, true)
    );
    assert_eq!(bench.marks().await, marks);
    // The same key for something else.
    let other = bench.caller.clone().with_key("key-1", b"deploy 2");
    refused(deploy(&other, whole(&first)).await, "used for another request");
    let suspend = bench.catalog.suspend(&caller, account.clone(), true).await;
    refused(suspend, "used for another request");
    // What failed may be tried again with its key.
    let failing = bench.caller.clone().with_key("key-2", b"deploy 3");
    refused(deploy(&failing, vec![]).await, "0 versions");
    let unknown = VersionId::new(new_uuid().unwrap());
    refused(deploy(&failing, whole(&unknown)).await, "there is no version");
    assert!(!deploy(&failing, whole(&first)).await.unwrap().repeated);
    // After a day a key is forgotten.
    bench.clock.advance_ms(super::change::ANSWER_KEPT_MS);
    assert!(!deploy(&caller, whole(&first)).await.unwrap().repeated);
}

async fn routes_and_domains_have_one_owner(bench: &Bench) {
    let first = bench.upload("1").await;
    bench.deploy(whole(&first)).await.unwrap();
    let (catalog, caller) = (&bench.catalog, &bench.caller);
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    let rival = TenantId::new("rival");
    catalog
        .create_account(caller, rival.clone(), "Rival".into())
        .await
        .unwrap();
    catalog
        .create_version(caller, rival.clone(), worker.clone(), version("r"))
        .await
        .unwrap();
    let route = catalog
        .add_route(
            caller,
            account.clone(),
            Some(worker.clone()),
            "https://Shop.example.com/*",
        )
        .await;
    let route = route.unwrap().value;
    assert_eq!(route.pattern, "shop.example.com/*");
    let entry = |config: &EdgeConfig, pattern: &str| config.get(&EdgeKey::Route(pattern.into())).cloned();
    assert!(entry(&catalog.check().await.unwrap(), "shop.example.com/*").is_some());
    let taken = catalog
        .add_route(caller, rival.clone(), Some(worker.clone()), "shop.example.com/*")
        .await;
    refused(taken, "exists already, in another account");
    refused(
        catalog
            .add_route(caller, account.clone(), Some(worker.clone()), "a.com:1/*")
            .await,
        "port",
    );
    let nobody = WorkerName::new("nobody");
    refused(
        catalog
            .add_route(caller, account.clone(), Some(nobody), "b.com/*")
            .await,
        "there is no worker",
    );
    let patterns = ["*.example.com/*", "b.com/x*", "*.example.com/*"].map(str::to_owned);
    let set = catalog
        .set_routes(caller, account.clone(), worker.clone(), &patterns)
        .await
        .unwrap();
    assert_eq!(set.value.len(), 2);
    let config = catalog.check().await.unwrap();
    assert!(entry(&config, "shop.example.com/*").is_none() && entry(&config, "b.com/x*").is_some());
    catalog
        .add_route(caller, account.clone(), None, "static.example.com/*")
        .await
        .unwrap();
    let listed = catalog.routes(account.clone()).await.unwrap();
    let listed: Vec<&str> = listed.iter().map(|route| route.pattern.as_str()).collect();
    assert_eq!(listed, ["*.example.com/*", "b.com/x*", "static.example.com/*"]);
    let id = set.value[0].id.clone();
    refused(
        catalog.delete_route(caller, rival.clone(), id.clone()).await,
        "there is no route",
    );
    catalog.delete_route(caller, account.clone(), id.clone()).await.unwrap();
    refused(
        catalog.delete_route(caller, account.clone(), id).await,
        "there is no route",
    );

    let domain = DomainName::new("shop.example.org");
    catalog
        .add_domain(caller, account.clone(), worker.clone(), domain.clone())
        .await
        .unwrap();
    let taken = catalog
        .add_domain(caller, rival.clone(), worker.clone(), domain.clone())
        .await;
    refused(taken, "exists already, in another account");
    let bad = catalog
        .add_domain(caller, account.clone(), worker.clone(), DomainName::new("A..b"))
        .await;
    refused(bad, "host name");
    assert_eq!(catalog.domains(account.clone()).await.unwrap().len(), 1);
    assert!(
        catalog
            .check()
            .await
            .unwrap()
            .get(&EdgeKey::Domain(domain.clone()))
            .is_some()
    );
    refused(
        catalog.delete_domain(caller, rival, domain.clone()).await,
        "there is no domain",
    );
    catalog.delete_domain(caller, account, domain.clone()).await.unwrap();
    assert!(catalog.check().await.unwrap().get(&EdgeKey::Domain(domain)).is_none());
}

async fn aliases_and_crons_reach_the_edge(bench: &Bench) {
    let (first, second) = (bench.upload("1").await, bench.upload("2").await);
    bench.deploy(whole(&first)).await.unwrap();
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    let alias = async |name: &str, split: Vec<SplitOf>| {
        let (account, worker, name) = (account.clone(), worker.clone(), AliasName::new(name));
        bench
            .catalog
            .set_alias(&bench.caller, account, worker, name, split)
            .await
    };
    alias("live", split(&[(&first, 9_000), (&second, 1_000)]))
        .await
        .unwrap();
    alias("beta", whole(&second)).await.unwrap();
    alias("beta", whole(&first)).await.unwrap();
    let edge = bench.edge().await.unwrap();
    let told: Vec<(&str, usize)> = edge
        .aliases
        .iter()
        .map(|alias| (alias.name.as_str(), alias.shares.len()))
        .collect();
    assert_eq!(told, [("beta", 1), ("live", 2)]);
    assert_eq!(edge.aliases[0].shares[0].version, first);
    refused(alias("live", split(&[(&first, 1)])).await, "0.01 % in all");
    refused(alias("gone", vec![]).await, "there is no alias");
    refused(alias("Not a name", whole(&first)).await, "is no name of a alias");
    alias("beta", vec![]).await.unwrap();
    let aliases = bench.catalog.aliases(account.clone(), worker.clone()).await.unwrap();
    assert_eq!(aliases.keys().map(AliasName::as_str).collect::<Vec<_>>(), ["live"]);

    let crons = async |crons: &[&str]| {
        let (account, worker) = (account.clone(), worker.clone());
        let crons = crons.iter().map(|cron| (*cron).to_owned()).collect();
        bench.catalog.set_crons(&bench.caller, account, worker, crons).await
    };
    crons(&["*/5 * * * *", "0 3 * * SUN"]).await.unwrap();
    assert_eq!(bench.edge().await.unwrap().crons, ["*/5 * * * *", "0 3 * * SUN"]);
    refused(crons(&["* * * *"]).await, "is no cron expression");
    refused(crons(&["61 * * * *"]).await, "is no cron expression");
    refused(crons(&["0 * * * * *"]).await, "is no cron expression");
    refused(crons(&["* * * * *"; 26]).await, "crons_max is 25");
    crons(&[]).await.unwrap();
    assert!(bench.edge().await.unwrap().crons.is_empty());
    let done = bench
        .catalog
        .set_addresses(&bench.caller, account, worker, Some(false), None)
        .await
        .unwrap();
    assert_eq!(bench.marks().await.0, done.revision);
    assert!(!bench.edge().await.unwrap().subdomain);
}

async fn tokens_stand_for_somebody(bench: &Bench) {
    let (catalog, caller, account) = (&bench.catalog, &bench.caller, &bench.account);
    let permissions = |list: &[&str]| Permissions(list.iter().map(|text| text.parse().unwrap()).collect());
    let new = |rights: TokenRights| NewToken {
        account: Some(account.clone()),
        name: "ci".into(),
        rights,
        expires_ms: Some(START_MS + 1_000),
    };
    let token = Token::generate().unwrap();
    let own = TokenRights::Own(permissions(&["worker:write@shop"]));
    catalog.create_token(caller, &token, new(own)).await.unwrap();
    let identity = catalog.authenticate(&token).await.unwrap();
    assert_eq!(identity.account.as_ref(), Some(account));
    let (shop, other) = (WorkerName::new("shop"), WorkerName::new("other"));
    assert!(identity.permissions.allow(Resource::Worker, Action::Write, Some(&shop)));
    assert!(
        !identity
            .permissions
            .allow(Resource::Worker, Action::Write, Some(&other))
    );
    // The id alone is nothing, and nothing that is stored is a token.
    refused(catalog.authenticate(&Token::generate().unwrap()).await, "not valid");
    let stored = bench
        .database
        .read(|transaction| transaction.query("SELECT hash FROM tokens", &[]));
    let stored = stored.await.unwrap();
    assert_eq!(stored[0].blob(0).unwrap(), token.hash());
    bench.clock.advance_ms(1_000);
    refused(catalog.authenticate(&token).await, "not valid");
    bench.clock.set_ms(START_MS);
    catalog.authenticate(&token).await.unwrap();
    catalog
        .note_token_uses(vec![(token.id().clone(), START_MS + 5)])
        .await
        .unwrap();
    let facts = catalog.tokens(Some(account.clone())).await.unwrap();
    assert_eq!((facts.len(), facts[0].used_ms), (1, Some(START_MS + 5)));
    let rival = catalog.revoke_token(caller, None, token.id().clone()).await;
    refused(rival, "there is no token");
    catalog
        .revoke_token(caller, Some(account.clone()), token.id().clone())
        .await
        .unwrap();
    refused(catalog.authenticate(&token).await, "not valid");

    // A role's tokens do what the role may do now.
    let role = |list: &[&str]| Role {
        name: "deployer".into(),
        permissions: permissions(list),
    };
    let with_role = || new(TokenRights::Role("deployer".into()));
    let token = Token::generate().unwrap();
    refused(
        catalog.create_token(caller, &token, with_role()).await,
        "there is no role",
    );
    catalog
        .set_role(caller, account.clone(), role(&["worker:read"]))
        .await
        .unwrap();
    catalog.create_token(caller, &token, with_role()).await.unwrap();
    let may = async || {
        let identity = catalog.authenticate(&token).await.unwrap();
        identity.permissions.allow(Resource::Worker, Action::Write, None)
    };
    assert!(!may().await);
    catalog
        .set_role(caller, account.clone(), role(&["worker:write"]))
        .await
        .unwrap();
    assert!(may().await);
    assert_eq!(catalog.roles(account.clone()).await.unwrap(), [role(&["worker:write"])]);
    refused(
        catalog.delete_role(caller, account.clone(), "deployer".into()).await,
        "give them another one first",
    );
    refused(
        catalog.set_role(caller, account.clone(), role(&[])).await,
        "0 permissions",
    );
    let mut expired = new(TokenRights::Own(Permissions::everything()));
    expired.expires_ms = Some(START_MS);
    refused(
        catalog.create_token(caller, &Token::generate().unwrap(), expired).await,
        "ended already",
    );
    // One for the platform.
    let token = Token::generate().unwrap();
    let platform = NewToken {
        account: None,
        name: "operator".into(),
        rights: TokenRights::Own(Permissions::everything()),
        expires_ms: None,
    };
    catalog.create_token(caller, &token, platform).await.unwrap();
    assert_eq!(catalog.authenticate(&token).await.unwrap().account, None);
    // A repeated request has made another token: it is told of the first.
    let keyed = caller.clone().with_key("token", b"token");
    let (one, two) = (Token::generate().unwrap(), Token::generate().unwrap());
    let everything = || new(TokenRights::Own(Permissions::everything()));
    catalog.create_token(&keyed, &one, everything()).await.unwrap();
    let again = catalog.create_token(&keyed, &two, everything()).await.unwrap();
    assert_eq!((again.repeated, &again.value.id), (true, one.id()));
    refused(catalog.authenticate(&two).await, "not valid");
    let records = catalog.audit(None, 0, 1_000).await.unwrap();
    assert!(!format!("{records:?}").contains(&one.expose()[20..]));
}

async fn accounts_are_bounded(bench: &Bench) {
    let (catalog, caller, account) = (&bench.catalog, &bench.caller, &bench.account);
    let bound = async |key: &str, value| catalog.set_bound(caller, account.clone(), key.to_owned(), value).await;
    bound(Quota::Workers.key(), Some(2)).await.unwrap();
    let upload = async |name: &str| {
        let (account, name) = (account.clone(), WorkerName::new(name));
        catalog.create_version(caller, account, name, version("x")).await
    };
    upload("a").await.unwrap();
    upload("b").await.unwrap();
    upload("a").await.unwrap();
    refused(upload("c").await, "workers_max is 2, this would make 3");
    bound(Quota::Workers.key(), None).await.unwrap();
    upload("c").await.unwrap();
    bound(Quota::Routes.key(), Some(1)).await.unwrap();
    let patterns = ["a.com/*", "b.com/*"].map(str::to_owned);
    let routes = catalog
        .set_routes(caller, account.clone(), WorkerName::new("a"), &patterns)
        .await;
    refused(routes, "routes_max is 1, this would make 2");
    bound("cpu_ms", Some(50)).await.unwrap();
    refused(bound("speed", Some(1)).await, "no quota and no limit");
    refused(bound("cpu_ms", Some(u64::MAX)).await, "at most");
    catalog.suspend(caller, account.clone(), true).await.unwrap();
    let config = catalog.check().await.unwrap();
    match config
        .get(&EdgeKey::Account(account.clone()))
        .map(|entry| (**entry).clone())
    {
        Some(EdgeEntry::Account(entry)) => {
            assert!(entry.suspended);
            // Quotas are nobody's business at the edge.
            assert_eq!(
                entry.limits.into_iter().collect::<Vec<_>>(),
                [("cpu_ms".to_owned(), 50)]
            );
        }
        other => panic!("{other:?}"),
    }
    let told = catalog.account(account.clone()).await.unwrap();
    assert_eq!((told.suspended, told.bounds.len()), (true, 2));
    assert_eq!(catalog.accounts(String::new(), 10).await.unwrap(), [told]);
}

async fn old_versions_make_room(bench: &Bench) {
    let (catalog, caller, account) = (&bench.catalog, &bench.caller, &bench.account);
    let bound = async |quota: Quota, value: u64| {
        catalog
            .set_bound(caller, account.clone(), quota.key().to_owned(), Some(value))
            .await
            .unwrap();
    };
    bound(Quota::Versions, 4).await;
    let first = bench.upload("0").await;
    let alias = AliasName::new("first");
    let (of, worker) = (account.clone(), bench.worker.clone());
    catalog
        .set_alias(caller, of, worker, alias, whole(&first))
        .await
        .unwrap();
    let second = bench.upload("1").await;
    bench.deploy(whole(&second)).await.unwrap();
    for code in 2..8 {
        bench.upload(&code.to_string()).await;
    }
    let numbers = async || {
        let versions = catalog
            .versions(account.clone(), bench.worker.clone(), None, 100)
            .await
            .unwrap();
        versions.into_iter().map(|version| version.number).collect::<Vec<_>>()
    };
    // The one of the alias and the one that serves stay.
    assert_eq!(numbers().await, [8, 7, 2, 1]);
    bench.edge().await;
    // If all of them are needed, there is no room.
    for _ in 0..2 {
        let newest = catalog
            .versions(account.clone(), bench.worker.clone(), None, 2)
            .await
            .unwrap();
        bench
            .deploy(split(&[(&newest[0].id, 5_000), (&newest[1].id, 5_000)]))
            .await
            .unwrap();
    }
    let result = catalog
        .create_version(caller, account.clone(), bench.worker.clone(), version("x"))
        .await;
    refused(result, "versions_max is 4, this would make 5");
    bound(Quota::Deployments, 3).await;
    for _ in 0..5 {
        bench.deploy(whole(&second)).await.unwrap();
    }
    let deployments = catalog
        .deployments(account.clone(), bench.worker.clone(), None, 100)
        .await
        .unwrap();
    assert_eq!(deployments.len(), 3);
}

async fn namespaces_have_titles(bench: &Bench) {
    let (catalog, caller, account) = (&bench.catalog, &bench.caller, &bench.account);
    let create = async |title: &str| {
        catalog
            .create_namespace(caller, account.clone(), "kv".into(), title.to_owned())
            .await
    };
    let sessions = create("sessions").await.unwrap().value;
    let carts = create("carts").await.unwrap().value;
    refused(create("carts").await, "exists already");
    refused(create("").await, "needs a title");
    let rename = async |id: &NamespaceId, title: &str| {
        let (account, id) = (account.clone(), id.clone());
        catalog
            .rename_namespace(caller, account, "kv".into(), id, title.to_owned())
            .await
    };
    refused(rename(&carts.id, "sessions").await, "exists already");
    rename(&carts.id, "baskets").await.unwrap();
    rename(&carts.id, "baskets").await.unwrap();
    let listed = catalog.namespaces(account.clone(), "kv".into()).await.unwrap();
    let titles: Vec<&str> = listed.iter().map(|namespace| namespace.title.as_str()).collect();
    assert_eq!(titles, ["baskets", "sessions"]);
    let delete = async |kind: &str, id: &NamespaceId| {
        catalog
            .delete_namespace(caller, account.clone(), kind.to_owned(), id.clone())
            .await
    };
    refused(delete("queue", &sessions.id).await, "there is no namespace");
    delete("kv", &sessions.id).await.unwrap();
    refused(delete("kv", &sessions.id).await, "there is no namespace");
    refused(rename(&sessions.id, "x").await, "there is no namespace");
}

async fn a_deleted_worker_is_gone(bench: &Bench) {
    let (catalog, caller, account) = (&bench.catalog, &bench.caller, &bench.account);
    let empty = catalog.config().await.unwrap();
    let mut new = version("1");
    new.put = vec![SecretPut {
        name: SecretName::new("KEY"),
        value: Some(SecretValue::new("v".into())),
    }];
    let first = catalog
        .create_version(caller, account.clone(), bench.worker.clone(), new)
        .await
        .unwrap()
        .value
        .id;
    bench.deploy(whole(&first)).await.unwrap();
    let worker = bench.worker.clone();
    let alias = AliasName::new("live");
    catalog
        .set_alias(caller, account.clone(), worker.clone(), alias, whole(&first))
        .await
        .unwrap();
    catalog
        .set_crons(caller, account.clone(), worker.clone(), vec!["* * * * *".into()])
        .await
        .unwrap();
    catalog
        .add_route(caller, account.clone(), Some(worker.clone()), "a.com/*")
        .await
        .unwrap();
    catalog
        .add_domain(caller, account.clone(), worker.clone(), DomainName::new("b.com"))
        .await
        .unwrap();
    let tag = catalog.worker(account.clone(), worker.clone()).await.unwrap().tag;
    catalog
        .delete_worker(caller, account.clone(), worker.clone())
        .await
        .unwrap();
    refused(
        catalog.worker(account.clone(), worker.clone()).await,
        "there is no worker",
    );
    refused(
        catalog.delete_worker(caller, account.clone(), worker.clone()).await,
        "there is no worker",
    );
    let config = catalog.check().await.unwrap();
    assert_eq!((config.root(), config.len()), (empty.root(), 1));
    assert!(config.revision() > empty.revision());
    // One of the same name is another.
    bench.upload("2").await;
    assert_ne!(catalog.worker(account.clone(), worker.clone()).await.unwrap().tag, tag);
    assert_eq!(catalog.secrets(account.clone(), worker).await.unwrap(), []);
}

async fn deployments_at_once_are_all_there(bench: Bench) {
    const WRITERS: u64 = 6;
    const EACH: u64 = 5;
    let first = bench.upload("1").await;
    let (before, link) = bench.marks().await;
    let bench = Arc::new(bench);
    let tasks: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (bench, first) = (bench.clone(), first.clone());
            tokio::spawn(async move {
                let mut revisions = Vec::new();
                for _ in 0..EACH {
                    let worker = WorkerName::new(format!("w{writer}"));
                    if writer % 2 == 0 {
                        revisions.push(bench.deploy(whole(&first)).await.unwrap().revision);
                    } else {
                        let (caller, account) = (&bench.caller, bench.account.clone());
                        let done = bench
                            .catalog
                            .create_version(caller, account.clone(), worker.clone(), version("w"))
                            .await;
                        let id = done.unwrap().value.id;
                        let done = bench
                            .catalog
                            .deploy(caller, account, worker, whole(&id), deployment())
                            .await;
                        revisions.push(done.unwrap().revision);
                    }
                }
                revisions
            })
        })
        .collect();
    let mut revisions = Vec::new();
    for task in tasks {
        revisions.extend(task.await.unwrap());
    }
    revisions.sort();
    // Each has a revision of its own, and none is missing.
    let expected: Vec<Revision> = (1..=WRITERS * EACH).map(|at| Revision(before.0 + at)).collect();
    assert_eq!(revisions, expected);
    let (_, end) = bench.marks().await;
    assert_eq!(end.number - link.number, WRITERS * EACH + WRITERS / 2 * EACH);
    bench.catalog.check().await.unwrap();
}

async fn tampering_with_the_audit_log_is_found(bench: &Bench) {
    for code in 0..6 {
        let version = bench.upload(&code.to_string()).await;
        bench.deploy(whole(&version)).await.unwrap();
    }
    let head = bench.catalog.verify_audit(vec![]).await.unwrap();
    assert_eq!(head.number, 13);
    for sql in [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit WHERE number = 4",
    ] {
        let error = bench.execute(sql).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{error}");
    }
    // Somebody who can change the schema can change the log, but not unseen.
    let unlock: &[&str] = match bench.database.dialect() {
        atoll_store::sql::Dialect::Sqlite => {
            &["DROP TRIGGER audit_is_not_changed", "DROP TRIGGER audit_is_not_removed"]
        }
        atoll_store::sql::Dialect::Postgres => &["DROP TRIGGER audit_is_not_changed ON audit"],
    };
    for sql in unlock {
        bench.execute(sql).await.unwrap();
    }
    let verify = async |kept: Vec<Link>| match bench.catalog.verify_audit(kept).await {
        Err(CatalogError::Audit(broken)) => broken,
        other => panic!("{other:?}"),
    };
    bench
        .execute("UPDATE audit SET actor = 'nobody' WHERE number = 7")
        .await
        .unwrap();
    assert_eq!(verify(vec![]).await, Broken::Changed { number: 7 });
    bench
        .execute("UPDATE audit SET actor = 'operator' WHERE number = 7")
        .await
        .unwrap();
    bench.catalog.verify_audit(vec![head]).await.unwrap();
    // Cut at the end: the head in the database finds it; with that rewritten as well, the one that was kept does.
    bench.execute("DELETE FROM audit WHERE number > 10").await.unwrap();
    assert_eq!(verify(vec![]).await, Broken::Cut { found: 10, kept: 13 });
    bench
        .execute("UPDATE head SET audit_number = 10, audit_hash = (SELECT hash FROM audit WHERE number = 10)")
        .await
        .unwrap();
    bench.catalog.verify_audit(vec![]).await.unwrap();
    assert_eq!(verify(vec![head]).await, Broken::Cut { found: 10, kept: 13 });
    // And once it has grown over that place again.
    for _ in 0..4 {
        bench.upload("again").await;
    }
    bench.catalog.verify_audit(vec![]).await.unwrap();
    assert_eq!(verify(vec![head]).await, Broken::Rewritten { number: 13 });
}

async fn followers_keep_up(bench: &Bench) {
    let mut rng = SplitMix64::new(11);
    let mut followers = vec![EdgeConfig::default()];
    let (catalog, caller, account) = (&bench.catalog, &bench.caller, &bench.account);
    for step in 0..40u64 {
        let worker = WorkerName::new(format!("w{}", rng.below(4)));
        match rng.below(5) {
            0 => {
                let pattern = format!("{}.example.com/*", rng.below(5));
                catalog
                    .add_route(caller, account.clone(), None, &pattern)
                    .await
                    .unwrap();
            }
            1 => {
                // It may not be there.
                let _ = catalog.delete_worker(caller, account.clone(), worker).await;
            }
            _ => {
                let new = version(&step.to_string());
                let done = catalog
                    .create_version(caller, account.clone(), worker.clone(), new)
                    .await
                    .unwrap();
                let split = whole(&done.value.id);
                catalog
                    .deploy(caller, account.clone(), worker, split, deployment())
                    .await
                    .unwrap();
            }
        }
        // Followers of all ages.
        if step % 8 == 0 {
            followers.push(catalog.config().await.unwrap());
        }
    }
    let newest = catalog.check().await.unwrap();
    for follower in followers {
        match catalog.config_since(follower.revision()).await.unwrap() {
            Some(delta) => assert_eq!(follower.apply(&delta).unwrap(), newest),
            None => assert_eq!(follower, newest),
        }
    }
    assert_eq!(catalog.config_since(newest.revision()).await.unwrap(), None);
    refused(
        catalog.config_since(Revision(newest.revision().0 + 1)).await,
        "there is no way from revision",
    );
}

async fn a_deposed_leader_changes_nothing(bench: &Bench) {
    let name = |name: &str| Caller::new(format!("system:{name}"));
    let (first, epoch) = bench.catalog.lead(&name("first"), "first".into()).await.unwrap();
    let suspend =
        async |catalog: &Catalog, suspended| catalog.suspend(&bench.caller, bench.account.clone(), suspended).await;
    suspend(&first, true).await.unwrap();
    let (second, later) = bench.catalog.lead(&name("second"), "second".into()).await.unwrap();
    assert!(later > epoch);
    let marks = bench.marks().await;
    refused(suspend(&first, false).await, "second has taken over in epoch");
    assert_eq!(bench.marks().await, marks);
    // It can still be asked.
    assert!(first.account(bench.account.clone()).await.unwrap().suspended);
    suspend(&second, false).await.unwrap();
    // Whoever led before may lead again, in an epoch of its own.
    let (first, last) = first.lead(&name("first"), "first".into()).await.unwrap();
    assert!(last > later);
    suspend(&first, true).await.unwrap();
    refused(suspend(&second, false).await, "first has taken over");
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
