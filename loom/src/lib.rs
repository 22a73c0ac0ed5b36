//! Models of the driver's concurrent edges, run in every interleaving: `cargo test -p tidegate-loom`.
//!
//! The files under test are the library's own, over the synchronisation of the model checker. What
//! `src/driver/cell.rs` does with them is played here in a few lines (`played`).
#![cfg(test)]

#[path = "../../src/driver/bell.rs"]
mod bell;
#[path = "../../src/buf/pool/bits.rs"]
#[allow(dead_code, reason = "the pool uses the rest")]
mod bits;
mod edges;
mod lending;
#[path = "../../src/driver/life.rs"]
#[allow(dead_code, reason = "the driver uses the rest")]
mod life;
mod played;
mod sync;
mod wakes;
