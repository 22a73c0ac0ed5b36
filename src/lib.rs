//! Async file I/O for services that run on tokio: io_uring speed, no operation that stalls in silence,
//! no disk that freezes the runtime.
//!
//! [`fs`] has the names and signatures of `tokio::fs`, and positional reads and writes with owned
//! buffers ([`buf`]). Operations whose answer the kernel has in memory are done at the first poll, and
//! only where that cannot sleep; the others go through io_uring, from threads that may sleep, or to
//! blocking threads where there is no ring. [`probe`] says what this machine allows, [`opcode::TABLE`]
//! which operations there are, and [`Handle::stats`] which way they took. [`blocking`] runs what has no operation
//! here.
//!
//! The [`guide`] has a page for each topic; start with [getting started](guide::getting_started), or with
//! [moving from `tokio::fs`](guide::from_tokio_fs).
//!
//! ```
//! # #[tokio::main] async fn main() -> std::io::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("data");
//! use tidegate::fs::{self, File};
//!
//! fs::write(&path, "hello").await?;
//! let file = File::open(&path).await?;
//! let (count, buf) = file.read_at(Vec::with_capacity(3), 2).await?;
//! assert_eq!((count, &buf[..]), (3, &b"llo"[..]));
//! # Ok(()) }
//! ```
//!
//! # Features
//!
//! None is on by default.
//!
//! - `http-body`: [`fs::FileStream`] is an `http_body::Body`, for hyper, axum and tower-http.
//! - `metrics`: `MetricsExporter` hands the counters of a handle to the `metrics` crate.
//! - `testing`: a fake backend for tests, which delays, withholds or fails operations as it is told, in the
//!   module of that name.
//! - `tokio-uring`: the buffers of [`buf`] work in the operations of that crate. Linux only; elsewhere it does
//!   nothing.
#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]
#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "what only rings and polls use is Linux's")
)]

mod base;
mod blocking;
pub mod buf;
mod deadline;
mod driver;
mod error;
mod events;
#[cfg(feature = "metrics")]
mod exporter;
pub mod fs;
pub mod guide;
mod handle;
mod limits;
mod mem;
mod mounts;
mod observe;
mod op;
pub mod opcode;
pub mod probe;
mod settings;
mod sys;
#[cfg(feature = "testing")]
pub mod testing;

pub use blocking::{Stop, blocking, blocking_on};
pub use deadline::{Limited, OpExt};
pub use error::{Drift, Error, Errors, LeftBehind, raw_os_error};
#[cfg(feature = "metrics")]
pub use exporter::MetricsExporter;
pub use handle::{Builder, Handle, ShutdownReport};
pub use mounts::{BreakerState, MountStats};
pub use observe::{BgidStats, Heartbeat, Latency, OpInFlight, OpState, OpStats, Stats, Way};
pub use settings::{Breaker, Dataless, Route, Settings, Submit, Timeouts};
