//! What a cancel comes to, by where the kernel has the operation and by whether the server hears of it.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};

use tidegate::buf::AlignedBuf;
use tidegate::fs::{self, File, OpenOptions};
use tidegate::{Error, Handle, LeftBehind, OpExt};
use tidegate_rig::{FsKind, HeldDisk, Request, StalledFuse, files};
use tokio_util::sync::CancellationToken;

use crate::stage::{
    FILE_BYTES, GivenUp, HOLD_MAX, LIMIT, Outcome, Way, cancelled, drained, ensure, error_of, held,
    in_time, orphans, right_bytes, slow, still_held, timed_out, tree_of_known_names, tree_with,
    until,
};

/// Kernel workers of a lane, and threads of a mount's pool: what comes on top waits for one.
const WORKERS: usize = 64;
const DISK_BYTES: u64 = 64 << 20;

#[derive(Clone, Copy, Debug)]
enum By {
    Limit,
    Token,
}

const BOTH: [By; 2] = [By::Limit, By::Token];

impl By {
    /// Lets the operation begin, waits until it is stuck, and gives it up.
    async fn give_up<T, E: From<Error>>(
        self,
        op: impl Future<Output = Result<T, E>>,
        stuck: impl Future<Output = Result<(), String>>,
    ) -> Result<Result<T, E>, String> {
        if let By::Limit = self {
            return in_time("a limit", op.timeout(LIMIT)).await;
        }
        let token = CancellationToken::new();
        let cancel = async {
            let waited = stuck.await;
            token.cancel();
            waited
        };
        let (result, waited) = futures::join!(in_time("a cancel", op.cancel_on(&token)), cancel);
        waited.and(result)
    }

    fn outcome(self, error: &io::Error) -> Result<GivenUp, String> {
        match self {
            By::Limit => timed_out(error),
            By::Token => cancelled(error),
        }
    }
}

/// What is held is in the hands of the server, which does not hear of a cancel.
async fn ignored(way: Way, by: By, handle: &Handle) -> Result<(), String> {
    let said = |error: io::Error| error.to_string();
    let tree = tree_of_known_names(1).map_err(said)?;
    let file = File::open(slow(&tree, 0)).await.map_err(said)?;
    let guard = tree.hold(&[Request::Getattr, Request::Read], "/slow");
    let guard = guard.map_err(said)?;
    let result = by
        .give_up(fs::statx(slow(&tree, 0)), held(&tree, 1))
        .await?;
    let given_up = by.outcome(&error_of("statx", result)?)?;
    ensure(
        given_up.left == LeftBehind::Detached,
        format!("{given_up:?}"),
    )?;
    let read = file.read_at(vec![7; FILE_BYTES], 0);
    let result = by.give_up(read, held(&tree, 2)).await?;
    let error = result.err().ok_or("the read was done")?;
    ensure(error.is_detached(), "the kernel's buffer was given back")?;
    let given_up = by.outcome(&error.error)?;
    ensure(
        given_up.left == LeftBehind::Detached,
        format!("{given_up:?}"),
    )?;
    still_held(|| tree.status(), 2)?;
    ensure(
        orphans(handle) == 2,
        format!("{}: {:?}", way.name, handle.in_flight()),
    )?;
    let gauge = handle.stats().orphans;
    ensure(gauge == 2, format!("the gauge says {gauge}"))?;
    guard.release().map_err(said)?;
    drained(handle).await?;
    let stats = handle.stats();
    ensure(stats.orphans == 0, format!("{} are left", stats.orphans))?;
    ensure(
        stats.orphans_max >= 2,
        format!("{} at most", stats.orphans_max),
    )
}

/// The server gives up what it is told to: nothing of it is left while the hold goes on.
async fn honoured(way: Way, by: By, handle: &Handle) -> Result<(), String> {
    let said = |error: io::Error| error.to_string();
    let tree = interruptible(1).map_err(said)?;
    let file = open_rw(&slow(&tree, 0), false).await.map_err(said)?;
    let _guard = tree
        .hold(&[Request::Getattr, Request::Write, Request::Fsync], "/slow")
        .map_err(said)?;
    let result = by
        .give_up(fs::statx(slow(&tree, 0)), held(&tree, 1))
        .await?;
    by.outcome(&error_of("statx", result)?)?;
    let result = by.give_up(file.sync_all(), held(&tree, 1)).await?;
    by.outcome(&error_of("sync_all", result)?)?;
    if !way.is_pool() {
        drained(handle).await?;
        let status = tree.status().map_err(said)?;
        ensure(status.held == 0 && status.rules == 1, format!("{status:?}"))?;
        ensure(status.interrupted == 2, format!("{status:?}"))?;
    }
    Ok(())
}

