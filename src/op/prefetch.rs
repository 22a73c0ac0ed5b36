//! Reading ahead for a sequential reader.
//!
//! The kernel's own readahead is off for our descriptors, because a read that is answered from memory
//! would start it, and starting it can sleep. A lane does it instead: a reader that misses the page
//! cache where its last read ended gets a window ahead of it, doubled up to a bound as it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::file::SharedFile;
use super::unit::Unit;
use crate::driver::op::OnWorker;
use crate::limits;
use crate::opcode::Kind;
use crate::sys::request::{Advice, Advise};

/// Where a reader is and how far ahead of it was read. Races between readers only misplace a window.
#[derive(Default)]
pub(super) struct Prefetch {
    /// Where the last read that was looked at ended.
    next: AtomicU64,
    /// How far was read ahead; zero while no sequential reader is known.
    until: AtomicU64,
    /// The size of the last window.
    window: AtomicU64,
}

impl SharedFile {
    /// A read was answered from memory: keeps ahead of a reader that is known to be sequential.
    pub(super) fn after_hit(self: &Arc<Self>, offset: u64, length: u64) {
        if self.prefetch.until.load(Ordering::Relaxed) != 0 {
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
        if state.next.swap(end, Ordering::Relaxed) != offset {
            state.until.store(0, Ordering::Relaxed);
            state.window.store(0, Ordering::Relaxed);
            return;
        }
        let (until, window) = (
            state.until.load(Ordering::Relaxed),
            state.window.load(Ordering::Relaxed),
        );
        if end + window / 2 <= until {
            return;
        }
        let window = (window * 2).clamp(length * 2, limits::PREFETCH_WINDOW_BYTES.max(length * 2));
        let start = until.max(end);
        state.window.store(window, Ordering::Relaxed);
        state.until.store(start + window, Ordering::Relaxed);
        let request = Advise {
            fd: self.clone(),
            offset: start,
            len: window,
            advice: Advice::WillNeed,
        };
        self.driver().start_detached(
            Unit::on_file(Kind::Advise, request, OnWorker::Async),
            &self.mount(),
        );
    }
}
