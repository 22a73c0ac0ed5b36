//! Limits that hold whatever the kernel and the runtime do.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tidegate::fs::{self, File};
use tidegate::opcode::Kind;
use tidegate::{Handle, LeftBehind, OpExt};
use tidegate_rig::{Request, StalledFuse};

use crate::cases::{Bench, CASES, Case};
use crate::stage::{
    HOLD_MAX, LIMIT, Outcome, WAIT, Way, drained, ensure, error_of, held, in_time, is_about,
    orphans, slow, still_held, timed_out, tree, tree_of_known_names, tree_with, until_blocking,
};
use crate::traces::Traces;

/// Each request is held in turn; everything that hangs there is over at its limit, and comes back.
pub(crate) fn independent_of_ring(way: Way) -> Outcome {
    let tree = tree(0)?;
    way.run(async |handle| {
        for case in CASES {
            // Does what it should where nothing is held, which also starts the threads that it needs.
            for op in (case.ops)(Bench::make(&tree).await?, HOLD_MAX) {
                op.future
                    .await
                    .map_err(|error| format!("{:?}: {error}", op.kind))?;
            }
        }
        drained(&handle).await?;
        let before = Traces::now();
        for case in CASES {
            let done = one_request(way, &tree, case).await;
            done.map_err(|error| format!("{:?} held: {error}", case.request))?;
            drained(&handle).await?;
            ensure(orphans(&handle) == 0, "orphans are left")?;
        }
        before.return_to().await?;
        Ok(())
    })
}

async fn one_request(way: Way, tree: &StalledFuse, case: &Case) -> Result<(), String> {
    let said = |error: io::Error| error.to_string();
    let ops = (case.ops)(Bench::make(tree).await.map_err(said)?, LIMIT);
    let guard = tree.hold(&[case.request], "/slow").map_err(said)?;
    let (expected, futures): (Vec<_>, Vec<_>) = ops
        .into_iter()
        .map(|op| ((op.kind, op.path), op.future))
        .unzip();
    let results = in_time("the operations", futures::future::join_all(futures)).await?;
    still_held(|| tree.status(), results.len() as u64)?;
    let mut longest = Duration::ZERO;
    for ((kind, path), result) in expected.into_iter().zip(results) {
        let error = error_of(kind.name(), result)?;
        let given_up = timed_out(&error)?;
        // Pinned to the ring, what reads or writes a whole file is made of its steps.
        let steps = matches!(kind, Kind::ReadFile | Kind::WriteFile)
            && matches!(
                given_up.operation,
                Some(Kind::Open | Kind::Read | Kind::ReadSmallFile | Kind::Write)
            );
        ensure(
            steps || given_up.operation == Some(kind),
            format!("{given_up:?} instead of {kind:?}"),
        )?;
        if let Some(path) = path.filter(|_| !steps) {
            is_about(given_up.path.as_ref(), &path)?;
        }
        ensure(
            steps || given_up.elapsed >= LIMIT,
            format!("{given_up:?}: too soon"),
        )?;
        ensure(
            given_up.left == LeftBehind::Detached,
            format!("{given_up:?}: a server has it"),
        )?;
        longest = longest.max(given_up.elapsed);
    }
    println!(
        "    {}: {:?} held: given up {:.1} ms after the limit at most",
        way.name,
        case.request,
        longest.saturating_sub(LIMIT).as_secs_f64() * 1e3
    );
    guard.release().map_err(said)
}

/// The runtime's only thread does nothing for it: it is given up all the same.
pub(crate) fn while_the_thread_is_busy(way: Way) -> Outcome {
    let tree = tree_of_known_names(1)?;
    way.run(async |handle| {
        let guard = tree.hold(&[Request::Getattr], "/slow")?;
        let op = fs::statx(slow(&tree, 0)).timeout(LIMIT);
        // On the runtime's thread, which does nothing else meanwhile.
        let result = polled_when_woken(op)?;
        let given_up = timed_out(&error_of("statx", result)?)?;
        ensure(
            given_up.left == LeftBehind::Detached,
            format!("{given_up:?}"),
        )?;
        still_held(|| tree.status(), 1)?;
        guard.release()?;
        Ok(drained(&handle).await?)
    })
}

