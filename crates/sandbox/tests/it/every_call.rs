//! Every number of the kernel's table, and beyond it, with several arguments: what runs is what the list allows.

use crate::inside::{self, End};
use atoll_sandbox::Unlisted;
use atoll_sandbox::calls::{ALLOWED, Argument, Call, FATAL, Rule};
use libtest_mimic::Failed;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

/// One more than the greatest number that is tried. Linux 6.18 has 469.
const NUMBERS: i64 = 512;
/// The bit of the numbers of the x32 table.
const X32: i64 = 0x4000_0000;
/// After so many microseconds a call that waits is ended.
const ALARM: libc::suseconds_t = 300_000;
/// Calls that the kernel itself makes, from code that it puts into a process for its probes, and never filters: made from
/// elsewhere they answer an error or end the process.
const KERNELS_OWN: [i64; 2] = [335, 336];
const REFUSED: i64 = -(libc::ENOSYS as i64);

/// Arguments that every call is tried with. The middle one waits for ever in calls that wait.
fn arguments() -> [[u64; 6]; 5] {
    // A page of zeros that stays, for calls that want memory.
    let page = Box::leak(Box::new([0_u64; 512])).as_ptr() as u64;
    [
        [u64::MAX; 6],
        [0; 6],
        [page; 6],
        [3, page, 4096, 0x22, 1, 0],
        [page, 1, 0, 0, 0, 0],
    ]
}

/// What a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// The kernel was reached.
    Ran,
    Refused,
    /// The process was ended.
    Ended,
    /// The process did not come as far as the call.
    Never,
}

impl Fate {
    fn of(end: End) -> Self {
        match end {
            End::Answered(REFUSED) => Self::Refused,
            End::Signal(libc::SIGSYS) => Self::Ended,
            End::Never => Self::Never,
            End::Answered(_) | End::Gone | End::Signal(_) => Self::Ran,
        }
    }
}

/// Inside: all calls, each in a process of its own that is locked in first.
pub fn inside_every_call() -> ExitCode {
    // What the processes are made in is the sandbox without its filter; each of them puts the filter on itself.
    let entered = inside::entered(Unlisted::Refuse);
    let mut entered = Some(entered);
    for (set, arguments) in arguments().into_iter().enumerate() {
        // Numbers are refused before arguments are looked at: the second table is tried with one set.
        let second = if set == 0 { NUMBERS } else { 0 };
        for number in (0..NUMBERS).chain(X32..X32 + second) {
            let end = inside::probe(|| {
                let entered = entered.take().expect("a copy for each process");
                let until = libc::itimerval {
                    it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
                    it_value: libc::timeval {
                        tv_sec: 0,
                        tv_usec: ALARM,
                    },
                };
                // SAFETY: the structure is read. It ends a call that waits.
                unsafe { libc::setitimer(libc::ITIMER_REAL, &until, std::ptr::null_mut()) };
                entered.lock().unwrap_or_else(|error| panic!("{error}"));
                inside::started();
                inside::call(number, arguments)
            });
            println!("{number} {set} {:?} {end:?}", Fate::of(end));
        }
    }
    ExitCode::SUCCESS
}

/// What the lists say of a call with these arguments, made by a process of the number `own`.
fn listed(number: i64, arguments: [u64; 6], own: u64) -> Fate {
    if FATAL.iter().any(|(_, fatal)| *fatal == number) {
        return Fate::Ended;
    }
    let allowed = |call: &&Call| {
        call.number == number
            && match call.rule {
                Rule::Always => true,
                Rule::AnyOf(rules) => rules.iter().any(|all| {
                    all.iter().all(|argument| match *argument {
                        Argument::Int(at, value) => arguments[usize::from(at)] as u32 == value,
                        Argument::Long(at, value) => arguments[usize::from(at)] == value,
                        Argument::Bits(at, mask, value) => arguments[usize::from(at)] & mask == value,
                        Argument::OwnProcess(at) => arguments[usize::from(at)] == own,
                    })
                }),
            }
    };
    if ALLOWED.iter().any(|call| allowed(&call)) {
        Fate::Ran
    } else {
        Fate::Refused
    }
}

/// The test: what ran equals what is listed.
pub fn every_call() -> Result<(), Failed> {
    let text = crate::output(&["every-call"])?;
    let arguments = arguments();
    let mut counts = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut silent: BTreeSet<i64> = ALLOWED.iter().map(|call| call.number).collect();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (number, set, fate, end) = (word(), word(), word(), word());
        let number: i64 = number.parse()?;
        if KERNELS_OWN.contains(&number) {
            if end.starts_with("Answered(-") || end == "Signal(4)" {
                *counts.entry("the kernel's own").or_insert(0) += 1;
            } else {
                wrong.push(line.to_owned());
            }
            continue;
        }
        // No argument that is tried is the number of a process.
        let expected = listed(number, arguments[set.parse::<usize>()?], u64::MAX - 1);
        let (name, fits) = match expected {
            Fate::Ran => ("allowed", fate == "Ran" || fate == "Refused"),
            Fate::Refused => ("refused", fate == "Refused"),
            Fate::Ended => ("ended the process", fate == "Ended"),
            Fate::Never => ("never made", false),
        };
        *counts.entry(name).or_insert(0) += 1;
        if !fits {
            wrong.push(format!("{line}: expected {expected:?}"));
        }
        // Some of its arguments may be such that the kernel answers what the filter does; not all of them.
        if fate == "Ran" {
            silent.remove(&number);
        }
    }
    println!("{counts:?}");
    if !wrong.is_empty() {
        return Err(wrong.join("\n").into());
    }
    // Those that want other arguments than the ones tried here.
    let conditional = |number: &i64| {
        ALLOWED
            .iter()
            .any(|call| call.number == *number && call.rule != Rule::Always)
    };
    silent.retain(|number| !conditional(number));
    if !silent.is_empty() {
        return Err(format!("on the list, and did not run: {silent:?}").into());
    }
    let tried: i64 = counts.values().sum();
    if tried != NUMBERS * (arguments.len() as i64 + 1) {
        return Err(format!("{tried} calls were tried").into());
    }
    Ok(())
}

