//! How much memory the process may use, and uses. Linux.
//!
//! The bound is the least of what is configured, the control group's `memory.max` and a share of the machine's memory. Near it
//! idle isolates end. The kernel's own word for a shortage (`/proc/pressure/memory`) counts too, where it is there.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// What part of the machine's memory the process takes for its own, percent, where nothing else is said.
pub const RAM_SHARE_PERCENT: u64 = 80;
/// From what part of the bound on idle isolates end, percent.
pub const EVICT_FROM_PERCENT: u64 = 90;
/// Until the process is taken to use this part of it, percent.
pub const EVICT_TO_PERCENT: u64 = 80;
/// Part of the last ten seconds in which some process waited for memory, percent, from which on the machine counts as short.
pub const PRESSURE_MAX_PERCENT: f64 = 10.0;

/// What memory is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryReading {
    /// Bytes that the process holds.
    pub used: u64,
    /// Bytes that it may hold.
    pub bound: u64,
    /// Percent of the last ten seconds in which some process of the machine waited for memory; zero where nobody knows.
    pub pressure: f64,
}

impl MemoryReading {
    /// How many bytes idle isolates should give back; none while there is enough.
    pub fn excess(&self) -> u64 {
        let part = |percent: u64| (u128::from(self.bound) * u128::from(percent) / 100) as u64;
        if self.used >= part(EVICT_FROM_PERCENT) {
            return self.used - part(EVICT_TO_PERCENT);
        }
        // The machine is short, and this process is a large part of why.
        if self.pressure >= PRESSURE_MAX_PERCENT && self.used >= part(50) {
            return self.used / 10;
        }
        0
    }
}

/// Knows what memory is used.
pub trait Memory: Send + Sync + fmt::Debug + 'static {
    /// Now. `isolates_bytes` is what the pool's isolates are taken to hold together, for one who can measure nothing.
    fn read(&self, isolates_bytes: u64) -> Option<MemoryReading>;
}

/// This process's memory.
#[derive(Debug, Clone)]
pub struct ProcessMemory {
    bound: u64,
    /// What the process holds cannot be read: inside a sandbox. This much, and what isolates hold.
    beside: Option<u64>,
    page: u64,
}

impl ProcessMemory {
    /// With `configured` bytes, or what the system grants to each of `processes` if that is less. `None` if nothing can be read.
    pub fn of_this_process(configured: Option<u64>, processes: usize) -> Option<Self> {
        let group = fs::read_to_string("/proc/self/cgroup")
            .ok()
            .and_then(|groups| memory_of_group(&groups, Path::new("/sys/fs/cgroup")));
        let ram = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
        let granted = [group, ram.map(|bytes| bytes / 100 * RAM_SHARE_PERCENT)];
        let share = |bytes: u64| bytes / processes.max(1) as u64;
        let bounds = [configured, granted.into_iter().flatten().min().map(share)];
        Some(Self {
            bound: bounds.into_iter().flatten().min()?,
            beside: None,
            page: 4096.max(page_bytes()),
        })
    }

    /// Bytes that the process may hold.
    pub fn bound(&self) -> u64 {
        self.bound
    }

    /// The same, for when nothing can be read any more: from then on the process is taken to hold `beside` and its isolates.
    #[must_use]
    pub fn blind(mut self, beside: u64) -> Self {
        self.beside = Some(beside);
        self
    }
}

impl Memory for ProcessMemory {
    fn read(&self, isolates_bytes: u64) -> Option<MemoryReading> {
        if let Some(beside) = self.beside {
            return Some(MemoryReading {
                used: beside.saturating_add(isolates_bytes),
                bound: self.bound,
                pressure: 0.0,
            });
        }
        let statm = fs::read_to_string("/proc/self/statm").ok()?;
        let resident: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
        let pressure = fs::read_to_string("/proc/pressure/memory").ok();
        Some(MemoryReading {
            used: resident.saturating_mul(self.page),
            bound: self.bound,
            pressure: pressure.and_then(|text| some_avg10(&text)).unwrap_or(0.0),
        })
    }
}

fn page_bytes() -> u64 {
    // SAFETY: takes a number and returns one; -1 for an unknown name, which this is not.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// `MemTotal`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// `avg10` of the line `some` (Documentation/accounting/psi.rst).
fn some_avg10(pressure: &str) -> Option<f64> {
    let line = pressure.lines().find_map(|line| line.strip_prefix("some "))?;
    let word = line.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?;
    word.parse().ok().filter(|percent: &f64| percent.is_finite())
}

/// The least `memory.max` from the control group that `/proc/self/cgroup` names (version 2) up to the root.
fn memory_of_group(groups: &str, mounted: &Path) -> Option<u64> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut group: PathBuf = mounted.join(path.trim_start_matches('/'));
    let mut least = None::<u64>;
    while group.starts_with(mounted) {
        let max = fs::read_to_string(group.join("memory.max"))
            .ok()
            .and_then(|text| text.trim().parse().ok());
        least = [least, max].into_iter().flatten().min();
        if !group.pop() {
            break;
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isolates_end_near_the_bound() {
        let check = |used: u64, pressure: f64, expected: u64| {
            let reading = MemoryReading {
                used,
                bound: 1_000,
                pressure,
            };
            assert_eq!(reading.excess(), expected, "{reading:?}");
        };
        check(899, 0.0, 0);
        check(900, 0.0, 100);
        check(2_000, 0.0, 1_200);
        check(499, 50.0, 0);
        check(500, 9.9, 0);
        check(500, 10.0, 50);
    }

    #[test]
    fn what_the_kernel_says_is_read() {
        assert_eq!(total("MemTotal:       16 kB\nMemFree: 1 kB\n"), Some(16_384));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        let psi = "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=1\n";
        assert_eq!(some_avg10(psi), Some(12.5));
        assert_eq!(some_avg10("some avg60=0.00\n"), None);
    }

    #[test]
    fn the_least_of_the_groups_bounds_counts() {
        let root = std::env::temp_dir().join(format!("atoll-groups-{}", std::process::id()));
        let inner = root.join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(root.join("a/memory.max"), "1000\n").unwrap();
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        assert_eq!(memory_of_group("0::/a/b\n", &root), Some(1_000));
        assert_eq!(memory_of_group("0::/\n", &root), None);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn this_process_has_a_bound_and_uses_less() {
        let memory = ProcessMemory::of_this_process(None, 1).unwrap();
        let (shared, small) = (
            ProcessMemory::of_this_process(None, 4).unwrap(),
            ProcessMemory::of_this_process(Some(1_000), 4).unwrap(),
        );
        assert_eq!((shared.bound(), small.bound()), (memory.bound() / 4, 1_000));
        let reading = memory.read(0).unwrap();
        assert!(reading.used > 0 && reading.used < reading.bound, "{reading:?}");
        let blind = memory.blind(5).read(7).unwrap();
        assert_eq!(blind.used, 12);
    }
}
