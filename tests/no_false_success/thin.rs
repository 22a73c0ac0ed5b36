//! A disk that has no room below blocks that a file has had for long: what is written there is lost at its writeback,
//! and nothing else is. A wait for a range of the file takes the error away from every sync that follows.

use std::fs::File as StdFile;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tidegate::Route;
use tidegate::fs::{AppendWriter, File, FileState, OpenOptions, WritebackPolicy};

use crate::stage::{Outcome, ensure, on};

const MIB: usize = 1 << 20;
const LEN: usize = 24 * MIB;
const CHUNK: usize = 4 * MIB;

/// A filesystem without a journal, on an image in a memory that is full.
struct Thin {
    work: tempfile::TempDir,
    path: PathBuf,
}

fn run(program: &str, args: &[&str], path: &[&Path]) -> io::Result<()> {
    let paths = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env("PATH", format!("{paths}:/usr/sbin:/sbin"));
    let output = command.args(args).args(path).output()?;
    let text = || String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{program}: {}", text()))),
    }
}

impl Thin {
    /// One with a file whose blocks are written, and which the memory below has no room for any more.
    fn new() -> io::Result<Thin> {
        let work = tempfile::tempdir()?;
        let path = work.path().join("mnt/file");
        let thin = Thin { work, path };
        let (store, mounted) = (thin.store(), thin.work.path().join("mnt"));
        std::fs::create_dir(&store)?;
        std::fs::create_dir(&mounted)?;
        let none = Some("none");
        let (no_flags, size) = (MsFlags::empty(), Some("size=128m"));
        mount(none, &store, Some("tmpfs"), no_flags, size)?;
        let image = store.join("image");
        StdFile::create(&image)?.set_len(64 << 20)?;
        let options = ["-q", "-F", "-O", "^has_journal", "-E", "lazy_itable_init=0"];
        run("mkfs.ext4", &options, &[&image])?;
        run("mount", &["-t", "ext4", "-o", "loop"], &[&image, &mounted])?;
        let file = StdFile::create(&thin.path)?;
        file.write_all_at(&vec![1; LEN], 0)?;
        file.sync_all()?;
        nix::unistd::syncfs(&file)?;
        let image = StdFile::options().write(true).open(&image)?;
        let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        for (at, length) in extents(&file)? {
            fallocate(&image, punch, at as i64, length as i64)?;
        }
        let left = nix::sys::statfs::statfs(&store)?;
        let used = (left.blocks() - left.blocks_free()) * left.block_size() as u64;
        let (none, size) = (None::<&str>, format!("size={used}"));
        mount(none, &store, none, MsFlags::MS_REMOUNT, Some(size.as_str()))?;
        Ok(thin)
    }

    fn store(&self) -> PathBuf {
        self.work.path().join("store")
    }

    /// The file, of which nothing is in the page cache.
    fn open(&self) -> io::Result<StdFile> {
        let file = StdFile::options().read(true).write(true).open(&self.path)?;
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        Ok(file)
    }
}

impl Drop for Thin {
    fn drop(&mut self) {
        let _ = umount2(&self.work.path().join("mnt"), MntFlags::MNT_DETACH);
        let _ = umount2(&self.store(), MntFlags::MNT_DETACH);
    }
}

