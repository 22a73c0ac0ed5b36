//! Owned buffers.
//!
//! An operation takes its buffer by value and gives it back with the result, because the kernel may
//! write into it until the operation is over, whatever happens to the future meanwhile.
//!
//! A [`BufPool`] has buffers that the kernel knows, which it need not look up for each operation.
//!
//! With the feature `tokio-uring`, [`AlignedBuf`] and [`Slice`] work in the operations of that crate, too;
//! on other systems than Linux the feature does nothing.

pub(crate) mod bounce;
mod contents;
mod pool;
mod result;
#[cfg(all(feature = "tokio-uring", target_os = "linux"))]
mod tokio_uring;

pub use crate::mem::{AlignedBuf, BufGroup, BufGroupBuilder, IoBuf, IoBufMut, ProvidedBuf, Slice};
pub(crate) use contents::Contents;
pub use pool::{BufPool, BufPoolBuilder, FixedBuf, PoolStats, Registration};
pub use result::BufError;
