//! `tidegate walk` counts what is there, and says what it could not see.

mod common;
#[cfg(target_os = "linux")]
#[path = "../../tests/fallback/seccomp.rs"]
mod seccomp;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use common::{BACKENDS, assert_exit, can_run, make_tree, tidegate};
use serde_json::Value;

fn walk(backend: &str, root: &Path, more: &[&str]) -> Output {
    let mut command = tidegate();
    command.args(["walk", "--backend", backend]).args(more);
    command.arg(root).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The totals are those of the tree, by type; the summary is the last line, and with `--summary` the only one.
#[test]
fn totals_are_those_of_the_tree() {
    for backend in BACKENDS {
        if !can_run("totals_are_those_of_the_tree", backend) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        make_tree(dir.path());
        let output = walk(backend, dir.path(), &["--json"]);
        assert_exit(&output, 0);
        let told = lines(&output);
        let (summary, entries) = told.split_last().unwrap();
        assert_eq!(summary["entries"].as_u64(), Some(entries.len() as u64));
        assert_eq!(summary["symlinks"], 3);
        assert_eq!(summary["by_type"]["fifo"]["entries"], 1);
        assert_eq!(summary["directories"], 6);
        assert_eq!(summary["repeated_links"], 2);
        assert_eq!(
            (&summary["errors"], &summary["interrupted"]),
            (&0.into(), &false.into())
        );
        let files = entries.iter().filter(|entry| entry["type"] == "file");
        assert_eq!(summary["files"].as_u64(), Some(files.count() as u64));
        let only = lines(&walk(backend, dir.path(), &["--json", "--summary"]));
        assert_eq!(only.len(), 1);
        assert_eq!(only[0]["bytes"], summary["bytes"]);
    }
}

/// Depth, the order by name, the largest, extended attributes, and a table that has all of the types.
#[test]
fn options_do_what_they_say() {
    for backend in BACKENDS {
        if !can_run("options_do_what_they_say", backend) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for (name, bytes) in [("a/one", 10), ("a/two", 3000), ("three", 200)] {
            fs::write(dir.path().join(name), vec![0; bytes]).unwrap();
        }
        let names = |more: &[&str]| {
            let output = walk(backend, dir.path(), &[more, &["--print0"]].concat());
            assert_exit(&output, 0);
            let paths = output.stdout.split(|&byte| byte == 0);
            let paths =
                paths.map(|path| Path::new(std::ffi::OsStr::from_bytes(path)).to_path_buf());
            let mut names = Vec::new();
            for path in paths.filter(|path| !path.as_os_str().is_empty()) {
                names.push(
                    path.strip_prefix(dir.path())
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                );
            }
            names
        };
        assert_eq!(
            names(&["--sort", "name"]),
            ["", "a", "a/b", "a/one", "a/two", "three"]
        );
        assert_eq!(
            names(&["--sort", "name", "--depth", "1"]),
            ["", "a", "three"]
        );
        let more = [
            "--json",
            "--summary",
            "--largest",
            "2",
            "--xattrs",
            "-x",
            "--jobs",
            "3",
        ];
        let summary = &lines(&walk(backend, dir.path(), &more))[0];
        let largest = summary["largest"].as_array().unwrap();
        let sizes: Vec<_> = largest
            .iter()
            .map(|file| file["bytes"].as_u64().unwrap())
            .collect();
        assert_eq!(sizes, [3000, 200]);
        assert_eq!(summary["xattrs_unread"], 0);
        let table = walk(backend, dir.path(), &["--no-progress"]);
        let table = String::from_utf8(table.stdout).unwrap();
        for part in ["directory", "file", "all", "largest files", "entries/s"] {
            assert!(table.contains(part), "{part} in {table}");
        }
    }
}

/// Nothing to walk, something that cannot be seen, and a command line that makes no sense.
#[test]
fn exit_codes_are_those_of_the_other_commands() {
    for backend in BACKENDS {
        if !can_run("exit_codes_are_those_of_the_other_commands", backend) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let output = walk(backend, &dir.path().join("none"), &[]);
        assert_exit(&output, 1);
        assert!(String::from_utf8_lossy(&output.stderr).contains("none"));
        std::os::unix::fs::symlink("..", dir.path().join("back")).unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink(".", root.join("loop")).unwrap();
        let output = walk(backend, &root, &["--follow", "--json"]);
        assert_exit(&output, 2);
        assert!(lines(&output).iter().any(|line| line["loop"] == true));
        assert_exit(&walk(backend, &root, &["--summary"]), 64);
        assert_exit(&walk(backend, &root, &["--jobs", "0"]), 64);
    }
}

/// What leads back is told in the same words on stderr, in the table and in JSON.
#[test]
fn an_error_has_the_same_words_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(".", dir.path().join("loop")).unwrap();
    let words = "the link leads back to a directory that it is in";
    let output = walk("pool", dir.path(), &["--follow", "--json"]);
    let told = lines(&output);
    let summary = told.last().unwrap();
    let error = told.iter().find(|line| line["loop"] == true).unwrap();
    assert_eq!(error["error"], words);
    assert_eq!(summary["failed"][0]["error"], words);
    let output = walk("pool", dir.path(), &["--follow"]);
    for text in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(text);
        assert!(text.contains(words), "{text}");
    }
    // There is no table of nothing.
    let output = walk("pool", &dir.path().join("none"), &[]);
    assert_exit(&output, 1);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}

