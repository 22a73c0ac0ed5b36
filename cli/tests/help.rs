//! What the command says of itself: its help, its manual pages, what it tells shells, and its colours.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::{assert_exit, tidegate};

const COMMANDS: [&str; 6] = ["bench", "completions", "copy", "doctor", "man", "walk"];

fn printed(arguments: &[&str]) -> String {
    let output = tidegate().args(arguments).output().unwrap();
    assert_exit(&output, 0);
    String::from_utf8(output.stdout).unwrap()
}

/// The help of each command is that of `tests/help.txt`, so that each change of it is seen. With
/// `TIDEGATE_RENEW_HELP=1` that file is renewed instead.
#[test]
fn the_help_is_as_it_was() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    let mut found = String::new();
    for command in [None].into_iter().chain(COMMANDS.map(Some)) {
        for form in ["-h", "--help"] {
            let arguments: Vec<_> = command.into_iter().chain([form]).collect();
            let help = printed(&arguments);
            found += &format!("$ tidegate {}\n\n{help}\n", arguments.join(" "));
        }
    }
    // An editor would take them away.
    let lines: Vec<_> = found.lines().map(str::trim_end).collect();
    let found = lines.join("\n").trim_end().to_owned() + "\n";
    if std::env::var_os("TIDEGATE_RENEW_HELP").is_some() {
        return fs::write(&path, found).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    for (number, (kept, found)) in kept.lines().zip(found.lines()).enumerate() {
        assert_eq!(kept, found, "line {} of {}", number + 1, path.display());
    }
    assert_eq!(kept, found);
}

/// The commands that the help lists are those of the tests.
#[test]
fn every_command_is_listed() {
    let help = printed(&["--help"]);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let names = commands
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let names: BTreeSet<_> = names.filter(|name| *name != "help").collect();
    assert_eq!(names, BTreeSet::from(COMMANDS));
    let description = env!("CARGO_PKG_DESCRIPTION");
    for word in ["copies", "walks", "mounts", "measures"] {
        assert!(description.contains(word), "{word}: {description}");
    }
}

/// Every shell has a script, which knows every command.
#[test]
fn shells_are_told_all_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        for command in COMMANDS {
            assert!(script.contains(command), "{shell} has no {command}");
        }
        assert!(script.contains("verify"), "{shell} has no option of copy");
    }
    let unknown = tidegate().args(["completions", "csh"]).output().unwrap();
    assert_exit(&unknown, 64);
}

/// There is a page for each command, and a place that cannot be written to is an error.
#[test]
fn every_command_has_a_page() {
    assert!(printed(&["man"]).contains(".TH tidegate 1"));
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().to_str().unwrap();
    assert_eq!(printed(&["man", place]), "");
    for command in COMMANDS {
        let page = dir.path().join(format!("tidegate-{command}.1"));
        let page = fs::read_to_string(page).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(command));
    }
    assert!(dir.path().join("tidegate.1").exists());
    let missing = tidegate()
        .args(["man", "/no/such/folder"])
        .output()
        .unwrap();
    assert_exit(&missing, 1);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/no/such/folder"));
}

/// A script or a page that did not arrive is no success.
#[test]
#[cfg(target_os = "linux")]
fn what_does_not_arrive_is_no_success() {
    for arguments in [&["completions", "bash"][..], &["man"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full");
        let mut command = tidegate();
        let output = command.args(arguments).stdout(full.unwrap()).output();
        let output = output.unwrap();
        assert_exit(&output, 2);
        assert!(!output.stderr.is_empty());
    }
}

/// On a terminal the help and errors have colours, unless `NO_COLOR` is set.
#[test]
#[cfg(target_os = "linux")]
fn no_color_means_none() {
    for (arguments, code) in [(&["--help"][..], 0), (&["copy", "--no-such-option"], 64)] {
        let shown = |no_color: bool| on_terminal(arguments, no_color, code);
        assert!(shown(false).contains('\x1b'), "{arguments:?}");
        let plain = shown(true);
        assert!(!plain.contains('\x1b') && !plain.is_empty(), "{plain:?}");
    }
}

/// What comes to a terminal that can show colours.
#[cfg(target_os = "linux")]
fn on_terminal(arguments: &[&str], no_color: bool, code: i32) -> String {
    use std::io::Read;

    use nix::fcntl::{FcntlArg, FdFlag, fcntl};

    let terminal = nix::pty::openpty(None, None).unwrap();
    for end in [&terminal.master, &terminal.slave] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
    }
    let mut command = tidegate();
    for name in ["CI", "CLICOLOR", "CLICOLOR_FORCE", "NO_COLOR"] {
        command.env_remove(name);
    }
    if no_color {
        command.env("NO_COLOR", "1");
    }
    command
        .args(arguments)
        .env("TERM", "xterm-256color")
        .stdout(terminal.slave.try_clone().unwrap())
        .stderr(terminal.slave);
    let mut child = command.spawn().unwrap();
    // Its copies of the slave side would keep the terminal from ending.
    drop(command);
    let (mut shown, mut text, mut bytes) = (fs::File::from(terminal.master), vec![], [0; 4096]);
    // The terminal of a process that has ended is an error.
    while let Ok(count @ 1..) = shown.read(&mut bytes) {
        text.extend_from_slice(&bytes[..count]);
    }
    assert_eq!(child.wait().unwrap().code(), Some(code));
    String::from_utf8_lossy(&text).into_owned()
}
