//! `Range` of a request against a body of known length (RFC 9110, section 14).

use std::ops::Range;

/// The most ranges of one request; a request for more gets the whole response, as the RFC advises against abuse
/// (section 14.2).
pub const RANGES_MAX: usize = 16;

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// Everything: no range was asked for, or none that is understood.
    Whole,
    /// These, in the order asked for; never empty, each within the body.
    Some(Vec<Range<u64>>),
    /// `416 Range Not Satisfiable`.
    Unsatisfiable,
}

/// Resolves a `Range` field. A unit other than `bytes` is ignored (section 14.2); what is no list of ranges is refused, as
/// the RFC leaves open and the Workers platform does.
pub fn resolve(field: &str, length: u64) -> Ranges {
    let Some((unit, list)) = field.split_once('=') else {
        return Ranges::Unsatisfiable;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Ranges::Whole;
    }
    let mut ranges = Vec::new();
    let mut asked = 0;
    for spec in list.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
        asked += 1;
        if asked > RANGES_MAX {
            return Ranges::Whole;
        }
        match one(spec, length) {
            Ok(Some(range)) => ranges.push(range),
            Ok(None) => {}
            Err(NoRange) => return Ranges::Unsatisfiable,
        }
    }
    if ranges.is_empty() {
        Ranges::Unsatisfiable
    } else {
        Ranges::Some(ranges)
    }
}

struct NoRange;

/// `Ok(None)`: well-formed, and outside of the body.
fn one(spec: &str, length: u64) -> Result<Option<Range<u64>>, NoRange> {
    let (first, last) = spec.split_once('-').ok_or(NoRange)?;
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        let suffix = number(last)?.min(length);
        return Ok((suffix > 0).then(|| length - suffix..length));
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return Err(NoRange);
    }
    Ok((first < length).then(|| first..last.saturating_add(1).min(length)))
}

fn number(text: &str) -> Result<u64, NoRange> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NoRange);
    }
    Ok(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |field: &str, expected: Ranges| assert_eq!(resolve(field, 10), expected, "{field}");
        let some = |ranges: &[(u64, u64)]| Ranges::Some(ranges.iter().map(|&(from, to)| from..to).collect());
        check("bytes=0-0", some(&[(0, 1)]));
        check("bytes=1-2", some(&[(1, 3)]));
        check("Bytes = 8-99", some(&[(8, 10)]));
        check("bytes=3-", some(&[(3, 10)]));
        check("bytes=-2", some(&[(8, 10)]));
        check("bytes=-99", some(&[(0, 10)]));
        check("bytes=0-0, -1,4-5", some(&[(0, 1), (9, 10), (4, 6)]));
        check("bytes=50-60,1-1", some(&[(1, 2)]));
        check("bytes=9-18446744073709551615", some(&[(9, 10)]));
        check("bytes=0-99999999999999999999999", some(&[(0, 10)]));
        for bad in [
            "bytes=10-",
            "bytes=50-60",
            "bytes=-0",
            "bytes=2-1",
            "bytes=x",
            "bytes=",
            "bytes",
            "bytes=1-x",
            "bytes=-",
            "bytes=+1-2",
        ] {
            check(bad, Ranges::Unsatisfiable);
        }
        check("items=0-1", Ranges::Whole);
        check(&format!("bytes={}", "0-0,".repeat(RANGES_MAX + 1)), Ranges::Whole);
    }

    #[test]
    fn an_empty_body_has_no_ranges() {
        assert_eq!(resolve("bytes=0-", 0), Ranges::Unsatisfiable);
        assert_eq!(resolve("bytes=-5", 0), Ranges::Unsatisfiable);
    }
}
