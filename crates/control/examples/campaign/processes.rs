//! The program under test, and where its processes listen.

use anyhow::{Context, Result, bail};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

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
    for _ in 0..100 {
        let first = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if first < u16::MAX - count && (first..first + count).all(free) {
            return Ok(first);
        }
    }
    bail!("no {count} free ports in a row")
}
