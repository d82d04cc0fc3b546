//! What the children told, and whether what was found can have come of it.
//!
//! Each key is a register. An operation takes effect at one moment between its beginning and its acknowledgement, or, if it
//! was not acknowledged, between its beginning and the crash, or never. So a key may hold what operation O left there unless
//! some acknowledged operation on the key began after O was over: that one must have come later. What the store held at first
//! was over before everything.

use crate::operation::{Operation, Place};
use anyhow::{Context, Result, bail};
use atoll_kv::Entry;
use std::collections::{BTreeMap, HashMap};

/// What a store holds, by key.
pub type State = BTreeMap<Place, Entry>;

#[derive(Debug)]
struct Told {
    seed: u64,
    number: u64,
    operation: Operation,
    expiration: Option<u64>,
    began: u64,
    /// When it was acknowledged, or its child died.
    over: Option<u64>,
    acknowledged: bool,
}

/// All operations since the last check.
#[derive(Debug, Default)]
pub struct History {
    first: State,
    told: Vec<Told>,
    /// By run and number, those under way.
    under_way: HashMap<(u64, u64), usize>,
    moment: u64,
}

/// What a check counted.
#[derive(Debug, Default)]
pub struct Outcome {
    pub acknowledged: u64,
    pub unacknowledged: u64,
    pub unacknowledged_stored: u64,
    pub expired: u64,
}

impl History {
    pub fn starting_from(first: State) -> Self {
        Self {
            first,
            ..Self::default()
        }
    }

    fn tick(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    pub fn begin(&mut self, seed: u64, run: u64, number: u64, expiration: u64) {
        let began = self.tick();
        self.under_way.insert((run, number), self.told.len());
        self.told.push(Told {
            seed,
            number,
            operation: Operation::derive(seed, number),
            expiration: (expiration > 0).then_some(expiration),
            began,
            over: None,
            acknowledged: false,
        });
    }

    pub fn acknowledge(&mut self, run: u64, number: u64) -> Result<()> {
        let moment = self.tick();
        let index = self
            .under_way
            .remove(&(run, number))
            .context("acknowledged what never began")?;
        self.told[index].over = Some(moment);
        self.told[index].acknowledged = true;
        Ok(())
    }

    pub fn crash(&mut self) {
        let moment = self.tick();
        for (_, index) in self.under_way.drain() {
            self.told[index].over = Some(moment);
        }
    }

    /// Whether the store may hold `found` at `now`.
    pub fn judge(&self, found: &State, now: u64) -> Result<Outcome> {
        let mut by_place: BTreeMap<Place, Vec<&Told>> = BTreeMap::new();
        let mut outcome = Outcome::default();
        for told in &self.told {
            if told.acknowledged {
                outcome.acknowledged += 1;
            } else {
                outcome.unacknowledged += 1;
            }
            for place in told.operation.places() {
                by_place.entry(*place).or_default().push(told);
            }
        }
        for place in Place::all() {
            let told = by_place.get(&place).map_or(&[][..], Vec::as_slice);
            // The latest beginning among the acknowledged: whoever was over before it is not the last.
            let last = told
                .iter()
                .filter(|told| told.acknowledged)
                .map(|told| told.began)
                .max()
                .unwrap_or(0);
            let found = found.get(&place);
            let fits = |entry: Option<&Entry>, over: u64| {
                let seen = entry.filter(|entry| entry.expiration.is_none_or(|at| at > now));
                over >= last && seen == found
            };
            let author = told.iter().find(|told| {
                fits(
                    told.operation.entry(told.expiration).as_ref(),
                    told.over.unwrap_or(u64::MAX),
                )
            });
            if let Some(author) = author {
                outcome.unacknowledged_stored += u64::from(!author.acknowledged);
                let expires = author.expiration.is_some_and(|at| at <= now);
                outcome.expired += u64::from(expires && found.is_none());
            } else if fits(self.first.get(&place), 0) {
                outcome.expired += u64::from(self.first.contains_key(&place) && found.is_none());
            } else {
                bail!("{}", self.finding(place, told, found, last));
            }
        }
        Ok(outcome)
    }

    fn finding(&self, place: Place, told: &[&Told], found: Option<&Entry>, last: u64) -> String {
        use std::fmt::Write;
        let show = |entry: Option<&Entry>| match entry {
            None => "nothing".to_owned(),
            Some(entry) => format!(
                "{} bytes {:?}.., metadata {:?}, expiration {:?}",
                entry.value.len(),
                String::from_utf8_lossy(&entry.value[..entry.value.len().min(40)]),
                entry.metadata,
                entry.expiration
            ),
        };
        let mut text = format!(
            "{place:?} holds {}, which none of its writes can have left last (an acknowledged one began at {last}); at first \
             it held {}",
            show(found),
            show(self.first.get(&place))
        );
        for told in told.iter().rev().take(20) {
            let over = told.over.unwrap_or(u64::MAX);
            let kind = if told.acknowledged { "acknowledged" } else { "crashed" };
            let left = show(told.operation.entry(told.expiration).as_ref());
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "\n  {:x}/{} began {} {kind} {over}: left {left}",
                told.seed, told.number, told.began
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check must be able to fail: a history in which each kind of loss is found.
    #[test]
    fn losses_are_found() {
        let seed = 5;
        let puts: Vec<u64> = (0..500)
            .filter(|number| matches!(Operation::derive(seed, *number), Operation::Put(place, _) if place.key < 20))
            .collect();
        let mut history = History::default();
        for number in &puts {
            history.begin(seed, 0, *number, 0);
            history.acknowledge(0, *number).unwrap();
        }
        let mut right = State::new();
        let mut overwritten = None;
        for number in &puts {
            let operation = Operation::derive(seed, *number);
            let entry = operation.entry(None).unwrap();
            if let Some(old) = right.insert(operation.places()[0], entry) {
                overwritten = Some((operation.places()[0], old));
            }
        }
        let check = |state: &State, good: bool| assert_eq!(history.judge(state, 1).is_ok(), good);
        check(&right, true);
        check(&State::new(), false);
        let place = *right.keys().next().unwrap();
        let with = |change: &dyn Fn(&mut State)| {
            let mut state = right.clone();
            change(&mut state);
            state
        };
        check(&with(&|state| drop(state.remove(&place))), false);
        check(
            &with(&|state| drop(state.insert(overwritten.clone().unwrap().0, overwritten.clone().unwrap().1))),
            false,
        );
        check(
            &with(&|state| state.get_mut(&place).unwrap().metadata = Some("other".to_owned())),
            false,
        );
        check(
            &with(&|state| state.get_mut(&place).unwrap().expiration = Some(9)),
            false,
        );
        check(
            &with(&|state| drop(state.get_mut(&place).unwrap().value.split_off(3))),
            false,
        );
    }
}
