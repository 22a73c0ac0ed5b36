//! Batches: the same results as std one by one, in the order of what was given, whatever becomes of single entries.

mod common;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use tidegate::fs::{
    self, Batch, Dir, Expected, Follow, OpenOptions, Statx, StatxMask, StatxOptions,
};
use tidegate::{Error, LeftBehind, OpExt, Route, raw_os_error};

use common::{on_each_route, on_every_backend, until_idle};

/// A generator whose seed is printed, so that a failure can be had again.
fn random() -> fastrand::Rng {
    let seed = match std::env::var("TIDEGATE_TEST_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => fastrand::u64(..),
    };
    eprintln!("TIDEGATE_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// What is compared of a result: the number of its error, or something of its success.
fn seen<T, S>(result: &io::Result<T>, success: impl Fn(&T) -> S) -> Result<S, Option<i32>> {
    result.as_ref().map(success).map_err(|error| {
        let number = raw_os_error(error);
        assert_eq!(
            error.kind(),
            number.map_or(error.kind(), |number| io::Error::from_raw_os_error(number)
                .kind())
        );
        number
    })
}

/// A tree with everything that a look-up can meet.
fn tree(dir: &Path) -> Vec<PathBuf> {
    std::fs::create_dir(dir.join("sub")).unwrap();
    std::fs::create_dir(dir.join("sub/below")).unwrap();
    for index in 0..20 {
        std::fs::write(dir.join(format!("file-{index}")), vec![1; index * 100]).unwrap();
    }
    std::fs::write(dir.join("sub/file"), b"text").unwrap();
    symlink("file-3", dir.join("link")).unwrap();
    symlink("nowhere", dir.join("dangling")).unwrap();
    symlink("circle", dir.join("circle")).unwrap();
    symlink("/proc/self/status", dir.join("away")).unwrap();
    symlink("sub", dir.join("to-sub")).unwrap();
    let name = std::ffi::CString::new(dir.join("fifo").to_str().unwrap()).unwrap();
    assert_eq!(unsafe_free_mkfifo(&name), 0);
    let mut names: Vec<PathBuf> = (0..22)
        .map(|index| format!("file-{index}").into())
        .collect();
    for name in [
        "",
        ".",
        "..",
        "/",
        "sub",
        "sub/",
        "sub/.",
        "sub/..",
        "sub/file",
        "sub/file/",
        "sub/file/x",
        "sub/none",
        "link",
        "link/",
        "dangling",
        "circle",
        "away",
        "to-sub",
        "to-sub/",
        "to-sub/file",
        "fifo",
        "nul\0name",
        "/proc/self",
        "/proc/self/exe",
        "/dev/null",
        "/none/at/all",
        "/proc/1/mem",
    ] {
        names.push(name.into());
    }
    names.push("x".repeat(256).into());
    names.push("y/".repeat(2200).into());
    names
}

fn unsafe_free_mkfifo(path: &std::ffi::CStr) -> i32 {
    let mode = nix::sys::stat::Mode::S_IRWXU;
    nix::unistd::mkfifo(path, mode).map_or(-1, |()| 0)
}

fn same(found: &Statx, wanted: &std::fs::Metadata) {
    assert_eq!(
        (
            found.dev(),
            found.ino(),
            found.mode(),
            found.size(),
            found.nlink()
        ),
        (
            wanted.dev(),
            wanted.ino(),
            wanted.mode(),
            wanted.size(),
            wanted.nlink()
        ),
    );
    assert_eq!(
        (found.mtime(), found.mtime_nsec()),
        (wanted.mtime(), wanted.mtime_nsec())
    );
}

/// Any number of paths, of any kind, in any order, with any bound, from the working directory and from an open one.
#[test]
fn attributes_are_those_of_std_one_by_one() {
    let temporary = tempfile::tempdir().unwrap();
    // Its parent has no other files, which would change.
    let root = &temporary.path().join("tree");
    std::fs::create_dir(root).unwrap();
    let names = tree(root);
    on_every_backend(async |route| {
        let mut random = random();
        let dir = Dir::open(root).await.unwrap();
        for count in [0, 1, 2, 31, 32, 33, 200, 1500] {
            let picked: Vec<_> = (0..count).map(|_| random.choice(&names).unwrap()).collect();
            let follow = random.bool();
            let from_dir = random.bool();
            let options = StatxOptions::new()
                .follow(if follow { Follow::Links } else { Follow::No })
                .mask(StatxMask::BASIC);
            let mut batch = if from_dir { dir.batch() } else { fs::batch() };
            if random.bool() {
                batch = batch.at_once(random.usize(1..40));
            }
            if random.u8(0..4) == 0 {
                batch = batch.in_turn();
            }
            let full: Vec<PathBuf> = picked
                .iter()
                .map(|name| match name.as_os_str().is_empty() {
                    true => PathBuf::new(),
                    false => root.join(name),
                })
                .collect();
            let found = match from_dir {
                true => batch.metadata(&picked, &options).await,
                false => batch.metadata(&full, &options).await,
            };
            assert_eq!(found.len(), count);
            for (path, found) in full.iter().zip(&found) {
                let wanted = match follow {
                    true => std::fs::metadata(path),
                    false => std::fs::symlink_metadata(path),
                };
                match (found, &wanted) {
                    (Ok(found), Ok(wanted)) if !path.starts_with("/proc") => same(found, wanted),
                    (Ok(found), Ok(wanted)) => assert_eq!(found.mode(), wanted.mode(), "{path:?}"),
                    (Err(found), Err(wanted)) => assert_eq!(
                        (found.kind(), raw_os_error(found)),
                        (wanted.kind(), wanted.raw_os_error()),
                        "{path:?} on {route:?}, {batch:?}"
                    ),
                    _ => panic!("{path:?}: {found:?}, not {wanted:?}, on {route:?}, {batch:?}"),
                }
            }
        }
        until_idle().await;
    });
}

/// What is read in a batch is what is read one by one, of whatever a name leads to, if it is as it was seen.
#[test]
fn files_are_read_as_one_by_one() {
    let temporary = tempfile::tempdir().unwrap();
    let root = &temporary.path().join("tree");
    std::fs::create_dir(root).unwrap();
    let names = tree(root);
    let result = |read: &io::Result<Vec<u8>>| match read {
        Ok(bytes) => Ok(bytes.clone()),
        Err(error) => Err((error.kind(), raw_os_error(error), error.to_string())),
    };
    on_every_backend(async |route| {
        let mut random = random();
        let dir = Dir::open(root).await.unwrap();
        for count in [0, 1, 20, 300] {
            let (from_dir, drifts) = (random.bool(), random.bool());
            let batch = if from_dir { dir.batch() } else { fs::batch() };
            let batch = match random.bool() {
                true => batch.at_once(random.usize(1..40)),
                false => batch,
            };
            let mut files = Vec::new();
            for _ in 0..count {
                let name = random.choice(&names).unwrap();
                let other = random.choice(&names).unwrap();
                let seen = if drifts { other } else { name };
                let found = std::fs::metadata(root.join(seen));
                let found = found.or_else(|_| std::fs::metadata(root));
                let path = match from_dir || name.as_os_str().is_empty() {
                    true => name.clone(),
                    false => root.join(name),
                };
                files.push((path, Expected::from(&found.unwrap())));
            }
            let read = batch.read_unchanged(files.clone()).await;
            assert_eq!(read.len(), count);
            for ((path, expected), read) in files.iter().zip(&read) {
                let alone = match from_dir {
                    true => dir.read_unchanged(path, expected).await,
                    false => fs::read_unchanged(path, expected).await,
                };
                assert_eq!(result(read), result(&alone), "{path:?} on {route:?}");
            }
        }
        until_idle().await;
    });
}

/// Short forms are the batch with its defaults.
#[test]
fn short_forms_give_the_same() {
    let temporary = tempfile::tempdir().unwrap();
    // Its parent has no other files, which would change.
    let root = &temporary.path().join("tree");
    std::fs::create_dir(root).unwrap();
    let names = tree(root);
    on_each_route(async |_| {
        let options = StatxOptions::new();
        let paths: Vec<_> = names.iter().map(|name| root.join(name)).collect();
        let dir = Dir::open(root).await.unwrap();
        let ino = |found: &Statx| (found.ino(), found.dev());
        let told = |found: Vec<io::Result<Statx>>| -> Vec<_> {
            found.iter().map(|found| seen(found, ino)).collect()
        };
        let by_paths = told(fs::metadata_many(&paths, &options).await);
        assert_eq!(told(options.paths(&paths).await), by_paths);
        assert_eq!(told(fs::batch().metadata(&paths, &options).await), by_paths);
        let by_names = told(dir.metadata_many(&names, &options).await);
        assert_eq!(told(dir.batch().metadata(&names, &options).await), by_names);
        for (index, name) in names.iter().enumerate() {
            // What `join` makes of the empty name is the directory; long paths are longer then; `/proc` moves.
            let bytes = name.as_os_str().len();
            if bytes > 0 && bytes < 4000 && !name.starts_with("/proc") {
                assert_eq!(by_names[index], by_paths[index], "{name:?}");
            }
        }
    });
}

/// One step of a random life of a directory.
#[derive(Clone, Debug)]
enum Step {
    CreateDirs(Vec<String>),
    HardLinks(Vec<(String, String)>),
    Opens(Vec<String>, bool),
    RemoveFiles(Vec<String>),
    Renames(Vec<(String, String)>),
    Symlinks(Vec<(String, String)>),
}

fn name(random: &mut fastrand::Rng) -> String {
    match random.u8(0..40) {
        0 => String::new(),
        1 => "sub/../sub".into(),
        2 => ".".into(),
        3 => "z".repeat(300),
        4 => "nul\0".into(),
        5..10 => format!("sub/{}", random.u8(0..20)),
        _ => random.u8(0..60).to_string(),
    }
}

fn step(random: &mut fastrand::Rng) -> Step {
    let count = match random.u8(0..8) {
        0 => 0,
        1 => 1,
        2 => 300,
        _ => random.usize(2..40),
    };
    let kind = random.u8(0..6);
    let is_new = random.bool();
    let mut names = || -> Vec<String> { (0..count).map(|_| name(random)).collect() };
    match kind {
        0 => Step::CreateDirs(names()),
        1 => Step::HardLinks(names().into_iter().zip(names()).collect()),
        2 => Step::Opens(names(), is_new),
        3 => Step::RemoveFiles(names()),
        4 => Step::Renames(names().into_iter().zip(names()).collect()),
        _ => Step::Symlinks(names().into_iter().zip(names()).collect()),
    }
}

type Told = Vec<Result<(), Option<i32>>>;

fn told<T>(results: &[io::Result<T>]) -> Told {
    results.iter().map(|result| seen(result, |_| ())).collect()
}

async fn ours(batch: &Batch, step: &Step) -> Told {
    let batch = batch.clone().in_turn();
    match step {
        Step::CreateDirs(names) => told(&batch.create_dirs(names).await),
        Step::HardLinks(pairs) => told(&batch.hard_links(pairs.clone()).await),
        Step::Opens(names, is_new) => {
            let options = OpenOptions::new().write(true).create_new(*is_new).clone();
            told(&batch.open_files(names, &options).await)
        }
        Step::RemoveFiles(names) => told(&batch.remove_files(names).await),
        Step::Renames(pairs) => told(&batch.renames(pairs.clone()).await),
        Step::Symlinks(pairs) => told(&batch.symlinks(pairs.clone()).await),
    }
}

/// The same by std. A path is the directory's and the name with a slash between, also for the empty name: what std's
/// `join` makes of it is the directory itself, which fails in another way.
fn stds(dir: &Path, step: &Step) -> Told {
    let at = |name: &String| match name.is_empty() {
        true => PathBuf::new(),
        false => dir.join(name),
    };
    match step {
        Step::CreateDirs(names) => told(
            &names
                .iter()
                .map(|name| std::fs::create_dir(at(name)))
                .collect::<Vec<_>>(),
        ),
        Step::HardLinks(pairs) => {
            let link = |(from, to): &(String, String)| std::fs::hard_link(at(from), at(to));
            told(&pairs.iter().map(link).collect::<Vec<_>>())
        }
        Step::Opens(names, is_new) => {
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create_new(*is_new);
            told(
                &names
                    .iter()
                    .map(|name| options.open(at(name)))
                    .collect::<Vec<_>>(),
            )
        }
        Step::RemoveFiles(names) => told(
            &names
                .iter()
                .map(|name| std::fs::remove_file(at(name)))
                .collect::<Vec<_>>(),
        ),
        Step::Renames(pairs) => {
            let rename = |(from, to): &(String, String)| std::fs::rename(at(from), at(to));
            told(&pairs.iter().map(rename).collect::<Vec<_>>())
        }
        Step::Symlinks(pairs) => {
            let link = |(from, to): &(String, String)| symlink(from, at(to));
            told(&pairs.iter().map(link).collect::<Vec<_>>())
        }
    }
}

/// What is in a directory: for each name its type and where it leads.
fn listing(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut rest = vec![dir.to_path_buf()];
    while let Some(at) = rest.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let kind = match std::fs::read_link(&path) {
                Ok(target) => format!("-> {}", target.display()),
                Err(_) => format!("{:?} {}", metadata.file_type(), metadata.nlink()),
            };
            if metadata.is_dir() {
                rest.push(path.clone());
            }
            found.insert(path.strip_prefix(dir).unwrap().to_path_buf(), kind);
        }
    }
    found
}

