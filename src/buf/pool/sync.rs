//! What [`bits`](super::bits) and [`slots`](super::slots) synchronise with, so that a model checker can put its own in
//! this place.

pub(super) use std::cell::UnsafeCell;
pub(super) use std::sync::atomic::{AtomicU64, Ordering};
pub(super) use std::sync::{Mutex, MutexGuard};

pub(super) use crate::base::lock::lock;
pub(super) use crate::base::thread_index;
pub(super) use tokio::sync::Notify;

/// The most slots of a pool, and how many are made at a time.
pub(super) const SLOTS_MAX: usize = crate::limits::POOL_BUFFERS_MAX;
pub(super) const SLOTS_CHUNK: usize = crate::limits::POOL_SLOTS_CHUNK;
