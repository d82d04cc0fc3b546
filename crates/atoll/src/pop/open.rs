//! Requests of a version that have begun and have no end yet: how many, and for how long. Time is whole seconds of whoever asks.
//!
//! Counts are told once, and go together: one that was told to be late is told to have ended after all.

use std::collections::BTreeMap;

/// A request that has no end after so many seconds is late. The control plane judges by it (`LATE_MS` of its deployer).
pub(crate) const LATE_S: u64 = 5;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Open {
    /// How many there are, by the second in which they began.
    since: BTreeMap<u64, u64>,
    /// Those that began before this second were told to be late.
    late_before: u64,
    /// When the counts were taken last.
    taken: u64,
    counts: Counts,
}

/// What happened since the last time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) begun: u64,
    pub(crate) settled: u64,
    pub(crate) late: u64,
    pub(crate) late_settled: u64,
    pub(crate) late_seconds: u64,
}

impl Counts {
    pub(crate) fn is_silent(&self) -> bool {
        *self == Self::default()
    }
}

impl Open {
    /// One begins.
    pub(crate) fn begin(&mut self, second: u64) {
        *self.since.entry(second).or_default() += 1;
        self.counts.begun += 1;
    }

    /// One that began in this second ends.
    pub(crate) fn end(&mut self, since: u64) {
        self.counts.settled += 1;
        self.counts.late_settled += u64::from(since < self.late_before);
        if let Some(count) = self.since.get_mut(&since) {
            *count -= 1;
            if *count == 0 {
                self.since.remove(&since);
            }
        }
    }

    /// Nothing is under way, and nothing is to be told.
    pub(crate) fn is_empty(&self) -> bool {
        self.since.is_empty() && self.counts.is_silent()
    }

    /// What happened since the last time.
    pub(crate) fn take(&mut self, now: u64) -> Counts {
        // The beginning of a second is not known better: whoever is late by this has waited for longer than that.
        let late_before = now.saturating_sub(LATE_S).max(self.late_before);
        for (since, count) in self.since.range(..late_before) {
            if *since >= self.late_before {
                self.counts.late += count;
            }
            let from = (since + LATE_S).max(self.taken);
            self.counts.late_seconds += count * now.saturating_sub(from);
        }
        self.late_before = late_before;
        self.taken = now;
        std::mem::take(&mut self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(begun: u64, settled: u64, late: u64, late_settled: u64, late_seconds: u64) -> Counts {
        Counts {
            begun,
            settled,
            late,
            late_settled,
            late_seconds,
        }
    }

    #[test]
    fn requests_are_late_once_and_waited_for_each_second() {
        let mut open = Open::default();
        for _ in 0..3 {
            open.begin(10);
        }
        open.begin(12);
        open.end(12);
        assert_eq!(open.take(13), counts(4, 1, 0, 0, 0));
        assert_eq!(open.take(15), counts(0, 0, 0, 0, 0));
        assert_eq!(open.take(16), counts(0, 0, 3, 0, 3));
        open.end(10);
        assert_eq!(open.take(17), counts(0, 1, 0, 1, 2));
        // Nobody asked for a while.
        open.begin(18);
        assert_eq!(open.take(30), counts(1, 0, 1, 0, 2 * 13 + 7));
        for since in [10, 10, 18] {
            open.end(since);
        }
        assert!(!open.is_empty());
        assert_eq!(open.take(31), counts(0, 3, 0, 3, 0));
        assert!(open.is_empty());
    }
}
