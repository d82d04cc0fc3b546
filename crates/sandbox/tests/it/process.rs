//! What still works inside, and how the process ends.

use crate::inside;
use atoll_sandbox::{Layer, Options, Policy, Unlisted, enter};
use libtest_mimic::Failed;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Inside: what a runtime and an engine do all day.
pub fn inside_works() -> ExitCode {
    inside::locked();
    let started = Instant::now();
    let threads: Vec<_> = (0..8)
        .map(|n| {
            std::thread::Builder::new()
                .name(format!("thread-{n}"))
                .spawn(move || {
                    let memory = vec![n as u8; 4 << 20];
                    std::thread::sleep(Duration::from_millis(1));
                    memory.iter().map(|byte| u64::from(*byte)).sum::<u64>()
                })
                .expect("a thread")
        })
        .collect();
    let sum: u64 = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
    assert_eq!(sum, 28 * (4 << 20));
    assert!(started.elapsed() >= Duration::from_millis(1));
    assert!(std::time::SystemTime::now() > std::time::UNIX_EPOCH);
    let mut random = [0_u8; 16];
    // SAFETY: the buffer is there and as long as said.
    assert_eq!(unsafe { libc::getrandom(random.as_mut_ptr().cast(), 16, 0) }, 16);
    // A panic, with its backtrace, which looks for files and does without.
    let panicked = std::thread::spawn(|| panic!("as expected")).join();
    assert!(panicked.is_err());
    // Memory that may be executed, as the engine makes it.
    // SAFETY: a fresh mapping that nobody else knows.
    unsafe {
        let code = libc::mmap(
            std::ptr::null_mut(),
            65_536,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(code, libc::MAP_FAILED);
        assert_eq!(
            libc::mprotect(code, 65_536, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC),
            0
        );
        for advice in [
            libc::MADV_DONTNEED,
            libc::MADV_FREE,
            libc::MADV_WILLNEED,
            libc::MADV_DONTDUMP,
        ] {
            assert_eq!(libc::madvise(code, 65_536, advice), 0, "{advice}");
        }
        assert_eq!(libc::munmap(code, 65_536), 0);
    }
    println!("worked");
    ExitCode::SUCCESS
}

pub fn works() -> Result<(), Failed> {
    match crate::output(&["works"])?.trim() {
        "worked" => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

/// Inside: a thread that was there before the filter.
pub fn inside_older_threads() -> ExitCode {
    let entered = inside::entered(Unlisted::Refuse);
    let (go, wait) = mpsc::channel::<()>();
    let older = std::thread::spawn(move || {
        wait.recv().expect("the signal to go");
        // SAFETY: no memory is passed.
        inside::call(
            libc::SYS_socket,
            [libc::AF_INET as u64, libc::SOCK_STREAM as u64, 0, 0, 0, 0],
        )
    });
    entered.lock().unwrap_or_else(|error| panic!("{error}"));
    go.send(()).expect("the thread waits");
    println!("{}", older.join().expect("no panic"));
    ExitCode::SUCCESS
}

pub fn older_threads() -> Result<(), Failed> {
    let answer = crate::output(&["older-threads"])?;
    match answer.trim().parse::<i32>()? {
        refused if refused == -libc::ENOSYS => Ok(()),
        other => Err(format!("socket() answered {other}").into()),
    }
}

pub fn inside_exit(code: &str) -> ExitCode {
    inside::locked();
    ExitCode::from(code.parse::<u8>().expect("a code"))
}

pub fn exit_code() -> Result<(), Failed> {
    for code in ["0", "42"] {
        let status = crate::inside(&["exit", code]).status()?;
        if status.code() != code.parse().ok() {
            return Err(format!("{code} became {status}").into());
        }
    }
    Ok(())
}

pub fn inside_abort() -> ExitCode {
    inside::locked();
    std::process::abort()
}

pub fn abort() -> Result<(), Failed> {
    let output = crate::inside(&["abort"]).output()?;
    // The first process of a namespace is spared the signal it sends itself; the C library then ends it by an instruction
    // that is not allowed.
    match output.status.signal() {
        Some(libc::SIGABRT | libc::SIGSEGV | libc::SIGILL) => Ok(()),
        _ => Err(format!("{}", output.status).into()),
    }
}

/// Inside: says that it is there and stays.
pub fn inside_sleep() -> ExitCode {
    inside::locked();
    println!("here");
    loop {
        std::thread::sleep(PATIENCE);
    }
}

pub fn dies_with_waiter() -> Result<(), Failed> {
    let mut child = crate::inside(&["sleep"]).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("a pipe")?);
    let mut line = String::new();
    lines.read_line(&mut line)?;
    if line != "here\n" {
        return Err(format!("it said {line:?}").into());
    }
    child.kill()?;
    child.wait()?;
    // The other end is closed when the locked in process has ended, and not before.
    let (ended, wait) = mpsc::channel();
    std::thread::spawn(move || ended.send(lines.read_to_string(&mut line).map(|_| line)));
    wait.recv_timeout(PATIENCE)??;
    Ok(())
}

/// Inside: a kernel that gives no namespaces, made of one that does.
pub fn inside_missing(policy: &str) -> ExitCode {
    // SAFETY: there is one thread.
    let user = unsafe { libc::geteuid() };
    // SAFETY: no memory is passed.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWUSER) }, 0);
    std::fs::write("/proc/self/uid_map", format!("0 {user} 1\n")).expect("the id map");
    for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        std::fs::write(format!("/proc/sys/user/max_{kind}_namespaces"), "0").expect("the limit of namespaces");
    }
    let policy = if policy == "require" {
        Policy::Require
    } else {
        Policy::AllowDowngrade
    };
    let options = Options {
        policy,
        ..Options::default()
    };
    match enter(&options) {
        Err(error) => println!("refused: {error}"),
        Ok(entered) => {
            let report = entered.lock().unwrap_or_else(|error| panic!("{error}"));
            println!("{report}");
            println!("{}", report.is_on(Layer::UserNamespace));
            // The layers that are left do their part.
            println!("{}", std::fs::read("/etc/passwd").is_ok());
        }
    }
    ExitCode::SUCCESS
}

pub fn missing_layer() -> Result<(), Failed> {
    let refused = crate::output(&["missing", "require"])?;
    if !refused.starts_with("refused: this machine cannot lock workers in: user namespace is missing (") {
        return Err(refused.into());
    }
    let downgraded = crate::output(&["missing", "allow"])?;
    let fits = downgraded.contains("no user namespace (")
        && downgraded.contains("no pid namespace (")
        && downgraded.contains(", system call filter")
        && downgraded.ends_with("false\nfalse\n");
    if fits { Ok(()) } else { Err(downgraded.into()) }
}

/// Inside: one call that is not listed.
pub fn inside_unlisted(what: &str) -> ExitCode {
    if what == "older-table" {
        inside::locked();
        older_table();
        return ExitCode::SUCCESS;
    }
    let unlisted = if what == "report" {
        Unlisted::Report
    } else {
        Unlisted::Kill
    };
    let _ = inside::entered(unlisted)
        .lock()
        .unwrap_or_else(|error| panic!("{error}"));
    println!("{}", inside::call(libc::SYS_socket, [1, 1, 0, 0, 0, 0]));
    ExitCode::SUCCESS
}

/// A call that is allowed under its number, made by the way of 32-bit programs, where it has another.
fn older_table() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: `getpid` takes and changes nothing.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("eax") 20 => _, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
}

pub fn unlisted() -> Result<(), Failed> {
    let reported = crate::inside(&["unlisted", "report"]).output()?;
    let line = format!("sandbox: refused system call {}\n", libc::SYS_socket);
    let answer = format!("{}\n", -libc::ENOSYS);
    if !reported.status.success() || reported.stderr != line.as_bytes() || reported.stdout != answer.as_bytes() {
        return Err(format!("{reported:?}").into());
    }
    let killed = crate::inside(&["unlisted", "kill"]).output()?;
    if killed.status.signal() != Some(libc::SIGSYS) {
        return Err(format!("{killed:?}").into());
    }
    if cfg!(target_arch = "x86_64") {
        // The second is a kernel's that has no such table.
        let killed = crate::inside(&["unlisted", "older-table"]).output()?;
        if !matches!(killed.status.signal(), Some(libc::SIGSYS | libc::SIGSEGV)) {
            return Err(format!("{killed:?}").into());
        }
    }
    Ok(())
}
