//! Ticks of crons across the deaths of those who own them.
//!
//! The PoP of the highest rank fires a tick when it is due. It remembers that it runs and that it is over, and says so when it is
//! asked. The two next in rank wait, one longer than the other, and then ask whoever comes before them:
//!
//! | what they say | then |
//! |---|---|
//! | one says that it is over | nothing is left to do |
//! | one says that it runs | it is asked again later: it may still die of it |
//! | one is there and knows nothing of it | it is asked again once: it may be about to begin; then it is fired here |
//! | none answers | it is fired here |
//!
//! So a tick is fired at least once while one of three PoPs lives, with or without a control plane, and twice if its owner dies
//! before anybody could ask whether it was over, or if PoPs do not reach each other. Its id is the same each time. What is
//! remembered is bounded.
//!
//! What nobody could fire, because the PoP was alone and down or all were, is made up for: a PoP writes down every few seconds that it is
//! there, and when it was not, looks after the newest tick of each cron that was due meanwhile, as if it were due now. Others are asked
//! before, so what they have fired is not fired again.
//!
//! What begins is written down ([`journal`](crate::journal)). A PoP that was started again says of a tick that it had not come to the
//! end of that it runs; it asks those next in rank whether they have fired it meanwhile, and fires it again if not. One that is
//! alone so fires what it died of, up to three times ([`BEGUN_MAX`]).

use crate::Agent;
use crate::fleet::{Member, SUCCESSOR_DELAY, Tick, rendezvous};
pub use crate::journal::BEGUN_MAX;
use crate::journal::{Journal, LEFT_OVER_MAX_MS};
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How many PoPs after the owner look after a tick.
pub const SUCCESSORS_MAX: usize = 2;
/// The most ticks that are remembered; the oldest go first.
pub const LEDGER_MAX: usize = 20_000;
/// The most ticks that one question is answered for.
pub const ASKED_MAX: usize = 64;
/// How long a tick that runs is looked after: longer than one may run.
pub const WATCHED_FOR: Duration = Duration::from_secs(20 * 60);
/// A PoP that was started again gives itself this long before it looks after what it had left.
pub const LEFT_OVER_AFTER: Duration = Duration::from_secs(5);
/// Who does not answer is asked again after this long, before it counts as dead.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// What a PoP says of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It does not answer.
    Silent,
    /// It is there, and knows nothing of it.
    Unknown,
    /// It runs there.
    Running,
    /// It was fired there and is over.
    Over,
}

impl Word {
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Silent | Self::Unknown => 0,
            Self::Running => 1,
            Self::Over => 2,
        }
    }

    fn of_code(code: u32) -> Self {
        match code {
            0 => Self::Unknown,
            1 => Self::Running,
            _ => Self::Over,
        }
    }
}

/// Whose a tick is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// This PoP's, now.
    Now,
    /// Others', and this PoP's if they die: see [`Agent::succeeds`].
    After(Successor),
    /// Others'.
    Never,
}

/// A PoP that looks after another one's tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor {
    /// When it asks for the first time, after the tick was due.
    pub delay: Duration,
    /// Who comes before it, the owner first.
    pub before: Vec<String>,
}

/// What became of the ticks that were fired here.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
    journal: Mutex<Option<Journal>>,
}

#[derive(Debug, Default)]
struct State {
    /// By id: it is over.
    ticks: HashMap<String, bool>,
    order: VecDeque<String>,
}

impl Ledger {
    /// With what a process before this one had written down. What it had not come to the end of runs here, as far as others are
    /// told.
    pub(crate) fn open(path: &Path) -> Result<Self, crate::AgentError> {
        let mut journal = Journal::open(path)?;
        let ledger = Self::default();
        for id in journal.take_ended() {
            ledger.note(id, true);
        }
        for (tick, _) in journal.unfinished() {
            ledger.note(tick.id(), false);
        }
        *ledger.journal.lock().unwrap_or_else(PoisonError::into_inner) = Some(journal);
        Ok(ledger)
    }

    /// What a process before this one left and is to be fired again; what is not is let go, with the reason.
    fn left_over(&self, now_ms: u64) -> (Vec<Tick>, Vec<String>) {
        let (mut again, mut not) = (Vec::new(), Vec::new());
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(journal) = &mut *journal else {
            return (again, not);
        };
        let all: Vec<(Tick, u32)> = journal
            .unfinished()
            .map(|(tick, times)| (tick.clone(), times))
            .collect();
        for (tick, times) in all {
            let is_old = now_ms.saturating_sub(tick.due_ms) > LEFT_OVER_MAX_MS;
            if times < BEGUN_MAX && !is_old {
                again.push(tick);
                continue;
            }
            let why = if is_old {
                "it was due more than a day ago".to_owned()
            } else {
                format!("this PoP went down {times} times while it ran")
            };
            let Tick {
                account,
                worker,
                cron,
                due_ms,
            } = &tick;
            not.push(format!(
                "the tick of cron \"{cron}\" of worker {worker} of account {account} that was due at {due_ms} is not fired again: {why}"
            ));
            journal.over(&tick.id());
            self.note(tick.id(), true);
        }
        (again, not)
    }

