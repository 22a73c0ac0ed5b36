//! Fairness: an operation that is ready at once still spends the task's turn.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;

use crate::limits::READY_OPS_PER_TURN;

thread_local!(static LEFT: Cell<u8> = const { Cell::new(READY_OPS_PER_TURN) });

/// Spends one operation of tokio's cooperative budget, and yields once the operations that were ready
/// at once on this thread have used up theirs. It is called after the work, so nothing is lost if the
/// task is dropped here.
///
/// tokio's own yield is used: a task that only wakes itself also wakes an idle worker to steal it,
/// which costs more than the operations did. Outside of tokio it is the same as waking oneself.
pub(crate) async fn spend() {
    let left = LEFT.get();
    if left <= 1 {
        LEFT.set(READY_OPS_PER_TURN);
        return tokio::task::yield_now().await;
    }
    LEFT.set(left - 1);
    poll_fn(|cx| tokio::task::coop::poll_proceed(cx).map(|budget| budget.made_progress())).await;
}
