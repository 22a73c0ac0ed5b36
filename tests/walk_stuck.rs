//! Walks through trees in which some files and directories never answer: those are named, the rest is walked, and
//! what is waited for can be seen meanwhile.
//!
//! The holds are still in force when a walk is at its end: that is the assertion. Only then they are released.

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
    let scenes: [(&str, stuck::Scene); 2] = [
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
            let shown = name.clone();
            trials.push(Trial::ignorable_test(name, move || {
                let mut missing = Requirements::fuse().missing();
                if let (Route::Ring, Some(reason)) =
                    (route, tidegate::probe::report().ring_reason())
                {
                    missing.push(format!("a ring: {reason}"));
                }
                if missing.is_empty() {
                    stuck::run(route, scene)?;
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
    use std::time::Duration;

    use futures::StreamExt;
    use tidegate::fs::{WalkCall, WalkDir};
    use tidegate::{Handle, Route};
    use tidegate_rig::{Request, StalledFuse};

    const DIRS: usize = 20;
    const FILES: usize = 100;
    const TIMEOUT: Duration = Duration::from_secs(2);

    pub(crate) type Scene = fn(PathBuf) -> Pin<Box<dyn Future<Output = ()>>>;

    /// A tree of 2 000 entries, of which 20 get no answer: ten files, and ten directories.
    pub(crate) fn run(route: Route, scene: Scene) -> io::Result<()> {
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
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
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

    pub(crate) fn some_are_stuck(root: PathBuf) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move { named(&root).await })
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
                beaten |= path.is_some_and(|path| path.ends_with("stuck"));
                let now = watch.now();
                watched |= now.first().is_some_and(|now| now.path.ends_with("stuck"));
            }
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
        seen.await.unwrap();
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

    pub(crate) fn dropped(root: PathBuf) -> Pin<Box<dyn Future<Output = ()>>> {
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