/// Calls that are allowed, with arguments that are not.
fn hostile() -> Vec<(&'static str, i64, [u64; 6])> {
    let clone_new = (libc::CLONE_NEWUSER | 0x003d_0f00) as u64;
    let fork = libc::SIGCHLD as u64;
    let private_file = libc::MAP_PRIVATE as u64;
    let prctl = |option: libc::c_int, argument| [option as u64, argument, 0, 0, 0, 0];
    let address = Box::leak(Box::new([0_u8; 128])).as_ptr() as u64;
    vec![
        ("a process by clone", libc::SYS_clone, [fork, 0, 0, 0, 0, 0]),
        ("a user namespace by clone", libc::SYS_clone, [clone_new, 0, 0, 0, 0, 0]),
        ("clone3", libc::SYS_clone3, [address, 88, 0, 0, 0, 0]),
        ("a mapped file", libc::SYS_mmap, [0, 4096, 5, private_file, 0, 0]),
        (
            "shared memory",
            libc::SYS_mmap,
            [0, 4096, 3, (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as u64, u64::MAX, 0],
        ),
        (
            "a hole in shared memory",
            libc::SYS_madvise,
            [0, 4096, libc::MADV_REMOVE as u64, 0, 0, 0],
        ),
        (
            "a hole in shared memory, by a long number",
            libc::SYS_madvise,
            [0, 4096, (7 << 32) | libc::MADV_REMOVE as u64, 0, 0, 0],
        ),
        ("dumpable again", libc::SYS_prctl, prctl(libc::PR_SET_DUMPABLE, 1)),
        ("outlive the parent", libc::SYS_prctl, prctl(libc::PR_SET_PDEATHSIG, 0)),
        ("a filter of its own", libc::SYS_prctl, prctl(libc::PR_SET_SECCOMP, 2)),
        ("a tracer", libc::SYS_prctl, prctl(libc::PR_SET_PTRACER, u64::MAX)),
        ("an ambient capability", libc::SYS_prctl, prctl(libc::PR_CAP_AMBIENT, 2)),
        ("raise a limit", libc::SYS_prlimit64, [0, 7, address, 0, 0, 0]),
        ("another's limit", libc::SYS_prlimit64, [1, 7, 0, address, 0, 0]),
        ("a signal to another", libc::SYS_tgkill, [1, 1, 0, 0, 0, 0]),
        ("a group's priority", libc::SYS_setpriority, [1, 0, 0, 0, 0, 0]),
        (
            "a datagram to an address",
            libc::SYS_sendto,
            [1, address, 1, 0, address, 16],
        ),
        ("a descriptor's owner", libc::SYS_fcntl, [1, 8, 1, 0, 0, 0]),
        ("a copy of a descriptor", libc::SYS_fcntl, [1, 1030, 9, 0, 0, 0]),
        ("flags of a descriptor", libc::SYS_fcntl, [1, 4, 0, 0, 0, 0]),
        (
            "who is at the other end",
            libc::SYS_getsockopt,
            [1, 1, 17, address, address, 0],
        ),
        (
            "a message with descriptors",
            libc::SYS_sendmsg,
            [1, address, 0, 0, 0, 0],
        ),
        ("descriptors by a message", libc::SYS_recvmsg, [0, address, 0, 0, 0, 0]),
        ("a device's control", libc::SYS_ioctl, [1, 0x5412, address, 0, 0, 0]),
        ("another filter", libc::SYS_seccomp, [1, 0, address, 0, 0, 0]),
        ("a file in memory", libc::SYS_memfd_create, [address, 0, 0, 0, 0, 0]),
    ]
}

/// Inside: each in a process that is not the namespace's first, so that the number 1 is another's.
pub fn inside_arguments() -> ExitCode {
    let mut entered = Some(inside::entered(Unlisted::Refuse));
    for (name, number, arguments) in hostile() {
        let end = inside::probe(|| {
            let entered = entered.take().expect("a copy for each process");
            entered.lock().unwrap_or_else(|error| panic!("{error}"));
            inside::started();
            inside::call(number, arguments)
        });
        println!("{:?} {name}: {end:?}", Fate::of(end));
    }
    ExitCode::SUCCESS
}

/// The test: all are refused.
pub fn arguments_refused() -> Result<(), Failed> {
    let text = crate::output(&["arguments"])?;
    let ran: Vec<&str> = text.lines().filter(|line| !line.starts_with("Refused ")).collect();
    if !ran.is_empty() || text.lines().count() != hostile().len() {
        return Err(format!("not refused: {ran:?}\n{text}").into());
    }
    Ok(())
}
