//! Closing descriptors: on the spot where that cannot sleep, else on a thread, for which a drop waits a little.
//!
//! What may sleep in which close is in `docs/design/closing.md`.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::driver::Driver;
use crate::mounts::Mount;
use crate::sys::stat::Stat;

/// Closes a descriptor that a user drops. When this returns, it is closed, unless its close took longer than
/// [`CLOSE_WAIT`](crate::limits::CLOSE_WAIT), or one on this mount did lately.
pub(super) fn close(driver: &Arc<Driver>, fd: OwnedFd, mount: &Arc<Mount>, may_write: bool) {
    if driver.attempts() {
        if let Some(fd) = at_once(fd, mount, may_write) {
            driver.close_soon(fd, mount);
        }
    } else {
        driver.close_soon(fd, mount);
    }
}

/// Closes a descriptor that was open only to look, and of which the attributes were just read: at once where nothing
/// but the last link's end could sleep, else on a thread that has nothing to do with the mount, behind whose stuck
/// operations descriptors would pile up. Where many wait for that all the same, as when very many ask for the first time
/// on a mount, those whose file has a name are closed at once, too: no more than so many are open.
pub(super) fn close_path(driver: &Arc<Driver>, fd: OwnedFd, stat: &Stat, mount: &Arc<Mount>) {
    let is_calm = mount.is_local() && mount.is_healthy() || is_fuse(mount);
    if stat.nlink > 0 && (is_calm || driver.has_many_look_ups()) {
        drop(fd);
    } else {
        driver.close_look_up(fd);
    }
}

/// A FUSE server hears nothing of a descriptor without access, and of what is forgotten nobody waits for its word.
fn is_fuse(mount: &Mount) -> bool {
    mount
        .fs_type()
        .is_some_and(|fs_type| fs_type.starts_with("fuse"))
}

/// Closes the descriptor if that cannot sleep; else gives it back.
#[cfg(target_os = "linux")]
fn at_once(fd: OwnedFd, mount: &Arc<Mount>, may_write: bool) -> Option<OwnedFd> {
    use crate::driver::attempt::attempt;
    let mut fd = Some(fd);
    // Of pipes, sockets and terminals the filesystem is not asked for anything.
    let about = (!mount.is_of_peers()).then_some(mount);
    attempt(about, || {
        let can = |fd: &OwnedFd| cannot_sleep(fd, mount, may_write).unwrap_or(false);
        drop(fd.take_if(|fd| can(fd)));
    });
    fd
}

#[cfg(not(target_os = "linux"))]
fn at_once(fd: OwnedFd, _mount: &Arc<Mount>, _may_write: bool) -> Option<OwnedFd> {
    Some(fd)
}

/// Whether closing the descriptor cannot sleep, by what the kernel has in memory at this moment.
#[cfg(target_os = "linux")]
fn cannot_sleep(fd: &OwnedFd, mount: &Mount, may_write: bool) -> Option<bool> {
    use std::os::fd::AsFd;

    use crate::limits;
    use crate::mounts;
    use crate::sys::linux::nowait;
    use crate::sys::stat::kind;

    let (stat, _) = mounts::of_fd(fd.as_fd()).ok()?;
    if stat.nlink == 0 {
        // The last reference frees its blocks.
        return None;
    }
    let calm = match stat.type_bits() {
        kind::FILE if mount.is_local() => {
            if stat.size > limits::CLOSE_LOOK_BYTES || !mount.is_current() {
                return None;
            }
            if may_write
                && mount.frees_at_close()
                && stat.blocks * 512 > stat.size.next_multiple_of(stat.blksize.max(512))
            {
                // Blocks behind the end are freed, in a transaction.
                return None;
            }
            // Whoever closes first after a truncation to zero starts the write of what came then.
            let pages = nowait::pages(fd.as_fd(), 0, 0).ok()?;
            pages.dirty + pages.writeback == 0
        }
        kind::DIRECTORY => mount.is_local(),
        kind::FIFO => true,
        kind::SOCKET => !nowait::lingers(fd.as_fd()),
        kind::CHARACTER => stat.is_memory_device() || stat.is_pseudo_terminal(),
        _ => false,
    };
    Some(calm)
}
