//! Who runs an operation: worker rings, lanes, pools, and the watchdog over them.
//!
//! An operation comes in as an [`Op`](task::op::Op). The [`Driver`] of the runtime routes it: to the ring of
//! the polling thread, to a lane of its mount, or to the mount's pool of blocking threads. On each
//! way it travels as a [`Job`](job::Job), which owns all that the kernel may touch.

mod budget;
mod core;
mod door;
mod endings;
#[cfg(feature = "testing")]
mod faults;
mod job;
mod mount;
mod order;
mod ring;
mod rings;
pub(crate) mod runtimes;
mod seams;
mod task;
mod watchdog;

pub(crate) use self::core::Driver;
pub(crate) use budget::spend;
#[cfg(feature = "testing")]
pub use faults::{Fault, FaultGuard, Faults};
pub(crate) use order::fence;
pub(crate) use ring::{helpers, on_rings};
pub(crate) use runtimes::{current, current_or_pool, tell};
pub(crate) use task::{
    chore,
    in_flight::InFlight,
    op,
    scope::{self, Why, is_limited, refused, without_limits},
};
pub(crate) use watchdog::{
    alarm::{self, Alarm},
    attempt,
};
