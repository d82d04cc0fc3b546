//! How many isolates this process can hold, by what the system grants it. Linux.
//!
//! Each isolate costs memory mappings (V8's spaces, its thread's stack and guard), threads and, now and then, descriptors.
//! Running out of the first two ends the process or one of V8's allocations with it, so the pool stops before
//! ([`crate::PoolOptions::isolates_max`]).

use std::fmt;
use std::fs;
use std::path::Path;

/// Mappings of one idle isolate with its thread, as measured: 28, and 21 from Linux 6.13 on, where V8 hides holes of its read-only heap
/// without mappings.
pub const MAPPINGS_PER_ISOLATE: u64 = 28;
/// Mappings of one that has worked with 50 MB of objects and buffers and given half of them back: 49, as measured.
pub const MAPPINGS_PER_BUSY_ISOLATE: u64 = 50;
/// Threads of one isolate: its own and its helpers.
pub const THREADS_PER_ISOLATE: u64 = 2;
/// Descriptors of one isolate: its runtime's.
pub const DESCRIPTORS_PER_ISOLATE: u64 = 4;
/// What is left of each for the rest of the process, percent.
const RESERVE_PERCENT: u64 = 10;

/// What isolates may have of `max`.
pub(crate) fn without_reserve(max: u64) -> u64 {
    max - max / 100 * RESERVE_PERCENT
}

/// What the system grants, and what that allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// `vm.max_map_count`, and how many of them are taken.
    pub mappings: Option<(u64, u64)>,
    /// Threads: the least of the user's limit, the control group's and the kernel's, and how many are taken.
    pub threads: Option<(u64, u64)>,
    /// Open files, and how many are open.
    pub descriptors: Option<(u64, u64)>,
}

impl Capacity {
    /// This process's. What cannot be read is not counted.
    pub fn of_this_process() -> Self {
        let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        let entries = |path: &str| Some(fs::read_dir(path).ok()?.count() as u64);
        let lines = |path: &str| Some(fs::read_to_string(path).ok()?.lines().count() as u64);
        let limit = |name: &str| {
            let limits = fs::read_to_string("/proc/self/limits").ok()?;
            soft_limit(&limits, name)
        };
        let group = fs::read_to_string("/proc/self/cgroup")
            .ok()
            .and_then(|groups| pids_of_group(&groups, Path::new("/sys/fs/cgroup")));
        let threads = [
            limit("Max processes"),
            number("/proc/sys/kernel/threads-max"),
            number("/proc/sys/kernel/pid_max"),
            group,
        ];
        let with = |max: Option<u64>, used: Option<u64>| Some((max?, used.unwrap_or(0)));
        Self {
            mappings: with(number("/proc/sys/vm/max_map_count"), lines("/proc/self/maps")),
            threads: with(threads.into_iter().flatten().min(), entries("/proc/self/task")),
            descriptors: with(limit("Max open files"), entries("/proc/self/fd")),
        }
    }

    /// What of it each of `processes` has that share what is granted to all of them together: threads.
    #[must_use]
    pub fn among(mut self, processes: usize) -> Self {
        let processes = processes.max(1) as u64;
        self.threads = self.threads.map(|(max, used)| (max / processes, used / processes));
        self
    }

    /// How many isolates fit while they are idle, and what bounds them. Whoever lets so many live counts their mappings
    /// ([`crate::PoolOptions::mappings`]).
    pub fn isolates(&self) -> (usize, &'static str) {
        self.isolates_with(MAPPINGS_PER_ISOLATE)
    }

    /// How many fit whatever they do.
    pub fn busy_isolates(&self) -> (usize, &'static str) {
        self.isolates_with(MAPPINGS_PER_BUSY_ISOLATE)
    }

