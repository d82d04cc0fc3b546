//! Isolates that come and go: for a queue that stands, for others' room and memory, ahead of events.

use crate::fake::{FakeMappings, FakeMemory, ManualTime, context, environment, event, until, version};
use crate::{World, check, echo, kind, limits, options, run};
use atoll_pool::{
    COUNT_EVERY, DELAY_INTERVAL, DELAY_TARGET, DEMAND_WINDOW, EXTRA_KEPT, HELD_BACK, ISOLATE_BYTES_ASSUMED,
    PoolOptions, REST_AFTER, WorkerSlot,
};
use atoll_worker::{FaultKind, StartKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// Time passes when it is told to, and a worker may have `each` isolates.
fn timed(permits: usize, each: usize) -> (Arc<ManualTime>, PoolOptions) {
    let time = Arc::<ManualTime>::default();
    let options = PoolOptions {
        time: time.clone(),
        isolates_per_worker: each,
        ..options(permits)
    };
    (time, options)
}

/// What waits in `slot` behind busy isolates waits until that counts as a standing queue.
async fn let_it_stand(world: &World, slot: &WorkerSlot, time: &ManualTime) {
    time.pass(DELAY_TARGET);
    looked(world).await;
    for _ in 0..10 {
        time.pass(DELAY_INTERVAL / 10);
        looked(world).await;
    }
    assert!(slot.stats().in_flight > 0);
}

/// The watchdog has looked at least once since.
async fn looked(world: &World) {
    let visits = world.pool.stats().visits;
    until(|| world.pool.stats().visits >= visits + 2).await;
}

#[test]
fn a_queue_that_stands_gets_another_isolate_which_is_given_back() {
    let (time, options) = timed(2, 2);
    check(options, |world| async move {
        let slot = world.ready("a", limits()).await;
        let held = slot.submit(context(), event("block")).unwrap();
        world.stage.entered().await;
        let waiting = slot.submit(context(), event("echo")).unwrap();
        assert_eq!(world.pool.stats().grown, 0);
        let_it_stand(&world, &slot, &time).await;
        // The first isolate is blocked: only another one can answer.
        waiting.await.unwrap();
        let stats = world.pool.stats();
        assert_eq!((stats.grown, stats.started, slot.stats().isolates), (1, 2, 2));
        world.stage.open();
        held.await.unwrap();
        until(|| slot.stats().in_flight == 0).await;
        // Both are idle: the oldest takes what comes.
        for _ in 0..10 {
            echo(&slot).await;
        }
        // Time stands still: a thread that comes to rest after it has passed was never idle for long.
        until(|| slot.is_idle()).await;
        time.pass(EXTRA_KEPT - MS);
        world.pool.keep_house();
        assert_eq!(slot.stats().isolates, 2);
        time.pass(MS);
        world.pool.keep_house();
        until(|| slot.stats().isolates == 1).await;
        time.pass(100 * EXTRA_KEPT);
        world.pool.keep_house();
        echo(&slot).await;
        assert_eq!((slot.stats().isolates, world.pool.stats().started), (1, 2));
    });
}

#[test]
fn a_worker_has_no_more_isolates_than_it_may_and_none_without_a_free_permit() {
    let one = |permits: usize, each: usize, expected: u64| {
        let (time, options) = timed(permits, each);
        check(options, |world| async move {
            let slot = world.ready("a", limits()).await;
            let mut answers = Vec::new();
            for _ in 0..permits {
                answers.push(slot.submit(context(), event("block")).unwrap());
            }
            world.stage.entered().await;
            answers.push(slot.submit(context(), event("echo")).unwrap());
            for _ in 0..3 {
                let_it_stand(&world, &slot, &time).await;
            }
            assert_eq!(world.pool.stats().grown, expected, "{permits} permits, {each} each");
            world.stage.open();
            for answer in answers {
                answer.await.unwrap();
            }
        });
    };
    one(2, 1, 0);
    one(1, 2, 0);
    one(2, 2, 1);
}

#[test]
fn what_does_not_start_beside_one_that_serves_refuses_nothing() {
    let (time, options) = timed(2, 2);
    check(options, |world| async move {
        let slot = world.start("a", "once", limits());
        slot.ready().await.unwrap();
        let held = slot.submit(context(), event("block")).unwrap();
        world.stage.entered().await;
        let waiting = slot.submit(context(), event("echo")).unwrap();
        let_it_stand(&world, &slot, &time).await;
        until(|| world.pool.stats().start_failures == 1).await;
        world.stage.open();
        held.await.unwrap();
        waiting.await.unwrap();
        echo(&slot).await;
    });
}

#[test]
fn one_of_two_that_breaks_takes_only_its_own() {
    let (time, options) = timed(2, 2);
    check(options, |world| async move {
        let slot = world.ready("a", limits()).await;
        let held = slot.submit(context(), event("block")).unwrap();
        world.stage.entered().await;
        let broken = slot.submit(context(), event("panic")).unwrap();
        let after: Vec<_> = (0..20)
            .map(|_| slot.submit(context(), event("echo")).unwrap())
            .collect();
        let_it_stand(&world, &slot, &time).await;
        let fault = broken.await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Internal);
        world.stage.open();
        held.await.unwrap();
        for answer in after {
            // Those that were delivered together with it went with it, and no other.
            let _ = answer.await;
        }
        until(|| slot.stats().in_flight == 0).await;
        echo(&slot).await;
    });
}

