//! Operations that report a failed writeback, which the kernel reports once.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};

use super::file::SharedFile;
use crate::driver::fence::Fenced;
use crate::driver::op::{Load, OnWorker, Op};
use crate::error::Error;
use crate::opcode::{DeadlineClass, Kind};
use crate::sys::fd::Target;
use crate::sys::request::{Hop, Request};

/// A request whose error must not be lost with its future.
pub(super) struct Durable<R> {
    pub(super) kind: Kind,
    pub(super) request: R,
    pub(super) file: Arc<SharedFile>,
    pub(super) on_worker: OnWorker,
}

impl<R: Request> Durable<R> {
    pub(super) async fn run(self) -> io::Result<()> {
        self.file.health.check(self.kind)?;
        let (driver, mount) = (self.file.driver(), self.file.mount());
        driver.start(self, &mount).await
    }
}

impl<R: Request> Op for Durable<R> {
    type Output = io::Result<()>;

    fn kind(&self) -> Kind {
        self.kind
    }

    fn target(&self) -> Target {
        Target::file(self.file.as_fd())
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.request
    }

    fn on_worker(&self) -> OnWorker {
        self.on_worker
    }

    fn load(&self) -> Load {
        Load::Buffered
    }

    fn writes_back(&self) -> Option<Weak<dyn AsFd + Send + Sync>> {
        let syncs = self.kind.row().deadline_class == DeadlineClass::Sync;
        syncs.then(|| {
            let file: Weak<SharedFile> = Arc::downgrade(&self.file);
            file as Weak<dyn AsFd + Send + Sync>
        })
    }

    fn fenced(&self) -> Option<Fenced> {
        Some(self.file.health.follows())
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<()> {
        if let Err(error) = result {
            self.file
                .health
                .note_sync(error.raw_os_error().unwrap_or(0), true);
            return Err(error);
        }
        // A write that failed meanwhile, with nobody to hear of it.
        self.file.health.check(self.kind)
    }

    fn lost(error: io::Error) -> io::Result<()> {
        Err(error)
    }

    fn unheard(&self, number: i32) {
        self.file.health.note_sync(number, false);
    }
}

impl SharedFile {
    /// Waits until nothing of this file goes on for nobody; what failed of it is told.
    pub(crate) async fn settled(self: Arc<Self>) -> io::Result<()> {
        let nothing = Durable {
            kind: Kind::Write,
            request: Hop::new(|_| Ok(())),
            file: self,
            on_worker: OnWorker::Async,
        };
        nothing.run().await.map_err(Error::detached)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::op::open::{flag, open};
    use crate::sys::errno;

    fn durable(file: &Arc<SharedFile>) -> impl Op<Output = io::Result<()>> + use<> {
        Durable {
            kind: Kind::SyncData,
            request: Hop::new(|_| Ok(())),
            file: file.clone(),
            on_worker: OnWorker::Async,
        }
    }

    /// The error that a dropped future did not hear is told by every sync from then on.
    #[tokio::test]
    async fn an_error_that_nobody_heard_is_told_until_it_is_acknowledged() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let file = open(file.path(), flag::O_RDONLY, 0).await.unwrap();
        durable(&file).unheard(errno::ECANCELED);
        durable(&file).finish(Ok(0)).unwrap();
        durable(&file).unheard(errno::ENOSPC);
        let own = durable(&file).finish(Err(io::Error::from_raw_os_error(errno::EDQUOT)));
        assert_eq!(own.unwrap_err().kind(), ErrorKind::QuotaExceeded);
        for _ in 0..2 {
            let told = durable(&file).finish(Ok(0)).unwrap_err();
            assert_eq!(told.kind(), ErrorKind::StorageFull);
            assert!(told.to_string().starts_with("sync_data: "), "{told}");
        }
        let acknowledged = file.health.acknowledge().unwrap();
        assert_eq!(acknowledged.raw_os_error(), Some(errno::ENOSPC));
        durable(&file).finish(Ok(0)).unwrap();
    }
}
