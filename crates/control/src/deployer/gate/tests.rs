//! What the gate makes of counts.

use super::*;
use atoll_stdx::SplitMix64;

/// Requests with this many failures, most of them in this bucket and the two after it.
fn tally(requests: u64, exceptions: u64, bucket: usize) -> Tally {
    let mut latency = [0; LATENCY_BUCKETS];
    latency[bucket] = requests * 70 / 100;
    latency[bucket + 1] = requests * 22 / 100;
    latency[bucket + 2] = requests - latency[bucket] - latency[bucket + 1];
    Tally {
        requests,
        exceptions,
        latency,
        ..Tally::default()
    }
}

fn evidence(new: Tally, old: Tally) -> Evidence {
    Evidence {
        new,
        old,
        old_here: old,
        meanwhile: Tally::default(),
    }
}

fn check(new: Tally, old: Tally, baked_ms: u64, expected: &str) {
    let told = match judge(&evidence(new, old), baked_ms) {
        Verdict::Wait => "wait".to_owned(),
        Verdict::Pass { unproven: true } => "unproven".to_owned(),
        Verdict::Pass { unproven: false } => "pass".to_owned(),
        Verdict::Fail(reason) => reason,
    };
    assert!(told.contains(expected), "{told:?} is not {expected:?}");
}

#[test]
fn when_a_bake_is_over() {
    let old = tally(1_000, 5, 3);
    check(tally(199, 0, 3), old, BAKE_MIN_MS, "wait");
    check(tally(200, 0, 3), old, BAKE_MIN_MS - 1, "wait");
    check(tally(200, 0, 3), old, BAKE_MIN_MS, "pass");
    check(tally(199, 0, 3), old, BAKE_MAX_MS, "pass");
    check(tally(50, 0, 3), old, BAKE_MAX_MS, "pass");
    // Hardly anybody comes: nobody is waited for.
    check(tally(49, 0, 3), old, BAKE_MIN_MS - 1, "wait");
    check(tally(49, 0, 3), old, BAKE_MIN_MS, "unproven");
    check(Tally::default(), Tally::default(), BAKE_MIN_MS, "unproven");
    // Unless requests are on their way that make them enough.
    let some = Tally {
        begun: 51,
        settled: 49,
        ..tally(49, 0, 3)
    };
    check(some, old, BAKE_MIN_MS, "wait");
    check(Tally { settled: 50, ..some }, old, BAKE_MAX_MS, "unproven");
}

/// Few requests of which some are bad are waited with, in case more are.
#[test]
fn a_quiet_bake_goes_on_while_something_looks_bad() {
    let (old, none) = (past(2, 0), Tally::default());
    let both = |new: Tally, old: Tally, then: &str| {
        check(new, old, BAKE_MIN_MS, "wait");
        check(new, old, BAKE_HANGING_MAX_MS, then);
    };
    // One of 20 failed, of a hundred before; of a first version a tenth may.
    both(tally(20, 1, 3), old, "unproven");
    check(tally(20, 1, 3), none, BAKE_MIN_MS, "unproven");
    both(tally(20, 4, 3), none, "unproven");
    both(tally(1, 1, 3), none, "unproven");
    // As it was before.
    check(tally(20, 5, 3), tally(1_000, 250, 3), BAKE_MIN_MS, "unproven");
    // Slow ones.
    both(tally(7, 0, 9), old, "unproven");
    check(tally(7, 0, 9), none, BAKE_MIN_MS, "unproven");
    // Given up by their clients.
    let left = |n: u64| Tally {
        abandoned: n,
        ..open(n, 0, 0)
    };
    both(left(3), none, "unproven");
    both(left(3), old, "unproven");
    // And it ends as soon as there is nothing any more: a request that was open is answered.
    check(open(12, 3, 0), old, BAKE_MIN_MS, "wait");
    check(open(15, 0, 0), old, BAKE_MIN_MS + 700, "unproven");
    // More of the same while it goes on is a failure.
    check(tally(7, 7, 3), old, BAKE_MIN_MS, "wait");
    check(tally(8, 8, 3), old, BAKE_MIN_MS + 1_000, "all 8 requests failed");
    check(tally(45, 11, 3), old, BAKE_MIN_MS, "wait");
    check(tally(80, 20, 3), old, BAKE_MAX_MS, "20 of 80 requests failed");
}

