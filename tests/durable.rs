//! Writes that last: whole files, logs, and many files at a time, with what goes wrong on the way.

#[path = "durable/append.rs"]
mod append;
#[path = "durable/atomic.rs"]
mod atomic;
#[path = "durable/batch.rs"]
mod batch;
mod common;
#[cfg(target_os = "linux")]
#[path = "durable/crash.rs"]
mod crash;
#[path = "durable/hostile.rs"]
mod hostile;
#[path = "durable/model.rs"]
mod model;