/// The same with a server that hears the kernel's cancel: it hears it while the thread is busy.
pub(crate) fn cancelled_while_the_thread_is_busy(way: Way) -> Outcome {
    if way.is_pool() {
        // A blocking call is not called back.
        return Ok(());
    }
    let tree = tree_with(1, |options| {
        options
            .with_interrupts(true)
            .with_entry_timeout(HOLD_MAX)
            .with_max_hold(HOLD_MAX)
    })?;
    std::fs::metadata(slow(&tree, 0))?;
    way.run(async |handle| {
        let _guard = tree.hold(&[Request::Getattr], "/slow")?;
        let mut op = pin!(fs::statx(slow(&tree, 0)).timeout(LIMIT));
        ensure(futures::poll!(op.as_mut()).is_pending(), "it did not wait")?;
        until_blocking("the server is told", || {
            tree.status().is_ok_and(|status| status.interrupted == 1)
        })?;
        // The kernel's answer comes through our own threads, or through the runtime's.
        let result = in_time("the result", op).await?;
        timed_out(&error_of("statx", result)?)?;
        drained(&handle).await?;
        ensure(tree.status()?.rules == 1, "the hold is over")?;
        Ok(())
    })
}

/// A runtime that was built without a timer, and none at all.
pub(crate) fn without_a_timer(way: Way) -> Outcome {
    let tree = tree_of_known_names(2)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let guard = tree.hold(&[Request::Getattr], "/slow")?;
    runtime.block_on(async {
        way.install()?;
        let result = fs::metadata(slow(&tree, 0)).timeout(LIMIT).await;
        timed_out(&error_of("metadata", result)?)?;
        still_held(|| tree.status(), 1)?;
        Outcome::Ok(())
    })?;
    // The process's own handle.
    let result = futures::executor::block_on(fs::metadata(slow(&tree, 1)).timeout(LIMIT));
    timed_out(&error_of("metadata", result)?)?;
    still_held(|| tree.status(), 2)?;
    guard.release()?;
    let outside = Handle::current()?;
    until_blocking("nothing in flight", || outside.stats().in_flight == 0)?;
    Ok(())
}

/// A limit that has passed, or none at all: nothing is begun.
pub(crate) fn passed_already(way: Way) -> Outcome {
    let tree = tree_of_known_names(1)?;
    way.run(async |_| {
        let path = slow(&tree, 0);
        let file = File::open(&path).await?;
        let before = tree.status()?;
        let passed = Instant::now();
        let error = error_of("statx", fs::statx(&path).deadline_at(passed).await)?;
        let left = timed_out(&error)?.left;
        ensure(left == LeftBehind::NothingHappened, format!("{left:?}"))?;
        let read = file.read_at(vec![7; 10], 0).deadline_at(passed).await;
        let (error, buf) = read.err().ok_or("was done")?.into_parts();
        let left = timed_out(&error)?.left;
        ensure(left == LeftBehind::NothingHappened, format!("{left:?}"))?;
        ensure(
            buf.is_none_or(|buf| buf == [7; 10]),
            "the buffer was touched",
        )?;
        let error = error_of("statx", fs::statx(&path).timeout(Duration::ZERO).await)?;
        ensure(
            error.kind() == io::ErrorKind::InvalidInput,
            error.to_string(),
        )?;
        ensure(tree.status()? == before, "the server was asked")?;
        // No limit is none.
        fs::statx(&path).timeout(Duration::MAX).await?;
        Ok(())
    })
}