/// Random batches in their order leave the same behind as std's calls one by one, and say the same of each entry.
#[test]
fn names_change_as_std_changes_them_one_by_one() {
    on_each_route(async |route| {
        let mut random = random();
        let temporary = tempfile::tempdir().unwrap();
        let (mine, theirs) = (temporary.path().join("a"), temporary.path().join("b"));
        for dir in [&mine, &theirs] {
            std::fs::create_dir_all(dir.join("sub")).unwrap();
        }
        let batch = Dir::open(&mine).await.unwrap().batch();
        for number in 0..60 {
            let step = step(&mut random);
            assert_eq!(
                ours(&batch, &step).await,
                stds(&theirs, &step),
                "step {number} on {route:?}: {step:?}"
            );
            assert_eq!(
                listing(&mine),
                listing(&theirs),
                "after step {number} on {route:?}: {step:?}"
            );
        }
        until_idle().await;
    });
}

/// Without an order, entries that have nothing to do with each other are all done, each exactly once.
#[test]
fn entries_without_an_order_are_each_done_once() {
    on_every_backend(async |route| {
        let temporary = tempfile::tempdir().unwrap();
        let path = |name: String| temporary.path().join(name);
        let count = if route == Route::Ring { 300 } else { 1000 };
        let all = || 0..count;
        let dirs = fs::batch()
            .create_dirs(all().map(|index| path(format!("d{index}"))))
            .await;
        assert!(dirs.iter().all(|made| made.is_ok()), "{dirs:?}");
        std::fs::write(path("file".into()), b"").unwrap();
        let links = all().map(|index| (path("file".into()), path(format!("d{index}/link"))));
        let links = fs::batch().hard_links(links).await;
        assert!(links.iter().all(|made| made.is_ok()));
        assert_eq!(
            std::fs::metadata(path("file".into())).unwrap().nlink(),
            count + 1
        );
        // Each name twice: one of the two is removed, and the other is not there.
        let twice = all()
            .chain(all())
            .map(|index| path(format!("d{index}/link")));
        let removed = fs::batch().remove_files(twice).await;
        for index in all() {
            let both = [&removed[index as usize], &removed[(index + count) as usize]];
            assert_eq!(
                both.iter().filter(|removed| removed.is_ok()).count(),
                1,
                "{both:?}"
            );
            let other = both
                .iter()
                .find_map(|removed| removed.as_ref().err())
                .unwrap();
            assert_eq!(other.kind(), io::ErrorKind::NotFound);
        }
        assert_eq!(std::fs::metadata(path("file".into())).unwrap().nlink(), 1);
        until_idle().await;
    });
}

