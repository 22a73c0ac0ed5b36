//! An open file as operations share it: the descriptor, where it lives, and what is known of it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::close::{Closing, close, close_at_poll};
use super::durable::Durable;
use super::health::Health;
use super::meta::learn_later;
use super::open::flag;
use super::prefetch::{Prefetch, close_lent};
use super::resident::Resident;
use super::unit::Unit;
use crate::base::errno;
use crate::driver::attempt::attempt;
use crate::driver::chore::Close;
use crate::driver::op::OnWorker;
use crate::driver::{self, Driver};
use crate::error::raw_os_error;
use crate::limits;
use crate::mounts::{self, Mount};
use crate::opcode::Kind;
use crate::sys::fd::{Target, normal_readahead, position_of, status_flags};
use crate::sys::request;
use crate::sys::request::OpenFile;
use crate::sys::stat::{Stat, bits, kind};

/// An open file. Dropping the last reference closes it.
pub(crate) struct SharedFile {
    /// Shared with what reads ahead, while it does.
    fd: Option<Arc<OwnedFd>>,
    driver: Arc<Driver>,
    mount: Arc<Mount>,
    /// The attributes at the open; what can change is only a hint.
    opened: Stat,
    flags: i32,
    /// Whether only the kernel knows its position, if it has one. Also set once a read or write at a
    /// position was refused: a stream that looks like a file.
    is_stream: AtomicBool,
    /// Shared by duplicates, as readahead is told to the open file.
    pub(super) resident: Arc<Resident>,
    pub(super) prefetch: Arc<Prefetch>,
    pub(crate) health: Arc<Health>,
}

impl SharedFile {
    pub(crate) fn new(driver: &Arc<Driver>, fd: OwnedFd, flags: i32) -> Arc<SharedFile> {
        Arc::new(SharedFile::alone(driver, fd, flags))
    }

    fn alone(driver: &Arc<Driver>, fd: OwnedFd, flags: i32) -> SharedFile {
        let is_direct = flag::O_DIRECT != 0 && flags & flag::O_DIRECT != 0;
        let mask = if is_direct { bits::DIRECT_ALIGN } else { 0 };
        let (opened, mount) = mounts::of_fd_with(fd.as_fd(), mask).unwrap_or_default();
        let is_stream = match opened.type_bits() {
            kind::BLOCK | kind::FILE => flags & flag::O_PATH != 0,
            // Where the type is not known without asking, the position is.
            0 if opened.mode == 0 => position_of(fd.as_fd()).is_err(),
            _ => true,
        };
        // Nothing else is known to have no position.
        let may_wait = opened.mode == 0 && is_stream
            || mounts::may_wait_here(fd.as_fd(), &opened, mount.as_deref());
        let is_stream = AtomicBool::new(is_stream);
        let health = Health::of(&opened);
        let mount = match mount {
            _ if may_wait => Mount::of_peers(),
            Some(mount) => mount,
            None => learn_later(driver, opened.clone()),
        };
        SharedFile {
            fd: Some(Arc::new(fd)),
            driver: driver.clone(),
            mount,
            opened,
            flags,
            is_stream,
            resident: Arc::default(),
            prefetch: Arc::default(),
            health: Arc::new(health),
        }
    }

    /// The driver for the next operation: the one of the opening runtime while it lives.
    pub(crate) fn driver(&self) -> Arc<Driver> {
        let is_over = self.driver.is_closed() || self.driver.is_of_parent();
        if is_over || !self.driver.has_runtime() {
            driver::current().unwrap_or_else(|_| self.driver.live())
        } else {
            self.driver.clone()
        }
    }

    pub(super) fn driver_ref(&self) -> &Arc<Driver> {
        &self.driver
    }

    /// The mount.
    pub(crate) fn mount(&self) -> Arc<Mount> {
        if self.driver.is_of_parent() {
            return self.mount_anew();
        }
        self.mount.clone()
    }

