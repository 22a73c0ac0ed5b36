//! What an operation hands to the kernel: the memory, the submission entry and the blocking
//! equivalent, side by side.

mod file;
#[cfg(target_os = "linux")]
mod fixed;
mod hop;
mod meta;
mod names;
mod open;
#[cfg(feature = "testing")]
mod paths;
mod provided;
mod rw;
#[cfg(target_os = "linux")]
mod small;
mod splice;
mod vectored;
mod xattr;

use std::io;

pub(crate) use crate::sys::at::{At, FdRef, OpenFile};
pub(crate) use file::{Advise, Allocate, Barrier, Close, SetLen, Sync, SyncRange};
pub(crate) use hop::Hop;
pub(crate) use meta::{Statx, Target, stat_of};
pub(crate) use names::{CreateDir, HardLink, LinkFile, Remove, Rename, Symlink};
pub(crate) use open::{Open, OpenWithin};
#[cfg(feature = "testing")]
pub(crate) use paths::Paths;
pub(crate) use provided::{Arrived, ReadProvided, Took, is_for_one_by_one};
pub(crate) use rw::{Place, Read, Write};
#[cfg(target_os = "linux")]
pub(crate) use small::{Install, ReadSmall, Small};
pub(crate) use splice::{End, Splice, Tee};
pub(crate) use vectored::{ReadVectored, WriteVectored};
pub(crate) use xattr::{GetFileXattr, GetXattr, SetFileXattr, SetXattr};

#[cfg(target_os = "linux")]
use super::linux::sqe::Sqe;
#[cfg(target_os = "linux")]
use super::linux::tables::Tables;
use super::steps::Steps;

/// A completion, as the request sees it.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Which of the linked entries it is of; zero for a single one.
    pub(crate) member: usize,
    pub(crate) result: i32,
    /// What the kernel says besides.
    pub(crate) flags: u32,
}

/// Something the kernel can be asked for: by a call on a thread in any case, and most by an entry of a ring.
pub(crate) trait Request: Send + 'static {
    /// Its entry; none where there is no opcode for just this request. What it says here does not change before
    /// the request begins: whoever has it says by that, once, which queue it goes to.
    #[cfg(target_os = "linux")]
    fn entry(&mut self) -> Option<&mut dyn Entry> {
        None
    }

    /// Does it on this thread. A request of several steps stops between them once they are not to go on.
    fn block(&mut self, steps: &Steps) -> io::Result<i32>;

    /// The paths that it is about, as far as it knows them.
    #[cfg(feature = "testing")]
    fn paths(&self, _paths: &mut Paths) {}

    /// Moves so many bytes at most, as a system does that is interrupted in the middle.
    #[cfg(feature = "testing")]
    fn shorten(&mut self, _bytes: usize) {}
}

/// A request that a ring can take.
///
/// # Safety
///
/// Everything that the entry from [`sqe`](Entry::sqe) points to must be owned by the request, at an
/// address that does not change while the request lives, and must not be touched by the request until
/// the kernel is done (INV-1).
#[allow(
    unsafe_code,
    reason = "the promise that makes a submission sound is made by each request"
)]
#[cfg(target_os = "linux")]
pub(crate) unsafe trait Entry {
    /// The submission entry. `tables` is what the ring that will take it has registered; a request can do with
    /// less. Where that ring has no room, or gives the operation back, it is asked again, for another ring, or
    /// run on a thread after all. An error ends the request before the kernel has heard of it.
    fn sqe(&mut self, tables: &mut dyn Tables) -> io::Result<Sqe>;

    /// One of several completions of the request, or one that comes with something besides its result. The
    /// last one is followed by the request's end.
    fn on_completion(&mut self, _part: Part) {}

    /// Whether whoever waits for it should look at what came, though it is not over.
    fn has_news(&self) -> bool {
        false
    }

    /// The ring had no buffer left for it. Whether it can go again, as it then does with memory of its own.
    fn do_without(&mut self) -> bool {
        false
    }
}
