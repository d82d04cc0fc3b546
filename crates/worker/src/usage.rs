//! What a version uses, on its way to whoever counts it.

use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

/// Stands for a route (its worker and its pattern) where events go, so that what an event uses can be told as the route's.
///
/// Whoever counts by route gives it; it means nothing elsewhere, nor after that process has ended. One that means nothing, or
/// another worker's route (a child process says what it likes), counts for no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RouteNumber(pub NonZeroU32);

/// What a version has used since that was last told, by whichever part of it tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU of isolates' threads and of those that help them, microseconds.
    pub cpu_us: u64,
    /// Requests and connections to the network.
    pub subrequests: u64,
    /// Answers of the response cache.
    pub cache_hits: u64,
    /// Questions that it could not answer.
    pub cache_misses: u64,
    /// All of it was used by events that this route led to the version; `None`: by others, or by nobody knows whom.
    pub route: Option<RouteNumber>,
    /// What the version holds now, where it runs; `None`: it is not said.
    pub held: Option<Held>,
}

/// What a version holds in one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Isolates.
    pub isolates: u32,
    /// Bytes of all of them: heap, buffers, WebAssembly. Measured when an isolate is made and when it rests.
    pub memory_bytes: u64,
}

/// CPU of a version's events by the route that led to them, on its way from isolates to whoever tells of it. Several isolates'
/// threads add to it, each about once in a millisecond of CPU.
#[derive(Debug, Default)]
pub struct RouteCpu {
    /// Few: a worker has a handful of routes.
    sums: Mutex<Vec<(RouteNumber, u64)>>,
}

impl RouteCpu {
    /// Events of the route have used so many nanoseconds more.
    pub fn add(&self, route: RouteNumber, ns: u64) {
        // Additions only: a panic elsewhere cannot leave them half-done.
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        match sums.iter_mut().find(|(known, _)| *known == route) {
            Some((_, sum)) => *sum = sum.saturating_add(ns),
            None => sums.push((route, ns)),
        }
    }

    /// Takes whole microseconds of each route, of all together no more than `most_us`. What is left is told with what follows.
    pub fn take(&self, most_us: u64) -> Vec<(RouteNumber, u64)> {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left_us = most_us;
        let mut taken = Vec::new();
        sums.retain_mut(|(route, sum)| {
            let us = (*sum / 1_000).min(left_us);
            if us > 0 {
                left_us -= us;
                *sum -= us * 1_000;
                taken.push((*route, us));
            }
            *sum > 0
        });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_was_used_in_all_and_nothing_is_lost() {
        let cpu = RouteCpu::default();
        let [first, second] = [1, 2].map(|number| RouteNumber(NonZeroU32::new(number).unwrap()));
        cpu.add(first, 2_500);
        cpu.add(second, 4_000);
        cpu.add(first, 600);
        assert_eq!(cpu.take(5), [(first, 3), (second, 2)]);
        assert_eq!(cpu.take(0), []);
        assert_eq!(cpu.take(5), [(second, 2)]);
        cpu.add(first, 900);
        assert_eq!(cpu.take(5), [(first, 1)]);
        assert_eq!(cpu.take(5), []);
    }
}
