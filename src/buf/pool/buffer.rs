//! One buffer of a pool, in its slot or lent.
#![allow(unsafe_code, reason = "an address goes with its memory")]

use std::ptr::NonNull;
use std::sync::Arc;

use crate::mem::Segment;

/// Where it begins, and the memory that it is a part of.
pub(super) struct Buffer {
    pub(super) segment: Arc<Segment>,
    pub(super) start: NonNull<u8>,
}

// SAFETY: the bytes belong to whoever has the value, and stay as long as the segment that it holds.
unsafe impl Send for Buffer {}
// SAFETY: shared, it gives away nothing but the address.
unsafe impl Sync for Buffer {}