    fn isolates_with(&self, mappings: u64) -> (usize, &'static str) {
        let of = |granted: Option<(u64, u64)>, each: u64, what: &'static str| {
            granted.map(|(max, used)| {
                let room = without_reserve(max).saturating_sub(used);
                (usize::try_from(room / each).unwrap_or(usize::MAX), what)
            })
        };
        [
            of(self.mappings, mappings, "vm.max_map_count"),
            of(self.threads, THREADS_PER_ISOLATE, "threads"),
            of(self.descriptors, DESCRIPTORS_PER_ISOLATE, "open files"),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or((usize::MAX, "nothing"))
    }
}

impl Capacity {
    /// What to do for more room, where one thing bounds it.
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self.isolates().1 {
            "vm.max_map_count" => "raise it: sysctl -w vm.max_map_count=1048576",
            "threads" => {
                "raise it: ulimit -u, TasksMax= of the service, pids.max of the control group, or kernel.pid_max"
            }
            "open files" => "raise it: ulimit -n, or LimitNOFILE= of the service",
            _ => return None,
        })
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (isolates, by) = self.isolates();
        write!(f, "room for {isolates} isolates, bounded by {by} (")?;
        let rows = [
            ("vm.max_map_count", self.mappings),
            ("threads", self.threads),
            ("open files", self.descriptors),
        ];
        for (index, (name, granted)) in rows.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match granted {
                Some((max, used)) => write!(f, "{comma}{name} {used} of {max}")?,
                None => write!(f, "{comma}{name} unknown")?,
            }
        }
        f.write_str(")")
    }
}

/// The soft limit of this name in `/proc/self/limits`; `None` where it is unlimited.
fn soft_limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find(|line| line.starts_with(name))?;
    line[name.len()..].split_whitespace().next()?.parse().ok()
}

/// `pids.max` of the control group that `/proc/self/cgroup` names, of version 2 or 1.
fn pids_of_group(groups: &str, mounted: &Path) -> Option<u64> {
    groups
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
            let root = match controllers {
                "" => mounted.to_path_buf(),
                names if names.split(',').any(|name| name == "pids") => mounted.join("pids"),
                _ => return None,
            };
            let text = fs::read_to_string(root.join(path).join("pids.max")).ok()?;
            text.trim().parse().ok()
        })
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scarcest_bounds() {
        let check = |mappings, threads, descriptors, expected| {
            let capacity = Capacity {
                mappings: Some((mappings, 0)),
                threads: Some((threads, 0)),
                descriptors: Some((descriptors, 0)),
            };
            assert_eq!(capacity.isolates(), expected);
        };
        check(28_000, 1_000_000, 1_000_000, (900, "vm.max_map_count"));
        check(1_000_000, 2_000, 1_000_000, (900, "threads"));
        check(1_000_000, 1_000_000, 4_000, (900, "open files"));
        let taken = Capacity {
            mappings: Some((100, 95)),
            threads: None,
            descriptors: None,
        };
        assert_eq!(taken.isolates(), (0, "vm.max_map_count"));
        let shared = Capacity {
            mappings: Some((28_000_000, 0)),
            threads: Some((8_000, 400)),
            descriptors: None,
        };
        assert_eq!(shared.isolates(), (3_400, "threads"));
        assert_eq!(shared.among(4).isolates(), (850, "threads"));
        let usual = Capacity {
            mappings: Some((65_530, 67)),
            threads: None,
            descriptors: None,
        };
        assert_eq!(usual.isolates(), (2_104, "vm.max_map_count"));
        assert_eq!(usual.busy_isolates(), (1_178, "vm.max_map_count"));
    }

    #[test]
    fn this_process_has_room() {
        let capacity = Capacity::of_this_process();
        assert!(
            capacity.mappings.is_some_and(|(max, used)| used > 0 && max > used),
            "{capacity}"
        );
        assert!(capacity.isolates().0 > 0, "{capacity}");
    }

    #[test]
    fn limits_are_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max processes             unlimited            unlimited            processes\n\
                    Max open files            1024                 524288               files\n";
        assert_eq!(soft_limit(text, "Max open files"), Some(1_024));
        assert_eq!(soft_limit(text, "Max processes"), None);
        assert_eq!(soft_limit(text, "Max cpu time"), None);
    }
}
