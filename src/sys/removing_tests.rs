//! Trees are removed as std removes them, however deep, and nothing else is, whoever moves things about meanwhile.
#![allow(clippy::disallowed_methods, reason = "tests make and look at trees")]

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::*;

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_path_buf();
    (dir, path)
}

/// Directories in each other, deeper than any path reaches, with a file in each.
fn make_deep(root: &Path, depth: usize) {
    let mut at: OwnedFd = fs::File::open(root).unwrap().into();
    for _ in 0..depth {
        nix::sys::stat::mkdirat(at.as_fd(), c"d", Mode::S_IRWXU).unwrap();
        let flags = OFlag::O_CREAT | OFlag::O_WRONLY;
        drop(openat(at.as_fd(), c"file", flags, Mode::S_IRUSR).unwrap());
        at = open(at.as_fd(), c"d").unwrap();
    }
}

/// On a thread with little stack.
fn with_little_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let builder = std::thread::Builder::new().stack_size(96 << 10);
    builder.spawn(work).unwrap().join().unwrap()
}

#[test]
fn a_tree_is_removed_however_deep_it_is() {
    let (_dir, root) = place();
    fs::create_dir(root.join("tree")).unwrap();
    make_deep(&root.join("tree"), 10_000);
    let tree = root.join("tree");
    with_little_stack(move || remove_dir_all(&tree, &Steps::default()).unwrap());
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
}

/// Few are open at a time; those that are opened again go on with what is left.
#[test]
fn few_directories_are_open_at_a_time() {
    let (_dir, root) = place();
    for a in 0..3 {
        for b in 0..3 {
            let branch = root.join(format!("tree/{a}/{b}"));
            fs::create_dir_all(&branch).unwrap();
            make_deep(&branch, REMOVED_DIRS_OPEN * 3);
        }
    }
    let path = crate::sys::path::c_path(&root.join("tree")).unwrap();
    let mut removal = Removal::begin(path).unwrap();
    while !removal.step().unwrap() {
        let open = removal.levels.iter().filter(|level| level.list.is_some());
        assert!(open.count() <= REMOVED_DIRS_OPEN);
    }
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
}

/// What is moved out of the tree below or above where the removal is takes nothing of its new place with it.
#[test]
fn what_leaves_the_tree_meanwhile_leads_nowhere_else() {
    for moved_at in [1, 5, REMOVED_DIRS_OPEN, REMOVED_DIRS_OPEN * 2 - 3] {
        let (_dir, root) = place();
        fs::create_dir_all(root.join("tree")).unwrap();
        fs::create_dir_all(root.join("kept/d")).unwrap();
        fs::write(root.join("kept/d/file"), "kept").unwrap();
        make_deep(&root.join("tree"), REMOVED_DIRS_OPEN * 2);
        let path = crate::sys::path::c_path(&root.join("tree")).unwrap();
        let mut removal = Removal::begin(path).unwrap();
        while removal.levels.len() < REMOVED_DIRS_OPEN * 2 {
            assert!(!removal.step().unwrap());
        }
        let inner = root.join("tree").join("d/".repeat(moved_at));
        fs::rename(inner, root.join("kept/moved")).unwrap();
        while !removal.step().unwrap() {}
        assert!(!root.join("tree").exists(), "moved at {moved_at}");
        assert_eq!(fs::read(root.join("kept/d/file")).unwrap(), b"kept");
    }
}

/// A tree that is moved away itself is an error, and what takes its place stays.
#[test]
fn a_tree_that_is_replaced_is_an_error() {
    let (_dir, root) = place();
    fs::create_dir_all(root.join("tree")).unwrap();
    make_deep(&root.join("tree"), REMOVED_DIRS_OPEN * 2);
    let path = crate::sys::path::c_path(&root.join("tree")).unwrap();
    let mut removal = Removal::begin(path).unwrap();
    while removal.levels.len() < REMOVED_DIRS_OPEN * 2 {
        assert!(!removal.step().unwrap());
    }
    fs::create_dir(root.join("other")).unwrap();
    let inner = root.join("tree/d/d/d");
    fs::rename(inner, root.join("other/moved")).unwrap();
    fs::rename(root.join("tree"), root.join("other/tree")).unwrap();
    fs::create_dir(root.join("tree")).unwrap();
    fs::write(root.join("tree/file"), "new").unwrap();
    let ended = loop {
        match removal.step() {
            Ok(false) => {}
            other => break other,
        }
    };
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(fs::read(root.join("tree/file")).unwrap(), b"new");
}

