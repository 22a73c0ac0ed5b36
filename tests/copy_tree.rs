//! Copies of trees by open directories: all kinds of entries, changes on both sides meanwhile, and what they lead to.
#![cfg(target_os = "linux")]

#[path = "copy_tree/races.rs"]
mod races;
#[path = "copy_tree/resume.rs"]
mod resume;
#[path = "copy_tree/rights.rs"]
mod rights;
#[path = "copy_tree/verify.rs"]
mod verify;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::stat::Mode;
use tidegate::fs::{CopyTree, Preserve, TreeError, TreeEvent, TreeKind};

/// What a copy has told.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) copied: BTreeMap<PathBuf, TreeKind>,
    pub(crate) failed: Vec<TreeError>,
    pub(crate) kept: Vec<PathBuf>,
    pub(crate) planned: Vec<PathBuf>,
    pub(crate) verified: Vec<PathBuf>,
}

/// All metadata that the user may carry over.
pub(crate) fn all(from: &Path, to: &Path) -> CopyTree {
    CopyTree::new(from, to).preserve(Preserve {
        owner: nix::unistd::geteuid().is_root(),
        times: true,
        xattrs: true,
    })
}

pub(crate) fn run(copy: CopyTree) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut outcome = Outcome::default();
        let mut copying = copy.start();
        while let Some(event) = copying.next_event().await {
            match event {
                TreeEvent::Copied(copied) => {
                    assert!(copied.warnings.is_empty(), "{copied:?}");
                    let before = outcome.copied.insert(copied.path.clone(), copied.kind);
                    assert!(before.is_none(), "told twice: {copied:?}");
                }
                TreeEvent::Failed(error) => outcome.failed.push(error),
                TreeEvent::Kept(path) => outcome.kept.push(path),
                TreeEvent::Planned(path) => outcome.planned.push(path),
                TreeEvent::Verified(same) => outcome.verified.push(same.path),
                other => panic!("{other:?}"),
            }
        }
        outcome
    })
}

/// A tree with every kind of entry that can be copied.
pub(crate) fn everything(root: &Path) {
    fs::create_dir_all(root.join("deep/er/est")).unwrap();
    for number in 0..300 {
        fs::write(
            root.join(format!("deep/file-{number}")),
            vec![number as u8; number],
        )
        .unwrap();
    }
    fs::write(root.join("large"), vec![7; 3 << 20]).unwrap();
    fs::write(root.join("deep/er/name"), "shared").unwrap();
    fs::hard_link(root.join("deep/er/name"), root.join("deep/er/est/same")).unwrap();
    fs::hard_link(root.join("deep/er/name"), root.join("again")).unwrap();
    symlink("deep/er", root.join("link")).unwrap();
    symlink("/no/such/target", root.join("deep/dangling")).unwrap();
    nix::unistd::mkfifo(&root.join("fifo"), Mode::from_bits_truncate(0o640)).unwrap();
    fs::set_permissions(root.join("fifo"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(root.join("deep/er"), fs::Permissions::from_mode(0o2751)).unwrap();
    fs::set_permissions(root.join("large"), fs::Permissions::from_mode(0o604)).unwrap();
}

pub(crate) fn paths(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                left.push(path.clone());
            }
            found.push(path.strip_prefix(root).unwrap().to_path_buf());
        }
    }
    found.sort();
    found
}

pub(crate) fn assert_same(from: &Path, to: &Path) {
    assert_eq!(paths(from), paths(to));
    let mut twins = BTreeMap::new();
    for path in paths(from).into_iter().chain([PathBuf::new()]) {
        let (a, b) = (from.join(&path), to.join(&path));
        let (x, y) = (a.symlink_metadata().unwrap(), b.symlink_metadata().unwrap());
        assert_eq!(
            (x.mode(), x.uid(), x.gid()),
            (y.mode(), y.uid(), y.gid()),
            "{path:?}"
        );
        assert_eq!(
            (x.mtime(), x.mtime_nsec()),
            (y.mtime(), y.mtime_nsec()),
            "{path:?}"
        );
        assert_eq!(
            *twins.entry(x.ino()).or_insert(y.ino()),
            y.ino(),
            "{path:?}"
        );
        if x.is_file() {
            assert!(fs::read(a).unwrap() == fs::read(b).unwrap(), "{path:?}");
        } else if x.is_symlink() {
            assert_eq!(fs::read_link(a).unwrap(), fs::read_link(b).unwrap());
        }
    }
}

/// Every kind of entry arrives with its metadata, each is told once, and a second copy over the first is the same.
#[test]
fn every_kind_of_entry_is_copied_with_its_metadata() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    everything(&from);
    for _ in 0..3 {
        let outcome = run(all(&from, &to));
        assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
        assert_same(&from, &to);
        assert_eq!(outcome.copied.len(), paths(&from).len() + 1);
        let linked = outcome
            .copied
            .values()
            .filter(|kind| **kind == TreeKind::HardLink);
        assert_eq!(linked.count(), 2);
    }
}

