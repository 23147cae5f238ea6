//! What the process takes from itself before it runs a plugin's code.
//!
//! No new privileges, no core dump, no tracing by others of the same user, no files, no sockets, no processes: a
//! filter of system calls lets through what reading, writing, waiting, memory, clocks and randomness need. Everything
//! else is answered with `EPERM`. It dies with its parent.

use std::io;

/// Descriptors that it may hold: its three, and none to spare.
const DESCRIPTORS_MAX: u64 = 3;
/// Memory beside the plugin's own objects: the engine, the frames under way.
const MEMORY_BESIDE: u64 = 256 << 20;

/// Before anything is read.
pub(super) fn begin() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, Signal};
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        rustix::thread::set_no_new_privs(true)?;
    }
    Ok(())
}

/// Before the plugin's code is run.
pub(super) fn finish(memory_bytes: u64) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // While a file can still be opened.
    #[cfg(target_os = "linux")]
    let data_bytes = data_bytes()?;
    let fixed = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(Resource::Core, fixed(0))?;
    setrlimit(Resource::Fsize, fixed(0))?;
    setrlimit(Resource::Nofile, fixed(DESCRIPTORS_MAX))?;
    #[cfg(target_os = "linux")]
    {
        setrlimit(Resource::Nproc, fixed(0))?;
        // Counted from what is taken already: an allocator may have set a gigabyte of addresses aside at its start.
        let more = memory_bytes.saturating_add(MEMORY_BESIDE);
        setrlimit(Resource::Data, fixed(data_bytes.saturating_add(more)))?;
        filter()?;
    }
    Ok(())
}

/// What the limit of data counts: private memory that can be written (`man 5 proc`, `VmData`, in KiB).
#[cfg(target_os = "linux")]
fn data_bytes() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let kib = kib.ok_or_else(|| io::Error::other("/proc/self/status does not tell VmData"))?;
    Ok(kib.saturating_mul(1024))
}

#[cfg(target_os = "linux")]
fn filter() -> io::Result<()> {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let rules = allowed().into_iter().map(|number| (number, vec![])).collect();
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, denied, SeccompAction::Allow, arch);
    let program: BpfProgram =
        filter.map_err(io::Error::other)?.try_into().map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

/// The numbers of the system calls that are left.
#[cfg(target_os = "linux")]
fn allowed() -> Vec<i64> {
    let mut allowed = vec![
        // Frames.
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_ppoll,
        // Memory.
        libc::SYS_brk,
        libc::SYS_madvise,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_mremap,
        libc::SYS_munmap,
        // Clocks, randomness, locks.
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_futex,
        libc::SYS_getrandom,
        libc::SYS_gettimeofday,
        libc::SYS_nanosleep,
        libc::SYS_restart_syscall,
        libc::SYS_sched_yield,
        // Its end, also a crash.
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_tgkill,
    ];
    #[cfg(target_arch = "x86_64")]
    allowed.push(libc::SYS_poll);
    allowed
}