#[test]
fn what_fails() {
    let old = tally(1_000, 5, 3);
    let with = |change: fn(&mut Tally)| {
        let mut new = tally(200, 1, 3);
        change(&mut new);
        new
    };
    check(tally(60, 60, 3), old, 1_000, "60 of 60 requests failed");
    check(
        tally(200, 50, 3),
        old,
        5_000,
        "50 of 200 requests failed (25.0 %, 0.5 % before)",
    );
    // Found by the decision alone.
    check(tally(200, 10, 3), old, BAKE_MIN_MS - 1, "wait");
    check(tally(200, 10, 3), old, BAKE_MIN_MS, "10 of 200 requests failed");
    check(
        with(|new| new.server_errors = 60),
        old,
        5_000,
        "61 of 200 requests failed",
    );
    check(with(|new| new.limits = 60), old, 5_000, "61 of 200 requests failed");
    check(with(|new| new.crashes = 2), old, 1_000, "crashed 2 times");
    check(with(|new| new.crashes = 1), old, BAKE_MIN_MS, "pass");
    check(with(|new| new.failed_starts = 2), old, 1_000, "failed to start 2 times");
    check(with(|new| new.failed_probes = 1), old, 1_000, "1 probes failed");
    check(tally(200, 0, 8), old, 5_000, "requests took more than");
    check(tally(200, 0, 5), old, BAKE_MIN_MS, "pass");
    // Nothing below 50 ms is slow.
    check(tally(200, 0, 4), tally(1_000, 0, 0), BAKE_MIN_MS, "pass");
    // Few requests: only if none of them went well, and they did before.
    check(tally(12, 11, 3), old, 1_000, "wait");
    check(tally(12, 12, 3), old, 1_000, "all 12 requests failed");
    check(tally(7, 7, 3), old, 1_000, "wait");
    check(tally(12, 12, 3), tally(1_000, 500, 3), 1_000, "wait");
    check(tally(12, 0, 9), old, 1_000, "all 12 requests took more than");
    // Without a past.
    check(tally(60, 60, 3), Tally::default(), 1_000, "nothing to compare with");
    check(tally(200, 20, 3), Tally::default(), BAKE_MIN_MS, "pass");
    check(tally(200, 0, 10), Tally::default(), BAKE_MIN_MS, "pass");
    // One that failed before may go on failing, but not more.
    check(tally(200, 60, 3), tally(1_000, 300, 3), BAKE_MIN_MS, "pass");
    check(
        tally(200, 120, 3),
        tally(1_000, 300, 3),
        BAKE_MIN_MS,
        "(60.0 %, 30.0 % before)",
    );
    // What fails everywhere at the time is not its fault.
    let everywhere = Evidence {
        meanwhile: tally(300, 75, 3),
        ..evidence(tally(200, 50, 3), old)
    };
    assert_eq!(judge(&everywhere, BAKE_MIN_MS), Verdict::Pass { unproven: false });
}

/// Of the old version, with this many that were late, and these seconds.
fn past(late: u64, late_seconds: u64) -> Tally {
    Tally {
        begun: 1_000,
        settled: 1_000,
        ripe: 1_000,
        late,
        late_settled: late,
        late_seconds,
        ..tally(1_000, 5, 3)
    }
}

/// So many requests ended, so many have no end, and these of them are late.
fn open(ended: u64, open: u64, late: u64) -> Tally {
    Tally {
        begun: ended + open,
        settled: ended,
        late,
        late_seconds: late * 3,
        ..tally(ended, 0, 3)
    }
}

