//! What `tidegate copy` does where the system is not as it mostly is: refusals, limits, special files, old filesystems.
#![cfg(target_os = "linux")]

mod common;
#[path = "../../tests/fallback/seccomp.rs"]
mod seccomp;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{assert_exit, assert_same, copy, json, leftovers, paths, tidegate};
use seccomp::Filter;

fn files(root: &Path, count: usize) {
    fs::create_dir_all(root).unwrap();
    for number in 0..count {
        fs::write(root.join(number.to_string()), vec![number as u8; 100_000]).unwrap();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a shell's line as root, in which `$T` is the binary; `None` where that cannot be.
fn shell(line: &str, dir: &Path) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(dir);
    command.env("T", env!("CARGO_BIN_EXE_tidegate"));
    command.env_remove("TIDEGATE_BACKEND").output().unwrap()
}

/// Whatever a filesystem or a filter says to `copy_file_range`: the data is read and written instead. Only what says
/// that there is no room is final.
#[test]
fn any_refusal_of_copy_file_range_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    files(&source, 3);
    let errnos = (1..=133).filter(|errno| ![libc::EINTR, 41, 58].contains(errno));
    // All of them take long on a busy machine; these are what is known to come, and every seventh of the rest.
    let known = [
        libc::ETXTBSY,
        libc::EIO,
        libc::EACCES,
        libc::EOVERFLOW,
        libc::EINVAL,
        libc::EXDEV,
        libc::EBADF,
        libc::EPERM,
        libc::ENOSYS,
        libc::EOPNOTSUPP,
        libc::EISDIR,
        libc::ENOMEM,
        libc::EAGAIN,
        libc::ESTALE,
        libc::EREMOTEIO,
        libc::ENODATA,
        libc::EROFS,
    ];
    for errno in errnos.filter(|errno| known.contains(errno) || errno % 7 == 0) {
        let destination = dir.path().join("copy");
        let mut command = tidegate();
        command
            .args(["copy", "--quiet"])
            .args([&source, &destination]);
        Filter::refuse(&[libc::SYS_copy_file_range as u32], errno).apply(&mut command);
        let output = command.output().unwrap();
        let is_final = [libc::ENOSPC, libc::EDQUOT, libc::EFBIG].contains(&errno);
        assert_eq!(
            output.status.code(),
            Some(if is_final { 2 } else { 0 }),
            "{errno}: {}",
            said(&output)
        );
        if !is_final {
            assert_same(&source, &destination);
        }
        fs::remove_dir_all(destination).unwrap();
    }
}

/// What is no file, link or directory is not replaced by a file, whether it is DST or lies in it, or a link leads to it.
#[test]
fn special_files_are_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    files(&source, 1);
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    let device = |path: &Path| {
        let kind = nix::sys::stat::SFlag::S_IFCHR;
        nix::sys::stat::mknod(path, kind, mode, nix::sys::stat::makedev(1, 3)).is_ok()
    };
    let fifo = |path: &Path| nix::unistd::mkfifo(path, mode).is_ok();
    let socket = |path: &Path| std::os::unix::net::UnixListener::bind(path).is_ok();
    type Make<'a> = (&'a str, &'a dyn Fn(&Path) -> bool);
    let kinds: [Make<'_>; 3] = [("device", &device), ("fifo", &fifo), ("socket", &socket)];
    for (name, make) in kinds {
        let tree = dir.path().join(name);
        fs::create_dir(&tree).unwrap();
        let special = tree.join("0");
        if !make(&special) {
            println!("skip: special_files_are_not_replaced: no {name} can be made");
            continue;
        }
        let kind = || fs::symlink_metadata(&special).unwrap().file_type();
        let before = kind();
        assert_exit(&copy("auto", &source.join("0"), &special, &[]), 1);
        let output = copy("auto", &source, &tree, &["--json"]);
        assert_exit(&output, 2);
        assert!(said(&output).contains("not replaced"), "{}", said(&output));
        assert_eq!(kind(), before, "{name}");
        assert!(leftovers(&tree).is_empty());
        let link = dir.path().join(format!("link to {name}"));
        std::os::unix::fs::symlink(&special, &link).unwrap();
        assert_exit(&copy("auto", &source.join("0"), &link, &[]), 1);
        assert!(link.is_symlink() && kind() == before);
    }
    // A FIFO still takes the place of one.
    let fifos = dir.path().join("fifos");
    fs::create_dir(&fifos).unwrap();
    assert!(fifo(&fifos.join("fifo")));
    for _ in 0..2 {
        assert_exit(&copy("auto", &fifos, &dir.path().join("twice"), &[]), 0);
    }
    assert!(
        fs::symlink_metadata(dir.path().join("twice/fifo"))
            .unwrap()
            .file_type()
            .is_fifo()
    );
}

