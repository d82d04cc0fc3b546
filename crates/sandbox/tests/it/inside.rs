//! The process that is locked in.

use atoll_sandbox::{Entered, Options, Policy, Unlisted, enter};
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};

/// Runs one of the programs.
pub fn run(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["every-call"] => crate::every_call::inside_every_call(),
        ["arguments"] => crate::every_call::inside_arguments(),
        ["attempts", stage, ref targets @ ..] => crate::attempts::inside(stage, targets),
        ["attacked"] => crate::attempts::inside_attacked(),
        ["works"] => crate::process::inside_works(),
        ["older-threads"] => crate::process::inside_older_threads(),
        ["exit", code] => crate::process::inside_exit(code),
        ["abort"] => crate::process::inside_abort(),
        ["sleep"] => crate::process::inside_sleep(),
        ["missing", policy] => crate::process::inside_missing(policy),
        ["unlisted", what] => crate::process::inside_unlisted(what),
        _ => panic!("no such program: {words:?}"),
    }
}

/// The first step, with what the tests want.
pub fn entered(unlisted: Unlisted) -> Entered {
    let options = Options {
        policy: Policy::Require,
        unlisted,
        ..Options::default()
    };
    enter(&options).unwrap_or_else(|error| panic!("{error}"))
}

/// Both steps.
pub fn locked() {
    let _ = entered(Unlisted::Refuse)
        .lock()
        .unwrap_or_else(|error| panic!("{error}"));
}

/// A call by its number: what it answered, an error as a negative number.
pub fn call(number: i64, arguments: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: none for the arguments: this is a process made to make any call and to end. What they may break is its own.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if answer == -1 {
        return -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    answer
}

/// How a process made by [`probe`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It answered.
    Answered(i64),
    /// It ended by itself before it could answer, after [`started`].
    Gone,
    /// The kernel ended it by this signal, after [`started`].
    Signal(i32),
    /// It ended before [`started`].
    Never,
}

/// What a probe has to tell: how far it came, and its answer. In memory that it shares with the process that made it.
static SHARED: AtomicPtr<[AtomicI64; 2]> = AtomicPtr::new(std::ptr::null_mut());

fn shared() -> &'static [AtomicI64; 2] {
    // SAFETY: `probe` put a mapping there that stays; a fresh mapping is zeros, which is what atomics of 0 are.
    unsafe { &*SHARED.load(Ordering::SeqCst) }
}

/// Called by a probe when it is about to do what it was made for.
pub fn started() {
    shared()[0].store(1, Ordering::SeqCst);
}

/// Runs `what` in a process of its own, before this one is locked in.
pub fn probe(what: impl FnOnce() -> i64) -> End {
    const NONE: i64 = i64::MIN;
    if SHARED.load(Ordering::SeqCst).is_null() {
        // SAFETY: a fresh mapping.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(memory, libc::MAP_FAILED);
        SHARED.store(memory.cast(), Ordering::SeqCst);
    }
    let [stage, answer] = shared();
    stage.store(0, Ordering::SeqCst);
    answer.store(NONE, Ordering::SeqCst);
    // SAFETY: this process has one thread.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        answer.store(what(), Ordering::SeqCst);
        // SAFETY: it does not return.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: room for a status.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    let answer = answer.load(Ordering::SeqCst);
    if stage.load(Ordering::SeqCst) == 0 {
        End::Never
    } else if libc::WIFSIGNALED(status) {
        End::Signal(libc::WTERMSIG(status))
    } else if answer == NONE {
        End::Gone
    } else {
        End::Answered(answer)
    }
}