#[test]
fn an_idle_isolate_makes_room_and_the_next_event_starts_it_again() {
    let options = PoolOptions {
        isolates_max: 1,
        ..options(1)
    };
    check(options, |world| async move {
        let first = world.ready("a", limits()).await;
        echo(&first).await;
        let second = world.ready("b", limits()).await;
        assert_eq!(first.stats().isolates, 0);
        for _ in 0..5 {
            echo(&first).await;
            echo(&second).await;
        }
        let stats = world.pool.stats();
        assert_eq!((stats.evicted, stats.started), (11, 12));
        assert_eq!(stats.overloaded, 0);
    });
}

#[test]
fn what_is_only_expected_takes_nobodys_room() {
    let options = PoolOptions {
        isolates_max: 1,
        ..options(1)
    };
    check(options, |world| async move {
        let first = world.ready("a", limits()).await;
        let second = world.ready("b", limits()).await;
        until(|| first.stats().isolates == 0).await;
        first.expect();
        echo(&second).await;
        let stats = world.pool.stats();
        assert_eq!((stats.evicted, stats.started), (1, 2));
        echo(&first).await;
    });
}

#[test]
fn when_memory_is_short_the_least_dear_idle_ones_end() {
    let memory = Arc::<FakeMemory>::default();
    // Every start takes no time: what they cost differs in nothing.
    let options = PoolOptions {
        memory: Some(memory.clone()),
        ..timed(2, 1).1
    };
    check(options, |world| async move {
        let mut slots = Vec::new();
        for events in 0..6 {
            let slot = world.ready("a", limits()).await;
            for _ in 0..10 * events {
                echo(&slot).await;
            }
            slots.push(slot);
        }
        // The one without any event is at work.
        let held = slots[0].submit(context(), event("hold")).unwrap();
        until(|| slots.iter().all(|slot| slot.stats().queued == 0)).await;
        world.pool.keep_house();
        assert_eq!(world.pool.stats().evicted, 0);
        // Ten over what it may go back to: as much as four are taken to hold.
        let mb = 1 << 20;
        assert_eq!(ISOLATE_BYTES_ASSUMED, 3 * mb);
        until_idle(&slots[1..]).await;
        memory.used.store(90 * mb, Ordering::SeqCst);
        world.pool.keep_house();
        let there = || slots.iter().map(|slot| slot.stats().isolates).collect::<Vec<_>>();
        until(|| there() == [1, 0, 0, 0, 0, 1]).await;
        world.stage.open();
        held.await.unwrap();
        for slot in &slots {
            echo(slot).await;
        }
        assert_eq!(there(), [1; 6]);
    });
}

