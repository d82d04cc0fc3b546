//! A network of its own, in which every address of the world is this machine.
//!
//! The program starts itself again inside new user and network namespaces, where the loopback device has a local route
//! for `0.0.0.0/0` and `::/0`. A connection to any address then really is made, by the real kernel, and arrives at a
//! listener bound to the unspecified address, which can see where it was meant to go. Nothing of it leaves the machine,
//! and the client under test is the one that ships, not one with a socket layer made for tests.

use std::ffi::CString;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};

/// Set inside.
const INSIDE: &str = "ATOLL_SSRF_INSIDE";

/// Is this process inside? Then its network is made.
pub fn entered() -> bool {
    if std::env::var_os(INSIDE).is_none() {
        return false;
    }
    if let Err(error) = make_everything_local() {
        panic!("cannot give the new network namespace its routes: {error}");
    }
    true
}

/// Runs this program inside, with `arguments`.
pub fn enter(arguments: &[String]) -> ExitStatus {
    // SAFETY: both only read.
    let map = CString::new(format!("0 {} 1", unsafe { libc::getuid() })).expect("digits");
    let mut program = Command::new(std::env::current_exe().expect("a running program has a path"));
    program.args(arguments).env(INSIDE, "1");
    // A client must not take these from its surroundings; the canary would see whoever it is that does.
    for name in [
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ] {
        program.env(name, "http://10.9.8.7:3128");
    }
    let enter = move || {
        // SAFETY: plain system calls with constant or owned arguments, in the child between fork and exec.
        unsafe {
            if libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) != 0 {
                return Err(Error::last_os_error());
            }
            let file = libc::open(c"/proc/self/uid_map".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            let bytes = map.as_bytes();
            if file < 0 || libc::write(file, bytes.as_ptr().cast(), bytes.len()) != bytes.len() as isize {
                return Err(Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: `enter` allocates nothing and takes no lock.
    unsafe { program.pre_exec(enter) };
    match program.status() {
        Ok(status) => status,
        Err(error) => panic!(
            "cannot start inside new user and network namespaces ({error}); the kernel has to allow them to this user \
             (user.max_user_namespaces, kernel.unprivileged_userns_clone), as it has to for isolated workers"
        ),
    }
}

/// The loopback device comes up, and is the way to every address.
fn make_everything_local() -> Result<()> {
    // SAFETY: a new descriptor, owned from here on.
    let socket = unsafe {
        let fd = libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::NETLINK_ROUTE,
        );
        if fd < 0 {
            return Err(Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    const LOOPBACK: u32 = 1;
    // struct ifinfomsg (rtnetlink(7)): family, pad, type, index, flags, mask of flags to change.
    let mut up = vec![0, 0, 0, 0];
    up.extend(LOOPBACK.to_ne_bytes());
    up.extend((libc::IFF_UP as u32).to_ne_bytes());
    up.extend((libc::IFF_UP as u32).to_ne_bytes());
    ask(&socket, libc::RTM_NEWLINK, 0, &up)?;
    for family in [libc::AF_INET, libc::AF_INET6] {
        // struct rtmsg: family, both prefix lengths, tos, table, protocol, scope, type, flags.
        let mut route = vec![
            family as u8,
            0,
            0,
            0,
            libc::RT_TABLE_LOCAL,
            libc::RTPROT_BOOT,
            libc::RT_SCOPE_HOST,
            libc::RTN_LOCAL,
        ];
        route.extend(0_u32.to_ne_bytes());
        // struct rtattr: length, type; the device.
        route.extend(8_u16.to_ne_bytes());
        route.extend(libc::RTA_OIF.to_ne_bytes());
        route.extend(LOOPBACK.to_ne_bytes());
        ask(
            &socket,
            libc::RTM_NEWROUTE,
            libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            &route,
        )?;
    }
    Ok(())
}

/// One request to the kernel's routing, and its acknowledgement.
fn ask(socket: &OwnedFd, kind: u16, flags: i32, payload: &[u8]) -> Result<()> {
    // struct nlmsghdr: length, type, flags, sequence number, port.
    let mut message = Vec::with_capacity(16 + payload.len());
    message.extend((16 + payload.len() as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(((libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags) as u16).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(payload);
    let mut answer = [0_u8; 512];
    // SAFETY: both buffers are live and as long as is said.
    let got = unsafe {
        if libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) < 0 {
            return Err(Error::last_os_error());
        }
        libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0)
    };
    if got < 20 {
        return Err(Error::other("the kernel's answer is too short"));
    }
    // struct nlmsgerr follows the header: a negated errno, 0 for an acknowledgement.
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        code => Err(Error::from_raw_os_error(-code)),
    }
}