fn interruptible(names: usize) -> io::Result<StalledFuse> {
    let tree = tree_with(names, |options| {
        options.with_interrupts(true).with_entry_timeout(HOLD_MAX)
    })?;
    for index in 0..names {
        std::fs::metadata(slow(&tree, index))?;
    }
    Ok(tree)
}

/// With all workers busy, the next waits in a queue: nothing of it has happened.
async fn queued(way: Way, by: By, handle: &Handle) -> Result<(), String> {
    let said = |error: io::Error| error.to_string();
    let tree = tree_of_known_names(WORKERS + 1).map_err(said)?;
    let guard = tree.hold(&[Request::Getattr], "/slow").map_err(said)?;
    let fill: Vec<_> = (0..WORKERS)
        .map(|index| tokio::spawn(fs::statx(slow(&tree, index)).timeout(HOLD_MAX)))
        .collect();
    held(&tree, WORKERS as u64).await?;
    let begun = async { until("begun", || handle.stats().in_flight > WORKERS as u64).await };
    let result = by.give_up(fs::statx(slow(&tree, WORKERS)), begun).await?;
    let given_up = by.outcome(&error_of("statx", result)?)?;
    still_held(|| tree.status(), WORKERS as u64)?;
    let status = tree.status().map_err(said)?;
    ensure(
        status.held == WORKERS as u64,
        format!("{}: it did not wait: {status:?}", way.name),
    )?;
    // Where a lane is late to hand on the cancel, its caller is told before the kernel has given it back.
    let path = Some(slow(&tree, WORKERS));
    until("it is given back", || {
        !handle.in_flight().iter().any(|op| op.path == path)
    })
    .await?;
    ensure(
        matches!(
            given_up.left,
            LeftBehind::Detached | LeftBehind::NothingHappened
        ),
        format!("{}: {given_up:?}", way.name),
    )?;
    let asked = status.seen(Request::Getattr);
    guard.release().map_err(said)?;
    for stat in fill {
        let done = in_time("after the release", stat).await?;
        done.map_err(|error| error.to_string())?.map_err(said)?;
    }
    drained(handle).await?;
    let status = tree.status().map_err(said)?;
    ensure(
        status.seen(Request::Getattr) == asked,
        "what was given up ran all the same",
    )
}

async fn open_rw(path: &Path, direct: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .direct(direct)
        .open(path)
        .await
}

/// Two reads of one page of a disk that does not answer: one waits for the device, one for the page.
async fn device_and_page(way: Way, by: By, handle: &Handle) -> Result<(), String> {
    const OFFSET: u64 = 512 << 10;
    let said = |error: io::Error| error.to_string();
    let (disk, path) = disk_with_a_file().map_err(said)?;
    let file = File::open(&path).await.map_err(said)?;
    // Where the file lies is known from here on, and some of its beginning.
    let first = file.read_at(vec![0; 4096], 0).await;
    first.map_err(|error| said(error.error))?;
    let guard = disk.hold(&[Request::Read]).map_err(said)?;
    let stuck = || async {
        until("the disk is asked", || {
            disk.status().is_ok_and(|status| status.held > 0)
        })
        .await
    };
    for waits_for in ["device", "page"] {
        let read = file.read_at(vec![7; 4096], OFFSET);
        let result = by.give_up(read, stuck()).await?;
        let error = result.err().ok_or("the read was done")?;
        let given_up = by.outcome(&error.error)?;
        // A read that waits for the page may be called back, and then nothing of it is left.
        let detached = given_up.left == LeftBehind::Detached;
        ensure(
            detached || waits_for == "page",
            format!("{}, {waits_for}: {given_up:?}", way.name),
        )?;
        ensure(error.is_detached() == detached, format!("{given_up:?}"))?;
        still_held(|| disk.status(), 1)?;
    }
    guard.release().map_err(said)?;
    drained(handle).await?;
    let read = file.read_exact_at(vec![0; 4096], OFFSET).await;
    right_bytes(OFFSET, &read.map_err(|error| said(error.error))?)?;
    file.close().await.map_err(said)
}

fn disk_with_a_file() -> io::Result<(HeldDisk, PathBuf)> {
    let disk = HeldDisk::options(FsKind::Ext4, DISK_BYTES)
        .with_max_hold(HOLD_MAX)
        .create()?;
    let path = disk.path().join("file");
    files::create(&path, 1 << 20)?;
    disk.remount()?;
    Ok((disk, path))
}

