//! What the options of `tidegate copy` do, one test each.

mod common;

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use common::{assert_exit, assert_same, copy, json, leftovers, make_tree, paths};

/// Two files and a directory with a third.
fn small_tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("source/inner")).unwrap();
    for name in ["a.c", "a.o", "inner/b.o"] {
        fs::write(dir.path().join("source").join(name), name).unwrap();
    }
    dir
}

fn run(dir: &Path, more: &[&str]) -> std::process::Output {
    copy("auto", &dir.join("source"), &dir.join("copy"), more)
}

fn names(root: &Path) -> Vec<String> {
    let found = paths(root).into_iter();
    found
        .map(|path| path.to_str().unwrap().to_owned())
        .collect()
}

fn set_time(path: &Path, seconds: u64) {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let file = File::options().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(at)).unwrap();
}

#[test]
fn no_clobber_leaves_alone_what_exists() {
    let dir = small_tree();
    fs::create_dir(dir.path().join("copy")).unwrap();
    fs::write(dir.path().join("copy/a.c"), "kept").unwrap();
    symlink("nowhere", dir.path().join("copy/a.o")).unwrap();
    let output = run(dir.path(), &["--no-clobber", "--json", "--verify"]);
    assert_exit(&output, 0);
    assert_eq!(json(&output)["skipped"], 2);
    assert_eq!(json(&output)["files"], 1);
    assert_eq!(fs::read(dir.path().join("copy/a.c")).unwrap(), b"kept");
    assert!(dir.path().join("copy/a.o").is_symlink());
    assert!(leftovers(&dir.path().join("copy")).is_empty());
}

#[test]
fn update_replaces_what_is_older() {
    let dir = small_tree();
    fs::create_dir(dir.path().join("copy")).unwrap();
    for (name, seconds) in [("a.c", 1000), ("a.o", 3000)] {
        fs::write(dir.path().join("copy").join(name), "there").unwrap();
        set_time(&dir.path().join("copy").join(name), seconds);
        set_time(&dir.path().join("source").join(name), 2000);
    }
    let output = run(dir.path(), &["--update", "--json"]);
    assert_exit(&output, 0);
    assert_eq!(json(&output)["skipped"], 1);
    assert_eq!(fs::read(dir.path().join("copy/a.c")).unwrap(), b"a.c");
    assert_eq!(fs::read(dir.path().join("copy/a.o")).unwrap(), b"there");
    // Whatever is as new as its source.
    assert_eq!(json(&run(dir.path(), &["-u", "--json"]))["skipped"], 3);
}

#[test]
fn a_dry_run_prints_and_changes_nothing() {
    let dir = small_tree();
    let output = run(dir.path(), &["--dry-run"]);
    assert_exit(&output, 0);
    assert!(!dir.path().join("copy").exists());
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    let root = fs::canonicalize(dir.path()).unwrap().join("copy");
    let expected = ["", "a.c", "a.o", "inner", "inner/b.o"].map(|name| match name {
        "" => root.display().to_string(),
        name => root.join(name).display().to_string(),
    });
    assert_eq!(lines, expected);
    // A directory that a slash asks for is not made either.
    let copied = dir.path().join("new/");
    assert_exit(
        &copy("auto", &dir.path().join("source"), &copied, &["--dry-run"]),
        0,
    );
    assert!(!copied.exists());
}

