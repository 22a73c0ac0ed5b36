//! Operations that tests play: what all of them say alike stands here once.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::load::{Load, OnWorker};
use super::way::Way;
use super::{Job, Outcome};
#[cfg(target_os = "linux")]
use crate::mounts::Mount;
use crate::observe::OpInFlight;
use crate::opcode::Kind;
#[cfg(target_os = "linux")]
use crate::sys::linux::{sqe::Sqe, tables::Tables};
#[cfg(target_os = "linux")]
use crate::sys::request::Part;

/// A read of a file that nobody keeps and nobody limits. What a mock does otherwise, it says.
pub(crate) trait Mock: Send + Sync {
    fn began_ms(&self) -> u64 {
        1
    }

    fn is_unwanted(&self) -> bool {
        false
    }

    /// Its entry and its mount, if a ring can take it.
    #[cfg(target_os = "linux")]
    fn for_rings(&self) -> Option<(Sqe, &Arc<Mount>)> {
        None
    }

    #[cfg(target_os = "linux")]
    fn completes(&self, _part: Part) {}

    fn runs(&self) {}

    fn ends(self: Arc<Self>, _outcome: Outcome) {}
}

impl<M: Mock> Job for M {
    fn kind(&self) -> Kind {
        Kind::Read
    }

    fn load(&self) -> Load {
        Load::Buffered
    }

    fn is_kept(&self) -> bool {
        false
    }

    fn on_worker(&self) -> OnWorker {
        OnWorker::Async
    }

    fn is_entry(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.for_rings().is_some();
        #[cfg(not(target_os = "linux"))]
        false
    }

    fn started_ms(&self) -> u64 {
        self.began_ms()
    }

    fn is_given_up(&self) -> bool {
        self.is_unwanted()
    }

    fn is_over(&self) -> bool {
        false
    }

    fn back(&self) -> bool {
        true
    }

    fn due_us(&self) -> u64 {
        u64::MAX
    }

    fn last_step_ms(&self) -> u64 {
        0
    }

    fn expire(&self, _now_us: u64) -> bool {
        false
    }

    fn look_whether_it_moves(&self) {}

    fn cancel_on(&self, _fd: BorrowedFd<'_>) -> bool {
        false
    }

    fn refuse(&self, _error: io::Error) {}

    fn path(&self) -> Option<PathBuf> {
        None
    }

    fn seen(&self) -> Option<OpInFlight> {
        None
    }

    #[cfg(target_os = "linux")]
    fn sqe(&self, _tables: &mut dyn Tables) -> Result<Sqe, Outcome> {
        Ok(self.for_rings().expect("only rings ask").0)
    }

    #[cfg(target_os = "linux")]
    fn on_completion(&self, part: Part) {
        self.completes(part);
    }

    #[cfg(target_os = "linux")]
    fn set_user_data(&self, _user_data: u64) {}

    fn set_way(&self, _way: Arc<dyn Way>) {}

    #[cfg(target_os = "linux")]
    fn mount(&self) -> &Arc<Mount> {
        self.for_rings().expect("only rings ask").1
    }

    #[cfg(target_os = "linux")]
    fn ask_back(&self) -> bool {
        true
    }

    fn run(&self) {
        self.runs();
    }

    fn instead(self: Arc<Self>, _reason: &'static str) {}

    fn end(self: Arc<Self>, outcome: Outcome) {
        self.ends(outcome);
    }
}
