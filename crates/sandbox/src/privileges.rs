//! What is left of privileges when the namespaces are there: none. And limits, and descriptors.

use crate::error::SandboxError;
use crate::options::ResourceLimits;
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};
use std::os::fd::RawFd;

/// Numbers of capabilities that a kernel may know, today's and those to come.
const CAPABILITIES_MAX: u32 = 64;

/// No capability, none to be had by any way, and nobody may look into this process.
pub(crate) fn drop_all() -> Result<(), SandboxError> {
    let sets = rustix::thread::capabilities(None).map_err(|error| SandboxError::step("read capabilities", error))?;
    if sets.effective.contains(CapabilitySet::SETPCAP) {
        empty_bounding_set()?;
        // Root is nobody special, a change of user gives nothing, and both for ever.
        let bits = CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
        rustix::thread::set_capabilities_secure_bits(bits)
            .map_err(|error| SandboxError::step("set secure bits", error))?;
    }
    match rustix::thread::clear_ambient_capability_set() {
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(SandboxError::step("clear ambient capabilities", error)),
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).map_err(|error| SandboxError::step("drop capabilities", error))?;
    rustix::thread::set_no_new_privs(true).map_err(|error| SandboxError::step("forbid new privileges", error))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| SandboxError::step("forbid dumps", error))
}

/// Takes every capability that this kernel knows out of what could ever be had.
fn empty_bounding_set() -> Result<(), SandboxError> {
    for number in 0..CAPABILITIES_MAX {
        // SAFETY: no memory is passed.
        let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
        if dropped != 0 {
            let error = std::io::Error::last_os_error();
            // The first number that the kernel does not know.
            if error.raw_os_error() == Some(libc::EINVAL) && number > 0 {
                return Ok(());
            }
            return Err(SandboxError::step("empty the bounding set", error));
        }
    }
    Ok(())
}

/// Sets the limits, soft and hard.
pub(crate) fn limit(limits: &ResourceLimits) -> Result<(), SandboxError> {
    let set = |resource: Resource, value: u64| {
        // A hard limit can only be lowered.
        let had = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let value = Some(value.min(had));
        let limit = Rlimit {
            current: value,
            maximum: value,
        };
        rustix::process::setrlimit(resource, limit).map_err(|error| SandboxError::step("set resource limits", error))
    };
    set(Resource::Core, 0)?;
    set(Resource::Fsize, 0)?;
    set(Resource::Memlock, 0)?;
    set(Resource::Msgqueue, 0)?;
    set(Resource::Rtprio, 0)?;
    set(Resource::Nofile, limits.descriptors)?;
    if let Some(bytes) = limits.address_space {
        set(Resource::As, bytes)?;
    }
    if let Some(bytes) = limits.data {
        set(Resource::Data, bytes)?;
    }
    Ok(())
}

/// Closes all descriptors but 0, 1, 2 and the given ones.
pub(crate) fn close_others(keep: &[RawFd]) -> Result<(), SandboxError> {
    let mut keep: Vec<libc::c_uint> = keep.iter().filter_map(|fd| libc::c_uint::try_from(*fd).ok()).collect();
    keep.extend([0, 1, 2]);
    keep.sort_unstable();
    keep.dedup();
    let mut from = 0;
    for fd in keep {
        if fd > from {
            close_range(from, fd - 1)?;
        }
        from = fd + 1;
    }
    close_range(from, libc::c_uint::MAX)
}

/// Closes every descriptor but one.
pub(crate) fn close_all_but(kept: RawFd) -> Result<(), SandboxError> {
    let kept = libc::c_uint::try_from(kept).unwrap_or(libc::c_uint::MAX);
    if kept > 0 {
        close_range(0, kept - 1)?;
    }
    close_range(kept.saturating_add(1), libc::c_uint::MAX)
}

fn close_range(first: libc::c_uint, last: libc::c_uint) -> Result<(), SandboxError> {
    // SAFETY: the process has nothing open that it goes on to use besides the kept descriptors; that is the contract of
    // `enter`, which says so.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if closed == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    if error.raw_os_error() != Some(libc::ENOSYS) {
        return Err(SandboxError::step("close descriptors", error));
    }
    // Before Linux 5.9. No number is as high as the limit that holds now, before it is lowered.
    let limit = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(1 << 20);
    for fd in u64::from(first)..=u64::from(last).min(limit) {
        // SAFETY: as above; a number that is not open answers an error that means nothing.
        unsafe { libc::close(fd as libc::c_int) };
    }
    Ok(())
}
