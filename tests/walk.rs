//! Walks find what others find, whatever the tree, and say what they could not see.

mod common;
#[path = "walk/trees.rs"]
mod trees;

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use common::{on_each_route, on_every_backend, until_idle};
use futures::StreamExt;
use tidegate::fs::{FileKind, Walk, WalkCall, WalkDir, WalkError, WalkSort, WalkStep};
use trees::{Seen, by_walkdir, deep, note, odd, remove_deep};

async fn all(mut walk: Walk) -> (Seen, Vec<WalkError>) {
    let (mut seen, mut errors) = (Seen::new(), Vec::new());
    while let Some(entry) = walk.next().await {
        match entry {
            Ok(entry) => note(&mut seen, &entry),
            Err(error) => errors.push(error),
        }
    }
    let stats = walk.stats();
    assert_eq!(stats.errors, errors.len() as u64);
    let kinds = stats.directories + stats.files + stats.symlinks + stats.others;
    assert_eq!(stats.entries, kinds);
    (seen, errors)
}

fn paths(seen: &Seen) -> BTreeSet<&Path> {
    seen.keys().map(PathBuf::as_path).collect()
}

#[track_caller]
fn assert_same(ours: &Seen, theirs: &Seen) {
    let (our_paths, their_paths) = (paths(ours), paths(theirs));
    let missing: Vec<_> = their_paths.difference(&our_paths).take(5).collect();
    let more: Vec<_> = our_paths.difference(&their_paths).take(5).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "missing {missing:?}, more {more:?}"
    );
    for (path, told) in theirs {
        assert_eq!(&ours[path], told, "{}", path.display());
    }
}

/// On a tree with every kind of oddity, with each option that changes what is told.
#[test]
fn the_same_is_found_as_by_others_in_an_odd_tree() {
    let dir = tempfile::tempdir().unwrap();
    odd(dir.path());
    on_every_backend(|_| async {
        let ours = || WalkDir::new(dir.path()).metadata(true);
        let theirs = || walkdir::WalkDir::new(dir.path());
        let pairs = [
            (ours(), theirs()),
            (ours().max_depth(0), theirs().max_depth(0)),
            (ours().min_depth(2), theirs().min_depth(2)),
            (
                ours().min_depth(1).max_depth(2),
                theirs().min_depth(1).max_depth(2),
            ),
            (
                ours().same_file_system(true),
                theirs().same_file_system(true),
            ),
            (ours().contents_first(true), theirs().contents_first(true)),
            (ours().sort(WalkSort::None), theirs()),
            (ours().sort(WalkSort::Inode), theirs()),
            (ours().threads(NonZeroUsize::new(7).unwrap()), theirs()),
        ];
        for (ours, theirs) in pairs {
            let (expected, errors) = by_walkdir(theirs);
            let (seen, our_errors) = all(ours.walk()).await;
            assert_same(&seen, &expected);
            assert_eq!((our_errors.len(), errors), (0, 0), "{our_errors:?}");
        }
    });
}

/// Where nothing changes: the system's own trees.
#[test]
fn the_same_is_found_as_by_others_in_real_trees() {
    on_each_route(|_| async {
        for root in ["/usr/share", "/etc", "/sys/class", "/sys/bus"] {
            let (expected, errors) = by_walkdir(walkdir::WalkDir::new(root));
            let (seen, our_errors) = all(WalkDir::new(root).metadata(true).walk()).await;
            assert_same(&seen, &expected);
            assert_eq!(our_errors.len(), errors, "{our_errors:?}");
        }
        // It changes while it is walked: what vanishes is an error, or nothing, and each error has its path.
        let mut walk = WalkDir::new("/proc").metadata(true).walk();
        let mut found = 0;
        while let Some(entry) = walk.next().await {
            match entry {
                Ok(_) => found += 1,
                Err(error) => assert!(
                    error.is_soft() || error.kind() == std::io::ErrorKind::InvalidInput,
                    "{error}"
                ),
            }
        }
        assert!(found > 1000);
    });
}

/// Two orders are promised: by name, depth first, and a directory after what is in it.
#[test]
fn orders_are_those_that_were_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    odd(dir.path());
    on_each_route(|_| async {
        for contents_first in [false, true] {
            let theirs = walkdir::WalkDir::new(dir.path()).sort_by_file_name();
            let theirs = theirs.contents_first(contents_first);
            let expected: Vec<_> = theirs
                .into_iter()
                .map(|entry| entry.unwrap().into_path())
                .collect();
            let walk = WalkDir::new(dir.path())
                .sort(WalkSort::Name)
                .contents_first(contents_first);
            let found: Vec<_> = walk
                .walk()
                .map(|entry| entry.unwrap().path())
                .collect()
                .await;
            assert_eq!(found, expected);
        }
        for contents_first in [false, true] {
            let walk = WalkDir::new(dir.path())
                .contents_first(contents_first)
                .walk();
            let found: Vec<_> = walk.map(|entry| entry.unwrap().path()).collect().await;
            let mut seen = BTreeSet::new();
            for path in &found {
                let parent = path.parent().filter(|_| path != dir.path());
                let is_after = parent.is_some_and(|parent| seen.contains(parent));
                assert_eq!(
                    is_after,
                    !contents_first && parent.is_some(),
                    "{}",
                    path.display()
                );
                seen.insert(path.as_path());
            }
        }
    });
}

