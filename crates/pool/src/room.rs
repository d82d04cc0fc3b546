//! Whether the process has memory mappings for one more isolate. Linux.
//!
//! An idle isolate has few, one that has worked with much memory several times as many, and where `vm.max_map_count` ends V8's next
//! allocation ends the process. So they are counted. Counting takes 0.4 microseconds for each, so it is done only where there could be too
//! many: what was counted admits as many isolates as there is room for if each of them works with much memory, and then it is done again.
//!
//! Invariant: an isolate is admitted only if a tenth of all mappings was left when they were last counted, those aside that isolates admitted
//! since then may take. What older isolates take meanwhile comes from that tenth; they are counted again and again where
//! all of them together could have too many ([`pause`]), and idle ones end once they have begun to use it. So many may turn busy between two
//! counts that it does not last: then V8 ends the process.

use crate::capacity::{MAPPINGS_PER_BUSY_ISOLATE, MAPPINGS_PER_ISOLATE, without_reserve};
use std::fmt;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where mappings may become too many, they are counted this often at the least.
pub const COUNT_EVERY: Duration = Duration::from_secs(2);

/// How long counting waits for each mapping that was counted last: fifty times what counting it took, so that it takes 2 % of a thread.
const PAUSE_PER_MAPPING: Duration = Duration::from_micros(20);

/// Never counted more often.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Knows how many memory mappings the process has.
pub trait Mappings: Send + Sync + fmt::Debug + 'static {
    /// How many it may have.
    fn max(&self) -> u64;
    /// How many it has now; `None` where that cannot be read.
    fn taken(&self) -> Option<u64>;
}

/// This process's mappings.
#[derive(Debug, Clone)]
pub struct ProcessMappings {
    max: u64,
}

impl ProcessMappings {
    /// `None` where `vm.max_map_count` cannot be read.
    pub fn of_this_process() -> Option<Self> {
        let max = fs::read_to_string("/proc/sys/vm/max_map_count").ok()?;
        Some(Self {
            max: max.trim().parse().ok()?,
        })
    }
}

impl Mappings for ProcessMappings {
    fn max(&self) -> u64 {
        self.max
    }

    fn taken(&self) -> Option<u64> {
        let maps = fs::read("/proc/self/maps").ok()?;
        Some(maps.iter().filter(|&&byte| byte == b'\n').count() as u64)
    }
}

/// Room for isolates, by their mappings.
#[derive(Debug, Default)]
pub(crate) struct Room {
    mappings: Option<Arc<dyn Mappings>>,
    counted: Mutex<Counted>,
}

/// What follows from the last count.
#[derive(Debug, Default)]
struct Counted {
    /// As many isolates may live without another count.
    admitted: usize,
    /// Not again before.
    next: Option<Instant>,
}

impl Room {
    /// Without `mappings` there is always room.
    pub fn new(mappings: Option<Arc<dyn Mappings>>) -> Self {
        Self {
            mappings,
            counted: Mutex::default(),
        }
    }

    /// Whether there is room for one more than `members` isolates.
    pub fn admits(&self, members: usize, now: Instant) -> bool {
        let Some(mappings) = &self.mappings else { return true };
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if members < counted.admitted {
            return true;
        }
        if counted.next.is_some_and(|next| now < next) {
            return false;
        }
        let taken = counted.learn(mappings.as_ref(), members);
        let admits = members < counted.admitted;
        counted.next = (!admits).then_some(now + pause(taken));
        admits
    }

    /// How many idle isolates should end, because the `members` have come to take what is kept back.
    pub fn excess(&self, members: usize, now: Instant) -> usize {
        let Some(mappings) = &self.mappings else { return 0 };
        let max = mappings.max();
        if members as u64 * MAPPINGS_PER_BUSY_ISOLATE < without_reserve(max) {
            return 0;
        }
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.next.is_some_and(|next| now < next) {
            return 0;
        }
        let taken = counted.learn(mappings.as_ref(), members);
        counted.next = Some(now + pause(taken));
        // What is kept back is for what they take until the next count. Where they have begun to, as many go as bring half of it back.
        let kept_back = max - without_reserve(max);
        if taken <= max - kept_back {
            return 0;
        }
        let each = (taken / members.max(1) as u64).max(MAPPINGS_PER_ISOLATE);
        let excess = (taken - (max - kept_back) + kept_back / 2).div_ceil(each);
        let excess = usize::try_from(excess).unwrap_or(usize::MAX);
        // None of them may come back before there is room.
        counted.admitted = members.saturating_sub(excess);
        excess
    }
}