#[test]
fn what_does_not_end() {
    let old = past(2, 0);
    let none = Tally::default();
    // None ends where all did: as soon as a few are late.
    check(open(0, 300, 0), old, 4_000, "wait");
    check(open(0, 300, 60), old, 6_000, "60 of 300 requests have no end");
    check(
        open(0, 12, 8),
        old,
        9_000,
        "none of 8 requests was answered: 8 have no end",
    );
    // One in four.
    check(
        open(210, 70, 50),
        old,
        BAKE_MIN_MS - 1,
        "50 of 280 requests have no end",
    );
    // Few: it is waited for, to the bound and no further.
    check(open(0, 1, 1), old, BAKE_MAX_MS, "wait");
    check(
        open(0, 1, 1),
        old,
        BAKE_HANGING_MAX_MS,
        "none of the 1 requests that began was answered",
    );
    check(open(0, 1, 0), old, BAKE_HANGING_MAX_MS, "unproven");
    check(open(1, 1, 1), old, BAKE_HANGING_MAX_MS, "unproven");
    // A first version too, but only then: it may be slow.
    check(open(0, 300, 60), none, BAKE_MAX_MS, "wait");
    check(
        open(0, 300, 200),
        none,
        BAKE_HANGING_MAX_MS,
        "none of the 300 requests that began was answered",
    );
    check(open(300, 30, 20), none, BAKE_MIN_MS, "pass");
    // Some always are in flight.
    check(open(250, 20, 0), old, BAKE_MIN_MS, "pass");
    // Long polls were so before: many are late, or few that stand for long.
    check(open(0, 300, 60), past(1_000, 30_000), BAKE_HANGING_MAX_MS, "unproven");
    check(open(0, 1, 1), past(3, 200), BAKE_HANGING_MAX_MS, "unproven");
    check(open(0, 12, 2), past(3, 200), BAKE_HANGING_MAX_MS, "unproven");
    // But not so many, however few they are.
    check(
        open(0, 40, 30),
        past(200, 9_000),
        BAKE_HANGING_MAX_MS,
        "30 of 40 requests have no end",
    );
    check(open(210, 70, 50), past(250, 9_000), BAKE_MIN_MS, "pass");
    // Clients that do not wait for it.
    let left = |n: u64| Tally {
        abandoned: n,
        ..open(n, 0, 0)
    };
    check(
        left(9),
        old,
        5_000,
        "none of 9 requests was answered: 0 have no end after 5 s or more, 9 were given up",
    );
    check(left(100), none, 5_000, "none of 100 requests was answered");
    check(left(7), old, BAKE_MAX_MS, "unproven");
    // It is found when it is live and unproven, too.
    let live = |new| judge_live(&evidence(new, old), true);
    assert_eq!(
        live(Tally {
            late_seconds: 9,
            ..open(0, 1, 1)
        }),
        None
    );
    assert!(
        live(Tally {
            late_seconds: 10,
            ..open(0, 1, 1)
        })
        .is_some()
    );
}

/// An immediate deployment that hangs, soon after another control plane began: of the version before it is known that it answered
/// nearly all of what it was asked within two seconds.
#[test]
fn a_short_past_with_answers_says_that_there_were_answers() {
    let old = Tally {
        begun: 15,
        settled: 13,
        ..tally(13, 0, 3)
    };
    let hangs = |late: u64| Tally {
        late_seconds: 116,
        ..open(0, 99, late)
    };
    let live = |new, old| judge_live(&evidence(new, old), true);
    let found = live(hangs(40), old).unwrap_or_default();
    assert!(found.contains("none of the 99 requests"), "{found:?}");
    // A few may be polls that all came at once; and of a first version it is not known.
    assert_eq!(live(hangs(6), old), None);
    assert_eq!(live(hangs(40), Tally::default()), None);
    // Nor of one that answered some of its requests.
    let polled = Tally {
        begun: 15,
        settled: 4,
        ..tally(4, 0, 3)
    };
    assert_eq!(live(hangs(12), polled), None);
}

