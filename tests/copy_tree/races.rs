//! Somebody swaps directories for links while root copies: nothing is made outside, and nothing private is read.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::{all, paths, run};

/// How long each race is run, unless TIDEGATE_RACE_SECONDS says otherwise.
const RACE_SECONDS: u64 = 4;

fn race_lasts() -> Duration {
    let asked = std::env::var("TIDEGATE_RACE_SECONDS").ok();
    let asked = asked.and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(asked.unwrap_or(RACE_SECONDS))
}

/// Exchanges two names, over and over.
fn exchange(a: &Path, b: &Path, stop: &AtomicBool, times: &AtomicU64) {
    let c = |path: &Path| CString::new(path.as_os_str().as_bytes()).unwrap();
    let (a, b) = (c(a), c(b));
    while !stop.load(Ordering::Relaxed) {
        let here = libc::AT_FDCWD;
        // SAFETY: both names are terminated.
        let result =
            unsafe { libc::renameat2(here, a.as_ptr(), here, b.as_ptr(), libc::RENAME_EXCHANGE) };
        times.fetch_add(u64::from(result == 0), Ordering::Relaxed);
    }
}

/// Copies for a while, as the names are exchanged. Each round is looked at while nothing is.
pub(crate) fn race(pairs: &[(PathBuf, PathBuf)], mut round: impl FnMut()) -> u64 {
    let (stop, times) = (AtomicBool::new(false), AtomicU64::new(0));
    /// Also where a round panics: the scope waits for those who exchange.
    struct Stops<'a>(&'a AtomicBool);
    impl Drop for Stops<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let _stops = Stops(&stop);
        for (a, b) in pairs {
            scope.spawn(|| exchange(a, b, &stop, &times));
        }
        let begun = Instant::now();
        while begun.elapsed() < race_lasts() {
            round();
        }
    });
    times.load(Ordering::Relaxed)
}

fn fill(root: &Path, text: &str) {
    for dir in ["a", "a/b", "c", "d/b"] {
        fs::create_dir_all(root.join(dir)).unwrap();
        for number in 0..40 {
            fs::write(root.join(dir).join(format!("file-{number}")), text).unwrap();
        }
    }
    fs::write(root.join("d/file-3"), text).unwrap();
    fs::hard_link(root.join("a/file-1"), root.join("c/same")).unwrap();
}

/// Directories and files of the destination are swapped for links: nothing is made, changed or given away outside.
#[test]
fn nothing_is_written_outside_of_a_destination_that_is_swapped() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fill(&at("from"), "new");
    fill(&at("to"), "old");
    fill(&at("outside"), "theirs");
    let before: Vec<_> = paths(&at("outside"));
    let state = |path: &PathBuf| {
        let found = at("outside").join(path).symlink_metadata().unwrap();
        (
            found.ino(),
            found.mode(),
            found.uid(),
            found.mtime_nsec(),
            found.ctime_nsec(),
        )
    };
    let states: Vec<_> = before.iter().map(state).collect();
    let mut pairs = Vec::new();
    for (number, name) in ["a", "c", "d/b", "d/file-3"].into_iter().enumerate() {
        let link = at(&format!("link-{number}"));
        symlink(at("outside").join(name), &link).unwrap();
        pairs.push((at("to").join(name), link));
    }
    let mut rounds = 0;
    let times = race(&pairs, || {
        let outcome = run(all(&at("from"), &at("to")));
        rounds += 1;
        assert!(outcome.copied.len() + outcome.failed.len() > 0);
    });
    println!("{rounds} copies, {times} exchanges");
    assert!(rounds > 1 && times > 100);
    assert_eq!(paths(&at("outside")), before);
    assert_eq!(before.iter().map(state).collect::<Vec<_>>(), states);
    for path in &before {
        let path = at("outside").join(path);
        assert!(path.is_dir() || fs::read(&path).unwrap() == b"theirs");
    }
}

/// Directories and files of the source are swapped for links: what they lead to is not read, and links are links.
#[test]
fn nothing_is_read_outside_of_a_source_that_is_swapped() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fill(&at("from"), "theirs");
    fill(&at("private"), "private");
    let mut pairs = Vec::new();
    for (number, name) in ["a", "c", "d/b", "d/file-3"].into_iter().enumerate() {
        let link = at(&format!("link-{number}"));
        symlink(at("private").join(name), &link).unwrap();
        pairs.push((at("from").join(name), link));
    }
    let mut rounds = 0;
    let times = race(&pairs, || {
        let to = at(&format!("to-{rounds}"));
        run(all(&at("from"), &to));
        for path in paths(&to) {
            let path = to.join(path);
            if path.symlink_metadata().unwrap().is_file() {
                assert_eq!(fs::read(&path).unwrap(), b"theirs", "{path:?}");
            }
        }
        fs::remove_dir_all(to).unwrap();
        rounds += 1;
    });
    println!("{rounds} copies, {times} exchanges");
    assert!(rounds > 1 && times > 100);
}

/// Names change what they are while they are copied: each is told, what was copied is whole, and nothing stays under
/// a temporary name.
#[test]
fn what_changes_its_kind_is_copied_whole_or_named() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let whole = "theirs".repeat(5000);
    fill(&at("from"), &whole);
    let names = paths(&at("from"));
    let make = |name: &str, kind: usize| {
        let path = at(name);
        match kind % 3 {
            0 => symlink("/no/such/target", &path).unwrap(),
            1 => fs::create_dir(&path).unwrap(),
            _ => nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        }
        path
    };
    let pairs: Vec<_> = (0..3)
        .map(|kind| {
            let inside = at("from").join(format!("a/file-{kind}"));
            (inside, make(&format!("other-{kind}"), kind))
        })
        .collect();
    let mut rounds = 0;
    race(&pairs, || {
        let to = at(&format!("to-{rounds}"));
        let outcome = run(all(&at("from"), &to));
        for path in paths(&to) {
            let is_temporary = path.to_string_lossy().contains(".tidegate-");
            assert!(!is_temporary, "{path:?}");
            let path = to.join(path);
            if path.symlink_metadata().unwrap().is_file() {
                assert!(fs::read(&path).unwrap() == whole.as_bytes(), "{path:?}");
            }
        }
        let told = |path: &Path| {
            outcome.copied.contains_key(path)
                || outcome.failed.iter().any(|error| error.path == path)
        };
        for path in &names {
            assert!(told(&at("from").join(path)), "{path:?}");
        }
        fs::remove_dir_all(to).unwrap();
        rounds += 1;
    });
    assert!(rounds > 1);
}

/// A copy that is renamed into place gets its name where it was made, whatever is at the path of that directory by then:
/// it succeeds, and leaves nothing under a temporary name.
#[test]
fn a_file_gets_its_name_where_it_was_made() {
    use tidegate::fs::CopyFile;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["one", "two"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("from"), vec![3; 300_000]).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut rounds = 0;
    let times = race(&[(at("one"), at("two"))], || {
        let copy = CopyFile::new(at("from"), at("one/to")).rename_into_place(true);
        let copy = match rounds % 2 {
            0 => copy,
            _ => copy.temporary(at("one/.mine")),
        };
        let copied = runtime.block_on(copy.run()).unwrap();
        assert_eq!(copied.bytes, 300_000);
        rounds += 1;
    });
    println!("{rounds} copies, {times} exchanges");
    for name in ["one", "two"] {
        let left = paths(&at(name));
        assert!(left.iter().all(|path| path == Path::new("to")), "{left:?}");
    }
}
