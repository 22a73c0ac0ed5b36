//! tokio's reading, writing and seeking on a file, with a cursor that clones of the file share.
//!
//! A read that the page cache can answer goes straight into the caller's memory. Any other read fills
//! a buffer of ours, because the kernel may write into it after the caller is gone. A write is copied
//! into a buffer and done in the background, as in tokio: its error comes with the next call or `flush`,
//! and it goes on when the file is dropped.
//!
//! The position is kept here and not in the kernel, where asking for it can sleep while another thread
//! reads. It is that of the next byte to be read into the buffer or to be written. An operation reserves
//! its bytes when it starts, and gives back what it did not use: two clones never read or write the same.

use std::future::poll_fn;
use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};
use tokio::runtime;

use super::File;
use crate::buf::{BufError, IoBuf, Slice};
use crate::driver::answer;
use crate::error::{Error, raw_os_error};
use crate::events;
use crate::limits;
use crate::op::file::SharedFile;
use crate::op::{meta, rw, seek};
use crate::opcode::Kind;

type Part = Slice<Vec<u8>>;
type Counted = Result<(usize, Vec<u8>), BufError<Vec<u8>>>;
type Done<T> = Pin<Box<dyn Future<Output = T> + Send + Sync>>;

/// The next byte's position, of a file and its clones.
#[derive(Clone, Default)]
pub(super) struct Position(Arc<AtomicU64>);

impl Position {
    pub(super) fn new(position: u64) -> Position {
        Position(Arc::new(AtomicU64::new(position)))
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self, position: u64) {
        self.0.store(position, Ordering::Release);
    }

    fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Steps back over what was not handed out, and takes so many bytes; returns where they begin.
    fn reserve(&self, unread: u64, length: u64) -> u64 {
        let begin = |position: u64| position.saturating_sub(unread);
        let next = |position| Some(begin(position).saturating_add(length));
        match self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next)
        {
            Ok(position) | Err(position) => begin(position),
        }
    }

    /// Goes from one place to another, unless a clone moved it meanwhile.
    fn advance(&self, from: u64, to: u64) -> bool {
        let moved = self
            .0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        moved.is_ok()
    }
}

enum State {
    Idle,
    Reading(Done<Result<Vec<u8>, BufError<Vec<u8>>>>),
    Seeking(Done<io::Result<u64>>),
    Writing(Done<io::Result<()>>, Arc<SharedFile>),
}

/// A write that a limit has ended for whoever waited, and that goes on.
struct Late {
    shared: Arc<SharedFile>,
    /// The wait for its end, once somebody waits again.
    settled: Option<Done<io::Result<()>>>,
}

/// Where a file is read and written next, and what is on its way.
pub(super) struct Cursor {
    /// Ignored by files without positions.
    position: Position,
    state: State,
    /// What was read and not handed out: `buf[taken..]`.
    buf: Vec<u8>,
    taken: usize,
    /// Whether the last read found the end of the file, and nobody has been told.
    at_end: bool,
    /// The error of a write that nobody has been told of.
    failed: Option<io::Error>,
    /// What the next flush has to wait for besides.
    late: Option<Late>,
    /// Where the last seek led.
    sought: u64,
    /// Whether one write may take several steps, as on pipes.
    is_stream: bool,
}

impl Drop for Cursor {
    /// A write that was accepted is done. The kernel has its first step already, which for a file is all of
    /// it; what a pipe does not take at once goes on in a task.
    fn drop(&mut self) {
        if let State::Writing(writing, _) = std::mem::replace(&mut self.state, State::Idle) {
            if let (true, Ok(runtime)) = (self.is_stream, runtime::Handle::try_current()) {
                runtime.spawn(async { writing.await.unwrap_or_else(log) });
            }
        }
        if let Some(error) = self.failed.take() {
            log(error);
        }
    }
}

/// Says that a write which was accepted was not done, where nobody is left to hear it. On the log's thread, as a log
/// may take its time.
fn log(error: io::Error) {
    events::report(move || events::background_failure(Kind::Write, &error));
}

/// Whether a write goes on though its caller was told of its end.
fn is_detached(error: &io::Error) -> bool {
    use crate::LeftBehind::Detached;
    matches!(
        Error::from_io(error),
        Some(Error::Cancelled { left: Detached, .. } | Error::TimedOut { left: Detached, .. })
    )
}

/// Whether a write is over, and has failed.
fn is_poisoned(error: &io::Error) -> bool {
    matches!(Error::from_io(error), Some(Error::Poisoned { .. }))
}