    fn note(&self, id: String, over: bool) {
        // Map operations only: a panic elsewhere cannot leave them half-done.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.ticks.insert(id.clone(), over).is_none() {
            state.order.push_back(id);
        }
        while state.order.len() > LEDGER_MAX {
            if let Some(oldest) = state.order.pop_front() {
                state.ticks.remove(&oldest);
            }
        }
    }

    pub(crate) fn word(&self, id: &str) -> Word {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.ticks.get(id) {
            None => Word::Unknown,
            Some(false) => Word::Running,
            Some(true) => Word::Over,
        }
    }
}

impl Agent {
    /// Whose a tick is that is due now, by who is alive now.
    pub fn turn_of(&self, tick: &Tick) -> Turn {
        if self.is_draining() {
            return Turn::Never;
        }
        let live = self.live();
        let ranked = rendezvous(tick, live.iter().map(String::as_str));
        match ranked.iter().position(|name| *name == self.name()) {
            Some(0) => Turn::Now,
            Some(place @ 1..=SUCCESSORS_MAX) => Turn::After(Successor {
                // `place` is at most SUCCESSORS_MAX.
                delay: SUCCESSOR_DELAY * place as u32,
                before: ranked[..place].iter().map(|name| (*name).to_owned()).collect(),
            }),
            _ => Turn::Never,
        }
    }

    /// The tick is fired here.
    pub fn tick_begins(&self, tick: &Tick) {
        self.ticks.note(tick.id(), false);
        let mut journal = self.ticks.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(journal) = &mut *journal {
            journal.begins(tick);
        }
    }

    /// The tick that was fired here is over, however it ended.
    pub fn tick_is_over(&self, tick: &Tick) {
        let id = tick.id();
        let mut journal = self.ticks.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(journal) = &mut *journal {
            journal.over(&id);
        }
        drop(journal);
        self.ticks.note(id, true);
    }

    /// The ticks that this PoP had fired before it was started again, and not come to the end of: each may be to be fired again, as
    /// [`Self::is_left_over`] says. What is not fired again in any case is alarmed and left out.
    pub fn left_over(&self) -> Vec<Tick> {
        let (again, not) = self.ticks.left_over(self.options.clock.now_ms());
        for what in not {
            self.alarm(what);
        }
        again
    }

    /// Looks whether others have fired a tick that this PoP had left. True: they have not, and it is to be fired here. Takes
    /// [`LEFT_OVER_AFTER`] at least, and [`WATCHED_FOR`] and a little at most.
    pub async fn is_left_over(&self, tick: &Tick) -> bool {
        sleep(LEFT_OVER_AFTER).await;
        let live = self.live();
        let ranked = rendezvous(tick, live.iter().map(String::as_str));
        let others: Vec<String> = ranked
            .into_iter()
            .filter(|name| *name != self.name())
            .take(SUCCESSORS_MAX)
            .map(str::to_owned)
            .collect();
        let ask = || {
            let asked = others.iter().map(|name| self.ask_about(name, tick));
            futures_util::future::join_all(asked)
        };
        let mine = follow(Duration::ZERO, SUCCESSOR_DELAY, WATCHED_FOR, ask).await;
        if !mine {
            self.tick_is_over(tick);
        }
        mine && !self.is_draining()
    }

    /// Looks whether anybody has fired a tick that was due while this PoP was not there. True: nobody has, as far as those say who
    /// would have, and it is to be fired here. Takes [`LEFT_OVER_AFTER`] at least, and [`WATCHED_FOR`] and a little at most.
    pub async fn was_missed(&self, tick: &Tick) -> bool {
        if self.ticks.word(&tick.id()) != Word::Unknown {
            return false;
        }
        // Until it is known who is alive, and what the configuration is now.
        sleep(LEFT_OVER_AFTER).await;
        match self.turn_of(tick) {
            Turn::Never => false,
            Turn::After(successor) => self.succeeds(tick, &successor).await,
            Turn::Now => self.is_left_over(tick).await,
        }
    }

    /// Until when this PoP was there before it was started, milliseconds since the Unix epoch; `None` on its first start.
    pub fn was_there_until(&self) -> Option<u64> {
        self.there_until_ms
    }

