//! A program's runs: arguments, progress, the watch over time, findings told.

use super::finding;
use super::{Check, Target, Verdict};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Findings of different kinds after which a target is left alone.
const FINDINGS_MAX: usize = 8;
/// Inputs from which on a target must have taken some and refused some.
const MEANING_INPUTS: u64 = 500;
/// How often the watch looks.
const WATCH_PERIOD: Duration = Duration::from_millis(250);
/// Inputs between two notes of the progress.
const PROGRESS_INPUTS: u64 = 5_000;
/// The longest text of a finding that is printed, bytes.
const TEXT_BYTES_MAX: usize = 2_000;

/// What a program was asked to do: `--target T --count N --seed S [--resume]`; `--list` names the targets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Options {
    target: Option<String>,
    count: u64,
    seed: u64,
    resume: bool,
    list: bool,
}

impl Options {
    fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            count: 1000,
            seed: 1,
            ..Self::default()
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            let number = |text: String| text.parse().map_err(|_| format!("{argument}: {text} is no number"));
            match argument.as_str() {
                "--target" => options.target = Some(value()?),
                "--count" => options.count = number(value()?)?,
                "--seed" => options.seed = number(value()?)?,
                "--resume" => options.resume = true,
                "--list" => options.list = true,
                other => {
                    return Err(format!(
                        "{other} is unknown; known are --target, --count, --seed, --resume and --list"
                    ));
                }
            }
        }
        Ok(options)
    }
}

/// Runs what the command line asks for: the targets, or one. Failure: a finding, or a target that tested nothing.
pub fn main(targets: Vec<Target>) -> ExitCode {
    match command(targets) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command(targets: Vec<Target>) -> Result<bool, String> {
    let options = Options::parse(std::env::args().skip(1))?;
    let names: Vec<&str> = targets.iter().map(|target| target.name).collect();
    if options.list {
        for name in names {
            println!("{name}");
        }
        return Ok(true);
    }
    if let Some(name) = &options.target
        && !names.contains(&name.as_str())
    {
        return Err(format!("no target \"{name}\"; known: {}", names.join(", ")));
    }
    let program = std::env::current_exe().map_err(|error| format!("find this program: {error}"))?;
    let state = program.with_file_name("fuzz-state");
    std::fs::create_dir_all(&state).map_err(|error| format!("create {}: {error}", state.display()))?;
    finding::note_panics();
    let mut sound = true;
    for mut target in targets {
        if options.target.as_ref().is_some_and(|name| name != target.name) {
            continue;
        }
        let first = Totals::first(&options, &state.join(target.name))?;
        let place = state.join("findings");
        let totals = run(
            &mut target,
            &options,
            first,
            &place,
            &mut |text| println!("{text}"),
            &|hang| {
                println!("{hang}");
                // Its thread will not come back.
                std::process::exit(1);
            },
        )?;
        totals.save(&state.join(target.name), options.seed)?;
        sound &= totals.findings == 0;
        if let Some(nothing) = totals.tested_nothing(&target) {
            println!("fuzz {}: {nothing}", target.name);
            sound = false;
        }
    }
    Ok(sound)
}

/// Counts of a target's run; what `--resume` goes on with.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Totals {
    inputs: u64,
    taken: u64,
    refused: u64,
    findings: u64,
    slowest_us: u64,
    slowest_seed: u64,
}

