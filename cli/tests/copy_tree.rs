//! `tidegate copy` carries over all that a tree has.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use common::{
    BACKENDS, assert_exit, assert_same, can_run, copy, json, leftovers, make_tree, paths,
};

/// Everything in a tree arrives: bytes, modes, times, attributes, links, FIFOs, holes, names of any bytes.
#[test]
fn everything_arrives() {
    for backend in BACKENDS {
        if !can_run("everything_arrives", backend) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let (source, destination) = (dir.path().join("source"), dir.path().join("destination"));
        fs::create_dir(&source).unwrap();
        if !make_tree(&source) {
            println!(
                "skip: everything_arrives: the filesystem has no user attributes; the rest was tested"
            );
        }
        let output = copy(backend, &source, &destination, &["--verify", "--json"]);
        assert_exit(&output, 0);
        assert_same(&source, &destination);
        assert!(leftovers(&destination).is_empty());
        let summary = json(&output);
        assert_eq!(summary["files"], 306);
        assert_eq!(summary["symlinks"], 3);
        assert_eq!(summary["hard_links"], 2);
        assert_eq!(summary["fifos"], 1);
        assert_eq!(summary["directories"], 6);
        assert_eq!(summary["verified"]["entries"], 306 + 3 + 2 + 1 + 6);
        assert_eq!(summary["errors"].as_array().unwrap().len(), 0);
        assert!(summary["data_bytes"].as_u64() < summary["bytes"].as_u64());
    }
}

/// A second copy over the first replaces what is there, and keeps what only the destination has.
#[test]
fn copying_again_replaces_and_keeps() {
    for backend in BACKENDS {
        if !can_run("copying_again_replaces_and_keeps", backend) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let (source, destination) = (dir.path().join("source"), dir.path().join("destination"));
        fs::create_dir(&source).unwrap();
        make_tree(&source);
        assert_exit(&copy(backend, &source, &destination, &[]), 0);
        fs::remove_file(destination.join("link")).unwrap();
        fs::write(destination.join("link"), b"in the way").unwrap();
        fs::write(destination.join("large"), b"only here").unwrap();
        fs::write(source.join("deep/7"), b"another content").unwrap();
        assert_exit(&copy(backend, &source, &destination, &["--verify"]), 0);
        assert!(leftovers(&destination).is_empty());
        assert_eq!(fs::read(destination.join("large")).unwrap(), b"only here");
        fs::remove_file(destination.join("large")).unwrap();
        let times = fs::metadata(&source).unwrap().modified().unwrap();
        fs::File::open(&destination)
            .unwrap()
            .set_modified(times)
            .unwrap();
        assert_same(&source, &destination);
    }
}

/// A file goes to the name it is given, or into the directory it is given; a FIFO does too.
#[test]
fn a_single_file_is_copied() {
    for backend in BACKENDS {
        if !can_run("a_single_file_is_copied", backend) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, b"content").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o751)).unwrap();
        assert_exit(
            &copy(backend, &file, &dir.path().join("copied"), &["--verify"]),
            0,
        );
        assert_eq!(fs::read(dir.path().join("copied")).unwrap(), b"content");
        assert_eq!(
            fs::metadata(dir.path().join("copied")).unwrap().mode() & 0o7777,
            0o751
        );
        fs::create_dir(dir.path().join("directory")).unwrap();
        assert_exit(&copy(backend, &file, &dir.path().join("directory"), &[]), 0);
        assert_eq!(
            fs::read(dir.path().join("directory/file")).unwrap(),
            b"content"
        );
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o620)).unwrap();
        assert_exit(
            &copy(backend, &fifo, &dir.path().join("fifo too"), &["--verify"]),
            0,
        );
        let mode = |name| fs::symlink_metadata(dir.path().join(name)).unwrap().mode();
        assert_eq!(mode("fifo too"), mode("fifo"));
    }
}

/// A tree that is deeper than any stack would like, as far as paths go, is copied.
#[test]
fn a_deep_tree_is_copied() {
    for backend in BACKENDS {
        if !can_run("a_deep_tree_is_copied", backend) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let (source, destination) = (dir.path().join("s"), dir.path().join("d"));
        let deepest = "deep/".repeat((4000 - source.as_os_str().len()) / 5);
        fs::create_dir_all(source.join(&deepest)).unwrap();
        fs::write(source.join(&deepest).join("file"), b"deep").unwrap();
        assert_exit(&copy(backend, &source, &destination, &["--verify"]), 0);
        assert_eq!(paths(&source).len(), paths(&destination).len());
        assert_eq!(
            fs::read(destination.join(&deepest).join("file")).unwrap(),
            b"deep"
        );
    }
}

/// Access control lists arrive, and none that the destination's parent would hand down stays.
#[test]
fn access_control_lists_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("listed"), b"").unwrap();
    fs::write(source.join("plain"), b"").unwrap();
    let set = |arguments: &[&str], path: &Path| {
        std::process::Command::new("setfacl")
            .args(arguments)
            .arg(path)
            .status()
            .is_ok_and(|status| status.success())
    };
    let parent = dir.path().join("parent");
    fs::create_dir(&parent).unwrap();
    if !set(&["-m", "u:12345:r"], &source.join("listed"))
        || !set(&["-d", "-m", "u:12345:rwx"], &parent)
    {
        println!("skip: access_control_lists_arrive: setfacl or the filesystem cannot");
        return;
    }
    for backend in BACKENDS {
        if !can_run("access_control_lists_arrive", backend) {
            continue;
        }
        let destination = parent.join(backend);
        assert_exit(&copy(backend, &source, &destination, &["--verify"]), 0);
        assert_same(&source, &destination);
    }
}

/// Files that say they are empty and are not, as those of procfs, are copied to their end.
#[cfg(target_os = "linux")]
#[test]
fn a_file_of_procfs_is_copied() {
    for backend in BACKENDS {
        if !can_run("a_file_of_procfs_is_copied", backend) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let copied = dir.path().join("filesystems");
        assert_exit(
            &copy(backend, Path::new("/proc/filesystems"), &copied, &[]),
            0,
        );
        assert_eq!(
            fs::read(&copied).unwrap(),
            fs::read("/proc/filesystems").unwrap()
        );
    }
}
