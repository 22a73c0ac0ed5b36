//! Benchmarks: tidegate and its peers, doing the same operations on the same files in one run.
//!
//! `cargo run --release -p tidegate-benches --bin compare -- --help` says how to compare them;
//! `cargo bench -p tidegate-benches` tracks tidegate alone, with criterion.
//!
//! [`tidegate_measure`] has what takes part and how it is measured; what is measured in other ways is here.

pub mod buffers;
pub mod compare;
pub mod contest;
#[cfg(target_os = "linux")]
pub mod durable;
#[cfg_attr(
    not(all(feature = "places", target_os = "linux")),
    path = "no_place.rs"
)]
pub mod place;
