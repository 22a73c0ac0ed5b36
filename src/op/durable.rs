//! Operations that report a failed writeback, which the kernel reports once.

use std::io;
use std::sync::{Arc, Mutex};

use super::file::SharedFile;
use crate::driver::op::{Load, OnWorker, Op};
use crate::error::Error;
use crate::opcode::Kind;
use crate::sys::errno;
use crate::sys::lock::lock;
use crate::sys::request::Request;

/// The error of a writeback that was reported to a future that was gone: the next one reports it.
#[derive(Default)]
pub(crate) struct Unheard(Mutex<Option<i32>>);

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
