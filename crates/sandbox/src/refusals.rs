//! For [`Unlisted::Report`](crate::Unlisted::Report): a refused call raises a signal in the thread that made it, whose
//! handler writes the call's number to descriptor 2 and lets the call answer `ENOSYS`.
//!
//! The handler allocates nothing and takes no lock: it may have come in the middle of either.

use crate::error::SandboxError;

/// What stands before the number. The parent looks for it in tests.
const WORDS: &[u8] = b"sandbox: refused system call ";
/// Digits of the greatest number, and the end of the line.
const ROOM: usize = WORDS.len() + 21;

/// Installs the handler for the whole process.
pub(crate) fn listen() -> Result<(), SandboxError> {
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = refused;
    // SAFETY: the structure is plain data for which zeros are valid; the handler has the type that SA_SIGINFO wants, and
    // does only what a handler may.
    let installed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut())
    };
    if installed == 0 {
        Ok(())
    } else {
        Err(SandboxError::last("handle refused system calls"))
    }
}

extern "C" fn refused(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes the interrupted thread's registers here, and takes them back.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let number = take_number(context);
    let mut line = [0_u8; ROOM];
    line[..WORDS.len()].copy_from_slice(WORDS);
    let mut digits = [0_u8; 20];
    let mut left = number;
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 || at == 0 {
            break;
        }
    }
    let end = WORDS.len() + digits.len() - at;
    line[WORDS.len()..end].copy_from_slice(&digits[at..]);
    line[end] = b'\n';
    // SAFETY: the buffer is there and as long as said. What cannot be written is not told.
    unsafe { libc::write(2, line.as_ptr().cast(), end + 1) };
}

/// The number of the refused call; its answer becomes `ENOSYS`.
#[cfg(target_arch = "x86_64")]
fn take_number(context: &mut libc::ucontext_t) -> u64 {
    let answer = &mut context.uc_mcontext.gregs[libc::REG_RAX as usize];
    std::mem::replace(answer, -i64::from(libc::ENOSYS)) as u64
}

/// The number of the refused call; its answer becomes `ENOSYS`.
#[cfg(target_arch = "aarch64")]
fn take_number(context: &mut libc::ucontext_t) -> u64 {
    context.uc_mcontext.regs[0] = -i64::from(libc::ENOSYS) as u64;
    context.uc_mcontext.regs[8]
}
