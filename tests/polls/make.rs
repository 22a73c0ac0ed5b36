//! Bringing files into the states, by std.

use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use tidegate_rig::files;

use crate::batch::Batch;
use crate::stage::Fs;
use crate::states::Target;
use crate::watch::Sleeper;

pub(crate) const FILE_BYTES: usize = 64 << 10;
/// More requests than the disk's queue has room for.
const QUEUE: u64 = 150;
const NAMES: usize = 450;

pub(crate) fn nothing(_: &Batch<'_>) -> io::Result<()> {
    Ok(())
}

/// Does it in the directory of each call.
pub(crate) fn each(batch: &Batch<'_>, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    batch.dirs().try_for_each(make)
}

/// The same for what keeps a file open.
pub(crate) fn all_files(
    batch: &Batch<'_>,
    make: fn(&Path) -> io::Result<File>,
) -> io::Result<Vec<File>> {
    batch.dirs().map(make).collect()
}

pub(crate) fn writable(dir: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(dir.join("file"))
}

/// No access time is due, and none will be because of a write now.
pub(crate) fn settle(file: &File) -> io::Result<()> {
    let later = SystemTime::now() + Duration::from_secs(3600);
    file.set_times(FileTimes::new().set_accessed(later))
}

pub(crate) fn of_length(dir: &Path, bytes: usize) -> io::Result<()> {
    let file = File::create(dir.join("file"))?;
    let mut content = vec![0; bytes];
    files::fill(0, &mut content);
    file.write_all_at(&content, 0)?;
    settle(&file)
}

pub(crate) fn file(dir: &Path) -> io::Result<()> {
    of_length(dir, FILE_BYTES)
}

/// With an access time that the next read makes later than all others.
pub(crate) fn settled_just(dir: &Path) -> io::Result<()> {
    let file = File::create(dir.join("file"))?;
    file.write_all_at(&vec![7; FILE_BYTES], 0)
}

/// A file of that many extents, each a block and a hole.
pub(crate) fn fragmented(dir: &Path, extents: u64) -> io::Result<()> {
    let file = File::create(dir.join("file"))?;
    for extent in 0..extents {
        file.write_all_at(&[7; 4096], extent * 8192)?;
    }
    settle(&file)
}

/// A file of zeros that takes no space, so that truncating it brings nothing into memory.
pub(crate) fn hole(dir: &Path) -> io::Result<()> {
    let file = File::create(dir.join("file"))?;
    file.set_len(FILE_BYTES as u64)?;
    settle(&file)
}

pub(crate) fn look_at(dir: &Path, target: Target) -> io::Result<()> {
    match fs::symlink_metadata(dir.join(target.name())) {
        Err(error) if target != Target::Absent => Err(error),
        _ => Ok(()),
    }
}

pub(crate) fn look(dir: &Path) -> io::Result<()> {
    look_at(dir, Target::File)
}

/// Everything of the file, without a readahead mark at a place where there is more to read.
pub(crate) fn warm(dir: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new();
    let mut file = file
        .read(true)
        .custom_flags(libc::O_NOATIME)
        .open(dir.join("file"))?;
    file.read_to_end(&mut Vec::new()).map(drop)
}

pub(crate) fn read_by_std(dir: &Path) -> io::Result<()> {
    // Its clock has to have ticked since the file was changed.
    std::thread::sleep(Duration::from_millis(1));
    fs::read(dir.join("file")).map(drop)
}

/// Only these pages.
pub(crate) fn warm_pages(dir: &Path, first: u64, count: usize) -> io::Result<()> {
    let file = File::open(dir.join("file"))?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM)?;
    file.read_exact_at(&mut vec![0; count * 4096], first * 4096)
}

/// Reads these pages in order, as a plain reader who leaves marks where the kernel is to read on.
/// `last` is the last page that the kernel reads by itself meanwhile; it is waited for.
pub(crate) fn mark(dir: &Path, pages: &[u64], last: u64) -> io::Result<()> {
    let file = File::open(dir.join("file"))?;
    let read = |page: &u64| file.read_exact_at(&mut [0; 4096], page * 4096);
    pages.iter().try_for_each(read)?;
    warm_pages(dir, last, 1)
}

