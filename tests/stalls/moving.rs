//! Storage that is slow and moves, and storage that does not: the limits of a handle tell them apart.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tidegate::buf::BufPool;
use tidegate::fs::{self, File, OpenOptions};
use tidegate::{Builder, LeftBehind, OpExt, Timeouts};
use tidegate_rig::{FsKind, HeldDisk, Request, files};

use crate::stage::{
    HOLD_MAX, Outcome, Way, drained, ensure, error_of, quick, right_bytes, slow, timed_out,
    tree_of_known_names, until,
};

/// What the handles here let an operation take.
const PATIENCE: Duration = Duration::from_millis(500);
/// What has no sign of life ends well before so many of them.
const SOON: u32 = 4;
const EVERYTHING: [Request; 3] = [Request::Read, Request::Write, Request::Fsync];
const COLD_FILES: usize = 150;
const COLD_BYTES: usize = 16 << 10;

fn patient(way: Way) -> Builder {
    let mut timeouts = Timeouts::default();
    timeouts.metadata = Some(PATIENCE);
    timeouts.data = Some(PATIENCE);
    timeouts.sync = Some(PATIENCE);
    way.builder().timeouts(timeouts)
}

fn disk(kind: FsKind) -> io::Result<HeldDisk> {
    HeldDisk::options(kind, kind.size_bytes_min())
        .with_max_hold(HOLD_MAX)
        .create()
}

/// What waits behind others that are served is not given up by default; a caller's own limit counts all the same.
pub(crate) fn a_queue_is_no_stall(way: Way) -> Outcome {
    let disk = disk(FsKind::Ext4)?;
    let paths: Vec<_> = (0..COLD_FILES)
        .map(|number| disk.path().join(number.to_string()))
        .collect();
    for path in &paths {
        files::create(path, COLD_BYTES as u64)?;
    }
    disk.remount()?;
    way.run_with(patient(way), async |handle| {
        let delayed = disk.delay(Duration::from_millis(15), &[Request::Read])?;
        let begun = std::time::Instant::now();
        let all = join_all(paths.iter().map(fs::read)).await;
        println!("{COLD_FILES} files in {:?}", begun.elapsed());
        ensure(begun.elapsed() > 2 * PATIENCE, "the disk was too fast")?;
        for (number, bytes) in all.into_iter().enumerate() {
            let bytes = bytes.map_err(|error| format!("file {number}: {error}"))?;
            ensure(bytes.len() == COLD_BYTES, "a short file")?;
            right_bytes(0, &bytes)?;
        }
        drop(delayed);
        drained(&handle).await?;
        disk.remount()?;
        let delayed = disk.delay(Duration::from_millis(15), &[Request::Read])?;
        let all = join_all(paths.iter().map(|path| fs::read(path).timeout(PATIENCE))).await;
        let over = all.iter().filter(|read| read.is_err()).count();
        ensure(over > 0, "the caller's own limit did not count")?;
        drop(delayed);
        Ok(drained(&handle).await?)
    })
}

/// A file that is stuck among others that are read all the time ends in time, and so does what waits for it alone.
pub(crate) fn one_is_stuck_among_others(way: Way) -> Outcome {
    let tree = tree_of_known_names(16)?;
    way.run_with(patient(way), async |handle| {
        let file = File::open(slow(&tree, 0)).await?;
        let others = join_all((0..16).map(|index| File::open(quick(&tree, index)))).await;
        let others: Vec<_> = others.into_iter().collect::<Result<_, _>>()?;
        let held = tree.hold(&[Request::Read], "/slow")?;
        let is_over = AtomicBool::new(false);
        let traffic = async {
            let mut reads = 0;
            while !is_over.load(Ordering::Relaxed) {
                for other in &others {
                    other.read_at(vec![0; 512], 0).await.map_err(|e| e.error)?;
                    reads += 1;
                }
            }
            Ok::<_, io::Error>(reads)
        };
        let stuck = async {
            let outcome = file.read_at(vec![0; 512], 4096).await.map_err(|e| e.error);
            is_over.store(true, Ordering::Relaxed);
            outcome
        };
        let (stuck, reads) = futures::join!(stuck, traffic);
        let error = error_of("the stuck read", stuck.map(drop))?;
        let took = timed_out(&error)?.elapsed;
        println!("given up after {took:?}, beside {} reads", reads?);
        ensure(took < 2 * PATIENCE, format!("given up after {took:?}"))?;
        drop(held);
        Ok(drained(&handle).await?)
    })
}