/// A file, a link and a FIFO are trees of one entry; what is there of another kind is replaced, or named.
#[test]
fn a_single_entry_is_copied_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "text").unwrap();
    symlink("nowhere", at("link")).unwrap();
    nix::unistd::mkfifo(&at("fifo"), Mode::from_bits_truncate(0o600)).unwrap();
    for name in ["file", "link", "fifo"] {
        for _ in 0..2 {
            let outcome = run(all(&at(name), &at(&format!("{name}-copy"))));
            assert_eq!(
                (outcome.copied.len(), outcome.failed.len()),
                (1, 0),
                "{outcome:?}"
            );
        }
        let kind = |path: PathBuf| path.symlink_metadata().unwrap().file_type();
        assert_eq!(kind(at(name)), kind(at(&format!("{name}-copy"))));
    }
    let over_fifo = run(all(&at("file"), &at("fifo")));
    assert_eq!(over_fifo.failed.len(), 1, "{over_fifo:?}");
    assert!(at("fifo").symlink_metadata().unwrap().file_type().is_fifo());
    let over_link = run(all(&at("file"), &at("link")));
    assert!(over_link.failed.is_empty() && at("link").symlink_metadata().unwrap().is_file());
}

/// A link at the destination is replaced where a file goes, is in the way where a directory goes, and is followed
/// nowhere.
#[test]
fn links_at_the_destination_lead_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let outside = dir.path().join("outside");
    fs::create_dir_all(from.join("dir")).unwrap();
    fs::write(from.join("dir/file"), "new").unwrap();
    fs::write(from.join("file"), "new").unwrap();
    fs::create_dir_all(&outside).unwrap();
    fs::create_dir(&to).unwrap();
    fs::write(dir.path().join("target"), "old").unwrap();
    symlink(&outside, to.join("dir")).unwrap();
    symlink(dir.path().join("target"), to.join("file")).unwrap();
    let outcome = run(all(&from, &to));
    assert_eq!(outcome.failed.len(), 1, "{outcome:?}");
    assert_eq!(outcome.failed[0].path, from.join("dir"));
    assert_eq!(outcome.failed[0].operation, "create_dir");
    assert_eq!(fs::read(dir.path().join("target")).unwrap(), b"old");
    assert_eq!(fs::read(to.join("file")).unwrap(), b"new");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

/// A destination in its own source is not copied into itself, by whatever path it is called.
#[test]
fn a_copy_does_not_contain_itself() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fs::create_dir_all(from.join("inner")).unwrap();
    fs::write(from.join("file"), "text").unwrap();
    symlink(&from, dir.path().join("alias")).unwrap();
    let outcome = run(all(&from, &dir.path().join("alias/inner/copy")));
    assert_eq!(outcome.failed.len(), 1, "{outcome:?}");
    assert_eq!(outcome.failed[0].path, from.join("inner/copy"));
    assert!(!from.join("inner/copy/inner/copy").exists());
    let onto_itself = run(all(&from, &from));
    assert_eq!(onto_itself.failed.len(), 1, "{onto_itself:?}");
}

/// What exists stays if it is to, a dry run makes nothing, and what is left out is left out.
#[test]
fn what_is_to_be_kept_or_left_out_is() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    everything(&from);
    let planned = run(all(&from, &to).dry_run(true));
    assert_eq!(planned.planned.len(), paths(&from).len() + 1);
    assert!(!to.exists());
    fs::create_dir(&to).unwrap();
    fs::write(to.join("large"), "mine").unwrap();
    let kept = run(all(&from, &to)
        .keep_existing()
        .exclude(|below| below == Path::new("deep/er")));
    assert_eq!(kept.kept, [from.join("large")]);
    assert_eq!(fs::read(to.join("large")).unwrap(), b"mine");
    assert!(!to.join("deep/er").exists() && to.join("deep/file-9").exists());
}

/// A copy that is stopped ends, and leaves nothing under a temporary name.
#[test]
fn a_stopped_copy_ends_and_leaves_nothing_in_part() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    everything(&from);
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut copying = all(&from, &to).stop(stop.clone()).start();
        while copying.next_event().await.is_some() {
            stop.store(true, Ordering::Relaxed);
        }
    });
    let whole = paths(&to);
    assert!(whole.len() < paths(&from).len());
    for path in whole {
        let (a, b) = (from.join(&path), to.join(&path));
        assert!(
            !b.is_file() || fs::read(a).unwrap() == fs::read(b).unwrap(),
            "{path:?}"
        );
    }
}

/// More directories below each other than descriptors may be open, and than a stack is deep.
#[test]
fn a_deep_tree_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let deep: PathBuf = std::iter::repeat_n("d", 1500).collect();
    fs::create_dir_all(from.join(&deep)).unwrap();
    fs::write(from.join(&deep).join("file"), "text").unwrap();
    let outcome = run(all(&from, &to));
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    assert_same(&from, &to);
}