/// A file that something is mounted on stays, and is named.
#[test]
fn a_mounted_file_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "new").unwrap();
    let line = "touch under over && mount --bind over under || exit 77
        $T copy file under; echo code $?; cat under; umount under; cat under";
    let output = shell(line, dir.path());
    if output.status.code() == Some(77) {
        return println!("skip: a_mounted_file_is_not_replaced: nothing can be mounted");
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("code 2") && !text.contains("new"), "{text}");
    assert!(
        said(&output).contains("something is mounted there"),
        "{}",
        said(&output)
    );
}

/// A slash at the end of DST is a directory that SRC goes into; one at the end of SRC is its content.
#[test]
fn a_slash_at_the_end_is_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    files(&dir.path().join("tree"), 1);
    fs::write(dir.path().join("file"), "content").unwrap();
    fs::write(dir.path().join("other"), "other").unwrap();
    for (source, destination, made) in [
        ("file", "new/", "new/file"),
        ("file", "new/", "new/file"),
        ("tree", "new/", "new/tree/0"),
        ("tree", "newer/", "newer/tree/0"),
        ("tree/", "newest/", "newest/0"),
        ("tree/", "plain", "plain/0"),
        ("tree", "plainer", "plainer/0"),
        ("tree", "plainer", "plainer/0"),
    ] {
        let output = copy(
            "auto",
            &dir.path().join(source),
            &dir.path().join(destination),
            &["--verify"],
        );
        assert_exit(&output, 0);
        assert!(dir.path().join(made).is_file(), "{source} {destination}");
    }
    assert!(!dir.path().join("plainer/tree").exists());
    for (source, destination) in [("file", "other/"), ("tree", "other/"), ("file", "no/such/")] {
        let output = copy(
            "auto",
            &dir.path().join(source),
            &dir.path().join(destination),
            &[],
        );
        assert_exit(&output, 1);
    }
    assert_eq!(fs::read(dir.path().join("other")).unwrap(), b"other");
}

/// Without /proc, directories and FIFOs get their modes all the same.
#[test]
fn modes_arrive_without_proc() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    files(&source, 2);
    fs::create_dir(source.join("inner")).unwrap();
    fs::set_permissions(source.join("inner"), fs::Permissions::from_mode(0o751)).unwrap();
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o640);
    nix::unistd::mkfifo(&source.join("fifo"), mode).unwrap();
    let line = "unshare -m sh -c 'mount -t tmpfs tmpfs /proc || exit 77; exec $T copy --quiet source copy'";
    let output = shell(line, dir.path());
    if output.status.code() == Some(77) || said(&output).contains("unshare") {
        return println!("skip: modes_arrive_without_proc: {}", said(&output));
    }
    assert_exit(&output, 0);
    assert_same(&source, &dir.path().join("copy"));
}

/// Where a directory lets nothing be renamed or removed, what is left in it is named.
#[test]
fn what_cannot_be_removed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "content").unwrap();
    let line = "mkdir append && chattr +a append || exit 77
        $T copy file append; echo code $?; ls -A append; chattr -a append";
    let output = shell(line, dir.path());
    if output.status.code() == Some(77) {
        return println!("skip: what_cannot_be_removed_is_named: {}", said(&output));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("code 2"), "{text}");
    let left = leftovers(&dir.path().join("append"));
    assert_eq!(left.len(), 1);
    for path in left {
        assert!(
            said(&output).contains(path.to_str().unwrap()),
            "{}",
            said(&output)
        );
    }
}