/// Whether a limit was over, and not the write.
fn is_given_up(error: &io::Error) -> bool {
    matches!(
        Error::from_io(error),
        Some(Error::Cancelled { .. } | Error::TimedOut { .. })
    )
}

impl Cursor {
    pub(super) fn new(shared: &SharedFile, position: Position) -> Cursor {
        Cursor {
            is_stream: !shared.is_seekable(),
            position,
            state: State::Idle,
            buf: Vec::new(),
            taken: 0,
            at_end: false,
            failed: None,
            late: None,
            sought: 0,
        }
    }

    /// One of another descriptor with the same position.
    pub(super) fn sharing(&self, shared: &SharedFile) -> Cursor {
        Cursor::new(shared, self.position.clone())
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Waits for whatever is on its way.
    pub(super) async fn idle(&mut self) {
        poll_fn(|cx| self.poll_idle(cx)).await;
    }

    /// Waits for whatever is on its way; an error if a write failed, of which flush will tell as well.
    pub(super) async fn written(&mut self) -> io::Result<()> {
        self.idle().await;
        // What a limit ended goes on in the driver, which keeps what comes later behind it; told once.
        if let Some(given_up) = self.failed.take_if(|error| is_given_up(error)) {
            return Err(given_up);
        }
        match &self.failed {
            None => Ok(()),
            Some(error) => {
                let failed = io::Error::from(error.kind());
                let again = raw_os_error(error).map_or(failed, io::Error::from_raw_os_error);
                Err(Error::io(Kind::Write, None, again))
            }
        }
    }

    /// Steps back over what was read and not handed out.
    pub(super) fn give_back(&mut self) {
        let unread = self.forget_buffer();
        self.position.reserve(unread, 0);
    }

    /// Where the next byte would be read.
    pub(super) fn position(&self) -> u64 {
        self.position.get().saturating_sub(self.left().len() as u64)
    }

    fn left(&self) -> &[u8] {
        &self.buf[self.taken..]
    }

    /// Hands out what is left; returns whether there was any.
    fn hand_out(&mut self, into: &mut ReadBuf<'_>) -> bool {
        let count = self.left().len().min(into.remaining());
        into.put_slice(&self.buf[self.taken..self.taken + count]);
        self.taken += count;
        count > 0
    }

    /// Gives up what was read and not handed out; returns how many bytes that were.
    fn forget_buffer(&mut self) -> u64 {
        let left = self.left().len() as u64;
        self.taken = self.buf.len();
        self.at_end = false;
        left
    }

    /// Waits for whatever is on its way. The next write or flush tells of a write that failed; reads and
    /// seeks that nobody waited for are not told of.
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_written(cx));
        let _ = ready!(self.poll_filled(cx));
        let _ = ready!(self.poll_sought(cx));
        Poll::Ready(())
    }

    /// Waits for a write that is on its way.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Writing(writing, shared) = &mut self.state {
            let written = ready!(writing.as_mut().poll(cx));
            if written.as_ref().is_err_and(is_given_up) {
                let (shared, settled) = (shared.clone(), None);
                self.late = Some(Late { shared, settled });
            }
            self.state = State::Idle;
            self.failed = written.err();
        }
        Poll::Ready(())
    }

    /// Waits for a write that a limit has ended before. A flush that said nothing of it would be a success
    /// that did not happen.
    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(late) = &mut self.late else {
            return Poll::Ready(());
        };
        let shared = &late.shared;
        let settled = late
            .settled
            .get_or_insert_with(|| Box::pin(shared.clone().settled()));
        let settled = ready!(settled.as_mut().poll(cx));
        late.settled = None;
        if settled.is_ok() || settled.as_ref().is_err_and(is_poisoned) {
            self.late = None;
        }
        self.failed = settled.err();
        Poll::Ready(())
    }

    /// The error of a write in the background.
    fn take_failure(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Waits for a read that is on its way, and keeps what came.
    fn poll_filled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::Reading(reading) = &mut self.state {
            let read = ready!(reading.as_mut().poll(cx));
            self.state = State::Idle;
            let buf = read?;
            self.at_end = buf.is_empty();
            (self.buf, self.taken) = (buf, 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for a seek that is on its way.
    fn poll_sought(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::Seeking(seeking) = &mut self.state {
            let sought = ready!(seeking.as_mut().poll(cx));
            self.state = State::Idle;
            self.sought = sought?;
        }
        Poll::Ready(Ok(()))
    }

    fn start_reading(&mut self, shared: &Arc<SharedFile>, wanted: usize) {
        let mut buf = std::mem::take(&mut self.buf);
        buf.clear();
        self.taken = 0;
        // A buffer that was longer once still has that room.
        buf.reserve_exact(wanted);
        let reading = read(shared.clone(), buf, wanted, self.position.clone());
        self.state = State::Reading(Box::pin(reading));
    }

    /// Starts now, and not when somebody flushes.
    fn start_writing(&mut self, shared: &Arc<SharedFile>, from: Vec<u8>, cx: &mut Context<'_>) {
        let unread = self.forget_buffer();
        let begin = self.position.reserve(unread, from.len() as u64);
        let writing = write_all(shared.clone(), from, begin, self.position.clone());
        self.state = State::Writing(Box::pin(writing), shared.clone());
        let _ = self.poll_written(cx);
    }
}

/// Reads once, at the cursor where there is one.
async fn read(
    shared: Arc<SharedFile>,
    buf: Vec<u8>,
    wanted: usize,
    position: Position,
) -> Result<Vec<u8>, BufError<Vec<u8>>> {
    if !shared.is_seekable() {
        return read_stream(shared, buf, wanted).await;
    }
    let begin = position.reserve(0, wanted as u64);
    let mut read = whole(rw::read_at(shared.clone(), buf.slice(..wanted), begin).await);
    if position.is_shared() {
        // What is not read here, nobody would read: a clone may have gone on behind it.
        read = read_on(&shared, read, wanted, begin).await;
    }
    let used = match &read {
        Ok((_, buf)) => buf.len() as u64,
        Err(_) => 0,
    };
    position.advance(begin.saturating_add(wanted as u64), begin + used);
    match read {
        Ok((_, buf)) => Ok(buf),
        Err(error) if shared.has_no_positions(&error.error) => match error.into_parts() {
            (_, Some(buf)) => read_stream(shared, buf, wanted).await,
            (error, None) => Err(BufError::detached(error)),
        },
        Err(error) => Err(error),
    }
}

/// Reads once from what has no positions.
async fn read_stream(
    shared: Arc<SharedFile>,
    buf: Vec<u8>,
    wanted: usize,
) -> Result<Vec<u8>, BufError<Vec<u8>>> {
    Ok(whole(rw::read_through(shared, buf.slice(..wanted), None).await)?.1)
}

/// What came of reading into a part of a buffer, with the buffer.
fn whole(read: Result<(usize, Part), BufError<Part>>) -> Counted {
    read.map(|(count, part)| (count, part.into_inner()))
        .map_err(|error| error.map(Slice::into_inner))
}

/// Reads until there are as many bytes as wanted or the file is at its end.
async fn read_on(
    shared: &Arc<SharedFile>,
    mut read: Counted,
    wanted: usize,
    begin: u64,
) -> Counted {
    loop {
        let (count, buf) = read?;
        let start = buf.len();
        if count == 0 || start >= wanted {
            return Ok((start, buf));
        }
        let (rest, offset) = (buf.slice(start..wanted), begin + start as u64);
        read = whole(rw::read_at(shared.clone(), rest, offset).await);
    }
}

/// Writes all of the buffer, at the cursor where there is one.
async fn write_all(
    shared: Arc<SharedFile>,
    buf: Vec<u8>,
    begin: u64,
    position: Position,
) -> io::Result<()> {
    let total = buf.len();
    let (done, written) = write_steps(&shared, buf, begin).await;
    if shared.is_seekable() {
        let end = begin.saturating_add(done as u64);
        // What goes on without us still writes its bytes: the next ones come after them.
        if !written.as_ref().is_err_and(is_detached) {
            position.advance(begin.saturating_add(total as u64), end);
        }
        // What is appended goes to the end, wherever that was.
        if shared.is_append() && done > 0 {
            if let Ok(size) = meta::size_of(&shared).await {
                position.set(size);
            }
        }
    }
    written
}

/// The steps of a write, and how many bytes they wrote.
async fn write_steps(
    shared: &Arc<SharedFile>,
    mut buf: Vec<u8>,
    begin: u64,
) -> (usize, io::Result<()>) {
    let (total, mut done) = (buf.len(), 0);
    while done < total {
        let offset = shared.is_seekable().then_some(begin + done as u64);
        let step = rw::write_once(shared.clone(), buf.slice(done..total), offset, true).await;
        let (count, part) = match rw::progress(step, Kind::Write, io::ErrorKind::WriteZero) {
            Ok(progress) => progress,
            Err(error) => {
                let again = offset.is_some() && shared.has_no_positions(&error.error);
                match error.into_parts() {
                    (_, Some(part)) if again => (0, part),
                    (error, _) => return (done, Err(error)),
                }
            }
        };
        buf = part.into_inner();
        done += count;
    }
    (done, Ok(()))
}

/// Moves the cursor, which has given back what was not handed out.
async fn move_to(shared: Arc<SharedFile>, to: SeekFrom, position: Position) -> io::Result<u64> {
    if !shared.is_seekable() {
        return seek::in_kernel(&shared, to).await;
    }
    let target = match to {
        SeekFrom::Start(offset) => Some(offset),
        SeekFrom::Current(offset) => position.get().checked_add_signed(offset),
        SeekFrom::End(offset) => match shared.size_at_poll() {
            Some(size) => size.checked_add_signed(offset),
            // Only the file itself knows where it ends: a device's attributes have no size.
            None => Some(seek::in_kernel(&shared, to).await?),
        },
    };
    let mut target = target.ok_or_else(seek::invalid)?;
    if target > limits::SEEK_UNCHECKED_BYTES_MAX {
        // Filesystems differ in how long a file can be.
        target = seek::in_kernel(&shared, SeekFrom::Start(target)).await?;
    }
    position.set(target);
    Ok(target)
}

impl AsyncRead for File {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes_max = self.max_buf_bytes;
        let (shared, cursor) = self.parts();
        ready!(cursor.poll_written(cx));
        let _ = ready!(cursor.poll_sought(cx));
        ready!(answer(ready!(cursor.poll_filled(cx))))?;
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if cursor.hand_out(into) {
            return Poll::Ready(Ok(()));
        }
        if !cursor.at_end {
            let wanted = into.remaining().min(bytes_max);
            if wanted == into.remaining() {
                if let Some(read) = read_at_poll(shared, cursor, cx, into) {
                    return read;
                }
            }
            cursor.start_reading(shared, wanted);
            ready!(answer(ready!(cursor.poll_filled(cx))))?;
            cursor.hand_out(into);
        }
        // Nothing handed out means the end of the file; the next call asks again.
        cursor.at_end = false;
        Poll::Ready(Ok(()))
    }
}

/// Reads straight into the caller's memory what the page cache holds.
fn read_at_poll(
    shared: &Arc<SharedFile>,
    cursor: &mut Cursor,
    cx: &mut Context<'_>,
    into: &mut ReadBuf<'_>,
) -> Option<Poll<io::Result<()>>> {
    let budget = match tokio::task::coop::poll_proceed(cx) {
        Poll::Ready(budget) => budget,
        Poll::Pending => return Some(Poll::Pending),
    };
    let (filled, position) = (into.filled().len(), cursor.position.get());
    let count = rw::read_into_at_poll(shared, into, position)?;
    let end = position + *count.as_ref().unwrap_or(&0) as u64;
    if !cursor.position.advance(position, end) {
        // A clone has read the same bytes.
        into.set_filled(filled);
        return None;
    }
    budget.made_progress();
    Some(Poll::Ready(count.map(drop)))
}

impl AsyncWrite for File {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes_max = self.max_buf_bytes;
        let (shared, cursor) = self.parts();
        ready!(cursor.poll_idle(cx));
        ready!(answer(cursor.take_failure()))?;
        ready!(answer(shared.may_accept()))?;
        let count = from.len().min(bytes_max);
        cursor.start_writing(shared, from[..count].to_vec(), cx);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes_max = self.max_buf_bytes;
        let (shared, cursor) = self.parts();
        ready!(cursor.poll_idle(cx));
        ready!(answer(cursor.take_failure()))?;
        ready!(answer(shared.may_accept()))?;
        let mut buf = Vec::new();
        for part in from {
            let room = bytes_max - buf.len();
            buf.extend_from_slice(&part[..part.len().min(room)]);
        }
        let count = buf.len();
        cursor.start_writing(shared, buf, cx);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let cursor = self.parts().1;
        ready!(cursor.poll_idle(cx));
        if cursor.failed.is_none() {
            ready!(cursor.poll_settled(cx));
        }
        Poll::Ready(cursor.take_failure())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl AsyncSeek for File {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        let (shared, cursor) = self.parts();
        if !cursor.is_idle() {
            return Err(Error::SeekPending.into());
        }
        cursor.give_back();
        let seeking = move_to(shared.clone(), to, cursor.position.clone());
        cursor.state = State::Seeking(Box::pin(seeking));
        Ok(())
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let (_, cursor) = self.parts();
        ready!(cursor.poll_written(cx));
        let _ = ready!(cursor.poll_filled(cx));
        ready!(cursor.poll_sought(cx))?;
        Poll::Ready(Ok(cursor.sought))
    }
}
