//! `tidegate walk` counts what is there, and says what it could not see.

mod common;
#[cfg(target_os = "linux")]
#[path = "../../tests/fallback/seccomp.rs"]
mod seccomp;

use std::fs;
use std::os::unix::ffi::OsStrExt;
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