/// Links that are followed lead to what they lead to, back to where the walk is they are errors, and to nowhere they
/// are themselves.
#[test]
fn links_are_followed_and_loops_are_told() {
    let dir = tempfile::tempdir().unwrap();
    odd(dir.path());
    fs::remove_file(dir.path().join("empty/slash")).unwrap();
    on_each_route(|_| async {
        let walk = WalkDir::new(dir.path())
            .metadata(true)
            .follow_links(true)
            .walk();
        let (seen, errors) = all(walk).await;
        let (mut expected, _) = by_walkdir(walkdir::WalkDir::new(dir.path()).follow_links(true));
        let dangling = dir.path().join("dangling");
        assert_eq!(seen[&dangling].0, FileKind::Symlink);
        expected.insert(dangling.clone(), seen[&dangling]);
        assert_same(&seen, &expected);
        let of = |name: &str| {
            errors
                .iter()
                .find(|error| error.path() == dir.path().join(name))
        };
        assert!(of("a/back").unwrap().is_loop());
        for name in ["self", "one", "two"] {
            assert!(of(name).unwrap().is_soft(), "{name}");
        }
        assert_eq!(errors.len(), 4, "{errors:?}");
    });
}

/// Ten thousand deep, with directories left aside on the way down: no path is opened, and few descriptors are open.
#[test]
fn trees_are_deeper_than_paths_may_be() {
    const DEPTH: usize = 10_000;
    let dir = tempfile::tempdir().unwrap();
    deep(dir.path(), DEPTH);
    on_each_route(|_| async {
        for sort in [WalkSort::Auto, WalkSort::Name] {
            for contents_first in [false, true] {
                let walk = WalkDir::new(dir.path())
                    .sort(sort)
                    .contents_first(contents_first);
                let mut walk = walk.walk();
                let (mut entries, mut deepest) = (0, 0);
                while let Some(entry) = walk.next().await {
                    let entry = entry.unwrap();
                    entries += 1;
                    deepest = deepest.max(entry.depth());
                }
                assert_eq!((entries, deepest), (1 + DEPTH + DEPTH / 2, DEPTH));
                let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
                assert!(open < 400, "{open} descriptors");
            }
        }
    });
    remove_deep(dir.path());
}

/// What is not there, or is no directory, is told.
#[test]
fn a_walk_that_cannot_begin_is_no_empty_success() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "text").unwrap();
    std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).unwrap();
    on_every_backend(|_| async {
        for bad in ["no/such", "nul\0"] {
            let (seen, errors) =
                all(WalkDir::new(dir.path().join(bad)).metadata(true).walk()).await;
            assert!(seen.is_empty());
            assert_eq!(errors.len(), 1);
            assert!(errors[0].is_fatal() && !errors[0].is_soft());
        }
        let (seen, errors) = all(WalkDir::new(&file).metadata(true).walk()).await;
        assert_eq!((seen.len(), errors.len()), (1, 0));
        // A root that is a link is walked, and told as a link.
        let link = dir.path().join("link");
        let (seen, errors) = all(WalkDir::new(&link).metadata(true).walk()).await;
        assert_eq!(
            (seen[&link].0, seen.len(), errors.len()),
            (FileKind::Symlink, 3, 0)
        );
    });
}

/// Filters see directories before they are gone into, and what is made of entries is what comes.
#[test]
fn closures_choose_and_make() {
    let dir = tempfile::tempdir().unwrap();
    odd(dir.path());
    on_each_route(|_| async {
        let walk = WalkDir::new(dir.path()).filter(|entry| match entry.file_name().to_str() {
            Some("many") => WalkStep::Prune,
            Some("a") => WalkStep::Skip,
            _ => WalkStep::Take,
        });
        let names: BTreeSet<_> = walk
            .walk()
            .map(|entry| entry.unwrap().path())
            .collect()
            .await;
        let has = |name: &str| names.contains(&dir.path().join(name));
        assert!(has("many") && has("empty/slash") && !has("many/1") && !has("a") && !has("a/b"));
        let map = WalkDir::new(dir.path()).metadata(true).map(|entry| {
            assert_ne!(
                entry.file_name(),
                "fifo",
                "a panic is an error of its entry"
            );
            (entry.kind() == FileKind::File).then(|| entry.size().unwrap())
        });
        let sizes: Vec<_> = map.collect().await;
        let (expected, _) = by_walkdir(walkdir::WalkDir::new(dir.path()));
        let files = expected.values().filter(|told| told.0 == FileKind::File);
        let bytes: u64 = files.map(|told| told.1).sum();
        assert_eq!(sizes.iter().flatten().sum::<u64>(), bytes);
        let errors: Vec<_> = sizes
            .iter()
            .filter_map(|size| size.as_ref().err())
            .collect();
        assert_eq!(errors.len(), 1);
        assert_eq!(
            (errors[0].call(), errors[0].is_fatal()),
            (WalkCall::Visit, false)
        );
    });
}

