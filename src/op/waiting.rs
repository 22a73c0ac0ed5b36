//! Waiting for what others do as well, as one sync for many callers: within the limits that each of them has.

use std::future::{Future, poll_fn};
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::base::fork::Born;
use crate::deadline::Limited;
use crate::driver::Driver;
use crate::driver::scope::{self, Until};
use crate::error::LeftBehind;
use crate::opcode::{DeadlineClass, Kind};

/// Waits until the future is over, or until a limit of its caller says that it is not waited for. `give_up` is asked
/// then, once, what that leaves behind. The handle's default counts where the caller has said nothing.
pub(crate) async fn within_limits<T>(
    driver: &Arc<Driver>,
    kind: Kind,
    path: Option<&Path>,
    give_up: impl Fn() -> LeftBehind,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let began = Instant::now();
    let mut future = pin!(unless_forked(Born::here(), kind, future));
    let wait = poll_fn(|cx| {
        if let Poll::Ready(over) = future.as_mut().poll(cx) {
            return Poll::Ready(over);
        }
        if let Some(why) = scope::refused() {
            let path = path.map(Path::to_path_buf);
            let error = why.error(Some(kind), path, began.elapsed(), give_up());
            return Poll::Ready(Err(error.into()));
        }
        scope::due_us(kind);
        Poll::Pending
    });
    match patience(driver, kind) {
        Some(patience) if !scope::is_limited() => {
            Limited::new(wait).until(Until::After(patience)).await
        }
        _ => wait.await,
    }
}

/// Waits for the future, and not in a forked child for what only threads of its parent bring about.
pub(crate) async fn unless_forked<T>(
    born: Born,
    kind: Kind,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        born.check(kind)?;
        future.as_mut().poll(cx)
    })
    .await
}

/// How long the handle lets it take.
fn patience(driver: &Driver, kind: Kind) -> Option<Duration> {
    let timeouts = &driver.settings().timeouts;
    match kind.row().deadline_class {
        DeadlineClass::Data => timeouts.data,
        DeadlineClass::Metadata => timeouts.metadata,
        DeadlineClass::Sync => timeouts.sync,
        DeadlineClass::Unbounded => None,
    }
}
