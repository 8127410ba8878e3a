//! What a worker gives up before it reads the first byte of a peer: memory and processor time beyond its limits, files,
//! other processes, the network.
//!
//! On Linux a filter of system calls leaves reading and writing what is open, memory and the clock; any other call ends
//! the process. On other systems of the Unix family the limits of resources hold and the rest does not, and elsewhere
//! nothing but the relay's own clock; a worker says which it is and the relay logs it.

use std::io;

/// Limits of one worker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) memory_bytes_max: u64,
    pub(super) cpu_seconds_max: u64,
}

/// Takes away what is not needed, for good. Whether system calls are filtered.
pub(super) fn enter(limits: Limits) -> io::Result<bool> {
    // When memory is short a worker goes first. Not every system has this, and nothing hangs on it.
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    #[cfg(unix)]
    resources::limit(limits)?;
    // The clock is looked up at its first use, by calls that are not given later.
    begin_job(limits)?;
    calls::filter()
}

/// Gives the next job its processor time.
pub(super) fn begin_job(limits: Limits) -> io::Result<()> {
    #[cfg(unix)]
    resources::limit_processor_time(limits.cpu_seconds_max)?;
    #[cfg(not(unix))]
    let _ = limits;
    Ok(())
}

#[cfg(unix)]
mod resources {
    use std::io;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use rustix::time::{ClockId, clock_gettime};

    use super::Limits;

    pub(super) fn limit(limits: Limits) -> io::Result<()> {
        fixed(Resource::As, limits.memory_bytes_max)?;
        // A dump would hold a patient's image.
        fixed(Resource::Core, 0)?;
        fixed(Resource::Fsize, 0)?;
        // Standard input, output and error are open, and nothing more.
        fixed(Resource::Nofile, 3)?;
        Ok(())
    }

    fn fixed(resource: Resource, limit: u64) -> io::Result<()> {
        // Whoever started the relay may have set less.
        let limit = getrlimit(resource).maximum.map_or(limit, |most| most.min(limit));
        let limit = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        Ok(setrlimit(resource, limit)?)
    }

    /// The limit counts from the start of the process, and in whole seconds.
    pub(super) fn limit_processor_time(seconds: u64) -> io::Result<()> {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let used = u64::try_from(used.tv_sec).unwrap_or(0) + u64::from(used.tv_nsec > 0);
        let limit = Rlimit {
            current: Some(used.saturating_add(seconds)),
            maximum: getrlimit(Resource::Cpu).maximum,
        };
        Ok(setrlimit(Resource::Cpu, limit)?)
    }
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod calls {
    use std::collections::BTreeMap;
    use std::io;

    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };

    /// What the decoders, the allocator and the end of the process need.
    const ALLOWED: [libc::c_long; 20] = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_exit_group,
    ];

    /// Sets the filter; this also rules out new privileges.
    pub(super) fn filter() -> io::Result<bool> {
        let program = program().map_err(io::Error::other)?;
        seccompiler::apply_filter(&program).map_err(io::Error::other)?;
        Ok(true)
    }

    fn program() -> Result<BpfProgram, seccompiler::BackendError> {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
            ALLOWED.into_iter().map(|call| (call, Vec::new())).collect();
        // Memory that can be run is not given any more.
        let not_run = |argument| {
            let run = libc::PROT_EXEC.unsigned_abs().into();
            let condition =
                SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(run), 0)?;
            SeccompRule::new(vec![condition])
        };
        rules.insert(libc::SYS_mmap, vec![not_run(2)?]);
        rules.insert(libc::SYS_mprotect, vec![not_run(2)?]);
        // Signals to itself only, as ending in disorder sends one: the relay has the same user.
        let own = u64::from(std::process::id());
        let own = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, own)?;
        rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![own])?]);
        // Its own limits only.
        let own = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 0)?;
        rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![own])?]);
        let filter = SeccompFilter::new(
            rules,
            SeccompAction::KillProcess,
            SeccompAction::Allow,
            std::env::consts::ARCH.try_into()?,
        )?;
        filter.try_into()
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod calls {
    use std::io;

    pub(super) fn filter() -> io::Result<bool> {
        Ok(false)
    }
}