/// However often it is come by: by its names, and by links to any of them.
#[test]
fn the_bytes_of_a_file_are_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("one"), [0; 1000]).unwrap();
    fs::write(dir.path().join("two"), [0; 500]).unwrap();
    fs::hard_link(dir.path().join("two"), dir.path().join("three")).unwrap();
    for (number, name) in ["one", "two", "three", "two", "one"].iter().enumerate() {
        std::os::unix::fs::symlink(name, dir.path().join(format!("link-{number}"))).unwrap();
    }
    let summary = |more: &[&str]| {
        let more = [more, &["--json", "--summary"]].concat();
        lines(&walk("pool", dir.path(), &more)).pop().unwrap()
    };
    for (more, repeated) in [(&[][..], 1), (&["--follow"], 6)] {
        let summary = summary(more);
        assert_eq!(summary["by_type"]["file"]["bytes"], 1500, "{summary}");
        assert_eq!(summary["repeated_links"], repeated, "{summary}");
    }
}

/// Extended attributes that cannot be read are errors like all others; a link that leads nowhere has those of the link.
#[test]
fn attributes_that_cannot_be_read_are_told() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
    let whole = walk("pool", dir.path(), &["--xattrs", "--follow", "--json"]);
    assert_exit(&whole, 0);
    // Its way is longer than the system takes at once.
    let mut at = fs::File::open(dir.path()).unwrap();
    for _ in 0..20 {
        let name = "x".repeat(250);
        let mode = nix::sys::stat::Mode::S_IRWXU;
        nix::sys::stat::mkdirat(&at, name.as_str(), mode).unwrap();
        let flags = nix::fcntl::OFlag::O_DIRECTORY;
        let below = nix::fcntl::openat(&at, name.as_str(), flags, nix::sys::stat::Mode::empty());
        at = below.unwrap().into();
    }
    let output = walk("pool", dir.path(), &["--xattrs", "--json"]);
    assert_exit(&output, 2);
    let told = lines(&output);
    let summary = told.last().unwrap();
    let errors = told.iter().filter(|line| line["call"] == "listxattr");
    assert_eq!(summary["xattrs_unread"], errors.clone().count());
    assert!(summary["xattrs_unread"].as_u64().unwrap() > 0);
    assert_eq!(summary["entries"], 22);
    assert_eq!(summary["failed"][0]["call"], "listxattr");
    assert!(errors.into_iter().all(|line| line["soft"] == true));
}

