//! The memory of a pool's buffers, as one piece that rings can register.

use std::ptr::NonNull;
#[cfg(target_os = "linux")]
use std::sync::Arc;

use crate::base::memory::Mapping;
#[cfg(target_os = "linux")]
use crate::base::pinned::Source;
use crate::base::{freeing, released};
use crate::error::Reason;

/// Memory that the buffers of a pool are parts of.
///
/// See [`BufPool`](crate::buf::BufPool).
pub struct Segment {
    #[cfg(target_os = "linux")]
    source: Option<Arc<Source>>,
    /// Some until it is dropped.
    memory: Option<Mapping>,
    /// How much of it can be used as registered memory, from its start.
    pinned_bytes: usize,
    wished_bytes: usize,
    refused: Option<Reason>,
}

impl Segment {
    pub(crate) fn new(memory: Mapping, wished_bytes: usize) -> Segment {
        Segment {
            #[cfg(target_os = "linux")]
            source: None,
            memory: Some(memory),
            pinned_bytes: 0,
            wished_bytes,
            refused: None,
        }
    }

    /// Notes that so many bytes of it are pinned, by whom, and before anybody has it.
    #[cfg(target_os = "linux")]
    pub(crate) fn pinned_by(&mut self, source: Source, bytes: usize) {
        self.pinned_bytes = bytes;
        self.source = Some(Arc::new(source));
    }

    /// Notes why not all that was wished for is.
    pub(crate) fn refuse(&mut self, reason: Reason) {
        self.refused = Some(reason);
    }

    pub(crate) fn memory(&self) -> &Mapping {
        self.memory
            .as_ref()
            .expect("it is there until it is dropped")
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.memory().start()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.memory().bytes()
    }

    /// What can be registered: from where on, and how much.
    pub(crate) fn pinned(&self) -> (NonNull<u8>, usize) {
        (self.memory().start(), self.pinned_bytes)
    }

    /// Whether all of these bytes can be used as registered memory.
    pub(crate) fn covers(&self, start: *const u8, bytes: usize) -> bool {
        let from = self.memory().start().addr().get();
        let offset = start.addr().wrapping_sub(from);
        offset <= self.pinned_bytes && bytes <= self.pinned_bytes - offset
    }

    /// Whether what begins there was to be registered.
    pub(crate) fn is_wished(&self, start: NonNull<u8>) -> bool {
        let from = self.memory().start().addr().get();
        start.addr().get() - from < self.wished_bytes
    }

    pub(crate) fn wished_bytes(&self) -> usize {
        self.wished_bytes
    }

    pub(crate) fn refused(&self) -> Option<&Reason> {
        self.refused.as_ref()
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn source(&self) -> Option<&Arc<Source>> {
        self.source.as_ref()
    }
}

impl Drop for Segment {
    /// Rings that have the memory registered let go of it: nobody uses it any more.
    fn drop(&mut self) {
        if self.pinned_bytes > 0 {
            released::note();
        }
        if let Some(memory) = self.memory.take() {
            freeing::free(memory.bytes(), memory);
        }
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment")
            .field("bytes", &self.bytes())
            .field("pinned_bytes", &self.pinned_bytes)
            .finish_non_exhaustive()
    }
}