pub(crate) fn dirty(dir: &Path) -> io::Result<File> {
    let file = writable(dir)?;
    file.write_all_at(&[9; 4096], 8192)?;
    Ok(file)
}

pub(crate) fn change_mode(dir: &Path) -> io::Result<File> {
    let file = File::open(dir.join("file"))?;
    file.set_permissions(fs::Permissions::from_mode(0o640))?;
    Ok(file)
}

/// From now on an access time is due.
pub(crate) fn owe(dir: &Path) -> io::Result<File> {
    let file = File::open(dir.join("file"))?;
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    file.set_times(FileTimes::new().set_accessed(old))?;
    Ok(file)
}

pub(crate) fn reserve(dir: &Path) -> io::Result<File> {
    let file = writable(dir)?;
    fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, 1 << 20)?;
    file.write_all_at(&[9; 4096], FILE_BYTES as u64)?;
    Ok(file)
}

pub(crate) fn rewrite_all(batch: &Batch<'_>) -> io::Result<Vec<File>> {
    all_files(batch, |dir| {
        let file = writable(dir)?;
        file.set_len(0)?;
        file.write_all_at(&vec![9; FILE_BYTES], 0)?;
        Ok(file)
    })
}

fn waits(batch: &Batch<'_>, sleeper: Sleeper) -> io::Result<Sleeper> {
    let on_disk = batch.stage.wait_held();
    if sleeper.falls_asleep() {
        on_disk?;
        return Ok(sleeper);
    }
    let what = format!("{} does not sleep", sleeper.name);
    Err(io::Error::other(what))
}

/// The journal's commit, which has all that was changed in it, cannot end.
pub(crate) fn hold_commit(batch: &Batch<'_>) -> io::Result<Vec<Sleeper>> {
    static MODES: AtomicU32 = AtomicU32::new(0);
    let mode = 0o600 + MODES.fetch_add(1, Ordering::Relaxed) % 0o100;
    let (file, again) = (batch.open_spare()?, batch.open_spare()?);
    let sync = Sleeper::start("a sync", move || {
        let _ = file.set_permissions(fs::Permissions::from_mode(mode));
        let _ = file.sync_all();
    });
    let sync = waits(batch, sync)?;
    let all = Sleeper::start("a sync of everything", move || {
        let _ = nix::unistd::syncfs(&again);
    });
    Ok(vec![sync, waits(batch, all)?])
}

/// No request more goes into the disk's queue.
pub(crate) fn fill_queue(batch: &Batch<'_>) -> io::Result<Vec<Sleeper>> {
    let Some(device) = batch.stage.device() else {
        return Ok(Vec::new());
    };
    let mut file = OpenOptions::new();
    let file = file.read(true).custom_flags(libc::O_DIRECT).open(device)?;
    let file = std::sync::Arc::new(file);
    let start = |number: u64| {
        let file = file.clone();
        Sleeper::start("a read of the device", move || {
            let mut memory = vec![0_u8; 8192];
            let skip = memory.as_ptr().align_offset(4096);
            let _ = file.read_at(&mut memory[skip..skip + 4096], (64 << 20) + number * 65536);
        })
    };
    let sleepers: Vec<_> = (0..QUEUE).map(start).collect();
    let asleep = sleepers.iter().filter(|sleeper| sleeper.falls_asleep());
    if asleep.count() < sleepers.len() {
        return Err(io::Error::other("the queue does not fill"));
    }
    Ok(sleepers)
}

/// Each file has a page that somebody waits for.
pub(crate) fn read_by_others(batch: &Batch<'_>) -> io::Result<Vec<Sleeper>> {
    let start = |dir: &Path| {
        let file = File::open(dir.join("file"))?;
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM)?;
        let offset = batch.state.offset;
        Ok(Sleeper::start("a read of the same page", move || {
            let _ = file.read_at(&mut [0; 4096], offset);
        }))
    };
    asleep(batch, start)
}

