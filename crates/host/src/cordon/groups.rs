//! Control groups: what the kernel bounds each child process by, where it lets the server make groups (cgroup v2).
//!
//! ```text
//! the server's group, which was delegated to it
//!   atoll-server              the server: a group whose controllers its children get holds no process itself
//!   atoll-child-PID-NUMBER    one for each child: memory.max, pids.max, cpu.weight
//! ```
//!
//! A child joins its group itself, first thing and before any foreign code; once it is locked in there is no file it could
//! leave by. Where groups cannot be made, the reason is told, and the server's own watch bounds a child's memory
//! (`warden`). [cgroups(7)](https://man7.org/linux/man-pages/man7/cgroups.7.html), the kernel's `cgroup-v2.rst`.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Most processes and threads of a child: far above what its isolates take, far below what the machine has.
const PIDS_MAX: u32 = 16 * 1024;
/// A child's weight where CPU is short; the server, and whatever is beside it, has 100.
const CPU_WEIGHT: u32 = 50;
/// The group that the server moves to.
const SERVER: &str = "atoll-server";
const CHILD_PREFIX: &str = "atoll-child-";
/// What children must be bounded by, and what they may.
const NEEDED: [&str; 2] = ["memory", "pids"];
const WELCOME: &str = "cpu";
/// How often a group is tried to be removed while its last process goes, and between the tries.
const REMOVALS: u32 = 20;
const REMOVAL_PAUSE: Duration = Duration::from_millis(25);

/// Where groups are made.
#[derive(Debug)]
pub(super) struct Groups {
    base: PathBuf,
    memory_bytes: u64,
    with_cpu: bool,
    next: AtomicU64,
}

/// The group of one child.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
}

impl Groups {
    /// Looks for the group that was delegated to this process, and moves the server aside in it. `root` is `/`, but in tests.
    ///
    /// # Errors
    /// Why no groups can be made, in words.
    pub(super) fn delegated(root: &Path, memory_bytes: u64) -> Result<Self, String> {
        let own = own_group(root)?;
        let base = match own.file_name() {
            Some(name) if name == SERVER => own.parent().unwrap_or(&own).to_owned(),
            _ => own,
        };
        let words = |name: &str| -> Result<Vec<String>, String> {
            let text =
                fs::read_to_string(base.join(name)).map_err(|error| format!("{name} cannot be read: {error}"))?;
            Ok(text.split_ascii_whitespace().map(str::to_owned).collect())
        };
        let offered = words("cgroup.controllers")?;
        if let Some(lacks) = NEEDED.iter().find(|name| !offered.iter().any(|known| known == *name)) {
            return Err(format!(
                "the {lacks} controller was not delegated to the server's group"
            ));
        }
        let with_cpu = offered.iter().any(|name| name == WELCOME);
        let enabled = words("cgroup.subtree_control")?;
        let wanted: Vec<&str> = NEEDED
            .into_iter()
            .chain(with_cpu.then_some(WELCOME))
            .filter(|name| !enabled.iter().any(|known| known == name))
            .collect();
        if !wanted.is_empty() {
            move_aside(&base, &words("cgroup.procs")?)?;
            for name in wanted {
                fs::write(base.join("cgroup.subtree_control"), format!("+{name}"))
                    .map_err(|error| format!("the {name} controller cannot be passed on: {error}"))?;
            }
        }
        let groups = Self {
            base,
            memory_bytes,
            with_cpu,
            next: AtomicU64::new(0),
        };
        groups.sweep();
        // Whether groups can really be made shows in making one.
        let trial = groups
            .make()
            .map_err(|error| format!("a group cannot be made: {error}"))?;
        trial
            .remove_now()
            .map_err(|error| format!("a group cannot be removed: {error}"))?;
        Ok(groups)
    }

    /// The group of a new child.
    pub(super) fn make(&self) -> io::Result<Group> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.base.join(format!("{CHILD_PREFIX}{}-{number}", std::process::id()));
        fs::create_dir(&path)?;
        let group = Group { path };
        let bounded = group.bound(self.memory_bytes, self.with_cpu);
        if let Err(error) = bounded {
            let _ = group.remove_now();
            return Err(error);
        }
        Ok(group)
    }

    /// Groups that a server left behind which could not clean up.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.base) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(CHILD_PREFIX) {
                // One that is in use stays.
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.memory_bytes >> 20;
        write!(
            f,
            "control groups hold each to {mib} MiB of memory and {PIDS_MAX} threads"
        )?;
        if self.with_cpu {
            write!(f, ", CPU weight {CPU_WEIGHT}")?;
        }
        Ok(())
    }
}

