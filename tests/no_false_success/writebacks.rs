//! Writebacks that fail on a real disk, which the kernel tells to one of those that ask, once.

use std::io;

use tidegate::Route;
use tidegate::fs::{File, FileState, WritebackPolicy};
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
        stats.started > stats.finished + stats.failed + stats.skipped
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
                // The first write after a failure is told of it.
                let written = file.write_all_at(vec![2; MIB], (at * MIB) as u64).await;
                let is_told = file.state() == FileState::Poisoned;
                ensure(written.is_ok() || is_told, format!("{kind:?}: {written:?}"))?;
            }
            settled(&file).await;
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
            file.write_all_at(vec![3; LEN], 0).await?;
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