/// What is mounted at a place that is left out is asked for nothing, extended attributes neither.
#[cfg(target_os = "linux")]
#[test]
fn a_mount_point_that_is_left_out_is_not_asked_for_attributes() {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    const TEST: &str = "a_mount_point_that_is_left_out_is_not_asked_for_attributes";
    let dir = tempfile::tempdir().unwrap();
    let point = dir.path().join("point");
    fs::create_dir(&point).unwrap();
    let none = None::<&str>;
    // In a namespace of this thread's own, which ends with it.
    let walked = std::thread::scope(|scope| {
        let in_namespace = || {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(none, "/", none, private, none)?;
            mount(Some("none"), &point, Some("tmpfs"), MsFlags::empty(), none)?;
            if xattr::set(&point, "trusted.mark", b"here").is_err() {
                return Err(nix::errno::Errno::EOPNOTSUPP);
            }
            let of = |more: &[&str]| {
                let more = [more, &["--xattrs", "--json"]].concat();
                lines(&walk("pool", dir.path(), &more)).pop().unwrap()
            };
            Ok([of(&[]), of(&["-x"])])
        };
        scope.spawn(in_namespace).join().unwrap()
    });
    let [all, own] = match walked {
        Ok(walked) => walked,
        Err(error) => return println!("skip: {TEST}: {error}"),
    };
    assert_eq!(
        (&all["with_xattrs"], &all["mount_points"]),
        (&1.into(), &0.into())
    );
    assert_eq!(
        (&own["with_xattrs"], &own["mount_points"]),
        (&0.into(), &1.into())
    );
}

/// Few descriptors or threads are fewer at a time, and lose nothing; too few are an error that says what there is too
/// little of.
#[cfg(target_os = "linux")]
#[test]
fn limits_make_a_walk_slower_and_not_worse() {
    const TEST: &str = "limits_make_a_walk_slower_and_not_worse";
    let dir = tempfile::tempdir().unwrap();
    for number in 0..200 {
        let folder = dir.path().join(format!("tree/{number}/below"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("file"), "").unwrap();
    }
    let everybody = fs::Permissions::from_mode(0o777);
    fs::set_permissions(dir.path(), everybody).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_tidegate"), dir.path().join("tidegate")).unwrap();
    let shell = |line: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", line]).current_dir(dir.path());
        command.env_remove("TIDEGATE_BACKEND").output().unwrap()
    };
    let how = "--backend pool --json --summary";
    for limit in [20, 28, 64] {
        for more in ["", "-x --jobs 32", "--follow -x --jobs 32 --sort inode"] {
            let line = format!("ulimit -n {limit}; exec ./tidegate walk {how} {more} tree");
            let output = shell(&line);
            assert_exit(&output, 0);
            assert_eq!(lines(&output)[0]["entries"], 601, "{line}");
        }
    }
    for limit in [1, 2, 4, 5, 6, 7, 8, 10, 12, 16, 64] {
        let rights = "setpriv --reuid 65529 --regid 65529 --clear-groups";
        let line = format!("exec {rights} prlimit --nproc={limit} ./tidegate walk {how} tree");
        let output = shell(&line);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if text.contains("setpriv") || text.contains("not found") {
            return println!("skip: {TEST}: {text}");
        }
        assert!(!text.contains("panicked"), "{limit}: {text}");
        match output.status.code() {
            Some(0) => assert_eq!(lines(&output)[0]["entries"], 601, "{limit}"),
            Some(1) => assert!(text.contains("temporarily unavailable"), "{limit}: {text}"),
            other => panic!("{limit}: {other:?} {text}"),
        }
    }
}

/// Where a filter refuses the calls that there is another way for, by whatever number, a walk finds the same.
#[cfg(target_os = "linux")]
#[test]
fn what_is_refused_has_another_way() {
    let dir = tempfile::tempdir().unwrap();
    make_tree(dir.path());
    let summary = |more: &[&str], filter: Option<seccomp::Filter>| {
        let mut command = tidegate();
        command.args(["walk", "--backend", "pool", "--json", "--summary"]);
        command.args(more).arg(dir.path());
        filter
            .into_iter()
            .for_each(|filter| filter.apply(&mut command));
        let output = command.output().unwrap();
        assert_exit(&output, 0);
        let summary = lines(&output).pop().unwrap();
        ["entries", "by_type", "bytes", "errors", "repeated_links"].map(|of| summary[of].clone())
    };
    for more in [&[][..], &["--one-file-system"], &["--follow"]] {
        let expected = summary(more, None);
        for call in [libc::SYS_openat2, libc::SYS_statx] {
            for errno in [libc::ENOSYS, libc::EPERM, libc::EACCES] {
                let filter = seccomp::Filter::refuse(&[call as u32], errno);
                let found = summary(more, Some(filter));
                assert_eq!(found, expected, "{more:?}, call {call}, error {errno}");
            }
        }
    }
}
