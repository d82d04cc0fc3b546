//! Configurations, objects, secrets, KV, with control planes that come and go.

use crate::fake::Fake;
use crate::plane::{Ground, Plane, account, caller};
use crate::{Pop, options, until};
use atoll_api::pop::{LogRecord, VersionHealth};
use atoll_control::fleet::{KvEdit, KvPair, Pops as _, TailAsk, TailItem};
use atoll_control::telemetry::{LogQuery, Telemetry as _};
use atoll_model::edge::Change;
use atoll_model::{EdgeConfig, EdgeEntry, EdgeKey, NamespaceId, Revision, VersionId, WorkerName};
use atoll_pop::WARM_AT_ONCE;
use atoll_pop::fleet::Tick;
use atoll_pop::ticks::{Successor, Turn, Word};
use atoll_stdx::{Clock as _, SystemClock};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::{TempDir, tempdir};
use tokio::sync::Semaphore;

async fn begin() -> (TempDir, Arc<Ground>, Plane) {
    let directory = tempdir().unwrap();
    let ground = Ground::new(directory.path(), Arc::new(SystemClock)).await;
    let plane = Plane::start(&ground).await;
    (directory, ground, plane)
}

fn key(worker: &str) -> EdgeKey {
    EdgeKey::Worker(account(), WorkerName::new(worker))
}

fn version(config: &EdgeConfig, worker: &str) -> Option<String> {
    match config.get(&key(worker)).map(|entry| (**entry).clone()) {
        Some(EdgeEntry::Worker(entry)) => Some(entry.shares[0].version.to_string()),
        _ => None,
    }
}

