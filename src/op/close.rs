//! Closing descriptors: on the spot where that cannot sleep, else on a thread, for which a drop waits a little.
//!
//! What may sleep in which close is in `docs/design/closing.md`.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::base::clock::day_ns;
use crate::driver::Driver;
use crate::driver::on_rings::OnRings;
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::sys::stat::Stat;

/// Whether an open file's content has never been cut off, as far as that can be known: then its close starts no write,
/// however much of it is dirty. Filesystems write what follows a truncation to zero when any descriptor is closed.
#[derive(Default)]
pub(super) struct Uncut {
    /// Whether this open has made the file, and nothing here has shortened it.
    holds: AtomicBool,
    /// When its last write through this open file was known to be over, in nanoseconds of the day. What was changed
    /// later, somebody else has changed.
    written_ns: AtomicU64,
}

impl Uncut {
    /// This open has made the file.
    pub(super) fn begin(&self) {
        self.written_ns.store(day_ns(), Ordering::Relaxed);
        self.holds.store(true, Ordering::Relaxed);
    }

    /// Its length is set.
    pub(super) fn end(&self) {
        self.holds.store(false, Ordering::Relaxed);
    }

    /// A write is over.
    pub(super) fn note_write(&self) {
        if self.holds.load(Ordering::Relaxed) {
            self.written_ns.store(day_ns(), Ordering::Relaxed);
        }
    }

    #[cfg(target_os = "linux")]
    fn holds(&self, stat: &Stat) -> bool {
        self.holds.load(Ordering::Relaxed)
            && stat.modified.ns() <= self.written_ns.load(Ordering::Relaxed)
    }
}

/// What is known of an open file that is to be closed.
pub(super) struct Closing<'a> {
    pub(super) mount: &'a Arc<Mount>,
    pub(super) may_write: bool,
    pub(super) uncut: &'a Uncut,
    pub(super) on_rings: &'a Arc<OnRings>,
}

/// Closes a descriptor that a user drops. When this returns, it is closed, unless its close took longer than
/// [`CLOSE_WAIT`](crate::limits::CLOSE_WAIT), or one on this mount did lately.
pub(super) fn close(driver: &Arc<Driver>, fd: OwnedFd, about: &Closing<'_>) {
    if let Err(fd) = close_at_poll(driver, fd, about) {
        driver.close_soon(fd, about.mount, about.on_rings);
    }
}

/// Closes a descriptor at a poll, where that cannot sleep, and so has no error either: the filesystems of which that is
/// known are asked nothing. Else gives it back.
pub(super) fn close_at_poll(
    driver: &Arc<Driver>,
    fd: OwnedFd,
    about: &Closing<'_>,
) -> Result<(), OwnedFd> {
    if !driver.attempts() {
        return Err(fd);
    }
    at_once(fd, about).map_or(Ok(()), Err)
}

/// A descriptor that was open only to look, and could not be closed at once.
#[must_use]
pub(super) struct LookedThrough {
    fd: OwnedFd,
    /// What is there is not known yet, so that this may be any mount, and a local one.
    is_new: bool,
}

/// Closes a descriptor that was open only to look, and of which the attributes were just read: at once where nothing
/// but the last link's end could sleep. Where many wait to be closed all the same, as when very many ask for the first
/// time on a mount, those whose file has a name are closed at once, too: no more than so many are open.
pub(super) fn close_path(
    driver: &Arc<Driver>,
    fd: OwnedFd,
    stat: &Stat,
    mount: &Arc<Mount>,
) -> Option<LookedThrough> {
    let is_calm = mount.is_local() && mount.is_healthy() || asks_nobody(mount);
    if stat.nlink > 0 && (is_calm || driver.has_many_look_ups()) {
        return None;
    }
    let is_new = mount.is_new();
    Some(LookedThrough { fd, is_new })
}

/// Closes what was left to be closed on a thread that has nothing to do with the mount, behind whose stuck operations
/// descriptors would pile up. Not within an attempt: on a mount that was not seen before it waits for that as a drop
/// does, since whoever looks first may be the last.
pub(super) fn close_looked_through(driver: &Arc<Driver>, left: Option<LookedThrough>) {
    match left {
        Some(LookedThrough { fd, is_new: true }) => driver.close_look_up_soon(fd),
        Some(LookedThrough { fd, is_new: false }) => driver.close_look_up(fd),
        None => {}
    }
}

/// Drops a directory that was listed, and what has it open besides, without access: on the spot where that cannot sleep,
/// else as a file.
pub(super) fn drop_directory<T: Send + 'static>(
    driver: &Arc<Driver>,
    listed: T,
    look: Arc<OwnedFd>,
) {
    let mut both = Some((listed, look));
    if driver.attempts() {
        drop_at_once(&mut both);
    }
    if let Some(both) = both {
        driver.drop_soon(Kind::Close, both);
    }
}

