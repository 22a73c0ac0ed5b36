//! Who has an operation.

use super::load::Share;
use crate::observe;

/// Who has an operation, for its cancel.
pub(crate) trait Way: Send + Sync {
    /// What it is called from outside.
    fn name(&self) -> observe::Way;

    /// What an operation counts as there when it is stuck.
    fn share(&self) -> Share;

    /// Delivers a cancel to the ring that has the operation (INV-11), without waiting for anything.
    fn cancel(&self, user_data: u64);

    /// Whether a cancel reaches an operation that is one call: it does not reach threads, which look at the operation's
    /// own mark instead.
    fn hears_cancels(&self) -> bool {
        true
    }

    /// Whether the fake backend has it, so that no disk has anything to do with it.
    fn is_no_disk(&self) -> bool {
        false
    }
}