/// A million paths are as good as one.
#[test]
fn a_million_paths_have_a_million_results() {
    let temporary = tempfile::tempdir().unwrap();
    std::fs::write(temporary.path().join("here"), b"").unwrap();
    common::runtime(true).block_on(async {
        let dir = Dir::open(temporary.path()).await.unwrap();
        let names = (0..1_000_000).map(|index| if index % 3 == 0 { "here" } else { "none" });
        let found = dir.metadata_many(names, &StatxOptions::new()).await;
        assert_eq!(found.len(), 1_000_000);
        assert!(
            found
                .iter()
                .enumerate()
                .all(|(index, found)| found.is_ok() == (index % 3 == 0))
        );
    });
}

/// No more entries are in work than was said.
#[test]
fn a_bound_holds_and_an_order_is_kept() {
    on_each_route(async |_| {
        let temporary = tempfile::tempdir().unwrap();
        let path = |depth: usize| temporary.path().join(vec!["d"; depth].join("/"));
        // Each needs the one before.
        let made = fs::batch().in_turn().create_dirs((1..200).map(path)).await;
        assert!(made.iter().all(|made| made.is_ok()), "{made:?}");
        assert!(path(199).is_dir());
    });
}

/// A limit that is passed, and one that passes meanwhile, is told by each entry that was not done.
#[test]
fn limits_around_a_batch_end_it() {
    on_every_backend(async |route| {
        let paths: Vec<_> = (0..300).map(|index| format!("/proc/{index}")).collect();
        let past = std::time::Instant::now() - std::time::Duration::from_millis(1);
        let all = async { io::Result::Ok(fs::metadata_many(&paths, &StatxOptions::new()).await) };
        let found = all.deadline_at(past).await.unwrap();
        assert_eq!(found.len(), paths.len());
        for (path, found) in paths.iter().zip(found) {
            let error = found.unwrap_err();
            let Some(Error::TimedOut { left, .. }) = Error::from_io(&error) else {
                panic!("{error:?} on {route:?}")
            };
            assert_eq!(*left, LeftBehind::NothingHappened);
            if route != Route::Ring {
                assert_eq!(
                    Error::from_io(&error).unwrap().path(),
                    Some(Path::new(path))
                );
            }
        }
        let zero = fs::batch().entry_timeout(std::time::Duration::ZERO);
        let found = zero.metadata(&paths, &StatxOptions::new()).await;
        assert!(
            found.iter().all(|found| matches!(
                found.as_ref().err().and_then(Error::from_io),
                Some(Error::ZeroTimeout)
            )),
            "{found:?}"
        );
        until_idle().await;
    });
}

