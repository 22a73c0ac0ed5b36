//! Several operations at a time, with a bound.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// One of the operations, with its place among the results.
struct Running<F> {
    place: usize,
    future: Pin<Box<F>>,
}

/// Runs the futures, at most `bound` of them at a time, and returns what they yield in their order. The
/// next one starts as soon as any ends.
pub(crate) async fn in_order<F: Future>(
    bound: usize,
    futures: impl IntoIterator<Item = F>,
) -> Vec<F::Output> {
    let unfailing = |future: F| async { Ok::<_, Infallible>(future.await) };
    let Ok(yielded) = try_in_order(bound, futures.into_iter().map(unfailing)).await;
    yielded
}

/// The same until one fails: the others are dropped then.
pub(crate) async fn try_in_order<T, E, F: Future<Output = Result<T, E>>>(
    bound: usize,
    futures: impl IntoIterator<Item = F>,
) -> Result<Vec<T>, E> {
    let mut waiting = futures.into_iter();
    let mut running: Vec<Running<F>> = Vec::new();
    let mut yielded: Vec<Option<T>> = Vec::new();
    loop {
        while running.len() < bound {
            let Some(future) = waiting.next() else { break };
            let place = yielded.len();
            yielded.push(None);
            let future = Box::pin(future);
            running.push(Running { place, future });
        }
        if running.is_empty() {
            return Ok(yielded.into_iter().flatten().collect());
        }
        one_more(&mut running, &mut yielded).await?;
    }
}

/// Waits until at least one more is done.
async fn one_more<T, E, F: Future<Output = Result<T, E>>>(
    running: &mut Vec<Running<F>>,
    yielded: &mut [Option<T>],
) -> Result<(), E> {
    poll_fn(|cx| {
        let (before, mut at) = (running.len(), 0);
        while let Some(one) = running.get_mut(at) {
            match one.future.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(output) => {
                    yielded[one.place] = Some(output?);
                    drop(running.swap_remove(at));
                }
            }
        }
        if running.len() < before {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A future that is pending for a while, and counts how many are begun and not over.
    async fn pending(turns: usize, now: &Cell<usize>, most: &Cell<usize>) -> usize {
        now.set(now.get() + 1);
        most.set(most.get().max(now.get()));
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        now.set(now.get() - 1);
        turns
    }

    /// All are done, in their order, never more than the bound at a time.
    #[tokio::test]
    async fn order_and_bound_are_kept() {
        for (count, bound) in [(0, 4), (1, 4), (4, 4), (100, 7), (30, 1)] {
            let (now, most) = (Cell::new(0), Cell::new(0));
            // Later ones are over before earlier ones.
            let turns = |index: usize| 1 + (index * 7919) % 13;
            let futures = (0..count).map(|index| pending(turns(index), &now, &most));
            let yielded = in_order(bound, futures).await;
            assert_eq!(yielded, (0..count).map(turns).collect::<Vec<_>>());
            assert_eq!(most.get(), count.min(bound));
        }
    }
}
