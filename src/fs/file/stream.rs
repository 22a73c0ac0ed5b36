//! Reading a file as a stream of chunks, with read-ahead.
//!
//! Chunks are handed out in order of their position. A read that came short, at the end of the file or
//! before it, makes those behind it worthless, as they began at the wrong place: they are given up, and
//! the stream goes on right behind the short one, without read-ahead until a whole chunk comes again.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::{FusedStream, Stream};

use super::File;
use crate::buf::BufError;
use crate::limits;
use crate::op::around::read_around;
use crate::op::file::SharedFile;
use crate::op::rw::{self, Place};
use crate::opcode::Kind;

type Waiting = dyn Future<Output = io::Result<BytesMut>> + Send + Sync;

/// The content of a file, or of a part of it, as a stream of [`Bytes`]: [`File::stream`] makes one.
///
/// Each chunk is the buffer that was read into, so nothing is copied. What the page cache holds is
/// answered at the poll that asks for it. Otherwise the stream reads ahead of its consumer, from the
/// first poll on, but never past what was the end of the file. It then has at most
/// [`read_ahead`](FileStream::read_ahead) chunks of [`chunk_bytes`](FileStream::chunk_bytes) in memory,
/// besides those that the consumer holds.
///
/// The stream ends with the range or with the file, whichever comes first: it is no error if the file is
/// shorter than the range, or shrinks meanwhile. What is added to the file before the stream has come to
/// its end is read, too. After an error the stream is over. It holds the file open, and dropping it
/// cancels what is on its way.
///
/// With the feature `http-body` it is an `http_body::Body`.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use futures::TryStreamExt;
/// let file = tidegate::fs::File::open("/etc/passwd").await?;
/// let mut stream = file.stream(..).chunk_bytes(16 << 10).read_ahead(2);
/// let mut total = 0;
/// while let Some(chunk) = stream.try_next().await? {
///     total += chunk.len() as u64;
/// }
/// assert_eq!(total, file.metadata().await?.len());
/// # Ok(()) }
/// ```
#[must_use = "nothing is read until the stream is polled"]
pub struct FileStream {
    pub(super) file: Arc<SharedFile>,
    /// Where the next chunk to hand out begins.
    position: u64,
    /// Where the range ends, unless it is open.
    end: Option<u64>,
    /// How long the file was when last looked at. Reads ahead go no further.
    size: Option<u64>,
    chunk_bytes: usize,
    read_ahead: usize,
    /// In order, without gaps; the first one is at the position.
    reads: VecDeque<Read>,
    /// Whether the chunk before came whole.
    is_steady: bool,
    /// What was handed out and not yet paid for with the task's budget.
    owed: usize,
    is_done: bool,
}

/// One chunk.
struct Read {
    wanted: usize,
    state: State,
}

enum State {
    InMemory(io::Result<BytesMut>),
    OnItsWay(Pin<Box<Waiting>>),
}

impl File {
    /// Streams the bytes of a range in chunks, with read-ahead.
    ///
    /// Nothing is read before the first poll. The stream has its own position, and may be read at the
    /// same time as others of the same file. Its reads see what the cursor has accepted before they begin.
    /// A file without positions (a pipe, a socket, a terminal) is read from where it is, without
    /// read-ahead; of the range only the length counts then. Where many of those wait,
    /// [`read_provided_stream`](File::read_provided_stream) holds no memory for what has not come.
    ///
    /// # Cancel safety
    ///
    /// Dropping the stream has no effect on a file. What a dropped stream was about to get from a pipe
    /// may be lost.
    ///
    /// # Errors
    ///
    /// Those of [`read_at`](File::read_at), as the last item of the stream. A range that ends before it begins
    /// is empty.
    ///
    /// # Backend
    ///
    /// As for [`read_at`](File::read_at), several at a time where it has to wait. A file that was opened for direct
    /// I/O is read by whole blocks, into aligned memory that is used again once its chunks are dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("f");
    /// # tidegate::fs::write(&path, "one two three").await?;
    /// use futures::TryStreamExt;
    /// let file = tidegate::fs::File::open(&path).await?;
    /// let chunks: Vec<_> = file.stream(4..7).try_collect().await?;
    /// assert_eq!(chunks.concat(), b"two");
    /// # Ok(()) }
    /// ```
    pub fn stream(&self, range: impl RangeBounds<u64>) -> FileStream {
        let position = match range.start_bound() {
            Bound::Included(&n) => n,
            Bound::Excluded(&n) => n.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&n) => Some(n.saturating_add(1)),
            Bound::Excluded(&n) => Some(n),
            Bound::Unbounded => None,
        };
        FileStream {
            size: self.shared.size_hint(),
            file: self.shared.clone(),
            position,
            end: end.map(|end| end.max(position)),
            chunk_bytes: limits::STREAM_CHUNK_BYTES,
            read_ahead: limits::STREAM_READ_AHEAD,
            reads: VecDeque::new(),
            is_steady: true,
            owed: 0,
            is_done: false,
        }
    }
}

