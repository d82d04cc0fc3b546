//! Two processes on one port: who gets new connections.
//!
//! The kernel keeps the sockets that share a port by `SO_REUSEPORT` in an array, in the order in which they began to listen,
//! and spreads new connections over them. A classic BPF program on the group answers with the index to use instead (see
//! socket(7), `SO_ATTACH_REUSEPORT_CBPF`); an index that is not there means the spreading. The one program of the group is
//! replaced by each that is attached and stays when its owner leaves.
//!
//! So a process that is about to leave, first in the array, sends new connections to the second, its successor; what is still
//! in its own queue, or half-way through a handshake for it, it serves itself. Alone it attaches the same program to no effect.
//! With more than two processes on the port the second may be any; take one at a time away.

use std::io;
use tokio::net::TcpListener;

/// From now on new connections of the group go to its second member, if there is one.
pub(crate) fn steer_to_successor(listener: &TcpListener) -> io::Result<()> {
    steer(listener, 1)
}

/// From now on new connections of the group go to its first member: who is about to take over is not ready yet.
pub(crate) fn steer_to_first(listener: &TcpListener) -> io::Result<()> {
    steer(listener, 0)
}

#[cfg(target_os = "linux")]
fn steer(listener: &TcpListener, index: u32) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    let mut program = [libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: index,
    }];
    let program = libc::sock_fprog {
        len: 1,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the descriptor is the listener's own and open; the kernel copies the program, which outlives the call, and
    // reads exactly the size that is given.
    let result = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(not(target_os = "linux"))]
fn steer(_listener: &TcpListener, _index: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
