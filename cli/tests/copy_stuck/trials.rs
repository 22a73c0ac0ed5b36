//! What is held, and what must come of it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tidegate_rig::{Request, StalledFuse};

use crate::common::{self, BACKENDS, BOUND, fuse_trial, leftovers, tidegate};
use crate::run::Running;

type Outcome = Result<(), Failed>;

const FILES: usize = 2000;
const STUCK: usize = 20;
const DIRECTORIES: usize = 4;

/// Longer than a machine with much to do takes to answer.
const PATIENCE: &str = "3s";

pub(crate) fn all() -> Vec<Trial> {
    let mut trials = Vec::new();
    for backend in BACKENDS {
        let mut add = |name: &str, test: fn(&str) -> Outcome| {
            trials.push(fuse_trial(format!("{backend}::{name}"), backend, test));
        };
        add("files_without_attributes_are_left_out", |backend| {
            files(backend, Request::Getattr, &["metadata"])
        });
        add("files_that_are_not_found_are_left_out", |backend| {
            files(backend, Request::Lookup, &["metadata"])
        });
        add("files_that_do_not_open_are_left_out", |backend| {
            files(backend, Request::Open, &["copy"])
        });
        add("files_that_are_not_read_are_left_out", |backend| {
            files(backend, Request::Read, &["copy"])
        });
        add("a_directory_that_is_not_listed_is_left_out", directory);
        add("what_hangs_is_named_and_a_signal_ends_it", interrupted);
        add("a_root_that_hangs_ends_it", root);
        add("a_destination_that_hangs_is_left_out", destination);
        add("a_mount_that_dies_on_the_way_ends_it", dies);
        add("a_killed_server_leaves_no_process", killed);
        add("the_text_names_what_is_left_out", text);
        add("slow_is_not_stuck", slow);
    }
    for (name, test) in [
        (
            "it_returns_to_a_shell_and_through_a_pipe",
            shells as fn(&str) -> Outcome,
        ),
        ("it_returns_to_whatever_starts_it", starters),
        ("it_returns_where_a_signal_ends_it", signals),
        ("it_returns_where_nobody_hears_it", unheard),
        ("a_worker_killed_while_it_hangs_is_told", killed_worker),
        ("process_1_of_a_namespace_says_all", first),
    ] {
        trials.push(fuse_trial(name.into(), "pool", test));
    }
    let spinner = "the_spinner_turns_while_a_call_hangs";
    trials.push(fuse_trial(spinner.into(), "pool", spins));
    trials
}

/// A tree on a server that can be held, and where it is copied to.
struct Stage {
    tree: StalledFuse,
    dir: tempfile::TempDir,
}

impl Stage {
    fn new(files: usize, direct_io: bool) -> std::io::Result<Stage> {
        let options = StalledFuse::options().with_max_hold(BOUND);
        let stage = Stage {
            tree: options.with_direct_io(direct_io).create()?,
            dir: tempfile::tempdir()?,
        };
        for number in 0..files {
            let path = stage.tree.backing_path().join(name(number));
            fs::create_dir_all(path.parent().unwrap())?;
            // Some are copied at once, others in steps.
            let lines = if number % 50 == 0 { 20_000 } else { 50 };
            fs::write(path, format!("{number}\n").repeat(lines))?;
        }
        Ok(stage)
    }

    fn destination(&self) -> PathBuf {
        self.dir.path().join("copy")
    }

    fn start(&self, backend: &str, more: &[&str]) -> Running {
        Running::start(backend, more, self.tree.path(), &self.destination())
    }

    /// Everything but what is left out is the same, and nothing else is there.
    fn assert_copied_without(&self, left_out: impl Fn(&Path) -> bool) {
        let (source, copied) = (self.tree.backing_path(), self.destination());
        assert_eq!(leftovers(&copied), [] as [PathBuf; 0]);
        let mut expected = common::paths(source);
        expected.retain(|path| !left_out(path));
        assert_eq!(common::paths(&copied), expected);
        for path in expected {
            let (from, to) = (source.join(&path), copied.join(&path));
            if from.is_file() {
                assert!(fs::read(from).unwrap() == fs::read(to).unwrap(), "{path:?}");
            }
        }
    }

