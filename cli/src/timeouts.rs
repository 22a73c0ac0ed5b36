//! How long operations may take, as JSON.

use std::time::Duration;

use serde::Serialize;
use tidegate::Timeouts;

/// In milliseconds; `null` is as long as it takes.
#[derive(Debug, Serialize)]
pub(crate) struct TimeoutsReport {
    pub(crate) metadata_ms: Option<u64>,
    pub(crate) data_ms: Option<u64>,
    pub(crate) sync_ms: Option<u64>,
}

impl TimeoutsReport {
    pub(crate) fn new(timeouts: &Timeouts) -> TimeoutsReport {
        TimeoutsReport {
            metadata_ms: timeouts.metadata.map(ms),
            data_ms: timeouts.data.map(ms),
            sync_ms: timeouts.sync.map(ms),
        }
    }
}

/// Whole milliseconds.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
