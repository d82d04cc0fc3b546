//! The health gate: is what a new version does worse than what the old one did?
//!
//! Counts alone go in, a verdict comes out. While a deployment bakes it is looked at with every report; a *look* only finds
//! what is beyond doubt ([`LOOK_ALPHA`]), the *decision* at the end is more sensitive ([`DECISION_ALPHA`]). Nothing is called a
//! failure for being significant alone: it must be large, too ([`RISE_MIN`], [`SLOW_RISE_MIN`]), because with enough requests
//! any two things differ.
//!
//! **False alarms.** Were requests independent, a good deployment would be failed with a probability of at most
//! `tests * (looks * LOOK_ALPHA + DECISION_ALPHA)` by the union bound, whatever its rate of failures. There are 3 tests (failures,
//! uncaught failures, slowness), at most 200 looks in a bake of 20 s and 3,000 in a watch of 5 minutes, though only a report each
//! second makes a look a new one: 20 and 300. So 3 * (320 * 1e-7 + 1e-4) = 4.0e-4, 1 of 2,500; for 200 good deployments 8 % that
//! one is failed. That is an upper bound: Fisher's test is conservative with few failures, and the required size of the rise is
//! not counted. Requests are not independent, either: what comes in bursts is met by the size that is required, and by what the
//! old version does elsewhere meanwhile.

use super::lanes::{LATENCY_BOUNDS_MS, LATENCY_BUCKETS, Tally};
use super::statistics::{binomial, fisher};

/// A bake lasts at least this long, milliseconds.
pub const BAKE_MIN_MS: u64 = 10_000;
/// After this long what is known decides, milliseconds.
pub const BAKE_MAX_MS: u64 = 20_000;
/// So many requests are wanted for a decision.
pub const REQUESTS_WANTED: u64 = 200;
/// With fewer, only probes and crashes decide, and the deployment is unproven.
pub const REQUESTS_MIN: u64 = 50;
/// So many requests without a single good one among them count as a failed probe.
pub const UNANIMOUS_MIN: u64 = 8;
/// The significance of one look among many.
pub const LOOK_ALPHA: f64 = 1e-7;
/// The significance of the decision at the end of a bake.
pub const DECISION_ALPHA: f64 = 1e-4;
/// By how much the share of failed requests must rise, for the decision.
pub const RISE_MIN: f64 = 0.03;
/// And for a look: a burst of failures that came to everybody is soon thinned by what follows.
pub const LOOK_RISE_MIN: f64 = 0.15;
/// And by which factor.
pub const RISE_FACTOR: f64 = 1.5;
/// What counts as usual for a worker that nothing is known of.
pub const USUAL_ERRORS: f64 = 0.10;
/// By how much the share of slow requests must rise.
pub const SLOW_RISE_MIN: f64 = 0.25;
/// What is faster is never slow, milliseconds: one of [`LATENCY_BOUNDS_MS`].
pub const SLOW_MIN_MS: u64 = 50;
/// Slow is what takes longer than nearly all requests of the old version did, this many buckets (factors of about two) beyond.
const SLOW_BUCKETS: usize = 1;
/// The same, if the old version's requests were answered elsewhere.
const SLOW_BUCKETS_ELSEWHERE: usize = 2;
/// For so long after it began latencies are not counted: what starts cold is slow for a moment, milliseconds.
pub const WARM_UP_MS: u64 = 4_000;
/// So many crashes or failed starts fail a bake that had requests.
pub const FALLS_MAX: u64 = 2;
/// So many fail a deployment that is live.
pub const FALLS_LIVE: u64 = 5;
/// By how much the share of failed requests of a deployment that is live must rise.
pub const CLEAR_RISE: f64 = 0.25;

/// What is known of both versions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence {
    /// The new one, since it began.
    pub new: Tally,
    /// The old one, before and meanwhile, wherever.
    pub old: Tally,
    /// The part of `old` from the canary itself: places differ in latency.
    pub old_here: Tally,
    /// The old one elsewhere, while the new one bakes: what fails there as well is not the new one's fault.
    pub meanwhile: Tally,
    /// Requests come to this worker on the canary, or did until now: it is worth waiting for them.
    pub has_traffic: bool,
}

