//! System calls by seccomp: what a run goes on needing is allowed, and nothing else.
//!
//! Two answers to what is not allowed. Calls that no part of this program and of its libraries ever makes, and that only somebody
//! who has taken it over would want (another program, another's memory, kernel modules, sockets of other families), end the process
//! at once: there is nothing left to be saved, and systemd starts it anew. All others fail with `EPERM`: a new libc may try a call that
//! nobody has seen, and a run of months must not end for that. The program reports the failure like any other.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::{Needs, Step};

const WHAT: &str = "calls by seccomp";

/// What is always allowed, whatever its arguments.
#[rustfmt::skip]
const ALLOWED: &[i64] = &[
    // Files that are open, and files that Landlock lets be opened.
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64, libc::SYS_pwrite64, libc::SYS_close,
    libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_lseek, libc::SYS_openat, libc::SYS_getdents64,
    libc::SYS_fcntl, libc::SYS_flock, libc::SYS_ftruncate, libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_fallocate,
    libc::SYS_fadvise64, libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_unlinkat, libc::SYS_mkdirat, libc::SYS_linkat,
    libc::SYS_readlinkat, libc::SYS_getcwd, libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_fchmod, libc::SYS_fchmodat,
    libc::SYS_utimensat, libc::SYS_copy_file_range, libc::SYS_sendfile, libc::SYS_dup, libc::SYS_dup3, libc::SYS_pipe2,
    libc::SYS_fstatfs,
    // Waiting.
    libc::SYS_ppoll, libc::SYS_pselect6, libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait,
    libc::SYS_eventfd2, libc::SYS_nanosleep, libc::SYS_clock_nanosleep, libc::SYS_clock_gettime, libc::SYS_clock_getres,
    libc::SYS_gettimeofday, libc::SYS_timerfd_create, libc::SYS_timerfd_settime,
    // Memory.
    libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mprotect, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_brk,
    // Threads and signals. `clone3` is answered below, `clone` is for threads only.
    libc::SYS_futex, libc::SYS_set_robust_list, libc::SYS_get_robust_list, libc::SYS_rseq, libc::SYS_clone3, libc::SYS_exit,
    libc::SYS_exit_group, libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack, libc::SYS_tgkill, libc::SYS_restart_syscall, libc::SYS_sched_yield, libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity, libc::SYS_set_tid_address, libc::SYS_membarrier,
    // Who and where.
    libc::SYS_getpid, libc::SYS_gettid, libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getegid,
    libc::SYS_getrandom, libc::SYS_uname, libc::SYS_sysinfo, libc::SYS_getrusage, libc::SYS_capget,
    // Sockets that are open: those of the capture, of listeners and of destinations.
    libc::SYS_recvfrom, libc::SYS_recvmsg, libc::SYS_recvmmsg, libc::SYS_sendto, libc::SYS_sendmsg, libc::SYS_getsockopt,
    libc::SYS_setsockopt, libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_shutdown, libc::SYS_accept4,
];

/// Older forms of the same, which only this architecture has.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_OLD: &[i64] = &[
    libc::SYS_open, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_rename, libc::SYS_unlink, libc::SYS_mkdir,
    libc::SYS_rmdir, libc::SYS_link, libc::SYS_readlink, libc::SYS_chmod, libc::SYS_poll, libc::SYS_select, libc::SYS_epoll_wait,
    libc::SYS_accept, libc::SYS_dup2, libc::SYS_time, libc::SYS_getdents, libc::SYS_pause,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_OLD: &[i64] = &[];

/// What ends the process.
#[rustfmt::skip]
const NEVER: &[i64] = &[
    libc::SYS_execve, libc::SYS_execveat, libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev,
    libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module, libc::SYS_kexec_load, libc::SYS_bpf,
    libc::SYS_perf_event_open, libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root, libc::SYS_chroot, libc::SYS_setns,
    libc::SYS_unshare, libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key, libc::SYS_userfaultfd,
    libc::SYS_open_by_handle_at, libc::SYS_reboot, libc::SYS_swapon, libc::SYS_swapoff, libc::SYS_acct,
    libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_adjtimex, libc::SYS_sethostname, libc::SYS_setuid,
    libc::SYS_setgid, libc::SYS_setresuid, libc::SYS_setresgid, libc::SYS_setreuid, libc::SYS_setregid, libc::SYS_setgroups,
    libc::SYS_capset,
];

/// `ioctl` requests: those of a terminal, of sockets and of files, none of which changes an interface. libpcap asks for the flags of
/// one that has gone down, to tell that from one that is away.
#[rustfmt::skip]
const REQUESTS: &[libc::Ioctl] = &[
    libc::TCGETS, libc::TCSETS, libc::TCSETSW, libc::TCSETSF, libc::TIOCGWINSZ, libc::FIONREAD, libc::FIONBIO, libc::FIOCLEX,
    libc::FIONCLEX, libc::SIOCGIFFLAGS,
    // The later forms of the first four, which rustix prefers.
    libc::TCGETS2, libc::TCSETS2, libc::TCSETSW2, libc::TCSETSF2,
];

/// `prctl` options: names of threads and of memory.
const OPTIONS: [libc::c_int; 2] = [libc::PR_SET_NAME, libc::PR_SET_VMA];

/// Restricts all threads of this process.
pub(super) fn restrict(needs: &Needs) -> Step {
    let outcome = programs(needs).and_then(|programs| {
        programs.iter().try_for_each(|program| {
            seccompiler::apply_filter_all_threads(program).map_err(|error| error.to_string())
        })
    });
    Step { what: WHAT, lacking: outcome.err() }
}

