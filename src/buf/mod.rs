//! Owned buffers.
//!
//! An operation takes its buffer by value and gives it back with the result, because the kernel may
//! write into it until the operation is over, whatever happens to the future meanwhile.
//!
//! A [`BufPool`] has buffers that the kernel knows, which it need not look up for each operation.
//!
//! With the feature `tokio-uring`, [`AlignedBuf`] and [`Slice`] work in the operations of that crate, too;
//! on other systems than Linux the feature does nothing.

mod aligned;
#[allow(
    dead_code,
    reason = "only rings hand out ids, which not every system has"
)]
mod bgid;
#[cfg(test)]
mod bgid_tests;
pub(crate) mod bounce;
mod contents;
pub(crate) mod group;
#[allow(
    dead_code,
    reason = "only rings ask for ids, which not every system has"
)]
mod lease;
mod pool;
mod provided;
mod result;
mod slice;
mod sync;
#[cfg(all(feature = "tokio-uring", target_os = "linux"))]
mod tokio_uring;
mod traits;

use crate::limits;

pub use aligned::AlignedBuf;
#[cfg(target_os = "linux")]
pub(crate) use bgid::Bgid;
pub(crate) use bgid::{Bgids, Snapshot};
pub(crate) use contents::Contents;
pub use group::{BufGroup, BufGroupBuilder};
#[cfg(target_os = "linux")]
pub(crate) use lease::lease;
pub(crate) use pool::Segment;
pub use pool::{BufPool, BufPoolBuilder, FixedBuf, PoolStats, Registration};
pub use provided::ProvidedBuf;
#[cfg(target_os = "linux")]
pub(crate) use provided::{Lender, Lent};
pub use result::BufError;
pub use slice::Slice;
pub(crate) use traits::bytes_of;
pub use traits::{IoBuf, IoBufMut};
