//! Ways out that an attacker would try, each of which works outside: to files, to the network, to other processes, to
//! more privileges. They are tried three times: outside, where they must succeed, or they prove nothing; behind the first
//! step, which must hold alone; and behind both.

use crate::inside::{self, End};
use atoll_sandbox::Unlisted;
use libtest_mimic::Failed;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

/// The number under which the process gets a descriptor that it was not to get.
const LEAKED: i32 = 40;
/// What stands in the memory of the process that is attacked.
static MEMORY: u64 = 0x0a70_11a7_0115_ec12;
/// A file that every user may read.
const FILE: &str = "/etc/passwd";

/// What an attempt needs of the outside.
struct Targets {
    tcp: SocketAddr,
    udp: SocketAddr,
    /// The name of an abstract socket.
    unix: String,
    /// A process that lets every other of its user look into it.
    process: libc::pid_t,
    /// Where [`MEMORY`] lies in it.
    address: u64,
    /// A directory that every user may write to.
    directory: String,
}

type Attempt = (&'static str, fn(&Targets) -> io::Result<()>);

/// Attempts that succeed outside for root and for an ordinary user alike.
const ATTEMPTS: &[Attempt] = &[
    ("read a file", |_| {
        File::open(FILE)?.read_to_string(&mut String::new()).map(drop)
    }),
    ("read a file by its relative path", |_| {
        File::open(format!("{}{FILE}", "/..".repeat(32).trim_start_matches('/'))).map(drop)
    }),
    ("list the root", |_| {
        let found = std::fs::read_dir("/")?.count();
        if found == 0 {
            Err(io::Error::other("it is empty"))
        } else {
            Ok(())
        }
    }),
    ("look at a file", |_| std::fs::metadata(FILE).map(drop)),
    ("make a file", |targets| {
        let path = format!("{}/made-{}", targets.directory, std::process::id());
        File::create(&path)?;
        std::fs::remove_file(path)
    }),
    ("make a directory in the root's place", |targets| {
        let path = format!("{}/folder-{}", targets.directory, std::process::id());
        std::fs::create_dir(&path).or_else(|_| std::fs::create_dir("/folder"))?;
        std::fs::remove_dir(path)
    }),
    ("read what the kernel says of this process", |_| {
        File::open("/proc/self/status").map(drop)
    }),
    ("read another's command line", |targets| {
        std::fs::read(format!("/proc/{}/cmdline", targets.process)).map(drop)
    }),
    ("find the program's file", |_| {
        std::fs::read_link("/proc/self/exe").map(drop)
    }),
    ("open a device", |_| File::open("/dev/null").map(drop)),
    ("use a descriptor that leaked", |_| {
        // SAFETY: a number is passed.
        let copy = unsafe { libc::dup(LEAKED) };
        if copy < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the copy is this attempt's own.
        let mut file = unsafe { File::from_raw_fd(copy) };
        file.read(&mut [0; 16]).map(drop)
    }),
    ("connect over TCP", |targets| TcpStream::connect(targets.tcp).map(drop)),
    ("send a datagram", |targets| {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.send_to(b"out", targets.udp).map(drop)
    }),
    ("listen", |_| TcpListener::bind("127.0.0.1:0").map(drop)),
    ("connect to an abstract socket", |targets| {
        UnixStream::connect_addr(&UnixAddr::from_abstract_name(&targets.unix)?).map(drop)
    }),
    ("list the network's devices", |_| {
        // The loopback device is there and up.
        // SAFETY: plain data for which zeros are valid, and a descriptor of its own.
        unsafe {
            let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
            if socket < 0 {
                return Err(io::Error::last_os_error());
            }
            let mut request: libc::ifreq = std::mem::zeroed();
            request.ifr_name[0] = b'l' as libc::c_char;
            request.ifr_name[1] = b'o' as libc::c_char;
            let answer = libc::ioctl(socket, libc::SIOCGIFFLAGS as _, &mut request);
            libc::close(socket);
            let up = request.ifr_ifru.ifru_flags & libc::IFF_UP as i16 != 0;
            if answer == 0 && up {
                Ok(())
            } else {
                Err(io::Error::other("no device is up"))
            }
        }
    }),
    ("run a program", |_| Command::new("/bin/true").status().map(drop)),
    ("look for another process", |targets| {
        answer(libc::SYS_kill, [targets.process as u64, 0, 0, 0, 0, 0])
    }),
    ("get hold of another process", |targets| {
        answer(libc::SYS_pidfd_open, [targets.process as u64, 0, 0, 0, 0, 0])
    }),
    ("read another's memory", |targets| {
        let mut read = 0_u64;
        let here = libc::iovec {
            iov_base: (&raw mut read).cast(),
            iov_len: 8,
        };
        let there = libc::iovec {
            iov_base: targets.address as *mut libc::c_void,
            iov_len: 8,
        };
        let [here, there] = [(&raw const here) as u64, (&raw const there) as u64];
        answer(
            libc::SYS_process_vm_readv,
            [targets.process as u64, here, 1, there, 1, 0],
        )?;
        if read == MEMORY {
            Ok(())
        } else {
            Err(io::Error::other("it is something else"))
        }
    }),
    ("trace another process", |targets| {
        answer(
            libc::SYS_ptrace,
            [u64::from(libc::PTRACE_SEIZE), targets.process as u64, 0, 0, 0, 0],
        )
    }),
    ("know the machine's name", |_| {
        let mut name = [0_u8; 65];
        // SAFETY: the buffer is there and as long as said.
        if unsafe { libc::gethostname(name.as_mut_ptr().cast(), 64) } != 0 {
            return Err(io::Error::last_os_error());
        }
        if name.starts_with(b"worker\0") {
            Err(io::Error::other("it is another"))
        } else {
            Ok(())
        }
    }),
    ("mount, in namespaces of its own", |_| {
        answer(
            libc::SYS_unshare,
            [(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) as u64, 0, 0, 0, 0, 0],
        )?;
        let (none, at, kind) = (CString::from(c"none"), CString::from(c"/"), CString::from(c"tmpfs"));
        let [none, at, kind] = [none.as_ptr() as u64, at.as_ptr() as u64, kind.as_ptr() as u64];
        answer(libc::SYS_mount, [none, at, kind, 0, 0, 0])
    }),
];

fn answer(number: i64, arguments: [u64; 6]) -> io::Result<()> {
    match inside::call(number, arguments) {
        error if error < 0 => Err(io::Error::from_raw_os_error(-error as i32)),
        _ => Ok(()),
    }
}

/// Outside: the process that is attacked. It stays until its standard input ends.
pub fn inside_attacked() -> ExitCode {
    // SAFETY: numbers are passed. Where a security module asks for it, all may trace this process.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, u64::MAX) };
    println!("{}", (&raw const MEMORY) as u64);
    let _ = io::stdin().read(&mut [0]);
    ExitCode::SUCCESS
}

/// Inside: every attempt in a process of its own.
pub fn inside(stage: &str, targets: &[&str]) -> ExitCode {
    let [tcp, udp, unix, process, address, directory] = targets else {
        panic!("targets: {targets:?}");
    };
    let targets = Targets {
        tcp: tcp.parse().expect("an address"),
        udp: udp.parse().expect("an address"),
        unix: (*unix).to_owned(),
        process: process.parse().expect("a process"),
        address: address.parse().expect("an address in memory"),
        directory: (*directory).to_owned(),
    };
    if stage == "locked-as-user" {
        // SAFETY: numbers are passed; there is one thread. The process stays one that may write its own id maps.
        unsafe {
            assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
            assert_eq!(libc::setresgid(12_345, 12_345, 12_345), 0);
            assert_eq!(libc::setresuid(12_345, 12_345, 12_345), 0);
            assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
        }
    }
    let mut entered = (stage != "outside").then(|| inside::entered(Unlisted::Refuse));
    for (name, attempt) in ATTEMPTS {
        let end = inside::probe(|| {
            if stage.starts_with("locked") {
                let entered = entered.take().expect("a copy for each process");
                entered.lock().unwrap_or_else(|error| panic!("{error}"));
            }
            inside::started();
            match attempt(&targets) {
                Ok(()) => 0,
                Err(error) => i64::from(error.raw_os_error().unwrap_or(1)),
            }
        });
        println!("{name}: {}", describe(end));
    }
    ExitCode::SUCCESS
}

fn describe(end: End) -> String {
    match end {
        End::Answered(0) => "succeeded".to_owned(),
        End::Answered(error) => format!("failed ({})", io::Error::from_raw_os_error(error as i32)),
        End::Signal(signal) => format!("failed (ended by signal {signal})"),
        End::Gone => "gone".to_owned(),
        End::Never => "never tried".to_owned(),
    }
}

/// Runs all attempts at one stage, and gives what each came to.
fn run(stage: &str) -> Result<BTreeMap<String, String>, Failed> {
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let name = format!("atoll-sandbox-{}-{stage}", std::process::id());
    let _unix = UnixListener::bind_addr(&UnixAddr::from_abstract_name(&name)?)?;
    let mut other = crate::inside(&["attacked"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut address = String::new();
    BufReader::new(other.stdout.take().ok_or("a pipe")?).read_line(&mut address)?;
    let file = File::open(FILE)?;
    let file = file.as_raw_fd();
    let targets = [
        tcp.local_addr()?.to_string(),
        udp.local_addr()?.to_string(),
        name,
        other.id().to_string(),
        address.trim().to_owned(),
        std::env::temp_dir().to_string_lossy().into_owned(),
    ];
    let mut words = vec!["attempts", stage];
    words.extend(targets.iter().map(String::as_str));
    let mut command = crate::inside(&words);
    // SAFETY: one call of the kernel, between the fork and the start of the program.
    unsafe {
        command.pre_exec(move || {
            if libc::dup2(file, LEAKED) < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let output = command.stderr(Stdio::inherit()).output();
    drop(other.stdin.take());
    other.wait()?;
    let output = output?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let came_to: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, end)| (name.to_owned(), end.to_owned()))
        .collect();
    if !output.status.success() || came_to.len() != ATTEMPTS.len() {
        return Err(format!("{}: {text}", output.status).into());
    }
    Ok(came_to)
}

/// Outside all succeed.
pub fn outside() -> Result<(), Failed> {
    let failed: BTreeMap<_, _> = run("outside")?
        .into_iter()
        .filter(|(_, end)| end != "succeeded")
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("{failed:#?}").into())
    }
}

/// Behind namespaces, root and Landlock all fail, too.
pub fn entered() -> Result<(), Failed> {
    all_fail("entered")
}

pub fn locked() -> Result<(), Failed> {
    all_fail("locked")
}

pub fn locked_as_user() -> Result<(), Failed> {
    // SAFETY: nothing is passed.
    if unsafe { libc::geteuid() } != 0 {
        println!("all tests ran as an ordinary user");
        return Ok(());
    }
    all_fail("locked-as-user")
}

fn all_fail(stage: &str) -> Result<(), Failed> {
    let came_to = run(stage)?;
    println!("{came_to:#?}");
    let open: BTreeMap<_, _> = came_to
        .into_iter()
        .filter(|(_, end)| !end.starts_with("failed"))
        .collect();
    if open.is_empty() {
        Ok(())
    } else {
        Err(format!("{open:#?}").into())
    }
}
