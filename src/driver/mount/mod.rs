//! The queues of one mount, and whether it answers.

pub(crate) mod breaker;
pub(crate) mod group;
#[cfg(target_os = "linux")]
mod lanes;
pub(crate) mod mount_breaker;
#[cfg(not(target_os = "linux"))]
mod no_lanes;
pub(crate) mod pool;
pub(crate) mod progress;
mod queue;
