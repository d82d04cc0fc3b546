//! The system calls of a locked in process: which are allowed, with which arguments, and which end it.
//!
//! What is allowed is what V8, the C library and the runtime need to compute, to wait, to make threads and to move bytes
//! over descriptors that are open already. Nothing here opens, names or reaches anything. All else answers `ENOSYS`.
//!
//! W^X: the engine compiles to machine code, so memory may become executable. `mmap` gives anonymous memory alone, so no
//! file can be mapped whatever descriptor the process may hold.

/// One argument of a call, compared before the kernel sees it. Pointers cannot be looked behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// The low 32 bits equal this: for arguments that the kernel takes as `int`.
    Int(u8, u32),
    /// All 64 bits equal this.
    Long(u8, u64),
    /// The bits of the first mask equal the second.
    Bits(u8, u64, u64),
    /// The low 32 bits equal the process's own number.
    OwnProcess(u8),
}

/// When a call is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Whatever its arguments.
    Always,
    /// If all arguments of one of these fit.
    AnyOf(&'static [&'static [Argument]]),
}

/// A call that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its name, as in the kernel's tables.
    pub name: &'static str,
    /// Its number on this architecture.
    pub number: i64,
    /// When it is allowed.
    pub rule: Rule,
}

/// The flags with which the C library makes a thread: everything shared, nothing new. glibc's, and musl's with
/// `CLONE_DETACHED`, which means nothing.
const THREAD: u64 = 0x003d_0f00;
const THREAD_MUSL: u64 = 0x007d_0f00;
/// `prctl`'s option that names a mapping, and its one operation.
const PR_SET_VMA: u32 = 0x5356_4d41;

/// Shorter to read in the table.
const fn always(name: &'static str, number: i64) -> Call {
    Call {
        name,
        number,
        rule: Rule::Always,
    }
}

