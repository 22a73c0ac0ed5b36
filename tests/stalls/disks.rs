//! Disks that are frozen, slow, or held in the middle of what has an order.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use tidegate::fs::{self, File, OpenOptions};
use tidegate::opcode::Kind;
use tidegate::{LeftBehind, OpExt, Route};
use tidegate_rig::{Cgroup, FsKind, HeldDisk, Request, files};

use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use crate::stage::{
    HOLD_MAX, LIMIT, Outcome, Way, drained, ensure, error_of, held, in_time, orphans, right_bytes,
    slow, still_held, timed_out, tree_of_known_names, until,
};

const DISK_BYTES: u64 = 64 << 20;

fn disk_with_a_file(bytes: u64) -> io::Result<(HeldDisk, PathBuf)> {
    let disk = HeldDisk::options(FsKind::Ext4, DISK_BYTES)
        .with_max_hold(HOLD_MAX)
        .create()?;
    let path = disk.path().join("file");
    files::create(&path, bytes)?;
    disk.remount()?;
    Ok((disk, path))
}

/// An operation that is given up while the disk has it. On a busy machine its thread may not have begun within the limit:
/// then nothing has happened, and it is begun again.
async fn detached(what: &str, op: impl AsyncFn() -> std::io::Result<()>) -> Outcome {
    loop {
        match timed_out(&error_of(what, op().await)?)?.left {
            LeftBehind::Detached => return Ok(()),
            LeftBehind::NothingHappened => {}
            left => return Err(format!("{what}: {left:?}").into()),
        }
    }
}

/// Writes and creations wait for the thaw and are given up; what only looks goes on; what was given up comes
/// to its end afterwards.
pub(crate) fn fsfreeze_write(way: Way) -> Outcome {
    let (disk, path) = disk_with_a_file(1 << 20)?;
    way.run(async |handle| {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(&path).await?;
        let new = disk.path().join("new");
        let frozen = disk.freeze()?;
        let write = async || file.write_all_at("late", 0).timeout(LIMIT).await;
        let create = async || File::create(&new).timeout(LIMIT).await;
        detached("write", async || {
            write().await.map(drop).map_err(|e| e.error)
        })
        .await?;
        detached("create", async || create().await.map(drop)).await?;
        let bytes = in_time("a read", file.read_exact_at(vec![0; 4096], 8192)).await?;
        right_bytes(8192, &bytes.map_err(|e| e.error)?)?;
        let length = in_time("statx", fs::statx(&path)).await??.size();
        ensure(length == 1 << 20, format!("{length} bytes"))?;
        ensure(
            orphans(&handle) == 2,
            format!("the freeze is over: {:?}", handle.in_flight()),
        )?;
        drop(frozen);
        drained(&handle).await?;
        let bytes = file.read_exact_at(vec![0; 4], 0).await;
        ensure(bytes.map_err(|e| e.error)? == b"late", "the write is lost")?;
        ensure(fs::try_exists(&new).await?, "the new file is lost")?;
        file.close().await?;
        Ok(drained(&handle).await?)
    })
}

/// Writes go to threads while those are quick. Where they hang, the next ones are left to lanes, so that others have
/// threads.
pub(crate) fn frozen_writes_leave_threads(way: Way) -> Outcome {
    let (disk, path) = disk_with_a_file(1 << 20)?;
    way.run(async |handle| {
        if way.is_pool() || handle.route() == Route::Ring {
            return Ok(());
        }
        let ways = || {
            let stats = handle.stats();
            let writes = stats.ops().find(|op| op.row.kind == Kind::Write);
            writes.map_or([0; 2], |op| [op.lane_ring, op.pool])
        };
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(&path).await?;
        let frozen = disk.freeze()?;
        let mut writes = tokio::task::JoinSet::new();
        // After a few, the first are at it for long.
        for at in 0..64 {
            writes.spawn(file.write_all_at([7_u8; 16].to_vec(), at * 16));
            tokio::time::sleep(Duration::from_millis(10)).await;
            if ways()[0] > 0 {
                break;
            }
        }
        let [lanes, threads] = ways();
        ensure(threads > 0, "no write went to a thread")?;
        ensure(lanes > 0, format!("{threads} threads hang"))?;
        let real = in_time("a call", fs::canonicalize(&path)).await??;
        ensure(real.ends_with("file"), format!("{real:?}"))?;
        drop(frozen);
        while let Some(written) = writes.join_next().await {
            written?.map_err(|error| error.error)?;
        }
        file.close().await?;
        Ok(drained(&handle).await?)
    })
}

