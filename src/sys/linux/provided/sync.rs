//! What [`ledger`](super::ledger) synchronises with, so that a model checker can put its own in this place.

pub(super) use std::sync::Mutex;

pub(super) use crate::base::lock::lock;
