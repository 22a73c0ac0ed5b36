//! What the system says that this process may do.
#![allow(unsafe_code, reason = "asks for the filter of system calls")]
#![allow(clippy::disallowed_methods, reason = "reads procfs, which is memory")]

use super::limit;

/// The switch that forbids io_uring, where the kernel (6.6) has it.
pub(crate) fn disabled_switch() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Whether a system call filter is in force for this process.
pub(crate) fn is_filtered() -> bool {
    const BY_A_FILTER: i32 = 2;
    // SAFETY: takes no memory. It answers also where procfs is not mounted.
    let mode = unsafe { libc::prctl(libc::PR_GET_SECCOMP) };
    mode == BY_A_FILTER || status("Seccomp:").as_deref() == Some("2")
}

/// How much memory this process may lock, so far as its limit goes: what others of the same user have locked
/// is not known.
pub(crate) fn lockable_bytes() -> usize {
    const CAP_IPC_LOCK: u32 = 14;
    let capabilities = status("CapEff:").and_then(|text| u64::from_str_radix(&text, 16).ok());
    if capabilities.is_some_and(|set| set >> CAP_IPC_LOCK & 1 != 0) {
        return usize::MAX;
    }
    let limit = limit::locked_memory().map(usize::try_from);
    limit.and_then(Result::ok).unwrap_or(usize::MAX)
}

/// What the kernel says of this process under that name.
fn status(name: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().to_owned())
}
