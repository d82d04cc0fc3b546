//! When crons are due. No clock, no task: it is told the time and says what to do.
//!
//! Times are UTC. Expressions are those of the Workers platform: five fields, weekdays from 1 (Sunday) to 7 (Saturday) or by
//! name, `L`, `W` and `#`. A tick is a minute; no tick fires twice, also when the clock is set back, and none fires later than
//! [`LATE_MAX`].

use atoll_model::{RequestId, TenantId, WorkerName};
use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// How long after its minute a tick may still fire: when the machine slept, or others were at it.
pub const LATE_MAX: Duration = Duration::from_secs(60);
/// How long before a tick its worker is started, if it does not run.
pub const WARM_AHEAD: Duration = Duration::from_secs(5);
/// What nobody fired because all processes were down or asleep is made up for if it was due no longer ago than this.
pub const MISSED_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Ticks that may run at once, in one process; further ones wait, up to [`LATE_MAX`].
pub const TICKS_AT_ONCE_MAX: usize = 64;
/// Expressions of one worker.
pub const CRONS_MAX: usize = 100;

/// One firing of one expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// Whose.
    pub tenant: TenantId,
    /// Which worker.
    pub worker: WorkerName,
    /// The expression, as configured.
    pub cron: String,
    /// The minute, milliseconds since the Unix epoch.
    pub scheduled_ms: u64,
}

impl Tick {
    /// The same in every process and at every time: whoever fires a tick a second time can be known by it.
    pub fn id(&self) -> RequestId {
        // FNV-1a, then the finalizer of SplitMix64.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let parts = [self.tenant.as_str(), self.worker.as_str(), self.cron.as_str()];
        let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
        for byte in bytes.chain(self.scheduled_ms.to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        RequestId(crate::host::OWN_EVENTS | (hash ^ (hash >> 31)))
    }
}

/// Why a tick did not fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// The one before it still runs.
    Overlap,
    /// Its time was over when it could have been fired.
    Missed,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Do {
    /// A worker's tick comes soon.
    Expect(Tick),
    /// Fire it, and say [`Schedule::done`] when it is over.
    Fire(Tick),
    /// Its time was over, and none of its expression comes in its place now: it may be made up for, or told as missed.
    MakeUpFor(Tick),
    /// Nothing; tell it.
    Skip(Tick, Skipped),
}

/// A worker's expressions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crons {
    /// Whose.
    pub tenant: TenantId,
    /// Which worker.
    pub worker: WorkerName,
    /// The expressions.
    pub expressions: Vec<String>,
}

struct Entry {
    tenant: TenantId,
    worker: WorkerName,
    text: String,
    cron: Cron,
    /// The next tick; none if there will be none.
    next_ms: Option<u64>,
    /// Its worker has been told to start for it.
    expected: bool,
    running: bool,
}

