//! What the integration tests share: runtimes pinned to each backend.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod child;
pub(crate) mod compounds;
pub(crate) mod kernel;
pub(crate) mod log;

use std::future::Future;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidegate::opcode::TABLE;
use tidegate::{Errors, Handle, Route, Way};

/// Every way a test runs: pinned to the ring, pinned to blocking threads, and as users get it.
pub(crate) const ROUTES: [Route; 3] = [Route::Ring, Route::Pool, Route::Auto];

/// One test of the program at a time: what they have in common is the process's.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An empty folder, which the process is in from now on.
pub(crate) fn enter(root: &Path) {
    let _ = std::fs::remove_dir_all(root);
    std::fs::create_dir_all(root).unwrap();
    std::env::set_current_dir(root).unwrap();
}

/// Runs the test on each backend, on a multi-thread and on a current-thread runtime.
pub(crate) fn on_every_backend<F>(test: impl Fn(Route) -> F)
where
    F: Future<Output = ()>,
{
    for route in routes() {
        for multi in [true, false] {
            on(route, multi, &test);
        }
    }
}

/// Runs the test once on each backend, for tests that are too long for both kinds of runtime.
pub(crate) fn on_each_route<F>(test: impl Fn(Route) -> F)
where
    F: Future<Output = ()>,
{
    for route in routes() {
        on(route, route != Route::Pool, &test);
    }
}

/// Runs the test once on each of these backends, with errors told so.
pub(crate) fn on_routes_with<F>(routes: &[Route], errors: Errors, test: impl Fn(Route) -> F)
where
    F: Future<Output = ()>,
{
    for &route in routes {
        eprintln!("on {route:?}, errors {errors:?}");
        runtime(route != Route::Pool).block_on(async {
            let builder = Handle::builder().route(route).errors(errors);
            builder.install().unwrap();
            test(route).await;
        });
    }
}

/// The backends that there are here.
pub(crate) fn routes() -> Vec<Route> {
    let mut routes = ROUTES.to_vec();
    if !has_ring() {
        routes.retain(|&route| route != Route::Ring);
    }
    routes
}

/// How many operations the rings of a runtime's own threads took.
pub(crate) fn on_worker_rings(handle: &Handle) -> u64 {
    let stats = handle.stats();
    let kinds = TABLE.iter().map(|row| row.kind);
    kinds.map(|kind| stats.count(kind, Way::WorkerRing)).sum()
}

/// Whether there is a ring; says why, if not, and fails where nothing forbids it.
pub(crate) fn has_ring() -> bool {
    let reason = tidegate::probe::report().ring_reason();
    if let Some(reason) = reason {
        eprintln!("skip: ring: {reason}");
        assert!(!kernel::must_have_ring(), "no ring was found: {reason}");
    }
    reason.is_none()
}

/// A runtime with threads of its own, or one that runs on the calling thread.
pub(crate) fn runtime(multi: bool) -> tokio::runtime::Runtime {
    let mut builder = match multi {
        true => tokio::runtime::Builder::new_multi_thread(),
        false => tokio::runtime::Builder::new_current_thread(),
    };
    builder.worker_threads(2).enable_all().build().unwrap()
}

fn on<F>(route: Route, multi: bool, test: &impl Fn(Route) -> F)
where
    F: Future<Output = ()>,
{
    let kind = if multi {
        "multi-thread"
    } else {
        "current-thread"
    };
    eprintln!("on {route:?}, {kind}");
    runtime(multi).block_on(async {
        Handle::builder().route(route).install().unwrap();
        test(route).await;
    });
}

/// Waits until the runtime's handle has nothing in flight: what was given up may not be over yet.
pub(crate) async fn until_idle() {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let handle = Handle::current().unwrap();
    while handle.stats().in_flight > 0 {
        assert!(std::time::Instant::now() < end, "{:?}", handle.stats());
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// Seeds of random sequences, which are printed: so many that were never played before, or as many as
/// `TIDEGATE_TEST_ROUNDS` says; or the one that `TIDEGATE_TEST_SEED` gives, to play it again.
pub(crate) fn seeds(rounds: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    if let Some(seed) = number("TIDEGATE_TEST_SEED") {
        return vec![seed];
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let first = now.map_or(1, |now| now.as_micros() as u64 % 1_000_000_007);
    let rounds = number("TIDEGATE_TEST_ROUNDS").unwrap_or(rounds);
    eprintln!("seeds {first}..{}", first + rounds);
    (first..first + rounds).collect()
}
