//! The load generator: `wrk` on CPU 1, and its report as numbers.

use crate::{command, repository};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::process::Command;

/// What one run of `wrk` reported.
#[derive(Debug, Clone, Serialize)]
pub struct Load {
    /// Answers.
    pub requests: u64,
    /// Per second.
    pub requests_per_second: f64,
    /// Median latency, milliseconds, closed loop.
    pub p50_ms: f64,
    /// 99th percentile, milliseconds, closed loop.
    pub p99_ms: f64,
    /// Answers that were not 2xx or 3xx, and socket errors.
    pub errors: u64,
    /// `wrk`'s own CPU time, microseconds.
    pub cpu_us: u64,
    /// Its whole report.
    pub raw: String,
}

/// Installs `wrk` where it is missing and can be.
pub fn prepare() -> Result<()> {
    if repository::has_program("wrk") {
        return Ok(());
    }
    if !repository::has_program("apt-get") {
        bail!("wrk is not installed (package wrk)");
    }
    println!("installing wrk (Debian package)");
    command::run(Command::new("apt-get").args(["install", "-y", "--no-install-recommends", "wrk"]))
        .context("wrk is not installed; as root: apt-get update && apt-get install wrk")
}

/// Drives `url` for `seconds` over `connections` keep-alive connections.
pub fn run(url: &str, seconds: u64, connections: u32) -> Result<Load> {
    let before = children_cpu_us();
    let mut wrk = Command::new("taskset");
    wrk.args(["-c", "1", "wrk", "-t1", "--latency"]);
    wrk.args([format!("-c{connections}"), format!("-d{seconds}s"), url.to_owned()]);
    let raw = command::output(&mut wrk)?;
    let mut load = parse(&raw).with_context(|| format!("read the report of wrk:\n{raw}"))?;
    load.cpu_us = children_cpu_us().saturating_sub(before);
    Ok(load)
}

/// CPU time of all children that have ended.
fn children_cpu_us() -> u64 {
    // SAFETY: an all-zero `rusage` is a valid value, and `getrusage` only fills the one it is given.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage);
        usage
    };
    let us = |time: libc::timeval| u64::try_from(time.tv_sec * 1_000_000 + time.tv_usec).unwrap_or(0);
    us(usage.ru_utime) + us(usage.ru_stime)
}

pub(crate) fn parse(raw: &str) -> Result<Load> {
    let line = |start: &str| {
        let found = raw.lines().map(str::trim).find_map(|line| line.strip_prefix(start));
        found
            .map(str::trim)
            .with_context(|| format!("no line starts with \"{start}\""))
    };
    let answers = raw
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .context("no count of requests")?;
    let mut errors = 0;
    if let Ok(bad) = line("Non-2xx or 3xx responses:") {
        errors += bad.parse::<u64>()?;
    }
    // "Socket errors: connect 0, read 1, write 0, timeout 2"
    if let Ok(bad) = line("Socket errors:") {
        errors += bad
            .split([' ', ','])
            .filter_map(|word| word.parse::<u64>().ok())
            .sum::<u64>();
    }
    Ok(Load {
        requests: answers.0.parse()?,
        requests_per_second: line("Requests/sec:")?.parse()?,
        p50_ms: milliseconds(line("50%")?)?,
        p99_ms: milliseconds(line("99%")?)?,
        errors,
        cpu_us: 0,
        raw: raw.to_owned(),
    })
}

/// `345.00us`, `1.25ms`, `1.20s`, `1.00m`.
fn milliseconds(text: &str) -> Result<f64> {
    let at = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .context("a duration has no unit")?;
    let value: f64 = text[..at].parse()?;
    Ok(match &text[at..] {
        "us" => value / 1000.0,
        "ms" => value,
        "s" => value * 1000.0,
        "m" => value * 60_000.0,
        unit => bail!("unknown unit \"{unit}\""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "Running 10s test @ http://127.0.0.1:8100/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   345.00us    1.25ms  30.00ms   90.00%
    Req/Sec    20.00k     1.00k   21.00k    70.00%
  Latency Distribution
     50%  190.00us
     75%    0.90ms
     90%    1.20ms
     99%    1.20s
  215000 requests in 10.00s, 30.00MB read
  Socket errors: connect 0, read 1, write 0, timeout 2
  Non-2xx or 3xx responses: 7
Requests/sec:  21500.12
Transfer/sec:      3.00MB
";

    #[test]
    fn reports() {
        let load = parse(REPORT).unwrap();
        assert_eq!((load.requests, load.errors), (215_000, 10));
        assert_eq!(
            (load.requests_per_second, load.p50_ms, load.p99_ms),
            (21500.12, 0.19, 1200.0)
        );
        assert!(parse("Requests/sec: 1").is_err());
        assert!(milliseconds("5").is_err() && milliseconds("5h").is_err());
    }
}