    /// Nothing waits any more, and a second copy completes the first.
    fn assert_healed(&self, backend: &str) -> Outcome {
        // Requests that a release lets go of are answered one after the other.
        common::wait_for("the last answer", || {
            self.tree.status().is_ok_and(|status| status.held == 0)
        });
        let output = common::copy(backend, self.tree.path(), &self.destination(), &["-q"]);
        common::assert_exit(&output, 0);
        self.assert_copied_without(|_| false);
        Ok(())
    }
}

/// The first few of one directory hang.
fn name(number: usize) -> PathBuf {
    let directory = if number < STUCK {
        1
    } else {
        number % DIRECTORIES
    };
    let kind = if number < STUCK { "stuck" } else { "file" };
    format!("{directory}/{kind}-{number}").into()
}

fn is_stuck(path: &Path) -> bool {
    path.to_string_lossy().contains("/stuck-")
}

fn paths_of(summary: &Value, list: &str) -> BTreeSet<String> {
    let entries = summary[list].as_array().unwrap().iter();
    entries
        .map(|entry| entry["path"].as_str().unwrap().to_owned())
        .collect()
}

/// It ends while everything that it waits for is still held; then lets go.
fn released(what: &str, running: &mut Running, release: impl FnOnce() -> Outcome) -> Outcome {
    running.exit_code();
    let kept = running.kept();
    release()?;
    println!("    {what}: kept meanwhile: {kept:?}");
    // Nobody is left behind for longer than that.
    if let Some(id) = kept {
        common::wait_for("the end of the process that was kept", || {
            common::has_ended(id)
        });
    }
    Ok(())
}