/// A future that is dropped lets no further entries begin, and files that it had opened are closed.
#[test]
fn a_dropped_batch_leaves_nothing_open() {
    on_every_backend(async |_| {
        let temporary = tempfile::tempdir().unwrap();
        let paths: Vec<_> = (0..300)
            .map(|index| temporary.path().join(index.to_string()))
            .collect();
        let open = || {
            std::fs::read_dir("/proc/self/fd")
                .unwrap()
                .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
                .filter(|path| path.starts_with(temporary.path()))
                .count()
        };
        let options = OpenOptions::new().write(true).create(true).clone();
        for polls in [1, 2, 5] {
            let mut opening = Box::pin(fs::batch().open_files(&paths, &options));
            for _ in 0..polls {
                let poll =
                    std::future::poll_fn(|cx| std::task::Poll::Ready(opening.as_mut().poll(cx)));
                if poll.await.is_ready() {
                    opening = Box::pin(fs::batch().open_files(&paths, &options));
                }
                tokio::task::yield_now().await;
            }
            drop(opening);
            until_idle().await;
            let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while open() > 0 {
                assert!(std::time::Instant::now() < end, "{} are open", open());
                tokio::task::yield_now().await;
            }
        }
    });
}

/// Options that cannot be, and that only std can do, are refused for each.
#[test]
fn options_that_cannot_be_are_refused_for_each() {
    on_each_route(async |_| {
        let none = fs::batch()
            .open_files(["/a", "/b"], &OpenOptions::new())
            .await;
        assert_eq!(none.len(), 2);
        assert!(
            none.iter()
                .all(|opened| opened.as_ref().unwrap_err().kind() == io::ErrorKind::InvalidInput)
        );
        let std = OpenOptions::from(std::fs::OpenOptions::new().read(true).clone());
        let std = fs::batch().open_files(["/a"], &std).await;
        assert_eq!(
            std[0].as_ref().unwrap_err().kind(),
            io::ErrorKind::Unsupported
        );
    });
}
