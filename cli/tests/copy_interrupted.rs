//! A signal ends a copy in good order.

mod common;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::{BACKENDS, can_run, leftovers, tidegate, wait_for};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// Enough that no machine copies it before the signal arrives.
const FILES: usize = 10_000;

fn make_many(root: &Path) {
    for number in 0..FILES {
        let directory = root.join((number / 1000).to_string());
        fs::create_dir_all(&directory).unwrap();
        fs::write(
            directory.join(number.to_string()),
            format!("{number}\n").repeat(400),
        )
        .unwrap();
    }
}

/// After SIGINT or SIGTERM no file is there in part, no temporary file is left, and the exit code is 130.
#[test]
fn a_signal_leaves_whole_files_only() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    make_many(&source);
    for (backend, signal) in BACKENDS.into_iter().zip([Signal::SIGINT, Signal::SIGTERM]) {
        if !can_run("a_signal_leaves_whole_files_only", backend) {
            continue;
        }
        let destination = dir.path().join(backend);
        let mut command = tidegate();
        command
            .arg("copy")
            .args(["--json", "--verify", "--backend", backend])
            .arg(&source)
            .arg(&destination);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for("the first copied file", || has_file(&destination));
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        common::assert_exit(&output, 130);
        assert!(leftovers(&destination).is_empty());
        let mut copied = 0;
        for path in common::paths(&destination) {
            if destination.join(&path).is_file() {
                copied += 1;
                assert!(
                    fs::read(source.join(&path)).unwrap()
                        == fs::read(destination.join(&path)).unwrap(),
                    "{path:?}"
                );
            }
        }
        assert!(copied < FILES, "the copy was done before the signal came");
        let summary = common::json(&output);
        assert_eq!(summary["interrupted"], true);
        assert_eq!(summary["files"], copied);
        assert_eq!(summary["errors"].as_array().unwrap().len(), 0);
    }
}