/// No worker of the kernel waits for such a read, and no cancel ends it, whatever the server does.
async fn asynchronous_direct(way: Way, by: By, handle: &Handle) -> Result<(), String> {
    let said = |error: io::Error| error.to_string();
    for interrupts in [false, true] {
        let tree = tree_with(1, |options| {
            options
                .with_async_dio(true)
                .with_interrupts(interrupts)
                .with_entry_timeout(HOLD_MAX)
        });
        let tree = tree.map_err(said)?;
        let file = open_rw(&slow(&tree, 0), true).await.map_err(said)?;
        let guard = tree.hold(&[Request::Read], "/slow").map_err(said)?;
        let read = file.read_at(AlignedBuf::zeroed(4096, 4096), 0);
        let result = by.give_up(read, held(&tree, 1)).await?;
        let error = result.err().ok_or("the read was done")?;
        let given_up = by.outcome(&error.error)?;
        if !interrupts {
            ensure(error.is_detached(), "the kernel's buffer was given back")?;
            ensure(
                given_up.left == LeftBehind::Detached,
                format!("{}: {given_up:?}", way.name),
            )?;
            still_held(|| tree.status(), 1)?;
        }
        guard.release().map_err(said)?;
        drained(handle).await?;
    }
    Ok(())
}

/// Where an operation is when it is given up, and what is left of it.
pub(crate) fn matrix(way: Way) -> Outcome {
    way.run(async |handle| {
        for by in BOTH {
            let said = |place: &str| {
                let place = place.to_owned();
                move |error: String| format!("{place}, by {by:?}: {error}")
            };
            let (queued, running, device, direct) = (
                queued(way, by, &handle).await,
                ignored(way, by, &handle).await,
                device_and_page(way, by, &handle).await,
                asynchronous_direct(way, by, &handle).await,
            );
            queued.map_err(said("queued"))?;
            running.map_err(said("running"))?;
            device.map_err(said("device and page"))?;
            direct.map_err(said("asynchronous direct"))?;
        }
        Ok(())
    })
}

pub(crate) fn cancel_honoured(way: Way) -> Outcome {
    way.run(async |handle| {
        for by in BOTH {
            honoured(way, by, &handle).await?;
        }
        Ok(())
    })
}

pub(crate) fn cancel_ignored(way: Way) -> Outcome {
    way.run(async |handle| {
        for by in BOTH {
            ignored(way, by, &handle).await?;
        }
        Ok(())
    })
}

/// A token that was cancelled before: nothing is begun, and the buffer is back.
pub(crate) fn cancelled_before(way: Way) -> Outcome {
    let tree = tree_of_known_names(1)?;
    way.run(async |_| {
        let file = open_rw(&slow(&tree, 0), false).await?;
        let token = CancellationToken::new();
        token.cancel();
        let before = tree.status()?;
        let result = fs::statx(slow(&tree, 0)).cancel_on(&token).await;
        let left = cancelled(&error_of("statx", result)?)?.left;
        ensure(left == LeftBehind::NothingHappened, format!("{left:?}"))?;
        let written = file.write_at(vec![7; 10], 0).cancel_on(&token).await;
        let error = written.err().ok_or("was done")?;
        let left = cancelled(&error.error)?.left;
        ensure(left == LeftBehind::NothingHappened, format!("{left:?}"))?;
        let result = fs::remove_file(slow(&tree, 0)).cancel_on(&token).await;
        cancelled(&error_of("remove_file", result)?)?;
        ensure(tree.status()? == before, "the server was asked")?;
        ensure(slow(&tree, 0).exists(), "it was done all the same")?;
        // A token that nobody cancels changes nothing.
        let token = CancellationToken::new();
        fs::statx(slow(&tree, 0)).cancel_on(&token).await?;
        Ok(())
    })
}

/// One token for many operations, as a service that ends has it: all of them end, and none comes later.
pub(crate) fn one_token_for_many(way: Way) -> Outcome {
    const MANY: usize = 40;
    let tree = tree_of_known_names(MANY)?;
    way.run(async |handle| {
        let guard = tree.hold(&[Request::Getattr], "/slow")?;
        let token = CancellationToken::new();
        let all: Vec<_> = (0..MANY)
            .map(|index| {
                let (path, token) = (slow(&tree, index), token.clone());
                tokio::spawn(async move { fs::statx(path).cancel_on(&token).await })
            })
            .collect();
        held(&tree, MANY as u64).await?;
        token.cancel();
        for op in all {
            let result = in_time("a cancelled operation", op).await??;
            cancelled(&error_of("statx", result)?)?;
        }
        still_held(|| tree.status(), MANY as u64)?;
        ensure(
            orphans(&handle) == MANY,
            format!("{} orphans", orphans(&handle)),
        )?;
        guard.release()?;
        drained(&handle).await?;
        ensure(orphans(&handle) == 0, "orphans are left")?;
        Ok(())
    })
}
