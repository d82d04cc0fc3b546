//! What is staged between the catalog and the fleet.

use super::*;
use crate::deployer::{KEPT_FOR_MS, KeptPast, Past, Rollout, RolloutPops, RolloutState, Tally, rollout};
use atoll_model::PopName;
use atoll_model::edge::{Counts, Standing, hash};

fn key(bench: &Bench) -> EdgeKey {
    EdgeKey::Worker(bench.account.clone(), bench.worker.clone())
}

async fn staged(bench: &Bench) -> Option<StagedKey> {
    let all = bench.catalog.staged().await.unwrap();
    all.into_iter().find(|staged| staged.key == key(bench))
}

async fn entry(bench: &Bench) -> Option<Arc<EdgeEntry>> {
    bench.catalog.config().await.unwrap().get(&key(bench)).cloned()
}

async fn settle(bench: &Bench, approved: Option<Arc<EdgeEntry>>) {
    let write = StageWrite {
        settled: vec![(key(bench), approved)],
        ..StageWrite::default()
    };
    bench.catalog.stage(write).await.unwrap();
}

pub(super) async fn a_change_is_staged_until_it_is_settled(bench: &Bench) {
    let first = bench.upload("1").await;
    assert_eq!(staged(bench).await, None);
    bench.clock.advance_ms(5);
    let deployed = bench.deploy(whole(&first)).await.unwrap();
    let found = staged(bench).await.unwrap();
    assert_eq!((found.approved, found.phase), (None, StagedPhase::Staged));
    assert_eq!(found.since_ms, START_MS + 5);
    let one = entry(bench).await;
    // A deployer that began before the deployment learns of it in order.
    let intent = bench.catalog.intent().await.unwrap();
    assert_eq!(intent.head, bench.catalog.check().await.unwrap());
    let facts = DeploymentFacts {
        kind: DeploymentKind::Deploy,
        immediate: false,
    };
    assert_eq!(intent.deployments[&deployed.value.id], facts);
    assert_eq!(intent.rollouts[&deployed.value.id].state, RolloutState::Probing);
    settle(bench, one.clone()).await;
    assert_eq!(staged(bench).await, None);

    // Two changes: what the fleet has is the one before both.
    let second = bench.upload("2").await;
    let mut newest = bench.catalog.revised();
    let revision = bench.deploy(whole(&second)).await.unwrap().revision;
    assert_eq!(*newest.borrow_and_update(), revision);
    let two = entry(bench).await;
    let mut immediate = deployment();
    immediate.immediate = true;
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    let shares = split(&[(&second, 5_000), (&first, 5_000)]);
    let third = bench
        .catalog
        .deploy(&bench.caller, account, worker, shares, immediate)
        .await
        .unwrap()
        .value;
    assert!(third.immediate);
    let found = staged(bench).await.unwrap();
    assert_eq!((found.approved, found.previous), (one.clone(), None));
    let since = bench
        .catalog
        .intent_since(intent.head.revision())
        .await
        .unwrap()
        .unwrap();
    assert!(since.deployments[&third.id].immediate);
    assert_eq!(since.delta.changes.len(), 1);
    assert!(bench.catalog.intent_since(since.delta.to).await.unwrap().is_none());
    // Whoever settles what is no longer asked for has approved that, and no more.
    settle(bench, two.clone()).await;
    let found = staged(bench).await.unwrap();
    assert_eq!((found.approved, found.phase), (two.clone(), StagedPhase::Staged));

    // All that a row says comes back.
    let row = StagedKey {
        key: key(bench),
        approved: two,
        previous: one,
        phase: StagedPhase::Held,
        judged: Some(hash::entry(b"key", b"entry")),
        since_ms: 77,
        losses: 2,
        reason: Some("it failed".to_owned()),
    };
    let rollout = Rollout {
        state: RolloutState::Baking,
        unproven: true,
        canary: Some("ams".to_owned()),
        requests: 210,
        errors: 3,
        reason: None,
        since_ms: 78,
        pops: RolloutPops { applied: 1, total: 3 },
    };
    let write = StageWrite {
        publication: Revision(9),
        canary: Some(PopName::new("ams")),
        put: vec![row.clone()],
        rollouts: vec![(third.id.clone(), rollout.clone())],
        ..StageWrite::default()
    };
    bench.catalog.stage(write).await.unwrap();
    assert_eq!(staged(bench).await, Some(row));
    assert_eq!(bench.catalog.rollout(third.id.clone()).await.unwrap(), rollout);
    // It stays with further changes, and a deleted worker leaves what the fleet still has.
    bench.deploy(whole(&second)).await.unwrap();
    assert_eq!(staged(bench).await.unwrap().phase, StagedPhase::Held);
    let (account, worker) = (bench.account.clone(), bench.worker.clone());
    bench
        .catalog
        .delete_worker(&bench.caller, account, worker)
        .await
        .unwrap();
    assert!(staged(bench).await.unwrap().approved.is_some());
    refused(bench.catalog.rollout(third.id).await, "there is no rollout");
    settle(bench, None).await;
    assert_eq!(staged(bench).await, None);
    bench.catalog.check().await.unwrap();
}

