//! Whether the kernel has a pool's memory registered.

use std::fmt;

use crate::error::Reason;

/// Whether the kernel has a pool's memory registered.
///
/// Nothing fails where it has not: reads and writes look up the memory each time then.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use tidegate::buf::{BufPool, Registration};
/// match BufPool::builder().build()?.registration() {
///     Registration::Enabled { bytes } => println!("{bytes} bytes are registered"),
///     Registration::Failed { bytes, reason } => println!("{bytes} bytes are not: {reason}"),
///     other => println!("{other}"),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Registration {
    /// The builder, or `TIDEGATE_BACKEND=pool`, has said that nothing is to be registered.
    Disabled,
    /// All that the builder allows.
    Enabled {
        /// How much.
        bytes: usize,
    },
    /// Nothing.
    Failed {
        /// How much was to be registered.
        bytes: usize,
        /// Why it was not; [`Reason::remedy`] says what to do.
        reason: Reason,
    },
    /// A part. The other buffers work without. A process without CAP_IPC_LOCK registers at most half of
    /// RLIMIT_MEMLOCK for one pool, and less where others of the same user have locked memory: see
    /// [`registered_bytes_max`](super::BufPoolBuilder::registered_bytes_max).
    Partial {
        /// How much is registered.
        bytes: usize,
        /// How much more was to be.
        refused_bytes: usize,
        /// Why it was not.
        reason: Reason,
    },
}

impl fmt::Display for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Registration::Disabled => f.write_str("disabled"),
            Registration::Enabled { bytes } => write!(f, "enabled, {bytes} bytes"),
            Registration::Failed { bytes, reason } => {
                write!(f, "failed for {bytes} bytes: {reason}; {}", reason.remedy())
            }
            Registration::Partial {
                bytes,
                refused_bytes,
                reason,
            } => write!(
                f,
                "enabled, {bytes} bytes, but not for {refused_bytes} more: {reason}; {}",
                reason.remedy()
            ),
        }
    }
}
