//! A copy is compared with its source: each kind of damage is found, and named by its path.

use std::fs as std_fs;
use std::fs::{FileTimes, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::{all, run};

/// Larger than what is read in one piece.
const LARGE_BYTES: usize = 3 << 20;

fn make(root: &Path) {
    std_fs::create_dir_all(root.join("directory")).unwrap();
    std_fs::write(root.join("directory/small"), b"small").unwrap();
    std_fs::write(root.join("large"), vec![5; LARGE_BYTES]).unwrap();
    std_fs::hard_link(root.join("large"), root.join("large too")).unwrap();
    symlink("target", root.join("link")).unwrap();
    for name in ["directory/small", "large", "directory", ""] {
        set_time(&root.join(name));
    }
}

fn set_time(path: &Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    std_fs::File::open(path)
        .unwrap()
        .set_times(FileTimes::new().set_modified(time))
        .unwrap();
}

/// Compares two fresh trees, one of them damaged; returns what was reported.
fn damaged(damage: impl FnOnce(&Path)) -> Vec<(String, String)> {
    let dir = tempfile::tempdir().unwrap();
    let (source, destination) = (dir.path().join("source"), dir.path().join("destination"));
    make(&source);
    make(&destination);
    let link_time = std_fs::symlink_metadata(source.join("link")).unwrap();
    let link_time =
        nix::sys::time::TimeSpec::new(link_time.mtime() as _, link_time.mtime_nsec() as _);
    let no_follow = nix::sys::stat::UtimensatFlags::NoFollowSymlink;
    damage(&destination);
    let link = destination.join("link");
    nix::sys::stat::utimensat(
        nix::fcntl::AT_FDCWD,
        &link,
        &link_time,
        &link_time,
        no_follow,
    )
    .unwrap();
    let before = crate::paths(&destination);
    let outcome = run(all(&source, &destination).verify(true));
    assert_eq!(crate::paths(&destination), before);
    assert!(outcome.copied.is_empty());
    assert_eq!(outcome.verified.len() + outcome.failed.len(), 6);
    let named = |path: &Path| {
        let path = path.strip_prefix(&source).unwrap();
        path.to_string_lossy().into_owned()
    };
    let failed = outcome.failed.iter();
    failed
        .map(|failed| {
            assert_eq!(failed.operation, "verify");
            (named(&failed.path), failed.error.to_string())
        })
        .collect()
}

#[track_caller]
fn assert_found(found: &[(String, String)], path: &str, reason: &str) {
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, path);
    assert!(found[0].1.contains(reason), "{found:?}");
}

/// Trees that are the same are found to be the same.
#[test]
fn the_same_is_the_same() {
    assert!(damaged(|_| ()).is_empty());
}

/// One byte that differs, in a file of the same size and time, is found in small and in large files.
#[test]
fn one_flipped_byte_is_found() {
    let flip = |path: std::path::PathBuf, at: u64| {
        std_fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all_at(b"X", at)
            .unwrap();
        set_time(&path);
    };
    assert_found(
        &damaged(|root| flip(root.join("directory/small"), 2)),
        "directory/small",
        "content",
    );
    let found = damaged(|root| flip(root.join("large"), LARGE_BYTES as u64 - 1));
    assert_eq!(found.len(), 2, "both names: {found:?}");
    assert!(
        found.iter().all(|(_, reason)| reason.contains("content")),
        "{found:?}"
    );
}

/// Everything else that a copy carries over is compared too.
#[test]
fn other_damage_is_found() {
    let cut = |root: &Path| {
        std_fs::OpenOptions::new()
            .write(true)
            .open(root.join("directory/small"))
            .unwrap()
            .set_len(1)
            .unwrap();
    };
    assert_found(&damaged(cut), "directory/small", "5 bytes, 1 in the copy");
    let mode = |root: &Path| {
        std_fs::set_permissions(root.join("directory/small"), Permissions::from_mode(0o600))
            .unwrap()
    };
    assert_found(&damaged(mode), "directory/small", "mode");
    let time = |root: &Path| {
        std_fs::File::open(root.join("directory/small"))
            .unwrap()
            .set_modified(SystemTime::now())
            .unwrap();
    };
    assert_found(&damaged(time), "directory/small", "time");
    let gone = |root: &Path| {
        std_fs::remove_file(root.join("directory/small")).unwrap();
        set_time(&root.join("directory"));
    };
    assert_found(&damaged(gone), "directory/small", "No such file");
    let link = |root: &Path| {
        std_fs::remove_file(root.join("link")).unwrap();
        symlink("elsewhere", root.join("link")).unwrap();
        set_time(root);
    };
    assert_found(&damaged(link), "link", "elsewhere");
    let twins = |root: &Path| {
        std_fs::remove_file(root.join("large too")).unwrap();
        std_fs::copy(root.join("large"), root.join("large too")).unwrap();
        set_time(&root.join("large too"));
        set_time(root);
    };
    let found = damaged(twins);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.contains("two files"), "{found:?}");
}

/// A directory of the copy that is swapped for a link, or back, is never taken for the same because of what the link leads
/// to.
#[test]
fn a_swap_does_not_mislead_a_comparison() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (root, text) in [("from", "right"), ("elsewhere", "right"), ("to", "wrong")] {
        std_fs::create_dir_all(at(root).join("a")).unwrap();
        for number in 0..40 {
            std_fs::write(at(root).join(format!("a/{number}")), text).unwrap();
        }
    }
    symlink(at("elsewhere/a"), at("link")).unwrap();
    let mut rounds = 0;
    let times = crate::races::race(&[(at("to/a"), at("link"))], || {
        let compared = tidegate::fs::CopyTree::new(at("from"), at("to")).verify(true);
        let outcome = run(compared);
        let files = outcome
            .verified
            .iter()
            .filter(|path| path.starts_with(at("from/a")));
        assert_eq!(files.filter(|path| **path != at("from/a")).count(), 0);
        assert!(!outcome.failed.is_empty());
        rounds += 1;
    });
    println!("{rounds} comparisons, {times} exchanges");
}