#[test]
fn when_mappings_are_short_the_least_dear_idle_ones_end_and_none_is_added() {
    let mappings = Arc::<FakeMappings>::default();
    let (time, options) = timed(2, 1);
    let options = PoolOptions {
        mappings: Some(mappings.clone()),
        ..options
    };
    check(options, |world| async move {
        let mut slots = Vec::new();
        for events in 0..6 {
            let slot = world.ready("a", limits()).await;
            for _ in 0..=events {
                echo(&slot).await;
            }
            slots.push(slot);
        }
        world.pool.keep_house();
        assert_eq!(world.pool.stats().evicted, 0);
        until_idle(&slots).await;
        // Of 300 mappings 30 are kept back and used, which is what one of these isolates has.
        mappings.taken.store(300, Ordering::SeqCst);
        time.pass(COUNT_EVERY);
        world.pool.keep_house();
        let there = || slots.iter().map(|slot| slot.stats().isolates).collect::<Vec<_>>();
        until(|| there() == [0, 1, 1, 1, 1, 1]).await;
        assert_eq!(world.pool.stats().evicted, 1);
        // Whoever needs one now gets another's place.
        mappings.taken.store(270, Ordering::SeqCst);
        echo(&slots[0]).await;
        assert_eq!(there(), [1, 0, 1, 1, 1, 1]);
    });
}

/// An answer comes a moment before the isolate's turn is over.
async fn until_idle(slots: &[WorkerSlot]) {
    until(|| slots.iter().all(WorkerSlot::is_idle)).await;
}

#[test]
fn events_say_how_they_met_their_worker() {
    let options = PoolOptions {
        isolates_max: 1,
        ..options(1)
    };
    check(options, |world| async move {
        let notes = || std::mem::take(&mut *world.stage.notes.lock().unwrap());
        let slot = world.ready("a", limits()).await;
        echo(&slot).await;
        assert_eq!(notes(), [StartKind::Prewarmed]);
        echo(&slot).await;
        assert_eq!(notes(), []);
        drop(world.ready("b", limits()).await);
        until(|| world.pool.stats().isolates == 0).await;
        echo(&slot).await;
        assert_eq!(notes(), [StartKind::Cold]);
        drop(world.ready("b", limits()).await);
        until(|| world.pool.stats().isolates == 0).await;
        slot.expect();
        until(|| slot.stats().isolates == 1).await;
        echo(&slot).await;
        echo(&slot).await;
        assert_eq!(notes(), [StartKind::Prewarmed]);
        // One that is started because an event came.
        let engine = world.engine.clone();
        let third = world
            .pool
            .start_cold(engine, version("c", "ok", limits()), environment(&world.stage));
        drop(slot);
        echo(&third).await;
        assert_eq!(notes(), [StartKind::Cold]);
        let slot = third;
        // A new one in the place of one that broke: whoever waits for it meets no worker.
        assert_eq!(kind(&slot, "panic").await, FaultKind::Internal);
        until(|| slot.stats().isolates == 0).await;
        run(&slot, "echo").await.unwrap();
        assert_eq!(notes(), [StartKind::Cold]);
    });
}

#[test]
fn a_ready_isolate_is_handed_over_and_none_is_kept_for_ever() {
    let (time, options) = timed(2, 1);
    let options = PoolOptions {
        ready_max: 2,
        ..options
    };
    check(options, |world| async move {
        world.stage.prepares.store(true, Ordering::SeqCst);
        let first = world.ready("a", limits()).await;
        until(|| world.pool.stats().ready == 1).await;
        assert_eq!(world.pool.stats().isolates, 1);
        let second = world.ready("b", limits()).await;
        echo(&first).await;
        echo(&second).await;
        assert_eq!(world.stage.from_prepared.load(Ordering::SeqCst), 1);
        assert_eq!(world.pool.stats().ready_used, 1);
        // It is replaced, once who took it had time to start, and the one that takes its place breaks as any does.
        time.pass(HELD_BACK);
        until(|| world.pool.stats().ready == 1).await;
        assert_eq!(kind(&second, "panic").await, FaultKind::Internal);
        echo(&second).await;
        assert_eq!(world.pool.stats().ready_used, 2);
        time.pass(HELD_BACK);
        until(|| world.pool.stats().ready == 1).await;
        time.pass(5 * DEMAND_WINDOW);
        until(|| world.stage.dropped_prepared.load(Ordering::SeqCst) == 1).await;
        let stats = world.pool.stats();
        assert_eq!((stats.ready, stats.isolates, stats.panics), (0, 2, 1));
    });
}

