//! The health gate: is what a new version does worse than what the old one did?
//!
//! Counts alone go in, a verdict comes out. While a deployment bakes it is looked at with every report; a *look* only finds
//! what is beyond doubt ([`LOOK_ALPHA`]), the *decision* at the end is more sensitive ([`DECISION_ALPHA`]). Nothing is called a
//! failure for being significant alone: it must be large, too ([`RISE_MIN`], [`SLOW_RISE_MIN`]), because with enough requests
//! any two things differ.
//!
//! **False alarms.** Were requests independent, a good deployment would be failed with a probability of at most
//! `tests * (looks * LOOK_ALPHA + DECISION_ALPHA)` by the union bound, whatever its rate of failures. There are 5 tests (failures,
//! uncaught failures, slowness, requests without an end, requests that clients gave up), at most 250 looks in a bake of 25 s and 3,000 in a watch of 5 minutes,
//! though only a report each second makes a look a new one: 25 and 300. So 5 * (325 * 1e-7 + 1e-4) = 6.6e-4, 1 of 1,500; for 200
//! good deployments 13 % that one is failed. That is an upper bound: Fisher's test is conservative with few failures, and the required size of the rise is
//! not counted. Requests are not independent, either: what comes in bursts is met by the size that is required, and by what the
//! old version does elsewhere meanwhile.
//!
//! **What does not end.** A request counts as ended when its response's head is there: a stream or a socket that stays open for
//! hours has been answered. One without an end for 5 s is *late* ([`LATE_MS`](super::lanes::LATE_MS)). A version whose requests
//! are late and stay so is compared with how many of the old one's were ever late: a worker that is polled, or is slow, may go on
//! being so. Of the old one only requests count that have had the time to be late ([`Tally::ripe`]): one that was looked at for
//! a few seconds has had none late, whatever its way is. While it is not known what becomes of requests the bake goes on, up to
//! [`BAKE_HANGING_MAX_MS`].
//!
//! **What a bake waits for.** Requests, up to [`REQUESTS_WANTED`] and for [`BAKE_MAX_MS`]. A worker that hardly anybody asks has not
//! that many in a minute, either: with fewer than [`REQUESTS_MIN`] only probes and crashes decide, and they have after
//! [`BAKE_MIN_MS`]. So such a bake ends then, unless something looks bad already ([`is_suspect`]): what would be a failure if it
//! went on like that is given the time to become one.

use super::lanes::{LATE_MS, LATENCY_BOUNDS_MS, LATENCY_BUCKETS, Tally};
use super::statistics::{binomial, fisher};

/// A bake lasts at least this long, milliseconds.
pub const BAKE_MIN_MS: u64 = 10_000;
/// After this long what is known decides, milliseconds; of a worker that hardly anybody asks after [`BAKE_MIN_MS`].
pub const BAKE_MAX_MS: u64 = 20_000;
/// While requests have begun of which nobody knows whether they end, it goes on for so long, milliseconds: together with the way
/// to the canary and back less than the 30 s in which a bad deployment is to be gone.
pub const BAKE_HANGING_MAX_MS: u64 = 25_000;
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
/// By how much the share of requests without an end must rise.
pub const HANGING_RISE_MIN: f64 = 0.10;
/// By how much the share of requests must rise whose clients went away before they were answered.
pub const GIVEN_UP_RISE_MIN: f64 = 0.25;
/// Late requests of the old version that were waited for so long within its past, seconds, are its way.
pub const HANGING_USUAL_S: u64 = 30;
/// Late requests of an unproven version that is live already must have been waited for so long, seconds, of all of them together.
pub const HANGING_LIVE_S: u64 = 10;
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
/// As large as the decision asks for, and be it by chance.
const SUSPECT: Level = Level {
    alpha: 1.0,
    rise: RISE_MIN,
};

/// Judges a bake that has lasted this long.
pub fn judge(evidence: &Evidence, baked_ms: u64) -> Verdict {
    let Evidence { new, .. } = evidence;
    if let Some(reason) = fallen(evidence, FALLS_MAX, LOOK_ALPHA).or_else(|| failing(evidence, LOOK)) {
        return Verdict::Fail(reason);
    }
    if waits(evidence, baked_ms) {
        return Verdict::Wait;
    }
    let reason = fallen(evidence, FALLS_MAX, DECISION_ALPHA)
        .or_else(|| failing(evidence, DECISION))
        .or_else(|| silent(evidence, 0))
        .or_else(|| unending(evidence, DECISION_ALPHA));
    match reason {
        Some(reason) => Verdict::Fail(reason),
        None => Verdict::Pass {
            unproven: new.requests < REQUESTS_MIN,
        },
    }
}

