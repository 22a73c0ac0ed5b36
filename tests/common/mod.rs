//! What the integration tests share: runtimes pinned to each backend.
#![allow(dead_code, reason = "each test file uses its part")]

use std::future::Future;

use tidegate::{Handle, Route};

/// Every way a test runs: pinned to the ring, pinned to blocking threads, and as users get it.
pub(crate) const ROUTES: [Route; 3] = [Route::Ring, Route::Pool, Route::Auto];

/// Runs the test on each backend, on a multi-thread and on a current-thread runtime.
pub(crate) fn on_every_backend<F>(test: impl Fn(Route) -> F)
where
    F: Future<Output = ()>,
{
    for route in ROUTES {
        if route == Route::Ring {
            if let Some(reason) = tidegate::probe::report().ring_reason() {
                eprintln!("skip: ring: {reason}");
                continue;
            }
        }
        for multi in [true, false] {
            eprintln!(
                "on {route:?}, {}",
                if multi {
                    "multi-thread"
                } else {
                    "current-thread"
                }
            );
            let mut builder = match multi {
                true => tokio::runtime::Builder::new_multi_thread(),
                false => tokio::runtime::Builder::new_current_thread(),
            };
            let runtime = builder.worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                Handle::builder().route(route).install().unwrap();
                test(route).await;
            });
        }
    }
}
