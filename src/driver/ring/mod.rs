//! Who has a ring: polling threads and lanes, over one engine.

#[cfg(target_os = "linux")]
pub(crate) mod driven;
#[cfg(target_os = "linux")]
pub(crate) mod engine;
pub(crate) mod helpers;
#[cfg(target_os = "linux")]
pub(crate) mod io_driver;
#[cfg(target_os = "linux")]
pub(crate) mod lane;
#[cfg(target_os = "linux")]
mod lane_thread;
pub(crate) mod on_rings;
#[cfg(target_os = "linux")]
mod reaped;
#[cfg(target_os = "linux")]
pub(crate) mod slot;
#[cfg(target_os = "linux")]
pub(crate) mod worker;
