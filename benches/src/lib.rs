//! Benchmarks: tidegate and its peers, doing the same operations on the same files in one run.
//!
//! `cargo run --release -p tidegate-benches --bin compare -- --help` says how to compare them;
//! `cargo bench -p tidegate-benches` tracks tidegate alone, with criterion.
//!
//! A [`workload::Workload`] says what is done, an [`engine::Engine`] by whom. Engines take turns within
//! each round, so that what else the machine does hits all of them, and medians over the rounds count.
//! `tidegate bench` in the command line does the same with fewer engines, and without the feature
//! `ring-peers`, which takes most of the time to build.

pub mod buffers;
#[cfg_attr(
    not(all(feature = "counters", target_os = "linux")),
    path = "no_calls.rs"
)]
mod calls;
pub mod compare;
pub mod contest;
pub mod data;
#[cfg(target_os = "linux")]
pub mod durable;
pub mod engine;
pub mod header;
pub mod job;
mod ops;
#[cfg_attr(
    not(all(feature = "places", target_os = "linux")),
    path = "no_place.rs"
)]
pub mod place;
pub mod report;
#[cfg_attr(
    not(all(feature = "ring-peers", target_os = "linux")),
    path = "no_ring_peers.rs"
)]
mod ring_peers;
pub mod rounds;
pub mod sample;
pub mod stop;
pub mod summary;
mod tasks;
pub mod usage;
pub mod workload;