    /// In a forked child, where the parent's may be locked for ever.
    #[cold]
    fn mount_anew(&self) -> Arc<Mount> {
        match self.opened.dev {
            _ if self.opened.is_special() => Mount::of_peers(),
            0 => Mount::unknown(),
            _ => mounts::meet(&self.opened),
        }
    }

    pub(super) fn mount_ref(&self) -> &Arc<Mount> {
        &self.mount
    }

    pub(crate) fn is_direct(&self) -> bool {
        flag::O_DIRECT != 0 && self.flags & flag::O_DIRECT != 0
    }

    /// What the filesystem says of the places that it reads past the page cache from, or zero.
    pub(super) fn told_direct_align(&self) -> u64 {
        u64::from(self.opened.more.direct_offset_align)
    }

    pub(crate) fn is_append(&self) -> bool {
        self.flags & flag::O_APPEND != 0
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.flags & flag::O_ACCMODE == flag::O_RDONLY
    }

    pub(super) fn has_no_atime(&self) -> bool {
        flag::O_NOATIME != 0 && self.flags & flag::O_NOATIME != 0
    }

    /// Whether it is a regular file, as far as that is known without asking.
    pub(super) fn is_regular(&self) -> bool {
        self.opened.is_file()
    }

    /// Whether the cursor's position is kept here: not for pipes, sockets, terminals and directories, which
    /// have none or one that means something to the kernel only.
    pub(crate) fn is_seekable(&self) -> bool {
        !self.is_stream.load(Ordering::Relaxed)
    }

    /// Then the cursor's position is the kernel's from the beginning.
    pub(crate) fn is_block_device(&self) -> bool {
        self.opened.type_bits() == kind::BLOCK
    }

    /// Whether setting the kernel's position waits for whoever has its inode locked.
    pub(crate) fn is_locked_for_seeks(&self) -> bool {
        !self.mount.is_local()
    }

    /// Whether it is a pipe or a socket, which have no positions. Where the type is not known without
    /// asking, whatever has none is taken for one.
    pub(super) fn is_pipe(&self) -> bool {
        self.opened.is_pipe() || self.opened.type_bits() == 0 && !self.is_seekable()
    }

