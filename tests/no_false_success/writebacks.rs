//! Writebacks that fail on a real disk, which the kernel tells to one of those that ask, once.

use std::io;

use tidegate::Route;
use tidegate::fs::{File, FileState, WritebackPolicy};
use tidegate::raw_os_error;
use tidegate_rig::{FsKind, HeldDisk, Request, StalledFuse};

use crate::stage::{Outcome, ensure, on};

const MIB: usize = 1 << 20;
const LEN: usize = 16 * MIB;

async fn file(path: &std::path::Path) -> io::Result<File> {
    let mut options = File::options();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .open(path)
        .await?;
    Ok(file.with_writeback(WritebackPolicy::new().chunk_bytes(4 << 20)))
}

/// Waits until no write-out goes on.
async fn settled(file: &File) {
    let is_busy = || {
        let stats = file.writeback_stats().unwrap();
        stats.started > stats.finished + stats.failed
    };
    while is_busy() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// M18: the disk loses what a write-out in the background wrote, and is well again before anybody syncs. Where that
/// error is not looked at, the sync succeeds over lost data.
pub(crate) fn in_the_background_are_told(route: Route) -> Outcome {
    for kind in [FsKind::Ext4, FsKind::Xfs] {
        let disk = HeldDisk::new(kind, 600 << 20)?;
        on(route, |_| async {
            let path = disk.path().join("file");
            let file = file(&path).await?;
            // Its blocks are there from now on, so that overwriting changes nothing but data.
            file.write_all_at(vec![1; LEN], 0).await?;
            file.sync_all().await?;
            settled(&file).await;
            let full = disk.fail(libc::ENOSPC, &[Request::Write])?;
            for at in 0..LEN / MIB {
                // The first write after a failure is told of it; a journal that failed, too, says so itself.
                let _ = file.write_all_at(vec![2; MIB], (at * MIB) as u64).await;
            }
            settled(&file).await;
            let is_kept = file.state() == FileState::Poisoned;
            ensure(is_kept, format!("{kind:?}: the error is not kept"))?;
            full.release()?;
            let failed = file.writeback_stats().unwrap().failed;
            ensure(failed > 0, format!("{kind:?}: nothing has failed"))?;
            for _ in 0..2 {
                ensure(
                    file.sync_all().await.is_err(),
                    format!("{kind:?}: sync_all"),
                )?;
                ensure(
                    file.sync_data().await.is_err(),
                    format!("{kind:?}: sync_data"),
                )?;
            }
            ensure(file.acknowledge().is_some(), "acknowledge")?;
            let again = file.write_all_at(vec![3; LEN], 0).await;
            if again.is_err_and(|error| raw_os_error(&error.error) == Some(libc::EROFS)) {
                // The journal could not be written, either.
                return Ok(());
            }
            file.sync_all().await?;
            file.close().await?;
            disk.remount()?;
            let content = std::fs::read(&path)?;
            ensure(content == vec![3; LEN], format!("{kind:?}: content")).map_err(Into::into)
        })?;
    }
    Ok(())
}

/// A filesystem in a program: write-outs are those that it has, and what it cannot keep is told.
pub(crate) fn of_servers_are_told(route: Route) -> Outcome {
    let tree = StalledFuse::new()?;
    on(route, |_| async move {
        let path = tree.path().join("file");
        let file = file(&path).await?;
        file.write_all_at(vec![7; LEN], 0).await?;
        file.sync_all().await?;
        settled(&file).await;
        let stats = file.writeback_stats().unwrap();
        ensure(
            format!("{:?}", stats.class) == "Fuse" && stats.is_active,
            format!("{stats:?}"),
        )?;
        ensure(stats.bytes_dirty_peak <= 8 << 20, format!("{stats:?}"))?;
        let full = tree.fail(libc::ENOSPC, &[Request::Fsync], "/")?;
        file.write_all_at(vec![8; MIB], 0).await?;
        ensure(file.sync_all().await.is_err(), "a sync")?;
        full.release()?;
        ensure(file.sync_all().await.is_err(), "a sync after that")?;
        ensure(file.acknowledge().is_some(), "acknowledge")?;
        file.write_all_at(vec![8; MIB], 0).await?;
        file.sync_all().await?;
        file.close().await?;
        ensure(
            std::fs::read(tree.backing_path().join("file"))?.len() == LEN,
            "length",
        )?;
        Ok(())
    })
}

/// Pages of a file that are in the cache.
fn cached_pages(path: &std::path::Path) -> io::Result<Option<u64>> {
    use std::os::fd::AsRawFd;
    const CACHESTAT: libc::c_long = 451;
    let file = std::fs::File::open(path)?;
    let (range, mut pages) = ([0_u64; 2], [0_u64; 5]);
    let (range, into) = (range.as_ptr(), pages.as_mut_ptr());
    // SAFETY: the call reads one and writes the other, which have the kernel's layout.
    let result = unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), range, into, 0) };
    Ok((result == 0).then_some(pages[0]))
}