/// A polled worker is deployed twice within some seconds, and the second version hangs.
#[test]
fn a_short_past_of_polls_is_no_reason_for_all_to_hang() {
    let old = Tally {
        begun: 60,
        settled: 52,
        ripe: 20,
        late: 4,
        late_seconds: 12,
        ..tally(52, 0, 3)
    };
    let live = |new| judge_live(&evidence(new, old), true);
    let found = live(open(0, 240, 200)).unwrap_or_default();
    assert!(
        found.contains("200 of 240 requests have no end after 5 s or more (20.0 % took"),
        "{found:?}"
    );
    // As many polls as before, and some more by chance.
    assert_eq!(live(open(180, 60, 60)), None);
    // What is still open may be late soon: of two thirds of a past it is not known yet.
    let open_still = Tally { settled: 20, ..old };
    assert_eq!(judge_live(&evidence(open(100, 140, 140), open_still), true), None);
}

/// A polled worker whose past is some seconds old: nothing in it can have been late yet.
#[test]
fn who_was_looked_at_for_seconds_says_nothing_of_what_is_late() {
    let mut old = Tally {
        begun: 1_000,
        settled: 800,
        ..tally(800, 5, 3)
    };
    check(open(210, 70, 50), old, BAKE_MIN_MS - 1, "wait");
    check(open(210, 70, 50), old, BAKE_HANGING_MAX_MS, "pass");
    check(open(0, 12, 8), old, 9_000, "wait");
    // The same, a little later: a fifth of it takes long, as it does now.
    (old.ripe, old.late) = (300, 60);
    check(open(210, 70, 50), old, BAKE_HANGING_MAX_MS, "pass");
    // Few requests, whose clients give up: a quarter was late before, all are now.
    let impatient = Tally {
        begun: 52,
        late: 40,
        late_settled: 10,
        abandoned: 10,
        settled: 10,
        requests: 10,
        late_seconds: 408,
        ..Tally::default()
    };
    let polled = Tally {
        ripe: 81,
        late: 23,
        late_seconds: 216,
        ..old
    };
    check(
        impatient,
        polled,
        BAKE_HANGING_MAX_MS,
        "30 of 52 requests have no end after 5 s or more, and 10 were given up",
    );
    // And one that is known to have had none.
    (old.ripe, old.late) = (300, 0);
    check(
        open(210, 70, 50),
        old,
        BAKE_MIN_MS - 1,
        "50 of 280 requests have no end",
    );
}

/// Of a past of some seconds, long requests have not come to an end yet.
#[test]
fn who_still_waited_when_the_past_ended_was_slow() {
    let with = |tally: Tally, ended: u64, hanging: u64| {
        let mut tally = Tally {
            late: ended + hanging,
            late_settled: ended,
            ..tally
        };
        tally.requests += ended;
        tally.latency[LATENCY_BUCKETS - 1] += ended;
        tally
    };
    let new = with(tally(200, 0, 3), 80, 0);
    check(
        new,
        with(tally(146, 0, 3), 4, 0),
        BAKE_MIN_MS,
        "80 of 280 requests took more than",
    );
    check(new, with(tally(146, 0, 3), 4, 21), BAKE_MIN_MS, "pass");
}

/// Clients that wait for three seconds, and do not get what they wait for in a fifth of their requests anyway.
#[test]
fn what_clients_give_up_counts_by_how_much_more_it_is() {
    let with = |abandoned: u64| Tally {
        abandoned,
        begun: 300,
        settled: 280,
        ..tally(280, 0, 3)
    };
    let old = Tally {
        ripe: 9_000,
        abandoned: 1_700,
        ..tally(9_000, 20, 3)
    };
    check(
        with(280),
        old,
        3_000,
        "280 of 280 requests were given up by their clients (100.0 %, 18.9 % before)",
    );
    check(with(60), old, BAKE_MIN_MS, "pass");
    check(with(110), old, BAKE_MIN_MS, "pass");
    check(with(140), old, BAKE_MIN_MS, "140 of 280 requests were given up");
    check(with(140), Tally::default(), BAKE_MIN_MS, "pass");
}