/// Few descriptors, or few threads, are fewer files at a time, and no errors; where there are too few to begin with,
/// the cause is named.
#[test]
fn limits_make_it_slower_and_not_worse() {
    let dir = tempfile::tempdir().unwrap();
    files(&dir.path().join("source"), 100);
    for limit in [28, 32, 64] {
        let line = format!("ulimit -n {limit}; exec $T copy --quiet source copy-{limit}");
        assert_exit(&shell(&line, dir.path()), 0);
        assert_same(
            &dir.path().join("source"),
            &dir.path().join(format!("copy-{limit}")),
        );
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_tidegate"), dir.path().join("tidegate")).unwrap();
    for limit in [1, 2, 4, 6, 8, 10, 12, 16, 32] {
        let line = format!(
            "umask 0; exec setpriv --reuid 65531 --regid 65531 --clear-groups prlimit --nproc={limit} ./tidegate copy source few-{limit}"
        );
        let output = shell(&line, dir.path());
        let text = said(&output);
        if text.contains("setpriv") || text.contains("not found") {
            return println!("skip: limits_make_it_slower_and_not_worse: {text}");
        }
        match output.status.code() {
            Some(0) => assert_eq!(paths(&dir.path().join(format!("few-{limit}"))).len(), 100),
            Some(1 | 2) => assert!(text.contains("ulimit -u") && limit < 16, "{limit}: {text}"),
            other => panic!("{limit}: {other:?} {text}"),
        }
    }
}

/// Names that differ only in bytes that are no text are told apart in JSON.
#[test]
fn names_that_are_no_text_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join(OsStr::from_bytes(b"source \xfe"));
    fs::create_dir(&source).unwrap();
    let names = [&b"s\xfe"[..], b"s\xff"].map(OsStr::from_bytes);
    let _sockets =
        names.map(|name| std::os::unix::net::UnixListener::bind(source.join(name)).unwrap());
    let output = copy("auto", &source, &dir.path().join("copy"), &["--json"]);
    assert_exit(&output, 2);
    let summary = json(&output);
    let bytes = |value: &serde_json::Value| -> PathBuf {
        let bytes: Vec<u8> = serde_json::from_value(value.clone()).unwrap();
        OsStr::from_bytes(&bytes).into()
    };
    assert_eq!(bytes(&summary["source_bytes"]), source);
    assert!(summary["destination_bytes"].is_null());
    let mut told: Vec<_> = summary["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| bytes(&error["path_bytes"]))
        .collect();
    told.sort();
    assert_eq!(told, names.map(|name| source.join(name)));
}

/// A filesystem that keeps times in whole seconds has the times that it was given, as far as it can.
#[test]
fn coarse_times_are_verified() {
    let dir = tempfile::tempdir().unwrap();
    files(&dir.path().join("source"), 2);
    let line = "truncate -s 8M image && mkfs.ext4 -q -I 128 image && mkdir old && mount -o loop image old || exit 77
        $T copy --verify source old/copy; code=$?
        $T copy --update --json source old/copy >again; umount old; exit $code";
    let output = shell(line, dir.path());
    if output.status.code() == Some(77) {
        return println!("skip: coarse_times_are_verified: {}", said(&output));
    }
    assert_exit(&output, 0);
    let again: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.path().join("again")).unwrap()).unwrap();
    assert_eq!(again["skipped"], 2);
    assert!(
        fs::metadata(dir.path().join("source/0"))
            .unwrap()
            .mtime_nsec()
            != 0
    );
}

/// Access lists that a filesystem shows by names of its own, too, are the lists that they are: a copy onto it is the same.
#[test]
fn lists_of_xfs_are_the_same_there() {
    let dir = tempfile::tempdir().unwrap();
    files(&dir.path().join("source"), 2);
    let line = "setfacl -m u:1234:rw source/1 source && truncate -s 512M image && mkfs.xfs -q image && mkdir xfs && mount -o loop image xfs || exit 77
        $T copy --verify source xfs/copy && $T copy --verify xfs/copy back && $T copy --resume --json source xfs/copy >again
        code=$?; umount xfs; exit $code";
    let output = shell(line, dir.path());
    if output.status.code() == Some(77) {
        return println!("skip: lists_of_xfs_are_the_same_there: {}", said(&output));
    }
    assert_exit(&output, 0);
    let again: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.path().join("again")).unwrap()).unwrap();
    assert_eq!(again["skipped"], 2, "{again}");
    assert_same(&dir.path().join("source"), &dir.path().join("back"));
}

/// Where nothing can be made, nothing is said to be left behind.
#[test]
fn what_was_never_made_is_not_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    files(&dir.path().join("source"), 3);
    let line = "mkdir sealed && chattr +i sealed || exit 77
        $T copy source/0 sealed; one=$?; $T copy source sealed; code=$?; chattr -i sealed; [ $one = 2 ] && exit $code";
    let output = shell(line, dir.path());
    if output.status.code() == Some(77) {
        return println!(
            "skip: what_was_never_made_is_not_left_behind: {}",
            said(&output)
        );
    }
    assert_exit(&output, 2);
    assert!(!said(&output).contains("left behind"), "{}", said(&output));
}

/// What stays under a temporary name beside its right one is named, and is no success.
#[test]
fn a_name_too_many_is_named() {
    let dir = tempfile::tempdir().unwrap();
    files(&dir.path().join("source"), 1);
    let line = "mkdir append && chattr +a append || exit 77
        $T copy --no-clobber source/0 append; code=$?; chattr -a append; exit $code";
    let output = shell(line, dir.path());
    if output.status.code() == Some(77) {
        return println!("skip: a_name_too_many_is_named: {}", said(&output));
    }
    assert_exit(&output, 2);
    let left = leftovers(&dir.path().join("append"));
    assert!(dir.path().join("append/0").is_file() && left.len() <= 1);
    for path in left {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(said(&output).contains(&name), "{}", said(&output));
    }
}
