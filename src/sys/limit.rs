//! Resource limits of this process.
#![allow(
    clippy::unnecessary_cast,
    reason = "limits are signed on other systems"
)]

use nix::sys::resource::{Resource, getrlimit};

fn soft(resource: Resource) -> Option<u64> {
    let (soft, _) = getrlimit(resource).ok()?;
    (soft != nix::libc::RLIM_INFINITY).then_some(soft as u64)
}

/// Open files; `None` for no limit.
pub(crate) fn open_files() -> Option<u64> {
    soft(Resource::RLIMIT_NOFILE)
}

/// Locked memory in bytes; `None` for no limit.
pub(crate) fn locked_memory() -> Option<u64> {
    soft(Resource::RLIMIT_MEMLOCK)
}

/// Processes and threads of this user; `None` for no limit.
pub(crate) fn processes() -> Option<u64> {
    soft(Resource::RLIMIT_NPROC)
}
