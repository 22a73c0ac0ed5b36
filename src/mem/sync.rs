//! What the parts of this folder synchronise with that know nothing of the crate, so that a model checker can
//! put its own in this place.

pub(super) use std::sync::Mutex;

pub(super) use crate::base::lock::lock;
