//! The process that the user starts reports, and another one does the work: signals, outputs and ends.
#![cfg(target_os = "linux")]

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use common::{assert_exit, has_ended, leftovers, paths, tidegate, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Enough that hardly any machine copies it before a signal arrives.
const FILES: usize = 12_000;

fn make_files(root: &Path, files: usize) {
    for number in 0..files {
        let directory = root.join((number / 1000).to_string());
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(number.to_string()), format!("{number}\n")).unwrap();
    }
}

/// A copy of many files that has begun.
struct Begun {
    dir: tempfile::TempDir,
    child: Child,
}

impl Begun {
    fn new(wrap: &[&str]) -> Begun {
        let dir = tempfile::tempdir().unwrap();
        make_files(&dir.path().join("source"), FILES);
        let mut command = match wrap {
            [] => tidegate(),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(env!("CARGO_BIN_EXE_tidegate"));
                command
            }
        };
        let child = command
            .args(["copy", "--json"])
            .args([dir.path().join("source"), dir.path().join("copy")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let begun = Begun { dir, child };
        wait_for("the first copied file", || begun.copied() > 0);
        begun
    }

    fn destination(&self) -> PathBuf {
        self.dir.path().join("copy")
    }

    /// What is there under its name, as far as it can be seen while it grows.
    fn copied(&self) -> usize {
        let listed = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
        let directories = listed(&self.destination()).collect::<Vec<_>>();
        let files = directories
            .iter()
            .flat_map(|directory| listed(&directory.path()));
        files
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
            .count()
    }

    fn id(&self) -> u32 {
        self.child.id()
    }

    /// The process that does the work.
    fn worker(&self) -> u32 {
        let path = format!("/proc/{0}/task/{0}/children", self.id());
        let children = fs::read_to_string(path).unwrap();
        children.split_whitespace().next().unwrap().parse().unwrap()
    }
}

fn send(id: u32, signal: Signal) {
    kill(Pid::from_raw(id as i32), signal).unwrap();
}

/// A copy to which a signal came before its end: where it was, who did the work, and what was told. One that ended first
/// says nothing.
fn interrupted(signal: Signal) -> (tempfile::TempDir, u32, Output) {
    const TRIES: usize = 20;
    for _ in 0..TRIES {
        let begun = Begun::new(&[]);
        let worker = begun.worker();
        send(begun.id(), signal);
        let output = begun.child.wait_with_output().unwrap();
        if !output.status.success() {
            return (begun.dir, worker, output);
        }
    }
    panic!("each copy ended before {signal}");
}

/// Each signal that asks for an end stops the copy in good order: nothing temporary, nothing in part, code 130.
#[test]
fn signals_end_it_in_good_order() {
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
        let (dir, worker, output) = interrupted(signal);
        let destination = dir.path().join("copy");
        assert_exit(&output, 130);
        assert!(has_ended(worker), "{signal}");
        assert!(leftovers(&destination).is_empty(), "{signal}");
        assert_eq!(common::json(&output)["interrupted"], true);
    }
}

/// Ctrl-C goes to all processes of the group: it is one wish, not two.
#[test]
fn a_signal_to_the_group_is_one() {
    use std::os::unix::process::CommandExt;
    let dir = tempfile::tempdir().unwrap();
    let destination = dir.path().join("copy");
    make_files(&dir.path().join("source"), FILES);
    let child = tidegate()
        .args(["copy", "--json"])
        .args([dir.path().join("source"), destination.clone()])
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the first directory", || destination.join("0").exists());
    kill(Pid::from_raw(-(child.id() as i32)), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_exit(&output, 130);
    assert!(leftovers(&destination).is_empty());
    assert_eq!(common::json(&output)["interrupted"], true);
}

/// Under `nohup`, a hang-up is nothing.
#[test]
fn a_hang_up_under_nohup_is_nothing() {
    let begun = Begun::new(&["nohup"]);
    send(begun.id(), Signal::SIGHUP);
    let output = begun.child.wait_with_output().unwrap();
    assert_exit(&output, 0);
    assert_eq!(common::json(&output)["files"], FILES);
}

/// Without the process that reports, the copy does not go on unseen, and leaves nothing temporary.
#[test]
fn the_work_ends_with_the_one_that_reports() {
    let mut begun = Begun::new(&[]);
    let worker = begun.worker();
    send(begun.id(), Signal::SIGKILL);
    assert_eq!(begun.child.wait().unwrap().signal(), Some(9));
    wait_for("the end of the work", || has_ended(worker));
    assert!(begun.copied() < FILES);
    assert!(leftovers(&begun.destination()).is_empty());
}

/// A working process that is killed is an error with its own code, and names the process.
#[test]
fn a_killed_worker_is_told() {
    let begun = Begun::new(&[]);
    let worker = begun.worker();
    send(worker, Signal::SIGKILL);
    let output = begun.child.wait_with_output().unwrap();
    assert_exit(&output, 1);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("({worker}) was killed")), "{said}");
}