/// How long nothing is counted after `taken` mappings were.
fn pause(taken: u64) -> Duration {
    let taken = u32::try_from(taken).unwrap_or(u32::MAX);
    PAUSE_PER_MAPPING.saturating_mul(taken).clamp(PAUSE_MIN, COUNT_EVERY)
}

impl Counted {
    /// Counts. Gives how many there are.
    fn learn(&mut self, mappings: &dyn Mappings, members: usize) -> u64 {
        let Some(taken) = mappings.taken() else {
            self.admitted = usize::MAX;
            return 0;
        };
        let room = without_reserve(mappings.max()).saturating_sub(taken) / MAPPINGS_PER_BUSY_ISOLATE;
        self.admitted = members.saturating_add(usize::try_from(room).unwrap_or(usize::MAX));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug, Default)]
    struct Fake {
        taken: AtomicU64,
        counts: AtomicU64,
    }

    impl Mappings for Fake {
        fn max(&self) -> u64 {
            65_530
        }

        fn taken(&self) -> Option<u64> {
            self.counts.fetch_add(1, Ordering::Relaxed);
            Some(self.taken.load(Ordering::Relaxed))
        }
    }

    /// Starts isolates that take `each` mappings until there is no room; gives how many.
    fn fill(each: u64, fake: &Arc<Fake>, room: &Room, now: Instant) -> usize {
        for members in 0.. {
            fake.taken.store(members * each, Ordering::Relaxed);
            let members = usize::try_from(members).unwrap();
            if !room.admits(members, now) {
                return members;
            }
        }
        unreachable!("there is always room")
    }

    #[test]
    fn as_many_are_admitted_as_there_are_mappings_and_counted_a_few_times() {
        let now = Instant::now();
        for (each, least, most) in [(28, 2_000, 2_106), (41, 1_370, 1_438), (60, 930, 1_179)] {
            let fake = Arc::<Fake>::default();
            let room = Room::new(Some(fake.clone()));
            let isolates = fill(each, &fake, &room, now);
            assert!(
                (least..=most).contains(&isolates),
                "{each} mappings each: {isolates} isolates"
            );
            let counts = fake.counts.load(Ordering::Relaxed);
            assert!(counts <= 20, "{each} mappings each: {counts} counts");
        }
        assert!(Room::new(None).admits(usize::MAX, now));
    }

    #[test]
    fn without_room_nothing_is_counted_again_at_once() {
        let fake = Arc::<Fake>::default();
        let room = Room::new(Some(fake.clone()));
        let mut now = Instant::now();
        let isolates = fill(28, &fake, &room, now);
        let counts = fake.counts.load(Ordering::Relaxed);
        assert!(!room.admits(isolates, now));
        assert_eq!(fake.counts.load(Ordering::Relaxed), counts);
        // One has gone: another may come for it.
        assert!(room.admits(isolates - 1, now));
        // The others have given theirs back.
        fake.taken.store(1_000, Ordering::Relaxed);
        now += COUNT_EVERY;
        assert!(room.admits(isolates, now));
    }

    #[test]
    fn idle_isolates_end_before_what_is_kept_back_is_used_up() {
        let fake = Arc::<Fake>::default();
        let room = Room::new(Some(fake.clone()));
        let mut now = Instant::now();
        // Too few to have too many, whatever they do.
        fake.taken.store(65_000, Ordering::Relaxed);
        assert_eq!(room.excess(1_000, now), 0);
        assert_eq!(fake.counts.load(Ordering::Relaxed), 0);
        // A tenth, 6,550, is kept back. As many end as bring the rest under it, and half of it more.
        for (members, taken, excess) in [
            (2_000, 50_000, 0),
            (2_000, 58_980, 0),
            (2_000, 58_981, 113),
            (1_300, 65_530, 197),
        ] {
            fake.taken.store(taken, Ordering::Relaxed);
            assert_eq!(room.excess(members, now), excess, "{taken} taken");
            assert_eq!(room.excess(members, now), 0, "not again at once");
            now += COUNT_EVERY;
        }
        assert!(!room.admits(1_300 - 197, now - COUNT_EVERY));
    }

    #[test]
    fn few_mappings_are_counted_more_often() {
        for (taken, milliseconds) in [
            (0, 50),
            (8_000, 160),
            (58_000, 1_160),
            (1_048_576, 2_000),
            (u64::MAX, 2_000),
        ] {
            assert_eq!(pause(taken), Duration::from_millis(milliseconds), "{taken}");
        }
    }

    #[test]
    fn this_process_has_mappings() {
        let mappings = ProcessMappings::of_this_process().unwrap();
        let taken = mappings.taken().unwrap();
        assert!(taken > 10 && taken < mappings.max(), "{taken}");
    }
}
