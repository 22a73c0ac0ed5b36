//! Fairness: an operation that is ready at once still spends the task's turn.

use std::cell::Cell;
use std::future::poll_fn;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::limits::{READY_OPS_PER_ROUND, READY_OPS_PER_TURN_MAX, READY_OPS_PER_TURN_MIN};

thread_local!(static LEFT: Cell<usize> = const { Cell::new(READY_OPS_PER_TURN_MIN) });

/// Spends one operation of tokio's cooperative budget, and yields once the operations that were ready
/// at once on this thread have used up theirs. It is called after the work, so nothing is lost if the
/// task is dropped here.
pub(crate) async fn spend() {
    let left = LEFT.get();
    if left <= 1 {
        LEFT.set(turn());
        return tokio::task::yield_now().await;
    }
    LEFT.set(left - 1);
    poll_fn(|cx| tokio::task::coop::poll_proceed(cx).map(|budget| budget.made_progress())).await;
}

/// Operations until the next yield: few where many tasks may wait for their turn, more where few do,
/// since a yield wakes another worker to look for work, which costs as much as several operations.
fn turn() -> usize {
    let Ok(here) = Handle::try_current() else {
        return READY_OPS_PER_TURN_MIN;
    };
    let metrics = here.metrics();
    let workers = match here.runtime_flavor() {
        RuntimeFlavor::CurrentThread => 1,
        _ => metrics.num_workers(),
    };
    let tasks = metrics.num_alive_tasks().max(1);
    (READY_OPS_PER_ROUND * workers / tasks).clamp(READY_OPS_PER_TURN_MIN, READY_OPS_PER_TURN_MAX)
}
