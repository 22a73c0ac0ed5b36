//! What travels: one operation as queues, rings and threads see it, and the list of all that are not over.

#[cfg(feature = "testing")]
pub(crate) mod fakeable;
pub(crate) mod load;
#[cfg(test)]
pub(crate) mod mock;
pub(crate) mod queue;
pub(crate) mod registry;
pub(crate) mod way;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::errno;
use crate::error::raw_os_error;
#[cfg(target_os = "linux")]
use crate::mounts::Mount;
use crate::observe::OpInFlight;
use crate::opcode::Kind;
#[cfg(target_os = "linux")]
use crate::sys::linux::{sqe::Sqe, tables::Tables};
#[cfg(target_os = "linux")]
use crate::sys::request::Part;
#[cfg(feature = "testing")]
use fakeable::Fakeable;
use load::{Load, OnWorker};
use way::Way;

/// How an operation ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The ring broke while the kernel had it.
    Lost(io::Error),
    /// What a thread ran panicked.
    Panicked,
    /// It never reached the kernel.
    Refused(io::Error),
    /// A result, zero or more, or less than zero an error number.
    Result(i32),
    /// A blocking thread did it.
    Returned(io::Result<i32>),
    /// A limit took it back before it began.
    TakenBack,
}

impl Outcome {
    /// Whether the filesystem gave this result, and not who asked for the operation back.
    pub(crate) fn is_answer(&self) -> bool {
        let number = match self {
            Outcome::Result(number) => number.saturating_neg(),
            Outcome::Returned(Ok(_)) => 0,
            Outcome::Returned(Err(error)) => raw_os_error(error).unwrap_or(errno::ECANCELED),
            _ => errno::ECANCELED,
        };
        ![errno::ECANCELED, errno::EINTR].contains(&number)
    }
}

/// The driver's view of an operation, whatever its type.
pub(crate) trait Job: Send + Sync {
    fn kind(&self) -> Kind;
    fn load(&self) -> Load;
    fn on_worker(&self) -> OnWorker;
    /// Whether it goes on without its future and without its handle.
    fn is_kept(&self) -> bool;
    /// Whether a ring can take it: else it is a call on a thread.
    fn is_entry(&self) -> bool;
    /// Whether it leaves a descriptor behind that has to be closed.
    fn makes_descriptor(&self) -> bool {
        false
    }
    /// When it was started, in coarse milliseconds.
    fn started_ms(&self) -> u64;
    /// When the last of its steps was over, in coarse milliseconds; zero where there is none.
    fn last_step_ms(&self) -> u64;
    /// Whether nobody waits for it, so that whoever has it should let go.
    fn is_given_up(&self) -> bool;
    /// Whether it is over, so that there is nothing left to do where it still waits.
    fn is_over(&self) -> bool;
    /// It comes back from the kernel's side to a queue; `false` if it was given up meanwhile.
    fn back(&self) -> bool;
    /// The mount that it is on.
    #[cfg(target_os = "linux")]
    fn mount(&self) -> &Arc<Mount>;
    /// Notes that the kernel is asked to give it back; `true` the first time.
    #[cfg(target_os = "linux")]
    fn ask_back(&self) -> bool;
    #[cfg(target_os = "linux")]
    fn sqe(&self, tables: &mut dyn Tables) -> Result<Sqe, Outcome>;
    /// Takes in one of its completions, before its end. Does not panic.
    #[cfg(target_os = "linux")]
    fn on_completion(&self, _part: Part) {}
    #[cfg(target_os = "linux")]
    fn set_user_data(&self, user_data: u64);
    fn set_way(&self, way: Arc<dyn Way>);
    /// The same for the fake backend.
    #[cfg(feature = "testing")]
    fn fakeable(&self) -> Option<&dyn Fakeable> {
        None
    }
    /// Does it on this thread, and ends it. Does not panic.
    fn run(&self);
    /// Does it on a thread instead, since no ring could, for this reason; or ends it. Does not panic.
    fn instead(self: Arc<Self>, reason: &'static str);
    /// Ends it. Does not panic.
    fn end(self: Arc<Self>, outcome: Outcome);
    /// Ends it if it still is in a queue. Does not panic.
    fn refuse(&self, error: io::Error);
    /// When it is to be looked at, in microseconds.
    fn due_us(&self) -> u64;
    /// The time has come: gives up on it, or says that it is stuck, or has its limit begin anew. Returns whether it
    /// is to be looked at whether it moves. Does not panic and does not block.
    fn expire(&self, now_us: u64) -> bool;
    /// Looks whether what it waits for gets on. Does not panic and does not wait for storage.
    fn look_whether_it_moves(&self);
    /// Gives up on it if it is about this descriptor; whether it is.
    fn cancel_on(&self, fd: BorrowedFd<'_>) -> bool;
    /// What it is about, where that has a name.
    fn path(&self) -> Option<PathBuf>;
    /// Says in the log, once, that it takes longer than that.
    fn tell_if_slow(&self, _after: Duration) {}
    /// What it looks like from outside; `None` once it is over.
    fn seen(&self) -> Option<OpInFlight>;
}

/// An operation that a ring can take. Lanes and worker rings take nothing else, so nothing bounces off them.
pub(crate) struct RingJob(Arc<dyn Job>);

impl RingJob {
    /// The operation back if it is a call on a thread.
    pub(crate) fn of(job: Arc<dyn Job>) -> Result<RingJob, Arc<dyn Job>> {
        if job.is_entry() {
            Ok(RingJob(job))
        } else {
            Err(job)
        }
    }

    pub(crate) fn job(&self) -> &Arc<dyn Job> {
        &self.0
    }

    pub(crate) fn into_job(self) -> Arc<dyn Job> {
        self.0
    }
}
