//! Async file I/O for services that run on tokio: io_uring speed, no operation that stalls in silence,
//! no disk that freezes the runtime.
//!
//! # What it is
//!
//! [`fs`] has the names and signatures of `tokio::fs`, so that a program moves over by its imports, and positional reads
//! and writes with owned buffers ([`buf`]) besides. What the kernel has in memory is answered at the first poll, and only
//! where that cannot sleep. Everything else goes through io_uring, from threads that may sleep, or to blocking threads
//! where there is no ring; the results are the same. A thread that takes part in no operation keeps the deadlines and says
//! what is stuck.
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
//! # For whom
//!
//! - For services that read files while they serve: a cached read, open or `metadata` costs a few system calls and no
//!   change of threads.
//! - For programs on disks that may hang, such as network drives, FUSE and failing hardware: each operation has a
//!   deadline, says when it is stuck and on what, and holds up neither the runtime nor other mounts.
//! - For programs that have to know what is on the disk: [`fs::write_atomic`], [`fs::AppendWriter`], and errors that say
//!   what a timeout has left behind.
//!
//! # When not to use it
//!
//! - Where there is no tokio and none is wanted: a thread per task that calls `std::fs` is quicker on files in memory, and
//!   simpler, where it may block.
//! - Where a program reads a few small files at its start: `std::fs` does it.
//! - On Windows, where it does not compile. Programs that run there as well keep `tokio::fs` for it.
//! - For sockets: tokio has them. Pipes and terminals work here, and gain little.
//! - Where a thread per core and futures that are not `Send` are fine, and every kernel has io_uring: a runtime that is
//!   built around a ring saves what it takes to go with tokio's.
//!
//! # How it compares
//!
//! | | `tokio::fs` | ring runtimes (tokio-uring, monoio, compio) | this |
//! |---|---|---|---|
//! | runtime | tokio | their own, one on each thread | tokio, and other executors by threads |
//! | futures | `Send` | stay on their thread | `Send` |
//! | without io_uring | the same | an error, or another driver (monoio, compio) | the same results on blocking threads |
//! | what is in memory | a blocking thread | the ring | the first poll |
//! | a submission that sleeps in the kernel | there is none | its thread stands, and all tasks on it | a thread of its own sleeps, and is replaced |
//! | a disk that hangs | up to 512 threads are used up | depends on the program | deadlines, a name for what is stuck, a mount that is left alone |
//! | a future that is dropped | goes on unseen | runs on, or is cancelled; its buffer is gone | cancelled where the kernel can; memory stays until it is done |
//!
//! [`probe`] says what this machine allows, [`opcode::TABLE`] which operations there are, and [`Handle::stats`] which
//! way they took. [`blocking`] runs what has no operation here.
//!
//! The [`guide`] has a page for each topic; start with [getting started](guide::getting_started), or with
//! [moving from `tokio::fs`](guide::from_tokio_fs).
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
#[cfg(feature = "serde")]
mod serialize;
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
