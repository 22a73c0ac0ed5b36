//! Disks that are full and quotas that are used up, for real, and servers that say they are.

use std::io;
use std::path::Path;
use std::process::Command;

use tidegate::Route;
use tidegate::fs::{self, File};
use tidegate_rig::{FsKind, HeldDisk, Request, StalledFuse};
use tokio::io::AsyncWriteExt;

use crate::stage::{Outcome, ensure, number, on};
use crate::storage::{TOO_MUCH, every_way};

/// What is left free: for names, and for less than is written.
const LEFT: u64 = (TOO_MUCH / 4) as u64;

fn run(program: &str, args: &[&str]) -> io::Result<()> {
    let done = Command::new(program).args(args).output()?;
    if done.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    Err(io::Error::other(format!("{program} {args:?}: {text}")))
}

/// Fills the disk, but for a little.
fn fill(dir: &Path) -> io::Result<()> {
    use std::io::Write;
    let mut filler = std::fs::File::create(dir.join("filler"))?;
    let (mut length, piece) = (0, vec![7; 64 << 10]);
    loop {
        match filler.write(&piece) {
            Ok(count) => length += count as u64,
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => break,
            Err(error) => return Err(error),
        }
    }
    filler.sync_all()?;
    filler.set_len(length - LEFT)?;
    nix::unistd::syncfs(&filler)?;
    Ok(())
}

async fn all_told(what: &str, dir: &Path, source: &Path, expected: i32) -> Result<(), String> {
    let told = every_way(dir, source).await;
    let told = told.map_err(|error| format!("{what}: {error}"))?;
    let wrong: Vec<_> = told.iter().filter(|(_, told)| *told != expected).collect();
    ensure(wrong.is_empty(), format!("{what}: {wrong:?}"))
}

fn too_much() -> io::Result<tempfile::NamedTempFile> {
    let source = tempfile::NamedTempFile::new()?;
    std::fs::write(source.path(), vec![7; TOO_MUCH])?;
    Ok(source)
}

/// Filesystems that find room for what is written when they write it back.
pub(crate) fn on_full_disks_are_told(route: Route) -> Outcome {
    let source = too_much()?;
    for kind in [FsKind::Ext4, FsKind::Xfs, FsKind::Btrfs] {
        let disk = HeldDisk::new(kind, kind.size_bytes_min())?;
        fill(disk.path())?;
        on(route, |_| async {
            all_told(kind.name(), disk.path(), source.path(), libc::ENOSPC).await?;
            Ok(())
        })?;
    }
    Ok(())
}

/// A quota of the kernel's own.
pub(crate) fn on_quotas_are_told(route: Route) -> Outcome {
    let source = too_much()?;
    let disk = HeldDisk::new(FsKind::Btrfs, FsKind::Btrfs.size_bytes_min())?;
    let root = disk.path().to_str().unwrap();
    let inside = disk.path().join("inside");
    let inside_s = inside.to_str().unwrap();
    run("btrfs", &["quota", "enable", root])?;
    run("btrfs", &["subvolume", "create", inside_s])?;
    run("btrfs", &["qgroup", "limit", "786432", inside_s])?;
    on(route, |_| async {
        all_told("a quota", &inside, source.path(), libc::EDQUOT).await?;
        Ok(())
    })
}

/// Servers that say so with a write, and with a sync of what they have accepted.
pub(crate) fn of_servers_are_told(route: Route) -> Outcome {
    let source = too_much()?;
    let tree = StalledFuse::new()?;
    on(route, |_| async {
        for errno in [libc::EDQUOT, libc::ENOSPC] {
            let full = tree.fail(errno, &[Request::Write], "/")?;
            let told = every_way(tree.path(), source.path()).await?;
            // What it does not know is told otherwise.
            let wrong: Vec<_> = told
                .iter()
                .filter(|(what, told)| *told != errno && what != "allocate")
                .collect();
            ensure(wrong.is_empty(), format!("{errno}: {wrong:?}"))?;
            full.release()?;

            let full = tree.fail(errno, &[Request::Fsync], "/")?;
            let path = tree.path().join("file");
            let mut file = File::create(&path).await?;
            file.write_all(b"text").await?;
            file.flush().await?;
            let told = [
                number("sync_all", file.sync_all().await)?,
                number("copied", sync_of_a_copy(source.path(), &path).await)?,
            ];
            ensure(told == [errno; 2], format!("{told:?} of syncs for {errno}"))?;
            ensure(file.sync_data().await.is_err(), "said once")?;
            full.release()?;
            ensure(file.sync_all().await.is_err(), "until acknowledged")?;
            fs::remove_file(&path).await?;
        }
        Ok(())
    })
}

async fn sync_of_a_copy(from: &Path, to: &Path) -> io::Result<()> {
    let copy = fs::CopyFile::new(from, to).sync(true);
    copy.run().await.map(drop)
}
