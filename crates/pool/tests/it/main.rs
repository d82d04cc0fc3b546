//! The pool with an engine that misbehaves on demand. Every test ends by its own conditions; a hang is a failure by the
//! deadline in [`check`].

mod fake;
mod homes;
mod warm;

use atoll_model::{Limit, Limits};
use atoll_pool::{AbandonHook, LEFT_MAX, Pool, PoolOptions, Priority, Refusal, ThreadId, WorkerSlot};
use atoll_worker::{Fault, FaultKind, Outcome};
use fake::{FakeEngine, Stage, context, environment, event, until, version};
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(30);

/// Demoted threads stay demoted, as without privilege.
#[derive(Debug)]
struct OneWay;

impl Priority for OneWay {
    fn lower(&self, _: ThreadId) -> bool {
        true
    }
    fn restore(&self, _: ThreadId) -> bool {
        false
    }
}

struct World {
    pool: Pool,
    engine: Arc<FakeEngine>,
    stage: Arc<Stage>,
}

impl World {
    fn start(&self, tenant: &str, start: &str, limits: Limits) -> WorkerSlot {
        let engine = self.engine.clone();
        self.pool
            .start(engine, version(tenant, start, limits), environment(&self.stage))
    }

    async fn ready(&self, tenant: &str, limits: Limits) -> WorkerSlot {
        let slot = self.start(tenant, "ok", limits);
        slot.ready().await.unwrap();
        slot
    }
}

fn check<F: Future<Output = ()>>(options: PoolOptions, test: impl FnOnce(World) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let stage = Arc::<Stage>::default();
    let world = World {
        pool: Pool::new(options).unwrap(),
        engine: Arc::new(FakeEngine { stage: stage.clone() }),
        stage,
    };
    runtime.block_on(async {
        tokio::time::timeout(DEADLINE, test(world))
            .await
            .expect("the test ends before its deadline");
    });
}

fn options(permits: usize) -> PoolOptions {
    PoolOptions {
        permits,
        ..PoolOptions::default()
    }
}

/// Permits are never taken back.
fn patient(permits: usize) -> PoolOptions {
    PoolOptions {
        turn_max: DEADLINE,
        ..options(permits)
    }
}

fn limits() -> Limits {
    Limits::default()
}

async fn run(slot: &WorkerSlot, what: &str) -> Result<Outcome, Fault> {
    slot.dispatch(context(), event(what)).await
}

async fn kind(slot: &WorkerSlot, what: &str) -> FaultKind {
    run(slot, what).await.expect_err(what).kind
}

async fn echo(slot: &WorkerSlot) {
    assert!(matches!(
        run(slot, "echo").await,
        Ok(Outcome::Scheduled { no_retry: true })
    ));
}

#[test]
fn jobs_are_answered() {
    check(options(2), |world| async move {
        let slot = world.ready("a", limits()).await;
        let answers: Vec<_> = (0..1_000)
            .map(|_| slot.submit(context(), event("echo")).unwrap())
            .collect();
        for answer in answers {
            answer.await.unwrap();
        }
        until(|| slot.stats().in_flight == 0).await;
        let stats = world.pool.stats();
        assert_eq!((stats.jobs, stats.started, stats.isolates), (1_000, 1, 1));
    });
}

#[test]
fn timers_run_on_the_isolates_thread() {
    check(options(1), |world| async move {
        let slot = world.ready("a", limits()).await;
        run(&slot, "nap").await.unwrap();
    });
}

#[test]
fn a_tenant_with_many_isolates_is_one_tenant_in_the_queue() {
    check(patient(1), |world| async move {
        let gate = world.ready("gate", limits()).await;
        let mut hogs = Vec::new();
        for _ in 0..8 {
            hogs.push(world.ready("hog", limits()).await);
        }
        let neighbour = world.ready("neighbour", limits()).await;
        // The only permit is held while everybody queues, the neighbour last.
        let held = gate.submit(context(), event("block")).unwrap();
        world.stage.entered().await;
        let mut answers = Vec::new();
        for hog in &hogs {
            answers.push(hog.submit(context(), event("work")).unwrap());
        }
        until(|| world.pool.stats().waiting == 8).await;
        answers.push(neighbour.submit(context(), event("echo")).unwrap());
        until(|| world.pool.stats().waiting == 9).await;
        world.stage.open();
        held.await.unwrap();
        for answer in answers {
            answer.await.unwrap();
        }
        let order = world.stage.order.lock().unwrap().clone();
        assert_eq!(order.len(), 10, "{order:?}");
        // A turn of the hog's uses more than the quantum, so after one of its eight the neighbour is next.
        let at = order.iter().position(|who| who == "neighbour echo").unwrap();
        assert_eq!(at, 2, "{order:?}");
    });
}

