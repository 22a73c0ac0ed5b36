//! What [`bits`](super::bits) synchronises with, so that a model checker can put its own in this place.

pub(super) use std::sync::atomic::{AtomicU64, Ordering};
