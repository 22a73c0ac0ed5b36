//! What all tests here have in common: the ways a handle works, what an operation that was given up says,
//! and what has to be true before and after.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed, Trial};
use tidegate::opcode::Kind;
use tidegate::{Builder, Error, Handle, LeftBehind, OpState, Route, Submit};
use tidegate_rig::{Requirements, StalledFuse, StalledFuseOptions, Status, files};
use tokio::runtime::Runtime;

/// The limit of what is held.
pub(crate) const LIMIT: Duration = Duration::from_millis(200);
/// Everything here ends long before this, or not at all.
pub(crate) const WAIT: Duration = Duration::from_secs(20);
/// Longer than any test; the rig's own limit is for tests that died.
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(60);
/// What each file of a tree has.
pub(crate) const FILE_BYTES: usize = 8192;

pub(crate) type Outcome = Result<(), Failed>;
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How the handle works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) route: Route,
    pub(crate) submit: Submit,
}

const fn way(name: &'static str, route: Route, submit: Submit) -> Way {
    Way {
        name,
        route,
        submit,
    }
}

/// Pinned to each backend, and as users get it.
pub(crate) const WAYS: [Way; 3] = [
    way("ring", Route::Ring, Submit::Auto),
    way("pool", Route::Pool, Submit::Auto),
    way("auto", Route::Auto, Submit::Auto),
];

/// With nothing submitted by the threads that poll.
pub(crate) const ISOLATED: [Way; 2] = [
    way("isolated", Route::Auto, Submit::Isolated),
    way("pool", Route::Pool, Submit::Isolated),
];

impl Way {
    pub(crate) fn is_pool(self) -> bool {
        self.route == Route::Pool
    }

    pub(crate) fn builder(self) -> Builder {
        Handle::builder().route(self.route).submit(self.submit)
    }

    /// Makes the handle of the runtime that this is called in.
    pub(crate) fn install(self) -> Result<Handle, Error> {
        self.builder().install()
    }

    /// Runs the test on a runtime of the calling thread.
    pub(crate) fn run(self, test: impl AsyncFnOnce(Handle) -> Outcome) -> Outcome {
        self.run_with(self.builder(), test)
    }

    pub(crate) fn run_with(
        self,
        builder: Builder,
        test: impl AsyncFnOnce(Handle) -> Outcome,
    ) -> Outcome {
        current_thread()?.block_on(async { test(builder.install()?).await })
    }
}

pub(crate) fn current_thread() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// A test that says by name what the machine lacks.
pub(crate) fn trial(
    name: String,
    needs: Requirements,
    route: Route,
    test: impl FnOnce() -> Outcome + Send + 'static,
) -> Trial {
    let shown = name.clone();
    Trial::ignorable_test(name, move || {
        let mut missing = needs.missing();
        if let (Route::Ring, Some(reason)) = (route, tidegate::probe::report().ring_reason()) {
            missing.push(format!("a ring: {reason}"));
        }
        if missing.is_empty() {
            return test().map(|()| Completion::Completed);
        }
        Ok(skip(&shown, &missing.join(", ")))
    })
}

pub(crate) fn skip(name: &str, reason: &str) -> Completion {
    println!("skip: {name}: {reason}");
    Completion::ignored_with(reason.to_owned())
}

pub(crate) fn ensure(truth: bool, what: impl Into<String>) -> Result<(), String> {
    if truth { Ok(()) } else { Err(what.into()) }
}