#[test]
fn a_stuck_turn_loses_its_permit_and_neighbours_go_on() {
    check(options(1), |world| async move {
        let stuck = world.ready("stuck", limits()).await;
        let neighbour = world.ready("neighbour", limits()).await;
        let held = stuck.submit(context(), event("block")).unwrap();
        world.stage.entered().await;
        for _ in 0..100 {
            echo(&neighbour).await;
        }
        assert_eq!(world.pool.stats().revoked, 1);
        world.stage.open();
        held.await.unwrap();
        echo(&stuck).await;
    });
}

#[test]
fn a_thread_that_stays_demoted_is_replaced() {
    let options = PoolOptions {
        priority: Arc::new(OneWay),
        ..options(1)
    };
    check(options, |world| async move {
        let stuck = world.ready("stuck", limits()).await;
        let neighbour = world.ready("neighbour", limits()).await;
        let held = stuck.submit(context(), event("block")).unwrap();
        world.stage.entered().await;
        echo(&neighbour).await;
        world.stage.open();
        held.await.unwrap();
        until(|| world.pool.stats().replaced == 1).await;
        echo(&stuck).await;
        until(|| world.pool.stats().isolates == 2).await;
        assert_eq!(world.pool.stats().started, 3);
    });
}

#[test]
fn an_endless_turn_ends_at_its_cpu_limit() {
    check(options(1), |world| async move {
        let limits = Limits { cpu_ms: 30, ..limits() };
        let slot = world.ready("a", limits).await;
        assert_eq!(kind(&slot, "loop").await, FaultKind::ExceededCpu);
        echo(&slot).await;
        let stats = world.pool.stats();
        assert_eq!((stats.terminated, stats.started), (1, 2));
    });
}

#[test]
fn a_turn_that_hears_no_interrupt_is_left_behind() {
    check(options(1), |world| async move {
        let limits = Limits { cpu_ms: 5, ..limits() };
        let slot = world.ready("a", limits).await;
        let lost = slot.submit(context(), event("deaf")).unwrap();
        // Its thread does not come back, and who waits does not wait for that.
        let fault = lost.await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::ExceededCpu);
        let hit = fault.limit.unwrap();
        assert_eq!((hit.limit, hit.value), (Limit::Cpu, 5));
        until(|| world.pool.stats().abandoned == 1).await;
        assert_eq!(slot.stats().in_flight, 0);
        echo(&slot).await;
        world.stage.open();
        until(|| world.pool.stats().isolates == 1).await;
    });
}

#[test]
fn what_cannot_be_ended_is_bounded() {
    check(options(1), |world| what_cannot_be_ended(world, 0));
}

/// A ready isolate is none for a worker that has too much left.
#[test]
fn what_cannot_be_ended_is_bounded_beside_ready_isolates() {
    let options = PoolOptions {
        ready_max: 1,
        ..options(1)
    };
    check(options, |world| what_cannot_be_ended(world, 1));
}

async fn what_cannot_be_ended(world: World, ready: u64) {
    world.stage.prepares.store(ready > 0, Ordering::SeqCst);
    let limits = Limits { cpu_ms: 5, ..limits() };
    let slot = world.ready("a", limits.clone()).await;
    let neighbour = world.ready("b", limits).await;
    for count in 1..=u64::from(LEFT_MAX) {
        run(&slot, "deaf").await.unwrap_err();
        until(|| world.pool.stats().abandoned == count).await;
    }
    until(|| world.pool.stats().ready as u64 == ready).await;
    let fault = run(&slot, "echo").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Overloaded);
    let hit = fault.limit.unwrap();
    assert_eq!((hit.limit, hit.value), (Limit::LeftBehind, LEFT_MAX.into()));
    echo(&neighbour).await;
    // It gets another as soon as one has ended.
    world.stage.open();
    let deadline = Instant::now() + Duration::from_secs(10);
    while run(&slot, "echo").await.is_err() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_debugged_turn_is_neither_ended_nor_lowered() {
    check(options(1), |world| async move {
        let limits = Limits { cpu_ms: 5, ..limits() };
        let slot = world.start("a", "debugged", limits);
        slot.ready().await.unwrap();
        let stuck = slot.submit(context(), event("deaf")).unwrap();
        world.stage.entered().await;
        let other = world.ready("b", Limits::default()).await;
        // Many times the limit, in which the other is served: the permit is taken back all the same.
        for _ in 0..50 {
            run(&other, "nap").await.unwrap();
        }
        world.stage.open();
        stuck.await.unwrap();
        echo(&slot).await;
        let stats = world.pool.stats();
        assert!(stats.revoked >= 1, "{stats:?}");
        assert_eq!((stats.terminated, stats.abandoned, stats.replaced), (0, 0, 0));
    });
}

