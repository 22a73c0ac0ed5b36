//! Having the memory of a pool registered, as much of it as may be.

#[cfg(target_os = "linux")]
use std::io;

use crate::base::memory::Mapping;
#[cfg(target_os = "linux")]
use crate::base::{errno, pinned::Source, status::lockable_bytes};
use crate::error::Reason;
#[cfg(target_os = "linux")]
use crate::error::reason_of;
use crate::mem::Segment;
#[cfg(target_os = "linux")]
use crate::probe;

/// How memory is to be registered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// The most bytes; zero for none.
    pub(super) bytes_max: usize,
    /// What is registered in whole.
    pub(super) unit: usize,
}

/// A piece of memory, registered as is wished if that can be.
pub(super) fn segment(memory: Mapping, wish: Wish) -> Segment {
    let wished_bytes = memory.bytes().min(wish.bytes_max);
    let wished_bytes = wished_bytes - wished_bytes % wish.unit;
    let mut segment = Segment::new(memory, wished_bytes);
    if wished_bytes > 0 {
        if let Err(reason) = pin(&mut segment, wish) {
            segment.refuse(reason);
        }
    }
    segment
}

/// Registers what it can. The error says why that is not all that was wished for.
#[cfg(target_os = "linux")]
fn pin(segment: &mut Segment, wish: Wish) -> Result<(), Reason> {
    if let Some(reason) = probe::report().ring_reason() {
        return Err(reason.clone());
    }
    // The rest is for rings, whose own memory some kernels count too, and for others of the same user.
    let may_be = lockable_bytes() / 2;
    let pinned = match wish.bytes_max.min(may_be) {
        bytes if bytes < wish.unit => Err(io::Error::from_raw_os_error(errno::ENOMEM)),
        bytes => Source::pin(segment.memory(), wish.unit, bytes),
    };
    let pinned = pinned.map_err(|error| reason(&error))?;
    segment.pinned_by(pinned.source, pinned.bytes);
    match pinned.refused {
        Some(error) => Err(reason(&error)),
        None if pinned.bytes < segment.wished_bytes() => Err(Reason::Memlock),
        None => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn pin(_segment: &mut Segment, _wish: Wish) -> Result<(), Reason> {
    Err(Reason::Platform)
}

/// The tables that rings have are all of a kind that kernels before 5.19 do not know.
#[cfg(target_os = "linux")]
fn reason(error: &io::Error) -> Reason {
    match error.raw_os_error() {
        Some(errno::EINVAL) => Reason::KernelTooOld,
        _ => reason_of(error),
    }
}
