//! Whether there is room for one more operation, or it would only get stuck as well.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::cell::Job;
use super::core::Driver;
use super::group::{Group, Share};
use super::limited;
use crate::error::{Error, LeftBehind};
use crate::limits;
use crate::mounts::Mount;
use crate::opcode::Kind;

impl Driver {
    /// Whether something may begin that nothing ends once it has: not under a limit that is passed, nor on a
    /// mount that does not answer or has too much that is stuck.
    pub(crate) fn may_begin(&self, kind: Kind, mount: &Arc<Mount>) -> Result<(), Error> {
        let group = self.group(mount);
        self.admits(&group, kind, true, || None)?;
        self.has_room(&group, kind, Share::Thread)
    }

    /// Whether an operation may begin: not under a limit that is passed, if a caller waits for it, nor on a
    /// mount that does not answer.
    pub(super) fn admits(
        &self,
        group: &Group,
        kind: Kind,
        heard: bool,
        path: impl FnOnce() -> Option<PathBuf>,
    ) -> Result<(), Error> {
        if let (true, Some(why)) = (heard, limited::refused()) {
            let left = LeftBehind::NothingHappened;
            return Err(why.error(Some(kind), path(), Duration::ZERO, left));
        }
        group.admits(kind)
    }

    /// Refuses what would only be stuck as well, there where it would go.
    pub(super) fn check_room(
        &self,
        group: &Group,
        job: &Arc<dyn Job>,
        share: Share,
    ) -> Result<(), Error> {
        if job.is_kept() {
            return Ok(());
        }
        self.has_room(group, job.kind(), share)
    }

    fn has_room(&self, group: &Group, operation: Kind, share: Share) -> Result<(), Error> {
        let stuck = group.stuck_count(share);
        let is_full = match share {
            Share::Lane(_) => stuck >= limits::KERNEL_WORKERS_MAX as usize,
            Share::Other => false,
            Share::Thread => {
                let all = self.stuck_threads.load(Ordering::SeqCst);
                stuck > 0 && all >= self.settings().stuck_threads_max
            }
        };
        if !is_full {
            return Ok(());
        }
        Err(Error::Saturated {
            operation,
            mount_point: group.mount().point(),
            stuck,
        })
    }
}