/// Starts a PoP from its directory without a token.
async fn restart(plane: &Plane, directory: &Path, name: &str) -> Pop {
    let clock = plane.ground.clock.clone();
    Pop::start(options(directory, name, plane.address.to_string(), clock)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_then_deltas_and_what_does_not_start_stays_as_it_was() {
    let (_temp, ground, plane) = begin().await;
    let directory = tempdir().unwrap();
    let one = ground.deploy_with("shop", "one", &[("KEY", "sesame")]).await;
    plane.publish().await;
    let pop = Pop::join(&plane, directory.path(), "a").await;
    let (config, surroundings) = pop.runtime.serves(Revision(1)).await;
    assert_eq!(version(&config, "shop"), Some(one.to_string()));
    assert_eq!(surroundings.domains, ["localhost"]);
    plane.acknowledged("a", Revision(1)).await;
    // Without traffic nothing is started ahead of a whole configuration.
    assert_eq!(*pop.runtime.prepared.lock().unwrap(), []);

    let two = ground.deploy("shop", "two").await;
    let config = plane.publish().await;
    let applied = plane.acknowledged("a", config.revision()).await;
    assert_eq!((applied.started.len(), applied.refused.len()), (1, 0));
    assert_eq!(*pop.runtime.prepared.lock().unwrap(), std::slice::from_ref(&two));
    let secrets = pop.runtime.secrets.lock().unwrap().clone();
    assert_eq!(secrets[&two], [("KEY".to_owned(), "sesame".to_owned())]);
    let counters = plane.sessions.counters();
    let sent = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((sent(&counters.wholes), sent(&counters.deltas)), (1, 1));

    // A version that throws: its worker stays, another one's change is taken.
    let bad = {
        let bad = ground.deploy("shop", "bad").await;
        pop.runtime.bad.lock().unwrap().insert(bad.clone());
        bad
    };
    let other = ground.deploy("other", "1").await;
    let config = plane.publish().await;
    let applied = plane.acknowledged("a", config.revision()).await;
    assert_eq!(applied.refused.len(), 1);
    assert_eq!(
        (applied.refused[0].version.clone(), applied.refused[0].kind.as_str()),
        (bad, "startup")
    );
    let (served, _) = pop.runtime.serves(config.revision()).await;
    assert_eq!(version(&served, "shop"), Some(two.to_string()));
    assert_eq!(version(&served, "other"), Some(other.to_string()));

    // It is the same after a restart, without a control plane; and the next delta fits.
    pop.stop().await;
    plane.stop().await;
    let pop = {
        let address = ground.address.lock().unwrap().unwrap().to_string();
        Pop::start(options(directory.path(), "a", address, ground.clock.clone())).await
    };
    let (again, surroundings) = pop.runtime.serves(config.revision()).await;
    assert_eq!(again, served);
    assert_eq!(surroundings.domains, ["localhost"]);
    // Code and secrets of what was started are here.
    let EdgeEntry::Worker(entry) = (**again.get(&key("shop")).unwrap()).clone() else {
        panic!()
    };
    let loaded = pop
        .agent
        .version(&account(), &WorkerName::new("shop"), &entry.shares[0])
        .await
        .unwrap();
    assert_eq!(loaded.version.as_ref().unwrap().modules[0].content, "two");
    assert_eq!(loaded.version.as_ref().unwrap().bindings.len(), 1);

    let plane = Plane::start(&ground).await;
    pop.connected().await;
    let good = ground.deploy("shop", "good").await;
    let config = plane.publish().await;
    plane.acknowledged("a", config.revision()).await;
    let (served, _) = pop.runtime.serves(config.revision()).await;
    assert_eq!(version(&served, "shop"), Some(good.to_string()));
    assert_eq!(pop.agent.status().kept, 0);
    assert_eq!(
        sent(&plane.sessions.counters().wholes),
        0,
        "a delta from what was published, not from what is served"
    );
    pop.stop().await;
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_reached_is_asked_for_again_and_nothing_against_the_version() {
    let (_temp, ground, plane) = begin().await;
    let directory = tempdir().unwrap();
    let one = ground.deploy("shop", "one").await;
    let config = plane.publish().await;
    let pop = Pop::join(&plane, directory.path(), "a").await;
    plane.acknowledged("a", config.revision()).await;
    ground.reach.cut.store(true, Ordering::SeqCst);
    let two = ground.deploy("shop", "two").await;
    let config = plane.publish().await;
    until("several attempts", || ground.reach.missed.load(Ordering::SeqCst) >= 3).await;
    assert_eq!(version(&pop.agent.config(), "shop"), Some(one.to_string()));
    // Whoever leads may go meanwhile: the next one has the same store.
    plane.stop().await;
    let plane = Plane::start(&ground).await;
    pop.connected().await;
    ground.reach.cut.store(false, Ordering::SeqCst);
    let applied = plane.acknowledged("a", config.revision()).await;
    assert_eq!(applied.refused, []);
    let (served, _) = pop.runtime.serves(config.revision()).await;
    assert_eq!(version(&served, "shop"), Some(two.to_string()));
    assert_eq!(pop.agent.status().kept, 0);
    // What is damaged does not become whole by being asked for again.
    ground.deploy("shop", "three").await;
    ground.reach.damaged.store(true, Ordering::SeqCst);
    let before = ground.reach.missed.load(Ordering::SeqCst);
    let config = plane.publish().await;
    let applied = plane.acknowledged("a", config.revision()).await;
    assert_eq!(applied.refused[0].kind, "artifact");
    let reason = &applied.refused[0].reason;
    assert_eq!(reason.matches("is damaged: a bit is another").count(), 1, "{reason}");
    assert_eq!(reason.matches("damaged").count(), 1, "{reason}");
    assert_eq!(ground.reach.missed.load(Ordering::SeqCst), before + 1);
    pop.stop().await;
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leads_next_learns_what_does_not_start_and_it_is_tried_again() {
    let (_temp, ground, plane) = begin().await;
    let directory = tempdir().unwrap();
    ground.deploy("shop", "one").await;
    let config = plane.publish().await;
    let pop = Pop::join(&plane, directory.path(), "a").await;
    plane.acknowledged("a", config.revision()).await;
    let bad = ground.deploy("shop", "bad").await;
    pop.runtime.bad.lock().unwrap().insert(bad.clone());
    let config = plane.publish().await;
    assert_eq!(plane.acknowledged("a", config.revision()).await.refused.len(), 1);
    plane.stop().await;

    let plane = Plane::start(&ground).await;
    let again = plane.acknowledged("a", config.revision()).await;
    assert_eq!((again.refused.len(), again.refused[0].kind.as_str()), (1, "startup"));
    assert_eq!(pop.agent.status().kept, 1);
    plane.stop().await;

    pop.runtime.bad.lock().unwrap().clear();
    let plane = Plane::start(&ground).await;
    let again = plane.acknowledged("a", config.revision()).await;
    assert_eq!((again.refused.len(), again.started.len()), (0, 1));
    assert_eq!(version(&pop.agent.config(), "shop"), Some(bad.to_string()));
    assert_eq!(pop.agent.status().kept, 0);
    // What was tried again is durable, and the next delta fits.
    pop.stop().await;
    let good = ground.deploy("shop", "good").await;
    let config = plane.publish().await;
    let address = plane.address.to_string();
    let pop = Pop::start(options(directory.path(), "a", address, ground.clock.clone())).await;
    assert_eq!(pop.agent.status().kept, 0);
    plane.acknowledged("a", config.revision()).await;
    let (served, _) = pop.runtime.serves(config.revision()).await;
    assert_eq!(version(&served, "shop"), Some(good.to_string()));
    pop.stop().await;
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poisoned_configurations_are_refused_whole_and_the_last_good_serves() {
    let (_temp, ground, plane) = begin().await;
    let directory = tempdir().unwrap();
    for at in 0..12 {
        ground.deploy(&format!("w{at}"), "1").await;
    }
    let good = plane.publish().await;
    let pop = Pop::join(&plane, directory.path(), "a").await;
    pop.runtime.serves(good.revision()).await;
    plane.acknowledged("a", good.revision()).await;
    // More than half of the workers are gone.
    let removed = |from: &EdgeConfig, count: usize| -> Vec<Change> {
        let keys = from
            .entries()
            .filter(|(key, _)| matches!(key, EdgeKey::Worker(..)))
            .map(|(key, _)| key.clone());
        keys.take(count).map(|key| Change { key, entry: None }).collect()
    };
    let (emptied, _) = good.change(Revision(2), removed(&good, 7)).unwrap();
    plane.send(emptied.clone(), false);
    let applied = plane.acknowledged("a", Revision(2)).await;
    assert!(applied.rejected.unwrap().contains("5 of 12"));
    assert_eq!(pop.agent.config().revision(), Revision(1));
    let state = plane.sessions.state().await.unwrap();
    assert!(
        state.alarms.iter().any(|alarm| alarm.code == "config_rejected"),
        "{:?}",
        state.alarms
    );
    assert!(!pop.agent.status().alarms.is_empty());
    // Half of them may go; and all, if it is said.
    let (half, _) = good.change(Revision(3), removed(&good, 6)).unwrap();
    plane.send(half.clone(), false);
    pop.runtime.serves(Revision(3)).await;
    let (none, _) = good.change(Revision(4), removed(&good, 12)).unwrap();
    plane.send(none, true);
    let (served, _) = pop.runtime.serves(Revision(4)).await;
    assert_eq!(version(&served, "w0"), None);
    pop.stop().await;
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_only_started_ahead_waits_while_a_configuration_is_taken_over() {
    let (_temp, ground, plane) = begin().await;
    let directory = tempdir().unwrap();
    for at in 0..10 {
        ground.deploy(&format!("w{at}"), "1").await;
    }
    let config = plane.publish().await;
    let pop = Pop::join(&plane, directory.path(), "a").await;
    pop.runtime.serves(config.revision()).await;
    for at in 0..10 {
        pop.agent.touched(&account(), &WorkerName::new(format!("w{at}")));
    }
    pop.stop().await;

    let runtime = Arc::<Fake>::default();
    let hold = Arc::new(Semaphore::new(0));
    *runtime.hold.lock().unwrap() = Some(hold.clone());
    let clock = ground.clock.clone();
    let options = options(directory.path(), "a", plane.address.to_string(), clock);
    let pop = Pop::start_with(options, runtime.clone()).await;
    let begun = |runtime: &Fake| runtime.starts.lock().unwrap().len();
    until("workers with traffic are started ahead", || {
        begun(&runtime) == WARM_AT_ONCE
    })
    .await;
    let two = ground.deploy("shop", "two").await;
    let config = plane.publish().await;
    let is_two = |(id, over): &(VersionId, bool), ended: bool| *id == two && *over == ended;
    let has = |ended| runtime.starts.lock().unwrap().iter().any(|start| is_two(start, ended));
    until("the new one is started", || has(false)).await;
    // Those that were under way end. What comes after them has to wait, and has the time to show that it does not.
    hold.add_permits(WARM_AT_ONCE);
    until("they end", || begun(&runtime) > 2 * WARM_AT_ONCE).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    hold.add_permits(100);
    pop.runtime.serves(config.revision()).await;
    until("all are started", || begun(&runtime) == 2 * 11).await;
    let starts = runtime.starts.lock().unwrap().clone();
    let at = |ended| starts.iter().position(|start| is_two(start, ended)).unwrap();
    let meanwhile = &starts[at(false) + 1..at(true)];
    assert!(meanwhile.iter().all(|(_, over)| *over), "{starts:?}");
    pop.stop().await;
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_that_a_pop_died_of_is_fired_again_by_it() {
    let (_temp, ground, plane) = begin().await;
    let directory = tempdir().unwrap();
    let tick = |due_ms: u64| Tick {
        account: account(),
        worker: WorkerName::new("shop"),
        cron: "* * * * *".to_owned(),
        due_ms,
    };
    let now_ms = SystemClock.now_ms();
    let (died_of, done, old) = (tick(now_ms - 60_000), tick(now_ms - 120_000), tick(now_ms - 86_500_000));
    let pop = Pop::join(&plane, directory.path(), "a").await;
    for tick in [&died_of, &done, &old] {
        pop.agent.tick_begins(tick);
    }
    pop.agent.tick_is_over(&done);
    // As after a kill: what is in memory is gone, what was written is there.
    pop.stop().await;
    plane.stop().await;
    let address = ground.address.lock().unwrap().unwrap().to_string();
    let again = async || {
        let clock = ground.clock.clone();
        Pop::start(options(directory.path(), "a", address.clone(), clock)).await
    };
    let pop = again().await;
    assert_eq!(pop.agent.left_over(), std::slice::from_ref(&died_of));
    assert!(
        pop.agent
            .status()
            .alarms
            .iter()
            .any(|(_, alarm)| alarm.contains("more than a day ago"))
    );
    // It is alone, and nobody else can have fired it.
    assert!(pop.agent.is_left_over(&died_of).await);
    pop.agent.tick_begins(&died_of);
    pop.stop().await;
    let pop = again().await;
    assert_eq!(pop.agent.left_over(), std::slice::from_ref(&died_of));
    pop.agent.tick_begins(&died_of);
    pop.stop().await;
    // Three times are enough.
    let pop = again().await;
    assert_eq!(pop.agent.left_over(), []);
    assert!(
        pop.agent
            .status()
            .alarms
            .iter()
            .any(|(_, alarm)| alarm.contains("went down 3 times"))
    );
    pop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_of_kv_arrive_in_order_over_broken_sessions() {
    let (_temp, ground, plane) = begin().await;
    let directory = tempdir().unwrap();
    let pop = Pop::join(&plane, directory.path(), "a").await;
    let namespace = NamespaceId::new("ns");
    let edit = |put: &[(&str, Vec<u8>)], delete: &[&str], clear| KvEdit {
        account: account(),
        namespace: namespace.clone(),
        put: put
            .iter()
            .map(|(key, value)| KvPair {
                key: (*key).to_owned(),
                value: value.clone().into(),
                metadata: None,
                expiration: None,
            })
            .collect(),
        delete: delete.iter().map(|key| (*key).to_owned()).collect(),
        clear,
    };
    *pop.runtime.kv_failures.lock().unwrap() = 1;
    plane
        .sessions
        .kv_edit(
            &caller(),
            edit(&[("a", b"1".to_vec()), ("b", b"1".to_vec())], &[], false),
        )
        .await
        .unwrap();
    let large = vec![7; 100_000];
    let position = plane
        .sessions
        .kv_edit(&caller(), edit(&[("large", large.clone())], &["a"], false))
        .await
        .unwrap();
    pop.runtime.has_position(position).await;
    {
        let kv = pop.runtime.kv.lock().unwrap();
        let all: Vec<_> = kv.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        assert_eq!(all, [("b", b"1".to_vec()), ("large", large)]);
    }
    let asked = plane
        .sessions
        .kv_values(&account(), &namespace, vec!["b".into(), "x".into()])
        .await
        .unwrap();
    assert_eq!(asked[0].as_ref().unwrap().value, "1");
    assert_eq!(asked[1], None);
    // While it is away: many edits of one key, and a clear in between.
    let runtime = pop.runtime.clone();
    pop.stop().await;
    for at in 0..300u32 {
        let put = [("c", at.to_string().into_bytes())];
        plane
            .sessions
            .kv_edit(&caller(), edit(&put, &[], at == 100))
            .await
            .unwrap();
    }
    let last = plane
        .sessions
        .kv_edit(&caller(), edit(&[("d", b"2".to_vec())], &[], false))
        .await
        .unwrap();
    let mut options = options(directory.path(), "a", plane.address.to_string(), ground.clock.clone());
    options.neighbour_listen = None;
    let pop = Pop::start_with(options, runtime).await;
    pop.runtime.has_position(last).await;
    let kv = pop.runtime.kv.lock().unwrap().clone();
    let all: Vec<_> = kv.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    assert_eq!(all, [("c", b"299".to_vec()), ("d", b"2".to_vec())]);
    let positions = pop.runtime.positions.borrow().clone();
    assert!(positions.is_sorted() && positions.len() < 10, "{positions:?}");
    pop.stop().await;
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_come_from_a_neighbour_before_the_control_plane() {
    let (_temp, ground, plane) = begin().await;
    let (one, two) = (tempdir().unwrap(), tempdir().unwrap());
    let pop = Pop::join(&plane, one.path(), "a").await;
    ground.deploy("shop", "one").await;
    let config = plane.publish().await;
    let (served, _) = pop.runtime.serves(config.revision()).await;
    let EdgeEntry::Worker(entry) = (**served.get(&key("shop")).unwrap()).clone() else {
        panic!()
    };
    let share = &entry.shares[0];
    let shop = WorkerName::new("shop");
    pop.agent.version(&account(), &shop, share).await.unwrap();
    let near = Pop::join(&plane, two.path(), "b").await;
    near.runtime.serves(config.revision()).await;
    until("the fleet", || {
        near.agent.fleet().has("a") && pop.agent.fleet().has("b")
    })
    .await;
    let acme = account();
    let loads = (0..8).map(|_| near.agent.version(&acme, &shop, share));
    let loads = futures_util::future::join_all(loads).await;
    assert!(loads.into_iter().all(|loaded| loaded.is_ok()));
    let counters = near.agent.status().counters;
    // Manifest, signature, module: each once, whoever asked at the same time.
    assert_eq!(
        (counters["objects_from_neighbours"], counters["objects_from_control"]),
        (3, 0),
        "{counters:?}"
    );
    // Who is not on the list is not answered.
    assert_eq!(pop.agent.live().len(), 2);
    near.stop().await;
    until("the list without it", || !pop.agent.fleet().has("b")).await;
    pop.stop().await;
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_of_an_older_epoch_is_not_believed() {
    let (_temp, ground, plane) = begin().await;
    let directory = tempdir().unwrap();
    ground.deploy("shop", "1").await;
    plane.publish().await;
    let pop = Pop::join(&plane, directory.path(), "a").await;
    pop.runtime.serves(Revision(1)).await;
    plane.acknowledged("a", Revision(1)).await;
    // Another one has led meanwhile, and this PoP has seen it.
    let newer = Plane::start_beside(&ground).await;
    pop.stop().await;
    let seen = Pop::start(options(
        directory.path(),
        "a",
        newer.address.to_string(),
        ground.clock.clone(),
    ))
    .await;
    seen.connected().await;
    let newest = *ground.epoch.lock().unwrap();
    until("the epoch", || seen.agent.status().epoch == newest).await;
    seen.stop().await;
    let back = restart(&plane, directory.path(), "a").await;
    until("the alarm", || {
        plane
            .sessions
            .counters()
            .sessions
            .load(std::sync::atomic::Ordering::Relaxed)
            == 1
            && futures_util::FutureExt::now_or_never(plane.sessions.state())
                .is_none_or(|state| state.is_ok_and(|state| state.alarms.iter().any(|alarm| alarm.code == "deposed")))
    })
    .await;
    assert!(!back.agent.is_connected());
    assert_eq!(back.agent.config().revision(), Revision(1));
    back.stop().await;
    plane.stop().await;
    newer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tails_reach_pops_that_come_later_and_end_with_their_reader() {
    let (_temp, _, plane) = begin().await;
    let directory = tempdir().unwrap();
    let ask = TailAsk {
        account: account(),
        worker: WorkerName::new("shop"),
        filters: "{}".into(),
        expires_ms: u64::MAX,
        rate_max: 100,
    };
    let mut tail = plane.sessions.tail(ask).await.unwrap();
    assert_eq!(tail.pops, 0);
    let pop = Pop::join(&plane, directory.path(), "a").await;
    let mut tails = pop.runtime.tails.subscribe();
    tails.wait_for(|tails| tails.len() == 1).await.unwrap();
    let sink = pop.runtime.tails.borrow().values().next().unwrap().clone();
    assert!(sink.send("{\"event\":1}".into()));
    assert_eq!(tail.items.recv().await, Some(TailItem::Event("{\"event\":1}".into())));
    sink.drop_some(3);
    assert!(sink.send("{\"event\":2}".into()));
    let mut items = vec![tail.items.recv().await.unwrap(), tail.items.recv().await.unwrap()];
    items.sort_by_key(|item| matches!(item, TailItem::Event(_)));
    assert_eq!(items, [TailItem::Dropped(3), TailItem::Event("{\"event\":2}".into())]);
    drop(tail);
    tails.wait_for(|tails| tails.is_empty()).await.unwrap();
    pop.stop().await;
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn telemetry_arrives_once_and_what_is_popular_is_ready_everywhere() {
    let (_temp, ground, plane) = begin().await;
    let (one, two) = (tempdir().unwrap(), tempdir().unwrap());
    let shop = ground.deploy("shop", "1").await;
    let config = plane.publish().await;
    let pop = Pop::join(&plane, one.path(), "a").await;
    let other = Pop::join(&plane, two.path(), "b").await;
    other.runtime.serves(config.revision()).await;
    let now_ms = ground.clock.now_ms();
    for at in 0..2_500 {
        pop.agent.shipper().log(LogRecord {
            time_ms: now_ms,
            account: "acme".into(),
            worker: "shop".into(),
            version: shop.to_string(),
            level: "log".into(),
            request: at.to_string(),
            json: format!("{{\"at\":{at}}}"),
        });
    }
    until("all records", || {
        pop.agent.status().counters["telemetry_shipped"] == 2_500
    })
    .await;
    let query = LogQuery {
        limit: 10_000,
        ..LogQuery::default()
    };
    let logs = ground.telemetry.logs(&account(), &WorkerName::new("shop"), &query);
    assert!(!logs.items.is_empty());
    // Traffic on one PoP has the other one start the worker.
    pop.runtime.health.lock().unwrap().push(VersionHealth {
        account: "acme".into(),
        worker: "shop".into(),
        version: shop.to_string(),
        requests: 1_000,
        latency: vec![1_000],
        ..VersionHealth::default()
    });
    until("the start", || other.runtime.prepared.lock().unwrap().contains(&shop)).await;
    // It is remembered: the next process starts it ahead, without a control plane.
    other.stop().await;
    plane.stop().await;
    let address = ground.address.lock().unwrap().unwrap().to_string();
    let again = Pop::start(options(two.path(), "b", address, ground.clock.clone())).await;
    until("the start from disk", || {
        again.runtime.prepared.lock().unwrap().contains(&shop)
    })
    .await;
    again.stop().await;
    pop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_control_plane_the_living_find_each_other() {
    let (_temp, _, plane) = begin().await;
    let (one, two, three) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let a = Pop::join(&plane, one.path(), "a").await;
    let b = Pop::join(&plane, two.path(), "b").await;
    let c = Pop::join(&plane, three.path(), "c").await;
    for pop in [&a, &b, &c] {
        until("the fleet", || pop.agent.fleet().members.len() == 3).await;
    }
    plane.stop().await;
    until("the end of the session", || !a.agent.is_connected()).await;
    c.stop().await;
    // By the list they had, then by who answers.
    until("the answer of the living", || {
        a.agent.live().len() == 2 && b.agent.live().len() == 2
    })
    .await;
    let tick = Tick {
        account: account(),
        worker: WorkerName::new("shop"),
        cron: "* * * * *".into(),
        due_ms: 60_000,
    };
    let (first, second) = (a.agent.turn(&tick).unwrap(), b.agent.turn(&tick).unwrap());
    assert!(first.is_zero() != second.is_zero(), "one owner: {first:?} {second:?}");
    // Who comes next learns from the others what became of it, and that one is dead.
    let (owner, next) = if first.is_zero() { (&a, &b) } else { (&b, &a) };
    assert_eq!(owner.agent.turn_of(&tick), Turn::Now);
    let Turn::After(successor) = next.agent.turn_of(&tick) else {
        panic!("{:?}", next.agent.turn_of(&tick));
    };
    let names = [owner.agent.name(), "c"];
    assert_eq!(successor.before, [names[0]]);
    let ask = async |name: &str| next.agent.ask_about(name, &tick).await;
    assert_eq!(
        (ask(names[0]).await, ask(names[1]).await),
        (Word::Unknown, Word::Silent)
    );
    owner.agent.tick_begins(&tick);
    assert_eq!(ask(names[0]).await, Word::Running);
    owner.agent.tick_is_over(&tick);
    assert_eq!(ask(names[0]).await, Word::Over);
    assert!(
        !next
            .agent
            .succeeds(
                &tick,
                &Successor {
                    delay: Duration::ZERO,
                    ..successor.clone()
                }
            )
            .await
    );
    let dead = Successor {
        delay: Duration::ZERO,
        before: vec!["c".to_owned()],
    };
    assert!(next.agent.succeeds(&tick, &dead).await);
    a.agent.drain();
    assert_eq!((a.agent.turn(&tick), a.agent.turn_of(&tick)), (None, Turn::Never));
    a.stop().await;
    b.stop().await;
}