/// 20 of 2 000 files hang at one kind of request.
fn files(backend: &str, request: Request, operations: &[&str]) -> Outcome {
    let stage = Stage::new(FILES, false)?;
    let hold = stage.tree.hold(&[request], "/1/stuck-")?;
    let mut running = stage.start(backend, &["--timeout", PATIENCE, "--verify"]);
    let summary = running.summary();
    assert_eq!(
        stage.tree.status()?.held as usize,
        STUCK,
        "{}",
        running.said()
    );
    running.wait_for_words("the kernel still has 20 operations");
    released(&format!("{backend}, {request:?}"), &mut running, || {
        Ok(hold.release()?)
    })?;
    assert_eq!(running.exit_code(), Some(2), "{}", running.said());
    let expected: BTreeSet<_> = (0..STUCK)
        .map(|number| stage.tree.path().join(name(number)))
        .map(|path| path.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(paths_of(&summary, "errors"), expected);
    for path in &expected {
        assert!(running.said().contains(&format!("{path}: timed out after")));
    }
    for error in summary["errors"].as_array().unwrap() {
        let operation = error["operation"].as_str().unwrap();
        assert!(operations.contains(&operation), "{error}");
    }
    assert_eq!(summary["error_count"], STUCK);
    assert_eq!(summary["timed_out"], STUCK);
    assert_eq!(summary["files"], FILES - STUCK);
    assert_eq!(summary["interrupted"], false);
    assert_eq!(summary["timeouts"]["data_ms"], 3000);
    // The root, the directories, and the files.
    assert_eq!(
        summary["verified"]["entries"],
        FILES - STUCK + DIRECTORIES + 1
    );
    stage.assert_copied_without(is_stuck);
    stage.assert_healed(backend)
}

/// A directory hangs when it is listed: it is named, and its siblings are copied.
fn directory(backend: &str) -> Outcome {
    let stage = Stage::new(FILES, false)?;
    let hold = stage.tree.hold(&[Request::Readdir], "/2")?;
    let mut running = stage.start(backend, &["--timeout", PATIENCE]);
    let summary = running.summary();
    assert_eq!(stage.tree.status()?.held, 1, "{}", running.said());
    released(&format!("{backend}, Readdir"), &mut running, || {
        Ok(hold.release()?)
    })?;
    assert_eq!(running.exit_code(), Some(2), "{}", running.said());
    let listed = stage.tree.path().join("2");
    assert_eq!(
        paths_of(&summary, "errors"),
        BTreeSet::from([listed.to_str().unwrap().to_owned()])
    );
    assert_eq!(summary["errors"][0]["operation"], "read_dir");
    stage.assert_copied_without(|path| path.starts_with("2") && path != Path::new("2"));
    stage.assert_healed(backend)
}

/// Without a timeout, a line names what hangs after 10 s; a signal ends the copy all the same.
fn interrupted(backend: &str) -> Outcome {
    let stage = Stage::new(100, false)?;
    let hold = stage.tree.hold(&[Request::Read], "/1/stuck-1")?;
    let mut running = stage.start(backend, &[]);
    let held = stage.tree.path().join(name(1));
    running.wait_for_words(&format!("stuck: copy {} for 1", held.display()));
    running.interrupt();
    let summary = running.summary();
    // The files 1 and 10 to 19.
    assert_eq!(stage.tree.status()?.held, 11, "{}", running.said());
    running.wait_for_words("the kernel still has 11 operations");
    released(&format!("{backend}, interrupted"), &mut running, || {
        Ok(hold.release()?)
    })?;
    assert_eq!(running.exit_code(), Some(130), "{}", running.said());
    assert_eq!(summary["interrupted"], true);
    assert_eq!(summary["error_count"], 0);
    assert_eq!(summary["files"], 100 - 11);
    let stuck = paths_of(&summary, "stuck");
    assert!(stuck.contains(held.to_str().unwrap()) && stuck.len() == 11);
    let lines = running.said();
    let named = lines.lines().filter(|line| line.contains("stuck: copy"));
    assert_eq!(named.count(), 11, "a line for each: {lines}");
    stage.assert_copied_without(|path| path.to_string_lossy().contains("1/stuck-1"));
    stage.assert_healed(backend)
}

/// The source itself hangs: there can be no copy, and there is an end.
fn root(backend: &str) -> Outcome {
    let stage = Stage::new(1, false)?;
    let hold = stage.tree.hold(&[Request::Getattr, Request::Lookup], "")?;
    let source = stage.tree.path().join("1");
    let destination = stage.destination();
    let mut running = Running::start(backend, &["--timeout", "1s"], &source, &destination);
    running.wait_for_words("timed out after");
    running.wait_for_words("the kernel still has an operation");
    assert_eq!(running.exit_code(), Some(1), "{}", running.said());
    assert_eq!(stage.tree.status()?.held, 1);
    hold.release()?;
    assert!(!destination.exists());
    Ok(())
}

/// One directory of the destination takes no data: its files are named, nothing half of them stays, and neither
/// they nor their removal hold up the others or the end.
fn destination(backend: &str) -> Outcome {
    let stage = Stage::new(0, false)?;
    let source = tempfile::tempdir()?;
    for number in 0..100 {
        let path = source.path().join(name(number));
        fs::create_dir_all(path.parent().unwrap())?;
        fs::write(path, format!("{number}\n"))?;
    }
    let copied = stage.tree.path().join("copy");
    let hold = stage.tree.hold(&[Request::Write], "/copy/1/")?;
    let mut running = Running::start(backend, &["--timeout", "2s"], source.path(), &copied);
    let summary = running.summary();
    running.wait_for_words("the kernel still has");
    assert!(stage.tree.status()?.held > 0, "{}", running.said());
    released(&format!("{backend}, Write"), &mut running, || {
        Ok(hold.release()?)
    })?;
    assert_eq!(running.exit_code(), Some(2), "{}", running.said());
    let mut expected = common::paths(source.path());
    let left_out = expected
        .iter()
        .filter(|path| path.starts_with("1") && *path != Path::new("1"))
        .count();
    assert_eq!(summary["files"], 100 - left_out, "{}", running.said());
    expected.retain(|path| !path.starts_with("1") || path == Path::new("1"));
    common::wait_for("the removal of what was left", || {
        leftovers(&copied).is_empty()
    });
    assert_eq!(common::paths(&copied), expected, "{}", running.said());
    Ok(())
}

/// The whole mount stops to answer: a few time out, the rest is left out at once, and not one after the other.
fn dies(backend: &str) -> Outcome {
    let stage = Stage::new(FILES, false)?;
    let begin = stage.tree.hold(&[Request::Open], "/1/stuck-")?;
    let mut running = stage.start(backend, &["--timeout", "1s"]);
    stage.tree.wait_held(1, BOUND)?;
    let hold = stage.tree.hold(&Request::ALL, "")?;
    begin.release()?;
    let summary = running.summary();
    running.wait_for_words("the kernel still has");
    let (copied, failed) = (&summary["files"], &summary["error_count"]);
    println!(
        "    {backend}: {copied} copied, {failed} not, in {} s",
        summary["seconds"]
    );
    let mount = stage.tree.path().display().to_string();
    assert!(running.said().contains(&mount), "{}", running.said());
    released(&format!("{backend}, all"), &mut running, || {
        Ok(hold.release()?)
    })?;
    assert_eq!(running.exit_code(), Some(2), "{}", running.said());
    assert!(failed.as_u64() > Some(0));
    stage.assert_healed(backend)
}

/// The server of files that hang is killed: they fail at once, and the process ends.
fn killed(backend: &str) -> Outcome {
    let stage = Stage::new(100, false)?;
    let hold = stage.tree.hold(&[Request::Open], "/1/stuck-")?;
    let mut running = stage.start(backend, &["--timeout", "off"]);
    stage.tree.wait_held(STUCK, BOUND)?;
    let server = stage.tree.server_id().ok_or("no server")?;
    kill(Pid::from_raw(server as i32), Signal::SIGKILL)?;
    let summary = running.summary();
    assert_eq!(running.exit_code(), Some(2), "{}", running.said());
    assert_eq!(summary["timed_out"], 0);
    assert!(summary["error_count"].as_u64() >= Some(STUCK as u64));
    assert!(!running.said().contains("the kernel still has"));
    assert_eq!(leftovers(&stage.destination()), [] as [PathBuf; 0]);
    drop(hold);
    Ok(())
}

/// For people, too, the summary counts what was left out, and names it.
fn text(backend: &str) -> Outcome {
    let stage = Stage::new(3, false)?;
    let hold = stage.tree.hold(&[Request::Open], "/1/stuck-1")?;
    let mut command = tidegate();
    command
        .args(["copy", "--backend", backend, "--timeout", "1s"])
        .args([stage.tree.path(), &stage.destination()])
        .stdout(fs::File::create(stage.dir.path().join("text"))?);
    let mut child = command.stderr(Stdio::null()).spawn()?;
    let held = stage.tree.path().join(name(1));
    let expected = format!("\ntimed out: copy {}\n", held.display());
    let printed = || fs::read_to_string(stage.dir.path().join("text")).unwrap();
    common::wait_for("the summary", || printed().contains(&expected));
    assert_eq!(child.wait()?.code(), Some(2));
    hold.release()?;
    let text = printed();
    assert!(text.starts_with("2 files, "), "{text}");
    assert!(
        text.contains("; 1 errors, 1 of them timed out; 1 stuck\n"),
        "{text}"
    );
    Ok(())
}

/// Each step of a large file takes a part of the timeout, and the file several times as long.
fn slow(backend: &str) -> Outcome {
    let stage = Stage::new(0, true)?;
    let large: Vec<u8> = (0..4u32 << 20).map(|at| (at % 251) as u8).collect();
    fs::write(stage.tree.backing_path().join("large"), large)?;
    let delay = stage
        .tree
        .delay(Duration::from_millis(300), &[Request::Read], "")?;
    let output = common::copy(
        backend,
        stage.tree.path(),
        &stage.destination(),
        &["--timeout", "2s", "--verify"],
    );
    common::assert_exit(&output, 0);
    delay.release()?;
    let reads = stage.tree.status()?.seen(Request::Read);
    assert!(reads >= 12, "{reads} reads are no longer than the timeout");
    stage.assert_copied_without(|_| false);
    Ok(())
}

/// A shell's line, and its code.
type Line = (&'static str, i32);

/// While the server is silent, a shell has its prompt again, with the right code, and pipes have their end.
fn shells(_: &str) -> Outcome {
    each_returns(&[
        ("\"$0\" copy --timeout 1s \"$1\" \"$2\"; exit $?", 2),
        ("exec \"$0\" copy --timeout 1s \"$1\" \"$2\"", 2),
        ("\"$0\" copy --timeout 1s \"$1\" \"$2\" 2>&1 | cat", 0),
        ("\"$0\" copy --timeout 1s \"$1\" \"$2\" & wait $!", 2),
        ("nohup \"$0\" copy --timeout 1s \"$1\" \"$2\"", 2),
        (
            "setsid -w \"$0\" copy --timeout 1s \"$1\" \"$2\" </dev/null",
            2,
        ),
    ])
}

/// The same of what starts it for others, with no terminal and hardly an environment, and several at a time.
fn starters(_: &str) -> Outcome {
    each_returns(&[
        (
            "printf '1\\n2\\n3\\n' | xargs -P 3 -I{} \"$0\" copy --timeout 1s \"$1\" \"$2-{}\"",
            123,
        ),
        (
            "cd / && env -i \"$0\" copy --timeout 1s \"$1\" \"$2\" </dev/null >\"$2.log\" 2>&1; code=$?
            cat \"$2.log\"; exit $code",
            2,
        ),
    ])
}

/// Whatever ends it that can be caught.
fn signals(_: &str) -> Outcome {
    each_returns(&[
        (
            "timeout -s INT 2 \"$0\" copy --timeout off \"$1\" \"$2\"",
            124,
        ),
        (
            "timeout -s TERM 2 \"$0\" copy --timeout off \"$1\" \"$2\"",
            124,
        ),
        (
            "timeout -s HUP 2 \"$0\" copy --timeout off \"$1\" \"$2\"",
            124,
        ),
    ])
}

/// Each comes back with its code, and names the process that is kept and what hangs.
fn each_returns(lines: &[Line]) -> Outcome {
    let stage = Stage::new(10, false)?;
    let hold = stage.tree.hold(&[Request::Open], "/1/stuck-1")?;
    for (line, code) in lines {
        let (code_is, said) = shell(&stage, line)?;
        assert_eq!(code_is, Some(*code), "{line}: {said}");
        assert!(said.contains("it keeps process "), "{line}: {said}");
        assert!(said.contains("stuck-1"), "{line}: {said}");
    }
    Ok(hold.release()?)
}

/// Where nobody hears it, or it is killed, it comes back all the same.
fn unheard(_: &str) -> Outcome {
    let stage = Stage::new(10, false)?;
    let hold = stage.tree.hold(&[Request::Open], "/1/stuck-1")?;
    for (line, code) in [
        ("\"$0\" copy --timeout 1s \"$1\" \"$2\" 2>&1 | true", 0),
        ("\"$0\" copy --timeout 1s \"$1\" \"$2\" <&- >&- 2>&-", 2),
        (
            "\"$0\" copy --timeout 1s \"$1\" \"$2\" >/dev/full 2>/dev/full",
            2,
        ),
        (
            "timeout -s QUIT 2 \"$0\" copy --timeout off \"$1\" \"$2\"",
            124,
        ),
        (
            "timeout -s KILL 2 \"$0\" copy --timeout off \"$1\" \"$2\"",
            137,
        ),
    ] {
        let (code_is, said) = shell(&stage, line)?;
        assert_eq!(code_is, Some(code), "{line}: {said}");
    }
    Ok(hold.release()?)
}

/// Runs a line with the program, what hangs and a place as its arguments. Comes back when all of it has ended that has its
/// outputs, and the server still does not answer.
fn shell(stage: &Stage, line: &str) -> Result<(Option<i32>, String), Failed> {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", line, env!("CARGO_BIN_EXE_tidegate")]);
    let output = command
        .args([stage.tree.path(), &stage.destination()])
        .output()?;
    assert!(stage.tree.status()?.held > 0, "{line}");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Ok((output.status.code(), said))
}

/// Also one that is killed while the kernel keeps it.
fn killed_worker(backend: &str) -> Outcome {
    let stage = Stage::new(10, false)?;
    let hold = stage.tree.hold(&[Request::Open], "/1/stuck-1")?;
    let mut running = stage.start(backend, &["--timeout", "off"]);
    stage.tree.wait_held(1, BOUND)?;
    kill(Pid::from_raw(running.worker() as i32), Signal::SIGKILL)?;
    assert_eq!(running.exit_code(), Some(1), "{}", running.said());
    running.wait_for_words("was killed");
    running.wait_for_words("it keeps process ");
    assert_eq!(stage.tree.status()?.held, 1);
    Ok(hold.release()?)
}

/// The kernel keeps process 1 of a namespace until all others of it have ended: it has said all before that, and its
/// code is right.
fn first(_: &str) -> Outcome {
    let stage = Stage::new(10, false)?;
    let hold = stage.tree.hold(&[Request::Open], "/1/stuck-1")?;
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(env!("CARGO_BIN_EXE_tidegate"))
        .args(["copy", "--json", "--timeout", "1s"])
        .args([stage.tree.path(), &stage.destination()]);
    let mut running = Running::spawn(&mut command);
    let summary = running.summary();
    assert_eq!(summary["timed_out"], 1, "{}", running.said());
    running.wait_for_words("this is process 1 of its namespace");
    assert_eq!(stage.tree.status()?.held, 1);
    hold.release()?;
    assert_eq!(running.exit_code(), Some(2), "{}", running.said());
    Ok(())
}

/// On a terminal, a line shows the path that hangs, and its spinner turns.
fn spins(backend: &str) -> Outcome {
    let stage = Stage::new(1, false)?;
    let hold = stage.tree.hold(&[Request::Open], "/1/stuck-0")?;
    let size = Winsize {
        ws_row: 50,
        ws_col: 300,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = openpty(&size, None)?;
    let mut command = tidegate();
    command
        .args(["copy", "--backend", backend])
        .args([stage.tree.path(), &stage.destination()])
        .env("TERM", "xterm")
        .stdout(Stdio::null())
        .stderr(terminal.slave);
    let mut child = command.spawn()?;
    // Its copy of the slave side would keep the terminal from ending.
    drop(command);
    let path = stage.tree.path().join(name(0));
    let mut shown = fs::File::from(terminal.master);
    let mut text = String::new();
    let mut hold = Some(hold);
    let mut bytes = [0; 4096];
    // The terminal of a process that has ended is an error.
    while let Ok(count @ 1..) = shown.read(&mut bytes) {
        text += &String::from_utf8_lossy(&bytes[..count]);
        let turned = ['|', '/', '-', '\\'].iter().all(|picture| {
            let line = |age| format!("{picture} {age:>3} s  copy {}", path.display());
            (0..BOUND.as_secs()).any(|age| text.contains(&line(age)))
        });
        if turned {
            drop(hold.take());
        }
    }
    assert_eq!(child.wait()?.code(), Some(0), "{text}");
    assert!(hold.is_none(), "it does not turn: {text}");
    Ok(())
}
