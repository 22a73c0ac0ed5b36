//! Several operations at a time, with a bound.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// One of the operations at a time.
enum Slot<F: Future> {
    Running(Pin<Box<F>>),
    Done(F::Output),
}

/// Runs the futures, at most `bound` of them at a time, and returns what they yield in their order. The
/// next one starts as soon as any ends.
pub(crate) async fn in_order<F: Future>(
    bound: usize,
    futures: impl IntoIterator<Item = F>,
) -> Vec<F::Output> {
    let mut waiting = futures.into_iter();
    let mut slots: VecDeque<Slot<F>> = VecDeque::new();
    let mut yielded = Vec::new();
    loop {
        // Those that are over and wait for an earlier one do not count.
        let mut running = slots.iter().filter(|slot| is_running(slot)).count();
        while running < bound {
            let Some(future) = waiting.next() else { break };
            slots.push_back(Slot::Running(Box::pin(future)));
            running += 1;
        }
        if slots.is_empty() {
            return yielded;
        }
        one_more(&mut slots).await;
        while slots.front().is_some_and(|slot| !is_running(slot)) {
            if let Some(Slot::Done(output)) = slots.pop_front() {
                yielded.push(output);
            }
        }
    }
}

fn is_running<F: Future>(slot: &Slot<F>) -> bool {
    matches!(slot, Slot::Running(_))
}

/// Waits until at least one more is done.
async fn one_more<F: Future>(slots: &mut VecDeque<Slot<F>>) {
    poll_fn(|cx| {
        let mut progress = Poll::Pending;
        for slot in slots.iter_mut() {
            if let Slot::Running(future) = slot {
                if let Poll::Ready(output) = future.as_mut().poll(cx) {
                    *slot = Slot::Done(output);
                    progress = Poll::Ready(());
                }
            }
        }
        progress
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