impl FileStream {
    /// The length of a chunk, in bytes; 128 KiB by default, at least 1 and at most 2 147 479 552. Chunks
    /// are shorter at the end, and where the file gives less at a time, as pipes do.
    ///
    /// See [`FileStream`].
    pub fn chunk_bytes(mut self, chunk_bytes: usize) -> FileStream {
        self.chunk_bytes = chunk_bytes.clamp(1, limits::RW_BYTES_MAX);
        self
    }

    /// How many chunks are read ahead of the consumer; 4 by default, at most 64. With 0 a chunk is read
    /// when it is asked for.
    ///
    /// See [`FileStream`].
    pub fn read_ahead(mut self, chunks: usize) -> FileStream {
        self.read_ahead = chunks.min(limits::STREAM_READ_AHEAD_MAX);
        self
    }

    /// The bytes of the range that are still to come, if the range is closed and, as far as is known,
    /// within the file. A file that shrinks has fewer.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("f");
    /// # tidegate::fs::write(&path, "one two three").await?;
    /// let file = tidegate::fs::File::open(&path).await?;
    /// assert_eq!(file.stream(..).bytes_left(), None);
    /// # if cfg!(target_os = "linux") {
    /// assert_eq!(file.stream(4..7).bytes_left(), Some(3));
    /// # }
    /// # Ok(()) }
    /// ```
    pub fn bytes_left(&self) -> Option<u64> {
        let end = self.end.filter(|&end| {
            self.is_done || end == self.position || self.size.is_some_and(|size| end <= size)
        })?;
        Some(if self.is_done { 0 } else { end - self.position })
    }

    fn is_over(&self) -> bool {
        self.is_done || self.end == Some(self.position)
    }

    /// Ends the stream; what is on its way is cancelled.
    fn finish(&mut self) {
        self.is_done = true;
        self.reads.clear();
    }

    /// Pays for what was handed out, so that a long stream from memory lets other tasks have their turn.
    fn poll_paid(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.owed > 0 {
            ready!(tokio::task::coop::poll_proceed(cx)).made_progress();
            self.owed -= 1;
        }
        Poll::Ready(())
    }

    /// Begins the read at the position, and those ahead of it unless it is in memory.
    fn begin(&mut self) {
        if self.size.is_some_and(|size| self.position >= size) {
            self.size = self.file.size_hint();
        }
        self.push(self.position);
        if self.is_steady && matches!(self.reads[0].state, State::OnItsWay(_)) {
            self.begin_ahead();
        }
    }

    /// Begins reads until enough are on their way. One that is answered from memory says that no more
    /// are needed.
    fn begin_ahead(&mut self) {
        let mut next = self.position + self.wanted();
        while self.reads.len() < self.read_ahead && self.is_worth_reading(next) {
            self.push(next);
            let last = &self.reads[self.reads.len() - 1];
            if let State::InMemory(_) = last.state {
                return;
            }
            next += last.wanted as u64;
        }
    }

    /// The bytes that are in memory or on their way.
    fn wanted(&self) -> u64 {
        self.reads.iter().map(|read| read.wanted as u64).sum()
    }

    /// Whether there is anything at this position, as far as is known, so that it can be read ahead.
    fn is_worth_reading(&self, position: u64) -> bool {
        let end = [self.end, self.size].into_iter().flatten().min();
        self.file.is_seekable()
            && i64::try_from(position).is_ok()
            && end.is_none_or(|end| position < end)
    }

    fn push(&mut self, position: u64) {
        let left = |end: Option<u64>| end?.checked_sub(position).filter(|&left| left > 0);
        let most = [left(self.end), left(self.size)].into_iter().flatten();
        let most = most.fold(u64::MAX, u64::min);
        let wanted = match self.file.unit() {
            Some(unit) => to_block(unit, position, self.chunk_bytes as u64),
            None => self.chunk_bytes as u64,
        };
        let wanted = wanted.min(most) as usize;
        let state = self.read(wanted, position);
        self.reads.push_back(Read { wanted, state });
    }

