//! An id for a group of provided buffers, with what there is to tell about it.

use std::sync::Arc;

use super::bgid::{Bgid, Bgids, Exhausted, Warning};
use crate::base::clock::coarse_ms;
use crate::error::Error;
use crate::events;

/// An id of the ring whose ids these are. What somebody should know of goes to the log, from a thread of its own.
pub(crate) fn lease(ids: &Arc<Bgids>) -> Result<Bgid, Error> {
    lease_at(ids, coarse_ms())
}

fn lease_at(ids: &Arc<Bgids>, now_ms: u64) -> Result<Bgid, Error> {
    match ids.acquire(now_ms) {
        Ok(mut id) => {
            tell(id.take_warning());
            Ok(id)
        }
        Err(Exhausted {
            fresh_used,
            free_list_len,
            warning,
        }) => {
            tell(warning);
            Err(Error::BufferGroupsExhausted {
                fresh_used,
                free_list_len,
            })
        }
    }
}

fn tell(warning: Option<Warning>) {
    let Some(warning) = warning else { return };
    events::report(move || match warning {
        Warning::Exhausted(now) => {
            events::buffer_groups_exhausted(now.exhausted, now.in_flight, now.peak);
        }
        Warning::HalfUsed(now) => {
            events::buffer_groups_half_used(now.in_flight, now.peak, now.remaining);
        }
    });
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
