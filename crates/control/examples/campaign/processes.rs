//! The program under test, and where its processes listen.

use anyhow::{Context, Result, bail};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

/// `$ATOLL_BIN`, or the `atoll` that was built with this program.
pub fn program() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("ATOLL_BIN") {
        return Ok(program.into());
    }
    // target/debug/examples/THIS
    let own = std::env::current_exe()?;
    let target = own.parent().and_then(Path::parent).context("no target directory")?;
    Ok(target.join("atoll"))
}

/// So many ports in a row that are free now: the first of them. For processes that must come back to where they were.
pub fn free_ports(count: u16) -> Result<u16> {
    // Not those that the system gives to whoever asks for any: between the look and the use another one may get them.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..200 {
        let step = NEXT.fetch_add(count, Ordering::Relaxed);
        let own = (std::process::id() as u16).wrapping_mul(97);
        let first = 20_000 + own.wrapping_add(step) % 12_000;
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (first..first + count).all(free) {
            return Ok(first);
        }
    }
    bail!("no {count} free ports in a row")
}