/// A disk of 16 KiB a second: what takes seconds there is not taken for stuck.
pub(crate) fn throttle_slow_not_stuck(way: Way) -> Outcome {
    const BYTES: usize = 48 << 10;
    if let Some(lack) = Cgroup::missing("blkio") {
        println!("skip: {}::throttle_slow_not_stuck: {lack}", way.name);
        return Ok(());
    }
    let (disk, path) = disk_with_a_file(BYTES as u64)?;
    way.run(async |handle| {
        let file = File::open(&path).await?;
        let beats = handle.heartbeat();
        let first = beats.borrow().beat;
        let group = Cgroup::new("blkio")?;
        let device = std::fs::metadata(disk.device())?.rdev();
        let (major, minor) = (device >> 8 & 0xfff, device & 0xff);
        let slow = format!("{major}:{minor} 16384");
        group.set("blkio.throttle.read_bps_device", &slow)?;
        group.enter()?;
        let before = handle.stats();
        let read = in_time("a slow read", file.read_exact_at(vec![0; BYTES], 0)).await?;
        drop(group);
        right_bytes(0, &read.map_err(|e| e.error)?)?;
        let after = handle.stats();
        let replaced = after.lanes_replaced - before.lanes_replaced;
        ensure(replaced <= 1, format!("{replaced} lanes were replaced"))?;
        ensure(orphans(&handle) == 0, "orphans")?;
        let seen = beats.borrow().beat - first;
        ensure(seen > 1, format!("{seen} heartbeats; was the disk slow?"))?;
        file.close().await?;
        Ok(drained(&handle).await?)
    })
}

/// A sync covers what the cursor has accepted, though none of it has come to the file yet.
pub(crate) fn fsync_after_writes(way: Way) -> Outcome {
    const WRITES: u8 = 4;
    let tree = tree_of_known_names(1)?;
    let behind = tree.backing_path().join("slow-0");
    way.run(async |handle| {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).open(slow(&tree, 0)).await?;
        let writes = tree.hold(&[Request::Write], "/slow")?;
        let sync = tree.hold(&[Request::Fsync], "/slow")?;
        let synced = tokio::spawn(async move {
            for number in 1..=WRITES {
                file.write_all(&[number; 512]).await?;
            }
            file.sync_all().await?;
            io::Result::Ok(file)
        });
        held(&tree, 1).await?;
        let before = tree.status()?.seen(Request::Fsync);
        ensure(before == 0, "the sync came first")?;
        writes.release()?;
        until("the server is asked to sync", || {
            tree.status()
                .is_ok_and(|status| status.seen(Request::Fsync) > 0)
        })
        .await?;
        still_held(|| tree.status(), 1)?;
        let bytes = std::fs::read(&behind)?;
        for (number, written) in (1..=WRITES).zip(bytes.chunks(512)) {
            ensure(
                written == [number; 512],
                format!("write {number} had not come when the sync did"),
            )?;
        }
        sync.release()?;
        let file = in_time("the sync", synced).await???;
        file.close().await?;
        Ok(drained(&handle).await?)
    })
}

/// The same on a disk that holds up the write: the sync is not over before it.
pub(crate) fn fsync_after_writes_on_a_disk(way: Way) -> Outcome {
    const OFFSET: u64 = (512 << 10) + 100;
    let (disk, path) = disk_with_a_file(1 << 20)?;
    way.run(async |handle| {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).open(&path).await?;
        file.read_at(vec![0; 10], 0).await.map_err(|e| e.error)?;
        file.seek(io::SeekFrom::Start(OFFSET)).await?;
        let hold = disk.hold(&[Request::Read])?;
        // A part of a block that is not in memory: the rest of it has to be read.
        file.write_all(b"written").await?;
        until("the disk is asked", || {
            disk.status().is_ok_and(|status| status.held > 0)
        })
        .await?;
        let result = file.sync_all().timeout(LIMIT).await;
        timed_out(&error_of("sync_all", result)?)?;
        still_held(|| disk.status(), 1)?;
        // The limit was that of one wait: the next one is for the same write.
        let (synced, released) = futures::join!(in_time("the sync", file.sync_all()), async {
            let begun = || handle.in_flight().len() > 1;
            let waited = until("the sync waits", begun).await;
            hold.release().map_err(|error| error.to_string())?;
            waited
        });
        released?;
        synced??;
        let left = handle.in_flight();
        ensure(
            !left.iter().any(|op| op.operation == Kind::Write),
            format!("the sync was over before the write: {left:?}"),
        )?;
        let read = file.read_exact_at(vec![0; 7], OFFSET).await;
        ensure(
            read.map_err(|e| e.error)? == b"written",
            "the write is lost",
        )?;
        file.close().await?;
        Ok(drained(&handle).await?)
    })
}

/// A flush under a limit that was over says so; the next one waits for the same write.
pub(crate) fn flush_waits_for_a_late_write(way: Way) -> Outcome {
    let tree = tree_of_known_names(1)?;
    way.run(async |handle| {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).open(slow(&tree, 0)).await?;
        let guard = tree.hold(&[Request::Write], "/slow")?;
        file.write_all(b"accepted").await?;
        let result = file.flush().timeout(LIMIT).await;
        timed_out(&error_of("flush", result)?)?;
        for _ in 0..2 {
            // Another is given up as well, and not told of a success.
            let result = file.flush().timeout(LIMIT).await;
            let left = timed_out(&error_of("another flush", result)?)?.left;
            ensure(left == LeftBehind::Detached, format!("{left:?}"))?;
        }
        still_held(|| tree.status(), 1)?;
        guard.release()?;
        in_time("the last flush", file.flush()).await??;
        file.close().await?;
        Ok(drained(&handle).await?)
    })
}
