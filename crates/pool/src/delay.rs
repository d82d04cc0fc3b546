//! When a worker wants one more isolate: a standing queue, told from a burst by how long events waited. Pure.
//!
//! The measure is that of CoDel (RFC 8289): not the length of the queue but the least time that events spent in it over an
//! interval. A burst drains, and some event of the interval waited little; a worker that is too slow for what comes has none
//! that did.

use std::time::{Duration, Instant};

/// How long an event may wait without that meaning anything.
pub const DELAY_TARGET: Duration = Duration::from_millis(5);
/// For how long every event must have waited longer than [`DELAY_TARGET`].
pub const DELAY_INTERVAL: Duration = Duration::from_millis(100);
/// CPU time that one delivery of events should be worth: a worker whose events take long is given few at a time, so that the
/// others wait where any of its isolates can take them.
const PACE: Duration = Duration::from_millis(2);
/// Weight of the newest measurement of what an event takes, one in so many.
const SMOOTHING: u32 = 8;

/// Watches how long events wait.
#[derive(Debug, Default)]
pub(crate) struct QueueDelay {
    /// Since when every event waited too long.
    above: Option<Instant>,
    /// The newest measurement.
    seen: Option<Instant>,
}

impl QueueDelay {
    /// An event left the queue, or is still the first in it, after `waited`. True if there is a standing queue.
    pub(crate) fn saw(&mut self, waited: Duration, now: Instant) -> bool {
        // What was seen long ago says nothing about now.
        let stale = |seen: Instant| now.saturating_duration_since(seen) > DELAY_INTERVAL.max(waited);
        if waited < DELAY_TARGET || self.seen.is_some_and(stale) {
            self.above = None;
        }
        self.seen = Some(now);
        if waited < DELAY_TARGET {
            return false;
        }
        let since = *self.above.get_or_insert(now);
        now.saturating_duration_since(since) >= DELAY_INTERVAL
    }

    /// Something was done about it: the interval begins anew.
    pub(crate) fn begin_anew(&mut self) {
        self.above = None;
    }
}

/// What an event of a worker takes, on the whole.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    per_event: Duration,
}

impl Pace {
    /// `events` were delivered and took `took` together.
    pub(crate) fn saw(&mut self, events: usize, took: Duration) {
        let events = u32::try_from(events).unwrap_or(u32::MAX).max(1);
        let newest = took / events;
        self.per_event = (self.per_event * (SMOOTHING - 1) + newest) / SMOOTHING;
    }

    /// How many events to deliver at once, from 1 to `max`.
    pub(crate) fn events(&self, max: usize) -> usize {
        let per_event = self.per_event.as_nanos().max(1);
        let fitting = usize::try_from(PACE.as_nanos() / per_event).unwrap_or(usize::MAX);
        fitting.clamp(1, max.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measurements as (when, waited), both in milliseconds; true where a standing queue is expected.
    fn check(measurements: &[(u64, u64, bool)]) {
        let begin = Instant::now();
        let mut delay = QueueDelay::default();
        for (at, waited, expected) in measurements {
            let ms = Duration::from_millis;
            assert_eq!(
                delay.saw(ms(*waited), begin + ms(*at)),
                *expected,
                "{at} ms in {measurements:?}"
            );
        }
    }

    #[test]
    fn a_burst_is_not_a_standing_queue() {
        // All wait long, but not for an interval.
        check(&[(0, 6, false), (50, 50, false), (99, 95, false)]);
        // One of them did not wait.
        check(&[
            (0, 6, false),
            (50, 4, false),
            (100, 6, false),
            (149, 6, false),
            (200, 6, true),
        ]);
        check(&[(0, 4, false), (1_000, 4, false)]);
    }

    #[test]
    fn a_standing_queue_is_seen_after_an_interval() {
        check(&[
            (0, 5, false),
            (60, 20, false),
            (100, 20, true),
            (120, 20, true),
            (130, 1, false),
        ]);
        // Events that take longer than the interval each.
        check(&[(0, 150, false), (150, 150, true)]);
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
        check(&[
            (0, 50, false),
            (10_000, 50, false),
            (10_050, 50, false),
            (10_100, 50, true),
        ]);
    }

    #[test]
    fn heavy_events_are_delivered_one_by_one() {
        let after = |events: usize, took_ms: u64| {
            let mut pace = Pace::default();
            for _ in 0..50 {
                pace.saw(events, Duration::from_millis(took_ms));
            }
            pace.events(128)
        };
        assert_eq!(Pace::default().events(128), 128);
        assert_eq!(after(1, 30), 1);
        assert_eq!(after(128, 1), 128);
        assert!((3..=5).contains(&after(4, 2)), "{}", after(4, 2));
    }
}