impl Totals {
    fn first(options: &Options, path: &Path) -> Result<Self, String> {
        if !options.resume {
            return Ok(Self::default());
        }
        let at = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| format!("nothing to resume: {at}: {error}"))?;
        let numbers: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[seed, inputs, taken, refused, findings, slowest_us, slowest_seed]) if seed == options.seed => {
                Ok(Self {
                    inputs,
                    taken,
                    refused,
                    findings,
                    slowest_us,
                    slowest_seed,
                })
            }
            Ok(&[seed, ..]) if seed != options.seed => Err(format!("{at} is of seed {seed}, not {}", options.seed)),
            _ => Err(format!("{at} is not the progress of a run")),
        }
    }

    fn save(&self, path: &Path, seed: u64) -> Result<(), String> {
        let Self {
            inputs,
            taken,
            refused,
            findings,
            slowest_us,
            slowest_seed,
        } = self;
        let text = format!("{seed} {inputs} {taken} {refused} {findings} {slowest_us} {slowest_seed}");
        std::fs::write(path, text).map_err(|error| format!("write {}: {error}", path.display()))
    }

    fn tested_nothing(&self, target: &Target) -> Option<&'static str> {
        if self.inputs < MEANING_INPUTS {
            None
        } else if self.taken == 0 {
            Some("no input was taken: it tests nothing")
        } else if target.refuses && self.refused == 0 {
            Some("no input was refused: it tests nothing")
        } else {
            None
        }
    }

    fn tell(&self, name: &str, seed: u64) -> String {
        format!(
            "fuzz {name} seed {seed}: {} inputs, {} taken, {} refused, {} findings; slowest {}.{:03} ms (seed {})",
            self.inputs,
            self.taken,
            self.refused,
            self.findings,
            self.slowest_us / 1000,
            self.slowest_us % 1000,
            self.slowest_seed
        )
    }
}

/// What is under way, for the watch.
#[derive(Default)]
struct UnderWay {
    since: Option<Instant>,
    seed: u64,
    inputs: Vec<Vec<u8>>,
    over: bool,
}

/// Lets the watch go.
struct Over<'a>(&'a Mutex<UnderWay>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        locked(self.0).over = true;
    }
}

fn locked(state: &Mutex<UnderWay>) -> MutexGuard<'_, UnderWay> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for an input that takes too long, and tells it once.
fn watch(state: &Mutex<UnderWay>, name: &str, time_max: Duration, place: &Path, hang: &dyn Fn(String)) {
    loop {
        std::thread::sleep(WATCH_PERIOD.min(time_max));
        let state = locked(state);
        if state.over {
            return;
        }
        if state.since.is_some_and(|since| since.elapsed() > time_max) {
            let mut text = format!("fuzz {name} FOUND: no end after {time_max:?}; one of");
            for (seed, input) in (state.seed..).zip(&state.inputs) {
                text.push_str(&format!(
                    "\n  --seed {seed} --count 1: {}",
                    placed(place, name, seed, input)
                ));
            }
            hang(text);
            return;
        }
    }
}

fn placed(directory: &Path, name: &str, seed: u64, input: &[u8]) -> String {
    match finding::write(directory, name, seed, input) {
        Ok(path) => path.display().to_string(),
        Err(error) => format!("(not written: {error})"),
    }
}