fn has_file(root: &Path) -> bool {
    let Ok(directories) = fs::read_dir(root) else {
        return false;
    };
    directories.flatten().any(|directory| {
        let Ok(mut entries) = fs::read_dir(directory.path()) else {
            return false;
        };
        entries.any(|entry| {
            entry.is_ok_and(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        })
    })
}

/// A large file that is interrupted is not there at all.
#[test]
fn a_signal_in_a_large_file_leaves_nothing() {
    for backend in BACKENDS {
        if !can_run("a_signal_in_a_large_file_leaves_nothing", backend) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let (source, destination) = (dir.path().join("source"), dir.path().join("destination"));
        fs::create_dir(&source).unwrap();
        let chunk: Vec<u8> = (0..1 << 20).map(|at| (at % 251) as u8).collect();
        let file = fs::File::create(source.join("large")).unwrap();
        for _ in 0..512 {
            std::io::Write::write_all(&mut &file, &chunk).unwrap();
        }
        drop(file);
        let mut command = tidegate();
        command
            .arg("copy")
            .args(["--backend", backend])
            .arg(&source)
            .arg(&destination);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for("the temporary file", || {
            destination.exists() && !leftovers(&destination).is_empty()
        });
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        common::assert_exit(&child.wait_with_output().unwrap(), 130);
        assert!(
            common::paths(&destination).is_empty(),
            "{:?}",
            common::paths(&destination)
        );
    }
}

/// How a copy is stopped and goes on. Another process than the one that reports does the work.
enum Stop {
    /// The one that reports alone.
    Reporter,
    /// As by Ctrl-Z: all of the group.
    Keys,
    /// As by a container that is paused.
    Freezer(tidegate_rig::Cgroup),
}

impl Stop {
    fn stop(&self, child: u32) {
        match self {
            Stop::Reporter => kill(Pid::from_raw(child as i32), Signal::SIGSTOP).unwrap(),
            Stop::Keys => killpg(Pid::from_raw(child as i32), Signal::SIGTSTP).unwrap(),
            Stop::Freezer(group) => {
                for process in with_children(child) {
                    let taken = group.take(process);
                    assert!(taken.is_ok() || common::has_ended(process), "{taken:?}");
                }
                group.set("freezer.state", "FROZEN").unwrap();
                return;
            }
        }
        // Or it is done already.
        wait_for("the stop", || {
            matches!(state_of(child), Some('T' | 'Z') | None)
        });
    }

    fn go_on(&self, child: u32) {
        match self {
            Stop::Reporter => kill(Pid::from_raw(child as i32), Signal::SIGCONT).unwrap(),
            Stop::Keys => killpg(Pid::from_raw(child as i32), Signal::SIGCONT).unwrap(),
            Stop::Freezer(group) => group.set("freezer.state", "THAWED").unwrap(),
        }
    }
}

fn state_of(process: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// A process, and those that it has started.
fn with_children(process: u32) -> Vec<u32> {
    let mut all = vec![process];
    for task in fs::read_dir(format!("/proc/{process}/task")).unwrap() {
        let children = task.unwrap().path().join("children");
        let children = fs::read_to_string(children).unwrap_or_default();
        let numbers = children.split_ascii_whitespace();
        all.extend(numbers.map(|number| number.parse::<u32>().unwrap()));
    }
    all
}

/// Stopped for longer than any step may take, it goes on where it was.
fn goes_on_after(test: &str, stop: impl Fn() -> Stop) {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    make_many(&source);
    for backend in BACKENDS {
        if !can_run(test, backend) {
            continue;
        }
        let (stop, destination) = (stop(), dir.path().join(backend));
        let mut command = tidegate();
        command
            .args(["copy", "--json", "--timeout", "1s", "--backend", backend])
            .arg(&source)
            .arg(&destination);
        let child = command
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for("the first copied file", || has_file(&destination));
        for _ in 0..2 {
            stop.stop(child.id());
            std::thread::sleep(Duration::from_millis(2500));
            stop.go_on(child.id());
        }
        let output = child.wait_with_output().unwrap();
        common::assert_exit(&output, 0);
        assert_eq!(common::json(&output)["files"], FILES);
        assert_eq!(common::paths(&destination), common::paths(&source));
    }
}

#[test]
fn a_stopped_copy_goes_on() {
    goes_on_after("a_stopped_copy_goes_on", || Stop::Reporter);
}

#[test]
fn a_copy_goes_on_after_ctrl_z() {
    goes_on_after("a_copy_goes_on_after_ctrl_z", || Stop::Keys);
}

#[test]
fn a_frozen_copy_goes_on() {
    const TEST: &str = "a_frozen_copy_goes_on";
    if let Some(lack) = tidegate_rig::Cgroup::missing("freezer") {
        return println!("skip: {TEST}: {lack}");
    }
    goes_on_after(TEST, || {
        Stop::Freezer(tidegate_rig::Cgroup::new("freezer").unwrap())
    });
}

/// Killed at any moment, a copy has left whole files only; the next one finishes it, and cleans nothing up that is not its
/// own. `TIDEGATE_TEST_ROUNDS` says how many are killed.
#[test]
fn a_kill_leaves_whole_files_only() {
    const KILLED_FILES: usize = 300;
    let rounds = std::env::var("TIDEGATE_TEST_ROUNDS");
    let rounds = rounds.map_or(12, |rounds| rounds.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    for number in 0..KILLED_FILES {
        let directory = source.join((number / 50).to_string());
        fs::create_dir_all(&directory).unwrap();
        let content = format!("{number}\n").repeat(1 + number * 101 % 9000);
        fs::write(directory.join(number.to_string()), content).unwrap();
    }
    let seed = std::process::id();
    eprintln!("seed {seed}");
    let mut random = u64::from(seed) | 1;
    let (mut killed, mut found) = (0, 0);
    for round in 0..rounds {
        let backend = BACKENDS[round % BACKENDS.len()];
        if !can_run("a_kill_leaves_whole_files_only", backend) {
            continue;
        }
        let destination = dir.path().join(format!("{round}"));
        let mut command = tidegate();
        command.arg("copy").args(["--json", "--backend", backend]);
        if round % 3 == 0 {
            command.arg("--sync");
        }
        let command = command.arg(&source).arg(&destination);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_micros(2000 + random % 40_000));
        child.kill().unwrap();
        // Whoever works for it has ended, too, once its output has.
        let output = child.wait_with_output().unwrap();
        killed += usize::from(output.status.code().is_none());
        for path in whole_files(&destination) {
            found += 1;
            let same =
                fs::read(source.join(&path)).unwrap() == fs::read(destination.join(&path)).unwrap();
            assert!(same, "seed {seed}, round {round}: {path:?}");
        }
        common::assert_exit(&common::copy(backend, &source, &destination, &[]), 0);
        assert_eq!(whole_files(&destination).len(), KILLED_FILES);
        fs::remove_dir_all(&destination).unwrap();
    }
    println!("{killed} kills, {found} files found whole");
    assert!(killed > 0, "{killed} of {rounds} were killed");
}

/// Files below `root` with names that they are to keep.
fn whole_files(root: &Path) -> Vec<std::path::PathBuf> {
    if !root.exists() {
        return Vec::new();
    }
    let mut paths = common::paths(root);
    let left = common::leftovers(root);
    paths.retain(|path| root.join(path).is_file() && !left.contains(path));
    paths
}