/// Who stops the process that they started stops the work, and it goes on with it.
#[test]
fn the_work_stops_and_goes_on_with_the_one_that_reports() {
    let begun = Begun::new(&[]);
    let worker = begun.worker();
    let state = |id| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next())
    };
    send(begun.id(), Signal::SIGSTOP);
    wait_for("the stop", || {
        matches!(state(worker), Some('T' | 'Z') | None)
    });
    send(begun.id(), Signal::SIGCONT);
    let output = begun.child.wait_with_output().unwrap();
    assert_exit(&output, 0);
    assert_eq!(common::json(&output)["files"], FILES);
}

/// Outputs that take nothing end nothing: all is copied, and the code says where what was asked for is lost.
#[test]
fn outputs_that_take_nothing_end_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    make_files(&source, 300);
    // One error each, so that stderr has something to say.
    let _socket = std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap();
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let closed = || {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    for more in [&["--json"][..], &[], &["--json-lines"], &["--verify"]] {
        for (name, stdout, stderr) in [
            ("full stdout", full(), Stdio::null()),
            ("full stderr", Stdio::null(), full()),
            ("both full", full(), full()),
            ("closed stdout", closed(), Stdio::null()),
            ("closed stderr", Stdio::null(), closed()),
            ("both closed", closed(), closed()),
        ] {
            let destination = dir.path().join("copy");
            let status = tidegate()
                .arg("copy")
                .args(more)
                .args([&source, &destination])
                .stdout(stdout)
                .stderr(stderr)
                .status()
                .unwrap();
            assert_eq!(status.code(), Some(2), "{name} {more:?}");
            let copied = paths(&destination);
            assert_eq!(copied.len(), 301, "{name} {more:?}");
            fs::remove_dir_all(destination).unwrap();
        }
    }
}

/// A summary that is lost is not told as a success.
#[test]
fn a_lost_summary_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    make_files(&dir.path().join("source"), 10);
    for (more, code) in [(&["--json"][..], 2), (&[], 2), (&["--quiet"], 0)] {
        let output = tidegate()
            .arg("copy")
            .args(more)
            .args([dir.path().join("source"), dir.path().join("copy")])
            .stdout(File::options().write(true).open("/dev/full").unwrap())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_exit(&output, code);
        assert_eq!(paths(&dir.path().join("copy")).len(), 11);
    }
}

/// Nobody reads, and it is copied all the same.
#[test]
fn a_reader_that_does_not_read_holds_up_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    make_files(&source, 100);
    // More lines than a pipe holds.
    let mut sockets = Vec::new();
    for number in 0..2000 {
        let path = source.join(format!("socket {number}"));
        sockets.push(std::os::unix::net::UnixDatagram::bind(path).unwrap());
    }
    let destination = dir.path().join("copy");
    let mut child = tidegate()
        .args(["copy", "--quiet", "--json-lines"])
        .args([&source, &destination])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let files = || (0..100).all(|number| destination.join("0").join(number.to_string()).exists());
    wait_for("the copy", files);
    let complaints = BufReader::new(child.stderr.take().unwrap()).lines();
    let reading = std::thread::spawn(move || complaints.map_while(Result::ok).count());
    let output = child.wait_with_output().unwrap();
    assert_exit(&output, 2);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (summary, progress) = lines.split_last().unwrap();
    assert_eq!(summary["event"], "summary");
    assert_eq!(summary["error_count"], 2000);
    assert!(!progress.is_empty() && progress.iter().all(|line| line["event"] == "progress"));
    assert!(reading.join().unwrap() > 0);
}