/// What comes of a bake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not enough is known yet.
    Wait,
    /// It goes on to everybody.
    Pass {
        /// Nearly nothing is known of it.
        unproven: bool,
    },
    /// It goes back, and why.
    Fail(String),
}

/// How sure one must be, and of how much.
#[derive(Debug, Clone, Copy)]
struct Level {
    alpha: f64,
    rise: f64,
}

const LOOK: Level = Level {
    alpha: LOOK_ALPHA,
    rise: LOOK_RISE_MIN,
};
const DECISION: Level = Level {
    alpha: DECISION_ALPHA,
    rise: RISE_MIN,
};
const CLEAR: Level = Level {
    alpha: LOOK_ALPHA,
    rise: CLEAR_RISE,
};

/// Judges a bake that has lasted this long.
pub fn judge(evidence: &Evidence, baked_ms: u64) -> Verdict {
    let Evidence { new, .. } = evidence;
    if let Some(reason) = fallen(evidence, FALLS_MAX, LOOK_ALPHA).or_else(|| failing(evidence, LOOK)) {
        return Verdict::Fail(reason);
    }
    let over = baked_ms >= BAKE_MAX_MS
        || baked_ms >= BAKE_MIN_MS && (new.requests >= REQUESTS_WANTED || new.requests == 0 && !evidence.has_traffic);
    if !over {
        return Verdict::Wait;
    }
    match fallen(evidence, FALLS_MAX, DECISION_ALPHA).or_else(|| failing(evidence, DECISION)) {
        Some(reason) => Verdict::Fail(reason),
        None => Verdict::Pass {
            unproven: new.requests < REQUESTS_MIN,
        },
    }
}

/// Judges a deployment that is on its way or live. One that is unproven is still judged as in its bake.
pub fn judge_live(evidence: &Evidence, unproven: bool) -> Option<String> {
    if unproven {
        return fallen(evidence, FALLS_MAX, LOOK_ALPHA).or_else(|| failing(evidence, LOOK));
    }
    fallen(evidence, FALLS_LIVE, LOOK_ALPHA).or_else(|| clearly_failing(evidence))
}

/// Judges a change that is no deployment by the requests of those whom it concerns.
pub fn judge_calm(evidence: &Evidence) -> Option<String> {
    clearly_failing(evidence)
}

/// Probes that failed, isolates that died, starts that failed.
fn fallen(evidence: &Evidence, most: u64, alpha: f64) -> Option<String> {
    let Evidence { new, old, .. } = evidence;
    if new.failed_probes > 0 {
        return Some(format!("{} probes failed", new.failed_probes));
    }
    let falls = new.falls();
    // Nearly without requests, one is too many.
    let most = if new.requests < REQUESTS_MIN { 1 } else { most };
    if falls < most {
        return None;
    }
    // The old one falls as well: then it is a matter of how often.
    if old.falls() > 0
        && fisher(
            falls,
            new.requests.max(falls),
            old.falls(),
            old.requests.max(old.falls()),
        ) > alpha
    {
        return None;
    }
    Some(format!(
        "it crashed {} times and failed to start {} times within {} requests",
        new.crashes, new.failed_starts, new.requests
    ))
}

fn failing(evidence: &Evidence, level: Level) -> Option<String> {
    if evidence.new.requests < REQUESTS_MIN {
        return unanimous(evidence);
    }
    risen("failed", evidence, Tally::errors, level)
        .or_else(|| risen("ended by an exception or a limit", evidence, Tally::uncaught, level))
        .or_else(|| slower(evidence, level.alpha))
}

fn clearly_failing(evidence: &Evidence) -> Option<String> {
    if evidence.new.requests < REQUESTS_MIN {
        return None;
    }
    risen("failed", evidence, Tally::errors, CLEAR)
}

/// With few requests: none was answered as it should, where nearly all were before.
fn unanimous(evidence: &Evidence) -> Option<String> {
    let Evidence { new, old, .. } = evidence;
    let n = new.requests;
    if n < UNANIMOUS_MIN {
        return None;
    }
    let well_before = old.requests < REQUESTS_MIN || rate(old.errors(), old.requests) < USUAL_ERRORS;
    if new.errors() == n && well_before {
        return Some(format!("all {n} requests failed"));
    }
    let (from, bound) = slow_from(evidence)?;
    if above(new, from) == n && rate(above(old, from), above(old, 0)) < USUAL_ERRORS {
        return Some(format!("all {n} requests took more than {bound} ms"));
    }
    None
}