    /// Whether a ring reads and writes it as the system's calls do.
    #[cfg(target_os = "linux")]
    pub(super) fn is_for_ring(&self) -> bool {
        super::plain::is_for_ring(self.as_fd(), &self.opened, &self.mount)
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn is_for_ring(&self) -> bool {
        false
    }

    /// Whether this error of a read or write at a position says that the file takes none.
    pub(crate) fn refuses_positions(error: &io::Error) -> bool {
        let number = raw_os_error(error);
        // macOS moves the position of a terminal, and then does not know the device.
        let is_terminal = cfg!(target_os = "macos") && number == Some(errno::ENXIO);
        is_terminal || number == Some(errno::ESPIPE)
    }

    /// The same, and the file has no position of its own, either. It is taken for a stream from then on.
    pub(crate) fn has_no_positions(&self, error: &io::Error) -> bool {
        let is_stream = SharedFile::refuses_positions(error);
        if is_stream {
            self.is_stream.store(true, Ordering::Relaxed);
        }
        is_stream
    }

    /// Whether a write to it that was accepted is not over: through this open file, or one that is dropped.
    pub(super) fn has_accepted_write(&self) -> bool {
        self.health.fence.has_accepted() || self.mount.has_orphan_write(self.opened.ino)
    }

    /// What tells it from other files of its mount, if that is known.
    pub(super) fn inode(&self) -> u64 {
        self.opened.ino
    }

    /// Where a regular file on a healthy local mount ends.
    pub(crate) fn size_at_poll(&self) -> Option<u64> {
        let stat = self.stat_at_poll(0)?;
        stat.is_file().then_some(stat.size)
    }

    /// An error of an operation on this file, as its caller is told of it.
    pub(crate) fn tell(&self, operation: Kind, error: io::Error) -> io::Error {
        self.driver.tell(operation, None, error)
    }

    /// One more descriptor of the same open file.
    pub(crate) fn duplicate(&self) -> io::Result<Arc<SharedFile>> {
        self.driver.may_open(Kind::Duplicate, &self.mount)?;
        let fd = self.as_fd().try_clone_to_owned();
        let fd = fd.map_err(|error| self.tell(Kind::Duplicate, error))?;
        self.driver.answered(Kind::Duplicate);
        let mut file = SharedFile::alone(&self.driver, fd, self.flags);
        file.resident = self.resident.clone();
        file.health = self.health.clone();
        Ok(Arc::new(file))
    }

    /// A file that somebody else opened.
    pub(crate) fn adopt(fd: OwnedFd) -> Arc<SharedFile> {
        let flags = status_flags(fd.as_fd()).unwrap_or_default();
        let file = SharedFile::new(&driver::current_or_pool(), fd, flags);
        file.lend();
        file
    }

    /// Others can have the open file from now on.
    pub(crate) fn lend(&self) {
        self.health.on_rings.lend();
    }

    /// The flags of its open; others may have set some since.
    pub(super) fn opened_with(&self) -> i32 {
        self.flags
    }

    /// Lets go of the descriptor, with the kernel's readahead on again unless a clone still reads. If
    /// operations are in flight, it is a duplicate.
    pub(crate) fn release(self: Arc<Self>) -> io::Result<OwnedFd> {
        let resident = self.resident.clone();
        let fd = match self.into_fd() {
            Ok(fd) => fd,
            Err(file) => return file.as_fd().try_clone_to_owned(),
        };
        if resident.is_quiet() && Arc::strong_count(&resident) == 1 {
            // A hint: without it, reads are only slower.
            let _ = normal_readahead(fd.as_fd());
        }
        Ok(fd)
    }

    /// The attributes, with further fields, if they are exact and cannot sleep.
    pub(crate) fn stat_at_poll(&self, mask: u32) -> Option<Stat> {
        if !self.driver.attempts() || self.has_accepted_write() {
            return None;
        }
        let look = || mounts::of_fd_with(self.as_fd(), mask);
        let looked = attempt(Some(self.mount_ref()), look)?;
        looked.ok().map(|(stat, _)| stat)
    }

    /// How long a regular file is, as the kernel has it in memory now, or else as it was at the open.
    /// Some that are made when they are read, as in procfs, say 0.
    pub(crate) fn size_hint(&self) -> Option<u64> {
        let at_open = || self.is_regular().then_some(self.opened.size);
        self.size_at_poll().or_else(at_open)
    }

    /// Takes the descriptor out of the last reference; the file back if there are others.
    pub(crate) fn into_fd(self: Arc<Self>) -> Result<OwnedFd, Arc<SharedFile>> {
        let mut file = Arc::try_unwrap(self)?;
        let Some(fd) = file.fd.take() else {
            return Err(Arc::new(file));
        };
        let taken = file.prefetch.take_back(fd, Some(limits::LENT_PATIENCE));
        taken.map_err(|fd| {
            file.fd = Some(fd);
            Arc::new(file)
        })
    }

    pub(super) fn shared_fd(&self) -> &Arc<OwnedFd> {
        self.fd
            .as_ref()
            .expect("the descriptor is there until the file is dropped")
    }

    pub(crate) async fn sync(self: Arc<Self>, data_only: bool) -> io::Result<()> {
        self.write_out_for_a_sync();
        let kind = if data_only {
            Kind::SyncData
        } else {
            Kind::SyncAll
        };
        let request = request::Sync {
            fd: self.clone(),
            data_only,
        };
        let durable = Durable {
            kind,
            request,
            file: self,
            on_worker: OnWorker::Plain,
        };
        durable.run().await
    }

    pub(crate) async fn sync_barrier(self: Arc<Self>) -> io::Result<()> {
        self.write_out_for_a_sync();
        let durable = Durable {
            kind: Kind::SyncData,
            request: request::Barrier { fd: self.clone() },
            file: self,
            on_worker: OnWorker::Plain,
        };
        durable.run().await
    }

    pub(crate) async fn set_len(self: Arc<Self>, len: u64) -> io::Result<()> {
        self.health.uncut.end();
        let target = Target::file(self.as_fd());
        let fenced = self.health.changes(len..u64::MAX);
        let request = request::SetLen {
            fd: self.clone(),
            len,
        };
        self.driver()
            .start(
                Unit::on_file(Kind::SetLen, request, target).behind(fenced),
                &self.mount(),
            )
            .await
    }

    /// Whether a write may be accepted that will go on by itself: not under a limit that is passed, nor where
    /// it could only get stuck.
    pub(crate) fn may_accept(&self) -> io::Result<()> {
        self.driver().may_begin(Kind::Write, &self.mount)?;
        Ok(())
    }

    /// Cancels what is in flight on this descriptor; returns how many operations that were.
    pub(crate) fn cancel_in_flight(&self) -> usize {
        self.driver().cancel_on(self.as_fd())
    }

    /// Closes the descriptor if this is the last reference, and says what the filesystem answered.
    pub(crate) async fn close(self: Arc<Self>) -> io::Result<()> {
        let (driver, mount) = (self.driver(), self.mount());
        let mut file = match Arc::try_unwrap(self) {
            Ok(file) => file,
            // An operation still holds it, and closes it when it is over.
            Err(_) => return Ok(()),
        };
        let Some(fd) = file.fd.take() else {
            return Ok(());
        };
        match file.prefetch.take_back(fd, Some(Duration::ZERO)) {
            Ok(fd) => match close_at_poll(&driver, fd, &file.closing()) {
                Ok(()) => {
                    driver.answered(Kind::Close);
                    driver::spend().await;
                    Ok(())
                }
                Err(fd) => {
                    let close = Close::of_shared(fd, &file.health.on_rings);
                    driver.start(close, &mount).await
                }
            },
            Err(fd) => {
                let close = close_lent(file.prefetch.clone(), fd, &file.health.on_rings);
                driver.start(close, &mount).await
            }
        }
    }
}

impl AsFd for SharedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared_fd().as_fd()
    }
}

