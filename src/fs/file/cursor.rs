//! tokio's reading, writing and seeking on a file, with a cursor of its own.
//!
//! A read that the page cache can answer goes straight into the caller's memory. Any other read fills
//! a buffer of ours, because the kernel may write into it after the caller is gone. A write is copied
//! into a buffer and done in the background, as in tokio: its error comes with the next call or `flush`.

use std::io::{self, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

use super::File;
use crate::buf::BufError;
use crate::error::Error;
use crate::limits;
use crate::op::file::SharedFile;
use crate::op::{meta, open, rw};
use crate::opcode::Kind;

type Done<T> = Pin<Box<dyn Future<Output = T> + Send + Sync>>;
type Bytes = Result<(usize, Vec<u8>), BufError<Vec<u8>>>;

enum State {
    Idle,
    Reading(Done<Bytes>),
    Seeking(Done<io::Result<u64>>),
    Writing(Done<io::Result<u64>>),
}

/// Where a file is read and written next, and what is on its way.
pub(super) struct Cursor {
    /// Ignored by files without positions.
    position: u64,
    state: State,
    /// What was read and not handed out: `buf[taken..]`.
    buf: Vec<u8>,
    taken: usize,
    /// Whether the last read found the end of the file, and nobody has been told.
    at_end: bool,
    /// The error of a write that nobody has been told of.
    failed: Option<io::Error>,
    max_buf_bytes: usize,
}

impl Default for Cursor {
    fn default() -> Cursor {
        Cursor {
            position: 0,
            state: State::Idle,
            buf: Vec::new(),
            taken: 0,
            at_end: false,
            failed: None,
            max_buf_bytes: limits::FILE_BUFFER_BYTES,
        }
    }
}

impl Cursor {
    fn left(&self) -> &[u8] {
        &self.buf[self.taken..]
    }

    /// Hands out what is left; returns whether there was any.
    fn hand_out(&mut self, into: &mut ReadBuf<'_>) -> bool {
        let count = self.left().len().min(into.remaining());
        into.put_slice(&self.buf[self.taken..self.taken + count]);
        self.taken += count;
        self.position += count as u64;
        count > 0
    }

    fn forget_buffer(&mut self) {
        self.taken = self.buf.len();
    }

    /// Waits for a write that is on its way.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::Writing(writing) = &mut self.state {
            let written = ready!(writing.as_mut().poll(cx));
            self.state = State::Idle;
            match written {
                Ok(position) => self.position = position,
                Err(error) => self.failed = Some(error),
            }
        }
        Poll::Ready(self.failed.take().map_or(Ok(()), Err))
    }

    /// Waits for a read that is on its way, and keeps what came.
    fn poll_filled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::Reading(reading) = &mut self.state {
            let read = ready!(reading.as_mut().poll(cx));
            self.state = State::Idle;
            let (_, buf) = read?;
            self.at_end = buf.is_empty();
            (self.buf, self.taken) = (buf, 0);
        }
        Poll::Ready(Ok(()))
    }

    fn start_reading(&mut self, shared: &Arc<SharedFile>, wanted: usize) {
        let mut buf = std::mem::take(&mut self.buf);
        buf.clear();
        self.taken = 0;
        buf.reserve_exact(wanted.min(self.max_buf_bytes));
        let (shared, position) = (shared.clone(), self.position);
        self.state = State::Reading(if shared.is_seekable() {
            Box::pin(rw::read_at(shared, buf, position))
        } else {
            Box::pin(rw::read_through(shared, buf, None))
        });
    }
}

/// Writes all of the buffer; returns where the cursor is then.
async fn write_all(shared: Arc<SharedFile>, buf: Vec<u8>, position: u64) -> io::Result<u64> {
    use crate::buf::IoBuf;
    let (total, mut buf, mut done) = (buf.len(), buf, 0);
    while done < total {
        let offset = shared.is_seekable().then_some(position + done as u64);
        let (count, part) = rw::write_once(shared.clone(), buf.slice(done..total), offset).await?;
        if count == 0 {
            return Err(Error::io(
                Kind::Write,
                None,
                io::ErrorKind::WriteZero.into(),
            ));
        }
        buf = part.into_inner();
        done += count;
    }
    // What is appended goes to the end, wherever that was.
    if shared.is_append() {
        Ok(meta::of_file(&shared).await?.size)
    } else {
        Ok(position + total as u64)
    }
}

/// Where a seek leads.
async fn seek(shared: Arc<SharedFile>, position: u64, to: SeekFrom) -> io::Result<u64> {
    let (base, offset) = match to {
        SeekFrom::Start(offset) => {
            return i64::try_from(offset)
                .map(|_| offset)
                .map_err(|_| open::invalid());
        }
        SeekFrom::Current(offset) => (position, offset),
        SeekFrom::End(offset) => (meta::of_file(&shared).await?.size, offset),
    };
    let target = base
        .checked_add_signed(offset)
        .filter(|&target| i64::try_from(target).is_ok());
    target.ok_or_else(open::invalid)
}

impl AsyncRead for File {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let File { shared, cursor } = &mut *self;
        ready!(cursor.poll_written(cx))?;
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(cursor.poll_filled(cx))?;
        if cursor.hand_out(into) {
            return Poll::Ready(Ok(()));
        }
        if !cursor.at_end {
            if let Some(read) = read_at_poll(shared, cursor, cx, into) {
                return read;
            }
            cursor.start_reading(shared, into.remaining());
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
    let count = rw::read_into_at_poll(shared, into, cursor.position)?;
    budget.made_progress();
    Some(Poll::Ready(
        count.map(|count| cursor.position += count as u64),
    ))
}

impl AsyncWrite for File {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let File { shared, cursor } = &mut *self;
        ready!(cursor.poll_written(cx))?;
        // A read on its way is of the old position, and what it brings is not asked for any more.
        ready!(cursor.poll_filled(cx))?;
        cursor.forget_buffer();
        let count = from.len().min(cursor.max_buf_bytes);
        let writing = write_all(shared.clone(), from[..count].to_vec(), cursor.position);
        cursor.state = State::Writing(Box::pin(writing));
        // Started now, and not when somebody flushes.
        if let Poll::Ready(Err(error)) = cursor.poll_written(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cursor.poll_written(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl AsyncSeek for File {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        let File { shared, cursor } = &mut *self;
        match cursor.state {
            State::Idle => {}
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::WouldBlock,
                    "other file operation is pending, call poll_complete before start_seek",
                ));
            }
        }
        cursor.forget_buffer();
        cursor.state = State::Seeking(Box::pin(seek(shared.clone(), cursor.position, to)));
        Ok(())
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let cursor = &mut self.cursor;
        ready!(cursor.poll_written(cx))?;
        ready!(cursor.poll_filled(cx))?;
        if let State::Seeking(seeking) = &mut cursor.state {
            let target = ready!(seeking.as_mut().poll(cx));
            cursor.state = State::Idle;
            cursor.position = target?;
        }
        Poll::Ready(Ok(cursor.position))
    }
}
