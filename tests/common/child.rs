//! Tests that need a process of their own: the test binary runs itself again for just that test.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const MARK: &str = "TIDEGATE_TEST_CHILD";

/// A child that is not done after this long hangs.
const CHILD_BOUND: Duration = Duration::from_secs(300);

/// Whether this process was started to run just this test.
pub(crate) fn is_child(test: &str) -> bool {
    std::env::var(MARK).is_ok_and(|name| name == test)
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Runs the test in a process of its own, prepared by `prepare`; `body` is what it does there.
pub(crate) fn in_child(test: &str, prepare: impl FnOnce(&mut Command), body: impl FnOnce()) {
    if is_child(test) {
        return body();
    }
    let mut command = command(test);
    prepare(&mut command);
    finish(test, command);
}

/// The same as somebody without privileges; as the one who runs it where that is nobody special.
pub(crate) fn in_child_without_privileges(test: &str, body: impl FnOnce()) {
    let prepare = |command: &mut Command| {
        if is_root() {
            command.uid(65534).gid(65534);
        }
    };
    in_child(test, prepare, body);
}

/// The same with mounts that nobody else sees. Skipped by name where that is not allowed.
#[cfg(target_os = "linux")]
pub(crate) fn in_child_with_own_mounts(test: &str, body: impl FnOnce()) {
    use nix::sched::CloneFlags;
    if !is_root() {
        return eprintln!("skip: {test}: mounting takes root");
    }
    let prepare = |command: &mut Command| {
        let unshare = || Ok(nix::sched::unshare(CloneFlags::CLONE_NEWNS)?);
        // SAFETY: between fork and exec it makes one system call and allocates nothing.
        unsafe { command.pre_exec(unshare) };
    };
    let body = || {
        use nix::mount::{MsFlags, mount};
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        body();
    };
    in_child(test, prepare, body);
}

/// This test binary, for one test. By its link in procfs, which needs no permission to search the
/// directories above it.
pub(crate) fn command(test: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(MARK, test)
        .env("TMPDIR", std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Waits for the child, passes on what it skipped, and fails as it failed.
fn finish(test: &str, mut command: Command) {
    let mut child = command.spawn().unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        err.read_to_string(&mut text).unwrap();
        text
    });
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        let start = Instant::now();
        if is_done.recv_timeout(CHILD_BOUND).is_err() && start.elapsed() >= CHILD_BOUND {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    });
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    let log = reader.join().unwrap();
    let status = child.wait().unwrap();
    let _ = done.send(());
    guard.join().unwrap();
    for line in log.lines().chain(text.lines()) {
        if line.starts_with("skip: ") {
            eprintln!("{line}");
        }
    }
    assert!(
        status.success() && text.contains("1 passed"),
        "{test} in a process of its own: {status}\n{text}\n{log}"
    );
}
