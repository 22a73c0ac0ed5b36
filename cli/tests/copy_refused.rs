//! What `tidegate copy` cannot do it says, by path and reason, and does the rest.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use common::{BACKENDS, assert_exit, can_run, copy, json, leftovers, tidegate};

/// A user who is not root, as containers and systems name nobody.
const NOBODY: u32 = 65534;

/// A file that cannot be read is named with the reason, the rest is copied, and the exit code says so.
#[test]
fn an_unreadable_file_is_named_and_the_rest_is_copied() {
    for backend in BACKENDS {
        if !can_run(
            "an_unreadable_file_is_named_and_the_rest_is_copied",
            backend,
        ) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fs::create_dir_all(source.join("closed")).unwrap();
        fs::write(source.join("readable"), b"content").unwrap();
        fs::write(source.join("secret"), b"secret").unwrap();
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        for (path, mode) in [
            ("source", 0o755),
            ("open", 0o777),
            ("source/secret", 0),
            ("source/closed", 0),
        ] {
            fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // The binary may be below a directory that another user cannot enter.
        let binary = dir.path().join("tidegate");
        fs::copy(env!("CARGO_BIN_EXE_tidegate"), &binary).unwrap();
        let mut command = std::process::Command::new(&binary);
        command.env_remove("TIDEGATE_BACKEND").arg("copy").args([
            "--json",
            "--verify",
            "--backend",
            backend,
        ]);
        command.arg(&source).arg(open.join("copied"));
        if nix::unistd::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().unwrap();
        assert_exit(&output, 2);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        for name in ["source/secret", "source/closed"] {
            let line = stderr
                .lines()
                .find(|line| line.contains(name))
                .unwrap_or_else(|| panic!("{name}: {stderr}"));
            assert!(line.contains("Permission denied"), "{line}");
        }
        assert_eq!(fs::read(open.join("copied/readable")).unwrap(), b"content");
        assert!(!open.join("copied/secret").exists());
        assert!(leftovers(&open.join("copied")).is_empty());
        let errors = json(&output)["errors"].as_array().unwrap().clone();
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(
            errors.iter().all(|error| error["errno"] == libc::EACCES),
            "{errors:?}"
        );
        // So that the temporary directory can be removed by a user who is not root.
        for closed in [source.join("closed"), open.join("copied/closed")] {
            fs::set_permissions(closed, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}

/// What no copy can carry over is named, and the rest is copied.
#[test]
fn a_socket_is_named_and_the_rest_is_copied() {
    for backend in BACKENDS {
        if !can_run("a_socket_is_named_and_the_rest_is_copied", backend) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("file"), b"content").unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap();
        let output = copy(backend, &source, &dir.path().join("copied"), &["--verify"]);
        assert_exit(&output, 2);
        assert!(String::from_utf8_lossy(&output.stderr).contains("source/socket"));
        assert_eq!(
            fs::read(dir.path().join("copied/file")).unwrap(),
            b"content"
        );
    }
}

/// A directory where a file has to go is left alone and named.
#[test]
fn a_directory_in_the_way_is_named() {
    for backend in BACKENDS {
        if !can_run("a_directory_in_the_way_is_named", backend) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let (source, destination) = (dir.path().join("source"), dir.path().join("destination"));
        fs::create_dir(&source).unwrap();
        for name in ["name", "other"] {
            fs::write(source.join(name), b"content").unwrap();
        }
        fs::create_dir_all(destination.join("name")).unwrap();
        fs::write(destination.join("name/kept"), b"kept").unwrap();
        let output = copy(backend, &source, &destination, &[]);
        assert_exit(&output, 2);
        assert!(String::from_utf8_lossy(&output.stderr).contains("source/name"));
        assert_eq!(fs::read(destination.join("name/kept")).unwrap(), b"kept");
        assert_eq!(fs::read(destination.join("other")).unwrap(), b"content");
        assert!(leftovers(&destination).is_empty());
    }
}

/// Roots between which there can be no copy are refused before anything is made.
#[test]
fn impossible_roots_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir_all(path("source/inner")).unwrap();
    fs::write(path("file"), b"content").unwrap();
    std::os::unix::fs::symlink("source", path("link")).unwrap();
    let cases = [
        ("missing", "copied", "missing"),
        ("source", "source", "the same"),
        ("source", "link", "the same"),
        ("source", "source/inner/copied", "inside"),
        ("source", "link/inner/copied", "inside"),
        ("source", "no/such/parent", "does not exist"),
        ("source", "file", "is a directory"),
        ("file", "file", "the same"),
        ("file", ".", "the same"),
    ];
    for backend in BACKENDS {
        if !can_run("impossible_roots_are_refused", backend) {
            continue;
        }
        for (source, destination, reason) in cases {
            let output = copy(backend, &path(source), &path(destination), &[]);
            assert_exit(&output, 1);
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(stderr.contains(reason), "{source} {destination}: {stderr}");
        }
        assert_exit(&copy(backend, Path::new(""), &path("copied"), &[]), 64);
        assert_exit(&copy(backend, &path("file"), Path::new(""), &[]), 64);
        assert_eq!(common::paths(dir.path()).len(), 4);
    }
}

/// A command line that makes no sense has an exit code of its own, which is not that of a partial copy.
#[test]
fn a_wrong_command_line_has_its_own_code() {
    for arguments in [
        &["copy", "only one"][..],
        &["copy", "--jobs", "0", "a", "b"],
        &["copy", "--backend", "x", "a", "b"],
        &["nonsense"],
        &[],
    ] {
        assert_exit(&tidegate().args(arguments).output().unwrap(), 64);
    }
    assert_exit(&tidegate().args(["copy", "--help"]).output().unwrap(), 0);
}

/// A timeout that means nothing is refused with what it should be; a good one and none at all are taken.
#[test]
fn a_timeout_that_means_nothing_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), b"content").unwrap();
    let with = |timeout: &str| {
        copy(
            "pool",
            &dir.path().join("file"),
            &dir.path().join("copied"),
            &["--timeout", timeout],
        )
    };
    let unit = "write a number and a unit, as in 500ms, 30s or 2min";
    let range = "it has to be more than nothing and at most a year";
    for (timeout, reason) in [
        ("30", unit),
        ("", unit),
        ("soon", unit),
        ("3d", unit),
        ("0s", range),
        ("0ms", range),
        ("526000min", range),
        ("1e-30s", range),
    ] {
        let output = with(timeout);
        assert_exit(&output, 64);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            stderr.contains("--timeout") && stderr.contains(reason),
            "{timeout}: {stderr}"
        );
    }
    assert!(!dir.path().join("copied").exists());
    for timeout in ["500ms", "30s", "2min", "off"] {
        assert_exit(&with(timeout), 0);
    }
}