const fn any_of(name: &'static str, number: i64, rules: &'static [&'static [Argument]]) -> Call {
    Call {
        name,
        number,
        rule: Rule::AnyOf(rules),
    }
}

/// What is allowed.
pub const ALLOWED: &[Call] = &[
    // Memory.
    always("brk", libc::SYS_brk),
    always("mremap", libc::SYS_mremap),
    always("munmap", libc::SYS_munmap),
    always("mprotect", libc::SYS_mprotect),
    always("pkey_mprotect", libc::SYS_pkey_mprotect),
    // Threads, and waiting for them.
    always("exit", libc::SYS_exit),
    always("exit_group", libc::SYS_exit_group),
    always("futex", libc::SYS_futex),
    always("getpid", libc::SYS_getpid),
    always("gettid", libc::SYS_gettid),
    always("restart_syscall", libc::SYS_restart_syscall),
    always("rseq", libc::SYS_rseq),
    always("sched_getaffinity", libc::SYS_sched_getaffinity),
    // Reading, of whoever is in the pid namespace: itself. The C library asks for a new thread's stack and priority.
    always("sched_getparam", libc::SYS_sched_getparam),
    always("sched_getscheduler", libc::SYS_sched_getscheduler),
    always("sched_yield", libc::SYS_sched_yield),
    always("set_robust_list", libc::SYS_set_robust_list),
    // Signals within the process.
    always("rt_sigaction", libc::SYS_rt_sigaction),
    always("rt_sigprocmask", libc::SYS_rt_sigprocmask),
    always("rt_sigreturn", libc::SYS_rt_sigreturn),
    always("sigaltstack", libc::SYS_sigaltstack),
    // Time, randomness, what the process used.
    always("clock_getres", libc::SYS_clock_getres),
    always("clock_gettime", libc::SYS_clock_gettime),
    always("clock_nanosleep", libc::SYS_clock_nanosleep),
    always("getrandom", libc::SYS_getrandom),
    always("getrusage", libc::SYS_getrusage),
    always("nanosleep", libc::SYS_nanosleep),
    always("sysinfo", libc::SYS_sysinfo),
    // Bytes over descriptors that are open, and waiting for them.
    always("close", libc::SYS_close),
    always("epoll_ctl", libc::SYS_epoll_ctl),
    always("epoll_pwait", libc::SYS_epoll_pwait),
    #[cfg(target_arch = "x86_64")]
    always("poll", libc::SYS_poll),
    always("read", libc::SYS_read),
    always("readv", libc::SYS_readv),
    always("recvfrom", libc::SYS_recvfrom),
    always("shutdown", libc::SYS_shutdown),
    always("write", libc::SYS_write),
    always("writev", libc::SYS_writev),
    #[cfg(target_arch = "x86_64")]
    always("epoll_wait", libc::SYS_epoll_wait),
    // The clock without the kernel's shared page, which some hypervisors force.
    #[cfg(target_arch = "x86_64")]
    always("gettimeofday", libc::SYS_gettimeofday),
    #[cfg(target_arch = "x86_64")]
    always("time", libc::SYS_time),
    // Threads and no processes. `clone3` has its flags in memory, where a filter cannot look; the C library uses `clone`
    // when it does not exist.
    any_of(
        "clone",
        libc::SYS_clone,
        &[&[Argument::Long(0, THREAD)], &[Argument::Long(0, THREAD_MUSL)]],
    ),
    // No file, and no memory that is shared: its pages can be kept without being counted as the process's.
    any_of(
        "mmap",
        libc::SYS_mmap,
        &[&[Argument::Bits(
            3,
            (libc::MAP_ANONYMOUS | libc::MAP_TYPE) as u64,
            (libc::MAP_ANONYMOUS | libc::MAP_PRIVATE) as u64,
        )]],
    ),
    // All advice but `MADV_REMOVE`, 9, which would make holes in memory that is shared with the parent: each number differs from 9
    // in one of its low bits at least. (The kernel takes an `int`.)
    any_of(
        "madvise",
        libc::SYS_madvise,
        &[
            &[Argument::Bits(2, 1, 0)],
            &[Argument::Bits(2, 2, 2)],
            &[Argument::Bits(2, 4, 4)],
            &[Argument::Bits(2, 8, 0)],
            // 25, `MADV_COLLAPSE`, has the low four bits of 9.
            &[Argument::Bits(2, 16, 16)],
        ],
    ),
    // To its own threads: how the C library aborts.
    any_of("tgkill", libc::SYS_tgkill, &[&[Argument::OwnProcess(0)]]),
    // A thread's name, and a mapping's.
    any_of(
        "prctl",
        libc::SYS_prctl,
        &[
            &[Argument::Int(0, libc::PR_SET_NAME as u32)],
            &[Argument::Int(0, PR_SET_VMA), Argument::Long(1, 0)],
        ],
    ),
    // The pool lowers the priority of a thread that does not stop.
    any_of(
        "setpriority",
        libc::SYS_setpriority,
        &[&[Argument::Int(0, libc::PRIO_PROCESS)]],
    ),
    // A thread says that its work can wait for that of others.
    any_of(
        "sched_setscheduler",
        libc::SYS_sched_setscheduler,
        &[&[Argument::Int(0, 0), Argument::Int(1, libc::SCHED_BATCH as u32)]],
    ),
    // Reading a limit, of itself alone.
    any_of(
        "prlimit64",
        libc::SYS_prlimit64,
        &[&[Argument::Int(0, 0), Argument::Long(2, 0)]],
    ),
    // To the other end of a socket and to no address.
    any_of("sendto", libc::SYS_sendto, &[&[Argument::Long(4, 0)]]),
    // Flags of a descriptor, and not whom its signals go to.
    any_of(
        "fcntl",
        libc::SYS_fcntl,
        &[
            &[Argument::Int(1, libc::F_GETFD as u32)],
            &[Argument::Int(1, libc::F_GETFL as u32)],
        ],
    ),
    // What became of a socket.
    any_of(
        "getsockopt",
        libc::SYS_getsockopt,
        &[&[
            Argument::Int(1, libc::SOL_SOCKET as u32),
            Argument::Int(2, libc::SO_ERROR as u32),
        ]],
    ),
];

/// What answers `ENOSYS` whatever is said of calls that are not listed: the C library asks for it in every new thread, with
/// all signals blocked, and has another way.
pub const REFUSED: &[(&str, i64)] = &[("clone3", libc::SYS_clone3)];

/// What only an attack asks for: the process ends. The filter refuses it all in any case; the difference is that whoever
/// is in control of the process gets no second attempt, and that the end is seen from outside.
pub const FATAL: &[(&str, i64)] = &[
    ("acct", libc::SYS_acct),
    ("add_key", libc::SYS_add_key),
    ("bpf", libc::SYS_bpf),
    ("capset", libc::SYS_capset),
    ("chroot", libc::SYS_chroot),
    ("delete_module", libc::SYS_delete_module),
    ("execve", libc::SYS_execve),
    ("execveat", libc::SYS_execveat),
    ("finit_module", libc::SYS_finit_module),
    ("init_module", libc::SYS_init_module),
    ("io_uring_enter", libc::SYS_io_uring_enter),
    ("io_uring_register", libc::SYS_io_uring_register),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("kcmp", libc::SYS_kcmp),
    ("kexec_load", libc::SYS_kexec_load),
    ("keyctl", libc::SYS_keyctl),
    ("kill", libc::SYS_kill),
    ("mount", libc::SYS_mount),
    ("move_mount", libc::SYS_move_mount),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("open_tree", libc::SYS_open_tree),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("personality", libc::SYS_personality),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("pidfd_open", libc::SYS_pidfd_open),
    ("pidfd_send_signal", libc::SYS_pidfd_send_signal),
    ("pivot_root", libc::SYS_pivot_root),
    ("process_madvise", libc::SYS_process_madvise),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("process_vm_writev", libc::SYS_process_vm_writev),
    ("ptrace", libc::SYS_ptrace),
    ("quotactl", libc::SYS_quotactl),
    ("reboot", libc::SYS_reboot),
    ("request_key", libc::SYS_request_key),
    ("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo),
    ("rt_tgsigqueueinfo", libc::SYS_rt_tgsigqueueinfo),
    ("setns", libc::SYS_setns),
    ("swapoff", libc::SYS_swapoff),
    ("swapon", libc::SYS_swapon),
    ("tkill", libc::SYS_tkill),
    ("umount2", libc::SYS_umount2),
    ("unshare", libc::SYS_unshare),
    ("userfaultfd", libc::SYS_userfaultfd),
    #[cfg(target_arch = "x86_64")]
    ("fork", libc::SYS_fork),
    #[cfg(target_arch = "x86_64")]
    ("iopl", libc::SYS_iopl),
    #[cfg(target_arch = "x86_64")]
    ("ioperm", libc::SYS_ioperm),
    #[cfg(target_arch = "x86_64")]
    ("kexec_file_load", libc::SYS_kexec_file_load),
    #[cfg(target_arch = "x86_64")]
    ("modify_ldt", libc::SYS_modify_ldt),
    #[cfg(target_arch = "x86_64")]
    ("vfork", libc::SYS_vfork),
];
