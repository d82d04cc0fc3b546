//! Fuzzing of what parses bytes from outside: seeded inputs, a runner that finds panics, hangs and broken promises.
//!
//! A program (an example of the crate that parses) lists its [`Target`]s and hands them to [`main`]; `cargo xtask campaign
//! fuzz` runs all programs. A target's [`Check`] is told an input and says whether the parser took it, refused it, or broke
//! a promise: what it read does not survive being written and read again, another implementation reads it differently, a
//! limit does not hold. A panic, on any thread, and an input that takes longer than the target's time are findings, too.
//!
//! Invariants:
//! - an input depends on its seed and its target alone, so a finding is repeated by its seed;
//! - a run in which a target took nothing, or refused nothing, has tested nothing and fails.

mod finding;
mod input;
mod run;

pub use input::Inputs;
pub use run::main;

use std::time::Duration;

/// How long one input may take, by default: a bound on steps, far above what any takes, on a busy machine too.
pub const INPUT_TIME_MAX: Duration = Duration::from_secs(20);
/// The longest input, bytes, by default.
pub const INPUT_BYTES_MAX: usize = 4096;

/// What a parser made of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was read.
    Taken,
    /// It was refused, as it may be.
    Refused,
}

/// What a check found wrong: one line and whatever helps.
pub type Wrong = String;

/// What a judge says of one input.
pub type Judged = Result<Verdict, Wrong>;

/// Judges one input.
pub type Judge = dyn FnMut(&[u8]) -> Judged;

/// Judges several inputs.
pub type BatchJudge = dyn FnMut(&[Vec<u8>]) -> Vec<Judged>;

/// Judges inputs.
pub enum Check {
    /// One after the other.
    Each(Box<Judge>),
    /// Many at once, for what is costly to start: one verdict for each, in their order.
    Batch {
        /// How many at once.
        size: usize,
        /// The judge. Fewer verdicts than inputs: it broke off, and each input is then tried alone.
        judge: Box<BatchJudge>,
    },
}

/// Something that parses.
pub struct Target {
    /// Its name, unique over all programs.
    pub name: &'static str,
    /// Where inputs come from.
    pub inputs: Inputs,
    /// What they are told.
    pub check: Check,
    /// Whether it can refuse at all: a lenient parser reads anything.
    pub refuses: bool,
    /// How long an input (or a batch) may take.
    pub time_max: Duration,
}

impl Target {
    /// A target that judges one input after the other.
    pub fn each(
        name: &'static str,
        inputs: Inputs,
        check: impl FnMut(&[u8]) -> Result<Verdict, Wrong> + 'static,
    ) -> Self {
        Self {
            name,
            inputs,
            check: Check::Each(Box::new(check)),
            refuses: true,
            time_max: INPUT_TIME_MAX,
        }
    }

    /// As [`Target::each`], for a parser whose inputs are text: what is no UTF-8 is replaced.
    pub fn text(
        name: &'static str,
        inputs: Inputs,
        mut check: impl FnMut(&str) -> Result<Verdict, Wrong> + 'static,
    ) -> Self {
        Self::each(name, inputs, move |bytes| check(&String::from_utf8_lossy(bytes)))
    }

    /// The target reads anything.
    #[must_use]
    pub fn lenient(mut self) -> Self {
        self.refuses = false;
        self
    }
}

/// Says what is wrong unless it holds.
pub fn hold(holds: bool, wrong: impl FnOnce() -> Wrong) -> Result<(), Wrong> {
    if holds { Ok(()) } else { Err(wrong()) }
}

/// Says that two readings differ unless they agree.
pub fn agree<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), Wrong> {
    hold(found == expected, || {
        format!("{what}: found {found:?}, expected {expected:?}")
    })
}
