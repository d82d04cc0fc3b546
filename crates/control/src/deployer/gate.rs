//! The health gate: is what a new version does worse than what the old one did?
//!
//! Counts alone go in, a verdict comes out. While a deployment bakes it is looked at with every report; a *look* only finds
//! what is beyond doubt ([`LOOK_ALPHA`]), the *decision* at the end is more sensitive ([`DECISION_ALPHA`]). Nothing is called a
//! failure for being significant alone: it must be large, too ([`RISE_MIN`], [`SLOW_RISE_MIN`]), because with enough requests
//! any two things differ.
//!
//! **False alarms.** Were requests independent, a good deployment would be failed with a probability of at most
//! `TESTS * (LOOKS_MAX * LOOK_ALPHA + DECISION_ALPHA)` by the union bound, whatever its rate of errors: 4 tests (failures, uncaught
//! failures, slowness, falls), at most 20 looks in a bake and 300 afterwards, 4 * (320 * 1e-7 + 1e-4) = 5.3e-4, 1 of 1,900. That
//! is an upper bound: Fisher's test is conservative with few failures, and the required size of the rise is not counted. Requests
//! are not independent; what comes in bursts is met by the size that is required.

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
/// By how much the share of failed requests must rise.
pub const RISE_MIN: f64 = 0.02;
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
const SLOW_BUCKETS_ELSEWHERE: usize = 3;
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

/// Judges a bake that has lasted this long.
pub fn judge(evidence: &Evidence, baked_ms: u64) -> Verdict {
    let Evidence { new, .. } = evidence;
    if let Some(reason) = fallen(evidence, FALLS_MAX, LOOK_ALPHA).or_else(|| failing(evidence, LOOK_ALPHA)) {
        return Verdict::Fail(reason);
    }
    let over = baked_ms >= BAKE_MAX_MS
        || baked_ms >= BAKE_MIN_MS && (new.requests >= REQUESTS_WANTED || new.requests == 0 && !evidence.has_traffic);
    if !over {
        return Verdict::Wait;
    }
    match fallen(evidence, FALLS_MAX, DECISION_ALPHA).or_else(|| failing(evidence, DECISION_ALPHA)) {
        Some(reason) => Verdict::Fail(reason),
        None => Verdict::Pass {
            unproven: new.requests < REQUESTS_MIN,
        },
    }
}

/// Judges a deployment that is on its way or live. One that is unproven is still judged as in its bake.
pub fn judge_live(evidence: &Evidence, unproven: bool) -> Option<String> {
    if unproven {
        return fallen(evidence, FALLS_MAX, LOOK_ALPHA).or_else(|| failing(evidence, LOOK_ALPHA));
    }
    fallen(evidence, FALLS_LIVE, LOOK_ALPHA).or_else(|| clearly_failing(evidence))
}

/// Judges a change that is no deployment by the requests of those whom it concerns.
pub fn judge_calm(evidence: &Evidence) -> Option<String> {
    let Evidence { new, old, .. } = evidence;
    if new.requests < REQUESTS_MIN {
        return None;
    }
    risen(
        "failed",
        new.errors(),
        new.requests,
        old.errors(),
        old.requests,
        LOOK_ALPHA,
        CLEAR_RISE,
    )
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

fn failing(evidence: &Evidence, alpha: f64) -> Option<String> {
    let Evidence { new, old, .. } = evidence;
    if new.requests < REQUESTS_MIN {
        return unanimous(evidence);
    }
    let uncaught = |tally: &Tally| tally.exceptions.saturating_add(tally.limits).min(tally.requests);
    risen(
        "failed",
        new.errors(),
        new.requests,
        old.errors(),
        old.requests,
        alpha,
        RISE_MIN,
    )
    .or_else(|| {
        let what = "ended by an exception or a limit";
        risen(
            what,
            uncaught(new),
            new.requests,
            uncaught(old),
            old.requests,
            alpha,
            RISE_MIN,
        )
    })
    .or_else(|| slower(evidence, alpha))
}

fn clearly_failing(evidence: &Evidence) -> Option<String> {
    let Evidence { new, old, .. } = evidence;
    if new.requests < REQUESTS_MIN {
        return None;
    }
    risen(
        "failed",
        new.errors(),
        new.requests,
        old.errors(),
        old.requests,
        LOOK_ALPHA,
        CLEAR_RISE,
    )
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
    if above(new, from) == n && rate(above(old, from), old.requests) < USUAL_ERRORS {
        return Some(format!("all {n} requests took more than {bound} ms"));
    }
    None
}

fn rate(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// Is the share of failures larger than before, beyond chance and by enough to matter?
fn risen(what: &str, new: u64, new_all: u64, old: u64, old_all: u64, alpha: f64, rise: f64) -> Option<String> {
    let (now, before) = (rate(new, new_all), rate(old, old_all));
    let known = old_all >= REQUESTS_MIN;
    let usual = if known { before } else { before.max(USUAL_ERRORS) };
    if now < usual + rise || now < usual * RISE_FACTOR {
        return None;
    }
    let p = if known {
        fisher(new, new_all, old, old_all)
    } else {
        binomial(new, new_all, USUAL_ERRORS)
    };
    let compared = if known {
        format!("{:.1} % before", before * 100.0)
    } else {
        "nothing to compare with".to_owned()
    };
    (p <= alpha).then(|| format!("{new} of {new_all} requests {what} ({:.1} %, {compared})", now * 100.0))
}

/// The first bucket of slow requests and the bound before it, milliseconds: beyond what 95 % of the old version's requests took.
fn slow_from(evidence: &Evidence) -> Option<(usize, u64)> {
    let Evidence { old, old_here, .. } = evidence;
    let (old, further) = if old_here.requests >= REQUESTS_MIN {
        (old_here, SLOW_BUCKETS)
    } else {
        (old, SLOW_BUCKETS_ELSEWHERE)
    };
    let all: u64 = old.latency.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
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
