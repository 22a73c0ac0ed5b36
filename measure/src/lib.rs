//! How tidegate is measured: it and its peers do the same operations on the same files in one run.
//!
//! A [`workload::Workload`] says what is done, an [`engine::Engine`] by whom. Engines take turns within
//! each round, so that what else the machine does hits all of them, and medians over the rounds count.
//! `tidegate bench` in the command line shows some of it. The benchmarks of the repository show all of it, with the
//! feature `ring-peers`, which takes most of the time to build.
//!
//! This is no interface for other programs: it changes with them.

#[cfg_attr(
    not(all(feature = "counters", target_os = "linux")),
    path = "no_calls.rs"
)]
pub mod calls;
pub mod data;
pub mod engine;
pub mod header;
pub mod job;
mod ops;
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
