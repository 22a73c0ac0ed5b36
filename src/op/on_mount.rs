//! What the operations of a mount share among themselves.

use std::sync::Arc;

use super::commit::Commits;
use super::writeback::Ways;

/// See the module.
#[derive(Default)]
pub(super) struct OnMount {
    pub(super) commits: Arc<Commits>,
    pub(super) ways: Arc<Ways>,
}
