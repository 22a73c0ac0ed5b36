//! Models of the driver's concurrent edges, run in every interleaving: `cargo test -p tidegate-loom`.
//!
//! The files under test are the driver's own, over the synchronisation of the model checker. What
//! `src/driver/cell.rs` does with them is played here in a few lines (`played`).
#![cfg(test)]

#[path = "../../src/driver/bell.rs"]
mod bell;
mod edges;
#[path = "../../src/sys/linux/provided/ledger.rs"]
#[allow(dead_code, reason = "the ring uses the rest")]
mod ledger;
#[path = "../../src/driver/life.rs"]
#[allow(dead_code, reason = "the driver uses the rest")]
mod life;
mod played;
mod provided;
mod sync;
mod wakes;
