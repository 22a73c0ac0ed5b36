//! Benchmarks: tidegate and its peers, doing the same operations on the same files in one run.
//!
//! `cargo run --release -p tidegate-benches --bin compare -- --help` says how to compare them;
//! `cargo bench -p tidegate-benches` tracks tidegate alone, with criterion.
//!
//! A [`workload::Workload`] says what is done, an [`engine::Engine`] by whom. Engines take turns within
//! each round, so that what else the machine does hits all of them, and medians over the rounds count.
#![cfg(target_os = "linux")]

pub mod compare;
pub mod data;
pub mod engine;
pub mod header;
pub mod job;
mod ops;
pub mod report;
pub mod sample;
pub mod summary;
mod tasks;
pub mod usage;
pub mod workload;