pub(super) async fn a_deployment_is_withdrawn(bench: &Bench) {
    let (first, second) = (bench.upload("1").await, bench.upload("2").await);
    bench.deploy(whole(&first)).await.unwrap();
    let shares = split(&[(&second, 1_000), (&first, 9_000)]);
    // What is gone back to is named: the deployment in between was never approved.
    bench.deploy(whole(&second)).await.unwrap();
    let bad = bench.deploy(shares).await.unwrap().value;
    let rollout = Rollout {
        state: RolloutState::RolledBack,
        reason: Some("12 of 12 requests failed".to_owned()),
        ..rollout::begun(START_MS)
    };
    let withdraw = async || {
        let (account, worker) = (bench.account.clone(), bench.worker.clone());
        let id = DeploymentId::new(new_uuid().unwrap());
        let system = Caller::new("system:deployer");
        let withdrawal = Withdrawal {
            account,
            worker,
            judged: bad.id.clone(),
            back_to: whole(&first),
            rollout: rollout.clone(),
            id,
        };
        bench.catalog.withdraw(&system, withdrawal).await
    };
    let back = withdraw().await.unwrap().value;
    assert_eq!(back.kind, DeploymentKind::AutomaticRollback);
    assert_eq!(back.message.as_deref(), Some("12 of 12 requests failed"));
    assert_eq!(bench.serving().await, [(first.clone(), WEIGHT_WHOLE)]);
    assert_eq!(bench.catalog.rollout(bad.id.clone()).await.unwrap(), rollout);
    let records = bench.catalog.audit(Some(bench.account.clone()), 0, 100).await.unwrap();
    let last = &records.last().unwrap().entry;
    assert_eq!(
        (last.actor.as_str(), last.action.as_str()),
        ("system:deployer", "worker.rollback")
    );
    assert!(last.detail.contains(bad.id.as_str()), "{}", last.detail);
    let passed_over = &bench
        .catalog
        .deployments(bench.account.clone(), bench.worker.clone(), None, 9)
        .await
        .unwrap()[2];
    let rollout = bench.catalog.rollout(passed_over.id.clone()).await.unwrap();
    assert_eq!(rollout.state, RolloutState::Superseded);
    // Once: what serves now is another deployment.
    refused(withdraw().await, "no longer the one that serves");
    bench.catalog.verify_audit(Vec::new()).await.unwrap();
}

pub(super) async fn only_the_leader_publishes(bench: &Bench) {
    let publish = |number| StageWrite {
        publication: Revision(number),
        canary: Some(PopName::new("ams")),
        ..StageWrite::default()
    };
    let (old, _) = bench.catalog.lead(&bench.caller, "one".into()).await.unwrap();
    old.stage(publish(5)).await.unwrap();
    let (new, _) = bench.catalog.lead(&bench.caller, "two".into()).await.unwrap();
    refused(old.stage(publish(6)).await, "has taken over");
    let intent = new.intent().await.unwrap();
    assert_eq!(
        (intent.publication, intent.canary),
        (Revision(5), Some(PopName::new("ams")))
    );
    // How much there is, is kept from then on.
    assert_eq!(intent.standing, None);
    let standing = KeptStanding {
        counts: Counts::default(),
        peak: Standing::of(&intent.head).counts(),
        peak_before: Counts::default(),
        since_ms: 7,
    };
    let counted = StageWrite {
        standing: Some(standing),
        ..publish(5)
    };
    new.stage(counted).await.unwrap();
    // The number never goes back.
    new.stage(publish(3)).await.unwrap();
    let intent = new.intent().await.unwrap();
    assert_eq!((intent.publication, intent.standing), (Revision(5), Some(standing)));
}

pub(super) async fn pasts_are_kept_for_some_minutes(bench: &Bench) {
    let past = |deployment: &str, requests| {
        let everywhere = Tally {
            requests,
            late: 3,
            ..Tally::default()
        };
        KeptPast {
            account: bench.account.clone(),
            worker: bench.worker.clone(),
            deployment: DeploymentId::new(deployment),
            past: Past {
                everywhere,
                canary: Tally::default(),
            },
        }
    };
    let keep = async |pasts: Vec<KeptPast>| {
        let write = StageWrite {
            pasts,
            ..StageWrite::default()
        };
        bench.catalog.stage(write).await.unwrap();
    };
    let kept = async || {
        let mut pasts = bench.catalog.intent().await.unwrap().pasts;
        pasts.sort_by(|a, b| a.deployment.cmp(&b.deployment));
        pasts
    };
    keep(vec![past("one", 7), past("two", 8)]).await;
    assert_eq!(kept().await, [past("one", 7), past("two", 8)]);
    bench.clock.advance_ms(KEPT_FOR_MS - 1);
    keep(vec![past("two", 9)]).await;
    assert_eq!(kept().await, [past("one", 7), past("two", 9)]);
    bench.clock.advance_ms(1);
    assert_eq!(kept().await, [past("two", 9)]);
    bench.clock.advance_ms(KEPT_FOR_MS);
    assert_eq!(kept().await, []);
}