#[test]
fn a_process_made_for_it_is_told_that_a_turn_does_not_end() {
    type Told = Vec<(String, Option<Limit>)>;
    let told: Arc<Mutex<Told>> = Arc::default();
    let hook = {
        let told = told.clone();
        AbandonHook(Arc::new(move |version, fault| {
            let limit = fault.limit.map(|hit| hit.limit);
            told.lock().unwrap().push((version.name.to_string(), limit));
        }))
    };
    let options = PoolOptions {
        on_abandon: Some(hook),
        ..options(1)
    };
    check(options, |world| async move {
        let limits = Limits { cpu_ms: 5, ..limits() };
        let slot = world.ready("a", limits).await;
        let lost = slot.submit(context(), event("deaf")).unwrap();
        until(|| !told.lock().unwrap().is_empty()).await;
        assert_eq!(*told.lock().unwrap(), [("w".to_owned(), Some(Limit::Cpu))]);
        lost.await.unwrap_err();
        world.stage.open();
    });
}

#[test]
fn an_event_is_ended_when_the_rest_of_its_budget_is_used() {
    check(options(1), |world| async move {
        // The worker's limit alone would let it run for half a minute.
        let slot = world.ready("a", limits()).await;
        let fault = run(&slot, "rest of budget").await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::ExceededCpu);
        let hit = fault.limit.unwrap();
        assert_eq!((hit.limit, hit.value), (Limit::Cpu, Limits::CPU_MS_DEFAULT));
        echo(&slot).await;
    });
}

#[test]
fn an_instance_that_asks_is_looked_at() {
    check(options(1), |world| async move {
        let slot = world.ready("a", limits()).await;
        run(&slot, "look").await.unwrap();
    });
}

#[test]
fn an_isolate_over_the_soft_limit_finishes_and_another_takes_its_place() {
    check(options(2), |world| async move {
        let slot = world.ready("a", limits()).await;
        let held = slot.submit(context(), event("hold")).unwrap();
        run(&slot, "spend").await.unwrap();
        until(|| world.pool.stats().spent == 1).await;
        echo(&slot).await;
        let stats = world.pool.stats();
        assert_eq!((stats.started, stats.spent), (2, 1));
        world.stage.open();
        held.await.unwrap();
        until(|| world.pool.stats().isolates == 1).await;
    });
}

#[test]
fn a_tenants_workers_are_counted_together() {
    let options = PoolOptions {
        tenant_in_flight_max: 2,
        ..options(2)
    };
    check(options, |world| async move {
        let (first, second) = (world.ready("a", limits()).await, world.ready("a", limits()).await);
        let other = world.ready("b", limits()).await;
        let held = [
            first.submit(context(), event("hold")).unwrap(),
            second.submit(context(), event("hold")).unwrap(),
        ];
        for slot in [&first, &second] {
            let fault = run(slot, "echo").await.unwrap_err();
            assert_eq!(fault.kind, FaultKind::Overloaded);
            let hit = fault.limit.unwrap();
            assert_eq!((hit.limit, hit.value), (Limit::TenantInFlight, 2));
        }
        echo(&other).await;
        world.stage.open();
        for answer in held {
            answer.await.unwrap();
        }
        until(|| first.stats().in_flight + second.stats().in_flight == 0).await;
        echo(&first).await;
        echo(&second).await;
    });
}

