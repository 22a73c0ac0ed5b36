//! Walks that are driven by others, and walks whose threads are taken from them: found whole, or told to be not.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::on_every_backend;
use futures::StreamExt;
use tidegate::Handle;
use tidegate::fs::{Walk, WalkDir, WalkError};

/// More than waits for a caller, so that a walk whose caller takes no more is not at its end.
const FILES: usize = 12_000;

fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..FILES {
        let folder = dir.path().join(format!("{}", number / 4000));
        if number % 4000 == 0 {
            fs::create_dir(&folder).unwrap();
        }
        fs::write(folder.join(format!("{number}")), "").unwrap();
    }
    dir
}

fn expected(root: &Path) -> BTreeSet<PathBuf> {
    let entries = walkdir::WalkDir::new(root).into_iter();
    entries.map(|entry| entry.unwrap().into_path()).collect()
}

async fn paths(walk: Walk) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut walk = walk.map(|entry| entry.unwrap().path());
    while let Some(path) = walk.next().await {
        assert!(found.insert(path));
    }
    found
}

/// Everything that is left of a walk.
async fn rest(mut walk: Walk) -> (usize, Vec<WalkError>) {
    let (mut found, mut errors) = (0, Vec::new());
    while let Some(entry) = walk.next().await {
        match entry {
            Ok(_) => found += 1,
            Err(error) => {
                assert!(!errors.iter().any(WalkError::is_fatal), "after the last");
                errors.push(error);
            }
        }
    }
    (found, errors)
}

/// No runtime at all, one that has a single thread, and tasks that stay on theirs.
#[test]
fn whoever_drives_a_walk_finds_all() {
    let dir = tree();
    let expected = expected(dir.path());
    let walk = || WalkDir::new(dir.path()).metadata(true).walk();
    assert!(futures::executor::block_on(paths(walk())) == expected);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let walks = [walk(), walk()].map(|walk| tokio::task::spawn_local(paths(walk)));
        for found in futures::future::join_all(walks).await {
            assert!(found.unwrap() == expected);
        }
    });
}

/// Several at a time on one handle, each taken from in turn with the others, and some given up on the way.
#[test]
fn walks_share_a_handle() {
    let dir = tree();
    let expected = expected(dir.path());
    on_every_backend(|_| async {
        let walk = || WalkDir::new(dir.path()).metadata(true).walk();
        let mut walks = [walk(), walk(), walk()];
        let mut found = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
        let mut given_up = walk();
        let mut is_over = [false; 3];
        while is_over != [true; 3] {
            for (at, walk) in walks.iter_mut().enumerate() {
                match walk.next().await {
                    Some(entry) => assert!(found[at].insert(entry.unwrap().path())),
                    None => is_over[at] = true,
                }
            }
            if found[0].len() % 1000 == 0 {
                let _ = given_up.next().await;
                given_up = walk();
            }
        }
        assert!(found.iter().all(|found| *found == expected));
    });
}

/// A walk whose handle is shut down, or whose runtime is gone, is whole or says that it is not.
#[test]
fn a_walk_without_threads_is_whole_or_says_that_it_is_not() {
    let dir = tree();
    let left = expected(dir.path()).len() - 1;
    let walk = || WalkDir::new(dir.path()).metadata(true).walk();
    let check = |(found, errors): (usize, Vec<WalkError>)| match &errors[..] {
        [] => assert_eq!(found, left),
        [error] => assert!(error.is_fatal() && found < left, "{found}, {error}"),
        _ => panic!("{errors:?}"),
    };
    on_every_backend(|_| async {
        let mut walk = walk();
        walk.next().await.unwrap().unwrap();
        let handle = Handle::current().unwrap();
        handle.shutdown(Duration::from_secs(10)).await;
        check(rest(walk).await);
    });
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let mut walk = walk();
    let first = runtime();
    first.block_on(walk.next()).unwrap().unwrap();
    drop(first);
    check(runtime().block_on(rest(walk)));
}
