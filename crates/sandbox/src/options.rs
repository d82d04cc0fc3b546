//! How strict a sandbox is, and what its process keeps.

use std::os::fd::RawFd;

/// Most descriptors that a locked in process may have, unless told otherwise. It opens none itself.
pub const HARD_DESCRIPTORS: u64 = 64;

/// What a kernel without a layer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// An essential layer that is missing is an error: the process is not to run foreign code.
    #[default]
    Require,
    /// A layer that is missing stands in the report; the caller logs it.
    AllowDowngrade,
}

/// What happens when the process makes a system call that is not on the list (and not one that only an attack makes,
/// which ends the process in every case).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unlisted {
    /// It answers `ENOSYS`, as a kernel that does not have it. The C library, the runtime and the engine all have a way
    /// to go on without the calls that they can do without; ending the process would make each corner of them, a
    /// backtrace for one, a crash of every worker in it.
    #[default]
    Refuse,
    /// As [`Self::Refuse`], and a line on descriptor 2 says which call it was. For tests and for finding out what a new
    /// version of the engine wants: whoever controls the process can write as many lines as it likes.
    Report,
    /// It ends the process.
    Kill,
}

/// Limits of the kernel for the whole process. Core files and files to write are always forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Most open descriptors, and one more than the greatest number of one.
    pub descriptors: u64,
    /// Most bytes of address space. `None` for an engine that reserves address space far beyond what it uses, as V8 does.
    pub address_space: Option<u64>,
    /// Most bytes of private memory (heap, anonymous mappings that can be written). `None`: no limit.
    pub data: Option<u64>,
}

impl Default for ResourceLimits {
    fn default() -> Self {
        Self {
            descriptors: HARD_DESCRIPTORS,
            address_space: None,
            data: None,
        }
    }
}

/// What to lock in, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// What a missing layer means.
    pub policy: Policy,
    /// Descriptors that stay open, besides 0, 1 and 2. They must be below [`ResourceLimits::descriptors`].
    pub keep: Vec<RawFd>,
    /// Limits for the whole process.
    pub limits: ResourceLimits,
    /// What a call that is not on the list does.
    pub unlisted: Unlisted,
}
