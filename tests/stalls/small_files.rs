//! Small files that are opened, read and closed as one, where the server does not answer one of that.

use tidegate::fs;
use tidegate::{Handle, OpExt};
use tidegate_rig::{FsKind, HeldDisk, Request, StalledFuse, files};

use crate::slots::slots;
use crate::stage::{
    FILE_BYTES, HOLD_MAX, LIMIT, Outcome, Way, drained, ensure, error_of, held, in_time, quick,
    right_bytes, slow, still_held, timed_out, tree_of_known_names, tree_with, until,
};

const STUCK: usize = 8;
/// Twice as many are stuck, which a lane has room for, and a mount threads.
const FILES: usize = 20;
const STEPS: [Request; 2] = [Request::Open, Request::Read];

/// Reads what is not held, as often as there is something held.
async fn others_go_on(tree: &StalledFuse) -> Result<(), String> {
    for index in 0..STUCK {
        let read = in_time("another file", fs::read(quick(tree, index))).await?;
        let bytes = read.map_err(|error| error.to_string())?;
        ensure(bytes.len() == FILE_BYTES, "another length")?;
        right_bytes(0, &bytes)?;
    }
    Ok(())
}

/// Nothing is in flight, and no file is left in a slot.
async fn all_is_closed(handle: &Handle) -> Result<(), String> {
    drained(handle).await?;
    until("the slots are empty", || slots().0.is_empty()).await
}

/// What hangs at the open or at the read is over at its limit, and holds up nothing else.
pub(crate) fn beside_stuck_ones(way: Way) -> Outcome {
    let tree = tree_of_known_names(STUCK)?;
    way.run(async |handle| {
        for step in STEPS {
            let guard = tree.hold(&[step], "/slow")?;
            let stuck: Vec<_> = (0..STUCK)
                .map(|index| tokio::spawn(fs::read(slow(&tree, index)).timeout(LIMIT)))
                .collect();
            others_go_on(&tree).await?;
            for read in stuck {
                let error = error_of("read", in_time("a stuck read", read).await??)?;
                timed_out(&error)?;
            }
            still_held(|| tree.status(), STUCK as u64)?;
            others_go_on(&tree).await?;
            guard.release()?;
            all_is_closed(&handle).await?;
        }
        Ok(())
    })
}

/// The same without anybody who waits.
pub(crate) fn dropped(way: Way) -> Outcome {
    let tree = tree_of_known_names(STUCK)?;
    way.run(async |handle| {
        for step in STEPS {
            let guard = tree.hold(&[step], "/slow")?;
            let stuck: Vec<_> = (0..STUCK)
                .map(|index| tokio::spawn(fs::read(slow(&tree, index))))
                .collect();
            held(&tree, STUCK as u64).await?;
            stuck.iter().for_each(tokio::task::JoinHandle::abort);
            others_go_on(&tree).await?;
            guard.release()?;
            all_is_closed(&handle).await?;
        }
        Ok(())
    })
}

/// A server that honours an interrupt gives all of it back while the hold is on: the read that begins after a
/// cancelled one is cancelled, too. Without a page cache, as the wait for a page is not to be interrupted.
pub(crate) fn given_back(way: Way) -> Outcome {
    let tree = tree_with(STUCK, |options| {
        options.with_interrupts(true).with_direct_io(true)
    })?;
    way.run(async |handle| {
        for step in STEPS {
            let guard = tree.hold(&[step], "/slow")?;
            let stuck: Vec<_> = (0..STUCK)
                .map(|index| tokio::spawn(fs::read(slow(&tree, index)).timeout(LIMIT)))
                .collect();
            for read in stuck {
                let error = error_of("read", in_time("a stuck read", read).await??)?;
                timed_out(&error)?;
            }
            if !way.is_pool() && way.route == tidegate::Route::Ring {
                let closed = all_is_closed(&handle).await;
                closed.map_err(|error| format!("{step:?}: {:?}: {error}", tree.status()))?;
                ensure(tree.status()?.rules > 0, "the hold is over")?;
            }
            guard.release()?;
            all_is_closed(&handle).await?;
        }
        Ok(())
    })
}

/// A disk that answers no read: what is in memory there is read all the same, though the lane sleeps where it tries
/// the linked entries of the others; those are all done once the disk goes on.
pub(crate) fn on_a_dead_disk(way: Way) -> Outcome {
    let disk = HeldDisk::options(FsKind::Ext4, 64 << 20)
        .with_max_hold(HOLD_MAX)
        .create()?;
    let path = |name: &str, index: usize| disk.path().join(format!("{name}-{index}"));
    for index in 0..FILES {
        for name in ["cold", "late", "warm"] {
            files::create(&path(name, index), FILE_BYTES as u64)?;
        }
    }
    disk.remount()?;
    way.run(async |handle| {
        for index in 0..FILES {
            // The names are in memory, what is in the files only of some.
            for name in ["cold", "late", "warm"] {
                fs::metadata(path(name, index)).await?;
            }
            fs::read(path("warm", index)).await?;
        }
        let guard = disk.hold(&[Request::Read])?;
        let read = |name, index| tokio::spawn(fs::read(path(name, index)));
        let mut stuck: Vec<_> = (0..FILES).map(|index| read("cold", index)).collect();
        until("a read is held", || {
            disk.status().is_ok_and(|now| now.held > 0)
        })
        .await?;
        stuck.extend((0..FILES).map(|index| read("late", index)));
        for index in 0..FILES {
            in_time("attributes", fs::metadata(path("cold", index))).await??;
            let bytes = in_time("what is in memory", fs::read(path("warm", index))).await??;
            right_bytes(0, &bytes)?;
        }
        ensure(disk.status()?.held > 0, "the hold is over")?;
        guard.release()?;
        for read in stuck {
            let bytes = in_time("what was stuck", read).await???;
            ensure(bytes.len() == FILE_BYTES, "another length")?;
            right_bytes(0, &bytes)?;
        }
        all_is_closed(&handle).await?;
        Ok(())
    })
}
