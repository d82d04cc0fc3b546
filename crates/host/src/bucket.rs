//! A token bucket: so many bytes a second, and so many at once after a silence.

use std::time::Instant;

/// See the module. Pure: the time is passed in.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
    left_out: u64,
}

/// Whether something was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was, after so many others that were not.
    Yes {
        /// How many since the last that was.
        left_out: u64,
    },
    /// It was not.
    No {
        /// It is the first since the last that was.
        first: bool,
    },
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(rate: u64, burst: u64, now: Instant) -> Self {
        Self {
            rate: rate as f64,
            burst: burst as f64,
            tokens: burst as f64,
            filled: now,
            left_out: 0,
        }
    }

    /// Bytes a second.
    pub(crate) fn rate(&self) -> u64 {
        self.rate as u64
    }

    /// Takes `bytes` if they are there.
    pub(crate) fn take(&mut self, bytes: u64, now: Instant) -> Taken {
        let seconds = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = self.burst.min(self.tokens + seconds * self.rate);
        if self.tokens < bytes as f64 {
            self.left_out += 1;
            return Taken::No {
                first: self.left_out == 1,
            };
        }
        self.tokens -= bytes as f64;
        Taken::Yes {
            left_out: std::mem::take(&mut self.left_out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_lets_exactly_its_measure_through() {
        let start = Instant::now();
        let mut bucket = Bucket::new(100, 1_000, start);
        assert_eq!(bucket.take(1_000, start), Taken::Yes { left_out: 0 });
        assert_eq!(bucket.take(1, start), Taken::No { first: true });
        assert_eq!(bucket.take(1, start), Taken::No { first: false });
        let later = start + Duration::from_secs(1);
        assert_eq!(bucket.take(101, later), Taken::No { first: false });
        assert_eq!(bucket.take(100, later), Taken::Yes { left_out: 3 });
        let much_later = later + Duration::from_secs(3_600);
        assert_eq!(bucket.take(1_001, much_later), Taken::No { first: true });
        assert_eq!(bucket.take(1_000, much_later), Taken::Yes { left_out: 1 });
    }
}
