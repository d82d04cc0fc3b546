//! Compatibility dates and flags: which day's behaviour a worker asks for, and where it departs from that day's.
//!
//! One table says what flags there are, from which day each is on, and what this build makes of it. The configuration checks
//! against it, the engine asks it, the reference is written from it. [`CompatFlags::resolve`] is done once per version.

mod date;
mod node;
mod platform;
mod python;
mod web;

pub use date::{CompatDate, CompatDateError};

/// A compatibility flag: a behaviour that is on from some day, and the two names by which a worker moves it.
#[derive(Debug, Clone, Copy)]
pub struct CompatFlag {
    /// The name that switches it on; it stands for the behaviour everywhere.
    pub name: &'static str,
    /// The name that switches it off; empty if there is none.
    pub off: &'static str,
    /// When it is on by itself.
    pub when: When,
    /// workerd makes no promise about it.
    pub experimental: bool,
    /// What this build makes of it.
    pub status: FlagStatus,
    /// What is so while it is on.
    pub effect: &'static str,
}

/// When a flag is on by itself.
#[derive(Debug, Clone, Copy)]
pub struct When {
    /// From this day on.
    pub since: Option<CompatDate>,
    /// From this day on, if one of the flags that are named is on.
    pub with: Option<(&'static [&'static str], CompatDate)>,
}

/// What this build makes of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlagStatus {
    /// On and off are as the flag says.
    Honoured,
    /// It is always on here: switching it off has no effect.
    AlwaysOn,
    /// It is always off here: switching it on has no effect.
    AlwaysOff,
    /// It belongs to a part of the platform that is not built.
    Unbuilt,
    /// It concerns what does not exist here: another network's proxy, Python, the inside of workerd.
    NotApplicable,
    /// It means nothing any more, there as here.
    Obsolete,
}

const NEVER: When = When {
    since: None,
    with: None,
};

const fn from(year: u16, month: u8, day: u8) -> When {
    When {
        since: Some(CompatDate::new(year, month, day)),
        with: None,
    }
}

impl When {
    const fn or_with(self, flags: &'static [&'static str], year: u16, month: u8, day: u8) -> Self {
        Self {
            since: self.since,
            with: Some((flags, CompatDate::new(year, month, day))),
        }
    }
}

const fn flag(
    name: &'static str,
    off: &'static str,
    when: When,
    experimental: bool,
    status: FlagStatus,
    effect: &'static str,
) -> CompatFlag {
    CompatFlag {
        name,
        off,
        when,
        experimental,
        status,
        effect,
    }
}

/// The parts of the table.
pub const FLAG_TABLES: [(&str, &[CompatFlag]); 4] = [
    ("JavaScript APIs", web::FLAGS),
    ("Node.js", node::FLAGS),
    ("Platform", platform::FLAGS),
    ("Python", python::FLAGS),
];

/// How many flags there are.
pub const FLAG_COUNT: usize = web::FLAGS.len() + node::FLAGS.len() + platform::FLAGS.len() + python::FLAGS.len();

/// All flags, in the table's order.
pub fn flags() -> impl Iterator<Item = &'static CompatFlag> {
    FLAG_TABLES.iter().flat_map(|(_, flags)| flags.iter())
}

/// The flag that has `name` for its name, on or off; `true` with the name that switches it on.
pub fn find_flag(name: &str) -> Option<(&'static CompatFlag, bool)> {
    if name.is_empty() {
        return None;
    }
    flags().find_map(|flag| match () {
        () if flag.name == name => Some((flag, true)),
        () if flag.off == name => Some((flag, false)),
        () => None,
    })
}

/// Which flags are on for one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompatFlags {
    on: [bool; FLAG_COUNT],
    off_by_name: [bool; FLAG_COUNT],
}