/// Two PoPs with two requests a second each, a fifth of them long polls, of clients that wait for 20 s; PoPs have died lately, and with
/// them the polls that were open. Of a past like that hardly anybody is known to have gone away.
#[test]
fn who_still_waits_may_have_given_up_before() {
    let new = Tally {
        begun: 73,
        settled: 71,
        ripe: 74,
        late: 23,
        late_settled: 20,
        late_seconds: 332,
        abandoned: 20,
        ..tally(71, 0, 3)
    };
    let old = Tally {
        begun: 184,
        settled: 150,
        ripe: 72,
        late: 25,
        late_settled: 4,
        late_seconds: 158,
        abandoned: 4,
        ..tally(150, 0, 3)
    };
    assert_eq!(judge_live(&evidence(new, old), true), None);
    // Nobody waited any more: then it is a change.
    let old = Tally { settled: 184, ..old };
    let found = judge_live(&evidence(new, old), true).unwrap_or_default();
    assert!(found.contains("20 of 71 requests were given up"), "{found:?}");
}

#[test]
fn calls_and_crons_that_fail_count() {
    let new = Tally {
        calls: 60,
        exceptions: 60,
        ..Tally::default()
    };
    check(new, tally(1_000, 5, 3), 1_000, "60 of 60 requests failed");
    let new = Tally {
        calls: 8,
        exceptions: 8,
        ..Tally::default()
    };
    check(new, Tally::default(), 1_000, "all 8 requests failed");
}

#[test]
fn what_takes_back_what_is_live() {
    let old = tally(1_000, 5, 3);
    let check = |new: Tally, unproven, fails: bool| {
        assert_eq!(judge_live(&evidence(new, old), unproven).is_some(), fails, "{new:?}");
    };
    check(tally(1_000, 200, 3), false, false);
    check(tally(1_000, 400, 3), false, true);
    check(tally(1_000, 200, 3), true, true);
    check(tally(40, 40, 3), false, false);
    check(tally(40, 40, 3), true, true);
    check(tally(1_000, 0, 9), false, false);
    check(tally(1_000, 0, 9), true, true);
}

/// The promise of the module's text, by simulation: requests that fail independently, looked at every 10 of them up to 200 and
/// then decided. Far more than 200 good deployments, of which none should fail; and bad ones, which should.
#[test]
fn false_alarms_are_rare_and_bad_ones_are_found() {
    let mut rng = SplitMix64::new(6);
    let (mut alarms, mut missed) = (0, 0);
    for round in 0..4_000u64 {
        let usual = [0, 20, 100, 500, 2_000][(round % 5) as usize];
        let bad = round % 4 == 3;
        let fails = if bad { usual + 2_500 } else { usual };
        let draw = |requests: u64, of_10_000: u64, rng: &mut SplitMix64| {
            let failed = (0..requests).filter(|_| rng.below(10_000) < of_10_000).count() as u64;
            let slow = |rng: &mut SplitMix64| 2 + usize::from(rng.below(10) == 0) + usize::from(rng.below(50) == 0) * 4;
            let mut tally = tally(requests, failed, 2);
            tally.latency = [0; LATENCY_BUCKETS];
            for _ in 0..requests {
                tally.latency[slow(rng)] += 1;
            }
            tally
        };
        let old = draw(500, usual, &mut rng);
        let mut new = Tally::default();
        let mut failed = false;
        for look in 1..=20 {
            new.add(&draw(10, fails, &mut rng));
            let baked = if look == 20 { BAKE_MIN_MS } else { 1_000 };
            if matches!(judge(&evidence(new, old), baked), Verdict::Fail(_)) {
                failed = true;
                break;
            }
        }
        alarms += u32::from(!bad && failed);
        missed += u32::from(bad && !failed);
    }
    // 3,000 good ones: 1.6 would be the bound's expectation; the tests are conservative.
    assert!(alarms <= 2, "{alarms} false alarms");
    // 1,000 bad ones: of those that go from 20 % to 45 %, 1 of 1,000 looks like no half more.
    assert!(missed <= 2, "{missed} missed");
}
