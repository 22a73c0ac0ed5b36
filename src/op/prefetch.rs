//! Reading ahead for a sequential reader.
//!
//! The kernel's own readahead is off for our descriptors, because a read that is answered from memory
//! would start it, and starting it can sleep. While a reader is sequential a blocking thread does it instead: it
//! reads through the same descriptor, with the kernel's readahead on and its large pages, and stays a window
//! ahead of the reader. The reader is answered at the poll only up to where that thread has been, since behind
//! it no page has a readahead mark left.
//!
//! A descriptor of its own would not do: closing any drops the process's record locks on the file. So the
//! thread borrows the file's, and whoever closes that waits until it is given back.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::file::SharedFile;
use super::hop::hop_apart;
use crate::base::lock::{lock, wait, wait_timeout};
use crate::driver::chore::Chore;
use crate::driver::on_rings::OnRings;
use crate::limits;
use crate::opcode::Kind;
use crate::sys::fd::with_file;
use crate::sys::range::Advice;
use crate::sys::request::{Close, Request};

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
    /// Held while that thread gives the descriptor back.
    giving_back: Mutex<()>,
    given_back: Condvar,
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

    /// Whether a reader is read ahead for: then the kernel reads ahead of reads through the descriptor.
    pub(super) fn streams(&self) -> bool {
        self.streaming.load(Ordering::Relaxed)
    }

    /// The descriptor, once it is given back; the thread that has it reads one piece at most. Returns it as it
    /// is after so long.
    pub(super) fn take_back(
        &self,
        mut fd: Arc<OwnedFd>,
        patience: Option<Duration>,
    ) -> Result<OwnedFd, Arc<OwnedFd>> {
        let end = patience.map(|patience| Instant::now() + patience);
        loop {
            self.streaming.store(false, Ordering::Relaxed);
            let none_gives = lock(&self.giving_back);
            fd = match Arc::try_unwrap(fd) {
                Ok(fd) => return Ok(fd),
                Err(fd) => fd,
            };
            match end.map(|end| end.saturating_duration_since(Instant::now())) {
                None => drop(wait(&self.given_back, none_gives)),
                Some(Duration::ZERO) => return Err(fd),
                Some(left) => drop(wait_timeout(&self.given_back, none_gives, left).0),
            }
        }
    }

    /// Reads on until the target, which moves while the reader does.
    fn run(&self, fd: &OwnedFd) {
        let mut scratch = vec![0; limits::PREFETCH_CHUNK_BYTES];
        loop {
            let position = self.done.load(Ordering::Relaxed);
            let wanted = self.streaming.load(Ordering::Relaxed)
                && position < self.target.load(Ordering::Acquire);
            let read = if wanted {
                with_file(fd.as_fd(), |file| file.read_at(&mut scratch, position))
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
    /// Whether nothing reads ahead through the descriptor any more, or soon does not.
    pub(crate) fn is_given_back(&self) -> bool {
        self.prefetch.streaming.store(false, Ordering::Relaxed);
        let none_gives = lock(&self.prefetch.giving_back);
        if Arc::strong_count(self.shared_fd()) > 1 {
            let patience = limits::LENT_PATIENCE;
            drop(wait_timeout(
                &self.prefetch.given_back,
                none_gives,
                patience,
            ));
        }
        Arc::strong_count(self.shared_fd()) == 1
    }

    /// Waits until nothing reads ahead through the descriptor.
    pub(crate) async fn given_back(self: &Arc<Self>) {
        if Arc::strong_count(self.shared_fd()) == 1 {
            return;
        }
        self.prefetch.streaming.store(false, Ordering::Relaxed);
        let (state, fd) = (self.prefetch.clone(), Arc::downgrade(self.shared_fd()));
        let work = move |_: &_| {
            let mut none_gives = lock(&state.giving_back);
            while fd.strong_count() > 1 {
                none_gives = wait(&state.given_back, none_gives);
            }
            Ok(())
        };
        // Whoever gives up on it finds the descriptor lent.
        let _ = hop_apart(Kind::Prefetch, work).await;
    }

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
            let (fd, state) = (Arc::downgrade(self.shared_fd()), state.clone());
            let resident = self.resident.clone();
            let work = move || {
                if let Some(fd) = fd.upgrade() {
                    resident.be_loud(fd.as_fd());
                    state.run(&fd);
                    let _gives = lock(&state.giving_back);
                    drop(fd);
                    state.given_back.notify_all();
                }
                state.running.store(false, Ordering::Release);
            };
            self.driver()
                .start_detached(Chore::new(Kind::Prefetch, work), &self.mount());
        }
    }
}

/// Closes a descriptor that is lent, on a blocking thread.
pub(super) fn close_lent(
    prefetch: Arc<Prefetch>,
    fd: Arc<OwnedFd>,
    on_rings: &Arc<OnRings>,
) -> Chore {
    let on_rings = on_rings.clone();
    Chore::kept(Kind::Close, move |steps| {
        // Without an end to its patience it always gets it.
        match prefetch.take_back(fd, None) {
            Ok(fd) => Close::new(fd, on_rings.before_close())
                .block(steps)
                .map(drop),
            Err(_) => Ok(()),
        }
    })
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
