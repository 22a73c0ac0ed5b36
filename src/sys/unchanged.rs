//! Reading a file as it was seen before, or not at all; blocking.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the calls block: only threads that may sleep come here"
)]

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::AsFd;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::blocking;
use super::request::{At, stat_of};
use super::stat::{How, Stamp, Stat};
use super::steps::Steps;
use crate::base::errno::open_without_peer;
use crate::error::{Drift, Error};
use crate::limits;

/// What tells a file, and a state of it, from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    device: u64,
    inode: u64,
    pub(crate) size: u64,
    modified: Stamp,
    changed: Stamp,
}

impl From<&Stat> for Seen {
    fn from(stat: &Stat) -> Seen {
        Seen {
            device: stat.dev,
            inode: stat.ino,
            size: stat.size,
            modified: stat.modified,
            changed: stat.changed,
        }
    }
}

impl From<Metadata> for Seen {
    fn from(metadata: Metadata) -> Seen {
        Seen::from(&Stat::from(metadata))
    }
}

impl Seen {
    /// Fails with the first thing in which a file is another, or in another state.
    pub(crate) fn check(&self, now: &Stat) -> io::Result<()> {
        let now = Seen::from(now);
        let drift = match () {
            () if self.device != now.device => Drift::Device,
            () if self.inode != now.inode => Drift::Inode,
            () if self.size != now.size => Drift::Size,
            () if self.modified != now.modified => Drift::Modified,
            () if self.changed != now.changed => Drift::Changed,
            () => return Ok(()),
        };
        Err(drifted(drift))
    }

    /// How much of it to ask for: one byte more than there should be shows that there is more.
    pub(crate) fn room(&self) -> io::Result<usize> {
        usize::try_from(self.size)
            .ok()
            .and_then(|size| size.checked_add(1))
            .ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    /// So much was read, to the end or as much as was asked for.
    pub(crate) fn check_len(&self, count: usize) -> io::Result<()> {
        if count as u64 == self.size {
            return Ok(());
        }
        Err(drifted(Drift::Size))
    }
}

fn drifted(drift: Drift) -> io::Error {
    Error::ChangedDuringRead { path: None, drift }.into()
}

/// What a name has that is not followed.
pub(crate) enum Named {
    Content(Vec<u8>),
    /// It is a link, and leads elsewhere.
    Link,
}

/// The content of the file, if it is the one that was seen and stays so.
pub(crate) fn read(at: &At, seen: &Seen, steps: &Steps) -> io::Result<Vec<u8>> {
    let link = OFlag::empty();
    let stat = stat_of(at.dir.as_deref(), at.path(), true, How::default())?;
    read_looked_at(at, &stat, link, seen, steps)
}

/// The same where the name itself is the file.
pub(crate) fn read_named(at: &At, seen: &Seen, steps: &Steps) -> io::Result<Named> {
    let stat = stat_of(at.dir.as_deref(), at.path(), false, How::default())?;
    if stat.is_link() {
        return Ok(Named::Link);
    }
    match read_looked_at(at, &stat, OFlag::O_NOFOLLOW, seen, steps) {
        // It has just become one. The second is FreeBSD's word for it.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::EMLINK)) => {
            Ok(Named::Link)
        }
        content => content.map(Named::Content),
    }
}

/// What lies there now may be a device that does something when it is opened, or content that would be fetched: it is
/// not opened before it was compared.
fn read_looked_at(
    at: &At,
    stat: &Stat,
    links: OFlag,
    seen: &Seen,
    steps: &Steps,
) -> io::Result<Vec<u8>> {
    seen.check(stat)?;
    let mut file = open(at, links)?;
    seen.check(&blocking::stat_fd(file.as_fd())?)?;
    let room = seen.room()?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(room)?;
    while bytes.len() < room {
        let next = (room - bytes.len()).min(limits::COPY_BUFFER_BYTES);
        let count = (&mut file).take(next as u64).read_to_end(&mut bytes)?;
        steps.check()?;
        if count < next {
            break;
        }
    }
    seen.check_len(bytes.len())?;
    seen.check(&blocking::stat_fd(file.as_fd())?)?;
    Ok(bytes)
}

/// Waits for nobody, whatever may lie there by now.
fn open(at: &At, links: OFlag) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOCTTY | links;
    super::dataless::check(at.dir(), at.path(), flags.bits())?;
    let fd = open_without_peer(|more| {
        let flags = flags | OFlag::from_bits_retain(more);
        Ok(openat(at.dir(), at.path(), flags, Mode::empty())?)
    })?;
    Ok(File::from(fd))
}
