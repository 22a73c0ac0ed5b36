//! A ring's own table of files: slots that entries open into, read through and close.
//!
//! A file in a slot has no number in the process, so that a chain of entries can name it before it is open, and
//! nobody else can close it or mistake it. Slots are used again; the table is registered once.

use std::sync::{Arc, Mutex};

use io_uring::Submitter;

use crate::base::errno;
use crate::base::limit;
use crate::base::lock::lock;
use crate::base::released;
use crate::limits;

/// The table of one ring, which is made when the first slot is asked for.
#[derive(Default)]
pub(crate) struct DirectTable {
    state: State,
}

#[derive(Default)]
enum State {
    /// Nobody has asked for a slot.
    #[default]
    Unused,
    /// The kernel refused a table of any size.
    Refused,
    Ready(Arc<Slots>),
}

/// The slots that nobody holds.
struct Slots(Mutex<Unheld>);

struct Unheld {
    free: Vec<u32>,
    /// Those that may have a file in them.
    dirty: Vec<u32>,
}

/// A slot that is somebody's until this is dropped.
pub(crate) struct DirectSlot {
    table: Arc<Slots>,
    number: u32,
    /// Whether there may be a file in it.
    is_dirty: bool,
}

impl DirectTable {
    /// A free slot; `None` where all are taken, or the kernel gives no table.
    pub(crate) fn slot(&mut self, submitter: &Submitter<'_>) -> Option<DirectSlot> {
        if let State::Unused = self.state {
            self.state = match register(submitter) {
                Some(count) => State::Ready(Arc::new(Slots::new(count))),
                None => State::Refused,
            };
        }
        let table = self.slots()?.clone();
        let number = lock(&table.0).free.pop()?;
        Some(DirectSlot {
            table,
            number,
            is_dirty: false,
        })
    }

    /// Whether the slot is one of this table.
    pub(crate) fn has(&self, slot: &DirectSlot) -> bool {
        self.slots()
            .is_some_and(|table| Arc::ptr_eq(table, &slot.table))
    }

    /// Closes what is in slots that nobody holds any more. Closing may sleep.
    pub(crate) fn sweep(&mut self, submitter: &Submitter<'_>) {
        let Some(table) = self.slots() else { return };
        let dirty = std::mem::take(&mut lock(&table.0).dirty);
        for number in dirty {
            let cleared = submitter.register_files_update(number, &[-1]).is_ok();
            let mut unheld = lock(&table.0);
            if cleared {
                unheld.free.push(number);
            } else {
                unheld.dirty.push(number);
            }
        }
    }

    fn slots(&self) -> Option<&Arc<Slots>> {
        match &self.state {
            State::Ready(table) => Some(table),
            State::Refused | State::Unused => None,
        }
    }
}

impl Slots {
    fn new(count: u32) -> Slots {
        Slots(Mutex::new(Unheld {
            free: (0..count).rev().collect(),
            dirty: Vec::new(),
        }))
    }
}

impl DirectSlot {
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// An entry that may put a file there is about to be submitted.
    pub(crate) fn note_used(&mut self) {
        self.is_dirty = true;
    }

    /// The kernel says that no file is there.
    pub(crate) fn note_empty(&mut self) {
        self.is_dirty = false;
    }
}

impl Drop for DirectSlot {
    fn drop(&mut self) {
        let mut unheld = lock(&self.table.0);
        if !self.is_dirty {
            return unheld.free.push(self.number);
        }
        unheld.dirty.push(self.number);
        drop(unheld);
        released::note();
    }
}

/// Registers an empty table and says how many slots it has; `None` if the kernel has no such tables, or
/// no room for one. Files there do not count as open files of the process, so the limit on those is heeded here.
fn register(submitter: &Submitter<'_>) -> Option<u32> {
    let allowed = limit::open_files().unwrap_or(u64::MAX);
    let mut count = limits::DIRECT_FILES_MAX.min(allowed) as u32;
    while count > 0 {
        match submitter.register_files_sparse(count) {
            Ok(()) => return Some(count),
            Err(error) => match error.raw_os_error() {
                Some(errno::EINVAL | errno::EMFILE | errno::ENOMEM) => count /= 2,
                _ => return None,
            },
        }
    }
    None
}

#[cfg(test)]
#[path = "direct_tests.rs"]
mod tests;
