//! What this kernel has, asked without changing the process: for a refusal at start rather than at the first child.

use crate::landlock;
use crate::report::Layer;
use std::fmt;

/// What this kernel has and lets this process use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Features {
    /// The error's number of each namespace that cannot be made, with the layer that is lost.
    pub missing_namespaces: Vec<(Layer, i32)>,
    /// Landlock's version, if it is there and on.
    pub landlock: Option<i32>,
    /// Whether system calls can be filtered, on all threads at once.
    pub filter: bool,
}

impl Features {
    /// Whether every essential layer can be had.
    pub fn complete(&self) -> bool {
        self.landlock.is_some() && self.filter && self.missing_namespaces.iter().all(|(layer, _)| !layer.is_essential())
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.landlock {
            Some(version) => write!(f, "Landlock {version}")?,
            None => f.write_str("no Landlock")?,
        }
        f.write_str(if self.filter {
            ", system call filter"
        } else {
            ", no system call filter"
        })?;
        if self.missing_namespaces.is_empty() {
            return f.write_str(", all namespaces");
        }
        for (layer, error) in &self.missing_namespaces {
            write!(f, ", no {layer} ({})", std::io::Error::from_raw_os_error(*error))?;
        }
        Ok(())
    }
}

/// Namespaces in the order in which the sandbox enters them: the first gives the right to the others.
const NAMESPACES: [(libc::c_int, Layer); 7] = [
    (libc::CLONE_NEWUSER, Layer::UserNamespace),
    (libc::CLONE_NEWNS, Layer::EmptyRoot),
    (libc::CLONE_NEWIPC, Layer::IpcNamespace),
    (libc::CLONE_NEWUTS, Layer::UtsNamespace),
    (libc::CLONE_NEWCGROUP, Layer::CgroupNamespace),
    (libc::CLONE_NEWNET, Layer::NetNamespace),
    (libc::CLONE_NEWPID, Layer::PidNamespace),
];

/// Asks the kernel. Takes some milliseconds: a short-lived process tries the namespaces.
pub fn probe() -> Features {
    Features {
        missing_namespaces: NAMESPACES
            .into_iter()
            .zip(try_namespaces())
            .filter_map(|((_, layer), error)| (error != 0).then_some((layer, error)))
            .collect(),
        landlock: landlock::version(),
        filter: has_filter(),
    }
}

/// The error of each namespace; 0 where it can be made.
fn try_namespaces() -> [i32; NAMESPACES.len()] {
    let mut answers = [libc::ENOSYS; NAMESPACES.len()];
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return answers;
    }
    let size = std::mem::size_of_val(&answers);
    // SAFETY: the process may have threads, so the child calls the kernel and nothing else: no allocation, no lock. It
    // writes an array to a pipe with room for it and ends. The parent reads into an array of the same size.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            for (answer, (flag, _)) in answers.iter_mut().zip(NAMESPACES) {
                *answer = if libc::syscall(libc::SYS_unshare, flag) == 0 {
                    0
                } else {
                    *libc::__errno_location()
                };
            }
            libc::write(ends[1], answers.as_ptr().cast(), size);
            libc::_exit(0);
        }
        libc::close(ends[1]);
        if child > 0 {
            let mut read = [0_i32; NAMESPACES.len()];
            if libc::read(ends[0], read.as_mut_ptr().cast(), size) == size as isize {
                answers = read;
            }
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
        libc::close(ends[0]);
    }
    answers
}

/// Whether programs can be put on all threads: with no program at hand the kernel complains about the pointer, and about
/// nothing before it.
fn has_filter() -> bool {
    // SAFETY: the kernel copies from the address it is given, which is nobody's, and answers an error.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            std::ptr::null::<u8>(),
        )
    };
    answer == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
}
