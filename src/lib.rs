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
//! - `serde`: the snapshots of [`Handle::stats`] and their like, what [`probe`] finds, and the reports of copies and walks can
//!   be written by serde: durations as seconds, paths as text, errors with their number.
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

#[cfg(not(unix))]
compile_error!(
    "tidegate works on file descriptors, as Unix systems have them: on Windows, use tokio::fs there, behind a cfg of yours"
);

mod blocking;
pub mod buf;
mod driver;
mod error;
mod events;
#[cfg(feature = "metrics")]
mod exporter;
pub mod fs;
pub mod guide;
mod limits;
mod mounts;
mod observe;
mod op;
pub mod opcode;
pub mod probe;
#[cfg(feature = "serde")]
mod serialize;
mod sys;
#[cfg(feature = "testing")]
pub mod testing;

pub use blocking::{Stop, blocking, blocking_on};
pub use driver::{
    Breaker, Builder, Dataless, Handle, Limited, OpExt, Route, Settings, ShutdownReport, Submit,
    Timeouts,
};
pub use error::{Drift, Error, Errors, LeftBehind, raw_os_error};
#[cfg(feature = "metrics")]
pub use exporter::MetricsExporter;
pub use mounts::{BreakerState, MountStats};
pub use observe::{BgidStats, Heartbeat, Latency, OpInFlight, OpState, OpStats, Stats, Way};