#[test]
fn isolates_that_the_process_has_no_room_for_are_refused() {
    let options = PoolOptions {
        isolates_max: 1,
        ..options(1)
    };
    check(options, |world| async move {
        let slot = world.ready("a", limits()).await;
        let held = slot.submit(context(), event("hold")).unwrap();
        until(|| slot.stats().queued == 0).await;
        let fault = world.start("b", "ok", limits()).ready().await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Overloaded);
        assert_eq!(fault.limit.unwrap().limit, Limit::Isolates);
        echo(&slot).await;
        world.stage.open();
        held.await.unwrap();
        drop(slot);
        until(|| world.pool.stats().isolates == 0).await;
        world.ready("b", limits()).await;
    });
}

#[test]
fn start_up_failures_reach_every_job() {
    let one = |start: &'static str, expected: FaultKind, text: &'static str| {
        check(options(1), |world| async move {
            let limits = Limits {
                startup_ms: 30,
                ..limits()
            };
            let slot = world.start("a", start, limits);
            let early: Vec<_> = (0..3).map(|_| slot.submit(context(), event("echo"))).collect();
            let fault = slot.ready().await.unwrap_err();
            assert_eq!(fault.kind, expected, "{start}");
            assert!(fault.message.contains(text), "{start}: {fault}");
            for answer in early {
                match answer {
                    Ok(answer) => assert_eq!(answer.await.unwrap_err().kind, expected, "{start}"),
                    Err(Refusal::Fault(fault)) => assert_eq!(fault.kind, expected, "{start}"),
                    Err(other) => panic!("{start}: {other:?}"),
                }
            }
            assert_eq!(slot.stats().in_flight, 0, "{start}");
            // At most one turn for the start, each job and the end: no spinning meanwhile.
            assert!(world.stage.polls.load(Ordering::SeqCst) <= 8, "{start}");
            assert!(world.pool.stats().start_failures >= 1, "{start}");
            let other = world.ready("b", Limits::default()).await;
            echo(&other).await;
        });
    };
    one("refuse", FaultKind::Startup, "refused");
    one("fail", FaultKind::Startup, "no such module");
    one("spin", FaultKind::Startup, "within 30 ms");
    one("hang", FaultKind::Startup, "within 30 ms");
    one("panic", FaultKind::Internal, "at start-up");
    one("panic-at-once", FaultKind::Internal, "cannot make it");
}

#[test]
fn a_start_that_is_cut_off_is_told() {
    check(options(1), |world| async move {
        let slot = world.start("a", "hang", limits());
        // Before its first turn it would go as one that has nothing to finish: none is ended then.
        until(|| world.stage.polls.load(Ordering::SeqCst) > 0).await;
        assert_eq!(slot.retire(Duration::ZERO).await, 1);
        assert_eq!(slot.ready().await.unwrap_err().kind, FaultKind::Draining);
        until(|| world.pool.stats().isolates == 0).await;
    });
}

#[test]
fn a_panic_costs_the_instance_and_nothing_else() {
    check(options(1), |world| async move {
        let slot = world.ready("a", limits()).await;
        let neighbour = world.ready("b", limits()).await;
        assert_eq!(kind(&slot, "panic").await, FaultKind::Internal);
        echo(&neighbour).await;
        echo(&slot).await;
        assert_eq!(world.pool.stats().panics, 1);
    });
}

