//! `tidegate walk` of trees in which something does not answer: it is named, the rest is counted, and what a person sees of
//! it stays whole.
//!
//! Holds are still in force when a walk has said all that it says: that order is the assertion.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod common;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    tidegate_rig::init();
    let mut args = libtest_mimic::Arguments::from_args();
    // One at a time: a machine that has too much to do is slow, and slow is not to look stuck.
    args.test_threads = Some(1);
    libtest_mimic::run(&args, stuck::all()).exit_code()
}

#[cfg(target_os = "linux")]
mod stuck {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io::{self, Read};
    use std::process::Stdio;

    use libtest_mimic::{Failed, Trial};
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use nix::pty::{Winsize, openpty};
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use serde_json::Value;
    use tidegate_rig::{Request, StalledFuse};

    use crate::common::{BACKENDS, BOUND, fuse_trial, tidegate};

    type Outcome = Result<(), Failed>;

    const DIRS: usize = 4;
    const FILES: usize = 40;

    pub(crate) fn all() -> Vec<Trial> {
        let mut trials = Vec::new();
        for backend in BACKENDS {
            for (name, test) in [
                ("what_is_stuck_is_named", named as fn(&str) -> Outcome),
                ("a_signal_ends_it", interrupted),
                ("a_narrow_terminal_keeps_what_is_said", narrow),
            ] {
                trials.push(fuse_trial(format!("{backend}::{name}"), backend, test));
            }
        }
        trials
    }

    fn tree() -> io::Result<StalledFuse> {
        let tree = StalledFuse::options().with_max_hold(BOUND).create()?;
        for dir in 0..DIRS {
            let dir = tree.backing_path().join(dir.to_string());
            fs::create_dir(&dir)?;
            for file in 0..FILES {
                fs::write(dir.join(file.to_string()), "text")?;
            }
            fs::create_dir(dir.join("stuck"))?;
        }
        Ok(tree)
    }

    fn lines(text: &[u8]) -> Vec<Value> {
        let text = String::from_utf8_lossy(text);
        let lines = text.lines().map(serde_json::from_str);
        lines.map(Result::unwrap).collect()
    }

    /// Files without attributes, and directories that cannot be opened or listed.
    fn named(backend: &str) -> Outcome {
        let tree = tree()?;
        let holds = [
            tree.hold(&[Request::Lookup], "/0/7")?,
            tree.hold(&[Request::Open], "/1/stuck")?,
            tree.hold(&[Request::Readdir], "/2/stuck")?,
        ];
        let mut command = tidegate();
        command.args(["walk", "--json", "--timeout", "3s", "--backend", backend]);
        let output = command.arg(tree.path()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(tree.status()?.held, 3, "{said}");
        drop(holds);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let told = lines(&output.stdout);
        let errors = told.iter().filter(|line| line["timeout"] == true);
        let errors: BTreeSet<_> = errors.map(|line| line["path"].as_str().unwrap()).collect();
        let expected = ["0/7", "1/stuck", "2/stuck"].map(|name| tree.path().join(name));
        let expected = expected.iter().map(|path| path.to_str().unwrap());
        assert_eq!(errors, expected.clone().collect());
        let summary = told.last().unwrap();
        // The root, and all but the file.
        assert_eq!(summary["entries"], 1 + DIRS * (FILES + 2) - 1);
        assert_eq!(
            (&summary["timeouts"], &summary["errors"]),
            (&3.into(), &3.into())
        );
        assert_eq!(summary["lost_directories"], 2);
        assert_eq!(summary["failed"].as_array().unwrap().len(), 3);
        for path in expected {
            assert!(said.contains(path), "{path} in {said}");
        }
        Ok(())
    }

    fn interrupted(backend: &str) -> Outcome {
        let tree = tree()?;
        let hold = tree.hold(&[Request::Readdir], "/1/stuck")?;
        let mut command = tidegate();
        command.args(["walk", "--json", "--summary", "--backend", backend]);
        let child = command
            .arg(tree.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        tree.wait_held(1, BOUND)?;
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT)?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(tree.status()?.held, 1, "{said}");
        drop(hold);
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(said.contains("1/stuck"), "{said}");
        assert_eq!(lines(&output.stdout)[0]["interrupted"], true);
        Ok(())
    }

    /// What a terminal shows in the end, of the few codes that bars are drawn with.
    fn screen(text: &str, columns: usize) -> Vec<String> {
        let (mut rows, mut row, mut column) = (vec![String::new()], 0_usize, 0_usize);
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '\r' => column = 0,
                '\n' => row += 1,
                '\x1b' => {
                    assert_eq!(chars.next(), Some('['));
                    let mut number = String::new();
                    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                        number.push(digit);
                    }
                    let count = number.parse().unwrap_or(1);
                    match chars.next() {
                        Some('A') => row = row.saturating_sub(count),
                        Some('B') => row += count,
                        Some('K') if count == 2 => rows[row].clear(),
                        other => panic!("{other:?} in {text:?}"),
                    }
                }
                char => {
                    if column == columns {
                        (row, column) = (row + 1, 0);
                    }
                    if rows.len() <= row {
                        rows.resize(row + 1, String::new());
                    }
                    let mut shown: Vec<_> = rows[row].chars().collect();
                    shown.resize(shown.len().max(column + 1), ' ');
                    shown[column] = char;
                    rows[row] = shown.into_iter().collect();
                    column += 1;
                }
            }
            if rows.len() <= row {
                rows.resize(row + 1, String::new());
            }
        }
        rows
    }

    /// Where the bar takes several lines, none of the report's is wiped with them.
    fn narrow(backend: &str) -> Outcome {
        for columns in [10, 60] {
            let tree = tree()?;
            let hold = tree.hold(&[Request::Readdir], "/1/stuck")?;
            let size = Winsize {
                ws_row: 200,
                ws_col: columns,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            let terminal = openpty(&size, None)?;
            // Or the process that the kernel keeps would keep the terminal as well.
            for end in [&terminal.master, &terminal.slave] {
                fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
            }
            let mut command = tidegate();
            command
                .args(["walk", "--timeout", "2s", "--backend", backend])
                .arg(tree.path())
                .env("TERM", "xterm")
                .stdout(terminal.slave.try_clone()?)
                .stderr(terminal.slave);
            let mut child = command.spawn()?;
            // Its copies of the slave side would keep the terminal from ending.
            drop(command);
            let (mut shown, mut text, mut bytes) =
                (fs::File::from(terminal.master), vec![], [0; 4096]);
            // The terminal of a process that has ended is an error.
            while let Ok(count @ 1..) = shown.read(&mut bytes) {
                text.extend_from_slice(&bytes[..count]);
            }
            drop(hold);
            let text = String::from_utf8_lossy(&text);
            assert_eq!(child.wait()?.code(), Some(2), "{text:?}");
            assert!(text.contains(" entries, "), "no bar in {text:?}");
            let rows = screen(&text, columns.into());
            let all = rows.concat();
            for part in [
                "type",
                "directory",
                "calls that did not end in time",
                "entries/s",
            ] {
                assert!(
                    all.contains(part),
                    "{part} at {columns}: {rows:?}, of {text:?}"
                );
            }
            // Nothing of the bar is left.
            assert!(
                !all.contains(" entries, "),
                "at {columns}: {rows:?}, of {text:?}"
            );
        }
        Ok(())
    }
}