/// Where the file lies on its disk.
fn extents(file: &StdFile) -> io::Result<Vec<(u64, u64)>> {
    const FIEMAP: u32 = 0xc020_660b;
    const MOST: usize = 64;
    const HEAD: usize = 4;
    const EACH: usize = 7;
    let mut map = [0_u64; HEAD + MOST * EACH];
    (map[1], map[3]) = (u64::MAX, MOST as u64);
    // SAFETY: the request fills in as many extents as the struct says that there is room for.
    if unsafe { libc::ioctl(file.as_raw_fd(), FIEMAP as _, map.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let count = (map[2] >> 32) as usize;
    let extents = map[HEAD..].chunks(EACH).take(count);
    Ok(extents.map(|extent| (extent[1], extent[2])).collect())
}

/// The number of the error that came of it.
fn told<T>(result: io::Result<T>) -> Option<i32> {
    result
        .err()
        .and_then(|error| tidegate::raw_os_error(&error))
}

/// What it comes to with bare calls: what the waits told, and two syncs after them.
fn naive(thin: &Thin, waits: bool) -> io::Result<(Vec<i32>, [Option<i32>; 2])> {
    let file = thin.open()?;
    file.write_all_at(&vec![2; LEN], 0)?;
    let mut seen = Vec::new();
    if waits {
        let other = file.try_clone()?;
        let all = libc::SYNC_FILE_RANGE_WAIT_BEFORE
            | libc::SYNC_FILE_RANGE_WRITE
            | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        for flags in [libc::SYNC_FILE_RANGE_WRITE, all] {
            for at in (0..LEN).step_by(CHUNK) {
                let (fd, at) = (other.as_raw_fd(), at as i64);
                // SAFETY: the call takes no memory.
                let done = unsafe { libc::sync_file_range(fd, at, CHUNK as i64, flags) };
                if done != 0 {
                    seen.extend(io::Error::last_os_error().raw_os_error());
                }
            }
        }
    }
    Ok((seen, [told(file.sync_all()), told(file.sync_all())]))
}

/// A file of which all was overwritten, and lost in the background, of which nobody has been told.
async fn lost(thin: &Thin) -> Result<File, libtest_mimic::Failed> {
    drop(thin.open()?);
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open(&thin.path).await?;
    let policy = WritebackPolicy::new().chunk_bytes(CHUNK as u64);
    let file = file.with_writeback(policy);
    file.write_all_at(vec![3; LEN], 0).await?;
    loop {
        let stats = file.writeback_stats().unwrap();
        if stats.failed > 0 && stats.started == stats.finished + stats.failed {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    ensure(file.state() == FileState::Poisoned, "the state")?;
    Ok(file)
}

/// M18: where bare calls that look away from what a wait says get a success, ours get the error.
pub(crate) fn disks_are_told(route: Route) -> Outcome {
    let thin = Thin::new()?;
    let (waits, syncs) = naive(&thin, true)?;
    let is_swallowed = waits.contains(&libc::ENOSPC) && syncs == [None; 2];
    ensure(
        is_swallowed,
        format!("bare waits {waits:?}, then {syncs:?}"),
    )?;
    let (_, syncs) = naive(&thin, false)?;
    let once = [Some(libc::ENOSPC), None];
    ensure(syncs == once, format!("bare syncs {syncs:?}"))?;

    on(route, |_| async {
        let full = Some(libc::ENOSPC);
        let file = lost(&thin).await?;
        let clone = file.try_clone().await?;
        let write = file.write_all_at(vec![4; 1], 0).await;
        let write = write.map(drop).map_err(Into::into);
        ensure(told(write) == full, "the next write")?;
        for _ in 0..2 {
            ensure(told(file.sync_all().await) == full, "sync_all")?;
            ensure(told(clone.sync_data().await) == full, "a clone's sync_data")?;
        }
        let acknowledged = file.acknowledge().and_then(|error| error.raw_os_error());
        ensure(acknowledged == full, format!("{acknowledged:?}"))?;
        Ok(())
    })
}

/// An error of which nobody was told is told to who opens the file later, as the kernel would have, and to nobody once
/// somebody was.
pub(crate) fn disks_are_told_to_later_opens(route: Route) -> Outcome {
    let thin = Thin::new()?;
    on(route, |_| async {
        let full = Some(libc::ENOSPC);
        let open = async |writes: bool| {
            let mut options = OpenOptions::new();
            options.read(true).write(writes).open(&thin.path).await
        };
        for writes in [false, true] {
            // Beside the first one, and after it.
            let first = lost(&thin).await?;
            let beside = open(writes).await?;
            drop(first);
            let later = open(writes).await?;
            ensure(told(beside.sync_all().await) == full, "an open beside")?;
            ensure(told(later.sync_data().await) == full, "a later open")?;
            beside.close().await?;
            later.close().await?;
            let last = open(writes).await?;
            let synced = told(last.sync_all().await);
            ensure(synced.is_none(), format!("told twice: {synced:?}"))?;
        }
        // A close tells.
        let closed = told(lost(&thin).await?.close().await);
        ensure(closed == full, format!("a close: {closed:?}"))?;
        let later = open(true).await?;
        ensure(later.state() == FileState::Healthy, "after a close")?;
        drop(later);
        // A log does not go on behind what is lost.
        drop(lost(&thin).await?);
        let log = AppendWriter::open(&thin.path).await?;
        let appended = told(log.append_sync("x").await);
        ensure(appended == full, format!("a log: {appended:?}"))?;
        Ok(())
    })
}