#[test]
fn ready_isolates_go_with_their_pool() {
    let options = PoolOptions {
        ready_max: 2,
        ..options(1)
    };
    check(options, |world| async move {
        world.stage.prepares.store(true, Ordering::SeqCst);
        let slot = world.ready("a", limits()).await;
        until(|| world.pool.stats().ready == 1).await;
        drop(slot);
        let World { pool, stage, .. } = world;
        drop(pool);
        until(|| stage.dropped_prepared.load(Ordering::SeqCst) == 1).await;
    });
}

#[test]
fn an_isolate_that_is_idle_for_long_rests_once() {
    let (time, options) = timed(1, 1);
    check(options, |world| async move {
        let slot = world.ready("a", limits()).await;
        let rests = || world.stage.rests.load(Ordering::SeqCst);
        for round in 1..=3 {
            echo(&slot).await;
            until(|| slot.is_idle()).await;
            time.pass(REST_AFTER - MS);
            world.pool.keep_house();
            assert_eq!(rests(), round - 1);
            time.pass(MS);
            world.pool.keep_house();
            until(|| rests() == round && slot.is_idle()).await;
            time.pass(10 * REST_AFTER);
            world.pool.keep_house();
            until(|| slot.is_idle()).await;
            assert_eq!(rests(), round);
        }
    });
}

#[test]
fn isolates_that_became_idle_together_rest_one_after_the_other() {
    let (time, options) = timed(2, 1);
    check(options, |world| async move {
        let mut slots = Vec::new();
        for name in ["a", "b", "c", "d"] {
            slots.push(world.ready(name, limits()).await);
        }
        for slot in &slots {
            until(|| slot.is_idle()).await;
        }
        let rests = || world.stage.rests.load(Ordering::SeqCst);
        world.stage.rest_blocks.store(true, Ordering::SeqCst);
        time.pass(REST_AFTER);
        world.pool.keep_house();
        world.stage.entered().await;
        // A permit is free, and three more are due: they wait, and whoever has work does not.
        for _ in 0..3 {
            world.pool.keep_house();
            looked(&world).await;
        }
        assert_eq!(rests(), 1);
        for slot in &slots[1..] {
            echo(slot).await;
        }
        assert_eq!(rests(), 1);
        for slot in &slots[1..] {
            until(|| slot.is_idle()).await;
        }
        time.pass(REST_AFTER);
        world.stage.open();
        until(|| {
            world.pool.keep_house();
            rests() == 4
        })
        .await;
    });
}

#[test]
fn of_two_that_are_used_alike_the_larger_ends() {
    let memory = Arc::<FakeMemory>::default();
    // Every start takes no time: what they cost differs in nothing.
    let options = PoolOptions {
        memory: Some(memory.clone()),
        ..timed(2, 1).1
    };
    check(options, |world| async move {
        let slots = [world.ready("a", limits()).await, world.start("a", "large", limits())];
        for slot in slots.iter().chain(slots.iter().rev()) {
            echo(slot).await;
        }
        until_idle(&slots).await;
        memory.used.store(90 << 20, Ordering::SeqCst);
        world.pool.keep_house();
        until(|| slots[1].stats().isolates == 0).await;
        assert_eq!(slots[0].stats().isolates, 1);
    });
}
