//! The service manager's side of a process: sockets that it passes (sd_listen_fds(3)) and states that it is told (sd_notify(3)).
//!
//! Without a manager both do nothing. What it passes and cannot be used is an error: serving elsewhere than asked would hide it.

use std::env;
use std::io;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The first descriptor that is passed.
const FIRST_FD: i32 = 3;

/// The listening socket that the manager passed; the first, if there are several.
pub(crate) fn inherited() -> io::Result<Option<TcpListener>> {
    let mine = env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    let count: u32 = env::var("LISTEN_FDS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(0);
    if !mine || count == 0 {
        return Ok(None);
    }
    // SAFETY: the manager says by the two variables that this descriptor was passed to this very process; nothing else here
    // opened it, and this is called once, so nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(FIRST_FD) };
    let unusable = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("the socket of LISTEN_FDS {what}"));
    match rustix::net::sockopt::socket_acceptconn(&socket) {
        Ok(true) => {}
        Ok(false) => return Err(unusable("does not listen")),
        Err(error) => return Err(unusable(&format!("is none: {error}"))),
    }
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    Ok(Some(TcpListener::from(socket)))
}

/// Tells the manager, if there is one that wants to know. A manager that cannot be told goes without.
pub(crate) fn notify(state: &str) {
    let Some(path) = env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
        return;
    };
    if let Err(error) = send(path.as_encoded_bytes(), state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

fn send(path: &[u8], state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    let address = address(path)?;
    socket.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

/// A path, or with `@` a name in the abstract namespace.
fn address(path: &[u8]) -> io::Result<SocketAddr> {
    use std::os::unix::ffi::OsStrExt as _;
    match path.split_first() {
        #[cfg(target_os = "linux")]
        Some((b'@', name)) => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(name)
        }
        _ => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path)),
    }
}

/// `CLOCK_MONOTONIC` in microseconds, which a manager wants beside `RELOADING=1`.
pub(crate) fn monotonic_us() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every Unix, and the call only fills the value it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_arrive() {
        let folder = std::env::temp_dir().join(format!("atoll-notify-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("socket");
        let manager = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str().as_encoded_bytes(), "READY=1").unwrap();
        let mut text = [0; 32];
        let length = manager.recv(&mut text).unwrap();
        assert_eq!(&text[..length], b"READY=1");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn abstract_names_too() {
        let name = format!("atoll-notify-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&address(format!("@{name}").as_bytes()).unwrap()).unwrap();
        send(format!("@{name}").as_bytes(), "STOPPING=1").unwrap();
        let mut text = [0; 32];
        let length = manager.recv(&mut text).unwrap();
        assert_eq!(&text[..length], b"STOPPING=1");
    }
}