/// Waits until something has come about, while the runtime goes on.
pub(crate) async fn until(what: &str, mut reached: impl FnMut() -> bool) -> Result<(), String> {
    let end = Instant::now() + WAIT;
    while !reached() {
        ensure(Instant::now() < end, format!("{what}: not reached"))?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// The same on a thread that does nothing else.
pub(crate) fn until_blocking(what: &str, mut reached: impl FnMut() -> bool) -> Result<(), String> {
    let end = Instant::now() + WAIT;
    while !reached() {
        ensure(Instant::now() < end, format!("{what}: not reached"))?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// How many operations nobody waits for any more while the kernel or a thread still has them.
pub(crate) fn orphans(handle: &Handle) -> usize {
    let all = handle.in_flight();
    let orphaned = all.iter().filter(|op| op.state == OpState::Orphaned);
    orphaned.count()
}

/// Waits until the handle has nothing in flight: closes and chores have no future to wait for.
pub(crate) async fn drained(handle: &Handle) -> Result<(), String> {
    let idle = || handle.stats().in_flight == 0 && handle.in_flight().is_empty();
    let waited = until("nothing in flight", idle).await;
    waited.map_err(|error| format!("{error}: {:?}", handle.in_flight()))
}

/// Ends by itself, or the test fails.
pub(crate) async fn in_time<T>(what: &str, op: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(WAIT, op)
        .await
        .map_err(|_| format!("{what}: does not come to an end"))
}

/// A tree that asks about everything each time, with a directory and files whose names begin with `slow` and
/// with `quick`.
pub(crate) fn tree_with(
    names: usize,
    choose: impl FnOnce(StalledFuseOptions) -> StalledFuseOptions,
) -> io::Result<StalledFuse> {
    let options = StalledFuse::options()
        .with_entry_timeout(Duration::ZERO)
        .with_max_hold(HOLD_MAX);
    let tree = choose(options).create()?;
    for index in 0..names {
        for name in ["slow", "quick"] {
            let path = tree.backing_path().join(format!("{name}-{index}"));
            files::create(&path, FILE_BYTES as u64)?;
        }
    }
    Ok(tree)
}

pub(crate) fn tree(names: usize) -> io::Result<StalledFuse> {
    tree_with(names, |options| options)
}

/// The same, with names that the kernel knows for good, so that only what is held is asked about.
pub(crate) fn tree_of_known_names(names: usize) -> io::Result<StalledFuse> {
    let tree = tree_with(names, |options| options.with_entry_timeout(HOLD_MAX))?;
    for index in 0..names {
        std::fs::metadata(slow(&tree, index))?;
    }
    Ok(tree)
}

pub(crate) fn slow(tree: &StalledFuse, index: usize) -> PathBuf {
    tree.path().join(format!("slow-{index}"))
}

pub(crate) fn quick(tree: &StalledFuse, index: usize) -> PathBuf {
    tree.path().join(format!("quick-{index}"))
}

/// Waits until so many requests wait in the server.
pub(crate) async fn held(tree: &StalledFuse, count: u64) -> Result<(), String> {
    let now = || tree.status().map_or(0, |status| status.held);
    let waited = until(&format!("{count} requests held"), || now() >= count).await;
    waited.map_err(|error| format!("{error}, but {}", now()))
}

/// What ended has ended while the hold was on, and not because it was over. A thread that was given up may
/// still be on its way to the server.
pub(crate) fn still_held(
    status: impl Fn() -> io::Result<Status>,
    at_least: u64,
) -> Result<(), String> {
    let is_on = |status: &Status| status.rules > 0 && status.expired == 0;
    until_blocking("what was given up is held", || {
        status().is_ok_and(|status| !is_on(&status) || status.held >= at_least)
    })?;
    let status = status().map_err(|error| error.to_string())?;
    let on = is_on(&status) && status.held >= at_least;
    ensure(on, format!("the hold is over: {status:?}"))
}

/// What the typed error of an operation that was given up says.
#[derive(Clone, Debug)]
pub(crate) struct GivenUp {
    pub(crate) operation: Option<Kind>,
    pub(crate) path: Option<PathBuf>,
    pub(crate) elapsed: Duration,
    pub(crate) left: LeftBehind,
}

/// That it is over because its time was, and says so in each way.
pub(crate) fn timed_out(error: &io::Error) -> Result<GivenUp, String> {
    let wrong = || format!("not timed out: {error:?}");
    ensure(error.kind() == io::ErrorKind::TimedOut, wrong())?;
    match Error::from_io(error) {
        Some(Error::TimedOut {
            operation,
            path,
            elapsed,
            left,
        }) => Ok(GivenUp {
            operation: *operation,
            path: path.clone(),
            elapsed: *elapsed,
            left: *left,
        }),
        _ => Err(wrong()),
    }
}

/// That it is over because somebody asked for it.
pub(crate) fn cancelled(error: &io::Error) -> Result<GivenUp, String> {
    let wrong = || format!("not cancelled: {error:?}");
    ensure(error.kind() == io::ErrorKind::Other, wrong())?;
    match Error::from_io(error) {
        Some(Error::Cancelled {
            operation,
            path,
            elapsed,
            left,
        }) => Ok(GivenUp {
            operation: *operation,
            path: path.clone(),
            elapsed: *elapsed,
            left: *left,
        }),
        _ => Err(wrong()),
    }
}

/// What should have failed, and the error it failed with.
pub(crate) fn error_of<T, E: Into<io::Error>>(
    what: &str,
    result: Result<T, E>,
) -> Result<io::Error, String> {
    match result {
        Ok(_) => Err(format!("{what}: was done")),
        Err(error) => Ok(error.into()),
    }
}

/// That the bytes are those of the file from `offset` on.
pub(crate) fn right_bytes(offset: u64, bytes: &[u8]) -> Result<(), String> {
    let differs = files::first_difference(offset, bytes);
    ensure(differs.is_none(), format!("wrong bytes from {differs:?}"))
}

/// A directory on a filesystem that answers.
pub(crate) fn healthy_dir() -> io::Result<tempfile::TempDir> {
    tempfile::tempdir()
}

/// Whether this is the path an error or a report is about.
pub(crate) fn is_about(path: Option<&PathBuf>, expected: &Path) -> Result<(), String> {
    let same = path.map(PathBuf::as_path) == Some(expected);
    ensure(
        same,
        format!("about {path:?} instead of {}", expected.display()),
    )
}
