//! The pass that counts ahead of the copy, so that the bar knows how much there is.

use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::job::Job;
use super::walk::{Pass, Task, Visit};

/// Entries looked at at a time: few, since the copy itself is what the disk is for.
pub(super) const JOBS: u16 = 4;

/// Adds up files and bytes.
pub(super) struct Count {
    job: Arc<Job>,
}

impl Count {
    pub(super) fn new(job: Arc<Job>) -> Count {
        Count { job }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.job.progress.counted();
    }
}

impl Pass for Count {
    /// What hangs would hang again, and is reported already.
    fn skips(&self, task: &Task) -> bool {
        self.job.has_failed(&task.source)
    }

    async fn enter(&self, _: &Task, _: &Metadata) -> bool {
        true
    }

    async fn visit(&self, _: &Task, found: &Metadata) -> Visit {
        if found.is_file() {
            self.job.progress.found(found.len());
        }
        Visit::Done(Vec::new())
    }

    async fn leave(&self, _: &Path, _: &Path) {}

    /// The copy meets the same failure and reports it.
    fn failed(&self, _: &Task, _: &'static str, _: &io::Error) {}
}
