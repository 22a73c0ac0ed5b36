//! Many files that are written, synced and named with all of them in flight.

use std::fmt;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::sync::Semaphore;

use super::atomic::{AtomicFile, AtomicOptions};
use crate::limits;
use crate::op::commit::{self, Held};

/// The receiving side of a sync tool, an unpacker, a download: many files, each of which is there whole or not at
/// all, and is acknowledged by itself.
///
/// Files are in flight together, up to a bound, and share the syncs of their directories and of the journal. Each has
/// its own order: its name comes after its content is on the device, and its acknowledgement after its name is.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// use tidegate::fs::{AtomicOptions, CommitBatch};
/// let batch = CommitBatch::new(AtomicOptions::new());
/// let mut acknowledgements = Vec::new();
/// for number in 0..100 {
///     // Waits while too many are in flight.
///     let mut file = batch.begin(dir.path().join(number.to_string())).await?;
///     file.write(format!("content of {number}").into_bytes()).await?;
///     acknowledgements.push(batch.commit(file).await?);
/// }
/// for acknowledgement in acknowledgements {
///     acknowledgement.await?;
/// }
/// let tally = batch.finish().await?;
/// assert_eq!((tally.committed, tally.failed), (100, 0));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct CommitBatch {
    options: AtomicOptions,
    places: Arc<Semaphore>,
    in_flight: usize,
    tally: Arc<commit::Tally>,
}

/// What became of the files of a batch.
///
/// See [`CommitBatch`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Files that are there, on the device unless the options say otherwise.
    pub committed: u64,
    /// Files that were handed over and failed, or were given up.
    pub failed: u64,
}

/// The acknowledgement of one file: it ends when the file is committed. Dropped before the file has its name, it gives
/// it up.
///
/// See [`CommitBatch`].
#[must_use = "a file whose acknowledgement is dropped may be given up"]
pub struct Committing(Pin<Box<dyn Future<Output = io::Result<()>> + Send>>);

impl fmt::Debug for Committing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committing").finish_non_exhaustive()
    }
}

impl Future for Committing {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll(cx)
    }
}

impl CommitBatch {
    /// A batch whose files are committed so, with up to 32 of them in flight.
    ///
    /// See [`CommitBatch`].
    pub fn new(options: AtomicOptions) -> CommitBatch {
        CommitBatch::with_in_flight(options, limits::COMMITS_IN_FLIGHT)
    }

    /// The same with another bound, from 1 to 4096: so many files are begun and not committed yet. Each keeps up to
    /// 256 KiB in memory.
    ///
    /// ```
    /// use tidegate::fs::{AtomicOptions, CommitBatch};
    /// let batch = CommitBatch::with_in_flight(AtomicOptions::new().sync(false), 8);
    /// # drop(batch);
    /// ```
    pub fn with_in_flight(options: AtomicOptions, in_flight: usize) -> CommitBatch {
        let in_flight = in_flight.clamp(1, limits::COMMITS_IN_FLIGHT_MAX);
        CommitBatch {
            options,
            places: Arc::new(Semaphore::new(in_flight)),
            in_flight,
            tally: Arc::default(),
        }
    }

    /// Begins a file once there is a place for it. It has the place until it is committed or dropped.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// [`Error::ForkedChild`](crate::Error::ForkedChild) for a batch of a parent of this process. Later versions may look
    /// at the path here.
    ///
    /// # Backend
    ///
    /// None.
    ///
    /// # Examples
    ///
    /// See [`CommitBatch`].
    pub async fn begin(&self, path: impl AsRef<Path>) -> io::Result<AtomicFile> {
        let path = path.as_ref().to_path_buf();
        let place = self.places.clone().acquire_owned();
        let place = self.tally.wait(place).await?;
        let held = Held {
            tally: self.tally.clone(),
            _place: place,
        };
        Ok(self.options.begin_held(path, held))
    }

    /// Hands a file over to be committed, once what was written to it has left memory. It goes on by itself from then
    /// on; what is returned acknowledges it.
    ///
    /// # Cancel safety
    ///
    /// No effect, but that the file is dropped: its path is left as it is.
    ///
    /// # Errors
    ///
    /// That of an earlier write to the file. Those of the commit are told by the acknowledgement.
    ///
    /// # Backend
    ///
    /// As for [`write_atomic`](super::write_atomic).
    ///
    /// # Examples
    ///
    /// See [`CommitBatch`].
    pub async fn commit(&self, file: AtomicFile) -> io::Result<Committing> {
        Ok(Committing(Box::pin(file.submit().await?)))
    }

    /// Waits until no file of the batch is in flight, and says what became of them.
    ///
    /// # Cancel safety
    ///
    /// No effect: what was handed over goes on.
    ///
    /// # Errors
    ///
    /// None of single files, which their acknowledgements tell; as for [`begin`](CommitBatch::begin).
    ///
    /// # Backend
    ///
    /// None.
    ///
    /// # Examples
    ///
    /// See [`CommitBatch`].
    pub async fn finish(self) -> io::Result<Tally> {
        let all = u32::try_from(self.in_flight).unwrap_or(u32::MAX);
        let _all = self.tally.wait(self.places.acquire_many(all)).await?;
        Ok(Tally {
            committed: self.tally.committed.load(Ordering::SeqCst),
            failed: self.tally.failed.load(Ordering::SeqCst),
        })
    }
}
