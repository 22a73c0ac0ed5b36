//! Walks through trees in which some files and directories never answer: those are named, the rest is walked, and
//! what is waited for can be seen meanwhile.
//!
//! The holds are still in force when a walk is at its end: that is the assertion. Only then they are released.

#[cfg(target_os = "linux")]
#[allow(dead_code, reason = "each test file uses its part")]
#[path = "common/log.rs"]
mod log;

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use libtest_mimic::{Arguments, Completion, Trial};
    use tidegate::Route;
    use tidegate_rig::Requirements;

    tidegate_rig::init();
    let mut args = Arguments::from_args();
    // One at a time: a machine that has too much to do is slow, and slow is not to look stuck.
    args.test_threads = Some(1);
    let log = log::Log::start();
    let scenes: [(&str, stuck::Scene); 6] = [
        ("a_root_that_does_not_answer_ends_a_walk", stuck::a_root),
        ("a_subvolume_is_a_filesystem_of_its_own", stuck::subvolume),
        ("a_mount_below_the_root_is_not_asked", stuck::below),
        (
            "a_path_that_takes_long_is_told_of_once",
            stuck::warned_of_once,
        ),
        (
            "what_is_stuck_is_named_and_the_rest_is_walked",
            stuck::some_are_stuck,
        ),
        (
            "a_dropped_walk_does_not_wait_for_what_is_stuck",
            stuck::dropped,
        ),
    ];
    let mut trials = Vec::new();
    for (name, scene) in scenes {
        for route in [Route::Ring, Route::Pool, Route::Auto] {
            let name = format!("{route:?}::{name}");
            let (shown, log) = (name.clone(), log.clone());
            trials.push(Trial::ignorable_test(name, move || {
                let mut missing = Requirements::fuse().missing();
                if let (Route::Ring, Some(reason)) =
                    (route, tidegate::probe::report().ring_reason())
                {
                    missing.push(format!("a ring: {reason}"));
                }
                if missing.is_empty() {
                    scene(route, &log)?;
                    return Ok(Completion::Completed);
                }
                let reason = missing.join(", ");
                println!("skip: {shown}: {reason}");
                Ok(Completion::ignored_with(reason))
            }));
        }
    }
    libtest_mimic::run(&args, trials).exit_code()
}

#[cfg(target_os = "linux")]
mod stuck {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::pin::Pin;
    use std::sync::mpsc;
    use std::time::Duration;

    use futures::StreamExt;
    use tidegate::fs::{FileKind, WalkCall, WalkDir, WalkSort};
    use tidegate::{Handle, Route};
    use tidegate_rig::{FsKind, HeldDisk, Request, Requirements, StalledFuse};

    use crate::log::Log;

    const DIRS: usize = 20;
    const FILES: usize = 100;
    const TIMEOUT: Duration = Duration::from_secs(2);

    pub(crate) type Scene = fn(Route, &Log) -> io::Result<()>;
    type Walked = fn(PathBuf) -> Pin<Box<dyn Future<Output = ()>>>;

