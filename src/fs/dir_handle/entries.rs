//! Listing an open directory.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::Dir;
use crate::fs::FileKind;
use crate::limits;
use crate::op::elsewhere::Elsewhere;
use crate::op::file::SharedFile;
use crate::op::hop::hop_on_file;
use crate::op::{OpenEntry, OpenListing};
use crate::opcode::Kind;

impl Dir {
    /// Lists the directory, in the order of the filesystem, without `.` and `..`. Each listing starts from
    /// the first entry.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// Those of `openat(2)`; [`Entries::next_entry`] gives those of reading it.
    ///
    /// # Backend
    ///
    /// `getdents64(2)` on a blocking thread, about a thousand entries in one hop; the kernel has no
    /// opcode for it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let mut entries = tidegate::fs::Dir::open("/").await?.read_dir().await?;
    /// while let Some(entry) = entries.next_entry().await? {
    ///     println!("{:?}", entry.file_name());
    /// }
    /// # Ok(()) }
    /// ```
    #[doc(alias = "getdents")]
    pub async fn read_dir(&self) -> io::Result<Entries> {
        let dir = self.shared.clone();
        let work = move |_: &_| OpenListing::open(&*dir).map(next_batch);
        let batch = hop_on_file(&self.shared, Kind::ReadDir, work).await?;
        Ok(Entries {
            dir: self.shared.clone(),
            state: State::Ready(batch),
        })
    }
}

fn next_batch(listing: OpenListing) -> Batch {
    let (entries, at_end) = listing.next_batch(limits::READ_DIR_BATCH_BYTES);
    Batch {
        entries: entries.into(),
        rest: (!at_end).then(|| Elsewhere::new(listing)),
    }
}

struct Batch {
    entries: VecDeque<io::Result<OpenEntry>>,
    /// The directory, unless it was read to its end.
    rest: Option<Elsewhere<OpenListing>>,
}

enum State {
    Ready(Batch),
    Reading(Pin<Box<dyn Future<Output = io::Result<Batch>> + Send + Sync>>),
}

/// The entries of an open directory: [`Dir::read_dir`] makes one.
///
/// See [`Dir::read_dir`].
pub struct Entries {
    dir: Arc<SharedFile>,
    state: State,
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").finish_non_exhaustive()
    }
}

impl Entries {
    /// Returns the next entry, or `None` at the end.
    ///
    /// # Cancel safety
    ///
    /// No entry is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of `getdents64(2)`, after which the listing is at its end.
    ///
    /// # Backend
    ///
    /// As for [`Dir::read_dir`].
    ///
    /// # Examples
    ///
    /// See [`Dir::read_dir`].
    pub async fn next_entry(&mut self) -> io::Result<Option<NamedEntry>> {
        poll_fn(|cx| self.poll_next_entry(cx)).await
    }

    /// Polls for the next entry, as [`next_entry`](Entries::next_entry) waits for it.
    ///
    /// See [`Dir::read_dir`].
    pub fn poll_next_entry(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<NamedEntry>>> {
        loop {
            match &mut self.state {
                State::Ready(batch) => {
                    if let Some(entry) = batch.entries.pop_front() {
                        return Poll::Ready(entry.map(|entry| Some(NamedEntry(entry))));
                    }
                    let Some(rest) = batch.rest.take() else {
                        return Poll::Ready(Ok(None));
                    };
                    let dir = self.dir.clone();
                    self.state = State::Reading(Box::pin(async move {
                        let work = move |_: &_| Ok(next_batch(rest.into_inner()));
                        hop_on_file(&dir, Kind::ReadDir, work).await
                    }));
                }
                State::Reading(reading) => {
                    let batch = ready!(reading.as_mut().poll(cx));
                    self.state = State::Ready(Batch {
                        entries: VecDeque::new(),
                        rest: None,
                    });
                    self.state = State::Ready(batch?);
                }
            }
        }
    }
}

/// The entries as a stream.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use futures::TryStreamExt;
/// let entries = tidegate::fs::Dir::open("/").await?.read_dir().await?;
/// let names: Vec<_> = entries.map_ok(|entry| entry.file_name()).try_collect().await?;
/// assert!(!names.is_empty());
/// # Ok(()) }
/// ```
impl Stream for Entries {
    type Item = io::Result<NamedEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_entry(cx).map(Result::transpose)
    }
}

/// One entry of an open directory. It has a name and no path: where the directory is may have changed.
///
/// See [`Dir::read_dir`].
#[derive(Debug)]
pub struct NamedEntry(OpenEntry);

impl NamedEntry {
    /// Returns the name, for the operations of the [`Dir`].
    ///
    /// See [`Dir::read_dir`].
    pub fn file_name(&self) -> OsString {
        self.0.name.clone()
    }

    /// What kind of file it is, where the directory says so: not every filesystem does.
    ///
    /// See [`Dir::read_dir`].
    pub fn kind(&self) -> Option<FileKind> {
        self.0.type_bits.map(FileKind::of)
    }

    /// Returns the inode number.
    ///
    /// See [`Dir::read_dir`].
    pub fn ino(&self) -> u64 {
        self.0.ino
    }
}
