//! Which way an operation goes.

#[cfg(any(target_os = "linux", feature = "testing"))]
use std::sync::Arc;

use super::group::Share;
#[cfg(target_os = "linux")]
use super::{lane::Lane, worker::Worker};
use crate::error::Error;
use crate::observe;

/// Which backend a handle uses.
///
/// See [`Builder`](crate::Builder).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Route {
    /// What is fastest for each operation: answered at the first poll where that cannot sleep, else
    /// the ring, else blocking threads. The default.
    #[default]
    Auto,
    /// The ring for every operation that has an opcode; making the handle fails without one.
    Ring,
    /// Blocking threads for everything, and no ring is made.
    Pool,
}

/// From which threads operations are submitted to a ring.
///
/// See [`Builder`](crate::Builder).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Submit {
    /// From the polling thread where that cannot sleep, else from a lane. The default.
    ///
    /// The kernel keeps a thread until the last operation that it submitted is over. While a disk hangs,
    /// a multi-thread runtime that is dropped waits for its threads, and so for the disk; a current-thread
    /// runtime can be dropped, but its thread does not end. `Isolated` has neither.
    #[default]
    Auto,
    /// Plainly from the polling thread, for local disks that are known to answer: up to a quarter
    /// faster for direct reads, but a disk that hangs freezes the runtime's thread.
    /// A read of an open file is tried at once, without a look whether all that it wants is in memory.
    Inline,
    /// Only from lanes, so that a runtime can be dropped whatever hangs.
    Isolated,
}

impl Route {
    /// What `TIDEGATE_BACKEND` says: `auto`, `ring` or `pool`, in any case; unset means `auto`.
    pub(crate) fn from_environment() -> Result<Route, Error> {
        let Some(value) = std::env::var_os("TIDEGATE_BACKEND") else {
            return Ok(Route::Auto);
        };
        let text = value.to_string_lossy();
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "auto" => Ok(Route::Auto),
            "ring" => Ok(Route::Ring),
            "pool" => Ok(Route::Pool),
            _ => Err(Error::BackendVariable {
                value: text.into_owned(),
            }),
        }
    }
}

/// Who has an operation, for its cancel.
#[derive(Clone)]
pub(crate) enum Way {
    #[cfg(feature = "testing")]
    Held(Arc<super::faults::Held>),
    #[cfg(target_os = "linux")]
    Lane(Arc<Lane>),
    Pool,
    #[cfg(target_os = "linux")]
    Worker(Arc<Worker>),
}

impl Way {
    /// What it is called from outside.
    pub(super) fn name(&self) -> observe::Way {
        match self {
            #[cfg(feature = "testing")]
            Way::Held(held) => match held.share() {
                Share::Lane(_) => observe::Way::LaneRing,
                Share::Other | Share::Thread => observe::Way::Pool,
            },
            #[cfg(target_os = "linux")]
            Way::Lane(_) => observe::Way::LaneRing,
            Way::Pool => observe::Way::Pool,
            #[cfg(target_os = "linux")]
            Way::Worker(_) => observe::Way::WorkerRing,
        }
    }

    /// Whether the fake backend has it, so that no disk has anything to do with it.
    pub(super) fn is_no_disk(&self) -> bool {
        #[cfg(feature = "testing")]
        return matches!(self, Way::Held(_));
        #[cfg(not(feature = "testing"))]
        false
    }

    /// What it counts as when it is stuck.
    pub(super) fn share(&self) -> Share {
        match self {
            #[cfg(feature = "testing")]
            Way::Held(held) => held.share(),
            #[cfg(target_os = "linux")]
            Way::Lane(lane) => Share::Lane(lane.class()),
            Way::Pool => Share::Thread,
            #[cfg(target_os = "linux")]
            Way::Worker(_) => Share::Other,
        }
    }

    /// Delivers a cancel to the ring that has the operation (INV-11), without waiting for anything. Blocking
    /// threads look at the cell's flag instead.
    pub(crate) fn cancel(&self, user_data: u64) {
        #[cfg(not(target_os = "linux"))]
        let _ = user_data;
        match self {
            #[cfg(feature = "testing")]
            Way::Held(held) => held.cancel(),
            #[cfg(target_os = "linux")]
            Way::Lane(lane) => lane.cancel(user_data),
            Way::Pool => {}
            #[cfg(target_os = "linux")]
            Way::Worker(worker) => worker.cancel(user_data),
        }
    }
}
