//! What this kernel has, as its release and this process's privileges say: not as the code under test does.

/// The numbers of the release, major and minor.
pub(crate) fn release() -> (u32, u32) {
    let names = nix::sys::utsname::uname().unwrap();
    let release = names.release().to_string_lossy().into_owned();
    let mut numbers = release
        .split(['.', '-'])
        .map(|number| number.parse::<u32>());
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    (next(), next())
}

/// Whether nothing forbids a ring here, so that a process that has none is wrong about it.
pub(crate) fn must_have_ring() -> bool {
    let switch = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    cfg!(target_os = "linux")
        && release() >= (5, 6)
        && switch.map_or(true, |value| value.trim() == "0")
        && status("Seccomp:").is_some_and(|mode| mode == "0")
        && std::env::var_os("TIDEGATE_BACKEND").is_none()
        && may_lock_all()
}

/// Whether nothing forbids to register as much memory as there is.
pub(crate) fn must_register() -> bool {
    must_have_ring() && release() >= (5, 19)
}

/// Whether no limit on locked memory is in force (CAP_IPC_LOCK).
fn may_lock_all() -> bool {
    let set = status("CapEff:").and_then(|text| u64::from_str_radix(&text, 16).ok());
    set.is_some_and(|set| set >> 14 & 1 != 0)
}

fn status(name: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().to_owned())
}
