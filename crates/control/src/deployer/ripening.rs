//! Which of the requests that a PoP reported have had the time to be late: those that began [`LATE_MS`] ago. Of younger ones it is
//! known that they are not late, and that says nothing.

use super::lanes::LATE_MS;
use atoll_model::VersionId;
use std::collections::{BTreeMap, VecDeque};

/// After so long a report's requests are ripe, milliseconds: it tells of the second before it, and what is late is told with the
/// report after.
const RIPE_MS: u64 = LATE_MS + 1_000;
/// Reports of the same span are one, milliseconds: so there are few, however often a PoP reports.
const SPAN_MS: u64 = 500;
/// A version that was not heard of for so long is forgotten, milliseconds.
const FORGOTTEN_MS: u64 = 60_000;

/// What one PoP reported of the last seconds. At most `RIPE_MS / SPAN_MS` and one numbers for each version that it serves.
#[derive(Debug, Default)]
pub struct Ripening {
    versions: BTreeMap<VersionId, VecDeque<(u64, u64)>>,
    swept_ms: u64,
}

impl Ripening {
    /// So many requests of a version have begun now. How many have become ripe since this was asked last?
    pub fn of(&mut self, version: &VersionId, begun: u64, now_ms: u64) -> u64 {
        self.sweep(now_ms);
        if !self.versions.contains_key(version) {
            self.versions.insert(version.clone(), VecDeque::new());
        }
        let Some(young) = self.versions.get_mut(version) else {
            return 0;
        };
        match young.back_mut() {
            Some((at, count)) if now_ms.saturating_sub(*at) < SPAN_MS => *count = count.saturating_add(begun),
            _ => young.push_back((now_ms, begun)),
        }
        let mut ripe = 0_u64;
        while let Some((_, count)) = young.pop_front_if(|(at, _)| now_ms.saturating_sub(*at) >= RIPE_MS) {
            ripe = ripe.saturating_add(count);
        }
        ripe
    }

    fn sweep(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.swept_ms) < FORGOTTEN_MS {
            return;
        }
        self.swept_ms = now_ms;
        let heard = |young: &VecDeque<(u64, u64)>| {
            young
                .back()
                .is_some_and(|(at, _)| now_ms - at.min(&now_ms) < FORGOTTEN_MS)
        };
        self.versions.retain(|_, young| heard(young));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_ripen_after_some_seconds_and_each_once() {
        let (one, two) = (VersionId::new("1"), VersionId::new("2"));
        let mut ripening = Ripening::default();
        let ripe: Vec<u64> = (0..10)
            .map(|second| ripening.of(&one, 10 + second, second * 1_000))
            .collect();
        assert_eq!(ripe, [0, 0, 0, 0, 0, 0, 10, 11, 12, 13]);
        assert_eq!(ripening.of(&two, 5, 9_000), 0);
        assert_eq!(ripening.of(&one, 0, 14_000), 14 + 15 + 16 + 17 + 18);
        assert_eq!(ripening.of(&one, 0, 15_000), 19);
        // Many reports of one moment are one.
        assert_eq!(ripening.of(&two, 1, 30_000), 5);
        for _ in 1..1_000 {
            assert_eq!(ripening.of(&two, 1, 30_000), 0);
        }
        assert_eq!(ripening.versions[&two].len(), 1);
        // And who is not heard of is forgotten.
        assert_eq!(ripening.of(&two, 1, 85_000), 1_000);
        assert!(!ripening.versions.contains_key(&one));
    }
}
