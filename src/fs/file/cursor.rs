//! tokio's reading, writing and seeking on a file, with a cursor that clones of the file share.
//!
//! A read that the page cache can answer goes straight into the caller's memory. Any other read fills
//! a buffer of ours, because the kernel may write into it after the caller is gone. A write is copied
//! into a buffer and done in the background, as in tokio: its error comes with the next call or `flush`,
//! and it goes on when the file is dropped.
//!
//! Where that is, `op/position.rs` knows.

use std::future::poll_fn;
use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

use super::File;
use super::places::{Sought, is_given_up, move_to, read, write_all};
use crate::buf::BufError;
use crate::driver::helpers::drive;
use crate::error::Error;
use crate::events;
use crate::observe::Promise;
use crate::op::file::SharedFile;
use crate::op::position::Position;
use crate::op::writeback::Room;
use crate::op::{rw, seek};
use crate::opcode::Kind;

type Done<T> = Pin<Box<dyn Future<Output = T> + Send + Sync>>;

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
    pub(super) position: Position,
    state: State,
    /// The wait for room to write, where dirty pages are bounded.
    room: Option<Done<Room>>,
    /// What was read and not handed out: `buf[taken..]`.
    buf: Vec<u8>,
    taken: usize,
    /// Whether the last read found the end of the file, and nobody has been told.
    at_end: bool,
    /// The error of a write that nobody has been told of.
    failed: Option<io::Error>,
    /// Whether a write failed of which flushes tell until the file is acknowledged.
    lost: bool,
    /// What the next flush has to wait for besides.
    late: Option<Late>,
    /// Where the last seek led.
    sought: u64,
    /// Whether one write may take several steps, as on pipes.
    is_stream: bool,
}

impl Drop for Cursor {
    /// A write that was accepted is done. The kernel has its first step already, which for a file is all of
    /// it; what a pipe does not take at once goes on on a thread of ours, whoever drives the runtime.
    fn drop(&mut self) {
        if let State::Writing(writing, shared) = std::mem::replace(&mut self.state, State::Idle) {
            if self.is_stream {
                let promise = Promise::new(&shared.driver().counters);
                drive(async move {
                    // The end of the runtime waits for it, as for what a file was given.
                    let _promise = promise;
                    writing.await.unwrap_or_else(log);
                });
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

/// Whether a write is over, and has failed.
fn is_poisoned(error: &io::Error) -> bool {
    matches!(Error::from_io(error), Some(Error::Poisoned { .. }))
}

impl Cursor {
    pub(super) fn new(shared: &SharedFile, position: Position) -> Cursor {
        Cursor {
            is_stream: !shared.is_seekable(),
            position,
            state: State::Idle,
            room: None,
            buf: Vec::new(),
            taken: 0,
            at_end: false,
            failed: None,
            lost: false,
            late: None,
            sought: 0,
        }
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
            Some(error) => Err(Error::again(error)),
        }
    }

    /// Steps back over what was read and not handed out; returns how many bytes that are for the kernel, where
    /// the position is its own.
    pub(super) fn give_back(&mut self) -> u64 {
        let unread = self.forget_buffer();
        match self.position.reserve(unread, 0) {
            Some(_) => 0,
            None => unread,
        }
    }

    /// The same, all of it.
    pub(super) async fn give_all_back(&mut self, shared: &Arc<SharedFile>) -> io::Result<()> {
        let back = self.give_back();
        if back > 0 && shared.is_seekable() {
            seek::in_kernel(shared, SeekFrom::Current(-(back as i64))).await?;
        }
        Ok(())
    }

    /// Whether giving back what was read and not handed out is the kernel's work.
    pub(super) fn owes_kernel(&self) -> bool {
        !self.left().is_empty() && self.position.get().is_none()
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
            match &written {
                Err(error) if is_given_up(error) => {
                    let (shared, settled) = (shared.clone(), None);
                    self.late = Some(Late { shared, settled });
                }
                Err(error) => {
                    shared.health.note_accepted(error);
                    self.lost = true;
                }
                Ok(()) => {}
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
        self.lost |= settled.is_err();
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

    /// Waits for room to write before anything is accepted, where dirty pages are bounded.
    fn poll_room(
        &mut self,
        shared: &Arc<SharedFile>,
        wanted: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Room>> {
        if self.room.is_none() {
            let Some(bounded) = shared.bounded().filter(|_| wanted > 0) else {
                return Poll::Ready(None);
            };
            let at = rw::known(shared, self.position.get());
            self.room = Some(Box::pin(bounded.clone().room(at, wanted)));
        }
        let Some(room) = &mut self.room else {
            return Poll::Ready(None);
        };
        let got = ready!(room.as_mut().poll(cx));
        self.room = None;
        Poll::Ready(Some(got))
    }

    /// Starts now, and not when somebody flushes.
    fn start_writing(
        &mut self,
        shared: &Arc<SharedFile>,
        from: Vec<u8>,
        room: Option<Room>,
        cx: &mut Context<'_>,
    ) {
        let unread = self.forget_buffer();
        let begin = self.position.reserve(unread, from.len() as u64);
        let begin = begin.ok_or(unread);
        let writing = write_all(shared.clone(), from, begin, self.position.clone(), room);
        self.state = State::Writing(Box::pin(writing), shared.clone());
        let _ = self.poll_written(cx);
    }
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
        ready!(cursor.poll_filled(cx))?;
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
            ready!(cursor.poll_filled(cx))?;
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
    let (filled, position) = (into.filled().len(), cursor.position.get()?);
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
        cursor.take_failure()?;
        shared.may_accept()?;
        shared.health.check_write(Kind::Write)?;
        let count = from.len().min(bytes_max);
        let room = ready!(cursor.poll_room(shared, count, cx));
        let count = room.as_ref().map_or(count, |room| count.min(room.bytes()));
        cursor.start_writing(shared, from[..count].to_vec(), room, cx);
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
        cursor.take_failure()?;
        shared.may_accept()?;
        shared.health.check_write(Kind::Write)?;
        let wanted = from.iter().map(|part| part.len()).sum::<usize>();
        let wanted = wanted.min(bytes_max);
        let room = ready!(cursor.poll_room(shared, wanted, cx));
        let most = room
            .as_ref()
            .map_or(wanted, |room| wanted.min(room.bytes()));
        let mut buf = Vec::with_capacity(most);
        for part in from {
            let left = most - buf.len();
            buf.extend_from_slice(&part[..part.len().min(left)]);
        }
        let count = buf.len();
        cursor.start_writing(shared, buf, room, cx);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (shared, cursor) = self.parts();
        ready!(cursor.poll_idle(cx));
        if cursor.failed.is_none() {
            ready!(cursor.poll_settled(cx));
        }
        cursor.take_failure()?;
        // What was lost is not made good by having been told once.
        cursor.lost = cursor.lost && shared.health.check(Kind::Write).map(|()| false)?;
        Poll::Ready(Ok(()))
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
        let back = cursor.give_back();
        let seeking = move_to(shared.clone(), Sought { to, back }, cursor.position.clone());
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
