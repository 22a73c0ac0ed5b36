//! Rings of provided buffers: the kernel picks one for each read.

pub(crate) mod flags;
mod ledger;
#[cfg(test)]
mod ledger_tests;
mod sync;
