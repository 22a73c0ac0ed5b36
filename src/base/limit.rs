//! Resource limits of this process.
#![allow(unsafe_code, reason = "nix lacks some of the limits on some systems")]
#![allow(clippy::unnecessary_cast, reason = "the types differ between systems")]

fn soft(resource: i32) -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call writes one limit, which is there.
    let result = unsafe { libc::getrlimit(resource as _, &raw mut limit) };
    (result == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur as u64)
}

/// Open files; `None` for no limit.
pub(crate) fn open_files() -> Option<u64> {
    soft(libc::RLIMIT_NOFILE as i32)
}

/// Locked memory in bytes; `None` for no limit.
pub(crate) fn locked_memory() -> Option<u64> {
    soft(libc::RLIMIT_MEMLOCK as i32)
}

/// Processes and threads of this user; `None` for no limit.
pub(crate) fn processes() -> Option<u64> {
    soft(libc::RLIMIT_NPROC as i32)
}