#[test]
fn what_is_excluded_is_left_out_and_not_missed() {
    for (patterns, expected) in [
        (&["*.o"][..], &["a.c", "inner"][..]),
        (&["inner"], &["a.c", "a.o"]),
        (&["inner/*"], &["a.c", "a.o", "inner"]),
        (&["/a.o"], &["a.c", "inner", "inner/b.o"]),
        (&["a.?", "b.*"], &["inner"]),
    ] {
        let dir = small_tree();
        let mut more = vec!["--verify"];
        for pattern in patterns {
            more.extend(["--exclude", pattern]);
        }
        assert_exit(&run(dir.path(), &more), 0);
        assert_eq!(names(&dir.path().join("copy")), expected, "{patterns:?}");
    }
    let dir = small_tree();
    for pattern in ["", "/", "["] {
        assert_exit(&run(dir.path(), &["--exclude", pattern]), 64);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn one_file_system_stays_on_it() {
    let dir = small_tree();
    let inner = dir.path().join("source/inner");
    let mount = |arguments: &[&str]| {
        let mut mount = std::process::Command::new(arguments[0]);
        mount.args(&arguments[1..]).arg(&inner);
        mount.output().is_ok_and(|output| output.status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "tmpfs"]) {
        println!("skip: one_file_system_stays_on_it: tmpfs cannot be mounted here");
        return;
    }
    fs::write(inner.join("mounted"), "").unwrap();
    let with = run(dir.path(), &["-x", "--verify"]);
    let copied = names(&dir.path().join("copy"));
    let without = run(dir.path(), &[]);
    assert!(mount(&["umount"]));
    assert_exit(&with, 0);
    assert_eq!(copied, ["a.c", "a.o", "inner"]);
    assert_exit(&without, 0);
    assert!(dir.path().join("copy/inner/mounted").exists());
}

#[test]
fn every_durability_and_cache_choice_copies_all() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    make_tree(&source);
    for more in [
        &["--durability", "none"][..],
        &["--durability", "data"],
        &["--durability", "full", "--verify"],
        &["--no-cache", "--verify"],
        &["--reflink", "never", "--verify"],
        &["--reflink", "auto"],
    ] {
        assert_exit(&run(dir.path(), more), 0);
        assert_same(&source, &dir.path().join("copy"));
        fs::remove_dir_all(dir.path().join("copy")).unwrap();
    }
}

/// Where blocks cannot be shared, that is said, and no file of other blocks is there.
#[cfg(target_os = "linux")]
#[test]
fn a_reflink_that_has_to_be_is_one_or_an_error() {
    let dir = small_tree();
    let output = run(dir.path(), &["--reflink", "always", "--json"]);
    if output.status.success() {
        return assert_same(&dir.path().join("source"), &dir.path().join("copy"));
    }
    assert_exit(&output, 2);
    assert_eq!(json(&output)["error_count"], 3);
    assert_eq!(names(&dir.path().join("copy")), ["inner"]);
}

#[test]
fn holes_are_kept_made_or_filled() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("source")).unwrap();
    let zeros = dir.path().join("source/zeros");
    fs::write(&zeros, vec![0; 1 << 20]).unwrap();
    File::options()
        .write(true)
        .open(&zeros)
        .unwrap()
        .write_all_at(b"data", 500_000)
        .unwrap();
    let holes = File::create(dir.path().join("source/holes")).unwrap();
    holes.set_len(1 << 20).unwrap();
    holes.sync_all().unwrap();
    for (sparse, zeros, hole) in [
        ("auto", 1 << 20, 0),
        ("always", 4096, 0),
        ("never", 1 << 20, 1 << 20),
    ] {
        let output = run(dir.path(), &["--sparse", sparse, "--json", "--verify"]);
        assert_exit(&output, 0);
        assert_eq!(json(&output)["data_bytes"], zeros + hole, "{sparse}");
        for name in ["zeros", "holes"] {
            let len = fs::metadata(dir.path().join("copy").join(name))
                .unwrap()
                .size();
            assert_eq!(len, 1 << 20);
        }
    }
}

/// Attributes that the target cannot hold are a warning, and an error where they were asked for.
#[cfg(target_os = "linux")]
#[test]
fn attributes_without_a_place_are_a_warning() {
    const TEST: &str = "attributes_without_a_place_are_a_warning";
    let dir = small_tree();
    // ext4 holds less than a page of them, tmpfs more: what is to be refused is tried.
    let large = vec![b'v'; 60_000];
    let shm = match tempfile::tempdir_in("/dev/shm") {
        Ok(shm) => shm,
        Err(error) => return println!("skip: {TEST}: {error}"),
    };
    let source = shm.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "content").unwrap();
    let target = dir.path().join("refuses");
    fs::write(&target, "").unwrap();
    if xattr::set(source.join("file"), "user.large", &large).is_err()
        || xattr::set(&target, "user.large", &large).is_ok()
    {
        return println!(
            "skip: {TEST}: no filesystem that refuses an attribute that another takes"
        );
    }
    let copied = dir.path().join("copy");
    let output = copy("auto", &source, &copied, &["--json", "--verify"]);
    assert_exit(&output, 0);
    assert_eq!(json(&output)["warnings"], 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("warning: set_xattr"));
    assert_exit(&copy("auto", &source, &copied, &["--xattrs", "always"]), 2);
    let never = copy(
        "auto",
        &source,
        &copied,
        &["--xattrs", "never", "--verify", "--json"],
    );
    assert_exit(&never, 0);
    assert_eq!(json(&never)["warnings"], 0);
}