/// Each inode is locked by somebody who waits for the end of the file.
pub(crate) fn truncate_by_others(batch: &Batch<'_>) -> io::Result<Vec<Sleeper>> {
    let start = |dir: &Path| {
        let file = writable(dir)?;
        let length = FILE_BYTES as u64 - 4096 + 100;
        Ok(Sleeper::start("a truncation", move || {
            let _ = file.set_len(length);
        }))
    };
    asleep(batch, start)
}

/// Each inode is locked by somebody who waits for the rest of a page.
pub(crate) fn write_by_others(batch: &Batch<'_>) -> io::Result<Vec<Sleeper>> {
    let start = |dir: &Path| {
        let file = writable(dir)?;
        Ok(Sleeper::start("a write", move || {
            let _ = file.write_at(&[9; 100], FILE_BYTES as u64 - 4000);
        }))
    };
    asleep(batch, start)
}

/// Each directory is locked by somebody who makes a name in it.
pub(crate) fn create_by_others(batch: &Batch<'_>) -> io::Result<Vec<Sleeper>> {
    let start = |dir: &Path| {
        let path = dir.join("dir/one more");
        Ok(Sleeper::start("a create", move || drop(File::create(path))))
    };
    asleep(batch, start)
}

fn asleep(
    batch: &Batch<'_>,
    start: impl Fn(&Path) -> io::Result<Sleeper>,
) -> io::Result<Vec<Sleeper>> {
    let sleepers: Vec<_> = batch.dirs().map(start).collect::<io::Result<_>>()?;
    match sleepers.iter().find(|sleeper| !sleeper.falls_asleep()) {
        None => Ok(sleepers),
        Some(sleeper) => Err(io::Error::other(format!("{} does not sleep", sleeper.name))),
    }
}

/// Small files, so that what describes the one made before and the one made after is not in the same block.
fn apart(dir: &Path, name: &str, count: usize) -> io::Result<()> {
    (0..count).try_for_each(|number| fs::write(dir.join(format!("{name}-{number}")), [7; 2000]))
}

/// A file whose inode lies far from those of all others, and from the end.
pub(crate) fn lonely(batch: &Batch<'_>) -> io::Result<()> {
    each(batch, |dir| {
        let count = if dir == batch.control() { 80 } else { 1 };
        apart(dir, "before", count)?;
        file(dir)?;
        apart(dir, "after", count)
    })
}

/// Directories of many blocks which do not lie side by side.
pub(crate) fn directories(batch: &Batch<'_>) -> io::Result<()> {
    let is_tree = batch.stage.fs.base() == Fs::Btrfs;
    each(batch, |dir| {
        fs::create_dir(dir.join("dir"))?;
        apart(dir, "between", if is_tree { 12 } else { 0 })
    })?;
    let names = if batch.stage.fs.base() == Fs::Xfs {
        NAMES
    } else {
        NAMES / 4
    };
    for number in 0..names {
        let name = format!("dir/{number:0>250}");
        each(batch, |dir| File::create(dir.join(&name)).map(drop))?;
    }
    Ok(())
}

pub(crate) fn fifo(dir: &Path) -> io::Result<()> {
    Ok(nix::unistd::mkfifo(&dir.join("fifo"), Mode::S_IRWXU)?)
}

pub(crate) fn socket(dir: &Path) -> io::Result<()> {
    // By a short way: an address has room for 108 bytes.
    let near = tempfile::tempdir()?;
    symlink(dir, near.path().join("to"))?;
    UnixListener::bind(near.path().join("to/socket")).map(drop)
}

/// The null device.
pub(crate) fn device(dir: &Path) -> io::Result<()> {
    let at = dir.join("device");
    Ok(mknod(&at, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 3))?)
}

/// A link so long that it has a block of its own.
pub(crate) fn link(dir: &Path) -> io::Result<()> {
    file(dir)?;
    symlink("./".repeat(500) + "file", dir.join("link"))
}
