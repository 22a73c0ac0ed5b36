//! Rings of provided buffers: the kernel picks a buffer for each read.

pub(crate) mod flags;
mod ledger;
#[cfg(test)]
mod ledger_tests;
mod memory;
mod ring;
#[cfg(test)]
mod ring_tests;
mod sync;
mod table;

pub(crate) use ring::{INCREMENTAL, ProvidedRing};
pub(crate) use table::ProvidedTable;