impl CompatFlags {
    /// What a worker gets that asks for `date` and `configured`. Unknown names count for nothing, of two that contradict
    /// each other the one that switches off counts: [`check_flags`] tells of both.
    pub fn resolve(date: CompatDate, configured: &[impl AsRef<str>]) -> Self {
        let named = |name: &str| !name.is_empty() && configured.iter().any(|flag| flag.as_ref() == name);
        let mut all = Self {
            on: [false; FLAG_COUNT],
            off_by_name: [false; FLAG_COUNT],
        };
        for (index, flag) in flags().enumerate() {
            all.off_by_name[index] = named(flag.off);
            let by_day = flag.when.since.is_some_and(|since| date >= since);
            all.on[index] = (by_day || named(flag.name)) && !all.off_by_name[index];
        }
        // A flag may come with one that itself comes with another: until nothing moves. Flags only ever go on here.
        loop {
            let mut moved = false;
            for (index, flag) in flags().enumerate() {
                let Some((with, since)) = flag.when.with else { continue };
                if !all.on[index]
                    && !all.off_by_name[index]
                    && date >= since
                    && with.iter().any(|name| all.enabled(name))
                {
                    all.on[index] = true;
                    moved = true;
                }
            }
            if !moved {
                return all;
            }
        }
    }

    fn index(name: &str) -> Option<usize> {
        flags().position(|flag| flag.name == name)
    }

    /// Whether the behaviour is on. `name` is [`CompatFlag::name`]; what is none is off.
    pub fn enabled(&self, name: &str) -> bool {
        Self::index(name).is_some_and(|index| self.on[index])
    }

    /// Whether the configuration itself switched the behaviour off, by [`CompatFlag::off`].
    pub fn switched_off(&self, name: &str) -> bool {
        Self::index(name).is_some_and(|index| self.off_by_name[index])
    }

    /// Every flag's name and whether it is on.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, bool)> {
        flags().map(|flag| flag.name).zip(self.on)
    }
}

/// Something to say about a worker's flags.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagFinding {
    /// Two flags say the opposite: an error.
    #[error("Compatibility flags are mutually contradictory: {on} vs {off}")]
    Contradictory {
        /// The one that switches on.
        on: &'static str,
        /// The one that switches off.
        off: &'static str,
    },
    /// There is no such flag.
    #[error("No such compatibility flag: {0}")]
    Unknown(String),
    /// It stands there twice.
    #[error("Compatibility flag specified multiple times: {0}")]
    Repeated(String),
    /// The day already says so.
    #[error("The compatibility flag {flag} became the default as of {since} so does not need to be specified anymore.")]
    AlreadyDefault {
        /// The flag.
        flag: &'static str,
        /// Since when.
        since: CompatDate,
    },
    /// It is known and changes nothing here.
    #[error("the flag \"{flag}\" has no effect: {reason}")]
    NoEffect {
        /// As configured.
        flag: String,
        /// Why.
        reason: &'static str,
    },
}

impl FlagFinding {
    /// Whether the version cannot run with it; everything else is a warning.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Contradictory { .. })
    }
}

/// What is odd about `configured`, each with the index of the flag it is about.
pub fn check_flags(date: CompatDate, configured: &[impl AsRef<str>]) -> Vec<(usize, FlagFinding)> {
    let mut findings = Vec::new();
    for (index, name) in configured.iter().enumerate() {
        let name = name.as_ref();
        if configured[..index].iter().any(|earlier| earlier.as_ref() == name) {
            findings.push((index, FlagFinding::Repeated(name.to_owned())));
            continue;
        }
        let Some((flag, on)) = find_flag(name) else {
            findings.push((index, FlagFinding::Unknown(name.to_owned())));
            continue;
        };
        if !on && configured.iter().any(|other| other.as_ref() == flag.name) {
            let (on, off) = (flag.name, flag.off);
            findings.push((index, FlagFinding::Contradictory { on, off }));
            continue;
        }
        if let Some(since) = flag.when.since.filter(|since| on && date >= *since) {
            let flag = flag.name;
            findings.push((index, FlagFinding::AlreadyDefault { flag, since }));
        } else if let Some(reason) = flag.status.no_effect(on) {
            let flag = name.to_owned();
            findings.push((index, FlagFinding::NoEffect { flag, reason }));
        }
    }
    findings
}

