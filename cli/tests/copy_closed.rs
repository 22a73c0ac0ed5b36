//! What may not be opened, or has no way to its attributes, is named or counted, and the rest of it is carried over.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use common::{assert_exit, json};

/// Runs a shell's line, in which `$T` is the binary.
fn shell(line: &str, dir: &Path) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(dir);
    command.env("T", env!("CARGO_BIN_EXE_tidegate"));
    command.env_remove("TIDEGATE_BACKEND").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A directory of the source that may not be opened is named, and its copy is as open or closed as it is.
#[test]
fn a_directory_that_may_not_be_opened_keeps_its_mode() {
    const TEST: &str = "a_directory_that_may_not_be_opened_keeps_its_mode";
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (name, mode) in [("locked", 0o711), ("shut", 0o1300), ("open", 0o755)] {
        fs::create_dir_all(at("source").join(name)).unwrap();
        fs::write(at("source").join(name).join("file"), "text").unwrap();
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(at("source").join(name), permissions).unwrap();
    }
    let past = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_234_567_890);
    for name in ["locked", "shut"] {
        let opened = fs::File::open(at("source").join(name)).unwrap();
        opened.set_modified(past).unwrap();
    }
    let everybody = fs::Permissions::from_mode(0o777);
    fs::set_permissions(dir.path(), everybody).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_tidegate"), at("tidegate")).unwrap();
    let line = "setpriv --reuid 65531 --regid 65531 --clear-groups true || exit 77
        exec setpriv --reuid 65531 --regid 65531 --clear-groups ./tidegate copy --json source copy";
    let output = shell(line, dir.path());
    if output.status.code() == Some(77) {
        return println!("skip: {TEST}: {}", said(&output));
    }
    assert_exit(&output, 2);
    let told = json(&output);
    assert_eq!(told["error_count"], 2, "{told}");
    for name in ["locked", "shut", "open"] {
        let [from, to] = ["source", "copy"].map(|root| at(root).join(name));
        let [from, to] = [from, to].map(|path| fs::metadata(path).unwrap());
        assert_eq!(from.mode(), to.mode(), "{name}");
        assert_eq!(from.mtime(), to.mtime(), "{name}");
    }
    assert!(at("copy/open/file").exists());
}

/// Attributes of links and FIFOs have no way without /proc: what has some is counted, and what has none is not.
#[test]
fn attributes_that_have_no_way_are_counted() {
    const TEST: &str = "attributes_that_have_no_way_are_counted";
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    for name in ["bare", "marked"] {
        symlink("nowhere", source.join(name)).unwrap();
    }
    if xattr::set(source.join("marked"), "trusted.mark", b"here").is_err() {
        return println!("skip: {TEST}: no attributes of links here");
    }
    // SAFETY: lists nothing into no memory.
    let listed = unsafe { libc::syscall(465, libc::AT_FDCWD, c"/".as_ptr(), 0, 0, 0) };
    if listed < 0 {
        return println!("skip: {TEST}: no listxattrat before Linux 6.13");
    }
    for (more, code, count) in [("--xattrs auto", 0, [1, 0]), ("--xattrs always", 2, [0, 1])] {
        let line = format!(
            "exec unshare -m sh -c 'mount -t tmpfs tmpfs /proc || exit 77; rm -rf copy
                exec $T copy --json {more} source copy'"
        );
        let output = shell(&line, dir.path());
        if output.status.code() == Some(77) || said(&output).contains("unshare") {
            return println!("skip: {TEST}: {}", said(&output));
        }
        assert_exit(&output, code);
        let told = json(&output);
        let counts = ["warnings", "error_count"].map(|name| told[name].as_u64().unwrap());
        assert_eq!(counts, count, "{told}");
        assert!(said(&output).contains("marked") && !said(&output).contains("bare"));
    }
    // With /proc they arrive.
    let there = dir.path().join("there");
    assert_exit(&common::copy("auto", &source, &there, &["--verify"]), 0);
    let value = xattr::get(there.join("marked"), "trusted.mark").unwrap();
    assert_eq!(value.as_deref(), Some(&b"here"[..]));
}
