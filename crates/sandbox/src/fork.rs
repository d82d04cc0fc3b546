//! The step into a new pid namespace: its first process is a child; the process that entered waits for it.
//!
//! The waiting process has no descriptor, no file, no capability and nothing to do: it ends with the code or the signal
//! with which its child ended, and if it is ended, by whatever signal, the kernel ends the child, and with that the whole
//! namespace. So whoever started it can treat the two as one process.

use crate::error::SandboxError;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Signal, WaitOptions};
use std::os::fd::{AsRawFd, OwnedFd};

/// Added to a signal's number for the exit code, when the process cannot end itself by that signal. As shells do.
const SIGNAL_BASE: i32 = 128;
/// When waiting itself fails, which it cannot.
const WAIT_FAILED: i32 = 255;

/// The kernel ends this process when the thread that started it ends.
pub(crate) fn die_with_parent() -> Result<(), SandboxError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| SandboxError::step("die with the parent", error))
}

/// Goes on as the first process of the pid namespace that was made before. Does not return in the calling process.
pub(crate) fn become_first() -> Result<(), SandboxError> {
    let (alive, parent_end) =
        rustix::pipe::pipe_with(PipeFlags::NONBLOCK).map_err(|error| SandboxError::step("make a pipe", error))?;
    // SAFETY: there is one thread, so the child finds no lock held and no structure half changed.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return Err(SandboxError::last("fork"));
    }
    if child > 0 {
        wait(child, parent_end);
    }
    drop(parent_end);
    die_with_parent()?;
    // Had the waiting process ended before the line above, nobody would ever end this one.
    match rustix::io::read(&alive, &mut [0]) {
        Err(Errno::AGAIN) => Ok(()),
        _ => Err(SandboxError::step("look for the parent", Errno::SRCH)),
    }
}

/// Waits for the child and ends as it ended. `alive` stays open until then.
fn wait(child: libc::pid_t, alive: OwnedFd) -> ! {
    // What the child holds must be closed when the child closes it. Errors change nothing.
    let _ = crate::privileges::close_all_but(alive.as_raw_fd());
    let child = rustix::process::Pid::from_raw(child);
    let status = loop {
        match rustix::process::waitpid(child, WaitOptions::empty()) {
            Ok(Some((_, status))) if status.exited() || status.signaled() => break status,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => exit(WAIT_FAILED),
        }
    };
    let Some(signal) = status.terminating_signal() else {
        exit(status.exit_status().unwrap_or(WAIT_FAILED));
    };
    // SAFETY: the default handler is put back and the process ends itself by its number; no memory is passed.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
    exit(SIGNAL_BASE + signal)
}

/// Ends at once: destructors and exit handlers are the child's to run.
fn exit(code: i32) -> ! {
    // SAFETY: it does not return and takes no memory.
    unsafe { libc::_exit(code) }
}
