//! What [`life`](super::life) synchronises with, so that a model checker can put its own in this place.

pub(super) use std::sync::Mutex;
pub(super) use std::sync::atomic::{AtomicBool, Ordering};

pub(super) use crate::sys::lock::lock;
