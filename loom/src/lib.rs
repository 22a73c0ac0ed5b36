//! Models of the driver's concurrent edges, run in every interleaving: `cargo test -p tidegate-loom`.
//!
//! The files under test are the crate's own, over the synchronisation of the model checker. What
//! `src/driver/task/cell.rs` does with them is played here in a few lines (`played`).
#![cfg(test)]

#[path = "../../src/driver/watchdog/bell.rs"]
mod bell;
#[path = "../../src/mem/bgid.rs"]
#[allow(dead_code, reason = "the crate uses the rest")]
mod bgid;
#[path = "../../src/buf/pool/bits.rs"]
#[allow(dead_code, reason = "the pool uses the rest")]
mod bits;
mod edges;
mod ids;
#[path = "../../src/sys/linux/provided/ledger.rs"]
#[allow(dead_code, reason = "the ring uses the rest")]
mod ledger;
mod lending;
#[path = "../../src/driver/task/life.rs"]
#[allow(dead_code, reason = "the driver uses the rest")]
mod life;
#[path = "../../src/limits.rs"]
#[allow(dead_code, reason = "most are of what is not here")]
mod limits;
mod played;
mod provided;
#[path = "../../src/buf/pool/slots.rs"]
#[allow(
    dead_code,
    unused_unsafe,
    reason = "the pool uses the rest; what is checked is safe"
)]
mod slots;
#[path = "../../src/buf/pool/stats.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is the pool's")]
mod stats;
mod base {
    pub(crate) use crate::sync;
}
mod sync;
#[path = "../../src/driver/task/turns.rs"]
#[allow(dead_code, reason = "the driver uses the rest")]
mod turns;
mod wakes;
