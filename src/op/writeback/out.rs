//! The write-out of one chunk, on a blocking thread: begun, waited for, its result looked at, and then dropped from the
//! page cache.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use super::dirty::Chunk;
use super::{Bounded, offset_and_length};
use crate::base::clock::now_us;
use crate::base::errno;
use crate::driver::op::OnWorker;
use crate::op::durable::Durable;
use crate::op::file::SharedFile;
use crate::opcode::Kind;
use crate::sys::range::{Advice, Writeback, advise, sync_range};
use crate::sys::request::Hop;
use crate::sys::written::{self, WritebackClass};

/// How it ended.
pub(super) enum End {
    /// All of it was written out; how long that was waited for.
    Done(Duration),
    Failed,
    /// It came to nothing: no thread, or no mount that answers.
    NotBegun,
    /// This file has nothing that could be written out so.
    NothingToDo,
}

/// Tells of the end of a write-out, also if it is dropped before it begins.
struct Teller {
    bounded: Arc<Bounded>,
    number: u64,
    is_told: bool,
}

impl Teller {
    fn tell(mut self, end: End) {
        self.is_told = true;
        self.bounded.ended(self.number, end);
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if !self.is_told {
            self.bounded.ended(self.number, End::NotBegun);
        }
    }
}

/// Begins it. An error is the file's from then on.
pub(super) fn start(bounded: &Arc<Bounded>, file: &Arc<SharedFile>, number: u64, chunk: Chunk) {
    let teller = Teller {
        bounded: bounded.clone(),
        number,
        is_told: false,
    };
    let shared = file.clone();
    let request = Hop::new(move |_| {
        let bounded = teller.bounded.clone();
        let class = *bounded.class.get_or_init(|| written::class(shared.as_fd()));
        let waits = bounded.policy.waits;
        let is_own = chunk.is_whole() || chunk.range.end == u64::MAX;
        let drops = bounded.policy.drops && is_own && class != WritebackClass::Unknown;
        let done = match class {
            WritebackClass::Memory => Err(io::Error::from_raw_os_error(errno::EOPNOTSUPP)),
            class => write_out(shared.as_fd(), class, &chunk, waits, drops),
        };
        // Before anybody hears of the end: the error is the file's.
        match done {
            Ok(wait) => teller.tell(End::Done(wait)),
            Err(error) if errno::tried_nothing(&error) => teller.tell(End::NothingToDo),
            Err(error) => {
                shared
                    .health
                    .note_sync(error.raw_os_error().unwrap_or(errno::EIO));
                teller.tell(End::Failed);
                return Err(error);
            }
        }
        Ok(())
    });
    let durable = Durable {
        kind: Kind::SyncRange,
        request,
        file: file.clone(),
        on_worker: OnWorker::Never,
    };
    file.driver().start_detached(durable, &file.mount());
}

/// Returns how long the end was waited for.
fn write_out(
    fd: BorrowedFd<'_>,
    class: WritebackClass,
    chunk: &Chunk,
    waits: bool,
    drops: bool,
) -> io::Result<Duration> {
    let (offset, length) = offset_and_length(&chunk.range);
    let begun_us;
    if class == WritebackClass::Overlay {
        // Ranges of a layer reach none of the pages below it; a sync does.
        begun_us = now_us();
        written::sync_data(fd)?;
    } else {
        let started = sync_range(fd, offset, length, Writeback::Start);
        begun_us = now_us();
        if waits {
            // Also after an error: whatever is told here is told to nobody else.
            sync_range(fd, offset, length, Writeback::Wait)?;
        }
        started?;
    }
    let waited = Duration::from_micros(now_us().saturating_sub(begun_us));
    if waits && drops {
        // A hint: what stays in the cache costs memory.
        let _ = advise(fd, offset, length, Advice::DontNeed);
    }
    Ok(waited)
}
