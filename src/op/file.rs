//! An open file as operations share it: the descriptor, where it lives, and what is known of it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::meta::{learn_later, of_fd_at_poll};
use super::open::flag;
use super::prefetch::Prefetch;
use super::resident::Resident;
use super::unit::Unit;
use crate::driver::attempt::attempt;
use crate::driver::op::OnWorker;
use crate::driver::{self, Driver};
use crate::mounts::{self, Mount};
use crate::opcode::Kind;
use crate::sys::request;
use crate::sys::stat::Stat;

/// An open file. Dropping the last reference closes it, on a lane wherever that may sleep.
pub(crate) struct SharedFile {
    fd: Option<OwnedFd>,
    driver: Arc<Driver>,
    mount: Arc<Mount>,
    /// The attributes at the open; what can change is only a hint.
    opened: Stat,
    flags: i32,
    pub(super) resident: Resident,
    pub(super) prefetch: Arc<Prefetch>,
}

impl SharedFile {
    pub(crate) fn new(driver: &Arc<Driver>, fd: OwnedFd, flags: i32) -> Arc<SharedFile> {
        let (opened, mount) = mounts::of_fd(fd.as_fd()).unwrap_or_default();
        let mount = match mount {
            // A pipe waits for its other end, which says nothing of the disk it has its name on.
            _ if opened.is_special() => Mount::unknown(),
            Some(mount) => mount,
            None => learn_later(driver, opened.clone()),
        };
        Arc::new(SharedFile {
            fd: Some(fd),
            driver: driver.clone(),
            mount,
            opened,
            flags,
            resident: Resident::default(),
            prefetch: Arc::default(),
        })
    }

    /// The driver for the next operation: the one of the opening runtime while it lives.
    pub(crate) fn driver(&self) -> Arc<Driver> {
        if self.driver.is_closed() {
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
        self.mount.clone()
    }

    pub(super) fn mount_ref(&self) -> &Arc<Mount> {
        &self.mount
    }

    pub(crate) fn is_direct(&self) -> bool {
        flag::O_DIRECT != 0 && self.flags & flag::O_DIRECT != 0
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

    /// Whether reads and writes have positions: not so for pipes, sockets and terminals. On systems
    /// where the type is not known at the open, it is taken for one that has.
    pub(crate) fn is_seekable(&self) -> bool {
        !self.opened.is_special()
    }

    /// The attributes, if they are exact and cannot sleep.
    pub(crate) fn stat_at_poll(&self) -> Option<Stat> {
        let mount = self.mount_ref();
        if !self.driver.attempts() {
            None
        } else {
            of_fd_at_poll(self, mount)
        }
    }

    /// How long a regular file is, as the kernel has it in memory now, or else as it was at the open.
    /// Some that are made when they are read, as in procfs, say 0.
    pub(crate) fn size_hint(&self) -> Option<u64> {
        self.is_regular().then(|| {
            let now = self.stat_at_poll();
            now.map_or(self.opened.size, |stat| stat.size)
        })
    }

    /// Takes the descriptor out of the last reference; the file back if there are others.
    pub(crate) fn into_fd(self: Arc<Self>) -> Result<OwnedFd, Arc<SharedFile>> {
        Arc::try_unwrap(self).map(|mut file| {
            file.fd
                .take()
                .expect("the descriptor is there until the file is dropped")
        })
    }

    pub(crate) async fn sync(self: Arc<Self>, data_only: bool) -> io::Result<()> {
        let kind = if data_only {
            Kind::SyncData
        } else {
            Kind::SyncAll
        };
        let request = request::Sync {
            fd: self.clone(),
            data_only,
        };
        self.driver()
            .start(Unit::on_file(kind, request, OnWorker::Plain), &self.mount())
            .await
    }

    pub(crate) async fn set_len(self: Arc<Self>, len: u64) -> io::Result<()> {
        let request = request::SetLen {
            fd: self.clone(),
            len,
        };
        self.driver()
            .start(
                Unit::on_file(Kind::SetLen, request, OnWorker::Async),
                &self.mount(),
            )
            .await
    }

    pub(crate) async fn allocate(
        self: Arc<Self>,
        offset: u64,
        len: u64,
        keep_size: bool,
    ) -> io::Result<()> {
        let request = request::Allocate {
            fd: self.clone(),
            offset,
            len,
            keep_size,
        };
        self.driver()
            .start(
                Unit::on_file(Kind::Allocate, request, OnWorker::Async),
                &self.mount(),
            )
            .await
    }

    /// Closes the descriptor if this is the last reference, and says what the filesystem answered.
    pub(crate) async fn close(self: Arc<Self>) -> io::Result<()> {
        let (driver, mount) = (self.driver(), self.mount());
        match self.into_fd() {
            Ok(fd) => driver.start(driver::chore::Close::new(fd), &mount).await,
            // An operation still holds it, and closes it when it is over.
            Err(_) => Ok(()),
        }
    }
}

impl AsFd for SharedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd
            .as_ref()
            .expect("the descriptor is there until the file is dropped")
            .as_fd()
    }
}

impl Drop for SharedFile {
    /// At once where that cannot sleep: a read-only descriptor of a file with a name, on a healthy
    /// local mount. Everything else closes on a lane, as what was written may be flushed.
    fn drop(&mut self) {
        self.prefetch.stop();
        let Some(fd) = self.fd.take() else { return };
        let mut fd = Some(fd);
        let mount = self.mount();
        if self.is_read_only() && self.driver.attempts() {
            attempt(Some(&mount), || {
                let named = fd
                    .as_ref()
                    .and_then(|fd| mounts::of_fd(fd.as_fd()).ok())
                    .is_some_and(|(stat, _)| stat.nlink > 0);
                drop(fd.take_if(|_| named));
            });
        }
        if let Some(fd) = fd {
            self.driver.close_later(fd, &self.driver.group(&mount));
        }
    }
}
