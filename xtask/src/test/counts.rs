//! Counts of tests, read from the closing lines of test runners.

use std::fmt;

/// How many tests ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ran and held.
    pub passed: usize,
    /// Ran and did not hold.
    pub failed: usize,
    /// Did not run, and said so.
    pub skipped: usize,
}

impl Counts {
    /// Adds another runner's counts.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// The counts of a closing line of `cargo test` or `cargo nextest`; `None` for any other line.
pub fn closing_line(line: &str) -> Option<Counts> {
    let line = without_escapes(line);
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("test result: ") {
        let counts = rest.split_once(". ")?.1;
        return Some(Counts {
            passed: before(counts, " passed")?,
            failed: before(counts, " failed")?,
            skipped: before(counts, " ignored")?,
        });
    }
    // "Summary [   1.2s] 40 tests run: 38 passed (1 slow), 2 failed, 1 timed out, 3 skipped"
    let rest = line.strip_prefix("Summary [")?;
    let counts = rest.split_once(" run: ")?.1;
    let trouble: usize = [" failed", " timed out", " exec failed"]
        .iter()
        .filter_map(|word| before(counts, word))
        .sum();
    Some(Counts {
        passed: before(counts, " passed").unwrap_or(0),
        failed: trouble,
        skipped: before(counts, " skipped").unwrap_or(0),
    })
}

/// The number right before `word`.
fn before(text: &str, word: &str) -> Option<usize> {
    let end = text.find(word)?;
    let start = text[..end].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    text[start..end].parse().ok()
}

/// The text without terminal escape sequences (`ESC [ ... letter`).
fn without_escapes(line: &str) -> String {
    let mut text = String::new();
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        if c == '\u{1b}' {
            for c in characters.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines() {
        let check = |line: &str, expected: Option<(usize, usize, usize)>| {
            let expected = expected.map(|(passed, failed, skipped)| Counts {
                passed,
                failed,
                skipped,
            });
            assert_eq!(closing_line(line), expected, "{line}");
        };
        check(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.1s",
            Some((12, 0, 1)),
        );
        check(
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
            Some((1, 2, 0)),
        );
        check(
            "     Summary [   1.270s] 40 tests run: 38 passed (1 slow), 2 failed, 3 skipped",
            Some((38, 2, 3)),
        );
        check(
            "\u{1b}[32;1m     Summary\u{1b}[0m [   0.270s] \u{1b}[1m4\u{1b}[0m tests run: \u{1b}[1m4\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, 0 skipped",
            Some((4, 0, 0)),
        );
        check(
            "     Summary [   1.270s] 5/40 tests run: 3 passed, 1 failed, 1 timed out, 0 skipped",
            Some((3, 2, 0)),
        );
        check("running 12 tests", None);
        check("test a ... ok", None);
    }
}
