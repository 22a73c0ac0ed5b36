//! The guide: how to use this crate, a page for each topic.
//!
//! - [Getting started](getting_started): the first program, and which way its operations took.
//! - [Moving from `tokio::fs`](from_tokio_fs): what is the same, and what is not.
//! - [Dropped futures](dropped_futures): what becomes of each call, where tokio finishes it.
//! - [Batches](batches): many names at a time, each with a result of its own.
//! - [Buffers](buffers): why they go in by value, and which kinds there are.
//! - [Cancellation](cancellation): what a dropped future leaves behind, timeouts, and the end of a runtime.
//! - [Logs](logs): records that last, from many tasks, and whole files.
//! - [Seeing what goes on](observing): counters, what is in flight, heartbeats, events, metrics.
//! - [Containers](containers): where there is no io_uring, and how to get it.
//! - [Incremental scans](incremental_scans): read what has changed, and nothing else.
//! - [Walking trees](walking): what it costs, what cannot be seen, what does not answer.
//! - [Testing](testing): disks that are full, slow or hang, in a test.
//! - [Tuning](tuning): what there is to turn, and what to look at first.
//! - [Writing that lasts](writing_that_lasts): what a success means, few dirty pages, errors that come late.
//!
//! The `examples` folder of the repository has whole programs.

pub mod batches;
pub mod buffers;
pub mod cancellation;
pub mod containers;
pub mod dropped_futures;
pub mod from_tokio_fs;
pub mod getting_started;
pub mod incremental_scans;
pub mod logs;
pub mod observing;
pub mod testing;
pub mod tuning;
pub mod walking;
pub mod writing_that_lasts;