    /// Looks after a tick for as long as those who come before this PoP may still fire it or be at it. True: they are dead, and it
    /// is to be fired here. Takes [`SUCCESSOR_DELAY`] at least, and [`WATCHED_FOR`] and a little at most.
    pub async fn succeeds(&self, tick: &Tick, successor: &Successor) -> bool {
        let ask = || {
            let asked = successor.before.iter().map(|name| self.ask_about(name, tick));
            futures_util::future::join_all(asked)
        };
        let mine = follow(successor.delay, SUCCESSOR_DELAY, WATCHED_FOR, ask).await;
        mine && !self.is_draining()
    }

    /// What another PoP says of a tick.
    pub async fn ask_about(&self, name: &str, tick: &Tick) -> Word {
        let fleet = self.fleet();
        let Some(member) = fleet.members.iter().find(|member| member.name == name) else {
            // It left the fleet.
            return Word::Silent;
        };
        if member.neighbour_address.is_empty() {
            // Nobody can ask it. While it lives it does what it has to.
            return if self.live().contains(name) {
                Word::Over
            } else {
                Word::Silent
            };
        }
        let id = tick.id();
        match self.ask_once(member, &id).await {
            Some(word) => word,
            None => {
                sleep(ASK_AGAIN).await;
                self.ask_once(member, &id).await.unwrap_or(Word::Silent)
            }
        }
    }

    async fn ask_once(&self, member: &Member, id: &str) -> Option<Word> {
        let answer = self.links.ask_about_tick(member, id).await?;
        // A release that does not say fires what is its own.
        Some(answer.map_or(Word::Over, Word::of_code))
    }
}

/// Asks now and then until it is known whose the tick is; see the module. True: ours.
async fn follow<F: Future<Output = Vec<Word>>>(
    delay: Duration,
    pause: Duration,
    most: Duration,
    ask: impl Fn() -> F,
) -> bool {
    let began = Instant::now();
    let mut unknown = false;
    sleep(delay).await;
    loop {
        let words = ask().await;
        if words.contains(&Word::Over) || began.elapsed() >= most {
            return false;
        }
        if words.contains(&Word::Running) {
            unknown = false;
        } else if words.contains(&Word::Unknown) && !unknown {
            unknown = true;
        } else {
            return true;
        }
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Word::{Over, Running, Silent, Unknown};
    use super::*;
    use std::cell::Cell;

    /// What comes of these answers, one question after the other, and how many are asked.
    async fn followed(answers: &[&[Word]]) -> (bool, usize) {
        let asked = Cell::new(0);
        let ask = || {
            asked.set(asked.get() + 1);
            std::future::ready(answers[asked.get() - 1].to_vec())
        };
        let moment = Duration::from_millis(1);
        let mine = follow(moment, moment, Duration::from_secs(600), ask).await;
        (mine, asked.get())
    }

    #[tokio::test]
    async fn a_tick_is_taken_over_from_the_dead_alone() {
        assert_eq!(followed(&[&[Over]]).await, (false, 1));
        assert_eq!(followed(&[&[Silent]]).await, (true, 1));
        assert_eq!(followed(&[&[Silent, Over]]).await, (false, 1));
        // It dies while it runs.
        assert_eq!(followed(&[&[Running], &[Running], &[Silent]]).await, (true, 3));
        assert_eq!(followed(&[&[Running], &[Over]]).await, (false, 2));
        // Another one has taken it over meanwhile.
        assert_eq!(followed(&[&[Silent, Running], &[Silent, Over]]).await, (false, 2));
        // The owner was started again and knows nothing; the one before this one is given the time to take it over.
        assert_eq!(followed(&[&[Unknown], &[Unknown]]).await, (true, 2));
        assert_eq!(
            followed(&[&[Silent, Unknown], &[Silent, Running], &[Silent, Over]]).await,
            (false, 3)
        );
        assert_eq!(followed(&[&[Running], &[Unknown], &[Unknown]]).await, (true, 3));
    }

    #[tokio::test]
    async fn what_never_ends_is_left_alone_in_the_end() {
        let moment = Duration::from_millis(1);
        assert!(!follow(moment, moment, 5 * moment, || std::future::ready(vec![Running])).await);
    }

    #[test]
    fn a_ledger_is_bounded() {
        let ledger = Ledger::default();
        for id in 0..LEDGER_MAX + 2 {
            ledger.note(id.to_string(), false);
        }
        ledger.note("5".to_owned(), true);
        assert_eq!((ledger.word("0"), ledger.word("1")), (Unknown, Unknown));
        assert_eq!((ledger.word("2"), ledger.word("5")), (Running, Over));
        assert_eq!(ledger.state.lock().unwrap().order.len(), LEDGER_MAX);
    }
}
