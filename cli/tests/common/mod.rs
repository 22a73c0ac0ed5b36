//! What the tests of the binary share.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::ffi::OsStr;
use std::fs::{self, FileTimes};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

/// The ways that each test is run.
pub(crate) const BACKENDS: [&str; 2] = ["ring", "pool"];

/// How long anything may take before a test gives up on it.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// The binary, with an environment that forces nothing.
pub(crate) fn tidegate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command
        .env_remove("TIDEGATE_BACKEND")
        .env_remove("TIDEGATE_TIMEOUTS");
    command
}

/// Whether there is a ring; says that the test is skipped where there is none.
pub(crate) fn can_run(test: &str, backend: &str) -> bool {
    if backend == "ring" && tidegate::probe::report().ring_reason().is_some() {
        println!("skip: {test}: no io_uring on this machine");
        return false;
    }
    true
}

/// A test with a FUSE server, on one of the ways; says that it is skipped where either is not to be had.
#[cfg(target_os = "linux")]
pub(crate) fn fuse_trial(
    name: String,
    backend: &'static str,
    test: fn(&str) -> Result<(), libtest_mimic::Failed>,
) -> libtest_mimic::Trial {
    use libtest_mimic::{Completion, Trial};

    let shown = name.clone();
    Trial::ignorable_test(name, move || {
        let missing = tidegate_rig::Requirements::fuse().missing().join(", ");
        if !missing.is_empty() {
            println!("skip: {shown}: {missing}");
            return Ok(Completion::ignored_with(missing));
        }
        if !can_run(&shown, backend) {
            return Ok(Completion::ignored_with("no io_uring"));
        }
        test(backend).map(|()| Completion::Completed)
    })
}

/// Copies and returns what came of it.
pub(crate) fn copy(backend: &str, source: &Path, destination: &Path, more: &[&str]) -> Output {
    tidegate()
        .arg("copy")
        .args(["--backend", backend])
        .args(more)
        .arg(source)
        .arg(destination)
        .output()
        .unwrap()
}

/// The exit code, with stderr in the message where it is another.
#[track_caller]
pub(crate) fn assert_exit(output: &Output, code: i32) {
    assert_eq!(
        output.status.code(),
        Some(code),
        "stderr: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The summary that `--json` prints.
#[track_caller]
pub(crate) fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a process came to that has to end by itself; one that does not is killed, and the test fails.
#[track_caller]
pub(crate) fn finish(child: std::process::Child, bound: Duration) -> Output {
    let id = nix::unistd::Pid::from_raw(child.id() as i32);
    let (tell, told) = std::sync::mpsc::channel();
    let guard = std::thread::spawn(move || {
        let hangs = told.recv_timeout(bound) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        if hangs {
            let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL);
        }
        hangs
    });
    let output = child.wait_with_output().unwrap();
    let _ = tell.send(());
    assert!(
        !guard.join().unwrap(),
        "it did not return within {bound:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Waits for a condition, and fails where it does not come.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(
            begun.elapsed() < BOUND,
            "{what} did not happen within {BOUND:?}"
        );
        std::thread::yield_now();
    }
}

/// Whether a process is gone, or has only its exit code left.
pub(crate) fn has_ended(id: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{id}/task")).map_or(0, Iterator::count);
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let zombie = stat
        .rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('Z'));
    threads == 0 || (threads == 1 && zombie)
}

/// All paths below `root`, relative to it and sorted.
pub(crate) fn paths(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                left.push(entry.path());
            }
            found.push(entry.path().strip_prefix(root).unwrap().to_path_buf());
        }
    }
    found.sort();
    found
}

/// Names of temporary files that a copy has left below `root`.
pub(crate) fn leftovers(root: &Path) -> Vec<PathBuf> {
    paths(root)
        .into_iter()
        .filter(|path| path.to_string_lossy().contains(".tidegate-"))
        .collect()
}