fn shown(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Tries inputs until `options.count` are done.
fn run(
    target: &mut Target,
    options: &Options,
    first: Totals,
    place: &Path,
    say: &mut dyn FnMut(&str),
    hang: &(dyn Fn(String) + Sync),
) -> Result<Totals, String> {
    let state = Arc::new(Mutex::new(UnderWay::default()));
    std::thread::scope(|scope| {
        let (name, time_max) = (target.name, target.time_max);
        let watched = state.clone();
        let place_of_watch: PathBuf = place.to_owned();
        scope.spawn(move || watch(&watched, name, time_max, &place_of_watch, hang));
        // Also if what follows panics: the scope waits for the watch.
        let _over = Over(&state);
        Ok(hunt(target, options, first, place, &state, say))
    })
}

fn hunt(
    target: &mut Target,
    options: &Options,
    mut totals: Totals,
    place: &Path,
    state: &Mutex<UnderWay>,
    say: &mut dyn FnMut(&str),
) -> Totals {
    let mut kinds: Vec<String> = Vec::new();
    let batch = match &target.check {
        Check::Each(_) => 1,
        Check::Batch { size, .. } => (*size).max(1) as u64,
    };
    let mut told = totals.inputs;
    while totals.inputs < options.count && kinds.len() < FINDINGS_MAX {
        let seed = options.seed.wrapping_add(totals.inputs);
        let many = batch.min(options.count - totals.inputs);
        let inputs: Vec<Vec<u8>> = (0..many)
            .map(|at| target.inputs.of(target.name, seed.wrapping_add(at)))
            .collect();
        let start = Instant::now();
        *locked(state) = UnderWay {
            since: Some(start),
            seed,
            inputs: inputs.clone(),
            over: false,
        };
        finding::under_way(seed, many);
        let verdicts = finding::judge(&mut target.check, &inputs);
        locked(state).since = None;
        let each_us = start.elapsed().as_micros() as u64 / many;
        if each_us > totals.slowest_us {
            (totals.slowest_us, totals.slowest_seed) = (each_us, seed);
        }
        for (seed, (input, verdict)) in (seed..).zip(inputs.iter().zip(verdicts)) {
            totals.inputs += 1;
            match verdict {
                Ok(Verdict::Taken) => totals.taken += 1,
                Ok(Verdict::Refused) => totals.refused += 1,
                Err(wrong) => {
                    totals.findings += 1;
                    let kind = finding::kind(&wrong);
                    if kinds.contains(&kind) {
                        continue;
                    }
                    kinds.push(kind);
                    let (small, small_wrong) = finding::shrink(&mut target.check, input, &wrong);
                    say(&format!(
                        "fuzz {} FOUND: --seed {seed} --count 1 ({}): {}\n  made smaller: {:?}\n  {}",
                        target.name,
                        placed(place, target.name, seed, input),
                        shown(&wrong),
                        shown(&String::from_utf8_lossy(&small)),
                        shown(&small_wrong),
                    ));
                }
            }
        }
        if totals.inputs - told >= PROGRESS_INPUTS.max(options.count / 10) || totals.inputs >= options.count {
            told = totals.inputs;
            say(&totals.tell(target.name, options.seed));
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::super::{Inputs, agree, hold};
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    const INPUTS: Inputs = Inputs::new(
        &[b"name=value; Path=/; Max-Age=10", b"a=1"],
        &["=", ";", "Path", "Max-Age=", "a"],
    );

    /// Panics are the process's: tests that plant them take turns.
    static TURN: Mutex<()> = Mutex::new(());

    fn turn() -> MutexGuard<'static, ()> {
        TURN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn options(count: u64, seed: u64) -> Options {
        Options {
            count,
            seed,
            ..Options::default()
        }
    }

    /// Totals and what was said of a target whose check is `check`.
    fn tried(options: &Options, check: impl FnMut(&str) -> Result<Verdict, String> + 'static) -> (Totals, Vec<String>) {
        finding::note_panics();
        let mut target = Target::text("planted", INPUTS, check);
        let place = std::env::temp_dir().join(format!("atoll-fuzz-test-{}", std::process::id()));
        let mut said = Vec::new();
        let first = Totals::default();
        let totals = run(
            &mut target,
            options,
            first,
            &place,
            &mut |text| said.push(text.to_owned()),
            &|hang| panic!("{hang}"),
        );
        (totals.unwrap(), said)
    }

    /// The seed that a finding names.
    fn seed_of(said: &[String]) -> u64 {
        let found = said.iter().find(|text| text.contains("FOUND")).unwrap();
        let after = found.split("--seed ").nth(1).unwrap();
        after.split(' ').next().unwrap().parse().unwrap()
    }

    #[test]
    fn a_planted_panic_is_found_made_smaller_and_repeated_by_its_seed() {
        let _turn = turn();
        // The bug: a field is cut at a byte, whatever character is there.
        let check = |text: &str| {
            if let Some(at) = text.find("Max-Age=") {
                let _ = &text[at + 9..];
            }
            Ok(if text.contains('=') {
                Verdict::Taken
            } else {
                Verdict::Refused
            })
        };
        let (totals, said) = tried(&options(20_000, 7), check);
        assert!(totals.findings > 0);
        let told = said.iter().find(|text| text.contains("FOUND")).unwrap();
        assert!(
            told.contains("panic: ") && told.contains("made smaller: \"Max-Age="),
            "{told}"
        );
        let (again, _) = tried(&options(1, seed_of(&said)), check);
        assert_eq!(again.findings, 1);
    }

    #[test]
    fn a_planted_wrong_reading_is_found() {
        let _turn = turn();
        // The bug: a second `=` ends the value.
        let check = |text: &str| {
            let Some((name, value)) = text.split_once('=') else {
                return Ok(Verdict::Refused);
            };
            let wrong: Vec<&str> = text.split('=').collect();
            agree("value", &wrong[1], &value)?;
            agree("name", &wrong[0], &name)?;
            Ok(Verdict::Taken)
        };
        let (totals, said) = tried(&options(1000, 1), check);
        assert!(
            totals.findings > 0 && totals.taken > 0 && totals.refused > 0,
            "{totals:?}"
        );
        // Told once, not once for each input.
        assert_eq!(said.iter().filter(|text| text.contains("FOUND")).count(), 1, "{said:?}");
    }

    #[test]
    fn a_panic_of_another_thread_is_found() {
        let _turn = turn();
        let check = |text: &str| {
            let text = text.to_owned();
            let _ = std::thread::spawn(move || assert!(!text.contains(";;"))).join();
            Ok(Verdict::Taken)
        };
        assert!(tried(&options(3000, 3), check).0.findings > 0);
    }

    #[test]
    fn what_is_sound_passes() {
        let _turn = turn();
        let check = |text: &str| {
            hold(text.len() < 100_000, || "long".to_owned())?;
            Ok(if text.contains('=') {
                Verdict::Taken
            } else {
                Verdict::Refused
            })
        };
        let (totals, said) = tried(&options(1000, 1), check);
        assert_eq!(
            (totals.findings, totals.inputs, totals.taken + totals.refused),
            (0, 1000, 1000)
        );
        assert_eq!(said.len(), 1, "{said:?}");
    }

    #[test]
    fn an_input_without_end_is_told() {
        let _turn = turn();
        static TOLD: AtomicBool = AtomicBool::new(false);
        let mut target = Target::text("endless", INPUTS, |text| {
            while text.contains(";;") && !TOLD.load(SeqCst) {
                std::thread::yield_now();
            }
            Ok(Verdict::Taken)
        });
        target.time_max = Duration::from_millis(200);
        let place = std::env::temp_dir().join(format!("atoll-fuzz-hang-{}", std::process::id()));
        let hang = |text: String| {
            assert!(text.contains("--seed "), "{text}");
            TOLD.store(true, SeqCst);
        };
        run(
            &mut target,
            &options(5000, 1),
            Totals::default(),
            &place,
            &mut |_| {},
            &hang,
        )
        .unwrap();
        assert!(TOLD.load(SeqCst));
    }

    #[test]
    fn a_target_that_takes_or_refuses_nothing_fails() {
        let target = Target::text("x", INPUTS, |_| Ok(Verdict::Taken));
        let totals = |taken, refused| Totals {
            inputs: MEANING_INPUTS,
            taken,
            refused,
            ..Totals::default()
        };
        assert!(totals(0, 500).tested_nothing(&target).is_some());
        assert!(totals(500, 0).tested_nothing(&target).is_some());
        assert!(totals(1, 499).tested_nothing(&target).is_none());
        assert!(totals(500, 0).tested_nothing(&target.lenient()).is_none());
    }

    #[test]
    fn arguments() {
        let parse = |text: &str| Options::parse(text.split_whitespace().map(str::to_owned));
        let all = parse("--target heads --count 5 --seed 9 --resume").unwrap();
        assert_eq!(
            (all.target.as_deref(), all.count, all.seed, all.resume),
            (Some("heads"), 5, 9, true)
        );
        assert!(parse("--count").is_err());
        assert!(parse("--count x").is_err());
        assert!(parse("--other").is_err());
    }
}
