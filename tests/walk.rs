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

/// Under a limit that is passed a walk neither begins nor goes on, whatever it has ready. A cancel is its end; time that
/// is over is told, and the walk is whole afterwards.
#[test]
fn a_limit_that_is_passed_stops_a_walk_at_once() {
    use std::time::{Duration, Instant};
    use tidegate::{Error, OpExt};
    let dir = tempfile::tempdir().unwrap();
    odd(dir.path());
    let (expected, _) = by_walkdir(walkdir::WalkDir::new(dir.path()));
    let sorts = [WalkSort::Auto, WalkSort::Name];
    on_every_backend(|_| async {
        for (taken, sort) in [0, 1, 300].into_iter().flat_map(|n| sorts.map(|s| (n, s))) {
            let begin = || WalkDir::new(dir.path()).metadata(true).sort(sort).walk();
            let token = tokio_util::sync::CancellationToken::new();
            token.cancel();
            let mut walk = begin();
            for _ in 0..taken {
                walk.next().await.unwrap().unwrap();
            }
            let mut told = 0;
            let ended = async {
                while let Some(entry) = walk.next().await {
                    told += 1;
                    entry.map_err(std::io::Error::from)?;
                }
                Ok::<_, std::io::Error>(())
            };
            let error = ended.cancel_on(&token).await.unwrap_err();
            let typed = Error::from_io(&error);
            assert!(matches!(typed, Some(Error::Cancelled { .. })), "{error:?}");
            assert_eq!((told, walk.watch().is_over()), (1, true));
            assert!(walk.next().await.is_none());
            assert!(taken > 0 || walk.stats().opened == 0);

            let mut walk = begin();
            let mut seen = Seen::new();
            for _ in 0..taken {
                note(&mut seen, &walk.next().await.unwrap().unwrap());
            }
            let one = async { walk.next().await.unwrap().map_err(std::io::Error::from) };
            let passed = Instant::now() - Duration::from_millis(1);
            let error = one.deadline_at(passed).await.unwrap_err();
            let typed = Error::from_io(&error);
            assert!(matches!(typed, Some(Error::TimedOut { .. })), "{error:?}");
            assert!(taken > 0 || walk.stats().opened == 0);
            let all = async {
                while let Some(entry) = walk.next().await {
                    note(&mut seen, &entry.map_err(std::io::Error::from)?);
                }
                Ok::<_, std::io::Error>(())
            };
            all.timeout(Duration::from_secs(3600)).await.unwrap();
            assert_same(&seen, &expected);
        }
    });
}

/// Who takes entries in a loop hears of a cancel that comes meanwhile: long before the end of what the walk has ready.
#[test]
fn a_cancel_is_heard_by_who_never_waits() {
    use tidegate::{Error, OpExt};
    const FILES: usize = 40_000;
    let dir = tempfile::tempdir().unwrap();
    for at in 0..FILES {
        fs::File::create(dir.path().join(at.to_string())).unwrap();
    }
    on_each_route(|_| async {
        let token = tokio_util::sync::CancellationToken::new();
        let mut walk = WalkDir::new(dir.path()).walk();
        let mut told = 0;
        let counting = async {
            // Whatever comes is no reason to stop.
            while let Some(entry) = walk.next().await {
                told += usize::from(entry.is_ok());
                if told == 10 {
                    token.cancel();
                }
                if let Err(error) = entry {
                    return Err(std::io::Error::from(error));
                }
            }
            Ok(())
        };
        let error = counting.cancel_on(&token).await.unwrap_err();
        let typed = Error::from_io(&error);
        assert!(matches!(typed, Some(Error::Cancelled { .. })), "{error:?}");
        assert!(told < FILES / 2, "{told} were told");
    });
}

