//! Owned buffers.
//!
//! An operation takes its buffer by value and gives it back with the result, because the kernel may
//! write into it until the operation is over, whatever happens to the future meanwhile.

mod aligned;
mod result;
mod slice;
mod traits;

pub use aligned::AlignedBuf;
pub use result::BufError;
pub use slice::Slice;
pub use traits::{IoBuf, IoBufMut};