    /// Reads from memory, or has the read begun.
    fn read(&self, wanted: usize, position: u64) -> State {
        let file = self.file.clone();
        if !file.is_seekable() {
            let buf = BytesMut::with_capacity(wanted);
            return later(rw::read_through(file, buf, Place::Stream));
        }
        if let Err(error) = rw::check_offset(&file, Kind::Read, position, ()) {
            return State::InMemory(Err(error.into()));
        }
        if let Some(unit) = file.unit() {
            if file.size_at_poll().is_some_and(|size| size <= position) {
                return State::InMemory(Ok(BytesMut::new()));
            }
            let range = position..position.saturating_add(wanted as u64);
            return State::OnItsWay(Box::pin(read_around(file, unit, range)));
        }
        let mut buf = BytesMut::with_capacity(wanted);
        match rw::read_at_poll(&file, &mut buf, position) {
            Some(result) => State::InMemory(result.map(|_| buf)),
            None => later(rw::read_missed(file, buf, position)),
        }
    }

    /// Whether to read again: nothing was wrong, or the file turned out to have no positions.
    fn is_worth_another(&self, error: &io::Error) -> bool {
        rw::is_interruption(error) || self.file.is_seekable() && self.file.has_no_positions(error)
    }

    /// What the first read brought, as the consumer gets it; `None` if there is nothing to tell.
    fn take(&mut self, read: &Read, result: io::Result<BytesMut>) -> Option<io::Result<Bytes>> {
        match result {
            Ok(buf) if buf.is_empty() => {
                self.finish();
                None
            }
            Ok(buf) => {
                self.position += buf.len() as u64;
                self.owed = buf.len().div_ceil(limits::STREAM_BYTES_PER_BUDGET);
                self.is_steady = buf.len() == read.wanted;
                if !self.is_steady {
                    self.reads.clear();
                } else if matches!(read.state, State::OnItsWay(_)) && !self.is_over() {
                    self.begin_ahead();
                }
                Some(Ok(buf.freeze()))
            }
            Err(error) if self.is_worth_another(&error) => {
                self.reads.clear();
                None
            }
            Err(error) => {
                self.finish();
                Some(Err(error))
            }
        }
    }
}

impl Read {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<BytesMut>> {
        match &mut self.state {
            State::InMemory(result) => Poll::Ready(std::mem::replace(result, Ok(BytesMut::new()))),
            State::OnItsWay(read) => Poll::Ready(ready!(read.as_mut().poll(cx))),
        }
    }
}

fn later(
    read: impl Future<Output = Result<(usize, BytesMut), BufError<BytesMut>>> + Send + Sync + 'static,
) -> State {
    State::OnItsWay(Box::pin(async move { Ok(read.await?.1) }))
}

/// How much of a chunk of this length is up to the end of a block, so that the next begins with one: all of it, if no
/// block ends in it.
fn to_block(unit: u64, position: u64, length: u64) -> u64 {
    let end = position.saturating_add(length);
    let whole = (end - end % unit).saturating_sub(position);
    if whole == 0 { length } else { whole }
}

impl Stream for FileStream {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = self.get_mut();
        while !stream.is_over() {
            ready!(stream.poll_paid(cx));
            if stream.reads.is_empty() {
                stream.begin();
            }
            let result = ready!(stream.reads[0].poll(cx));
            let read = stream.reads.pop_front();
            let item = read.and_then(|read| stream.take(&read, result));
            if item.is_some() {
                return Poll::Ready(item);
            }
        }
        Poll::Ready(None)
    }

    /// At most one item per byte of a closed range, since any read may come short, and perhaps none.
    fn size_hint(&self) -> (usize, Option<usize>) {
        let most = match self.end {
            _ if self.is_over() => Some(0),
            Some(end) => usize::try_from(end - self.position).ok(),
            None => None,
        };
        (0, most)
    }
}

impl FusedStream for FileStream {
    fn is_terminated(&self) -> bool {
        self.is_over()
    }
}

impl fmt::Debug for FileStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStream")
            .field("position", &self.position)
            .field("end", &self.end)
            .field("reads", &self.reads.len())
            .finish_non_exhaustive()
    }
}
