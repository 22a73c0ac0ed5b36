//! Blocking work of the caller's, on the threads of this crate.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::error::{Error, LeftBehind};
use crate::op::hop::{Steps, hop, hop_apart};
use crate::opcode::Kind;

/// Whether work should stop: its future was dropped, its time is over, or it was cancelled.
///
/// Nobody can interrupt a blocking call; work of several steps asks between them. What work returns that was told
/// to stop goes to nobody: its caller gets the reason.
///
/// See [`blocking`].
#[derive(Clone, Copy, Debug)]
pub struct Stop<'a> {
    steps: &'a Steps,
    /// Whether the work was told.
    told: &'a AtomicBool,
    began: Instant,
}

impl Stop<'_> {
    /// Whether nobody waits for the work any more.
    ///
    /// See [`blocking`].
    pub fn is_wanted(self) -> bool {
        let wanted = !self.steps.go_on();
        if wanted {
            self.told.store(true, Ordering::Relaxed);
        }
        wanted
    }

    /// An error once nobody waits for the work any more, so that `?` ends it.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`].
    ///
    /// # Examples
    ///
    /// See [`blocking`].
    pub fn check(self) -> io::Result<()> {
        if self.is_wanted() {
            let cancelled = Error::Cancelled {
                operation: Some(Kind::Blocking),
                path: None,
                elapsed: self.began.elapsed(),
                left: LeftBehind::MayHaveTakenEffect,
            };
            return Err(cancelled.into());
        }
        Ok(())
    }
}

/// Runs blocking work on a thread of the handle's that does nothing else: a call that this crate does not
/// have, a library that blocks, a computation.
///
/// Unlike `tokio::task::spawn_blocking`, the work can be given a limit by [`OpExt`](crate::OpExt), is seen by the
/// watchdog, and holds up no end of a runtime. No default of the handle applies to it. At most 64 of its kind run at a time; more wait. Work on files is better told where:
/// [`blocking_on`].
///
/// # Cancel safety
///
/// May take partial effect. Work that was not begun when the future is dropped never begins; work that was is told
/// by [`Stop`], and goes on until it looks.
///
/// # Errors
///
/// [`Error::Panicked`](crate::Error::Panicked) if the work panics; an error of the work itself is its own, inside the result.
///
/// # Backend
///
/// A blocking thread.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// let sum = tidegate::blocking(|stop| {
///     let mut sum = 0u64;
///     for number in 0..1_000_000 {
///         if number % 4096 == 0 && stop.is_wanted() {
///             break;
///         }
///         sum += number;
///     }
///     sum
/// });
/// assert_eq!(sum.await?, 499_999_500_000);
/// # Ok(()) }
/// ```
#[doc(alias = "spawn_blocking")]
pub async fn blocking<T, F>(work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce(Stop<'_>) -> T + Send + 'static,
{
    hop_apart(Kind::Blocking, |steps| run(steps, work)).await
}

/// The same for work that touches files: on threads of the mount that the path is on, as this crate's own operations
/// there. Where the mount hangs, the work takes no thread of others with it.
///
/// # Cancel safety
///
/// As for [`blocking`].
///
/// # Errors
///
/// As for [`blocking`]; `InvalidInput` for a path with a NUL in it.
///
/// # Backend
///
/// A blocking thread.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use std::{fs, io};
///
/// let lines = tidegate::blocking_on("/etc", |stop| -> io::Result<usize> {
///     let mut lines = 0;
///     for name in ["/etc/passwd", "/etc/group"] {
///         stop.check()?;
///         lines += fs::read_to_string(name)?.lines().count();
///     }
///     Ok(lines)
/// });
/// assert!(lines.await?? > 0);
/// # Ok(()) }
/// ```
pub async fn blocking_on<T, F>(path: impl AsRef<Path>, work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce(Stop<'_>) -> T + Send + 'static,
{
    let path = path.as_ref().to_path_buf();
    hop(Kind::Blocking, &path, |steps| run(steps, work)).await
}

/// Runs the work; one that was told to stop has come to no end of its own.
fn run<T>(steps: &Steps, work: impl FnOnce(Stop<'_>) -> T) -> io::Result<T> {
    let told = AtomicBool::new(false);
    let output = work(Stop {
        steps,
        told: &told,
        began: Instant::now(),
    });
    if told.into_inner() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    Ok(output)
}