/// M15: the writer of a file on a dead disk goes on, nothing leaves the cache that is not on the disk, a sync says that
/// it does not know, and what was written is there once the disk is well again.
pub(crate) fn on_a_dead_disk_go_on(route: Route) -> Outcome {
    use std::time::Duration;
    use tidegate::OpExt;

    for kind in [FsKind::Ext4, FsKind::Xfs] {
        let disk = HeldDisk::new(kind, 600 << 20)?;
        on(route, |_| async {
            let path = disk.path().join("file");
            let policy = WritebackPolicy::new().chunk_bytes(4 << 20);
            let policy = policy.wait_limit(Duration::from_millis(100));
            let file = File::create(&path).await?.with_writeback(policy);
            // Its blocks are there from now on, so that overwriting changes nothing but data.
            file.write_all_at(vec![1; LEN], 0).await?;
            file.sync_all().await?;
            settled(&file).await;
            let dead = disk.hold(&[Request::Write, Request::Fsync])?;
            for at in 0..LEN / MIB {
                let part = vec![at as u8 + 2; MIB];
                file.write_all_at(part, (at * MIB) as u64).await?;
            }
            let stats = file.writeback_stats().unwrap();
            ensure(
                stats.is_degraded && stats.degradations == 1,
                format!("{kind:?}: {stats:?}"),
            )?;
            if let Some(pages) = cached_pages(&path)? {
                ensure(
                    pages << 12 >= LEN as u64,
                    format!("{kind:?}: {pages} pages are left"),
                )?;
            }
            let sync = file.sync_data().timeout(Duration::from_millis(50)).await;
            let is_unknown = sync.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut);
            ensure(is_unknown, format!("{kind:?}: a sync on a dead disk"))?;
            dead.release()?;
            file.sync_all().await?;
            file.close().await?;
            disk.remount()?;
            let content = std::fs::read(&path)?;
            let is_there = |at: usize| content[at] == (at / MIB) as u8 + 2;
            ensure(
                content.len() == LEN && (0..LEN).all(is_there),
                format!("{kind:?}: content"),
            )
            .map_err(Into::into)
        })?;
    }
    Ok(())
}

