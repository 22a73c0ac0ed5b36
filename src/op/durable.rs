//! Operations that report a failed writeback, which the kernel reports once.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};

use super::file::SharedFile;
use super::health::FileState;
use super::unit::Unit;
use crate::driver::fence::Fenced;
use crate::driver::op::{Load, OnWorker, Op};
use crate::error::Error;
use crate::opcode::{DeadlineClass, Kind};
use crate::sys::fd::Target;
#[cfg(feature = "testing")]
use crate::sys::request::{FdRef, Paths};
use crate::sys::request::{Hop, Request};

/// A request whose error must not be lost with its future.
pub(super) struct Durable<R> {
    pub(super) kind: Kind,
    pub(super) request: R,
    pub(super) file: Arc<SharedFile>,
    pub(super) on_worker: OnWorker,
}

impl<R: Request> Durable<R> {
    /// Asks the kernel even where an error has to be told anyway: what the kernel keeps beside it is told with it, and
    /// not once more after that is acknowledged.
    pub(super) async fn run(self) -> io::Result<()> {
        let (file, kind) = (self.file.clone(), self.kind);
        let is_known = file.health.state() == FileState::Poisoned;
        let done = file.driver().start(self, &file.mount()).await;
        if is_known {
            // The first error is the one that is told until it is acknowledged.
            file.health.check(kind)?;
        }
        done?;
        if kind == Kind::SyncRange || !file.health.fence.has_reports() {
            return Ok(());
        }
        // Waits for all that may have been told in its place of what it is about.
        let nothing = Hop::new(|_| Ok(()));
        let confirm = Unit::on_file(kind, nothing, Target::file(file.as_fd()));
        let confirm = confirm.behind(file.health.confirms());
        file.driver().start(confirm, &file.mount()).await?;
        file.health.check(kind)
    }

    fn reports(&self) -> bool {
        self.kind.row().deadline_class == DeadlineClass::Sync
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
        self.reports().then(|| {
            let file: Weak<SharedFile> = Arc::downgrade(&self.file);
            file as Weak<dyn AsFd + Send + Sync>
        })
    }

    fn fenced(&self) -> Option<Fenced> {
        let health = &self.file.health;
        Some(match self.reports() {
            true => health.reports(),
            false => health.follows(),
        })
    }

    #[cfg(feature = "testing")]
    fn paths(&mut self, paths: &mut Paths) {
        let file: FdRef = self.file.clone();
        paths.file(&file);
    }

    fn failed(&self, number: i32) {
        self.file.health.note_sync(number);
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<()> {
        if let Err(error) = result {
            self.file.health.told();
            return Err(error);
        }
        // A write that failed meanwhile, with nobody to hear of it.
        self.file.health.check(self.kind)
    }

    fn lost(error: io::Error) -> io::Result<()> {
        Err(error)
    }

    fn unheard(&self, number: i32) {
        self.file.health.note_sync(number);
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
    use crate::base::errno;
    use crate::base::lock::lock;
    use crate::op::open::{flag, open};

    fn durable(file: &Arc<SharedFile>) -> impl Op<Output = io::Result<()>> + use<> {
        sync(file)
    }

    fn sync(file: &Arc<SharedFile>) -> Durable<impl Request + use<>> {
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

    /// What the kernel keeps is told while an error is there, so that nothing is left of it afterwards.
    #[tokio::test]
    async fn a_sync_asks_the_kernel_also_where_an_error_is_there() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let file = open(file.path(), flag::O_RDONLY, 0).await.unwrap();
        let kept = Arc::new(std::sync::Mutex::new(Some(errno::EIO)));
        let ask = || {
            let kept = kept.clone();
            let durable = Durable {
                kind: Kind::SyncData,
                request: Hop::new(move |_| match lock(&kept).take() {
                    Some(number) => Err(io::Error::from_raw_os_error(number)),
                    None => Ok(()),
                }),
                file: file.clone(),
                on_worker: OnWorker::Async,
            };
            durable.run()
        };
        file.health.note_sync(errno::ENOSPC);
        for _ in 0..2 {
            let told = ask().await.unwrap_err();
            assert_eq!(told.kind(), ErrorKind::StorageFull);
        }
        file.health.acknowledge().unwrap();
        ask().await.unwrap();
    }

    /// The kernel tells a failed writeback to one of those that ask at the same time: the others wait for it, and
    /// tell it too. Nobody need poll it for that.
    #[tokio::test]
    async fn a_sync_waits_for_whoever_may_have_been_told_in_its_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let file = open(file.path(), flag::O_RDONLY, 0).await.unwrap();
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let other = Durable {
            kind: Kind::SyncRange,
            request: Hop::new(move |_| {
                begin.send(()).unwrap();
                told.recv().unwrap_err();
                Err::<(), _>(io::Error::from_raw_os_error(errno::ENOSPC))
            }),
            file: file.clone(),
            on_worker: OnWorker::Async,
        };
        let unpolled = file.driver().start(other, &file.mount());
        begun.await.unwrap();
        let mut sync = std::pin::pin!(sync(&file).run());
        // It ends only once the other one does.
        let first = tokio::time::timeout(std::time::Duration::from_millis(50), &mut sync).await;
        assert!(first.is_err(), "{first:?}");
        drop(tell);
        assert_eq!(sync.await.unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(unpolled.await.unwrap_err().kind(), ErrorKind::StorageFull);
        let again = self::sync(&file).run().await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::StorageFull);
    }

    /// The first write after a failed writeback is told of it, and those after it are written.
    #[tokio::test]
    async fn the_next_write_is_told_of_a_failed_writeback() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let file = open(file.path(), flag::O_RDWR, 0).await.unwrap();
        durable(&file).unheard(errno::ENOSPC);
        let write = || crate::op::rw::write_at(file.clone(), "x", 0);
        let told = write().await.unwrap_err();
        assert_eq!(told.error.kind(), ErrorKind::StorageFull);
        assert_eq!(told.into_parts().1, Some("x"));
        write().await.unwrap();
        assert!(file.clone().sync(true).await.is_err());
        file.health.acknowledge().unwrap();
        file.clone().sync(true).await.unwrap();
    }
}