/// A file with several names is told once, whatever the thread that meets it.
#[test]
fn hard_links_are_told_once() {
    let dir = tempfile::tempdir().unwrap();
    odd(dir.path());
    on_each_route(|_| async {
        let walk = WalkDir::new(dir.path()).hard_links_once(true).walk();
        let (seen, errors) = all(walk).await;
        let inos: BTreeSet<_> = seen.values().map(|told| told.2).collect();
        assert_eq!((inos.len(), errors.len()), (seen.len(), 0));
        let (expected, _) = by_walkdir(walkdir::WalkDir::new(dir.path()));
        assert_eq!(seen.len() + 2, expected.len());
    });
}

/// Dropped at any moment, a walk leaves neither descriptors nor operations.
#[test]
fn a_dropped_walk_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    odd(dir.path());
    on_every_backend(|_| async {
        let open = || {
            let fds = fs::read_dir("/proc/self/fd").unwrap();
            let links = fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
            links.filter(|link| link.starts_with(dir.path())).count()
        };
        for taken in [0, 1, 2, 50, 300, 700] {
            let mut walk = WalkDir::new(dir.path()).metadata(true).walk();
            for _ in 0..taken {
                walk.next().await.unwrap().unwrap();
            }
            let watch = walk.watch();
            drop(walk);
            assert!(watch.is_over());
            until_idle().await;
            assert_eq!(open(), 0, "after {taken}");
        }
        let token = tokio_util::sync::CancellationToken::new();
        let mut walk = WalkDir::new(dir.path()).cancel_on(&token).walk();
        walk.next().await.unwrap().unwrap();
        token.cancel();
        let error = walk.next().await.unwrap().unwrap_err();
        assert!(error.is_fatal() && walk.next().await.is_none());
        until_idle().await;
        assert_eq!(open(), 0);
    });
}

/// The same tree as a model of it, with numbers from a seed that is told.
#[test]
fn random_trees_are_found_whole() {
    let seed = std::env::var("TIDEGATE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()) * 7919);
    println!("seed {seed} (TIDEGATE_SEED repeats it)");
    let mut state = seed | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for _ in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let mut dirs = vec![dir.path().to_path_buf()];
        let mut model = BTreeSet::from([dir.path().to_path_buf()]);
        for at in 0..random(3000) {
            let parent = &dirs[random(dirs.len() as u64) as usize];
            let path = parent.join(format!("{at}{}", "n".repeat(random(120) as usize)));
            if random(4) == 0 {
                fs::create_dir(&path).unwrap();
                dirs.push(path.clone());
            } else {
                fs::write(&path, "").unwrap();
            }
            model.insert(path);
        }
        let threads = NonZeroUsize::new(1 + random(8) as usize).unwrap();
        let sort = [WalkSort::Auto, WalkSort::Name, WalkSort::None][random(3) as usize];
        let (asked, contents_first) = (random(2) == 0, random(2) == 0);
        on_each_route(|_| async {
            let walk = WalkDir::new(dir.path())
                .metadata(asked)
                .threads(threads)
                .sort(sort);
            let walk = walk.contents_first(contents_first).walk();
            let found: Vec<_> = walk.map(|entry| entry.unwrap().path()).collect().await;
            assert_eq!(found.len(), model.len());
            assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), model);
        });
    }
}

/// After a `?` the number and the type of an error are still to be had.
#[test]
fn an_error_of_a_walk_keeps_its_number_behind_an_io_error() {
    use futures::TryStreamExt;
    async fn count(walk: WalkDir) -> std::io::Result<usize> {
        let found: Vec<_> = walk.walk().try_collect().await?;
        Ok(found.len())
    }
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let error = count(WalkDir::new(dir.path().join("none"))).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        assert_eq!(tidegate::raw_os_error(&error), Some(nix::libc::ENOENT));
        let token = tokio_util::sync::CancellationToken::new();
        token.cancel();
        let cancelled = WalkDir::new(dir.path()).cancel_on(&token);
        let error = count(cancelled).await.unwrap_err();
        let typed = tidegate::Error::from_io(&error);
        assert!(
            matches!(typed, Some(tidegate::Error::Cancelled { .. })),
            "{error:?}"
        );
    });
}