impl Entry {
    fn tick(&self, due_ms: u64) -> Tick {
        Tick {
            tenant: self.tenant.clone(),
            worker: self.worker.clone(),
            cron: self.text.clone(),
            scheduled_ms: due_ms,
        }
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Schedule {
    entries: Vec<Entry>,
    running: usize,
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// An expression as the Workers platform reads it.
///
/// # Errors
/// Why it is none.
pub(crate) fn parse(expression: &str) -> Result<Cron, String> {
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .alternative_weekdays(true)
        .build();
    parser.parse(expression).map_err(|error| error.to_string())
}

/// The first tick after `after_ms`.
fn next(cron: &Cron, after_ms: u64) -> Option<u64> {
    let after = DateTime::<Utc>::from_timestamp_millis(i64::try_from(after_ms).ok()?)?;
    let next = cron.find_next_occurrence(&after, false).ok()?;
    u64::try_from(next.timestamp_millis()).ok()
}

/// The last tick after `after_ms` and not after `until_ms`.
fn newest(cron: &Cron, after_ms: u64, until_ms: u64) -> Option<u64> {
    let until = DateTime::<Utc>::from_timestamp_millis(i64::try_from(until_ms).ok()?)?;
    let newest = cron.find_previous_occurrence(&until, true).ok()?;
    u64::try_from(newest.timestamp_millis())
        .ok()
        .filter(|newest| *newest > after_ms)
}

impl Schedule {
    /// Of each expression the newest tick that was due after `since_ms` and up to `now_ms`, if [`MISSED_MAX`] is not over for it:
    /// what a process missed that was not there. At most `max`.
    pub(crate) fn missed(&self, since_ms: u64, now_ms: u64, max: usize) -> Vec<Tick> {
        let since_ms = since_ms.max(now_ms.saturating_sub(ms(MISSED_MAX)));
        let missed = self.entries.iter().filter_map(|entry| {
            let due_ms = newest(&entry.cron, since_ms, now_ms)?;
            Some(entry.tick(due_ms))
        });
        missed.take(max).collect()
    }

    /// What is scheduled from now on. An expression that was before goes on where it was. Returns what cannot be read, with
    /// the reason.
    pub(crate) fn set(&mut self, workers: &[Crons], now_ms: u64) -> Vec<(WorkerName, String, String)> {
        let mut refused = Vec::new();
        // By worker: a configuration may have very many.
        let mut old: HashMap<(TenantId, WorkerName), Vec<Entry>> = HashMap::new();
        for entry in std::mem::take(&mut self.entries) {
            let key = (entry.tenant.clone(), entry.worker.clone());
            old.entry(key).or_default().push(entry);
        }
        let mut seen: HashSet<(&TenantId, &WorkerName, &str)> = HashSet::new();
        for Crons {
            tenant,
            worker,
            expressions,
        } in workers
        {
            for text in expressions.iter().take(CRONS_MAX) {
                if !seen.insert((tenant, worker, text)) {
                    continue;
                }
                let known = old.get_mut(&(tenant.clone(), worker.clone()));
                let known = known.and_then(|entries| {
                    let at = entries.iter().position(|entry| entry.text == *text)?;
                    Some(entries.swap_remove(at))
                });
                if let Some(known) = known {
                    self.entries.push(known);
                    continue;
                }
                match parse(text) {
                    Ok(cron) => self.entries.push(Entry {
                        tenant: tenant.clone(),
                        worker: worker.clone(),
                        text: text.clone(),
                        next_ms: next(&cron, now_ms),
                        cron,
                        expected: false,
                        running: false,
                    }),
                    Err(error) => refused.push((worker.clone(), text.clone(), error)),
                }
            }
            for text in expressions.iter().skip(CRONS_MAX) {
                refused.push((
                    worker.clone(),
                    text.clone(),
                    format!("a worker has at most {CRONS_MAX}"),
                ));
            }
        }
        refused
    }

    /// What to do at `now_ms`.
    pub(crate) fn poll(&mut self, now_ms: u64) -> Vec<Do> {
        let mut todo = Vec::new();
        for entry in &mut self.entries {
            while let Some(due_ms) = entry.next_ms {
                if now_ms < due_ms {
                    if !entry.expected && now_ms.saturating_add(ms(WARM_AHEAD)) >= due_ms {
                        entry.expected = true;
                        todo.push(Do::Expect(entry.tick(due_ms)));
                    }
                    break;
                }
                let late = now_ms - due_ms > ms(LATE_MAX);
                // After a long sleep one missed tick is told, not each of them; if none fires now, the newest.
                let from_ms = due_ms.max(now_ms.saturating_sub(ms(LATE_MAX)));
                let alone = late && newest(&entry.cron, from_ms, now_ms).is_none();
                let newest_ms = if alone {
                    newest(&entry.cron, due_ms, now_ms)
                } else {
                    None
                };
                let tick = entry.tick(newest_ms.unwrap_or(due_ms));
                if !late && !entry.running && self.running >= TICKS_AT_ONCE_MAX {
                    // When one is over, or too late.
                    break;
                }
                todo.push(match (late, entry.running) {
                    (true, _) if alone => Do::MakeUpFor(tick),
                    (true, _) => Do::Skip(tick, Skipped::Missed),
                    (false, true) => Do::Skip(tick, Skipped::Overlap),
                    (false, false) => {
                        entry.running = true;
                        self.running += 1;
                        Do::Fire(tick)
                    }
                });
                entry.expected = false;
                entry.next_ms = next(&entry.cron, from_ms);
            }
        }
        todo
    }

    /// A tick that was fired is over.
    pub(crate) fn done(&mut self, tick: &Tick) {
        self.running = self.running.saturating_sub(1);
        let same =
            |entry: &&mut Entry| entry.tenant == tick.tenant && entry.worker == tick.worker && entry.text == tick.cron;
        // Gone, if it was taken away meanwhile.
        if let Some(entry) = self.entries.iter_mut().find(same) {
            entry.running = false;
        }
    }

    /// Is the tick's expression still scheduled?
    pub(crate) fn has(&self, tick: &Tick) -> bool {
        let same =
            |entry: &Entry| entry.tenant == tick.tenant && entry.worker == tick.worker && entry.text == tick.cron;
        self.entries.iter().any(same)
    }

    /// When there is something to do next. A tick that is due and waits for others comes when one of them is over.
    pub(crate) fn wake_ms(&self, now_ms: u64) -> Option<u64> {
        let ahead = ms(WARM_AHEAD);
        let wakes = self.entries.iter().filter_map(|entry| {
            let due_ms = entry.next_ms?;
            Some(match entry.expected {
                _ if due_ms <= now_ms => due_ms.saturating_add(ms(LATE_MAX) + 1),
                true => due_ms,
                false => due_ms.saturating_sub(ahead),
            })
        });
        wakes.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    /// Milliseconds of a time like `2026-11-21T19:30:00Z`.
    fn at(text: &str) -> u64 {
        let time = DateTime::parse_from_rfc3339(text).unwrap();
        u64::try_from(time.timestamp_millis()).unwrap()
    }

    fn crons(worker: &str, expressions: &[&str]) -> Crons {
        Crons {
            tenant: TenantId::new("t"),
            worker: WorkerName::new(worker),
            expressions: expressions.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    fn shown(todo: &[Do], begin_ms: u64) -> Vec<String> {
        let minute = |tick: &Tick| (tick.scheduled_ms - begin_ms) / MINUTE;
        todo.iter()
            .map(|what| match what {
                Do::Expect(tick) => format!("expect {}", tick.worker),
                Do::Fire(tick) => format!("{} {}", tick.worker, minute(tick)),
                Do::Skip(tick, why) => format!("{} {} {why:?}", tick.worker, minute(tick)),
                Do::MakeUpFor(tick) => format!("{} {} Missed", tick.worker, minute(tick)),
            })
            .collect()
    }

    #[test]
    fn expressions_are_read_as_the_platform_does() {
        let check = |expression: &str, after: &str, expected: &str| {
            let cron = parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
            let next = next(&cron, at(after)).unwrap();
            assert_eq!(next, at(expected), "{expression} after {after}");
        };
        check("* * * * *", "2026-11-21T19:30:00Z", "2026-11-21T19:31:00Z");
        check("*/30 * * * *", "2026-11-21T19:30:01Z", "2026-11-21T20:00:00Z");
        check("45 * * * *", "2026-11-21T19:50:00Z", "2026-11-21T20:45:00Z");
        // 2026-11-21 is a Saturday: 7, and Sunday is 1.
        check("0 17 * * 1", "2026-11-21T19:30:00Z", "2026-11-22T17:00:00Z");
        check("0 17 * * sun", "2026-11-21T19:30:00Z", "2026-11-22T17:00:00Z");
        check("10 7 * * MON-FRI", "2026-11-21T19:30:00Z", "2026-11-23T07:10:00Z");
        check("10 7 * * 2-6", "2026-11-21T19:30:00Z", "2026-11-23T07:10:00Z");
        check("0 15 1 * *", "2026-11-21T19:30:00Z", "2026-12-01T15:00:00Z");
        check("59 23 LW * *", "2026-11-01T00:00:00Z", "2026-11-30T23:59:00Z");
        check("0 18 * * 6L", "2026-11-21T19:30:00Z", "2026-11-27T18:00:00Z");
        check("0 0 29 2 *", "2026-11-21T19:30:00Z", "2028-02-29T00:00:00Z");
        for wrong in ["", "* * * *", "* * * * * *", "60 * * * *", "* * * * 8", "a * * * *"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_tick_fires_once_and_its_worker_is_ready_before() {
        let begin = at("2026-11-21T19:00:10Z");
        let minutes = begin - 10_000;
        let mut schedule = Schedule::default();
        assert!(schedule.set(&[crons("w", &["*/2 * * * *"])], begin).is_empty());
        let mut did = Vec::new();
        for second in 0..=290 {
            let now = begin + second * 1_000;
            let todo = schedule.poll(now);
            for what in &todo {
                if let Do::Fire(tick) = what {
                    assert_eq!(tick.scheduled_ms, now);
                    schedule.done(tick);
                }
            }
            did.extend(shown(&todo, minutes));
        }
        assert_eq!(did, ["expect w", "w 2", "expect w", "w 4"]);
    }

    #[test]
    fn a_tick_is_skipped_while_the_one_before_runs() {
        let begin = at("2026-11-21T19:00:00Z");
        let mut schedule = Schedule::default();
        schedule.set(&[crons("w", &["* * * * *"])], begin);
        let first = schedule.poll(begin + MINUTE);
        assert_eq!(shown(&first, begin), ["w 1"]);
        assert_eq!(shown(&schedule.poll(begin + 2 * MINUTE), begin), ["w 2 Overlap"]);
        // A reload changes nothing about that.
        schedule.set(&[crons("w", &["* * * * *", "0 0 1 1 *"])], begin + 2 * MINUTE);
        assert_eq!(shown(&schedule.poll(begin + 3 * MINUTE), begin), ["w 3 Overlap"]);
        let Do::Fire(tick) = &first[0] else { panic!() };
        schedule.done(tick);
        assert_eq!(shown(&schedule.poll(begin + 4 * MINUTE), begin), ["w 4"]);
    }

    #[test]
    fn what_is_too_late_is_told_once_and_a_clock_that_goes_back_repeats_nothing() {
        let begin = at("2026-11-21T19:00:00Z");
        let mut schedule = Schedule::default();
        schedule.set(&[crons("w", &["* * * * *"])], begin);
        let awake = schedule.poll(begin + 60 * MINUTE + 500);
        assert_eq!(shown(&awake, begin), ["w 1 Missed", "w 60"]);
        let Do::Fire(tick) = &awake[1] else { panic!() };
        schedule.done(tick);
        for minute in 0..=60 {
            assert_eq!(
                shown(&schedule.poll(begin + minute * MINUTE), begin),
                Vec::<String>::new()
            );
        }
        assert_eq!(shown(&schedule.poll(begin + 61 * MINUTE), begin), ["w 61"]);
    }

    #[test]
    fn so_many_run_at_once_and_the_others_follow() {
        let begin = at("2026-11-21T19:00:00Z");
        let mut schedule = Schedule::default();
        let workers: Vec<_> = (0..TICKS_AT_ONCE_MAX + 2)
            .map(|number| crons(&format!("w{number}"), &["30 19 * * *"]))
            .collect();
        schedule.set(&workers, begin);
        let due = begin + 30 * MINUTE;
        let fired = schedule.poll(due);
        assert_eq!(fired.len(), TICKS_AT_ONCE_MAX);
        assert_eq!(schedule.poll(due + 1), []);
        assert_eq!(schedule.wake_ms(due + 1), Some(due + 60_001));
        let Do::Fire(tick) = &fired[0] else { panic!() };
        schedule.done(tick);
        assert_eq!(
            shown(&schedule.poll(due + 2), begin),
            [format!("w{TICKS_AT_ONCE_MAX} 30")]
        );
        let late = schedule.poll(due + 60_001);
        assert_eq!(shown(&late, begin), [format!("w{} 30 Missed", TICKS_AT_ONCE_MAX + 1)]);
    }

    #[test]
    fn of_what_nobody_was_there_for_the_newest_is_known() {
        let now = at("2026-11-21T19:00:30Z");
        let mut schedule = Schedule::default();
        schedule.set(&[crons("w", &["*/10 * * * *", "30 3 * * *", "0 0 1 1 *"])], now);
        let missed = |since_ms: u64, max: usize| -> Vec<u64> {
            let missed = schedule.missed(since_ms, now, max);
            missed.iter().map(|tick| (now - tick.scheduled_ms) / MINUTE).collect()
        };
        // What was due when it was last seen to be there, it has fired.
        assert_eq!(missed(now - 31_000, 9), [0]);
        assert_eq!(missed(now - 30_000, 9), [0; 0]);
        assert_eq!(missed(now - 15 * 60 * MINUTE, 9), [0]);
        assert_eq!(missed(now - 16 * 60 * MINUTE, 9), [0, 15 * 60 + 30]);
        // No more than a day, and a clock that was ahead is no absence.
        assert_eq!(missed(0, 9), [0, 15 * 60 + 30]);
        assert_eq!(missed(now + MINUTE, 9), [0; 0]);
        assert_eq!(missed(0, 1), [0]);
    }

    #[test]
    fn after_a_long_sleep_the_newest_is_made_up_for_unless_another_one_fires() {
        let begin = at("2026-11-21T19:00:00Z");
        let mut schedule = Schedule::default();
        schedule.set(&[crons("hour", &["0 * * * *"]), crons("minute", &["* * * * *"])], begin);
        let todo = schedule.poll(begin + 190 * MINUTE);
        let made_up: Vec<_> = todo
            .iter()
            .filter(|what| matches!(what, Do::MakeUpFor(_)))
            .cloned()
            .collect();
        assert_eq!(shown(&made_up, begin), ["hour 180 Missed"]);
        assert_eq!(
            shown(&todo, begin),
            ["hour 180 Missed", "minute 1 Missed", "minute 190"]
        );
    }

    #[test]
    fn it_is_woken_for_what_comes_next() {
        let begin = at("2026-11-21T19:00:00Z");
        let mut schedule = Schedule::default();
        assert_eq!(schedule.wake_ms(begin), None);
        schedule.set(&[crons("a", &["10 * * * *"]), crons("b", &["5 * * * *"])], begin);
        assert_eq!(schedule.wake_ms(begin), Some(begin + 5 * MINUTE - 5_000));
        schedule.poll(begin + 5 * MINUTE - 5_000);
        assert_eq!(schedule.wake_ms(begin + 5 * MINUTE - 5_000), Some(begin + 5 * MINUTE));
        let refused = schedule.set(&[crons("a", &["61 * * * *", "@daily x"])], begin);
        assert_eq!(refused.len(), 2);
        assert_eq!(schedule.wake_ms(begin), None);
    }

    #[test]
    fn ids_are_stable() {
        let tick = |worker: &str, scheduled_ms: u64| Tick {
            tenant: TenantId::new("t"),
            worker: WorkerName::new(worker),
            cron: "* * * * *".to_owned(),
            scheduled_ms,
        };
        assert_eq!(tick("w", 60_000).id(), tick("w", 60_000).id());
        assert_ne!(tick("w", 60_000).id(), tick("w", 120_000).id());
        assert_ne!(tick("w", 60_000).id(), tick("v", 60_000).id());
    }
}
