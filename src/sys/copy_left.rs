//! What a copy that was killed has left under temporary names: which of it may be gone on with, and what of that is
//! right. In blocking calls.
#![allow(
    clippy::disallowed_methods,
    reason = "this is where blocking calls live"
)]
#![allow(
    unsafe_code,
    reason = "locks directories, which nix does by value alone"
)]

use std::ffi::{CStr, CString, OsStr};
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::fcntl::OFlag;

use super::blocking::{stat_at, stat_fd};
use super::compare_at::read_full;
use super::copy::{Reflink, open_at};
use super::copy_data::{Flow, Holes, Sided, Ways, destination_error, next_data, source_error};
use super::copy_temp::{sum, sum_in};
use super::range::{Space, allocate};
use super::stat::{Stat, kind};
use super::walking::{self, Names};
use super::xattr_open;
use crate::base::errno::{open_without_peer, retry};
use crate::limits::{COPY_BUFFER_BYTES, COPY_SMALL_BYTES, WALK_LIST_BYTES};

/// Says that a copy works in an open directory, for as long as it is open: nobody takes its temporary files for left
/// behind. Where there are no such locks, nobody takes any.
pub(crate) fn work_in(dir: BorrowedFd<'_>) {
    let _ = lock(dir, libc::LOCK_SH);
}

fn lock(dir: BorrowedFd<'_>, how: i32) -> io::Result<()> {
    retry(|| {
        // SAFETY: the call has no memory, and the descriptor is open.
        match unsafe { libc::flock(dir.as_raw_fd(), how | libc::LOCK_NB) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    })
}

/// Which of the temporary files in a directory are meant.
#[derive(Clone, Copy)]
pub(crate) enum Whose<'a> {
    /// Of all that has ever been copied into it.
    Any,
    /// Of that name.
    Of(&'a OsStr),
}

/// What copies that are over have left in a directory.
#[derive(Default)]
pub(crate) struct Stock {
    /// To be gone on with: the sum of the name that each was to get, and its own.
    pub(crate) parts: Vec<(u64, CString)>,
    /// What could not be removed.
    pub(crate) kept: Vec<(CString, io::Error)>,
}

/// Finds what copies that are over have left in an open directory. What is not to be gone on with is removed.
pub(crate) fn take_stock(
    dir: BorrowedFd<'_>,
    whose: Whose<'_>,
    stock: &mut Stock,
    go_on: impl Fn() -> bool,
    mut again: impl FnMut() -> bool,
) -> io::Result<()> {
    while let Err(error) = lock(dir, libc::LOCK_EX) {
        // Somebody copies into it, or was killed and is not over: what he waits for may take a moment.
        if error.kind() != io::ErrorKind::WouldBlock || !again() {
            return Ok(());
        }
    }
    let found = find(dir, whose, stock, go_on);
    work_in(dir);
    found
}

fn find(
    dir: BorrowedFd<'_>,
    whose: Whose<'_>,
    stock: &mut Stock,
    go_on: impl Fn() -> bool,
) -> io::Result<()> {
    let is_ours = is_own(dir, 0o022)?;
    walking::seek(dir, 0)?;
    loop {
        let names: Names = walking::list(dir, WALK_LIST_BYTES, false, &go_on)?;
        for at in 0..names.len() {
            let name = names.get(at).name;
            let Some(of) = sum_in(name.to_bytes()).filter(|of| whose.has(*of)) else {
                continue;
            };
            let there = stat_at(dir, name, false)?;
            if is_ours && is_part(&there) && there.size > COPY_SMALL_BYTES {
                stock.parts.push((of, name.to_owned()));
            } else if !there.is_dir() {
                if let Err(error) = super::copy_at::remove_if_there(dir, name) {
                    stock.kept.push((name.to_owned(), error));
                }
            }
        }
        if names.at_end || !go_on() {
            return Ok(());
        }
    }
}

impl Whose<'_> {
    fn has(self, of: u64) -> bool {
        match self {
            // That is what files of others have that are being replaced: they hold no lock.
            Whose::Any => of != sum(OsStr::new("")),
            Whose::Of(name) => of == sum(name),
        }
    }
}

/// Whether a directory is our own, and others have none of these rights to it.
pub(super) fn is_own(dir: BorrowedFd<'_>, rights: u32) -> io::Result<bool> {
    let there = stat_fd(dir)?;
    Ok(there.uid == nix::unistd::geteuid().as_raw() && there.mode & rights == 0)
}

