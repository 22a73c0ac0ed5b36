//! Starting the working process, and what it and its parent are doing.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::message::Shows;

/// Tells a process that it is the working one, and what can be shown.
pub(super) const ROLE: &str = "TIDEGATE_WORKER";

/// What the parent can show, if this is a working process.
pub(super) fn is_worker() -> Option<Shows> {
    let role = std::env::var_os(ROLE)?;
    let has = |word: &str| {
        role.as_encoded_bytes()
            .split(|&b| b == b',')
            .any(|found| found == word.as_bytes())
    };
    Some(Shows {
        bar: has("bar"),
        lines: has("lines"),
    })
}

/// Starts this program again with the same arguments. The other end of `control` is its standard input.
pub(super) fn start(control: UnixStream, shows: Shows) -> io::Result<Child> {
    let mut role = String::from("quiet");
    for (word, _) in [("bar", shows.bar), ("lines", shows.lines)]
        .iter()
        .filter(|(_, is)| *is)
    {
        role = format!("{role},{word}");
    }
    let control = OwnedFd::from(control);
    let own_name = std::env::args_os()
        .next()
        .unwrap_or_else(|| "tidegate".into());
    let spawn = |program: &OsStr| {
        Command::new(program)
            .arg0(&own_name)
            .args(std::env::args_os().skip(1))
            .env(ROLE, &role)
            .stdin(Stdio::from(control.try_clone()?))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    };
    // The very program that runs, also if its file was replaced meanwhile. Without /proc, by the name that it
    // was called by.
    if cfg!(target_os = "linux") {
        match spawn(OsStr::new("/proc/self/exe")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            started => return started,
        }
    }
    match std::env::current_exe() {
        Ok(program) => spawn(program.as_os_str()),
        Err(_) => spawn(&own_name),
    }
}

/// What the kernel says that a process does: `T` where it is stopped, `Z` where its first thread has ended.
pub(super) fn state(id: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may contain any of them.
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether a hang-up is ignored since the start, as `nohup` has it.
pub(super) fn ignores_hang_up() -> bool {
    let Ok(status) = std::fs::read_to_string(Path::new("/proc/self/status")) else {
        return false;
    };
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (nix::sys::signal::Signal::SIGHUP as u64 - 1)) != 0)
}

/// Gives the process its name back: it was started by a path that says nothing.
pub(super) fn set_name() {
    #[cfg(target_os = "linux")]
    {
        // What `ps` shows is all that depends on it.
        let _ = nix::sys::prctl::set_name(c"tidegate");
    }
}
