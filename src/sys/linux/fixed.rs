//! Memory that rings have registered, so that the kernel needs not look up its pages for each operation.
//!
//! The pages of a [`Segment`] are pinned once, by its [`Source`]. Rings that do operations take them over from it, which
//! costs no further locked memory. Where the kernel cannot do that (before Linux
//! 6.13), each ring pins them itself.
#![allow(unsafe_code, reason = "registers memory with rings")]

use std::io;
use std::sync::{Arc, Weak};

use io_uring::Submitter;
use io_uring::types::CloneBuffersFlags;

use crate::base::clock::coarse_ms;
use crate::base::errno;
use crate::base::pinned::{Source, register};
use crate::limits;
use crate::mem::Segment;

/// Empties a place of a ring's table. What is in flight keeps the pages pinned until it is over.
fn unregister(submitter: &Submitter<'_>, place: u32) -> io::Result<()> {
    let nothing = libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    };
    // SAFETY: there is no memory.
    unsafe { submitter.register_buffers_update(place, &[nothing], None) }
}

/// What is at a place of a ring's table.
struct Place {
    segment: Weak<Segment>,
    _source: Option<Arc<Source>>,
}

/// The memory that one ring has registered.
#[derive(Default)]
pub(crate) struct FixedTable {
    is_tried: bool,
    /// By place.
    places: Vec<Option<Place>>,
    /// What could not be registered, and when, in coarse milliseconds; tried again some time later, as the limit is
    /// shared with other processes, or when something was let go of.
    refused: Vec<(Weak<Segment>, u64)>,
}

impl FixedTable {
    /// Where the ring has this memory, registering it if need be.
    pub(crate) fn place(
        &mut self,
        submitter: &Submitter<'_>,
        segment: &Arc<Segment>,
    ) -> Option<u16> {
        let is_it = |known: &Weak<Segment>| std::ptr::eq(known.as_ptr(), Arc::as_ptr(segment));
        let mut places = self.places.iter();
        let is_at = |place: &Place| is_it(&place.segment);
        if let Some(place) = places.position(|known| known.as_ref().is_some_and(is_at)) {
            return Some(place as u16);
        }
        let again_ms = limits::REGISTER_AGAIN_AFTER.as_millis() as u64;
        let is_recent = |at_ms: u64| coarse_ms() < at_ms + again_ms;
        self.refused
            .retain(|(known, at_ms)| known.strong_count() > 0 && is_recent(*at_ms));
        if self.refused.iter().any(|(known, _)| is_it(known)) {
            return None;
        }
        self.make(submitter);
        let place = self.enter(submitter, segment);
        match place {
            Some(place) => {
                self.places[place] = Some(Place {
                    segment: Arc::downgrade(segment),
                    _source: segment.source().cloned(),
                });
            }
            None => self.refuse(segment),
        }
        Some(place? as u16)
    }

    /// Lets go of memory that nobody uses any more: no operation names it, as each holds the buffers it uses
    /// (INV-1).
    pub(crate) fn sweep(&mut self, submitter: &Submitter<'_>) {
        let is_gone = |known: &Place| known.segment.strong_count() == 0;
        for (place, known) in self.places.iter_mut().enumerate() {
            // One that stays registered keeps its place.
            if known.as_ref().is_some_and(is_gone) && unregister(submitter, place as u32).is_ok() {
                *known = None;
            }
        }
        self.refused.clear();
    }

    /// An empty table, where the kernel has such (Linux 5.19).
    fn make(&mut self, submitter: &Submitter<'_>) {
        if std::mem::replace(&mut self.is_tried, true) {
            return;
        }
        let places = limits::FIXED_SEGMENTS_MAX;
        if submitter.register_buffers_sparse(places as u32).is_ok() {
            self.places = (0..places).map(|_| None).collect();
        }
    }

    /// Taken over from the segment's own ring, or else registered anew.
    fn enter(&self, submitter: &Submitter<'_>, segment: &Segment) -> Option<usize> {
        let used = self.places.iter().rposition(Option::is_some);
        let behind = used.map_or(0, |last| last + 1);
        // Some kernels lose what is behind a place that is taken over, so that must be nothing.
        if behind < self.places.len() && clone(submitter, behind as u32, segment).is_ok() {
            return Some(behind);
        }
        let free = self.places.iter().position(Option::is_none)?;
        let (start, bytes) = segment.pinned();
        if bytes > limits::FIXED_ANEW_BYTES_MAX {
            return None;
        }
        // SAFETY: the kernel pins the pages for as long as it has them registered. Operations name the place only
        // with buffers that hold the segment (INV-1).
        let registered = unsafe { register(submitter, free as u32, start, bytes) };
        registered.is_ok().then_some(free)
    }

    fn refuse(&mut self, segment: &Arc<Segment>) {
        if self.refused.len() < limits::FIXED_SEGMENTS_MAX {
            self.refused.push((Arc::downgrade(segment), coarse_ms()));
        }
    }
}

fn clone(submitter: &Submitter<'_>, place: u32, segment: &Segment) -> io::Result<()> {
    let ring = segment
        .source()
        .and_then(|source| source.number())
        .ok_or_else(|| io::Error::from_raw_os_error(errno::EINVAL))?;
    let replace = CloneBuffersFlags::DST_REPLACE;
    submitter.register_buffers_clone_offset(ring, 0, place, 1, replace)
}

#[cfg(test)]
#[path = "fixed_tests.rs"]
mod tests;
