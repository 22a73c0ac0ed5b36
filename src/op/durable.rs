//! Operations that report a failed writeback, which the kernel reports once.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

use super::file::SharedFile;
use crate::driver::op::{Load, OnWorker, Op};
use crate::error::Error;
use crate::events;
use crate::opcode::Kind;
use crate::sys::errno;
use crate::sys::fd::Target;
use crate::sys::lock::lock;
use crate::sys::request::Request;

/// The error of a writeback that was reported to a future that was gone: the next one reports it.
#[derive(Default)]
pub(crate) struct Unheard(Mutex<Option<i32>>);

impl Drop for Unheard {
    fn drop(&mut self) {
        if let Some(number) = lock(&self.0).take() {
            let error = io::Error::from_raw_os_error(number);
            // On whichever thread had the file last.
            events::report(move || events::writeback_failed(&error));
        }
    }
}

/// A request whose error must not be lost with its future.
pub(super) struct Durable<R> {
    pub(super) kind: Kind,
    pub(super) request: R,
    pub(super) file: Arc<SharedFile>,
    pub(super) on_worker: OnWorker,
}

impl<R: Request> Durable<R> {
    pub(super) async fn run(self) -> io::Result<()> {
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

    fn finish(self, result: io::Result<i32>) -> io::Result<()> {
        let error = match result {
            Err(error) => error,
            Ok(_) => match lock(&self.file.unheard.0).take() {
                Some(number) => io::Error::from_raw_os_error(number),
                None => return Ok(()),
            },
        };
        Err(Error::io(self.kind, None, error))
    }

    fn lost(error: io::Error) -> io::Result<()> {
        Err(error)
    }

    fn unheard(&self, number: i32) {
        // These mean that it did not run.
        if ![errno::ECANCELED, errno::EINTR].contains(&number) {
            *lock(&self.file.unheard.0) = Some(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::op::open::{flag, open};
    use crate::sys::request::Hop;

    fn durable(file: &Arc<SharedFile>) -> impl Op<Output = io::Result<()>> + use<> {
        Durable {
            kind: Kind::SyncData,
            request: Hop::new(|_| Ok(())),
            file: file.clone(),
            on_worker: OnWorker::Async,
        }
    }

    /// The error that a dropped future did not hear is told by the next one, and once.
    #[tokio::test]
    async fn an_error_that_nobody_heard_is_told_by_the_next() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let file = open(file.path(), flag::O_RDONLY, 0).await.unwrap();
        durable(&file).unheard(errno::ENOSPC);
        durable(&file).unheard(errno::ECANCELED);
        let own = durable(&file).finish(Err(io::Error::from_raw_os_error(errno::EDQUOT)));
        assert_eq!(own.unwrap_err().kind(), ErrorKind::QuotaExceeded);
        let told = durable(&file).finish(Ok(0)).unwrap_err();
        assert_eq!(told.kind(), ErrorKind::StorageFull);
        assert!(told.to_string().starts_with("sync_data: "), "{told}");
        durable(&file).finish(Ok(0)).unwrap();
    }
}
