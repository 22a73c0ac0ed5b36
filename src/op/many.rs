//! Several operations at a time, with a bound.

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
    let mut waiting = futures.into_iter();
    let mut running: Vec<Running<F>> = Vec::new();
    let mut yielded: Vec<Option<F::Output>> = Vec::new();
    loop {
        while running.len() < bound {
            let Some(future) = waiting.next() else { break };
            let place = yielded.len();
            yielded.push(None);
            let future = Box::pin(future);
            running.push(Running { place, future });
        }
        if running.is_empty() {
            return yielded.into_iter().flatten().collect();
        }
        one_more(&mut running, &mut yielded).await;
    }
}

/// Waits until at least one more is done.
async fn one_more<F: Future>(running: &mut Vec<Running<F>>, yielded: &mut [Option<F::Output>]) {
    poll_fn(|cx| {
        let before = running.len();
        running.retain_mut(|one| match one.future.as_mut().poll(cx) {
            Poll::Ready(output) => {
                yielded[one.place] = Some(output);
                false
            }
            Poll::Pending => true,
        });
        if running.len() < before {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
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
