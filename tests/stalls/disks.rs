//! Disks that are frozen, slow, or held in the middle of what has an order.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use tidegate::fs::{self, File, OpenOptions};
use tidegate::{LeftBehind, OpExt};
use tidegate_rig::{Cgroup, FsKind, HeldDisk, Request, files};

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

/// Writes and creations wait for the thaw and are given up; what only looks goes on; what was given up comes
/// to its end afterwards.
pub(crate) fn fsfreeze_write(way: Way) -> Outcome {
    let (disk, path) = disk_with_a_file(1 << 20)?;
    way.run(async |handle| {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(&path).await?;
        let new = disk.path().join("new");
        let frozen = disk.freeze()?;
        let (write, create) = futures::join!(
            file.write_all_at("late", 0).timeout(LIMIT),
            File::create(&new).timeout(LIMIT),
        );
        let left = timed_out(&error_of("write", write)?)?.left;
        ensure(left == LeftBehind::Detached, format!("write: {left:?}"))?;
        let left = timed_out(&error_of("create", create)?)?.left;
        ensure(left == LeftBehind::Detached, format!("create: {left:?}"))?;
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

/// A disk of 16 KiB a second: what takes seconds there is not taken for stuck.
pub(crate) fn throttle_slow_not_stuck(way: Way) -> Outcome {
    const BYTES: usize = 48 << 10;
    let (disk, path) = disk_with_a_file(BYTES as u64)?;
    way.run(async |handle| {
        let file = File::open(&path).await?;
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
        file.close().await?;
        Ok(drained(&handle).await?)
    })
}

/// A sync that is asked for while writes of the same file are on their way covers them.
pub(crate) fn fsync_after_writes(way: Way) -> Outcome {
    const WRITES: u64 = 4;
    let tree = tree_of_known_names(1)?;
    way.run(async |handle| {
        let mut options = OpenOptions::new();
        let file = options.write(true).open(slow(&tree, 0)).await?;
        let file = std::sync::Arc::new(file);
        let writes = tree.hold(&[Request::Write], "/slow")?;
        let sync = tree.hold(&[Request::Fsync], "/slow")?;
        let before = tree.status()?.seen(Request::Write);
        let written: Vec<_> = (0..WRITES)
            .map(|index| tokio::spawn(file.write_all_at(vec![index as u8; 512], index * 512)))
            .collect();
        held(&tree, 1).await?;
        let synced = tokio::spawn({
            let file = file.clone();
            async move { file.sync_all().await }
        });
        until("all are begun", || handle.stats().in_flight > WRITES).await?;
        writes.release()?;
        until("the server is asked to sync", || {
            tree.status()
                .is_ok_and(|status| status.seen(Request::Fsync) > 0)
        })
        .await?;
        let status = tree.status()?;
        still_held(&status, 1)?;
        let count = status.seen(Request::Write) - before;
        ensure(count == WRITES, format!("after {count} writes"))?;
        for write in written {
            let done = in_time("a write", write).await??;
            done.map_err(|e| e.error)?;
        }
        sync.release()?;
        in_time("the sync", synced).await???;
        Ok(drained(&handle).await?)
    })
}

/// The same where the kernel does not order them: a write that waits for a block of a disk, and a sync.
pub(crate) fn fsync_after_writes_on_a_disk(way: Way) -> Outcome {
    let (disk, path) = disk_with_a_file(1 << 20)?;
    way.run(async |handle| {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(&path).await?;
        let other = File::create(disk.path().join("other")).await?;
        // What a sync of the other file needs to read is read now.
        other.write_all_at("before", 0).await.map_err(|e| e.error)?;
        other.sync_all().await?;
        file.read_at(vec![0; 10], 0).await.map_err(|e| e.error)?;
        let hold = disk.hold(&[Request::Read])?;
        // A part of a block that is not in memory: the rest of it has to be read.
        let write = tokio::spawn(file.write_all_at("written", (512 << 10) + 100));
        until("the disk is asked", || {
            disk.status().is_ok_and(|status| status.held > 0)
        })
        .await?;
        let file = std::sync::Arc::new(file);
        let sync = tokio::spawn({
            let file = file.clone();
            async move { file.sync_all().await }
        });
        hold_off(&other).await?;
        let too_soon = sync.is_finished() && !write.is_finished();
        hold.release()?;
        in_time("the write", write).await??.map_err(|e| e.error)?;
        in_time("the sync", sync).await???;
        ensure(
            !too_soon,
            "the sync was over before a write that came before it",
        )?;
        drop(file);
        other.close().await?;
        Ok(drained(&handle).await?)
    })
}

/// Gives the sync time to be over too soon, measured in syncs of another file. They wait where the disk hands
/// on one request after the other, so that they have a limit.
async fn hold_off(other: &File) -> Result<(), String> {
    for _ in 0..3 {
        match other.sync_all().timeout(LIMIT).await {
            Ok(()) => {}
            Err(error) => timed_out(&error).map(drop)?,
        }
    }
    Ok(())
}