fn rate(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// Is the share of failures larger than before, beyond chance and by enough to matter?
fn risen(what: &str, evidence: &Evidence, count: impl Fn(&Tally) -> u64, level: Level) -> Option<String> {
    let Evidence {
        new, old, meanwhile, ..
    } = evidence;
    let (failed, all) = (count(new), new.requests);
    let (now, before) = (rate(failed, all), rate(count(old), old.requests));
    let known = old.requests >= REQUESTS_MIN;
    let mut usual = if known { before } else { before.max(USUAL_ERRORS) };
    if meanwhile.requests >= REQUESTS_MIN {
        usual = usual.max(rate(count(meanwhile), meanwhile.requests));
    }
    if now < usual + level.rise || now < usual * RISE_FACTOR {
        return None;
    }
    let p = if known {
        fisher(failed, all, count(old), old.requests)
    } else {
        binomial(failed, all, USUAL_ERRORS)
    };
    let compared = if known {
        format!("{:.1} % before", before * 100.0)
    } else {
        "nothing to compare with".to_owned()
    };
    (p <= level.alpha).then(|| format!("{failed} of {all} requests {what} ({:.1} %, {compared})", now * 100.0))
}

/// The first bucket of slow requests and the bound before it, milliseconds: beyond what 95 % of the old version's requests took.
fn slow_from(evidence: &Evidence) -> Option<(usize, u64)> {
    let Evidence { old, old_here, .. } = evidence;
    let (old, further) = if above(old_here, 0) >= REQUESTS_MIN {
        (old_here, SLOW_BUCKETS)
    } else {
        (old, SLOW_BUCKETS_ELSEWHERE)
    };
    let all = above(old, 0);
    if all < REQUESTS_MIN {
        return None;
    }
    let mut below = 0u64;
    let most = old.latency.iter().position(|count| {
        below = below.saturating_add(*count);
        below as f64 >= all as f64 * 0.95
    })?;
    let least = LATENCY_BOUNDS_MS.iter().position(|bound| *bound == SLOW_MIN_MS)? + 1;
    // Bucket i ends at bound i: what is in bucket i + 1 and later took longer than that.
    let from = (most + further + 1).max(least);
    (from < LATENCY_BUCKETS).then(|| (from, LATENCY_BOUNDS_MS[from - 1]))
}

fn above(tally: &Tally, from: usize) -> u64 {
    tally.latency[from..]
        .iter()
        .fold(0, |sum: u64, count| sum.saturating_add(*count))
}

/// A comparison of a high quantile: how many of the new version's requests are slow, where few of the old one's were. It does not
/// care for the shape of either distribution, nor how slow the slow ones are (a quantile test in the sense of W. J. Conover,
/// Practical Nonparametric Statistics, chapter 4).
fn slower(evidence: &Evidence, alpha: f64) -> Option<String> {
    let Evidence { new, old, old_here, .. } = evidence;
    let (from, bound) = slow_from(evidence)?;
    let old = if old_here.requests >= REQUESTS_MIN {
        old_here
    } else {
        old
    };
    let (slow, slow_before) = (above(new, from), above(old, from));
    let (now, before) = (rate(slow, new.requests), rate(slow_before, old.requests));
    if now < before + SLOW_RISE_MIN || fisher(slow, new.requests, slow_before, old.requests) > alpha {
        return None;
    }
    Some(format!(
        "{slow} of {} requests took more than {bound} ms ({:.1} % before)",
        new.requests,
        before * 100.0
    ))
}

#[cfg(test)]
mod tests {
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
            has_traffic: true,
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
        check(tally(49, 0, 3), old, BAKE_MAX_MS, "unproven");
        // Nobody comes, nobody came: nobody is waited for.
        let mut quiet = evidence(Tally::default(), Tally::default());
        assert_eq!(judge(&quiet, BAKE_MIN_MS), Verdict::Wait);
        quiet.has_traffic = false;
        assert_eq!(judge(&quiet, BAKE_MIN_MS), Verdict::Pass { unproven: true });
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
                let slow =
                    |rng: &mut SplitMix64| 2 + usize::from(rng.below(10) == 0) + usize::from(rng.below(50) == 0) * 4;
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
}