impl OpenFile for SharedFile {
    #[cfg(target_os = "linux")]
    fn note_on_ring(&self, is_of_polls: bool) {
        self.health.on_rings.note(is_of_polls);
    }
}

impl SharedFile {
    fn closing(&self) -> Closing<'_> {
        Closing {
            mount: &self.mount,
            may_write: !self.is_read_only(),
            uncut: &self.health.uncut,
            on_rings: &self.health.on_rings,
        }
    }

    /// This open has made the file if it is no older than the open, by the coarse clock of filesystems.
    pub(super) fn note_made(&self, began_ns: u64) {
        if self
            .opened
            .created
            .is_some_and(|created| created.ns() >= began_ns)
        {
            self.health.uncut.begin();
        }
    }
}

impl Drop for SharedFile {
    /// When this returns, the descriptor is closed, unless its close takes longer than a millisecond. It may sleep
    /// only on a thread.
    fn drop(&mut self) {
        let Some(fd) = self.fd.take() else { return };
        if self.driver.is_of_parent() {
            // What the parent's thread read ahead through stays open here.
            if let Ok(fd) = Arc::try_unwrap(fd) {
                close_in_child(fd, &self.mount());
            }
            return;
        }
        match self.prefetch.take_back(fd, Some(limits::LENT_PATIENCE)) {
            Ok(fd) => close(&self.driver, fd, &self.closing()),
            Err(fd) => {
                let close = close_lent(self.prefetch.clone(), fd, &self.health.on_rings);
                self.driver.start_detached(close, &self.mount);
            }
        }
    }
}

/// A forked child closes what it has of its parent where its own runtime closes things; without one it has no thread
/// to spare.
fn close_in_child(fd: OwnedFd, mount: &Arc<Mount>) {
    match driver::current() {
        Ok(driver) if driver.has_runtime() && !driver.is_of_parent() => {
            driver.close_later(fd, &driver.group(mount));
        }
        _ => drop(fd),
    }
}