/// A sync of much to a slow disk takes as long as it takes; on a dead disk nobody knows how it ended.
fn syncs(way: Way, kind: FsKind) -> Outcome {
    const BYTES: usize = 16 << 20;
    let disk = disk(kind)?;
    let path = disk.path().join("file");
    way.run_with(patient(way), async |handle| {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true);
        let file = options.open(&path).await?;
        file.sync_all().await?;
        file.write_all_at(vec![7; BYTES], 0)
            .await
            .map_err(|e| e.error)?;
        let delayed = disk.delay(Duration::from_millis(60), &EVERYTHING)?;
        let begun = std::time::Instant::now();
        file.sync_all().await?;
        println!("{}: synced in {:?}", kind.name(), begun.elapsed());
        ensure(begun.elapsed() > 2 * PATIENCE, "the disk was too fast")?;
        drop(delayed);
        file.write_all_at(vec![8; BYTES], 0)
            .await
            .map_err(|e| e.error)?;
        let held = disk.hold(&EVERYTHING)?;
        let error = error_of("a sync of a dead disk", file.sync_data().await)?;
        let told = timed_out(&error)?;
        ensure(told.left == LeftBehind::Detached, format!("{told:?}"))?;
        ensure(told.elapsed < SOON * PATIENCE, format!("{told:?}"))?;
        drop(held);
        drained(&handle).await?;
        file.close().await?;
        Ok(drained(&handle).await?)
    })
}

pub(crate) fn a_slow_sync_of_ext4(way: Way) -> Outcome {
    syncs(way, FsKind::Ext4)
}

pub(crate) fn a_slow_sync_of_xfs(way: Way) -> Outcome {
    syncs(way, FsKind::Xfs)
}

pub(crate) fn a_slow_sync_of_btrfs(way: Way) -> Outcome {
    syncs(way, FsKind::Btrfs)
}

/// One read or write of much past the page cache, in one call, and what comes of it on a dead disk.
pub(crate) fn a_slow_direct_transfer(way: Way) -> Outcome {
    const BYTES: usize = 16 << 20;
    let disk = disk(FsKind::Ext4)?;
    let path = disk.path().join("file");
    files::create(&path, BYTES as u64)?;
    disk.remount()?;
    way.run_with(patient(way), async |handle| {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).direct(true);
        let file = options.open(&path).await?;
        let pool = BufPool::builder().count(1).size(BYTES).build()?;
        let delayed = disk.delay(Duration::from_millis(60), &EVERYTHING)?;
        let begun = std::time::Instant::now();
        let read = file.read_exact_at(pool.acquire().await?, 0).await;
        let bytes = read.map_err(|e| e.error)?;
        println!("read in {:?}", begun.elapsed());
        right_bytes(0, &bytes)?;
        file.write_all_at(bytes, 0).await.map_err(|e| e.error)?;
        println!("and written in {:?}", begun.elapsed());
        drop(delayed);
        let held = disk.hold(&EVERYTHING)?;
        let read = file.read_at(pool.acquire().await?, 0).await;
        let error = error_of("a read of a dead disk", read.map(drop).map_err(|e| e.error))?;
        let told = timed_out(&error)?;
        ensure(told.elapsed < SOON * PATIENCE, format!("{told:?}"))?;
        drop(held);
        drained(&handle).await?;
        file.close().await?;
        Ok(until("nothing in flight", || handle.stats().in_flight == 0).await?)
    })
}
