//! What a caller asks for, and what it is told.

use std::time::Duration;

use crate::limits;
use crate::sys::written::WritebackClass;

/// How the dirty pages of a sequential writer are kept few.
///
/// See [`File::with_writeback`](crate::fs::File::with_writeback).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct WritebackPolicy {
    pub(super) chunk_bytes: u64,
    pub(super) chunk_bytes_min: u64,
    pub(super) chunk_bytes_max: u64,
    pub(super) drops: bool,
    pub(super) waits: bool,
    pub(super) wait_limit: Duration,
    pub(super) rest: Duration,
    pub(super) no_cache: bool,
}

impl Default for WritebackPolicy {
    fn default() -> WritebackPolicy {
        WritebackPolicy::new()
    }
}

impl WritebackPolicy {
    /// Chunks of 32 MiB at first, of 4 to 256 MiB later, that are waited for and leave the page cache.
    ///
    /// See [`File::with_writeback`](crate::fs::File::with_writeback).
    pub fn new() -> WritebackPolicy {
        WritebackPolicy {
            chunk_bytes: limits::WRITEBACK_CHUNK_BYTES,
            chunk_bytes_min: limits::WRITEBACK_CHUNK_BYTES_MIN,
            chunk_bytes_max: limits::WRITEBACK_CHUNK_BYTES_MAX,
            drops: true,
            waits: true,
            wait_limit: limits::WRITEBACK_WAIT_MAX,
            rest: limits::WRITEBACK_REST,
            no_cache: false,
        }
    }

    /// How large chunks are at first, from 4 to 256 MiB; what is less or more is taken for that bound.
    ///
    /// See [`File::with_writeback`](crate::fs::File::with_writeback).
    pub fn chunk_bytes(mut self, bytes: u64) -> WritebackPolicy {
        self.chunk_bytes = bytes.clamp(
            limits::WRITEBACK_CHUNK_BYTES_MIN,
            limits::WRITEBACK_CHUNK_BYTES_MAX,
        );
        self
    }

    /// Chunks stay as large as they are at first, as long as the disk answers.
    ///
    /// See [`File::with_writeback`](crate::fs::File::with_writeback).
    pub fn fixed_chunk(mut self) -> WritebackPolicy {
        (self.chunk_bytes_min, self.chunk_bytes_max) = (self.chunk_bytes, self.chunk_bytes);
        self
    }

    /// Whether a chunk leaves the page cache once it is written out; by default it does. Not for files that are
    /// read again soon, or patched after they were written.
    ///
    /// See [`File::with_writeback`](crate::fs::File::with_writeback).
    pub fn drop_cache(mut self, drops: bool) -> WritebackPolicy {
        self.drops = drops;
        self
    }

    /// Whether the end of each write-out is waited for, which keeps dirty pages under two chunks; by default it is.
    /// Without it, write-outs are only begun early.
    ///
    /// See [`File::with_writeback`](crate::fs::File::with_writeback).
    pub fn wait(mut self, waits: bool) -> WritebackPolicy {
        self.waits = waits;
        self
    }

    /// How long the writer waits for one write-out at most, 30 s by default, before it goes on without.
    ///
    /// See [`File::with_writeback`](crate::fs::File::with_writeback).
    pub fn wait_limit(mut self, limit: Duration) -> WritebackPolicy {
        self.wait_limit = limit;
        self
    }

    /// On macOS, whether what is written and read goes by the page cache (F_NOCACHE), which is all that there is of
    /// bounded writeback there; by default it does not. Elsewhere nothing.
    ///
    /// See [`File::with_writeback`](crate::fs::File::with_writeback).
    pub fn no_cache(mut self, no_cache: bool) -> WritebackPolicy {
        self.no_cache = no_cache;
        self
    }

    /// How long no write-out begins after one that did not end in that time, 60 s by default, before another one
    /// tries whether the disk is well again.
    ///
    /// See [`File::with_writeback`](crate::fs::File::with_writeback).
    pub fn rest(mut self, rest: Duration) -> WritebackPolicy {
        self.rest = rest;
        self
    }
}

/// What was written out of a file, and how long that took.
///
/// See [`File::with_writeback`](crate::fs::File::with_writeback).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WritebackStats {
    /// What kind of filesystem it is; not known before the first chunk.
    pub class: WritebackClass,
    /// Whether anything is written out: not in memory, for direct I/O, and outside of Linux.
    pub is_active: bool,
    /// Whether large writes leave the page cache by themselves (RWF_DONTCACHE, Linux 6.14), which is tried on each
    /// mount in turn with the other way, and taken where it is the quicker.
    pub is_uncached: bool,
    /// Whether write-outs are not waited for, as one did not end in time.
    pub is_degraded: bool,
    /// How often that came to be.
    pub degradations: u64,
    /// The size of a chunk now.
    pub chunk_bytes: u64,
    /// How often it changed.
    pub resizes: u64,
    /// Chunks whose write-out began, and ended well, failed, or was left to the kernel.
    pub started: u64,
    /// See [`started`](WritebackStats::started).
    pub finished: u64,
    /// See [`started`](WritebackStats::started).
    pub failed: u64,
    /// See [`started`](WritebackStats::started).
    pub skipped: u64,
    /// Bytes whose write-out began.
    pub bytes_started: u64,
    /// Bytes that were written out.
    pub bytes_finished: u64,
    /// Bytes that were written, or are being, and are not known to be written out.
    pub bytes_dirty: u64,
    /// The most that those were.
    pub bytes_dirty_peak: u64,
    /// How long write-outs were waited for, in all.
    pub waited: Duration,
    /// The longest of these waits.
    pub waited_max: Duration,
    /// How often the writer itself had to wait for one.
    pub held_back: u64,
}
