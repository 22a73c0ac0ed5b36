//! Fairness: an operation that is ready at once still spends the task's turn.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;

use crate::limits::READY_OPS_PER_TURN;

thread_local!(static LEFT: Cell<u8> = const { Cell::new(READY_OPS_PER_TURN) });

/// Spends one operation of tokio's cooperative budget, and yields once the operations that were ready
/// at once on this thread have used up theirs. It is called after the work, so nothing is lost if the
/// task is dropped here.
pub(crate) async fn spend() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        let left = LEFT.get();
        if left > 1 {
            LEFT.set(left - 1);
            return match tokio::task::coop::poll_proceed(cx) {
                Poll::Ready(budget) => {
                    budget.made_progress();
                    Poll::Ready(())
                }
                // tokio has arranged the wake-up.
                Poll::Pending => Poll::Pending,
            };
        }
        LEFT.set(READY_OPS_PER_TURN);
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
