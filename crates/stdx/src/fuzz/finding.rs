//! What was found: a panic or a wrong reading, made smaller and written down.

use super::{Check, Verdict, Wrong};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// How many smaller inputs are tried.
const TRIES_MAX: usize = 600;

/// Whether a check is running: panics are its own then, whatever thread they are on.
static CHECKING: AtomicBool = AtomicBool::new(false);
/// The seed of the first input under way, and how many there are: what a process that aborts has time to say.
static SEED: AtomicU64 = AtomicU64::new(0);
static COUNT: AtomicU64 = AtomicU64::new(0);
/// The last panic since a check began.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

fn panic_slot() -> MutexGuard<'static, Option<String>> {
    PANIC.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says which inputs are next.
pub(super) fn under_way(seed: u64, count: u64) {
    SEED.store(seed, SeqCst);
    COUNT.store(count, SeqCst);
}

/// Notes panics during checks instead of printing them: making an input smaller panics hundreds of times.
pub(super) fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if CHECKING.load(SeqCst) {
                let text = info.to_string();
                let mut noted = panic_slot();
                // The process ends behind this: in a function that foreign code called.
                if text.contains("cannot unwind") {
                    let (seed, count) = (SEED.load(SeqCst), COUNT.load(SeqCst));
                    let first = noted.take().unwrap_or(text);
                    println!("fuzz FOUND: --seed {seed} --count {count}: the process aborts: {first}");
                } else {
                    *noted = Some(text);
                }
            } else {
                usual(info);
            }
        }));
    });
}

/// Runs `judge`; a panic of this or any other thread meanwhile is its failure.
fn guarded<T>(judge: impl FnOnce() -> T) -> Result<T, Wrong> {
    *panic_slot() = None;
    CHECKING.store(true, SeqCst);
    let result = catch_unwind(AssertUnwindSafe(judge));
    CHECKING.store(false, SeqCst);
    let noted = panic_slot().take();
    match (result, noted) {
        (Ok(value), None) => Ok(value),
        (_, Some(text)) => Err(format!("panic: {text}")),
        (Err(payload), None) => Err(format!("panic: {}", text_of(&*payload))),
    }
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("of no text")
}

/// One verdict for each input.
pub(super) fn judge(check: &mut Check, inputs: &[Vec<u8>]) -> Vec<Result<Verdict, Wrong>> {
    match check {
        Check::Each(judge) => inputs
            .iter()
            .map(|input| guarded(|| judge(input)).unwrap_or_else(Err))
            .collect(),
        Check::Batch { judge, .. } => {
            let all = guarded(|| judge(inputs));
            match all {
                Ok(verdicts) if verdicts.len() == inputs.len() => verdicts,
                _ => inputs
                    .iter()
                    .map(|input| {
                        let one = guarded(|| judge(std::slice::from_ref(input)));
                        one.and_then(|mut verdicts| {
                            verdicts.pop().unwrap_or_else(|| Err("the check broke off".to_owned()))
                        })
                    })
                    .collect(),
            }
        }
    }
}

/// A message without what differs from input to input, so that one defect is told once.
pub(super) fn kind(wrong: &str) -> String {
    let line = wrong.lines().next().unwrap_or_default();
    let end = line.find([':', '"']).unwrap_or(line.len());
    let words: String = line[..end]
        .chars()
        .filter(|character| !character.is_ascii_digit())
        .collect();
    // Of a panic, the place.
    let place = wrong
        .strip_prefix("panic: panicked at ")
        .and_then(|rest| rest.lines().next());
    format!("{words} {}", place.unwrap_or_default())
}

/// Leaves pieces out as long as what remains goes wrong in the same way.
pub(super) fn shrink(check: &mut Check, input: &[u8], wrong: &Wrong) -> (Vec<u8>, Wrong) {
    let (mut best, mut told) = (input.to_vec(), wrong.clone());
    let mut length = best.len().div_ceil(2);
    let mut tries = 0;
    while length > 0 && tries < TRIES_MAX {
        let mut at = 0;
        while at < best.len() && tries < TRIES_MAX {
            tries += 1;
            let mut less = best.clone();
            less.drain(at..(at + length).min(best.len()));
            match judge(check, std::slice::from_ref(&less)).pop() {
                Some(Err(again)) if kind(&again) == kind(wrong) => (best, told) = (less, again),
                _ => at += length,
            }
        }
        length = if length == 1 { 0 } else { length.div_ceil(2) };
    }
    (best, told)
}

/// Writes an input; returns where.
pub(super) fn write(directory: &Path, target: &str, seed: u64, input: &[u8]) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join(format!("{target}-{seed}"));
    std::fs::write(&path, input)?;
    Ok(path)
}
