//! Owned buffers.
//!
//! An operation takes its buffer by value and gives it back with the result, because the kernel may
//! write into it until the operation is over, whatever happens to the future meanwhile.
//!
//! With the feature `tokio-uring`, [`AlignedBuf`] and [`Slice`] work in the operations of that crate, too;
//! on other systems than Linux the feature does nothing.

mod aligned;
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(crate) mod bgid;
pub(crate) mod group;
mod provided;
mod result;
mod slice;
#[cfg(all(feature = "tokio-uring", target_os = "linux"))]
mod tokio_uring;
mod traits;

pub use aligned::AlignedBuf;
pub use group::{BufGroup, BufGroupBuilder};
pub use provided::ProvidedBuf;
#[cfg_attr(not(target_os = "linux"), allow(unused_imports, reason = "rings lend"))]
pub(crate) use provided::{Lender, Lent};
pub use result::BufError;
pub use slice::Slice;
pub use traits::{IoBuf, IoBufMut};