    fn runtime() -> io::Result<tokio::runtime::Runtime> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build()
    }

    /// Below an ordinary directory, a filesystem that answers nothing. A walk that stays on its own is at its end while
    /// that is so, and the dead filesystem was asked for nothing.
    pub(crate) fn below(route: Route, _log: &Log) -> io::Result<()> {
        let options = StalledFuse::options().with_attr_timeout(Duration::ZERO);
        let fuse = options.with_max_hold(Duration::from_secs(90)).create()?;
        let above = fuse.path().parent().unwrap().to_path_buf();
        fs::write(above.join("beside"), "text")?;
        std::os::unix::fs::symlink(fuse.path(), above.join("link"))?;
        std::os::unix::fs::symlink("mnt/inside", above.join("into"))?;
        fs::write(fuse.backing_path().join("inside"), "text")?;
        let every = [
            Request::Getattr,
            Request::Lookup,
            Request::Open,
            Request::Readdir,
        ];
        let hold = fuse.hold(&every, "")?;
        let asked = || -> io::Result<u64> {
            let status = fuse.status()?;
            Ok(every.iter().map(|&request| status.seen(request)).sum())
        };
        let before = asked()?;
        let runtime = runtime()?;
        let dead = fuse.path().to_path_buf();
        runtime.block_on(async {
            Handle::builder().route(route).install().expect("a handle");
            for (asks, sort) in [
                (true, WalkSort::Auto),
                (false, WalkSort::Auto),
                (true, WalkSort::Name),
                (false, WalkSort::None),
            ] {
                for (contents_first, follow) in
                    [(false, false), (true, false), (false, true), (true, true)]
                {
                    let walk = WalkDir::new(&above).metadata(asks).sort(sort);
                    let walk = walk.same_file_system(true).follow_links(follow);
                    let walk = walk.contents_first(contents_first);
                    let mut walk = walk.walk();
                    let mut found = BTreeSet::new();
                    while let Some(entry) = walk.next().await {
                        let entry = entry.unwrap();
                        let is_dead = entry.path() == dead;
                        let is_link = entry.kind() == FileKind::Symlink;
                        if is_dead {
                            assert_eq!(entry.kind(), FileKind::Directory);
                            // Without attributes it is found to be another's when it is opened.
                            assert!(!asks || entry.is_mount_point() && entry.metadata().is_none());
                        }
                        assert_eq!(entry.is_mount_point(), is_dead && asks || is_link && follow);
                        found.insert(entry.path());
                    }
                    for path in ["mnt", "beside", "link", "into"].map(|name| above.join(name)) {
                        assert!(found.contains(&path), "{found:?}");
                    }
                    assert!(!found.contains(&dead.join("inside")));
                    let links = if follow { 2 } else { 0 };
                    assert_eq!(walk.stats().mount_points, 1 + links);
                }
            }
        });
        assert_eq!(asked()?, before);
        drop(hold);
        runtime.shutdown_background();
        Ok(())
    }

    /// Nothing comes after what says that the walk is over, in whatever order.
    pub(crate) fn a_root(route: Route, _log: &Log) -> io::Result<()> {
        for request in [Request::Open, Request::Readdir] {
            let fuse = StalledFuse::options().with_max_hold(Duration::from_secs(90));
            let fuse = fuse.create()?;
            let hold = fuse.hold(&[request], "")?;
            let runtime = runtime()?;
            runtime.block_on(async {
                Handle::builder().route(route).install().expect("a handle");
                for contents_first in [false, true] {
                    let walk = WalkDir::new(fuse.path()).contents_first(contents_first);
                    let walk = walk.timeout(Duration::from_millis(500)).walk();
                    let told: Vec<_> = walk.collect().await;
                    let [Ok(root), Err(last)] = &told[..] else {
                        panic!("{told:?}");
                    };
                    assert_eq!(root.depth(), 0);
                    assert!(last.is_fatal() && last.is_timeout(), "{last}");
                }
            });
            drop(hold);
            runtime.shutdown_background();
        }
        Ok(())
    }

    /// It has a device number of its own, as others see it that stay on one filesystem; and is told so before it is opened.
    pub(crate) fn subvolume(route: Route, _log: &Log) -> io::Result<()> {
        const TEST: &str = "a_subvolume_is_a_filesystem_of_its_own";
        let missing = Requirements::disk(FsKind::Btrfs).missing();
        if !missing.is_empty() {
            println!("skip: {TEST}: {}", missing.join(", "));
            return Ok(());
        }
        let disk = HeldDisk::new(FsKind::Btrfs, FsKind::Btrfs.size_bytes_min())?;
        let below = disk.path().join("below");
        let mut command = std::process::Command::new("btrfs");
        let made = command
            .args(["-q", "subvolume", "create"])
            .arg(&below)
            .output()?;
        assert!(made.status.success(), "{made:?}");
        fs::write(below.join("inside"), "text")?;
        fs::write(disk.path().join("beside"), "text")?;
        let runtime = runtime()?;
        runtime.block_on(async {
            Handle::builder().route(route).install().expect("a handle");
            for same in [false, true] {
                for asks in [false, true] {
                    let theirs = walkdir::WalkDir::new(disk.path()).same_file_system(same);
                    let theirs = theirs.into_iter().map(|entry| entry.unwrap().into_path());
                    let walk = WalkDir::new(disk.path()).same_file_system(same);
                    let mut walk = walk.metadata(asks).walk();
                    let mut ours = BTreeSet::new();
                    while let Some(entry) = walk.next().await {
                        let entry = entry.unwrap();
                        let is_left_out = same && asks && entry.path() == below;
                        assert_eq!(entry.is_mount_point(), is_left_out);
                        ours.insert(entry.path());
                    }
                    assert_eq!(ours, theirs.collect());
                    assert_eq!(walk.stats().mount_points, u64::from(same));
                }
            }
        });
        drop(runtime);
        drop(disk);
        Ok(())
    }

    /// Two files that take long, one after the other, in a walk that has one thread for all: each is told of, once.
    pub(crate) fn warned_of_once(route: Route, log: &Log) -> io::Result<()> {
        const LONG: Duration = Duration::from_millis(300);
        let options = StalledFuse::options().with_attr_timeout(Duration::ZERO);
        let fuse = options.with_max_hold(Duration::from_secs(90)).create()?;
        let names = ["a", "b", "c"];
        for name in names {
            fs::write(fuse.backing_path().join(name), "text")?;
            fs::metadata(fuse.path().join(name))?;
        }
        let root = fuse.path().to_path_buf();
        let (done, is_done) = mpsc::channel::<()>();
        let hold = |name| fuse.hold(&[Request::Getattr], &format!("/{name}"));
        let holds = [("a", hold("a")?), ("c", hold("c")?)];
        let walker = std::thread::spawn(move || -> io::Result<()> {
            let runtime = runtime()?;
            runtime.block_on(async {
                let beat = Duration::from_millis(50);
                let builder = Handle::builder().route(route).heartbeat_interval(beat);
                builder.warn_after(LONG).install().expect("a handle");
                let walk = WalkDir::new(root).metadata(true).sort(WalkSort::Name);
                let found = walk.walk().map(|entry| entry.unwrap()).count().await;
                assert_eq!(found, 1 + names.len());
            });
            drop(done);
            Ok(())
        });
        let told = |name: &str| {
            let path = fuse.path().join(name);
            let is_it = |line: &&String| {
                line.contains("takes long") && line.contains(&path.display().to_string())
            };
            log.lines().iter().filter(is_it).count()
        };
        for (name, hold) in holds {
            while told(name) == 0 {
                let ended = is_done.recv_timeout(Duration::from_millis(10));
                assert_eq!(
                    ended,
                    Err(mpsc::RecvTimeoutError::Timeout),
                    "{:?}",
                    log.lines()
                );
            }
            // It is looked at several times more while it stays.
            let _ = is_done.recv_timeout(LONG);
            drop(hold);
        }
        walker.join().unwrap()?;
        assert_eq!(names.map(told), [1, 0, 1], "{:?}", log.lines());
        Ok(())
    }

    pub(crate) fn some_are_stuck(route: Route, log: &Log) -> io::Result<()> {
        log.take();
        run(route, |root| Box::pin(async move { named(&root).await }))
    }

    pub(crate) fn dropped(route: Route, _log: &Log) -> io::Result<()> {
        run(route, drop_it)
    }

    /// A tree of 2 000 entries, of which 20 get no answer: ten files, and ten directories.
    fn run(route: Route, scene: Walked) -> io::Result<()> {
        let options = StalledFuse::options().with_entry_timeout(Duration::from_secs(3600));
        let options = options.with_attr_timeout(Duration::ZERO);
        let fuse = options.with_max_hold(Duration::from_secs(90)).create()?;
        for dir in 0..DIRS {
            let path = fuse.backing_path().join(format!("{dir:02}"));
            fs::create_dir(&path)?;
            for file in 0..FILES - 1 {
                fs::write(path.join(format!("{file}")), "text")?;
            }
            match dir % 2 {
                0 => fs::create_dir(path.join("stuck"))?,
                _ => fs::write(path.join("stuck"), "text")?,
            }
        }
        // Names are known to the kernel, so that what is stuck holds up no lookup beside it.
        for entry in walkdir::WalkDir::new(fuse.path()) {
            entry?.metadata()?;
        }
        let mut holds = Vec::new();
        for dir in 0..DIRS {
            let requests: &[Request] = match dir % 2 {
                0 => &[Request::Open, Request::Readdir],
                _ => &[Request::Getattr],
            };
            holds.push(fuse.hold(requests, &format!("/{dir:02}/stuck"))?);
        }
        let runtime = runtime()?;
        let path = fuse.path().to_path_buf();
        runtime.block_on(async {
            let beat = Duration::from_millis(50);
            let builder = Handle::builder().route(route).heartbeat_interval(beat);
            let handle = builder.install().expect("a handle");
            scene(path).await;
            drop(holds);
            handle.shutdown(Duration::from_secs(10)).await;
        });
        runtime.shutdown_background();
        Ok(())
    }

    async fn named(root: &Path) {
        let mut beats = Handle::current().expect("a handle").heartbeat();
        let mut walk = WalkDir::new(root).metadata(true).timeout(TIMEOUT).walk();
        let watch = walk.watch();
        // Seen by the heartbeat and by the walk's own view while it is stuck.
        let seen = tokio::spawn(async move {
            let (mut beaten, mut watched) = (false, false);
            while !(beaten && watched) && beats.changed().await.is_ok() {
                let oldest = beats.borrow_and_update().oldest.clone();
                let path = oldest.and_then(|op| op.path);
                // Whoever is stuck has come through directories, which were found.
                let is_stuck = path.is_some_and(|path| path.ends_with("stuck"));
                beaten |= is_stuck && beats.borrow().entries_walked > 0;
                let now = watch.now();
                watched |= now.first().is_some_and(|now| now.path.ends_with("stuck"));
            }
            (beaten, watched)
        });
        let began = std::time::Instant::now();
        let (mut found, mut errors) = (BTreeSet::new(), Vec::new());
        while let Some(entry) = walk.next().await {
            match entry {
                Ok(entry) => assert!(found.insert(entry.path())),
                Err(error) => errors.push(error),
            }
        }
        let took = began.elapsed();
        assert_eq!(seen.await.unwrap(), (true, true));
        let mut stuck: Vec<_> = errors
            .iter()
            .map(|error| error.path().to_path_buf())
            .collect();
        stuck.sort();
        let expected: Vec<_> = (0..DIRS)
            .map(|dir| root.join(format!("{dir:02}/stuck")))
            .collect();
        assert_eq!(stuck, expected);
        for error in &errors {
            assert!(error.is_soft() && error.is_timeout(), "{error}");
            let is_dir = matches!(error.call(), WalkCall::Open | WalkCall::List);
            assert_eq!(is_dir, error.is_directory_lost());
        }
        // Directories are told before they are opened.
        assert_eq!(found.len(), 1 + DIRS + DIRS * FILES - DIRS / 2);
        let stats = walk.stats();
        assert_eq!((stats.timeouts, stats.errors), (DIRS as u64, DIRS as u64));
        assert_eq!(stats.lost_directories, DIRS as u64 / 2);
        assert!(stats.taken_over >= DIRS as u64);
        // One after the other they would take 20 times as long.
        assert!(took < TIMEOUT * 6, "{took:?}");
    }

    fn drop_it(root: PathBuf) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move {
            let mut walk = WalkDir::new(&root).metadata(true).walk();
            let watch = walk.watch();
            // All that answers has come, and the rest is waited for.
            for _ in 0..1 + DIRS + DIRS * FILES - DIRS / 2 {
                walk.next().await.unwrap().unwrap();
            }
            assert!(!watch.is_over());
            drop(walk);
            assert!(watch.is_over());
        })
    }
}
