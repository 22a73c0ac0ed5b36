//! Memory that operations work on: owned buffers, those that the kernel knows, and those that it picks from.

mod aligned;
#[allow(
    dead_code,
    reason = "only rings hand out ids, which not every system has"
)]
mod bgid;
#[cfg(test)]
mod bgid_tests;
pub(crate) mod group;
#[allow(
    dead_code,
    reason = "only rings ask for ids, which not every system has"
)]
mod lease;
mod provided;
mod segment;
mod slice;
mod sync;
mod traits;

use crate::limits;
pub use aligned::AlignedBuf;
#[cfg(target_os = "linux")]
pub(crate) use bgid::Bgid;
pub(crate) use bgid::{Bgids, Snapshot};
pub use group::{BufGroup, BufGroupBuilder};
#[cfg(target_os = "linux")]
pub(crate) use lease::lease;
pub use provided::ProvidedBuf;
#[cfg(target_os = "linux")]
pub(crate) use provided::{Lender, Lent};
pub(crate) use segment::Segment;
pub use slice::Slice;
pub(crate) use traits::bytes_of;
pub use traits::{IoBuf, IoBufMut};