#[cfg(target_os = "linux")]
fn drop_at_once<T>(both: &mut Option<(T, Arc<OwnedFd>)>) {
    use std::os::fd::AsFd;

    use crate::driver::attempt::attempt;
    use crate::mounts;

    attempt(None, || {
        let can = |look: &OwnedFd| {
            let (stat, mount) = mounts::of_fd(look.as_fd()).ok()?;
            let mount = mount?;
            Some(stat.nlink > 0 && mount.is_healthy() && closes_directories(&mount))
        };
        drop(both.take_if(|(_, look)| can(look).unwrap_or(false)));
    });
}

#[cfg(not(target_os = "linux"))]
fn drop_at_once<T>(_both: &mut Option<(T, Arc<OwnedFd>)>) {}

/// Whether closing a directory that has a name cannot sleep there. The last reference to a mount that was taken away
/// unmounts it.
#[cfg(target_os = "linux")]
fn closes_directories(mount: &Mount) -> bool {
    mount.is_local() && mount.is_current()
}

/// A FUSE server hears nothing of a descriptor without access, and of what is forgotten nobody waits for its word. An
/// overlay opens nothing below for one.
fn asks_nobody(mount: &Mount) -> bool {
    let fs_type = mount.fs_type();
    fs_type.is_some_and(|fs_type| fs_type.starts_with("fuse")) || mount.is_overlay()
}

/// Closes the descriptor if that cannot sleep; else gives it back.
#[cfg(target_os = "linux")]
fn at_once(fd: OwnedFd, about: &Closing<'_>) -> Option<OwnedFd> {
    use crate::driver::attempt::attempt;
    let mount = about.mount;
    let mut fd = Some(fd);
    // Of pipes, sockets and terminals the filesystem is not asked for anything.
    let where_it_is = (!mount.is_of_peers()).then_some(mount);
    attempt(where_it_is, || {
        let can = |fd: &OwnedFd| cannot_sleep(fd, about).unwrap_or(false);
        drop(fd.take_if(|fd| can(fd)));
    });
    fd
}

#[cfg(not(target_os = "linux"))]
fn at_once(fd: OwnedFd, _about: &Closing<'_>) -> Option<OwnedFd> {
    Some(fd)
}

/// Whether closing the descriptor cannot sleep, by what the kernel has in memory at this moment.
#[cfg(target_os = "linux")]
fn cannot_sleep(fd: &OwnedFd, about: &Closing<'_>) -> Option<bool> {
    use std::os::fd::AsFd;

    use crate::mounts;
    use crate::sys::linux::nowait::lingers;
    use crate::sys::stat::kind;

    let (stat, _) = mounts::of_fd(fd.as_fd()).ok()?;
    if stat.nlink == 0 {
        // The last reference frees its blocks.
        return None;
    }
    match stat.type_bits() {
        _ if about.on_rings.may_have_it() && about.on_rings.would_be_seen(&stat) => None,
        kind::FILE => is_calm(fd, &stat, about),
        kind::DIRECTORY => Some(closes_directories(about.mount)),
        kind::FIFO => Some(true),
        kind::SOCKET => Some(!lingers(fd.as_fd())),
        kind::CHARACTER => Some(stat.is_memory_device() || stat.is_pseudo_terminal()),
        _ => None,
    }
}

/// Whether closing a regular file starts no write and frees no blocks.
#[cfg(target_os = "linux")]
fn is_calm(fd: &OwnedFd, stat: &Stat, about: &Closing<'_>) -> Option<bool> {
    use std::os::fd::AsFd;

    use super::seen::first_pages;
    use crate::limits;
    use crate::sys::linux::nowait::{self, Pages};

    let mount = about.mount;
    if !mount.is_local() || !mount.is_current() || stat.size > limits::CLOSE_LOOK_BYTES {
        return None;
    }
    let whole = stat.size.next_multiple_of(stat.blksize.max(512));
    if about.may_write && mount.frees_at_close() && stat.blocks * 512 > whole {
        // Blocks behind the end are freed, in a transaction.
        return None;
    }
    let is_settled =
        |pages: &Pages| pages.writeback == 0 && (pages.dirty == 0 || about.uncut.holds(stat));
    // Not where looking takes longer than handing the close on.
    let mut looked_at = 0;
    if stat.size > limits::LOOK_FIRST_BYTES {
        if !is_settled(&first_pages(fd.as_fd(), 0)?) {
            return Some(false);
        }
        looked_at = limits::LOOK_FIRST_BYTES;
    }
    Some(is_settled(&nowait::pages(fd.as_fd(), looked_at, 0).ok()?))
}