/// Several operations under one limit: it is the limit of the whole.
pub(crate) fn composite_has_one_budget(way: Way) -> Outcome {
    let tree = tree_of_known_names(8)?;
    way.run(async |handle| {
        // Each answer alone would be in time; all of them are not.
        let late = tree.delay(LIMIT / 4, &[Request::Getattr], "/slow")?;
        let begun = tree.status()?.seen(Request::Getattr);
        let walk = async {
            for index in 0..8 {
                fs::statx(slow(&tree, index)).await?;
            }
            io::Result::Ok(())
        };
        let error = error_of("all of it", walk.timeout(LIMIT).await)?;
        let given_up = timed_out(&error)?;
        ensure(
            given_up.operation == Some(Kind::Statx),
            format!("{given_up:?}"),
        )?;
        let asked = tree.status()?.seen(Request::Getattr) - begun;
        ensure((1..8).contains(&asked), format!("{asked} were asked for"))?;
        late.release()?;
        drained(&handle).await?;
        ensure(
            tree.status()?.seen(Request::Getattr) - begun == asked,
            "it went on afterwards",
        )?;
        // An inner limit that comes first is the one that counts, and so is an outer one.
        let guard = tree.hold(&[Request::Getattr], "/slow")?;
        let inner = async { fs::statx(slow(&tree, 0)).timeout(LIMIT).await };
        timed_out(&error_of("inner", inner.timeout(HOLD_MAX).await)?)?;
        let outer = async { fs::statx(slow(&tree, 1)).timeout(HOLD_MAX).await };
        timed_out(&error_of("outer", outer.timeout(LIMIT).await)?)?;
        still_held(|| tree.status(), 2)?;
        guard.release()?;
        Ok(drained(&handle).await?)
    })
}

/// The handle's defaults hold where nothing was said, and not where something was.
pub(crate) fn defaults(way: Way) -> Outcome {
    let tree = tree_of_known_names(2)?;
    let mut timeouts = tidegate::Timeouts::default();
    timeouts.metadata = Some(LIMIT);
    way.run_with(way.builder().timeouts(timeouts), async |handle| {
        let guard = tree.hold(&[Request::Getattr], "/slow")?;
        let result = in_time("a default", fs::statx(slow(&tree, 0))).await?;
        timed_out(&error_of("statx", result)?)?;
        still_held(|| tree.status(), 1)?;
        let longer = tokio::spawn(fs::statx(slow(&tree, 1)).timeout(HOLD_MAX));
        held(&tree, 2).await?;
        // Later than the default: another that began afterwards has met it.
        let result = in_time("a default", fs::statx(slow(&tree, 0))).await?;
        timed_out(&error_of("statx", result)?)?;
        ensure(!longer.is_finished(), "the default was applied")?;
        guard.release()?;
        longer.await??;
        Ok(drained(&handle).await?)
    })
}

/// Polled by hand, outside of every executor: the waker is called, and the result is there.
pub(crate) fn polled_by_hand(_: Way) -> Outcome {
    let tree = tree_of_known_names(1)?;
    let guard = tree.hold(&[Request::Getattr], "/slow")?;
    let result = polled_when_woken(fs::statx(slow(&tree, 0)).timeout(LIMIT))?;
    timed_out(&error_of("statx", result)?)?;
    still_held(|| tree.status(), 1)?;
    guard.release()?;
    let outside = Handle::current()?;
    Ok(until_blocking("nothing in flight", || {
        outside.stats().in_flight == 0
    })?)
}

/// Polls when the waker is called, and keeps the thread meanwhile.
fn polled_when_woken<T>(op: impl Future<Output = T>) -> Result<T, String> {
    let mut op = pin!(op);
    let (tell, hear) = std::sync::mpsc::sync_channel(1);
    let waker = Waker::from(std::sync::Arc::new(Tells(tell)));
    let mut cx = Context::from_waker(&waker);
    ensure(op.as_mut().poll(&mut cx).is_pending(), "it did not wait")?;
    loop {
        hear.recv_timeout(WAIT).map_err(|_| "woken no more")?;
        if let Poll::Ready(result) = op.as_mut().poll(&mut cx) {
            return Ok(result);
        }
    }
}

struct Tells(std::sync::mpsc::SyncSender<()>);

impl std::task::Wake for Tells {
    fn wake(self: std::sync::Arc<Self>) {
        let _ = self.0.try_send(());
    }
}