/// M17: once a dead disk is well again, a write-out that tries finds that out, and dirty pages are kept few as before;
/// as often as it dies. Nothing of what was written meanwhile is lost.
pub(crate) fn on_a_disk_that_recovers_are_bounded_again(route: Route) -> Outcome {
    use std::time::Duration;

    for kind in [FsKind::Ext4, FsKind::Xfs] {
        let disk = HeldDisk::new(kind, 600 << 20)?;
        on(route, |_| async {
            let path = disk.path().join("file");
            let policy = WritebackPolicy::new().chunk_bytes(4 << 20);
            let policy = policy.wait_limit(Duration::from_secs(1));
            let policy = policy.rest(Duration::ZERO);
            let file = File::create(&path).await?.with_writeback(policy);
            // Its blocks are there from now on, so that overwriting changes nothing but data.
            file.write_all_at(vec![1; LEN], 0).await?;
            file.sync_all().await?;
            settled(&file).await;
            for time in 1..=2 {
                // A slow disk may need more than one trial.
                while file.writeback_stats().unwrap().is_degraded {
                    file.write_all_at(vec![3; 4 * MIB], 0).await?;
                    settled(&file).await;
                }
                let before = file.writeback_stats().unwrap();
                let dead = disk.hold(&[Request::Write, Request::Fsync])?;
                file.write_all_at(vec![2; LEN], 0).await?;
                let stats = file.writeback_stats().unwrap();
                ensure(
                    stats.is_degraded && stats.degradations > before.degradations,
                    format!("{kind:?}, time {time}: {stats:?}"),
                )?;
                ensure(
                    stats.finished == before.finished,
                    format!("{kind:?}, time {time}: told of as written out: {stats:?}"),
                )?;
                dead.release()?;
                settled(&file).await;
                let mut tries = 0..1000;
                while file.writeback_stats().unwrap().is_degraded {
                    let stats = file.writeback_stats().unwrap();
                    ensure(
                        tries.next().is_some(),
                        format!("{kind:?}: bad for ever: {stats:?}"),
                    )?;
                    file.write_all_at(vec![3; 4 * MIB], 0).await?;
                    settled(&file).await;
                }
                let before = file.writeback_stats().unwrap();
                file.write_all_at(vec![time; LEN], 0).await?;
                settled(&file).await;
                let stats = file.writeback_stats().unwrap();
                ensure(
                    stats.is_degraded || stats.started >= before.started + 4,
                    format!("{kind:?}, time {time}: nothing is written out: {stats:?}"),
                )?;
            }
            file.sync_all().await?;
            file.close().await?;
            disk.remount()?;
            let content = std::fs::read(&path)?;
            ensure(content == vec![2; LEN], format!("{kind:?}: content")).map_err(Into::into)
        })?;
    }
    Ok(())
}

/// A layer over a disk is written out by syncs, as its own pages are not the disk's; a failure below it is told.
pub(crate) fn of_layers_are_told(route: Route) -> Outcome {
    let disk = HeldDisk::new(FsKind::Ext4, 128 << 20)?;
    let at = |name: &str| disk.path().join(name);
    for name in ["lower", "upper", "work", "merged"] {
        std::fs::create_dir(at(name))?;
    }
    let data = ["lower", "upper", "work"].map(|name| at(name).display().to_string());
    let data = format!(
        "lowerdir={},upperdir={},workdir={}",
        data[0], data[1], data[2]
    );
    let (kind, flags) = (Some("overlay"), nix::mount::MsFlags::empty());
    let mounted = nix::mount::mount(kind, &at("merged"), kind, flags, Some(data.as_str()));
    if let Err(error) = mounted {
        println!("skip: writebacks_of_layers_are_told: no overlays: {error}");
        return Ok(());
    }
    let outcome = on(route, |_| async {
        let file = file(&at("merged").join("file")).await?;
        file.write_all_at(vec![1; LEN], 0).await?;
        file.sync_all().await?;
        settled(&file).await;
        let stats = file.writeback_stats().unwrap();
        let class = format!("{:?}", stats.class);
        ensure(
            class == "Overlay" && stats.finished > 0,
            format!("{stats:?}"),
        )?;
        let full = disk.fail(libc::EIO, &[Request::Write])?;
        let written = file.write_all_at(vec![2; 6 * MIB], 0).await;
        settled(&file).await;
        let synced = file.sync_all().await;
        full.release()?;
        ensure(
            written.is_err() || synced.is_err(),
            "a failure below the layer",
        )?;
        let closed = file.close().await;
        ensure(closed.is_ok(), "it was told before").map_err(Into::into)
    });
    nix::mount::umount2(&at("merged"), nix::mount::MntFlags::MNT_DETACH)?;
    outcome
}
