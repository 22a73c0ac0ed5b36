//! Operations on a range of an open file that move none of its bytes to or from the caller.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::durable::Durable;
use super::file::SharedFile;
use super::unit::Unit;
use crate::driver::op::OnWorker;
use crate::opcode::Kind;
use crate::sys::fd::Target;
use crate::sys::range::{Advice, Space, Writeback};
use crate::sys::request;

impl SharedFile {
    pub(crate) async fn allocate(
        self: Arc<Self>,
        offset: u64,
        len: u64,
        how: Space,
    ) -> io::Result<()> {
        let (driver, mount) = (self.driver(), self.mount());
        let target = Target::file(self.as_fd());
        // Some ways of it move all that follows.
        let fenced = self.health.changes(offset..u64::MAX);
        let request = request::Allocate {
            fd: self,
            offset,
            len,
            how,
        };
        let unit = Unit::on_file(Kind::Allocate, request, target).behind(fenced);
        driver.start(unit, &mount).await
    }

    /// Passes the advice on to the reader ahead, and to the kernel. Of a file whose reads are answered at
    /// the poll, the kernel must go on believing that it is read here and there.
    pub(crate) async fn advise(
        self: Arc<Self>,
        offset: u64,
        len: u64,
        advice: Advice,
    ) -> io::Result<()> {
        let (driver, mount) = (self.driver(), self.mount());
        self.prefetch.heed(advice);
        let keeps_random =
            matches!(advice, Advice::Normal | Advice::Sequential) && self.keeps_random();
        let target = Target::file(self.as_fd());
        let request = request::Advise {
            fd: self.clone(),
            offset,
            len,
            advice: if keeps_random { Advice::Random } else { advice },
        };
        let unit = Unit::on_file(Kind::Advise, request, target);
        driver.start(unit, &mount).await?;
        if keeps_random {
            self.note_quiet();
        }
        Ok(())
    }

    pub(crate) async fn sync_range(
        self: Arc<Self>,
        offset: u64,
        len: u64,
        how: Writeback,
    ) -> io::Result<()> {
        let request = request::SyncRange {
            fd: self.clone(),
            offset,
            len,
            how,
        };
        let durable = Durable {
            kind: Kind::SyncRange,
            request,
            file: self,
            on_worker: OnWorker::Async,
        };
        durable.run().await
    }
}