impl Group {
    fn bound(&self, memory_bytes: u64, with_cpu: bool) -> io::Result<()> {
        let set = |name: &str, value: String| fs::write(self.path.join(name), value);
        set("memory.max", memory_bytes.to_string())?;
        set("pids.max", PIDS_MAX.to_string())?;
        // All of it goes at once; and what may not grow may not grow into the swap either. Kernels without either have the
        // bound above all the same.
        let _ = set("memory.oom.group", "1".to_owned());
        let _ = set("memory.swap.max", "0".to_owned());
        if with_cpu {
            set("cpu.weight", CPU_WEIGHT.to_string())?;
        }
        Ok(())
    }

    /// The file by which a process joins it.
    pub(super) fn procs(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Whether the kernel ended a process in it because its memory was used up.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        events.lines().any(|line| {
            let count = line
                .strip_prefix("oom_kill ")
                .or_else(|| line.strip_prefix("oom_group_kill "));
            count.is_some_and(|count| count.trim() != "0")
        })
    }

    fn remove_now(&self) -> io::Result<()> {
        fs::remove_dir(&self.path)
    }

    /// Ends what is left in it, and removes it.
    pub(super) async fn remove(self) {
        // Newer than the rest (Linux 5.14), and only for what the pid namespace has not taken with it.
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
        for _ in 0..REMOVALS {
            if self.remove_now().is_ok() {
                return;
            }
            tokio::time::sleep(REMOVAL_PAUSE).await;
        }
        tracing::warn!(group = %self.path.display(), "a child's control group cannot be removed");
    }
}

/// The directory of this process's group in the unified hierarchy.
fn own_group(root: &Path) -> Result<PathBuf, String> {
    let read = |name: &str| {
        let path = root.join("proc/self").join(name);
        fs::read_to_string(path).map_err(|error| format!("/proc/self/{name} cannot be read: {error}"))
    };
    let groups = read("cgroup")?;
    let path = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .ok_or("the kernel has no unified hierarchy (cgroup v2)")?;
    let mounts = read("mountinfo")?;
    let mount = mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then_some(())?;
        mount.split(' ').nth(4)
    });
    let mount = mount.ok_or("the unified hierarchy (cgroup v2) is not mounted")?;
    Ok(root
        .join(mount.trim_start_matches('/'))
        .join(path.trim_start_matches('/')))
}

/// Moves the server into a group of its own: only a group without processes passes controllers on.
fn move_aside(base: &Path, processes: &[String]) -> Result<(), String> {
    let own = std::process::id().to_string();
    if processes.iter().any(|process| *process != own) {
        return Err("other processes are in the server's group: it was not delegated to the server alone".to_owned());
    }
    if processes.is_empty() {
        return Ok(());
    }
    let aside = base.join(SERVER);
    let moved = match fs::create_dir(&aside) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::write(aside.join("cgroup.procs"), own),
    };
    moved.map_err(|error| format!("the server cannot make a group for itself: {error}"))
}

/// What the kernel, or the server, bounds children by.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Most memory of a child.
    pub(super) memory_bytes: u64,
    /// Where their groups are made; if nowhere, why.
    groups: Result<Groups, String>,
}

impl Bounds {
    /// With at most `memory_bytes` for each child, or three quarters of what there is.
    pub(super) fn new(memory_bytes: Option<u64>) -> Self {
        let most = || memory_of_machine().map_or(u64::MAX, |bytes| bytes / 4 * 3);
        let memory_bytes = memory_bytes.unwrap_or_else(most);
        Self {
            memory_bytes,
            groups: Groups::delegated(Path::new("/"), memory_bytes),
        }
    }

    /// A group for a new child, where there are any.
    pub(super) fn group(&self) -> io::Result<Option<Group>> {
        self.groups.as_ref().ok().map(Groups::make).transpose()
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.groups {
            Ok(groups) => groups.fmt(f),
            Err(why) => {
                let mib = self.memory_bytes >> 20;
                write!(
                    f,
                    "the server holds each to {mib} MiB of memory (no control groups: {why})"
                )
            }
        }
    }
}