/// Whether it is as a copy makes it, and lets nobody else in, until its content is whole.
fn is_part(there: &Stat) -> bool {
    let is_own = there.uid == nix::unistd::geteuid().as_raw() && there.nlink == 1;
    there.type_bits() == kind::FILE && is_own && there.mode & 0o7777 == 0o600
}

/// Opens what was left, if it still is as it was found.
pub(super) fn reopen(dir: BorrowedFd<'_>, name: &Path) -> Option<File> {
    let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
    let open = |more| open_at(dir, name, flags | OFlag::from_bits_retain(more), 0);
    let file = open_without_peer(open).ok()?;
    let there = stat_fd(file.as_fd()).ok()?;
    // Attributes, lists of access among them, come just before the mode.
    (is_part(&there) && xattr_open::is_bare(&file)).then_some(file)
}

/// What of a file was there already.
#[derive(Debug, Default)]
pub(super) struct Reused {
    /// Up to here it is the same as its source.
    pub(super) upto: u64,
    /// Data up to there.
    pub(super) data_bytes: u64,
    /// What of that was found to be right, and not written.
    pub(super) bytes: u64,
}

/// Compares what was left with its source, and rewrites what differs: after a power cut any part of it may be missing. It
/// ends where the source does, at the latest.
pub(super) fn reuse(
    source: &File,
    before: &Metadata,
    (to, target): (&File, &Stat),
    ways: Ways,
    flow: &Flow<'_>,
) -> Sided<Reused> {
    let cut = |len| retry(|| to.set_len(len)).map_err(destination_error);
    let upto = target.size.min(before.len());
    let mut reused = Reused::default();
    if ways.reflink == Reflink::Always || ways.holes == Holes::Zeros {
        // The one has to share all, and the other to look at all.
        cut(0)?;
        return Ok(reused);
    }
    if target.size > upto {
        cut(upto)?;
    }
    let mut sides = Both::new(source, to);
    while reused.upto < upto {
        let at = reused.upto;
        let data = match ways.follows_holes(before) {
            true => next_data(source, at, upto).map_err(source_error)?,
            false => Some(at..upto),
        };
        let data = data.unwrap_or(upto..upto);
        if at < data.start && make_hole(to, at..data.start).is_err() {
            cut(at)?;
            return Ok(reused);
        }
        reused.upto = data.start;
        if !sides.make_same(data, &mut reused, flow)? {
            // The source is shorter by now, which is found later.
            cut(reused.upto)?;
            return Ok(reused);
        }
    }
    Ok(reused)
}

fn make_hole(to: &File, hole: Range<u64>) -> io::Result<()> {
    allocate(
        to.as_fd(),
        hole.start,
        hole.end - hole.start,
        Space::PunchHole,
    )
}

/// Two files, of which the second is made the same as the first.
struct Both<'a> {
    source: &'a File,
    to: &'a File,
    wanted: Vec<u8>,
    there: Vec<u8>,
}

impl Both<'_> {
    fn new<'a>(source: &'a File, to: &'a File) -> Both<'a> {
        Both {
            source,
            to,
            wanted: vec![0; COPY_BUFFER_BYTES],
            there: vec![0; COPY_BUFFER_BYTES],
        }
    }

    /// Whether the source has all of the range.
    fn make_same(&mut self, data: Range<u64>, reused: &mut Reused, flow: &Flow<'_>) -> Sided<bool> {
        let mut at = data.start;
        while at < data.end {
            flow.check().map_err(source_error)?;
            let most = (data.end - at).min(COPY_BUFFER_BYTES as u64) as usize;
            let wanted = &mut self.wanted[..most];
            let read = read_full(self.source, wanted, at).map_err(source_error)?;
            let there = &mut self.there[..read];
            let found = read_full(self.to, there, at).map_err(destination_error)?;
            if found == read && there == &wanted[..read] {
                reused.bytes += read as u64;
            } else {
                let written = self.to.write_all_at(&wanted[..read], at);
                written.map_err(destination_error)?;
            }
            at += read as u64;
            reused.upto = at;
            reused.data_bytes += read as u64;
            flow.moved(read as u64);
            if read < most {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Takes what was left under a name of its own, so that nobody else does. Whether it was there.
pub(crate) fn take(dir: BorrowedFd<'_>, left: &CStr, name: &Path) -> bool {
    retry(|| Ok(nix::fcntl::renameat(dir, left, dir, name)?)).is_ok()
}
