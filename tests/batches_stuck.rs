//! Batches on a filesystem of which some entries never answer: these are told, and all others are done.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use libtest_mimic::{Arguments, Completion, Trial};
    use tidegate::Route;
    use tidegate_rig::Requirements;

    tidegate_rig::init();
    let mut args = Arguments::from_args();
    args.test_threads = Some(1);
    let routes = [Route::Ring, Route::Pool, Route::Auto];
    let trials = routes.into_iter().flat_map(|route| {
        stuck::TESTS.iter().map(move |&(name, test)| {
            let name = format!("{route:?}::{name}");
            let shown = name.clone();
            Trial::ignorable_test(name, move || {
                let mut missing = Requirements::fuse().missing();
                if let (Route::Ring, Some(reason)) =
                    (route, tidegate::probe::report().ring_reason())
                {
                    missing.push(format!("a ring: {reason}"));
                }
                if missing.is_empty() {
                    // What a stuck call holds ends with the tree, after the runtime.
                    test(route)?;
                    return Ok(Completion::Completed);
                }
                let reason = missing.join(", ");
                println!("skip: {shown}: {reason}");
                Ok(Completion::ignored_with(reason))
            })
        })
    });
    libtest_mimic::run(&args, trials.collect()).exit_code()
}

#[cfg(target_os = "linux")]
mod stuck {
    use std::io;
    use std::path::PathBuf;
    use std::time::Duration;

    use tidegate::fs::{self, Expected, OpenOptions, StatxOptions};
    use tidegate::opcode::Kind;
    use tidegate::{Drift, Error, Handle, Route, Timeouts};
    use tidegate_rig::{Request, StalledFuse};

    pub(crate) type Test = fn(Route) -> io::Result<()>;
    pub(crate) const TESTS: &[(&str, Test)] = &[
        ("stuck_attributes_are_told_and_all_others_done", attributes),
        ("links_of_a_batch_are_made", links),
        ("stuck_opens_are_told_and_all_others_done", opens),
        ("stuck_reads_are_told_and_all_others_done", reads),
        ("the_handles_limit_is_that_of_each", defaults),
        ("what_is_in_work_is_seen", seen),
        ("where_all_are_slow_many_are_in_work", many),
        ("a_bound_holds", bound),
        ("a_change_at_each_step_of_a_read_is_told", steps),
    ];
    const FILES: usize = 400;
    const STUCK: usize = 20;
    const TIMEOUT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_secs(20);

    /// A tree whose names the kernel remembers, and whose attributes it asks for each time.
    fn tree() -> io::Result<StalledFuse> {
        let tree = StalledFuse::options()
            .with_entry_timeout(Duration::from_secs(3600))
            .with_attr_timeout(Duration::ZERO)
            .with_max_hold(Duration::from_secs(60))
            .create()?;
        for file in 0..FILES {
            let name = name(file);
            std::fs::write(tree.backing_path().join(&name), &name)?;
            std::fs::metadata(tree.path().join(&name))?;
        }
        Ok(tree)
    }

    fn name(file: usize) -> String {
        match file % (FILES / STUCK) {
            7 => format!("stuck-{file}"),
            _ => format!("file-{file}"),
        }
    }

    fn paths(tree: &StalledFuse) -> Vec<PathBuf> {
        (0..FILES)
            .map(|file| tree.path().join(name(file)))
            .collect()
    }

    fn on(route: Route, test: impl AsyncFnOnce()) {
        on_with(route, None, test);
    }