/// A directory that turns into a link and back all the time: what it leads to stays.
#[test]
fn a_link_that_is_put_there_meanwhile_is_not_followed() {
    let (_dir, root) = place();
    fs::create_dir(root.join("kept")).unwrap();
    fs::write(root.join("kept/file"), "kept").unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (name, aside) = (root.join("tree/swapped"), root.join("aside"));
            while !over.load(Ordering::Relaxed) {
                let _ = fs::create_dir(&name);
                let _ = fs::rename(&name, &aside);
                let _ = symlink("../kept", &name);
                let _ = fs::remove_file(&name);
                let _ = fs::remove_dir(&aside);
            }
        });
        for _ in 0..300 {
            fs::create_dir_all(root.join("tree/swapped")).unwrap_or_default();
            let _ = remove_dir_all(&root.join("tree"), &Steps::default());
            assert_eq!(fs::read(root.join("kept/file")).unwrap(), b"kept");
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// Random trees, and paths of every kind: the same result, the same number, the same left over.
#[test]
fn std_does_the_same() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = seed;
    let mut below = move |most: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % most
    };
    for _ in 0..30 {
        let (_dir, root) = place();
        let mut dirs = vec![PathBuf::from("tree")];
        let mut plan = Vec::new();
        for number in 0..below(60) {
            let parent = dirs[below(dirs.len() as u64) as usize].clone();
            let path = parent.join(format!("{number}"));
            let what = below(5);
            if what < 2 {
                dirs.push(path.clone());
            }
            plan.push((what, path));
        }
        let outcomes = ["ours", "theirs"].map(|side| {
            let root = root.join(side);
            fs::create_dir_all(root.join("tree")).unwrap();
            fs::write(root.join("kept"), "kept").unwrap();
            for (what, path) in &plan {
                let path = root.join(path);
                match what {
                    0 | 1 => fs::create_dir(path).unwrap(),
                    2 => fs::write(path, "x").unwrap(),
                    3 => symlink(&root, path).unwrap(),
                    _ => nix::unistd::mkfifo(&path, Mode::S_IRUSR).unwrap(),
                }
            }
            let mut said = Vec::new();
            for name in [
                "", "none", "kept", "kept/", "tree/..", "tree/.", "tree/0", "tree/", "tree", "a\0b",
            ] {
                let path = if name.is_empty() {
                    PathBuf::new()
                } else {
                    root.join(name)
                };
                let result = match side {
                    "ours" => remove_dir_all(&path, &Steps::default()),
                    _ => fs::remove_dir_all(&path),
                };
                let result = result.map_err(|error| (error.raw_os_error(), error.kind()));
                said.push((
                    name,
                    result,
                    root.join("tree").exists(),
                    root.join("kept").exists(),
                ));
                fs::create_dir_all(root.join("tree")).unwrap();
                if !root.join("kept").exists() {
                    fs::write(root.join("kept"), "kept").unwrap();
                }
            }
            said
        });
        assert_eq!(outcomes[0], outcomes[1]);
    }
}

/// Between two entries it is stopped, and what is left is left.
#[test]
fn it_stops_when_nobody_wants_it() {
    let (_dir, root) = place();
    for number in 0..100 {
        fs::create_dir_all(root.join(format!("tree/{number}"))).unwrap();
    }
    let steps = Steps::default();
    steps.stop();
    let error = remove_dir_all(&root.join("tree"), &steps).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    assert!(fs::read_dir(root.join("tree")).unwrap().count() >= 99);
}