/// A backend that does not exist is an error, not a default.
#[test]
fn a_junk_backend_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), b"content").unwrap();
    let mut command = tidegate();
    command
        .env("TIDEGATE_BACKEND", "junk")
        .arg("copy")
        .arg(dir.path().join("file"))
        .arg(dir.path().join("copied"));
    let output = command.output().unwrap();
    assert_exit(&output, 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("TIDEGATE_BACKEND"));
    assert!(!dir.path().join("copied").exists());
}

/// A path that is longer than the system takes is named, and what is above it is copied.
#[test]
fn a_path_that_is_too_long_is_named() {
    for backend in BACKENDS {
        if !can_run("a_path_that_is_too_long_is_named", backend) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        let name = "n".repeat(250);
        fs::create_dir(&source).unwrap();
        fs::write(source.join("file"), b"content").unwrap();
        // The destination's paths are longer than the source's, which just fit.
        let depth = (libc::PATH_MAX as usize - 1 - source.as_os_str().len()) / (name.len() + 1);
        let deepest = format!("{name}/").repeat(depth);
        fs::create_dir_all(source.join(&deepest)).unwrap();
        let destination = dir.path().join("d".repeat(255));
        let output = copy(backend, &source, &destination, &["--json", "--verify"]);
        assert_exit(&output, 2);
        let errors = json(&output)["errors"].as_array().unwrap().clone();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0]["errno"], libc::ENAMETOOLONG);
        assert_eq!(fs::read(destination.join("file")).unwrap(), b"content");
    }
}

/// A filesystem mounted for a test.
struct Mounted(std::path::PathBuf);

impl Mounted {
    /// A filesystem of one megabyte, where the user may mount one.
    fn small(at: &Path) -> Option<Mounted> {
        fs::create_dir(at).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(at);
        let output = mount.output().ok()?;
        output.status.success().then(|| Mounted(at.to_path_buf()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

/// Where the space ends, what did not fit is named, and what has a name is whole.
#[test]
fn a_full_destination_is_named_and_holds_whole_files_only() {
    for backend in BACKENDS {
        let test = "a_full_destination_is_named_and_holds_whole_files_only";
        if !can_run(test, backend) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fs::create_dir(&source).unwrap();
        for number in 0..8u8 {
            fs::write(source.join(number.to_string()), vec![number; 300 << 10]).unwrap();
        }
        let Some(small) = Mounted::small(&dir.path().join("small")) else {
            println!("skip: {test}: tmpfs cannot be mounted here");
            return;
        };
        let output = copy(backend, &source, &small.0, &["--json", "--jobs", "1"]);
        assert_exit(&output, 2);
        let errors = json(&output)["errors"].as_array().unwrap().clone();
        assert!(
            !errors.is_empty() && errors.iter().all(|error| error["errno"] == libc::ENOSPC),
            "{errors:?}"
        );
        let copied = common::paths(&small.0);
        assert_eq!(copied.len() + errors.len(), 8, "{copied:?}");
        for path in copied {
            assert!(
                fs::read(small.0.join(&path)).unwrap() == fs::read(source.join(&path)).unwrap()
            );
        }
    }
}