/// The filters in the order in which they are to be installed; the kernel takes the gravest of their answers. The last one no longer
/// allows that another is installed.
fn programs(needs: &Needs) -> Result<Vec<BpfProgram>, String> {
    // libc falls back to `clone`, whose flags a filter can see, where it is told that there is no `clone3`.
    let no_clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let enosys = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let eperm = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let allow = SeccompAction::Allow;
    Ok(vec![
        compile(never()?, allow.clone(), SeccompAction::KillProcess)?,
        compile(no_clone3, allow.clone(), enosys)?,
        compile(allowed(needs)?, eperm, allow)?,
    ])
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    on_match: SeccompAction,
) -> Result<BpfProgram, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let filter = SeccompFilter::new(rules, otherwise, on_match, arch).map_err(|error| error.to_string())?;
    filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())
}

fn never() -> Result<BTreeMap<i64, Vec<SeccompRule>>, String> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = NEVER.iter().map(|call| (*call, Vec::new())).collect();
    // Packets, raw access to devices and the like. Looking up a name tries netlink, which then merely fails.
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let none_of = families.into_iter().map(|family| condition(0, SeccompCmpOp::Ne, family));
    rules.insert(libc::SYS_socket, vec![rule(none_of.collect::<Result<_, _>>()?)?]);
    Ok(rules)
}

fn allowed(needs: &Needs) -> Result<BTreeMap<i64, Vec<SeccompRule>>, String> {
    let calls = ALLOWED.iter().chain(ALLOWED_OLD);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = calls.map(|call| (*call, Vec::new())).collect();
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let is_thread = SeccompCmpOp::MaskedEq(thread);
    rules.insert(libc::SYS_clone, vec![rule(vec![condition(0, is_thread, libc::CLONE_THREAD)?])?]);
    let requests = REQUESTS.iter().map(|request| one_of(1, *request));
    rules.insert(libc::SYS_ioctl, requests.collect::<Result<_, _>>()?);
    let options = OPTIONS.into_iter().map(|option| one_of(0, option));
    rules.insert(libc::SYS_prctl, options.collect::<Result<_, _>>()?);
    // Limits are read, never set.
    let no_new_limit = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)
        .map_err(|error| error.to_string())?;
    rules.insert(libc::SYS_prlimit64, vec![rule(vec![no_new_limit])?]);
    rules.insert(libc::SYS_socketpair, vec![one_of(0, libc::AF_UNIX)?]);
    let mut families = Vec::new();
    if needs.unix_sockets || needs.names {
        families.push(libc::AF_UNIX);
    }
    if needs.inet_sockets || needs.names {
        families.extend([libc::AF_INET, libc::AF_INET6]);
    }
    if !families.is_empty() {
        let sockets = families.into_iter().map(|family| one_of(0, family));
        rules.insert(libc::SYS_socket, sockets.collect::<Result<_, _>>()?);
        for call in [libc::SYS_connect, libc::SYS_bind, libc::SYS_sendmmsg] {
            rules.insert(call, Vec::new());
        }
    }
    Ok(rules)
}

fn rule(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, String> {
    SeccompRule::new(conditions).map_err(|error| error.to_string())
}

/// An argument that is this value.
fn one_of<N: TryInto<u64>>(argument: u8, value: N) -> Result<SeccompRule, String> {
    rule(vec![condition(argument, SeccompCmpOp::Eq, value)?])
}

/// Arguments of calls are compared as the 32 bits that they have.
fn condition<N: TryInto<u64>>(
    argument: u8,
    operator: SeccompCmpOp,
    value: N,
) -> Result<SeccompCondition, String> {
    let value = value.try_into().map_err(|_| "a negative number in a rule".to_owned())?;
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    /// Runs in a thread that only the filters of `needs` hold.
    fn confined<T: Send + 'static>(needs: Needs, run: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(move || {
            for program in programs(&needs).unwrap() {
                seccompiler::apply_filter(&program).unwrap();
            }
            run()
        })
        .join()
        .unwrap()
    }

    const REFUSED: Option<ErrorKind> = Some(ErrorKind::PermissionDenied);

    fn kind<T>(result: std::io::Result<T>) -> Option<ErrorKind> {
        result.err().map(|error| error.kind())
    }

    #[test]
    fn without_a_need_no_socket_is_opened() {
        let outcome = confined(Needs::default(), || {
            [
                kind(UdpSocket::bind("127.0.0.1:0")),
                kind(UnixDatagram::unbound()),
                kind(TcpListener::bind("127.0.0.1:0")),
            ]
        });
        assert_eq!(outcome, [REFUSED; 3]);
    }

    #[test]
    fn with_a_need_destinations_are_connected_to_and_nobody_else_is_listened_to() {
        let there = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = there.local_addr().unwrap();
        let needs = Needs { inet_sockets: true, ..Needs::default() };
        let outcome = confined(needs, move || {
            [
                kind(TcpStream::connect(address)),
                kind(TcpListener::bind("127.0.0.1:0")),
                kind(UnixDatagram::unbound()),
            ]
        });
        assert_eq!(outcome, [None, REFUSED, REFUSED]);
    }

    #[test]
    fn what_a_run_does_every_day_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        confined(Needs::default(), move || {
            fs::write(&file, "x").unwrap();
            fs::rename(&file, file.with_extension("b")).unwrap();
            assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
            fs::remove_file(file.with_extension("b")).unwrap();
            fs::create_dir(&file).unwrap();
            UnixStream::pair().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(1));
            let named = std::thread::Builder::new().name("a thread".to_owned());
            assert_eq!(named.spawn(|| 7).unwrap().join().unwrap(), 7);
        });
    }
}
