//! What became of the calls of the APIs, counted for whoever watches the control plane.
//!
//! Rows are endpoints' names and statuses, both of the program's own choice, so there are as many as the program has; what
//! clients send never becomes one. A count is a short lock.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of [`Endpoint::took`]'s counts, seconds; one more count is of what took longer.
pub const BOUNDS_S: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// An endpoint's calls.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Endpoint {
    /// How many, by the answer's status.
    pub statuses: BTreeMap<u16, u64>,
    /// How many took how long, not cumulated: see [`BOUNDS_S`].
    pub took: [u64; BOUNDS_S.len() + 1],
    /// How long all took together, seconds.
    pub took_s: f64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Calls {
    endpoints: Mutex<BTreeMap<&'static str, Endpoint>>,
}

impl Calls {
    /// A call was answered.
    pub fn count(&self, endpoint: &'static str, status: u16, took: Duration) {
        let seconds = took.as_secs_f64();
        // Nothing under the lock can leave a row half-changed that would be wrong.
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let row = endpoints.entry(endpoint).or_default();
        *row.statuses.entry(status).or_default() += 1;
        row.took[BOUNDS_S.partition_point(|bound| *bound < seconds)] += 1;
        row.took_s += seconds;
    }

    /// Everything so far, by the endpoint's name.
    pub fn read(&self) -> BTreeMap<&'static str, Endpoint> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_endpoint_and_status() {
        let calls = Calls::default();
        calls.count("a", 200, Duration::from_millis(1));
        calls.count("a", 200, Duration::from_millis(2));
        calls.count("a", 404, Duration::from_secs(9));
        calls.count("b", 201, Duration::ZERO);
        let rows = calls.read();
        assert_eq!(rows["a"].statuses, BTreeMap::from([(200, 2), (404, 1)]));
        assert_eq!((rows["a"].took[0], rows["a"].took[1], rows["a"].took[11]), (1, 1, 1));
        assert!((rows["a"].took_s - 9.003).abs() < 1e-9);
        assert_eq!(rows["b"].took.iter().sum::<u64>(), 1);
    }
}
