//! Who runs an operation: worker rings, lanes, pools, and the watchdog over them.
//!
//! An operation comes in as an [`Op`](op::Op). The [`Driver`] of the runtime routes it: to the ring of
//! the polling thread, to a lane of its mount, or to the mount's pool of blocking threads. On each
//! way it travels as a [`Job`](cell::Job), which owns all that the kernel may touch.

mod account;
pub(crate) mod alarm;
pub(crate) mod attempt;
mod bell;
mod breaker;
mod budget;
mod cell;
pub(crate) mod chore;
mod core;
mod dataless;
mod door;
#[cfg(target_os = "linux")]
mod driven;
mod due;
mod ends;
#[cfg(target_os = "linux")]
mod engine;
#[cfg(feature = "testing")]
mod faults;
pub(crate) mod fence;
mod gauge;
mod group;
mod handle;
mod heart;
pub(crate) mod helpers;
mod in_flight;
#[cfg(target_os = "linux")]
mod io_driver;
#[cfg(target_os = "linux")]
mod lane;
mod life;
mod limited;
mod moment;
mod mount_breaker;
pub(crate) mod on_rings;
pub(crate) mod op;
mod orphans;
mod paused;
mod pool;
mod progress;
mod registry;
mod rings;
mod route;
mod settings;
#[cfg(target_os = "linux")]
mod slot;
mod sync;
pub(crate) mod waiting;
mod watchdog;
#[cfg(target_os = "linux")]
mod worker;

pub(crate) use self::core::Driver;
pub(crate) use alarm::Alarm;
pub use breaker::Breaker;
pub(crate) use budget::spend;
pub use dataless::Dataless;
#[cfg(feature = "testing")]
pub use faults::{Fault, FaultGuard, Faults};
pub use handle::{Builder, Handle, ShutdownReport};
pub(crate) use handle::{current, current_or_pool, tell};
pub(crate) use in_flight::InFlight;
pub use limited::{Limited, OpExt};
pub(crate) use limited::{Why, is_limited, refused, without_limits};
pub use route::{Route, Submit};
pub use settings::{Settings, Timeouts};
