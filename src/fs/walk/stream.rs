//! The stream of a walk, and what others see of it.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{WalkEntry, WalkError, WalkNow, WalkStats};
use crate::error::{Error, LeftBehind};
use crate::op::walk::{Walking, Watched};
use crate::opcode::Kind;

/// A walk that goes on: a stream of entries and errors.
///
/// Dropped, it stops at once: what its threads are at comes to its end, and nothing else begins. It walks only a few
/// thousand entries ahead of whoever takes them.
///
/// Under a limit ([`OpExt`](crate::OpExt)) that is passed nothing more comes: a cancel ends it with an error, and for good.
/// Time that is over is told as well, once, and the walk goes on where it is polled without that limit.
///
/// ```
/// # #[tokio::main] async fn main() {
/// use tidegate::fs::{FileKind, WalkDir};
/// let mut walk = WalkDir::new("/etc").walk();
/// let root = walk.next_entry().await.unwrap().unwrap();
/// assert_eq!((root.depth(), root.kind()), (0, FileKind::Directory));
/// # }
/// ```
///
/// # Cancel safety
///
/// No entry is lost if a future that waits for the next one is dropped.
///
/// # Backend
///
/// `openat(2)`, `getdents64(2)` and `statx(2)` on blocking threads of the root's mount.
pub struct Walk<T: Send + 'static = WalkEntry> {
    walking: Walking<T>,
    root: PathBuf,
    token: Option<(CancellationToken, Pin<Box<WaitForCancellationFutureOwned>>)>,
    began: Instant,
}

impl<T: Send + 'static> fmt::Debug for Walk<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Walk<T> {
    pub(super) fn new(
        walking: Walking<T>,
        root: PathBuf,
        token: Option<CancellationToken>,
    ) -> Walk<T> {
        Walk {
            walking,
            root,
            token: token.map(|token| (token.clone(), Box::pin(token.cancelled_owned()))),
            began: Instant::now(),
        }
    }

    /// The next entry, or what could not be seen; `None` at the end.
    ///
    /// # Cancel safety
    ///
    /// No entry is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// [`WalkError`], after which the walk goes on unless it is fatal.
    ///
    /// # Backend
    ///
    /// As for [`Walk`].
    ///
    /// # Examples
    ///
    /// See [`Walk`].
    pub async fn next_entry(&mut self) -> Option<Result<T, WalkError>> {
        std::future::poll_fn(|cx| self.poll_entry(cx)).await
    }

    /// What it has come to so far.
    ///
    /// See [`WalkDir`](super::WalkDir).
    pub fn stats(&self) -> WalkStats {
        self.walking.watched().stats()
    }

    /// A view of it for others, such as whoever shows how it gets on.
    ///
    /// See [`WalkWatch`].
    pub fn watch(&self) -> WalkWatch {
        WalkWatch {
            watched: self.walking.watched(),
        }
    }

    fn poll_entry(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, WalkError>>> {
        if let Some((token, cancelled)) = &mut self.token {
            if token.is_cancelled() || cancelled.as_mut().poll(cx).is_ready() {
                self.token = None;
                let error = Error::Cancelled {
                    operation: Some(Kind::Walk),
                    path: None,
                    elapsed: self.began.elapsed(),
                    left: LeftBehind::NothingHappened,
                };
                self.walking.end_with(self.root.clone(), error.into());
            }
        }
        self.walking.poll_next(cx)
    }
}

/// Nothing of it is pinned.
impl<T: Send + 'static> Unpin for Walk<T> {}

impl<T: Send + 'static> Stream for Walk<T> {
    type Item = Result<T, WalkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_entry(cx)
    }
}

/// A walk, seen from outside, whatever its threads and its caller are stuck in.
///
/// ```
/// # #[tokio::main] async fn main() {
/// use futures::StreamExt;
/// use tidegate::fs::WalkDir;
/// let mut walk = WalkDir::new("/etc").walk();
/// let watch = walk.watch();
/// let show = std::thread::spawn(move || {
///     while !watch.is_over() {
///         let stats = watch.stats();
///         for now in watch.now() {
///             println!("{} of {} for {:?}", now.call, now.path.display(), now.still_for);
///         }
///         println!("{} entries in {:?}", stats.entries, watch.age());
///         std::thread::sleep(std::time::Duration::from_millis(10));
///     }
/// });
/// while let Some(_entry) = walk.next().await {}
/// show.join().unwrap();
/// # }
/// ```
#[derive(Clone)]
pub struct WalkWatch {
    watched: Arc<dyn Watched>,
}

impl fmt::Debug for WalkWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalkWatch")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl WalkWatch {
    /// What the walk has come to so far.
    ///
    /// See [`WalkWatch`].
    pub fn stats(&self) -> WalkStats {
        self.watched.stats()
    }

    /// What its threads are at, those that have been at it longest first.
    ///
    /// See [`WalkWatch`].
    pub fn now(&self) -> Vec<WalkNow> {
        self.watched.now()
    }

    /// How long ago it was made.
    ///
    /// See [`WalkWatch`].
    pub fn age(&self) -> Duration {
        self.watched.age()
    }

    /// Whether it is over: at its end, or dropped.
    ///
    /// See [`WalkWatch`].
    pub fn is_over(&self) -> bool {
        self.watched.is_over()
    }
}
