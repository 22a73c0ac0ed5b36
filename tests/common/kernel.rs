//! What the kernel must have, from its release alone: what the code under test finds out is not asked.

/// Whether it must have what came with this release. Where this process may not use all that the kernel has, what was
/// found out counts.
pub(crate) fn has(first: (u32, u32), found: bool) -> bool {
    if is_unrestricted() {
        release() >= first
    } else {
        found
    }
}

/// Whether nothing keeps this process from what the kernel has: it may lock any amount of memory, and no filter and
/// no setting is in the way.
pub(crate) fn is_unrestricted() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let of_status = |name: &str, radix: u32| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mut lines = status.lines();
        let value = lines.find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(value.trim(), radix).ok()
    };
    let switch = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    let is_on = switch.map_or(true, |switch| switch.trim() == "0");
    let is_masked = ["TIDEGATE_BACKEND", "TIDEGATE_WITHOUT_OPCODES"];
    is_on
        && of_status("Seccomp:", 10) == Some(0)
        && of_status("CapEff:", 16).is_some_and(|held| held & 1 << CAP_IPC_LOCK != 0)
        && is_masked
            .iter()
            .all(|name| std::env::var_os(name).is_none())
}

/// Whether nothing forbids a ring here, so that a process that has none is wrong about it.
pub(crate) fn must_have_ring() -> bool {
    cfg!(target_os = "linux") && release() >= (5, 6) && is_unrestricted()
}

/// Whether nothing forbids to register as much memory as there is.
pub(crate) fn must_register() -> bool {
    must_have_ring() && release() >= (5, 19)
}

/// Its first two numbers; nothing where this is another system.
pub(crate) fn release() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse().ok());
    (next().unwrap_or(0), next().unwrap_or(0))
}
