//! Compatibility dates: a calendar day, and the newest one that is known.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A calendar day, `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CompatDate {
    year: u16,
    month: u8,
    day: u8,
}

/// What is wrong with the text of a compatibility date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a date of the form YYYY-MM-DD")]
pub struct CompatDateError(pub String);

impl CompatDate {
    /// The newest date whose behaviour this build knows: that of workerd 1.20261117. Later dates are accepted with a
    /// warning and behave as this one.
    pub const NEWEST: Self = Self::new(2026, 11, 24);

    /// A date from its parts. The parts are not checked: for constants. Text goes through [`FromStr`].
    pub const fn new(year: u16, month: u8, day: u8) -> Self {
        Self { year, month, day }
    }
}

impl FromStr for CompatDate {
    type Err = CompatDateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || CompatDateError(text.to_owned());
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return Err(bad());
        }
        let digits = |part: &[u8]| {
            part.iter()
                .try_fold(0u16, |n, b| b.is_ascii_digit().then(|| n * 10 + u16::from(b - b'0')))
        };
        let year = digits(&bytes[0..4]).ok_or_else(bad)?;
        let month = digits(&bytes[5..7]).ok_or_else(bad)? as u8;
        let day = digits(&bytes[8..10]).ok_or_else(bad)? as u8;
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return Err(bad()),
        };
        if day == 0 || day > days {
            return Err(bad());
        }
        Ok(Self { year, month, day })
    }
}

impl TryFrom<String> for CompatDate {
    type Error = CompatDateError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CompatDate> for String {
    fn from(date: CompatDate) -> Self {
        date.to_string()
    }
}

impl fmt::Display for CompatDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let check = |text: &str, ok: bool| {
            let parsed = text.parse::<CompatDate>();
            assert_eq!(parsed.is_ok(), ok, "{text}");
            if let Ok(date) = parsed {
                assert_eq!(date.to_string(), text);
            }
        };
        check("2026-08-01", true);
        check("2024-02-29", true);
        check("2026-02-29", false);
        check("2026-13-01", false);
        check("2026-00-10", false);
        check("2026-1-1", false);
        check("latest", false);
        check("20é6-01-01", false);
        check("", false);
    }

    #[test]
    fn dates_order_by_day() {
        assert!(CompatDate::new(2025, 12, 31) < CompatDate::new(2026, 1, 1));
        assert!(CompatDate::new(2026, 1, 9) < CompatDate::new(2026, 1, 10));
    }
}