/// Is a bake of so long to go on? See the module.
fn waits(evidence: &Evidence, baked_ms: u64) -> bool {
    let new = &evidence.new;
    let enough = new.requests >= REQUESTS_WANTED || new.came() < REQUESTS_MIN && !is_suspect(evidence);
    let over = baked_ms >= BAKE_MAX_MS || baked_ms >= BAKE_MIN_MS && enough;
    !over || baked_ms < BAKE_HANGING_MAX_MS && is_unclear(evidence)
}

/// Judges a deployment that is on its way or live. One that is unproven is still judged as in its bake.
pub fn judge_live(evidence: &Evidence, unproven: bool) -> Option<String> {
    if unproven {
        return fallen(evidence, FALLS_MAX, LOOK_ALPHA)
            .or_else(|| failing(evidence, LOOK))
            // Of a first version nobody knows how long its requests are to take; what the bake let pass stays.
            .or_else(|| silent(evidence, HANGING_LIVE_S).filter(|_| evidence.old.ripe > 0 || was_answered(evidence)));
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
    let new = &evidence.new;
    if new.ended().saturating_add(new.hanging()) < REQUESTS_MIN {
        return unanimous(evidence);
    }
    worse(evidence, level).or_else(|| unanimous(evidence))
}

/// Which share of the requests has become larger.
fn worse(evidence: &Evidence, level: Level) -> Option<String> {
    risen("failed", evidence, Tally::errors, level)
        .or_else(|| risen("ended by an exception or a limit", evidence, Tally::uncaught, level))
        .or_else(|| slower(evidence, level.alpha))
        .or_else(|| unending(evidence, level.alpha))
        .or_else(|| given_up(evidence, level))
}

/// Of few requests so many are bad that it would be a failure with more of them; or none was answered as it should.
fn is_suspect(evidence: &Evidence) -> bool {
    let new = &evidence.new;
    let badly = new.errors().saturating_add(new.abandoned);
    badly > 0 && badly >= new.ended() || worse(evidence, SUSPECT).is_some()
}

fn clearly_failing(evidence: &Evidence) -> Option<String> {
    if evidence.new.ended() < REQUESTS_MIN {
        return None;
    }
    risen("failed", evidence, Tally::errors, CLEAR)
}

/// With few requests: none was answered as it should, where nearly all were before.
fn unanimous(evidence: &Evidence) -> Option<String> {
    let Evidence { new, old, .. } = evidence;
    let n = new.ended();
    let well_before = old.ended() < REQUESTS_MIN || rate(old.errors(), old.ended()) < USUAL_ERRORS;
    if n >= UNANIMOUS_MIN && new.errors() == n && well_before {
        return Some(format!("all {n} requests failed"));
    }
    // Those that have no end yet are waited for, unless it is known that they had one.
    let hanging = new.hanging();
    let (all, given_up) = (n.saturating_add(hanging), new.abandoned);
    let known = hanging == 0 || old.ripe >= REQUESTS_MIN;
    let badly = new.errors().saturating_add(given_up).saturating_add(hanging);
    let patient_before = rate(old.abandoned, old.ended()) < USUAL_ERRORS && !hangs_usually(evidence);
    if all >= UNANIMOUS_MIN && badly >= all && known && well_before && patient_before {
        return Some(format!(
            "none of {all} requests was answered: {hanging} have no end after 5 s or more, {given_up} were given up by their clients"
        ));
    }
    let n = new.requests;
    if n < UNANIMOUS_MIN {
        return None;
    }
    let (from, bound) = slow_from(evidence)?;
    if above(new, from) == n && rate(slow_before(old, from), timed_before(old)) < USUAL_ERRORS {
        return Some(format!("all {n} requests took more than {bound} ms"));
    }
    None
}

/// The share of the old version's requests that were ever late.
fn late_before(evidence: &Evidence) -> f64 {
    let share = |tally: &Tally| rate(tally.late, tally.ripe);
    share(&evidence.old).max(share(&evidence.meanwhile))
}

/// Requests without an end are the old version's way: they come often, or stand for long.
fn hangs_usually(evidence: &Evidence) -> bool {
    let Evidence { old, meanwhile, .. } = evidence;
    late_before(evidence) >= USUAL_ERRORS || old.late_seconds.saturating_add(meanwhile.late_seconds) >= HANGING_USUAL_S
}

/// More requests than usual have no end yet: they may be late soon.
fn is_unclear(evidence: &Evidence) -> bool {
    let new = &evidence.new;
    let open = new.in_flight();
    open > 0 && rate(open, new.begun) >= late_before(evidence) + HANGING_RISE_MIN
}

/// Requests began and none of them was answered; the late ones were waited for this long at least, seconds beyond the first 5.
fn silent(evidence: &Evidence, seconds: u64) -> Option<String> {
    let new = &evidence.new;
    let hanging = new.hanging();
    if hanging == 0 || new.answered() > 0 || new.late_seconds < seconds || hangs_usually(evidence) {
        return None;
    }
    let begun = new.begun;
    Some(format!(
        "none of the {begun} requests that began was answered, and {hanging} of them have no end after 5 s or more"
    ))
}

/// The past is so short that nothing in it can have been late. But what was asked in it was answered, so often that it is no chance
/// that nothing of what had the time for it is now.
fn was_answered(evidence: &Evidence) -> bool {
    let Evidence { new, old, .. } = evidence;
    let now = new.hanging().saturating_add(new.abandoned);
    let not = old.begun.saturating_sub(old.answered());
    fisher(now, now, not, old.begun) <= LOOK_ALPHA
}

/// Is the share of requests without an end larger than before, beyond chance and by enough to matter? Without a past it is not
/// known what the worker's requests wait for. Of a short one whatever has no end yet counts as late: it may become that.
fn unending(evidence: &Evidence, alpha: f64) -> Option<String> {
    let Evidence { new, old, .. } = evidence;
    // Who had waited for so long and gave up had no answer, either; the old version's are among its late ones, too.
    let (hanging, given_up) = (new.hanging(), new.late_settled.min(new.abandoned));
    let unanswered = hanging.saturating_add(given_up);
    let (late, all, before) = if old.ripe >= REQUESTS_MIN {
        (old.late.min(old.ripe), old.ripe, late_before(evidence))
    } else {
        let late = old.in_flight().saturating_add(old.late_settled).min(old.begun);
        (late, old.begun, late_before(evidence).max(rate(late, old.begun)))
    };
    let now = rate(unanswered, new.begun);
    let risen = now >= before + HANGING_RISE_MIN && now >= before * RISE_FACTOR;
    if !risen || fisher(unanswered, new.begun, late, all) > alpha {
        return None;
    }
    let given_up = match given_up {
        0 => String::new(),
        more => format!(", and {more} were given up by their clients after that"),
    };
    Some(format!(
        "{hanging} of {} requests have no end after 5 s or more{given_up} ({:.1} % took that long before)",
        new.begun,
        before * 100.0
    ))
}

/// Do clients go away more often than before? They may do so sooner than a request is late. Without a past it is not known how
/// patient they are; and of those who still wait in it, or did when their PoP died, not that they got an answer: they count as gone.
fn given_up(evidence: &Evidence, level: Level) -> Option<String> {
    if evidence.old.ended() < REQUESTS_MIN {
        return None;
    }
    let gone = |tally: &Tally| {
        let open = tally.in_flight();
        Tally {
            requests: tally.requests.saturating_add(open),
            abandoned: tally.abandoned.saturating_add(open),
            ..*tally
        }
    };
    let evidence = Evidence {
        old: gone(&evidence.old),
        meanwhile: gone(&evidence.meanwhile),
        ..*evidence
    };
    let rise = level.rise.max(GIVEN_UP_RISE_MIN);
    let count = |tally: &Tally| tally.abandoned.min(tally.ended());
    let level = Level { rise, ..level };
    risen("were given up by their clients", &evidence, count, level)
}

fn rate(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// Is the share of failures larger than before, beyond chance and by enough to matter?
fn risen(what: &str, evidence: &Evidence, count: impl Fn(&Tally) -> u64, level: Level) -> Option<String> {
    let Evidence {
        new, old, meanwhile, ..
    } = evidence;
    let (failed, all) = (count(new), new.ended());
    let (now, before) = (rate(failed, all), rate(count(old), old.ended()));
    let known = old.ended() >= REQUESTS_MIN;
    let mut usual = if known { before } else { before.max(USUAL_ERRORS) };
    if meanwhile.ended() >= REQUESTS_MIN {
        usual = usual.max(rate(count(meanwhile), meanwhile.ended()));
    }
    if now < usual + level.rise || now < usual * RISE_FACTOR {
        return None;
    }
    let p = if known {
        fisher(failed, all, count(old), old.ended())
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
    let all = timed_before(old);
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

/// Of the old version's requests, those whose time is known: of one that is late and has no end it is known that it is long.
fn timed_before(old: &Tally) -> u64 {
    above(old, 0).saturating_add(old.hanging())
}

/// Of these, the slow ones. Without those that have no end, a past that is shorter than long requests take would know of none.
fn slow_before(old: &Tally, from: usize) -> u64 {
    let is_late = LATENCY_BOUNDS_MS[from - 1] <= LATE_MS;
    above(old, from).saturating_add(if is_late { old.hanging() } else { 0 })
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
    let (slow, slow_before, all_before) = (above(new, from), slow_before(old, from), timed_before(old));
    let (now, before) = (rate(slow, new.requests), rate(slow_before, all_before));
    if now < before + SLOW_RISE_MIN || fisher(slow, new.requests, slow_before, all_before) > alpha {
        return None;
    }
    Some(format!(
        "{slow} of {} requests took more than {bound} ms ({:.1} % before)",
        new.requests,
        before * 100.0
    ))
}

#[cfg(test)]
mod tests;
