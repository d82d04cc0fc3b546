//! What came of many simulated fleets.

use std::fmt;

#[derive(Debug, Default)]
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
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.good += other.good;
        self.bad += other.bad;
        self.rolled_back += other.rolled_back;
        self.live += other.live;
        self.unproven += other.unproven;
        self.superseded += other.superseded;
        self.late += other.late;
        self.crashes += other.crashes;
        self.restarts += other.restarts;
        self.slowest_ms = self.slowest_ms.max(other.slowest_ms);
    }
}

impl Totals {
    pub fn to_text(&self) -> String {
        let Self {
            worlds,
            good,
            bad,
            rolled_back,
            live,
            unproven,
            superseded,
            late,
            crashes,
            restarts,
            slowest_ms,
        } = self;
        format!(
            "{worlds} {good} {bad} {rolled_back} {live} {unproven} {superseded} {late} {crashes} {restarts} {slowest_ms}"
        )
    }

    /// Reads [`Self::to_text`], and what stands behind it.
    pub fn from_text(text: &str) -> Option<(Self, &str)> {
        let (numbers, rest) = text.split_once('|').unwrap_or((text, ""));
        let numbers: Vec<u64> = numbers
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        let &[
            worlds,
            good,
            bad,
            rolled_back,
            live,
            unproven,
            superseded,
            late,
            crashes,
            restarts,
            slowest_ms,
        ] = numbers.as_slice()
        else {
            return None;
        };
        let totals = Self {
            worlds,
            good,
            bad,
            rolled_back,
            live,
            unproven,
            superseded,
            late,
            crashes,
            restarts,
            slowest_ms,
        };
        Some((totals, rest.trim()))
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} fleets, {} good and {} bad deployments: {} live ({} unproven), {} rolled back (slowest undisturbed {} ms; {} \
             showed only when they were everywhere), {} superseded; {} PoPs crashed, {} control planes killed",
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
            self.restarts
        )
    }
}
