//! Reading ahead for a sequential reader.
//!
//! The kernel's own readahead is off for our descriptors, because a read that is answered from memory
//! would start it, and starting it can sleep. A blocking thread does it instead: it reads the file
//! through a second description, which has the kernel's readahead on and gets its large pages, and
//! stays a window ahead of the reader. The reader is answered at the poll only up to where that thread
//! has been, since behind it no page has a readahead mark left.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::file::SharedFile;
use crate::driver::chore::Chore;
use crate::limits;
use crate::opcode::Kind;
use crate::sys::blocking::reopen;
use crate::sys::range::Advice;

/// Where a reader is and how far ahead of it was read. Races between readers only misplace a window.
#[derive(Default)]
pub(super) struct Prefetch {
    /// Where the last read that was looked at ended.
    next: AtomicU64,
    /// Whether the reader is known to be sequential, so that it is read ahead for.
    streaming: AtomicBool,
    /// How far was read ahead.
    done: AtomicU64,
    /// How far is to be read ahead.
    target: AtomicU64,
    /// What the user has said of the reader: one of the three below.
    advised: AtomicU8,
    /// Whether a thread is at it.
    running: AtomicBool,
    /// The file is closed: a thread that is at it stops.
    stopped: AtomicBool,
}

/// Nothing was said: the reads are watched.
const WATCHED: u8 = 0;
/// It is sequential, from its next miss on, wherever that is.
const SEQUENTIAL: u8 = 1;
/// It is not.
const RANDOM: u8 = 2;

impl Prefetch {
    /// Takes the user's word for what the reader does.
    pub(super) fn heed(&self, advice: Advice) {
        let advised = match advice {
            Advice::Normal => WATCHED,
            Advice::Random => RANDOM,
            Advice::Sequential => SEQUENTIAL,
            Advice::DontNeed | Advice::NoReuse | Advice::WillNeed => return,
        };
        self.advised.store(advised, Ordering::Relaxed);
        if advised == RANDOM {
            self.streaming.store(false, Ordering::Relaxed);
        }
    }

    /// Whether a read up to here may be answered from memory without starting readahead.
    pub(super) fn is_behind(&self, end: u64) -> bool {
        !self.streaming.load(Ordering::Relaxed) || end <= self.done.load(Ordering::Acquire)
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Reads on until the target, which moves while the reader does.
    fn run(&self, file: &File) {
        let mut scratch = vec![0; limits::PREFETCH_CHUNK_BYTES];
        loop {
            let position = self.done.load(Ordering::Relaxed);
            let wanted = !self.stopped.load(Ordering::Relaxed)
                && self.streaming.load(Ordering::Relaxed)
                && position < self.target.load(Ordering::Acquire);
            let read = if wanted {
                file.read_at(&mut scratch, position)
            } else {
                Ok(0)
            };
            match read {
                Ok(count) if count > 0 => {
                    let moved = position + count as u64;
                    // Fails if the reader went elsewhere meanwhile.
                    let _ = self.done.compare_exchange(
                        position,
                        moved,
                        Ordering::Release,
                        Ordering::Relaxed,
                    );
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Far enough, the end of the file, or an error that the reader will see itself.
                _ => return,
            }
        }
    }
}

impl SharedFile {
    /// A read was answered from memory: keeps ahead of a reader that is known to be sequential.
    pub(super) fn after_hit(self: &Arc<Self>, offset: u64, length: u64) {
        if self.prefetch.streaming.load(Ordering::Relaxed) {
            self.advance(offset, length);
        }
    }

    /// A read has to wait for the disk.
    pub(super) fn after_miss(self: &Arc<Self>, offset: u64, length: u64) {
        if self.is_regular() && !self.is_direct() && self.driver_ref().attempts() {
            self.advance(offset, length);
        }
    }

    fn advance(self: &Arc<Self>, offset: u64, length: u64) {
        let state = &self.prefetch;
        let end = offset.saturating_add(length);
        let jumped = state.next.swap(end, Ordering::Relaxed) != offset;
        match state.advised.load(Ordering::Relaxed) {
            // It goes on from there.
            SEQUENTIAL if jumped => state.streaming.store(false, Ordering::Relaxed),
            SEQUENTIAL => {}
            // A first read from the start may be the only one.
            WATCHED if !jumped && offset != 0 => {}
            _ => return state.streaming.store(false, Ordering::Relaxed),
        }
        if !state.streaming.load(Ordering::Relaxed) {
            state.done.store(end, Ordering::Relaxed);
            state.target.store(end, Ordering::Relaxed);
            state.streaming.store(true, Ordering::Relaxed);
        }
        let (done, target) = (
            state.done.load(Ordering::Relaxed),
            state.target.load(Ordering::Relaxed),
        );
        if end > done {
            // The reader has overtaken the thread: what it read itself is not read again.
            let _ = state
                .done
                .compare_exchange(done, end, Ordering::Relaxed, Ordering::Relaxed);
        }
        if end + limits::PREFETCH_WINDOW_BYTES / 2 <= target {
            return;
        }
        // Twice as far as the last time, up to a window.
        let ahead = (target.saturating_sub(end) * 2)
            .clamp(length * 4, limits::PREFETCH_WINDOW_BYTES.max(length * 4));
        state
            .target
            .store(end.saturating_add(ahead), Ordering::Release);
        if !state.running.swap(true, Ordering::AcqRel) {
            let (weak, state) = (Arc::downgrade(self), state.clone());
            let work = move || {
                if let Some(file) = open_again(&weak) {
                    state.run(&file);
                }
                state.running.store(false, Ordering::Release);
            };
            self.driver()
                .start_detached(Chore::new(Kind::Prefetch, work), &self.mount());
        }
    }
}

/// The same file through a description of its own, unless it was closed meanwhile.
fn open_again(file: &Weak<SharedFile>) -> Option<File> {
    let file = file.upgrade()?;
    reopen(&*file, file.has_no_atime()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::open::{flag, open};

    /// The user's word decides over what the reads look like, and may be taken back.
    #[tokio::test]
    async fn advice_decides_whether_is_read_ahead() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let file = open(file.path(), flag::O_RDONLY, 0).await.unwrap();
        let streams = |offset| {
            file.advance(offset, 4096);
            file.prefetch.streaming.load(Ordering::Relaxed)
        };
        assert_eq!(
            [0, 4096, 8192, 1 << 20].map(streams),
            [false, true, true, false]
        );
        file.prefetch.heed(Advice::Sequential);
        assert_eq!([0, 1 << 30, (1 << 30) + 4096].map(streams), [true; 3]);
        file.prefetch.heed(Advice::WillNeed);
        assert!(streams((1 << 30) + 8192));
        file.prefetch.heed(Advice::Random);
        assert!(!file.prefetch.streaming.load(Ordering::Relaxed));
        assert_eq!([4096, 8192].map(streams), [false; 2]);
        file.prefetch.heed(Advice::Normal);
        assert_eq!([12_288, 40_960].map(streams), [true, false]);
    }
}
