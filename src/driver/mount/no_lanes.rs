//! Without a ring there are no lanes, only the pool.

use std::sync::Arc;

use crate::driver::job::load::Class;
use crate::driver::job::queue::{Full, NotTaken};
use crate::driver::job::{Job, RingJob};
use crate::driver::mount::group::Group;

impl Group {
    pub(crate) fn to_lane(&self, entry: RingJob) -> Result<(), NotTaken<RingJob>> {
        Err(NotTaken::NoQueue(entry))
    }

    pub(super) fn lane_full(&self, _class: Class) -> Option<Full> {
        None
    }

    pub(crate) fn lane_count(&self) -> usize {
        0
    }

    pub(super) fn lanes_oldest_for_ms(&self, _now: u64, _at_least: u64) -> u64 {
        0
    }

    pub(super) fn tick_lanes(&self, _now: u64) -> bool {
        false
    }

    pub(super) fn close_lanes(&self) -> Vec<Arc<dyn Job>> {
        Vec::new()
    }
}
