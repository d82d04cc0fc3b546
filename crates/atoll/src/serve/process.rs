//! What this process uses: the kernel's accounting (getrusage(2)) and `/proc/self` (proc(5)).

use std::fs;

/// A reading.
pub(crate) struct Usage {
    /// User and system time of all threads, those that ended too.
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
}

/// Reads. `None` where there is no `/proc`.
pub(crate) fn read() -> Option<Usage> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = |name| Some(field(&status, name)? * 1024);
    Some(Usage {
        cpu_seconds: cpu_seconds(),
        resident_bytes: kib("VmRSS:")?,
        virtual_bytes: kib("VmSize:")?,
        threads: field(&status, "Threads:")?,
        descriptors: fs::read_dir("/proc/self/fd").ok()?.count() as u64,
    })
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn cpu_seconds() -> f64 {
    // SAFETY: an all-zero `rusage` is a valid value, and `getrusage` only fills the one it is given.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read() {
        let status = "Name:\ta\nVmSize:\t  4000 kB\nVmRSS:\t  300 kB\nThreads:\t9\n";
        assert_eq!(field(status, "VmRSS:"), Some(300));
        assert_eq!(field(status, "Threads:"), Some(9));
        assert_eq!(field(status, "VmPeak:"), None);
        let usage = read().unwrap();
        assert!(usage.resident_bytes > 0 && usage.resident_bytes <= usage.virtual_bytes);
        assert!(usage.threads > 0 && usage.descriptors > 0 && usage.cpu_seconds > 0.0);
    }
}
