//! The two steps, in their order.

use crate::error::SandboxError;
use crate::options::{Options, Unlisted};
use crate::report::{Layer, LayerState, Report};
use crate::{filter, fork, landlock, namespaces, privileges};

/// A process that has entered its sandbox and can start what it needs before the system calls are filtered.
#[derive(Debug)]
#[must_use = "without `lock` system calls are not filtered"]
pub struct Entered {
    report: Report,
    unlisted: Unlisted,
}

/// Locks the process in, but for the system call filter. First thing in `main`.
///
/// When it returns, the process has no file, no network, no other process in sight, no privileges, and of its
/// descriptors 0, 1, 2 and [`Options::keep`]: all others are closed under their owners, so the caller owns none. Where the
/// kernel gives a pid namespace, the caller goes on in a child; the process that called never returns from here.
///
/// # Errors
/// An essential layer that is missing under [`Policy::Require`](crate::Policy::Require), and any step that fails. The
/// caller says so and ends the process.
pub fn enter(options: &Options) -> Result<Entered, SandboxError> {
    only_thread()?;
    let mut report = Report::default();
    privileges::close_others(&options.keep)?;
    report.note(Layer::Descriptors, LayerState::On);
    // Away from the terminal and its signals. It fails for a group's leader, who has no terminal's signals to fear but
    // those that the parent's terminal sends to all: the parent starts it in a group of its own then.
    let _ = rustix::process::setsid();
    namespaces::give_up_root(&mut report)?;
    namespaces::enter(&mut report, options.policy)?;
    privileges::limit(&options.limits)?;
    report.note(Layer::ResourceLimits, LayerState::On);
    namespaces::settle(&mut report, options.policy, Layer::Landlock, landlock::restrict())?;
    privileges::drop_all()?;
    report.note(Layer::Privileges, LayerState::On);
    fork::die_with_parent()?;
    if report.is_on(Layer::PidNamespace) {
        fork::become_first()?;
    }
    Ok(Entered {
        report,
        unlisted: options.unlisted,
    })
}

impl Entered {
    /// Which layers are on so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Filters the system calls of all threads, for good. After the engine and the runtime have started, before foreign
    /// code.
    ///
    /// # Errors
    /// The kernel has no filter or refuses it for a thread: the process is not locked in and must not run foreign code.
    pub fn lock(mut self) -> Result<Report, SandboxError> {
        filter::install(self.unlisted)?;
        self.report.note(Layer::SystemCalls, LayerState::On);
        Ok(self.report)
    }
}

/// Credentials and namespaces are a thread's own: others would stay outside.
fn only_thread() -> Result<(), SandboxError> {
    let tasks = std::fs::read_dir("/proc/self/task").map_err(|error| SandboxError::step("count threads", error))?;
    match tasks.count() {
        1 => Ok(()),
        more => Err(SandboxError::Threads(more)),
    }
}
