//! What came of many simulated fleets.

use std::fmt;

#[derive(Debug, Default, Clone, Copy)]
pub struct Totals {
    pub worlds: u64,
    pub good: u64,
    pub bad: u64,
    pub rolled_back: u64,
    pub live: u64,
    pub unproven: u64,
    pub superseded: u64,
    pub late: u64,
    pub crashes: u64,
    pub restarts: u64,
    pub slowest_ms: u64,
    /// Bad ones that had too few requests to be judged by: those that stayed on the canary,
    pub few_held: u64,
    /// and those that went on.
    pub few_passed: u64,
    /// Of these, the ones that the watch took back, after how long together and at most.
    pub few_taken_back: u64,
    pub few_back_ms: u64,
    pub few_back_most_ms: u64,
}

/// How numbers of two runs become one.
type Joined = fn(u64, u64) -> u64;

impl Totals {
    /// All numbers, in the order in which they are written.
    fn numbers(&mut self) -> [(&mut u64, Joined); 16] {
        let (sum, most): (Joined, Joined) = (|one, other| one + other, u64::max);
        [
            (&mut self.worlds, sum),
            (&mut self.good, sum),
            (&mut self.bad, sum),
            (&mut self.rolled_back, sum),
            (&mut self.live, sum),
            (&mut self.unproven, sum),
            (&mut self.superseded, sum),
            (&mut self.late, sum),
            (&mut self.crashes, sum),
            (&mut self.restarts, sum),
            (&mut self.slowest_ms, most),
            (&mut self.few_held, sum),
            (&mut self.few_passed, sum),
            (&mut self.few_taken_back, sum),
            (&mut self.few_back_ms, sum),
            (&mut self.few_back_most_ms, most),
        ]
    }

    pub fn add(&mut self, mut other: Self) {
        for ((mine, joined), (theirs, _)) in self.numbers().into_iter().zip(other.numbers()) {
            *mine = joined(*mine, *theirs);
        }
    }

    pub fn to_text(mut self) -> String {
        self.numbers().map(|(number, _)| number.to_string()).join(" ")
    }

    /// Reads [`Self::to_text`], and what stands behind it.
    pub fn from_text(text: &str) -> Option<(Self, &str)> {
        let (numbers, rest) = text.split_once('|').unwrap_or((text, ""));
        let mut totals = Self::default();
        let mut words = numbers.split_whitespace();
        for (number, _) in totals.numbers() {
            *number = words.next()?.parse().ok()?;
        }
        words.next().is_none().then_some((totals, rest.trim()))
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} fleets, {} good and {} bad deployments: {} live ({} unproven), {} rolled back (slowest undisturbed {} ms; {} \
             showed only when they were everywhere), {} superseded; {} PoPs crashed, {} control planes killed; of bad ones with \
             too few requests to be judged by, {} stayed on the canary and {} went on, {} of which were taken back (after {} ms \
             on average, {} ms at most)",
            self.worlds,
            self.good,
            self.bad,
            self.live,
            self.unproven,
            self.rolled_back,
            self.slowest_ms,
            self.late,
            self.superseded,
            self.crashes,
            self.restarts,
            self.few_held,
            self.few_passed,
            self.few_taken_back,
            self.few_back_ms / self.few_taken_back.max(1),
            self.few_back_most_ms,
        )
    }
}