#[test]
fn a_worker_that_breaks_again_and_again_is_left_alone_for_a_while() {
    check(options(1), |world| async move {
        let slot = world.ready("a", limits()).await;
        let mut kinds = Vec::new();
        while kinds.last() != Some(&FaultKind::Overloaded) {
            kinds.push(kind(&slot, "panic").await);
            assert!(kinds.len() < 100, "never left alone");
        }
        // The pause ends.
        while run(&slot, "echo").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn a_worker_that_works_in_between_is_not_left_alone() {
    check(options(1), |world| async move {
        let slot = world.ready("a", limits()).await;
        for _ in 0..20 {
            echo(&slot).await;
            assert_eq!(kind(&slot, "panic").await, FaultKind::Internal);
        }
    });
}

#[test]
fn one_event_too_many_is_refused() {
    check(options(1), |world| async move {
        let limits = Limits {
            in_flight_max: 2,
            ..limits()
        };
        let slot = world.ready("a", limits).await;
        let held: Vec<_> = (0..2).map(|_| slot.submit(context(), event("hold")).unwrap()).collect();
        assert_eq!(kind(&slot, "echo").await, FaultKind::Overloaded);
        world.stage.open();
        for answer in held {
            answer.await.unwrap();
        }
        until(|| slot.stats().in_flight == 0).await;
        echo(&slot).await;
        assert_eq!(world.pool.stats().overloaded, 1);
    });
}

#[test]
fn a_forgotten_answer_still_counts_as_in_flight() {
    check(options(1), |world| async move {
        let slot = world.ready("a", limits()).await;
        drop(slot.submit(context(), event("hold")).unwrap());
        until(|| slot.stats().queued == 0).await;
        assert_eq!(slot.stats().in_flight, 1);
        world.stage.open();
        until(|| slot.stats().in_flight == 0).await;
    });
}

#[test]
fn a_cancelled_job_does_not_run() {
    check(patient(1), |world| async move {
        let slot = world.ready("a", limits()).await;
        let held = slot.submit(context(), event("block")).unwrap();
        world.stage.entered().await;
        let ctx = context();
        let cancelled = slot.submit(ctx.clone(), event("echo")).unwrap();
        ctx.cancel.cancel();
        world.stage.open();
        held.await.unwrap();
        assert_eq!(cancelled.await.unwrap_err().kind, FaultKind::Canceled);
        assert_eq!(*world.stage.order.lock().unwrap(), ["a block"]);
    });
}

#[test]
fn retirement_finishes_what_is_in_flight_and_gives_later_events_back() {
    check(options(1), |world| async move {
        let slot = Arc::new(world.ready("a", limits()).await);
        let held = slot.submit(context(), event("hold")).unwrap();
        let retiring = tokio::spawn({
            let slot = slot.clone();
            async move { slot.retire(LONG).await }
        });
        tokio::task::yield_now().await;
        // Who still has the slot is served while it is there.
        if let Ok(late) = slot.submit(context(), event("echo")) {
            late.await.unwrap();
        }
        world.stage.open();
        held.await.unwrap();
        assert_eq!(retiring.await.unwrap(), 0);
        assert!(matches!(
            slot.submit(context(), event("echo")),
            Err(Refusal::Retired(..))
        ));
        until(|| world.pool.stats().isolates == 0).await;
    });
}

#[test]
fn retirement_ends_what_is_unfinished_after_its_grace() {
    let one = |what: &'static str| {
        check(options(1), |world| async move {
            let slot = world.ready("a", limits()).await;
            let held = slot.submit(context(), event(what)).unwrap();
            until(|| slot.stats().queued == 0).await;
            assert_eq!(slot.retire(Duration::from_millis(5)).await, 1, "{what}");
            assert_eq!(held.await.unwrap_err().kind, FaultKind::Draining, "{what}");
            until(|| world.pool.stats().isolates == 0).await;
        });
    };
    one("hold");
    one("loop");
}

#[test]
fn a_drained_pool_has_no_isolates() {
    check(options(2), |world| async move {
        let mut slots = Vec::new();
        for tenant in ["a", "b", "c"] {
            slots.push(world.ready(tenant, limits()).await);
        }
        slots.push(world.start("d", "fail", limits()));
        let answers: Vec<_> = slots[..3]
            .iter()
            .map(|slot| slot.submit(context(), event("nap")).unwrap())
            .collect();
        assert_eq!(world.pool.drain(LONG).await, 0);
        for answer in answers {
            answer.await.unwrap();
        }
        until(|| world.pool.stats().isolates == 0).await;
        assert_eq!(kind(&slots[0], "echo").await, FaultKind::Draining);
    });
}

#[test]
fn a_dropped_slot_goes_away_by_itself() {
    check(options(1), |world| async move {
        let slot = world.ready("a", limits()).await;
        let answer = slot.submit(context(), event("echo")).unwrap();
        drop(slot);
        answer.await.unwrap();
        until(|| world.pool.stats().isolates == 0).await;
    });
}

#[test]
fn a_slot_that_outlives_its_pool_refuses() {
    check(options(1), |world| async move {
        let slot = world.ready("a", limits()).await;
        drop(world.pool);
        // The isolate still serves; once it broke, no new one comes.
        assert_eq!(kind(&slot, "panic").await, FaultKind::Internal);
        until(|| slot.stats().isolates == 0).await;
        assert_eq!(kind(&slot, "echo").await, FaultKind::Draining);
    });
}