/// Bytes of memory that this machine has, or that this process's group may have.
pub(super) fn memory_of_machine() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    let machine = kib * 1024;
    let group = own_group(Path::new("/"))
        .ok()
        .and_then(|group| fs::read_to_string(group.join("memory.max")).ok())
        .and_then(|text| text.trim().parse::<u64>().ok());
    Some(group.map_or(machine, |group| group.min(machine)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files of a kernel with the unified hierarchy, in which this process is in `/unit`.
    fn kernel(controllers: &str, enabled: &str, processes: &str) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let unit = root.path().join("sys/fs/cgroup/unit");
        fs::create_dir_all(&unit).unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        let put = |path: &str, text: &str| fs::write(root.path().join(path), text).unwrap();
        put("proc/self/cgroup", "1:cpu:/other\n0::/unit\n");
        put(
            "proc/self/mountinfo",
            "24 1 0:22 / /proc rw - proc proc rw\n30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n",
        );
        put("sys/fs/cgroup/unit/cgroup.controllers", controllers);
        put("sys/fs/cgroup/unit/cgroup.subtree_control", enabled);
        put("sys/fs/cgroup/unit/cgroup.procs", processes);
        (root, unit)
    }

    /// A real group cannot be removed while files are written into it as into a folder; here they go first.
    fn empty(path: &Path) {
        for entry in fs::read_dir(path).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    #[test]
    fn what_is_not_delegated_is_told() {
        let own = std::process::id().to_string();
        let check = |controllers: &str, processes: &str, expected: &str| {
            let (root, _) = kernel(controllers, "", processes);
            let error = Groups::delegated(root.path(), 1 << 30).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("cpu memory", &own, "the pids controller was not delegated");
        check("", &own, "the memory controller was not delegated");
        check(
            "cpu memory pids",
            &format!("{own}\n1"),
            "other processes are in the server's group",
        );
        let (root, _) = kernel("memory pids", "", &own);
        fs::write(root.path().join("proc/self/cgroup"), "4:memory:/x\n").unwrap();
        let error = Groups::delegated(root.path(), 1).unwrap_err();
        assert!(error.contains("no unified hierarchy"), "{error}");
    }

    #[test]
    fn a_child_gets_a_group_with_its_bounds() {
        let own = std::process::id().to_string();
        let (root, unit) = kernel("cpu memory pids io", "", &own);
        // The trial cannot be removed in a folder of files: what happened before it stands all the same.
        let error = Groups::delegated(root.path(), 1 << 30).unwrap_err();
        assert!(error.contains("cannot be removed"), "{error}");
        assert_eq!(fs::read_to_string(unit.join("atoll-server/cgroup.procs")).unwrap(), own);
        assert_eq!(fs::read_to_string(unit.join("cgroup.subtree_control")).unwrap(), "+cpu");
        let groups = Groups {
            base: unit.clone(),
            memory_bytes: 3 << 30,
            with_cpu: true,
            next: AtomicU64::new(7),
        };
        let group = groups.make().unwrap();
        let read = |name: &str| fs::read_to_string(group.path.join(name)).unwrap();
        assert_eq!(read("memory.max"), (3_u64 << 30).to_string());
        assert_eq!((read("pids.max"), read("cpu.weight")), ("16384".into(), "50".into()));
        assert_eq!(
            (read("memory.oom.group"), read("memory.swap.max")),
            ("1".into(), "0".into())
        );
        assert_eq!(group.procs(), unit.join(format!("atoll-child-{own}-7/cgroup.procs")));
        assert!(!group.ran_out_of_memory());
        fs::write(group.path.join("memory.events"), "low 0\noom 1\noom_kill 0\n").unwrap();
        assert!(!group.ran_out_of_memory());
        fs::write(group.path.join("memory.events"), "low 0\noom 1\noom_kill 2\n").unwrap();
        assert!(group.ran_out_of_memory());
        empty(&group.path);
        group.remove_now().unwrap();
        assert!(groups.to_string().contains("3072 MiB of memory"), "{groups}");
    }

    #[test]
    fn the_machine_says_how_much_memory_it_has() {
        assert!(memory_of_machine().is_some_and(|bytes| bytes > 64 << 20));
    }
}
