//! One operation from its begin to its end, between its future and whoever does it.

pub(crate) mod account;
mod as_job;
pub(crate) mod cell;
pub(crate) mod chore;
pub(crate) mod clock;
pub(crate) mod due;
pub(crate) mod ends;
#[cfg(feature = "testing")]
pub(crate) mod fakes;
pub(crate) mod host;
pub(crate) mod in_flight;
pub(crate) mod life;
pub(crate) mod op;
pub(crate) mod ordered;
pub(crate) mod scope;
mod turns;
