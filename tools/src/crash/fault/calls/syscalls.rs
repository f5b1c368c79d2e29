//! The system calls that a worker makes, and where each names a file.
//!
//! Owns: [`find`]. Calls nothing. Linux on x86-64.
//!
//! Invariant: a call that is in neither list is unknown, and a campaign that meets one fails: so no
//! call that touches a log can be passed over for not being known here.

use nix::libc;

/// Where a call names a file: places of its arguments, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// A descriptor.
    Descriptor(usize),
    /// A path, taken from the working directory.
    Path(usize),
    /// A path, taken from the directory of a descriptor; empty: the descriptor itself.
    PathAt(usize, usize),
    /// An address in a mapping of the file.
    Mapping(usize),
}

/// What a number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// A call that may touch a file.
    OnFile(&'static str, Names),
    /// A call that never does.
    Other,
    /// Not known here.
    Unknown,
}

/// What the number of a call stands for.
pub(super) fn find(number: libc::c_long) -> Call {
    if let Some((_, name, names)) = ON_FILES.iter().find(|(known, ..)| *known == number) {
        return Call::OnFile(name, *names);
    }
    if OTHERS.contains(&number) { Call::Other } else { Call::Unknown }
}

use Names::{Descriptor, Mapping, Path, PathAt};

const ON_FILES: [(libc::c_long, &str, Names); 65] = [
    (libc::SYS_access, "access", Path(0)),
    (libc::SYS_chmod, "chmod", Path(0)),
    (libc::SYS_close, "close", Descriptor(0)),
    (libc::SYS_copy_file_range, "copy_file_range", Descriptor(2)),
    (libc::SYS_dup, "dup", Descriptor(0)),
    (libc::SYS_faccessat, "faccessat", PathAt(0, 1)),
    (libc::SYS_faccessat2, "faccessat2", PathAt(0, 1)),
    (libc::SYS_fadvise64, "fadvise64", Descriptor(0)),
    (libc::SYS_fallocate, "fallocate", Descriptor(0)),
    (libc::SYS_fchmod, "fchmod", Descriptor(0)),
    (libc::SYS_fcntl, "fcntl", Descriptor(0)),
    (libc::SYS_fdatasync, "fdatasync", Descriptor(0)),
    (libc::SYS_flock, "flock", Descriptor(0)),
    (libc::SYS_fstat, "fstat", Descriptor(0)),
    (libc::SYS_fstatfs, "fstatfs", Descriptor(0)),
    (libc::SYS_fsync, "fsync", Descriptor(0)),
    (libc::SYS_ftruncate, "ftruncate", Descriptor(0)),
    (libc::SYS_getdents64, "getdents64", Descriptor(0)),
    (libc::SYS_ioctl, "ioctl", Descriptor(0)),
    (libc::SYS_link, "link", Path(0)),
    (libc::SYS_linkat, "linkat", PathAt(0, 1)),
    (libc::SYS_lseek, "lseek", Descriptor(0)),
    (libc::SYS_lstat, "lstat", Path(0)),
    (libc::SYS_madvise, "madvise", Mapping(0)),
    (libc::SYS_mincore, "mincore", Mapping(0)),
    (libc::SYS_mkdir, "mkdir", Path(0)),
    (libc::SYS_mkdirat, "mkdirat", PathAt(0, 1)),
    (libc::SYS_mlock, "mlock", Mapping(0)),
    (libc::SYS_mmap, "mmap", Descriptor(4)),
    (libc::SYS_mremap, "mremap", Mapping(0)),
    (libc::SYS_msync, "msync", Mapping(0)),
    (libc::SYS_newfstatat, "newfstatat", PathAt(0, 1)),
    (libc::SYS_open, "open", Path(0)),
    (libc::SYS_openat, "openat", PathAt(0, 1)),
    (libc::SYS_openat2, "openat2", PathAt(0, 1)),
    (libc::SYS_pread64, "pread64", Descriptor(0)),
    (libc::SYS_preadv, "preadv", Descriptor(0)),
    (libc::SYS_preadv2, "preadv2", Descriptor(0)),
    (libc::SYS_pwrite64, "pwrite64", Descriptor(0)),
    (libc::SYS_pwritev, "pwritev", Descriptor(0)),
    (libc::SYS_pwritev2, "pwritev2", Descriptor(0)),
    (libc::SYS_read, "read", Descriptor(0)),
    (libc::SYS_readahead, "readahead", Descriptor(0)),
    (libc::SYS_readlink, "readlink", Path(0)),
    (libc::SYS_readlinkat, "readlinkat", PathAt(0, 1)),
    (libc::SYS_readv, "readv", Descriptor(0)),
    (libc::SYS_rename, "rename", Path(0)),
    (libc::SYS_renameat, "renameat", PathAt(0, 1)),
    (libc::SYS_renameat2, "renameat2", PathAt(0, 1)),
    (libc::SYS_rmdir, "rmdir", Path(0)),
    (libc::SYS_sendfile, "sendfile", Descriptor(0)),
    (libc::SYS_stat, "stat", Path(0)),
    (libc::SYS_statfs, "statfs", Path(0)),
    (libc::SYS_statx, "statx", PathAt(0, 1)),
    (libc::SYS_symlink, "symlink", Path(1)),
    (libc::SYS_sync_file_range, "sync_file_range", Descriptor(0)),
    (libc::SYS_syncfs, "syncfs", Descriptor(0)),
    (libc::SYS_truncate, "truncate", Path(0)),
    (libc::SYS_unlink, "unlink", Path(0)),
    (libc::SYS_unlinkat, "unlinkat", PathAt(0, 1)),
    (libc::SYS_utimensat, "utimensat", PathAt(0, 1)),
    (libc::SYS_write, "write", Descriptor(0)),
    (libc::SYS_writev, "writev", Descriptor(0)),
    (libc::SYS_chdir, "chdir", Path(0)),
    (libc::SYS_fchdir, "fchdir", Descriptor(0)),
];

/// Memory, threads, signals, clocks, and the like. What a failing `munmap` or `mprotect` would tell is
/// about memory, not about a file.
const OTHERS: [libc::c_long; 38] = [
    libc::SYS_arch_prctl,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getcwd,
    libc::SYS_geteuid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_kill,
    libc::SYS_membarrier,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_prctl,
    libc::SYS_prlimit64,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sigaltstack,
    libc::SYS_sysinfo,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    libc::SYS_uname,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_in_one_place_and_once() {
        for (at, (number, name, _)) in ON_FILES.iter().enumerate() {
            assert!(!OTHERS.contains(number), "{name}");
            let first = ON_FILES.iter().position(|(other, ..)| other == number);
            assert_eq!(first, Some(at), "{name}");
        }
        assert_eq!(find(libc::SYS_fdatasync), Call::OnFile("fdatasync", Descriptor(0)));
        assert_eq!(find(libc::SYS_futex), Call::Other);
        assert_eq!(find(libc::SYS_reboot), Call::Unknown);
    }
}
