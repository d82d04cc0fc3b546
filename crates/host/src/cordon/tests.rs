//! Children that were taken over before they did anything: a shell says that it is ready, greets, and does as it likes. What
//! ends them is this side's alone.

use super::*;
use crate::environment::environment;
use crate::logs::LogHub;
use crate::services::Services;
use crate::testing::{context, event, reach, version};
use atoll_link::WIRE_VERSION;
use atoll_model::{AccountLimits, Limit, Limits};

const BUILD: &str = "test";
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A cordon for one tenant each, whose children do `script` once they have greeted.
fn cordon(script: &str, memory_bytes: Option<u64>) -> Arc<Cordon> {
    started("", script, memory_bytes, true)
}

/// One whose children do `before` before they say that they are ready, and `script` once they have greeted.
fn started(before: &str, script: &str, memory_bytes: Option<u64>, dedicated: bool) -> Arc<Cordon> {
    let mut greeting = (12 + BUILD.len() as u32).to_le_bytes().to_vec();
    greeting.extend([0; 12]);
    greeting.extend(b"ATOLLNK\n");
    greeting.extend(WIRE_VERSION.to_le_bytes());
    greeting.extend(BUILD.as_bytes());
    let octal: String = greeting.iter().map(|byte| format!("\\{byte:03o}")).collect();
    let script = format!("{before}echo '{{\"layers\":\"none\",\"downgrades\":[]}}'; printf '{octal}' >&0; {script}");
    Cordon::new(CordonOptions {
        command: ChildCommand {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: Vec::new(),
        },
        build: BUILD.to_owned(),
        dedicated,
        children: 2,
        memory_bytes,
        grace: Duration::ZERO,
    })
    .unwrap()
}

/// What an event gets from such a child, and how often its limits were counted.
async fn fault(cordon: &Arc<Cordon>, limits: Limits) -> (Fault, u64) {
    let hub = LogHub::new();
    let version = Arc::new(WorkerVersion {
        limits,
        ..version("w", "1")
    });
    let account = AccountLimits::default();
    let services = Services::nowhere();
    let environment = environment(&version, None, &reach(), &hub, &services, &account).unwrap();
    let slot = cordon.slot(version, environment);
    let answer = tokio::time::timeout(PATIENCE, slot.run(context(), event("a line\n"))).await;
    let fault = match answer.expect("it ends") {
        Ok(Err(fault)) | Err(atoll_pool::Refusal::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    };
    let counted = fault.limit.map_or(0, |hit| hub.limits().get(hit.limit));
    (fault, counted)
}

#[tokio::test]
async fn a_child_that_burns_and_answers_nothing_is_ended() {
    // The spare burns as well, with no event that could end it. One that was asked for when the test was over ends with its process.
    let cordon = cordon("while kill -0 $PPID; do :; done", None);
    let limits = Limits {
        cpu_ms: 50,
        startup_ms: 50,
        ..Limits::default()
    };
    let (fault, counted) = fault(&cordon, limits).await;
    assert_eq!(fault.kind, FaultKind::ExceededCpu, "{fault}");
    let hit = fault.limit.expect("a limit");
    assert_eq!((hit.limit, hit.value, counted), (Limit::Cpu, 50, 1));
    assert!(cordon.stats().condemned >= 1);
    cordon.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_child_that_takes_memory_and_answers_nothing_is_ended() {
    // 128 MiB and their copy, and then it waits.
    let script =
        "s=xxxxxxxx; i=0; while [ $i -lt 24 ]; do s=$s$s; i=$((i+1)); done; while kill -0 $PPID; do sleep 1; done";
    let cordon = cordon(script, Some(96 << 20));
    let (fault, counted) = fault(&cordon, Limits::default()).await;
    assert_eq!(fault.kind, FaultKind::ExceededMemory, "{fault}");
    let hit = fault.limit.expect("a limit");
    assert_eq!((hit.limit, hit.value, counted), (Limit::ChildMemory, 96 << 20, 1));
    cordon.shutdown(Duration::ZERO).await;
}

/// One that ends for no reason of ours is a crash, and told as that.
#[tokio::test]
async fn a_child_that_is_killed_has_crashed() {
    let cordon = cordon("sleep 1; kill -9 $$", None);
    let (fault, _) = fault(&cordon, Limits::default()).await;
    assert_eq!((fault.kind, fault.limit), (FaultKind::Crashed, None), "{fault}");
    assert_eq!(cordon.stats().condemned, 0);
    cordon.shutdown(Duration::ZERO).await;
}

/// The two places of a shared cordon once one has its child, the one that gets its first child last first.
async fn places_in_turn(cordon: &Cordon) -> Vec<Arc<Place>> {
    cordon.ready().await.unwrap();
    while cordon.all_places().iter().all(|place| place.is_new()) {
        tokio::task::yield_now().await;
    }
    let mut places = cordon.all_places();
    assert_eq!(places.len(), 2);
    places.sort_by_key(|place| place.child().is_some());
    places
}

/// A worker does not begin in the other place while its own gets its first child: it would move, and begin again.
#[tokio::test]
async fn a_worker_waits_for_the_first_child_of_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    // The first one starts, others when they may.
    let before = format!(
        "if [ -e {path}/first ]; then while ! [ -e {path}/others ]; do sleep 0.1; done; fi; : > {path}/first; "
    );
    let cordon = started(&before, "while kill -0 $PPID; do sleep 1; done", None, false);
    let places = places_in_turn(&cordon).await;
    assert!(places[0].is_new() && places[1].child().is_some());
    assert!(cordon.child_now(&places, 0).is_none());
    std::fs::write(folder.path().join("others"), "").unwrap();
    let child = tokio::time::timeout(PATIENCE, cordon.child(&places, 0))
        .await
        .unwrap()
        .unwrap();
    assert!(Arc::ptr_eq(&child, &places[0].child().unwrap()));
    cordon.shutdown(Duration::ZERO).await;
}

/// But not for long.
#[tokio::test]
async fn a_worker_whose_place_gets_no_child_begins_in_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let before = format!("[ -e {path}/first ] && while kill -0 $PPID; do sleep 1; done; : > {path}/first; ");
    let cordon = started(&before, "while kill -0 $PPID; do sleep 1; done", None, false);
    let places = places_in_turn(&cordon).await;
    let child = cordon.child(&places, 0).await.unwrap();
    assert!(places[0].is_new() && Arc::ptr_eq(&child, &places[1].child().unwrap()));
    cordon.shutdown(Duration::ZERO).await;
}

/// Unless there may be none: then the other place serves.
#[tokio::test]
async fn a_place_whose_first_child_does_not_start_leaves_its_workers_to_the_other() {
    let seen = tempfile::NamedTempFile::new().unwrap();
    let path = seen.path().display();
    // The first one starts, no other does.
    let before = format!("[ -e {path} ] || exit 1; rm {path}; ");
    let cordon = started(&before, "while kill -0 $PPID; do sleep 1; done", None, false);
    let places = places_in_turn(&cordon).await;
    let child = tokio::time::timeout(PATIENCE, cordon.child(&places, 0))
        .await
        .unwrap()
        .unwrap();
    assert!(Arc::ptr_eq(&child, &places[1].child().unwrap()));
    assert!(places[0].is_new());
    cordon.shutdown(Duration::ZERO).await;
}
