//! The queues of one mount, and whether it answers.

pub(crate) mod breaker;
pub(crate) mod group;
mod lanes;
pub(crate) mod mount_breaker;
pub(crate) mod pool;
pub(crate) mod progress;
mod queue;
