//! Walks through what changes, what may not be seen, and what other walkers are asked for as well: with random options,
//! in trees of the system, over mounts.
#![cfg(target_os = "linux")]

mod common;
#[allow(dead_code, reason = "each test file uses its part")]
#[path = "walk/trees.rs"]
mod trees;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use common::child::{in_child_with_own_mounts, in_child_without_privileges};
use common::on_each_route;
use futures::StreamExt;
use tidegate::fs::{FileKind, WalkDir, WalkError, WalkSort};
use trees::{by_walkdir, odd};

/// A generator whose seed is printed, so that a failure can be had again.
fn random() -> fastrand::Rng {
    let seed = match std::env::var("TIDEGATE_TEST_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => fastrand::u64(..),
    };
    println!("TIDEGATE_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

type Kinds = BTreeMap<PathBuf, FileKind>;

async fn kinds(walk: WalkDir) -> (Kinds, Vec<WalkError>) {
    let (mut found, mut errors, mut walk) = (Kinds::new(), Vec::new(), walk.walk());
    while let Some(entry) = walk.next().await {
        match entry {
            Ok(entry) => {
                let before = found.insert(entry.path(), entry.kind());
                assert_eq!(before, None, "twice: {}", entry.path().display());
            }
            Err(error) => errors.push(error),
        }
    }
    (found, errors)
}

/// What `find` finds.
fn by_find(root: &Path, arguments: &[&str]) -> Kinds {
    let mut find = Command::new("find");
    find.arg(root).args(arguments).args(["-printf", "%y%p\\0"]);
    let output = find.output().unwrap();
    let entries = output.stdout.split(|&byte| byte == 0);
    let kind = |letter| match letter {
        b'b' => FileKind::BlockDevice,
        b'c' => FileKind::CharDevice,
        b'd' => FileKind::Directory,
        b'f' => FileKind::File,
        b'l' => FileKind::Symlink,
        b'p' => FileKind::Fifo,
        b's' => FileKind::Socket,
        _ => FileKind::Other,
    };
    let entries = entries.filter(|entry| !entry.is_empty());
    let path = |entry: &[u8]| PathBuf::from(std::ffi::OsString::from_vec(entry[1..].to_vec()));
    entries.map(|entry| (path(entry), kind(entry[0]))).collect()
}

fn has_find(test: &str) -> bool {
    let has = Command::new("find").arg("-version").output().is_ok();
    if !has {
        println!("skip: {test}: find is missing");
    }
    has
}

/// Types and names are those that `find` has: of what it finds before and after, nothing is missing, and what it finds
/// neither time is not told.
#[test]
fn find_finds_the_same() {
    if !has_find("find_finds_the_same") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    odd(dir.path());
    // Processes come and go, and those of a test's own threads.
    let is_process = |path: &Path| {
        let below = path.strip_prefix("/proc").ok();
        let first = below.and_then(|below| below.components().next());
        first.is_some_and(|first| first.as_os_str().as_bytes()[0].is_ascii_digit())
    };
    for root in [
        dir.path(),
        Path::new("/usr"),
        Path::new("/proc"),
        Path::new("/sys"),
    ] {
        // The largest is walked once on each way.
        let ways = if root == Path::new("/usr") { 1 } else { 2 };
        for (asks, same_mount) in [(true, false), (false, true)].into_iter().take(ways) {
            let arguments: &[&str] = if same_mount { &["-xdev"] } else { &[] };
            let before = by_find(root, arguments);
            on_each_route(|_| async {
                let walk = WalkDir::new(root)
                    .metadata(asks)
                    .same_file_system(same_mount);
                let (found, errors) = kinds(walk).await;
                for error in errors {
                    assert!(
                        error.is_soft() || error.kind() == std::io::ErrorKind::InvalidInput,
                        "{error}"
                    );
                }
                let after = by_find(root, arguments);
                let stays = |(path, kind): &(&PathBuf, &FileKind)| {
                    !is_process(path) && before.get(*path) == Some(kind)
                };
                let missing = after.iter().filter(stays);
                let missing = missing.filter(|(path, kind)| found.get(*path) != Some(kind));
                let more = found.iter().filter(|(path, kind)| {
                    let is_theirs = |theirs: &Kinds| theirs.get(*path) == Some(kind);
                    !is_process(path) && !is_theirs(&before) && !is_theirs(&after)
                });
                let others: Vec<_> = missing.chain(more).collect();
                // Devices come and go as well, by the few.
                let changes = root.starts_with("/proc") || root.starts_with("/sys");
                let few = if changes { found.len() / 100 } else { 0 };
                assert!(others.len() <= few, "{others:?}");
            });
        }
    }
}

/// Whatever the depths, the order and the links, what is told is what the crate `walkdir` tells.
#[test]
fn random_options_find_what_others_find() {
    let mut random = random();
    let dir = tempfile::tempdir().unwrap();
    odd(dir.path());
    fs::remove_file(dir.path().join("empty/slash")).unwrap();
    for link in ["self", "one", "two", "dangling"] {
        fs::remove_file(dir.path().join(link)).unwrap();
    }
    let starts = [
        "", "a", "a/b", "a/back", "a/beside", "empty", "fifo", "to_file",
    ];
    for _ in 0..60 {
        let root = dir.path().join(starts[random.usize(..starts.len())]);
        let (low, high) = (random.usize(..5), random.usize(..7));
        let (follow, first, same) = (random.bool(), random.bool(), random.bool());
        let asks = random.bool();
        let sort = [
            WalkSort::Auto,
            WalkSort::Inode,
            WalkSort::Name,
            WalkSort::None,
        ];
        let sort = sort[random.usize(..4)];
        let threads = NonZeroUsize::new(random.usize(1..9)).unwrap();
        // That crate panics, or raises one of the two.
        let low = low.min(high);
        println!(
            "{} {low}..{high} {follow} {first} {same} {asks} {sort:?} {threads}",
            root.display()
        );
        let theirs = walkdir::WalkDir::new(&root).min_depth(low).max_depth(high);
        // That crate loses directories that it kept for later, where the root is not told. What there is, is the same.
        let theirs = theirs
            .follow_links(follow)
            .contents_first(first && low == 0)
            .same_file_system(same);
        let (expected, their_errors) = by_walkdir(theirs);
        let expected: Kinds = expected
            .into_iter()
            .map(|(path, told)| (path, told.0))
            .collect();
        on_each_route(|_| async {
            let walk = WalkDir::new(&root)
                .min_depth(low)
                .max_depth(high)
                .sort(sort);
            let walk = walk
                .follow_links(follow)
                .contents_first(first)
                .same_file_system(same);
            let (found, errors) = kinds(walk.metadata(asks).threads(threads)).await;
            assert_eq!(found, expected);
            assert_eq!(errors.len(), their_errors, "{errors:?}");
        });
    }
}

/// Directories with and without each permission, at two depths.
fn holes(root: &Path) {
    for (name, mode) in [
        ("open", 0o755),
        ("listed", 0o444),
        ("searched", 0o111),
        ("shut", 0),
    ] {
        for at in ["", "below"] {
            let path = root.join(at).join(name);
            fs::create_dir_all(path.join("in")).unwrap();
            fs::write(path.join("file"), "text").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

/// As somebody who may not see everything: what may not be listed, what may be listed and not looked at, and what may
/// be looked at and not listed, each is told once, and all else is found.
#[test]
fn what_may_not_be_seen_is_told() {
    in_child_without_privileges("what_may_not_be_seen_is_told", || {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        holes(root);
        on_each_route(|_| async {
            for (asks, sort) in [
                (true, WalkSort::Auto),
                (false, WalkSort::Name),
                (true, WalkSort::None),
            ] {
                for same_mount in [false, true] {
                    let theirs = walkdir::WalkDir::new(root).into_iter();
                    let theirs: BTreeSet<_> =
                        theirs.flatten().map(|entry| entry.into_path()).collect();
                    let walk = WalkDir::new(root).metadata(asks).sort(sort);
                    let mut walk = walk.same_file_system(same_mount).walk();
                    let (mut found, mut lost) = (BTreeSet::new(), BTreeSet::new());
                    while let Some(entry) = walk.next().await {
                        let error = match entry {
                            Ok(entry) => {
                                assert!(found.insert(entry.path()));
                                continue;
                            }
                            Err(error) => error,
                        };
                        assert!(error.is_soft() && !error.is_fatal(), "{error}");
                        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
                        let is_dir = error.path().file_name() != Some(OsStr::new("file"));
                        assert!(is_dir || !error.is_directory_lost());
                        assert!(lost.insert(error.path().to_path_buf()), "twice: {error}");
                    }
                    // Nothing is passed over in silence: what others name is told, one way or the other.
                    let told: BTreeSet<_> = found.union(&lost).cloned().collect();
                    assert!(theirs.is_subset(&told), "{:?}", theirs.difference(&told));
                    let shut = ["searched", "shut", "below/searched", "below/shut"];
                    for path in shut.map(|name| root.join(name)) {
                        assert!(found.contains(&path) && lost.contains(&path), "{path:?}");
                    }
                    let inside = root.join("listed/in");
                    assert!(lost.contains(&inside), "{lost:?}");
                    assert_eq!(walk.stats().errors, lost.len() as u64);
                    assert!(walk.stats().lost_directories >= 4);
                }
            }
            a_root_that_is_shut(&root.join("shut")).await;
        });
        for name in [
            "listed",
            "searched",
            "shut",
            "below/listed",
            "below/searched",
            "below/shut",
        ] {
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
    });
}

/// A root that may not be listed is no empty tree, and nothing comes after what says so, in whatever order.
async fn a_root_that_is_shut(root: &Path) {
    for (contents_first, sort) in [
        (false, WalkSort::Auto),
        (true, WalkSort::Auto),
        (false, WalkSort::Name),
        (true, WalkSort::Name),
    ] {
        let walk = WalkDir::new(root).contents_first(contents_first).sort(sort);
        let mut walk = walk.walk();
        assert_eq!(walk.next().await.unwrap().unwrap().depth(), 0);
        let error = walk.next().await.unwrap().unwrap_err();
        assert!(error.is_fatal() && error.is_directory_lost(), "{error}");
        assert!(walk.next().await.is_none());
    }
}

/// One that renames, removes, makes, and puts links where directories were.
fn disturb(root: &Path, outside: &Path, seed: u64, stop: &AtomicBool) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let mut pick = || root.join(format!("{}/{}", random.u8(..8), random.u8(..8)));
        let (one, two) = (pick(), pick());
        let aside = root.join(format!("aside-{seed}-{number}"));
        // Whatever fails, another was faster.
        let _ = match random.u8(..6) {
            0 => fs::rename(&one, &two),
            1 => fs::rename(&one, &aside).and_then(|()| symlink(outside, &one)),
            2 => fs::remove_file(&one).and_then(|()| fs::create_dir(&one)),
            3 => fs::remove_dir_all(&one),
            4 => fs::create_dir_all(one.join("deeper"))
                .and_then(|()| fs::write(one.join("deeper/file"), "")),
            _ => fs::rename(one.parent().unwrap(), &aside)
                .and_then(|()| fs::rename(&aside, one.parent().unwrap())),
        };
        let _ = fs::remove_file(&aside).or_else(|_| fs::remove_dir_all(&aside));
    }
}

/// Directories vanish, move and turn into links that lead out of the tree, while it is walked. What stays is found,
/// what is outside never is, and every error belongs to one file.
#[test]
fn what_changes_meanwhile_misdirects_nothing() {
    let mut random = random();
    let (dir, away) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (root, outside) = (dir.path(), away.path());
    fs::create_dir(outside.join("secret")).unwrap();
    fs::write(outside.join("secret/outside"), "").unwrap();
    fs::write(outside.join("outside"), "").unwrap();
    let mut stays = BTreeSet::new();
    for at in 0..200 {
        let path = root.join(format!("stays/{}/{at}", at % 7));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        stays.insert(path);
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (seed, stop) = (random.u64(..), &stop);
            scope.spawn(move || disturb(root, outside, seed, stop));
        }
        // Also where an assertion fails.
        let _ending = Stop(&stop);
        on_each_route(|_| async {
            for round in 0..40 {
                let sort = [WalkSort::Auto, WalkSort::Name, WalkSort::None][round % 3];
                let walk = WalkDir::new(root).metadata(round % 2 == 0).sort(sort);
                let walk = walk
                    .contents_first(round % 4 == 3)
                    .same_file_system(round % 5 == 4);
                let (mut found, mut walk) = (BTreeSet::new(), walk.walk());
                while let Some(entry) = walk.next().await {
                    match entry {
                        Ok(entry) => {
                            let path = entry.path();
                            assert!(
                                !path.ends_with("outside") && !path.ends_with("secret"),
                                "{path:?}"
                            );
                            assert!(path.starts_with(root));
                            found.insert(path);
                        }
                        Err(error) => assert!(error.is_soft() && !error.is_fatal(), "{error}"),
                    }
                }
                let missing: Vec<_> = stays.difference(&found).collect();
                assert!(missing.is_empty(), "{missing:?}");
            }
        });
    });
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A directory that is bound below itself is a tree of its own with an end; a link back is a loop also there. A walk that
/// stays on its mount goes into neither.
#[test]
fn mounts_that_lead_back_have_an_end() {
    in_child_with_own_mounts("mounts_that_lead_back_have_an_end", || {
        use nix::mount::{MsFlags, mount};
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("a/again")).unwrap();
        fs::write(root.join("a/file"), "text").unwrap();
        symlink("..", root.join("a/up")).unwrap();
        fs::write(root.join("single"), "text").unwrap();
        fs::write(root.join("over"), "").unwrap();
        let bind = |from: &str, to: &str| {
            let (from, to) = (root.join(from), root.join(to));
            mount(
                Some(&from),
                &to,
                None::<&str>,
                MsFlags::MS_BIND,
                None::<&str>,
            )
            .unwrap();
        };
        bind("", "a/again");
        bind("single", "over");
        on_each_route(|_| async {
            for follow in [false, true] {
                for same_mount in [false, true] {
                    let walk = WalkDir::new(root).metadata(true).follow_links(follow);
                    let (found, errors) = kinds(walk.same_file_system(same_mount)).await;
                    let is_again = found.contains_key(&root.join("a/again/a/file"));
                    assert_eq!(is_again, !same_mount, "{found:?}");
                    assert_eq!(found[&root.join("over")], FileKind::File);
                    for error in &errors {
                        assert!(error.is_loop() && follow, "{error}");
                        assert_eq!(error.path().file_name(), Some(OsStr::new("up")));
                    }
                    let loops = if !follow {
                        0
                    } else if same_mount {
                        1
                    } else {
                        2
                    };
                    assert_eq!(errors.len(), loops, "{errors:?}");
                }
            }
        });
        for at in ["over", "a/again"] {
            nix::mount::umount(&root.join(at)).unwrap();
        }
    });
}

/// On an overlay files have other devices than the directories that they are in. They are on its mount all the same.
#[test]
fn a_link_to_a_file_of_the_same_overlay_leads_nowhere_else() {
    const NAME: &str = "a_link_to_a_file_of_the_same_overlay_leads_nowhere_else";
    in_child_with_own_mounts(NAME, || {
        use nix::mount::{MsFlags, mount, umount};
        let dir = tempfile::tempdir().unwrap();
        let (lower, above) = (dir.path().join("lower"), dir.path().join("above"));
        let root = dir.path().join("merged");
        for path in [&lower, &above, &root] {
            fs::create_dir(path).unwrap();
        }
        let none = None::<&str>;
        mount(Some("tmpfs"), &above, Some("tmpfs"), MsFlags::empty(), none).unwrap();
        fs::create_dir_all(lower.join("in")).unwrap();
        fs::write(lower.join("in/file"), "text").unwrap();
        symlink("in/file", lower.join("link")).unwrap();
        symlink("in", lower.join("dir")).unwrap();
        for path in ["upper", "work"] {
            fs::create_dir(above.join(path)).unwrap();
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={},xino=off",
            lower.display(),
            above.join("upper").display(),
            above.join("work").display()
        );
        let flags = MsFlags::empty();
        let mounted = mount(
            Some("overlay"),
            &root,
            Some("overlay"),
            flags,
            Some(&*options),
        );
        if let Err(error) = mounted {
            println!("skip: {NAME}: no overlay: {error}");
            umount(&above).unwrap();
            return;
        }
        fs::write(root.join("new"), "text").unwrap();
        symlink("new", root.join("to-new")).unwrap();
        on_each_route(|_| async {
            for (asks, same_mount) in [(true, false), (true, true), (false, true)] {
                let walk = WalkDir::new(&root).metadata(asks).follow_links(true);
                let mut walk = walk.same_file_system(same_mount).walk();
                let mut found = BTreeSet::new();
                while let Some(entry) = walk.next().await {
                    let entry = entry.unwrap();
                    assert!(!entry.is_mount_point(), "{entry:?}");
                    assert!(found.insert(entry.path()));
                }
                let names = [
                    "", "in", "in/file", "link", "dir", "dir/file", "new", "to-new",
                ];
                let expected: BTreeSet<_> = names.iter().map(|name| root.join(name)).collect();
                let found: BTreeSet<_> = found.iter().map(|path| path.join("")).collect();
                let expected: BTreeSet<_> = expected.iter().map(|path| path.join("")).collect();
                assert_eq!(found, expected);
                assert_eq!(walk.stats().mount_points, 0);
            }
        });
        umount(&root).unwrap();
        umount(&above).unwrap();
    });
}

/// A mount shows the same files once more, under names that the files do not count.
#[test]
fn a_file_that_two_mounts_show_is_told_once() {
    in_child_with_own_mounts("a_file_that_two_mounts_show_is_told_once", || {
        use nix::mount::{MsFlags, mount, umount};
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("one")).unwrap();
        for at in 0..30 {
            let file = root.join(format!("one/{at}"));
            fs::write(&file, "text").unwrap();
            fs::hard_link(&file, root.join(format!("one/{at}-again"))).unwrap();
        }
        let places = ["two", "three"].map(|name| root.join(name));
        for place in &places {
            fs::create_dir(place).unwrap();
            let (from, none) = (root.join("one"), None::<&str>);
            mount(Some(&from), place, none, MsFlags::MS_BIND, none).unwrap();
        }
        on_each_route(|_| async {
            for sort in [WalkSort::Auto, WalkSort::Name] {
                let walk = WalkDir::new(root).sort(sort).hard_links_once(true);
                let mut walk = walk.walk();
                let mut files = Vec::new();
                while let Some(entry) = walk.next().await {
                    let entry = entry.unwrap();
                    files.extend((entry.kind() == FileKind::File).then(|| entry.ino()));
                }
                let inodes: BTreeSet<_> = files.iter().collect();
                assert_eq!((files.len(), inodes.len()), (30, 30));
                assert_eq!(walk.stats().repeated_links, 30 * 6 - 30);
            }
        });
        for place in &places {
            umount(place).unwrap();
        }
    });
}