    fn on_with(route: Route, limit: Option<Duration>, test: impl AsyncFnOnce()) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut builder = Handle::builder().route(route);
            if let Some(limit) = limit {
                let mut timeouts = Timeouts::default();
                timeouts.metadata = Some(limit);
                builder = builder.timeouts(timeouts);
            }
            builder.install().unwrap();
            test().await;
        });
        runtime.shutdown_background();
    }

    #[track_caller]
    fn check<T: std::fmt::Debug>(paths: &[PathBuf], results: &[io::Result<T>], kind: Kind) {
        assert_eq!(results.len(), paths.len());
        let mut stuck = 0;
        for (path, result) in paths.iter().zip(results) {
            if !path.to_str().unwrap().contains("stuck") {
                assert!(result.is_ok(), "{path:?}: {result:?}");
                continue;
            }
            stuck += 1;
            let error = result.as_ref().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{path:?}: {error}");
            let typed = Error::from_io(error).unwrap();
            assert_eq!(
                (typed.path(), typed.operation()),
                (Some(&**path), Some(kind))
            );
        }
        assert_eq!(stuck, STUCK);
    }

    fn attributes(route: Route) -> io::Result<()> {
        let tree = tree()?;
        let hold = tree.hold(&[Request::Getattr], "/stuck")?;
        on(route, async || {
            let paths = paths(&tree);
            let batch = fs::batch().entry_timeout(TIMEOUT);
            let found = batch.metadata(&paths, &StatxOptions::new()).await;
            check(&paths, &found, Kind::Statx);
        });
        hold.release()
    }

    /// Without a limit of its own each entry has the handle's.
    fn defaults(route: Route) -> io::Result<()> {
        let tree = tree()?;
        let hold = tree.hold(&[Request::Getattr], "/stuck")?;
        on_with(route, Some(TIMEOUT), async || {
            let paths = paths(&tree);
            let found = fs::metadata_many(&paths, &StatxOptions::new()).await;
            check(&paths, &found, Kind::Statx);
            assert!(
                tree.status().unwrap().held >= STUCK as u64,
                "the hold was over"
            );
        });
        hold.release()
    }

    /// Threads that wait for a server are joined by others.
    fn many(route: Route) -> io::Result<()> {
        let tree = tree()?;
        let hold = tree.hold(&[Request::Getattr], "/f")?;
        on(route, async || {
            let paths = paths(&tree);
            let batch = tokio::spawn(fs::metadata_many(paths, &StatxOptions::new()));
            tree.wait_held(32, LONG).unwrap();
            hold.release().unwrap();
            assert!(batch.await.unwrap().iter().all(|found| found.is_ok()));
        });
        Ok(())
    }

    fn links(route: Route) -> io::Result<()> {
        let tree = tree()?;
        let hold = tree.hold(&[Request::Namespace], "/stuck")?;
        let links: Vec<_> = paths(&tree)
            .iter()
            .map(|path| path.with_extension("link"))
            .collect();
        on(route, async || {
            let pairs = paths(&tree).into_iter().zip(&links);
            let batch = fs::batch().entry_timeout(TIMEOUT);
            // In one directory the kernel makes them one after the other, and a stuck one keeps the directory.
            let made = batch.hard_links(pairs.take(7)).await;
            assert!(made.iter().all(|made| made.is_ok()), "{made:?}");
        });
        hold.release()
    }

    fn opens(route: Route) -> io::Result<()> {
        let tree = tree()?;
        let hold = tree.hold(&[Request::Open], "/stuck")?;
        on(route, async || {
            let paths = paths(&tree);
            let options = OpenOptions::new().read(true).clone();
            let batch = fs::batch().entry_timeout(TIMEOUT);
            let opened = batch.open_files(&paths, &options).await;
            check(&paths, &opened, Kind::Open);
        });
        hold.release()
    }

    fn reads(route: Route) -> io::Result<()> {
        let tree = tree()?;
        let paths = paths(&tree);
        let seen = |path: &PathBuf| Ok(Expected::from(&std::fs::metadata(path)?));
        let seen = paths.iter().map(seen).collect::<io::Result<Vec<_>>>()?;
        for request in [Request::Getattr, Request::Open, Request::Read] {
            let hold = tree.hold(&[request], "/stuck")?;
            on(route, async || {
                let batch = fs::batch().entry_timeout(TIMEOUT);
                let read = batch.read_unchanged(paths.iter().zip(seen.clone())).await;
                let kind = match (route, request) {
                    // Each step is an operation there.
                    (Route::Ring, Request::Getattr) => Kind::Statx,
                    (Route::Ring, Request::Open) => Kind::Open,
                    (Route::Ring, _) => Kind::Read,
                    _ => Kind::ReadFile,
                };
                check(&paths, &read, kind);
            });
            hold.release()?;
        }
        Ok(())
    }

    /// The path of the entry that is in work is among what is in flight, and dropping the batch ends the others.
    fn seen(route: Route) -> io::Result<()> {
        let tree = tree()?;
        let hold = tree.hold(&[Request::Getattr], "/stuck-7")?;
        on(route, async || {
            let paths = paths(&tree);
            let wanted = tree.path().join("stuck-7");
            let options = StatxOptions::new();
            let batch = tokio::spawn(fs::batch().metadata(paths, &options));
            let end = std::time::Instant::now() + LONG;
            let handle = Handle::current().unwrap();
            let is_shown = || {
                handle
                    .in_flight()
                    .iter()
                    .any(|op| op.path.as_ref() == Some(&wanted))
            };
            while !is_shown() || handle.in_flight().len() > 1 {
                assert!(std::time::Instant::now() < end, "{:?}", handle.in_flight());
                tokio::task::yield_now().await;
            }
            batch.abort();
            assert!(batch.await.unwrap_err().is_cancelled());
        });
        hold.release()
    }

    /// No more are in work than was said.
    fn bound(route: Route) -> io::Result<()> {
        let tree = tree()?;
        for at_once in [1, 3] {
            let hold = tree.hold(&[Request::Getattr], "/f")?;
            on(route, async || {
                let paths: Vec<_> = paths(&tree)
                    .into_iter()
                    .filter(|path| !path.to_str().unwrap().contains("stuck"))
                    .collect();
                let options = StatxOptions::new();
                let batch = tokio::spawn(fs::batch().at_once(at_once).metadata(paths, &options));
                tree.wait_held(at_once, LONG).unwrap();
                assert_eq!(tree.status().unwrap().held, at_once as u64);
                hold.release().unwrap();
                assert!(batch.await.unwrap().iter().all(|found| found.is_ok()));
            });
        }
        Ok(())
    }

    /// The file is changed while each of the read's requests waits.
    fn steps(route: Route) -> io::Result<()> {
        let tree = tree()?;
        let (path, backing) = (
            tree.path().join("file-0"),
            tree.backing_path().join("file-0"),
        );
        for request in [Request::Getattr, Request::Open, Request::Read] {
            for how in ["append", "truncate", "rewrite"] {
                std::fs::write(&backing, "some text")?;
                std::fs::metadata(&path)?;
                let expected = Expected::from(&std::fs::metadata(&path)?);
                let hold = tree.hold(&[request], "/file-0")?;
                on(route, async || {
                    let owned = path.clone();
                    let reading =
                        tokio::spawn(async move { fs::read_unchanged(owned, &expected).await });
                    tree.wait_held(1, LONG).unwrap();
                    match how {
                        "append" => std::fs::write(&backing, "some text and more"),
                        "truncate" => std::fs::write(&backing, "some"),
                        _ => std::os::unix::fs::FileExt::write_all_at(
                            &std::fs::File::options().write(true).open(&backing).unwrap(),
                            b"text",
                            0,
                        ),
                    }
                    .unwrap();
                    hold.release().unwrap();
                    let error = reading.await.unwrap().unwrap_err();
                    let Some(Error::ChangedDuringRead { drift, .. }) = Error::from_io(&error)
                    else {
                        panic!("{error:?}, {how} at {request:?}")
                    };
                    let wanted = match how {
                        "rewrite" => [Drift::Modified, Drift::Changed],
                        _ => [Drift::Size, Drift::Size],
                    };
                    assert!(wanted.contains(drift), "{drift:?}, {how} at {request:?}");
                });
            }
        }
        Ok(())
    }
}
