//! Isolates on the threads of connections: what these are is tasks here.

use crate::fake::{context, environment, event, thread_cpu_ns, until, version};
use crate::{World, check, echo, kind, limits, options};
use atoll_model::Limits;
use atoll_pool::{PoolOptions, WorkerSlot};
use atoll_worker::FaultKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::ThreadId;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// One home, and its runtime.
fn one(world: &World) -> Handle {
    world.pool.open_homes(1, true).unwrap().home().unwrap()
}

/// Where connections come once there are some at `first`.
fn other(world: &World, first: &Handle) -> Handle {
    for _ in 0..4 {
        first.spawn(std::future::pending::<()>());
    }
    world.pool.homes().unwrap().home().unwrap()
}

/// A worker may have two isolates, which run at once.
fn two() -> PoolOptions {
    PoolOptions {
        isolates_per_worker: 2,
        ..options(2)
    }
}

/// The thread of a runtime that has one.
async fn thread_of(home: &Handle) -> ThreadId {
    home.spawn(async { std::thread::current().id() }).await.unwrap()
}

/// Has many events come on the home's thread, and says on which threads these were run.
async fn many_from(world: &World, home: &Handle, slot: &Arc<WorkerSlot>) -> Vec<ThreadId> {
    let before = world.stage.threads.lock().unwrap().len();
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let slot = slot.clone();
            home.spawn(async move { echo(&slot).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    world.stage.threads.lock().unwrap()[before..].to_vec()
}

/// Until all that comes on the home's thread is run on this one.
async fn settles(world: &World, home: &Handle, slot: &Arc<WorkerSlot>, thread: ThreadId) {
    while many_from(world, home, slot).await.iter().any(|of| *of != thread) {}
}

#[test]
fn what_comes_at_home_is_run_there() {
    check(options(1), |world| async move {
        let home = one(&world);
        let slot = Arc::new(world.ready("a", limits()).await);
        let here = thread_of(&home).await;
        let threads = many_from(&world, &home, &slot).await;
        assert_eq!(threads.len(), 200);
        assert!(threads.iter().all(|thread| *thread == here));
        // And what comes from elsewhere.
        echo(&slot).await;
        assert_eq!(world.stage.threads.lock().unwrap().last(), Some(&here));
        assert_eq!(world.pool.stats().started, 1);
    });
}

#[test]
fn each_home_has_an_isolate_of_its_own() {
    check(two(), |world| async move {
        let homes = world.pool.open_homes(2, true).unwrap();
        let first = homes.home().unwrap();
        let slot = Arc::new(world.ready("a", limits()).await);
        let second = other(&world, &first);
        let (here, there) = (thread_of(&first).await, thread_of(&second).await);
        assert_ne!(here, there);
        // While its own computes, what comes there is the other's, once that is made.
        let held = slot.submit(context(), event("block")).unwrap();
        world.stage.entered().await;
        let threads = many_from(&world, &second, &slot).await;
        assert!(
            threads.iter().all(|thread| *thread == there),
            "{here:?} {there:?} {threads:?}"
        );
        world.stage.open();
        held.await.unwrap();
        // Whoever is at it takes what waits, so only once both have come to rest.
        settles(&world, &second, &slot, there).await;
        settles(&world, &first, &slot, here).await;
    });
}

#[test]
fn a_home_that_computes_gets_nothing_new() {
    check(options(2), |world| async move {
        let home = one(&world);
        let slot = world.ready("a", limits()).await;
        let held = slot.submit(context(), event("block")).unwrap();
        world.stage.entered().await;
        let homes = world.pool.homes().unwrap();
        until(|| homes.home().is_none()).await;
        // What was there waits, and isolates that are wanted meanwhile have threads of their own.
        let waits = home.spawn(async {});
        let other = world.ready("b", limits()).await;
        echo(&other).await;
        assert!(!waits.is_finished());
        world.stage.open();
        held.await.unwrap();
        waits.await.unwrap();
        until(|| homes.home().is_some()).await;
    });
}

#[test]
fn a_home_outlives_its_isolates() {
    check(options(1), |world| async move {
        let home = one(&world);
        let limits = Limits { cpu_ms: 30, ..limits() };
        let slot = Arc::new(world.ready("a", limits).await);
        let here = thread_of(&home).await;
        let goes_on = Arc::new(Notify::new());
        let stays = {
            let goes_on = goes_on.clone();
            home.spawn(async move { goes_on.notified().await })
        };
        assert_eq!(kind(&slot, "loop").await, FaultKind::ExceededCpu);
        let threads = many_from(&world, &home, &slot).await;
        assert!(threads.iter().all(|thread| *thread == here));
        assert_eq!(kind(&slot, "panic").await, FaultKind::Internal);
        let threads = many_from(&world, &home, &slot).await;
        assert!(threads.iter().all(|thread| *thread == here));
        goes_on.notify_one();
        stays.await.unwrap();
        let stats = world.pool.stats();
        assert_eq!((stats.started, stats.terminated, stats.panics), (3, 1, 1));
        drop(slot);
        until(|| world.pool.stats().isolates == 0).await;
    });
}

#[test]
fn one_that_is_replaced_finishes_at_home_while_another_serves() {
    check(options(2), |world| async move {
        let home = one(&world);
        let slot = Arc::new(world.ready("a", limits()).await);
        let here = thread_of(&home).await;
        let held = slot.submit(context(), event("hold")).unwrap();
        crate::run(&slot, "spend").await.unwrap();
        until(|| world.pool.stats().spent == 1).await;
        let threads = many_from(&world, &home, &slot).await;
        assert!(threads.iter().all(|thread| *thread != here));
        world.stage.open();
        held.await.unwrap();
        until(|| world.pool.stats().isolates == 1).await;
    });
}

#[test]
fn a_turn_at_home_that_hears_no_interrupt_is_left_until_it_ends() {
    check(options(1), |world| async move {
        let home = one(&world);
        let limits = Limits { cpu_ms: 5, ..limits() };
        let slot = world.ready("a", limits).await;
        let lost = slot.submit(context(), event("deaf")).unwrap();
        world.stage.entered().await;
        let waits = home.spawn(async {});
        assert_eq!(lost.await.unwrap_err().kind, FaultKind::ExceededCpu);
        until(|| world.pool.stats().abandoned == 1).await;
        // The worker goes on elsewhere, and what was beside it once it is over.
        echo(&slot).await;
        assert!(!waits.is_finished());
        world.stage.open();
        waits.await.unwrap();
        until(|| world.pool.stats().isolates == 1).await;
        assert!(world.pool.homes().unwrap().home().is_some());
    });
}

#[test]
fn what_is_beside_it_is_not_its_cpu() {
    check(options(1), |world| async move {
        let home = one(&world);
        let slot = world.ready("a", limits()).await;
        for _ in 0..3 {
            // Two milliseconds of its own, after sixty of others'.
            let burn = home.spawn(async {
                let end_ns = thread_cpu_ns() + 60_000_000;
                while thread_cpu_ns() < end_ns {
                    std::hint::spin_loop();
                }
            });
            burn.await.unwrap();
            crate::run(&slot, "work").await.unwrap();
        }
        assert_eq!(slot.retire(Duration::from_secs(1)).await, 0);
        // Told when it has gone.
        let told_us = || world.stage.told_us.load(Ordering::SeqCst);
        until(|| told_us() >= 6_000).await;
        assert!(told_us() < 60_000, "{} us", told_us());
    });
}

#[test]
fn a_version_that_follows_moves_in() {
    check(options(1), |world| async move {
        let home = one(&world);
        let here = thread_of(&home).await;
        let old = world.ready("a", limits()).await;
        let held = old.submit(context(), event("hold")).unwrap();
        until(|| !world.stage.threads.lock().unwrap().is_empty()).await;
        let new = Arc::new(world.ready("a", limits()).await);
        let threads = many_from(&world, &home, &new).await;
        assert!(threads.iter().all(|thread| *thread != here));
        world.stage.open();
        held.await.unwrap();
        drop(old);
        until(|| world.pool.stats().isolates == 1).await;
        // With the next event, and the isolate that was made elsewhere goes.
        settles(&world, &home, &new, here).await;
        until(|| world.pool.stats().isolates == 1).await;
        assert_eq!(world.pool.stats().started, 3);
    });
}

#[test]
fn each_home_gets_one_when_events_come_there() {
    check(two(), |world| async move {
        let homes = world.pool.open_homes(2, true).unwrap();
        let first = homes.home().unwrap();
        let slot = Arc::new(world.ready("a", limits()).await);
        let second = other(&world, &first);
        let there = thread_of(&second).await;
        assert_ne!(thread_of(&first).await, there);
        settles(&world, &second, &slot, there).await;
        assert_eq!(world.pool.stats().isolates, 2);
    });
}

#[test]
fn helpers_that_go_on_keep_others_out_of_the_home() {
    check(options(1), |world| async move {
        let home = one(&world);
        let here = thread_of(&home).await;
        let limits = Limits { cpu_ms: 30, ..limits() };
        let slot = Arc::new(world.ready("a", limits).await);
        // Work of the isolate that hears of no end.
        let stage = world.stage.clone();
        let helper = home.spawn_blocking(move || stage.wait());
        assert_eq!(kind(&slot, "loop").await, FaultKind::ExceededCpu);
        for _ in 0..3 {
            let threads = many_from(&world, &home, &slot).await;
            assert!(threads.iter().all(|thread| *thread != here));
        }
        until(|| world.pool.stats().abandoned == 1).await;
        world.stage.open();
        helper.await.unwrap();
        // Then the isolate that was made elsewhere is followed by one here.
        settles(&world, &home, &slot, here).await;
        until(|| world.pool.stats().isolates == 1).await;
    });
}

#[test]
fn what_was_not_deployed_lives_elsewhere() {
    check(options(1), |world| async move {
        let home = one(&world);
        let here = thread_of(&home).await;
        let engine = world.engine.clone();
        let slot = world
            .pool
            .start_cold(engine, version("a", "ok", limits()), environment(&world.stage));
        let threads = many_from(&world, &home, &Arc::new(slot)).await;
        assert!(threads.iter().all(|thread| *thread != here));
    });
}
