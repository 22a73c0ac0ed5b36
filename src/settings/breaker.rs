//! When a handle leaves a mount alone that does not answer.

use std::time::Duration;

/// When a handle leaves a mount alone that does not answer.
///
/// After so many timeouts in a row the mount itself is asked, by a `statx` of its mount point on a thread of
/// its own. Only if that gets no answer either, operations there are refused, with
/// [`Error::MountUnresponsive`](crate::Error::MountUnresponsive). An answer ends that at once. So files that
/// hang by themselves do not cut off a mount that answers.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), tidegate::Error> {
/// use std::time::Duration;
/// let mut breaker = tidegate::Breaker::default();
/// assert_eq!(breaker.timeouts, 3);
/// breaker.probe_patience = Duration::from_millis(200);
/// let handle = tidegate::Handle::builder().breaker(breaker).install()?;
/// # let _ = handle;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Breaker {
    /// After how many timeouts without an answer between them the mount is asked. Not zero.
    pub timeouts: u32,
    /// How long it may take to answer. Not zero.
    pub probe_patience: Duration,
    /// How long after a question that came to nothing, for want of a thread or of memory, a mount that is
    /// left alone is asked again. Not zero.
    pub probe_every: Duration,
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker {
            timeouts: crate::limits::BREAKER_TIMEOUTS,
            probe_patience: crate::limits::PROBE_PATIENCE,
            probe_every: crate::limits::PROBE_EVERY,
        }
    }
}