/// Each file is told under one of the names that are wanted, also where others are too high, left out, or led to by links.
#[test]
fn hard_links_are_told_once_among_what_is_wanted() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("d/e")).unwrap();
    for file in ["one", "two"] {
        fs::write(root.join(file), file).unwrap();
        for name in ["d/a", "d/e/b", "d/e/c"] {
            fs::hard_link(root.join(file), root.join(format!("{name}-{file}"))).unwrap();
        }
        for link in 0..6 {
            symlink(root.join(file), root.join(format!("d/l{link}-{file}"))).unwrap();
        }
    }
    on_each_route(|_| async {
        for (least, follow, sort) in [0, 1, 2, 3].into_iter().flat_map(|least| {
            let sorts = [WalkSort::Auto, WalkSort::Name];
            [false, true].map(|follow| (least, follow, sorts[least % 2]))
        }) {
            for left_out in ["", "one", "a-", "b-one"] {
                let walk = WalkDir::new(root)
                    .sort(sort)
                    .min_depth(least)
                    .hard_links_once(true);
                let walk = walk.follow_links(follow).filter(move |entry| {
                    let name = entry.file_name().to_str().unwrap();
                    match !left_out.is_empty() && name.starts_with(left_out) {
                        true => WalkStep::Skip,
                        false => WalkStep::Take,
                    }
                });
                let (seen, errors) = all(walk.walk()).await;
                let files: Vec<_> = seen
                    .values()
                    .filter(|told| told.0 == FileKind::File)
                    .collect();
                let inodes: BTreeSet<_> = files.iter().map(|told| told.2).collect();
                assert_eq!(
                    (files.len(), inodes.len()),
                    (2, 2),
                    "{least} {follow} {left_out}"
                );
                assert!(errors.is_empty(), "{errors:?}");
            }
        }
    });
}

/// One entry's closure that does not come back holds up no other entry, neither of its directory nor of others.
#[test]
fn a_closure_that_takes_long_holds_up_no_other() {
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::Duration;
    let dir = tempfile::tempdir().unwrap();
    odd(dir.path());
    let (expected, _) = by_walkdir(walkdir::WalkDir::new(dir.path()));
    on_each_route(|_| async {
        for name in ["350", "many", "fifo"] {
            let stuck = expected.keys().find(|path| path.ends_with(name)).unwrap();
            let (release, released) = mpsc::channel();
            let (released, held) = (Mutex::new(released), stuck.clone());
            let was_released = Arc::new(Mutex::new(None));
            let told = was_released.clone();
            let walk = WalkDir::new(dir.path()).threads(NonZeroUsize::new(2).unwrap());
            let mut walk = walk.map(move |entry| {
                if entry.path() == held {
                    let waited = released
                        .lock()
                        .unwrap()
                        .recv_timeout(Duration::from_secs(120));
                    *told.lock().unwrap() = Some(waited);
                }
                Some(entry.path())
            });
            let is_behind = |path: &&PathBuf| path.starts_with(stuck);
            let behind = expected.keys().filter(is_behind).count();
            let mut found = BTreeSet::new();
            for _ in 0..expected.len() - behind {
                found.insert(walk.next().await.unwrap().unwrap());
            }
            assert!(!found.contains(stuck) && was_released.lock().unwrap().is_none());
            release.send(()).unwrap();
            while let Some(path) = walk.next().await {
                found.insert(path.unwrap());
            }
            assert_eq!(*was_released.lock().unwrap(), Some(Ok(())));
            assert!(found.iter().eq(expected.keys()));
        }
    });
}

/// A filter that panics is an error of its entry, and of nothing else: what is in a directory is found.
#[test]
fn a_filter_that_panics_is_an_error_of_its_entry() {
    let dir = tempfile::tempdir().unwrap();
    odd(dir.path());
    let (expected, _) = by_walkdir(walkdir::WalkDir::new(dir.path()));
    on_each_route(|_| async {
        for name in ["many", "fifo", ""] {
            let bad = match name {
                "" => dir.path().to_path_buf(),
                name => dir.path().join(name),
            };
            let panics = bad.clone();
            let walk = WalkDir::new(dir.path())
                .metadata(true)
                .filter(move |entry| {
                    assert_ne!(entry.path(), panics, "as the test wants it");
                    WalkStep::Take
                });
            let (mut seen, errors) = all(walk.walk()).await;
            assert_eq!(errors.len(), 1, "{errors:?}");
            let error = &errors[0];
            assert_eq!((error.path(), error.call()), (&*bad, WalkCall::Visit));
            assert!(!error.is_fatal());
            assert!(!seen.contains_key(&bad));
            seen.insert(bad.clone(), expected[&bad]);
            assert_same(&seen, &expected);
        }
    });
}
