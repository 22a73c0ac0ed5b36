//! The memory of a pool's buffers, as one piece that rings can register.

#[cfg(target_os = "linux")]
use std::io;
use std::ptr::NonNull;
#[cfg(target_os = "linux")]
use std::sync::Arc;

#[cfg(target_os = "linux")]
use crate::probe;
use crate::probe::Reason;
#[cfg(target_os = "linux")]
use crate::sys::errno;
#[cfg(target_os = "linux")]
use crate::sys::linux::{fixed::Source, probe::lockable_bytes};
use crate::sys::memory::Mapping;
use crate::sys::{freeing, released};

/// How memory is to be registered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// The most bytes; zero for none.
    pub(super) bytes_max: usize,
    /// What is registered in whole.
    pub(super) unit: usize,
}

/// Memory that the buffers of a pool are parts of.
///
/// See [`BufPool`](super::BufPool).
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
    pub(super) fn new(memory: Mapping, wish: Wish) -> Segment {
        let wished_bytes = memory.bytes().min(wish.bytes_max);
        let wished_bytes = wished_bytes - wished_bytes % wish.unit;
        let mut segment = Segment {
            #[cfg(target_os = "linux")]
            source: None,
            memory: Some(memory),
            pinned_bytes: 0,
            wished_bytes,
            refused: None,
        };
        if wished_bytes > 0 {
            segment.refused = segment.pin(wish).err();
        }
        segment
    }

    /// Registers what it can. The error says why that is not all that was wished for.
    #[cfg(target_os = "linux")]
    fn pin(&mut self, wish: Wish) -> Result<(), Reason> {
        if let Some(reason) = probe::report().ring_reason() {
            return Err(reason.clone());
        }
        // The rest is for rings, whose own memory some kernels count too, and for others of the same user.
        let may_be = lockable_bytes() / 2;
        let pinned = match wish.bytes_max.min(may_be) {
            bytes if bytes < wish.unit => Err(io::Error::from_raw_os_error(errno::ENOMEM)),
            bytes => Source::pin(self.memory(), wish.unit, bytes),
        };
        let pinned = pinned.map_err(|error| reason(&error))?;
        self.pinned_bytes = pinned.bytes;
        self.source = Some(Arc::new(pinned.source));
        match pinned.refused {
            Some(error) => Err(reason(&error)),
            None if pinned.bytes < self.wished_bytes => Err(Reason::Memlock),
            None => Ok(()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn pin(&mut self, _wish: Wish) -> Result<(), Reason> {
        Err(Reason::Platform)
    }

    fn memory(&self) -> &Mapping {
        self.memory
            .as_ref()
            .expect("it is there until it is dropped")
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.memory().start()
    }

    pub(super) fn bytes(&self) -> usize {
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
    pub(super) fn is_wished(&self, start: NonNull<u8>) -> bool {
        let from = self.memory().start().addr().get();
        start.addr().get() - from < self.wished_bytes
    }

    pub(super) fn wished_bytes(&self) -> usize {
        self.wished_bytes
    }

    pub(super) fn refused(&self) -> Option<&Reason> {
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

/// The tables that rings have are all of a kind that kernels before 5.19 do not know.
#[cfg(target_os = "linux")]
fn reason(error: &io::Error) -> Reason {
    match error.raw_os_error() {
        Some(errno::EINVAL) => Reason::KernelTooOld,
        _ => probe::reason(error),
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
