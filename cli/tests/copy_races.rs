//! Somebody swaps directories, files and links while root copies with the command: nothing is made or changed outside of DST,
//! and nothing that SRC does not have is copied.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

#[path = "../../tests/common/calls.rs"]
mod calls;
mod common;
#[path = "../../tests/common/trees.rs"]
#[allow(dead_code, reason = "what is made is not random here")]
mod trees;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use calls::{Answer, CALLS};
use common::{BACKENDS, can_run, tidegate};

/// How long each race is run, unless TIDEGATE_RACE_SECONDS says otherwise.
const RACE_SECONDS: u64 = 3;

fn race_lasts() -> Duration {
    let asked = std::env::var("TIDEGATE_RACE_SECONDS").ok();
    let asked = asked.and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(asked.unwrap_or(RACE_SECONDS))
}

/// Exchanges two names, once.
fn exchange(a: &Path, b: &Path) -> bool {
    let c = |path: &Path| CString::new(path.as_os_str().as_bytes()).unwrap();
    let (a, b, here) = (c(a), c(b), libc::AT_FDCWD);
    // SAFETY: both names are terminated.
    unsafe { libc::renameat2(here, a.as_ptr(), here, b.as_ptr(), libc::RENAME_EXCHANGE) == 0 }
}

/// Copies for a while, as the names are exchanged; how often each was done.
fn race(pairs: &[(PathBuf, PathBuf)], mut round: impl FnMut(u64)) -> (u64, u64) {
    struct Stops<'a>(&'a AtomicBool);
    /// Also where a round panics: the scope waits for those who exchange.
    impl Drop for Stops<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (stop, times) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut rounds = 0;
    std::thread::scope(|scope| {
        let _stops = Stops(&stop);
        for (a, b) in pairs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    times.fetch_add(u64::from(exchange(a, b)), Ordering::Relaxed);
                }
            });
        }
        let begun = Instant::now();
        while begun.elapsed() < race_lasts() || rounds < 2 {
            round(rounds);
            rounds += 1;
        }
    });
    (rounds, times.load(Ordering::Relaxed))
}

const DIRS: [&str; 4] = ["a", "a/b", "c", "d/b"];

fn fill(root: &Path, text: &str) {
    for dir in DIRS {
        fs::create_dir_all(root.join(dir)).unwrap();
        for number in 0..20 {
            fs::write(root.join(dir).join(format!("file-{number}")), text).unwrap();
        }
        symlink("file-1", root.join(dir).join("link")).unwrap();
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o640);
        nix::unistd::mkfifo(&root.join(dir).join("fifo"), mode).unwrap();
    }
    fs::write(root.join("d/file-2"), text).unwrap();
    fs::hard_link(root.join("a/file-1"), root.join("c/same")).unwrap();
    for name in ["a/file-2", "c/file-2", "d/b/file-2", "d/file-2"] {
        let _ = xattr::set(root.join(name), "user.whose", text.as_bytes());
    }
}

/// Everything that could be changed of what is not to be.
fn state(root: &Path) -> BTreeMap<PathBuf, (u64, u32, u32, i64, i64, Vec<u8>)> {
    let paths = common::paths(root).into_iter().chain([PathBuf::new()]);
    let one = |path: PathBuf| {
        let at = root.join(&path);
        let found = at.symlink_metadata().unwrap();
        let content = if found.is_file() {
            fs::read(&at).unwrap()
        } else {
            Vec::new()
        };
        let (mode, owner) = (found.mode(), found.uid());
        (
            path,
            (
                found.ino(),
                mode,
                owner,
                found.mtime_nsec(),
                found.ctime_nsec(),
                content,
            ),
        )
    };
    paths.map(one).collect()
}

/// Names of a tree, each with a link that leads to the same name of another.
fn pairs(dir: &Path, tree: &str, other: &str) -> Vec<(PathBuf, PathBuf)> {
    // None of them lies in another: who exchanges is led elsewhere, too.
    let names = ["a", "c", "d/b", "d/file-2"];
    let one = |(number, name): (usize, &str)| {
        let link = dir.join(format!("link-{number}"));
        symlink(dir.join(other).join(name), &link).unwrap();
        (dir.join(tree).join(name), link)
    };
    names.into_iter().enumerate().map(one).collect()
}

fn copy(round: u64, from: &Path, to: &Path) {
    const MORE: [&[&str]; 6] = [
        &[],
        &["--resume"],
        &["--update"],
        &["--verify"],
        &["--no-clobber"],
        &["--durability", "full", "--jobs", "8"],
    ];
    let backend = BACKENDS[round as usize % 2];
    let output = common::copy(backend, from, to, MORE[round as usize % MORE.len()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0..=2)), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn nothing_is_written_outside_of_what_is_swapped() {
    if !can_run("nothing_is_written_outside_of_what_is_swapped", "ring") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fill(&at("from"), "new");
    fill(&at("to"), "old");
    fill(&at("outside"), "theirs");
    let before = state(&at("outside"));
    let pairs = pairs(dir.path(), "to", "outside");
    let done = race(&pairs, |round| copy(round, &at("from"), &at("to")));
    println!("{} copies, {} exchanges", done.0, done.1);
    assert!(done.1 > 10);
    assert_eq!(state(&at("outside")), before);
}

#[test]
fn nothing_private_is_read_where_sources_are_swapped() {
    if !can_run("nothing_private_is_read_where_sources_are_swapped", "ring") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fill(&at("from"), "theirs");
    fill(&at("private"), "private");
    let pairs = pairs(dir.path(), "from", "private");
    let done = race(&pairs, |round| {
        let to = at("to");
        copy(round, &at("from"), &to);
        for (path, found) in trees::look(&to) {
            assert!(!found.is_file() || found.content == b"theirs", "{path:?}");
            let whose = found.xattrs.get(std::ffi::OsStr::new("user.whose"));
            assert!(whose.is_none_or(|whose| whose == b"theirs"), "{path:?}");
        }
        if to.exists() {
            fs::remove_dir_all(to).unwrap();
        }
    });
    println!("{} copies, {} exchanges", done.0, done.1);
    assert!(done.1 > 10);
}

/// The directory that a slash at the end of DST asks for is made by one call: what has its name a moment later keeps its
/// rights, wherever it leads to.
#[test]
fn what_takes_the_place_of_a_new_directory_keeps_its_mode() {
    if let Some(reason) = calls::missing() {
        return println!("skip: what_takes_the_place_of_a_new_directory_keeps_its_mode: {reason}");
    }
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("private")).unwrap();
    fs::set_permissions(at("private"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(at("file"), "text").unwrap();
    symlink(at("private"), at("link")).unwrap();
    let mut command = tidegate();
    command.arg("copy").arg(at("file")).arg(at("new/"));
    let (new, link) = (at("new"), at("link"));
    let mut is_swapped = false;
    // Before each call that follows the one that makes it.
    let (child, answering) = calls::spawn(&mut command, CALLS, move |call| {
        if !is_swapped && call.path().is_some_and(|path| path.starts_with(&new)) {
            is_swapped = exchange(&new, &link);
        }
        Answer::Done
    })
    .unwrap();
    common::finish(child, common::BOUND);
    answering.join().unwrap();
    assert!(at("new").is_symlink(), "nothing was swapped");
    let mode = fs::metadata(at("private")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o700);
}
