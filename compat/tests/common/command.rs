//! What the tests here share: the files of a folder, and commands that end.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A run that is not done after this long hangs: building all of it takes some minutes on two cores.
const RUN_BOUND: Duration = Duration::from_secs(1500);

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// All files below the folder, relative to it, but for what is named.
pub(crate) fn read_tree(root: &Path, left_out: &[&str]) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder)).into_iter().flatten() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if left_out.iter().any(|name| path == Path::new(name)) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                found.push((path, std::fs::read(entry.path()).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Runs the command, for as long as building may take.
pub(crate) fn run(command: Command) -> (bool, String) {
    run_within(command, RUN_BOUND)
}

/// Runs the command in a process group of its own, which is killed if it hangs.
pub(crate) fn run_within(mut command: Command, bound: Duration) -> (bool, String) {
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let group = child.id();
    let (done, is_done) = mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if is_done.recv_timeout(bound) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = Command::new("kill")
                .args(["-KILL", "--", &format!("-{group}")])
                .status();
        }
    });
    let output = child.wait_with_output().unwrap();
    let _ = done.send(());
    guard.join().unwrap();
    let text = [output.stderr, output.stdout].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}