/// A tree with something of everything. Returns whether the filesystem took user attributes.
pub(crate) fn make_tree(root: &Path) -> bool {
    fs::create_dir_all(root.join("deep/er/and/deeper")).unwrap();
    fs::create_dir(root.join("empty directory")).unwrap();
    fs::write(root.join("empty"), b"").unwrap();
    fs::write(root.join("small"), b"small").unwrap();
    fs::write(root.join("deep/er/large"), vec![b'l'; 3 << 20 | 5]).unwrap();
    for number in 0..300 {
        fs::write(
            root.join(format!("deep/{number}")),
            vec![number as u8; number * 37],
        )
        .unwrap();
    }
    fs::write(root.join(OsStr::from_bytes(b"not \xff UTF-8")), b"name").unwrap();
    fs::write(root.join("n".repeat(255)), b"longest name").unwrap();
    fs::hard_link(root.join("small"), root.join("deep/small again")).unwrap();
    fs::hard_link(root.join("small"), root.join("small too")).unwrap();
    symlink("small", root.join("link")).unwrap();
    symlink("/no/such/target", root.join("dangling")).unwrap();
    symlink("deep", root.join("link to directory")).unwrap();
    nix::unistd::mkfifo(
        &root.join("fifo"),
        nix::sys::stat::Mode::from_bits_truncate(0o640),
    )
    .unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(&[7; 4096], 5 << 20).unwrap();
    sparse.set_len(9 << 20).unwrap();
    let xattrs = xattr::set(root.join("small"), "user.origin", b"a test").is_ok()
        && xattr::set(root.join("deep/er"), "user.directory", b"\0\xff").is_ok();
    for (path, mode) in [
        ("small", 0o600),
        ("empty", 0o4711),
        ("deep/er", 0o1750),
        ("deep/1", 0o444),
    ] {
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let past = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    for path in ["small", "empty directory", "deep/er"] {
        let times = FileTimes::new().set_accessed(past).set_modified(past);
        fs::File::open(root.join(path))
            .unwrap()
            .set_times(times)
            .unwrap();
    }
    fs::set_permissions(root.join("deep/er/and"), fs::Permissions::from_mode(0o555)).unwrap();
    xattrs
}

/// Fails where two trees differ in anything that a copy carries over.
#[track_caller]
pub(crate) fn assert_same(source: &Path, copied: &Path) {
    assert_eq!(paths(source), paths(copied));
    let mut inodes = std::collections::HashMap::new();
    for path in paths(source) {
        let (from, to) = (source.join(&path), copied.join(&path));
        let (found, made) = (
            fs::symlink_metadata(&from).unwrap(),
            fs::symlink_metadata(&to).unwrap(),
        );
        assert_eq!(found.mode(), made.mode(), "mode of {path:?}");
        assert_eq!(
            (found.uid(), found.gid()),
            (made.uid(), made.gid()),
            "owner of {path:?}"
        );
        assert_eq!(
            (found.mtime(), found.mtime_nsec()),
            (made.mtime(), made.mtime_nsec()),
            "time of {path:?}"
        );
        assert_eq!(found.nlink(), made.nlink(), "names of {path:?}");
        if !found.is_dir() {
            let twin = *inodes.entry(found.ino()).or_insert(made.ino());
            assert_eq!(twin, made.ino(), "hard links of {path:?}");
        }
        if found.is_symlink() {
            assert_eq!(fs::read_link(&from).unwrap(), fs::read_link(&to).unwrap());
        } else if found.is_file() {
            assert!(
                fs::read(&from).unwrap() == fs::read(&to).unwrap(),
                "content of {path:?}"
            );
            assert!(made.blocks() <= found.blocks() + 8, "holes of {path:?}");
        }
        assert_eq!(xattrs(&from), xattrs(&to), "attributes of {path:?}");
    }
}

fn xattrs(path: &Path) -> Vec<(std::ffi::OsString, Option<Vec<u8>>)> {
    let mut all: Vec<_> = xattr::list(path)
        .unwrap()
        .map(|name| (name.clone(), xattr::get(path, &name).unwrap()))
        .collect();
    all.sort();
    all
}