impl FlagStatus {
    /// Why naming such a flag has no effect; `None` if it has its effect, or none is needed for it to be so.
    fn no_effect(self, on: bool) -> Option<&'static str> {
        match (self, on) {
            (Self::AlwaysOn, false) => Some("this build has the newer behaviour only"),
            (Self::AlwaysOff, true) => Some("this build does not have what it switches on"),
            (Self::Unbuilt, _) => Some("the part of the platform that it belongs to is not built yet"),
            (Self::NotApplicable, _) => Some("what it concerns does not exist here"),
            (Self::Obsolete, _) => Some("it means nothing any more"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn on(date: &str, configured: &[&str], name: &str) -> bool {
        CompatFlags::resolve(date.parse().unwrap(), configured).enabled(name)
    }

    #[test]
    fn days_and_names() {
        let check = |date, configured: &[&str], name, expected| {
            assert_eq!(on(date, configured, name), expected, "{date} {configured:?} {name}");
        };
        check("2022-03-20", &[], "global_navigator", false);
        check("2022-03-21", &[], "global_navigator", true);
        check("2022-03-20", &["global_navigator"], "global_navigator", true);
        check("2026-01-01", &["no_global_navigator"], "global_navigator", false);
        // nodejs_compat brings its second version from a day on, and later comes by itself.
        check("2024-09-22", &["nodejs_compat"], "nodejs_compat_v2", false);
        check("2024-09-23", &["nodejs_compat"], "nodejs_compat_v2", true);
        check("2024-09-23", &[], "nodejs_compat_v2", false);
        let both = &["nodejs_compat", "no_nodejs_compat_v2"][..];
        check("2025-01-01", both, "nodejs_compat", true);
        check("2025-01-01", both, "nodejs_compat_v2", false);
        check("2025-01-01", both, "nodejs_zlib", true);
        check("2026-08-03", &[], "nodejs_compat", false);
        check("2026-08-04", &[], "nodejs_compat", true);
        check("2026-08-04", &[], "enable_nodejs_fs_module", true);
        // Two steps: nodejs_compat, enable_nodejs_http_modules, enable_nodejs_http_server_modules.
        check(
            "2025-09-01",
            &["nodejs_compat"],
            "enable_nodejs_http_server_modules",
            true,
        );
        check(
            "2025-08-31",
            &["nodejs_compat"],
            "enable_nodejs_http_server_modules",
            false,
        );
        let without = &["nodejs_compat", "disable_nodejs_http_modules"][..];
        check("2025-09-01", without, "enable_nodejs_http_server_modules", false);
        check("2026-11-24", &[], "temporal", false);
        check("2026-11-24", &["temporal"], "temporal", true);
        check("2026-11-24", &["no_such_flag"], "no_such_flag", false);
        check("2026-11-24", &[], "", false);
    }

    #[test]
    fn findings() {
        let check = |configured: &[&str], expected: &[(usize, &str)]| {
            let date = CompatDate::new(2026, 8, 1);
            let found = check_flags(date, configured);
            let shown: Vec<(usize, String)> = found.iter().map(|(at, finding)| (*at, finding.to_string())).collect();
            let expected: Vec<(usize, String)> = expected.iter().map(|(at, text)| (*at, (*text).to_owned())).collect();
            assert_eq!(shown, expected);
        };
        check(&["nodejs_compat", "nodejs_als"], &[]);
        check(
            &["nodejs_compat", "no_nodejs_compat"],
            &[(
                1,
                "Compatibility flags are mutually contradictory: nodejs_compat vs no_nodejs_compat",
            )],
        );
        check(&["nope"], &[(0, "No such compatibility flag: nope")]);
        check(
            &["nodejs_als", "nodejs_als"],
            &[(1, "Compatibility flag specified multiple times: nodejs_als")],
        );
        check(
            &["url_standard"],
            &[(
                0,
                "The compatibility flag url_standard became the default as of 2022-10-31 so does not need to be specified \
                 anymore.",
            )],
        );
        check(
            &["url_original"],
            &[(
                0,
                "the flag \"url_original\" has no effect: this build has the newer behaviour only",
            )],
        );
    }

    #[test]
    fn the_table_holds_together() {
        let mut names = HashSet::new();
        for flag in flags() {
            assert!(names.insert(flag.name), "{} stands twice", flag.name);
            assert!(
                flag.off.is_empty() || names.insert(flag.off),
                "{} stands twice",
                flag.off
            );
            assert!(flag.effect.ends_with('.'), "{}", flag.name);
            for name in flag.when.with.iter().flat_map(|(with, _)| with.iter()) {
                assert!(
                    find_flag(name).is_some_and(|(_, on)| on),
                    "{} comes with {name}",
                    flag.name
                );
            }
        }
        assert_eq!(flags().count(), FLAG_COUNT);
        assert_eq!(FLAG_COUNT, 205);
    }
}
