//! Where a ring has the memory of a request's buffers registered.

use std::sync::Arc;

use crate::mem::{IoBuf, Segment};
use crate::sys::linux::known_codes;
use crate::sys::linux::sqe::code;
use crate::sys::linux::tables::Tables;

/// The place in the ring's table, if the buffer is of registered memory, the ring has it, and the kernel has the
/// opcode that names it.
pub(super) fn place<B: IoBuf>(tables: &mut dyn Tables, buf: &B, opcode: u8) -> Option<u16> {
    let segment = buf.registered()?;
    let is_covered = segment.covers(buf.stable_ptr(), buf.bytes_total());
    place_of(tables, segment, is_covered, opcode)
}

/// The same for several buffers to read into, which have to be of one piece of memory.
pub(super) fn place_to_read<B: IoBuf>(tables: &mut dyn Tables, bufs: &[B]) -> Option<u16> {
    place_of_all(tables, bufs, code::READV_FIXED)
}

/// The same for several buffers to write from.
pub(super) fn place_to_write<B: IoBuf>(tables: &mut dyn Tables, bufs: &[B]) -> Option<u16> {
    place_of_all(tables, bufs, code::WRITEV_FIXED)
}

fn place_of_all<B: IoBuf>(tables: &mut dyn Tables, bufs: &[B], opcode: u8) -> Option<u16> {
    let segment = bufs.first()?.registered()?;
    let is_one = |buf: &B| {
        buf.registered()
            .is_some_and(|other| Arc::ptr_eq(segment, other))
    };
    if !bufs.iter().all(is_one) {
        tables.refuse("buffers of several pieces of memory");
        return None;
    }
    let is_covered = |buf: &B| segment.covers(buf.stable_ptr(), buf.bytes_total());
    place_of(tables, segment, bufs.iter().all(is_covered), opcode)
}

fn place_of(
    tables: &mut dyn Tables,
    segment: &Arc<Segment>,
    is_covered: bool,
    opcode: u8,
) -> Option<u16> {
    if !known_codes::has(opcode) {
        tables.refuse("the kernel lacks the opcode");
        return None;
    }
    if is_covered {
        return tables.fixed(segment);
    }
    tables.refuse("registered memory refused");
    None
}
