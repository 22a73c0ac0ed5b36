//! The pass that reads source and destination back and compares them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate::fs::{TreeEvent, TreeKind};

use super::job::Job;
use super::plan::Plan;
use super::tree;

/// What was compared and found the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verified {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) took: Duration,
}

/// Compares all but what has failed, and is reported already, and what was left alone.
pub(super) async fn verify(job: &Arc<Job>, plan: &Plan, jobs: Option<u16>) -> Verified {
    let begun = Instant::now();
    let mut verified = Verified {
        entries: 0,
        bytes: 0,
        took: Duration::ZERO,
    };
    if !job.is_settled(&plan.source) {
        let (settled, root) = (Arc::clone(job), plan.source.clone());
        let copy = tree::configured(job, plan, jobs, move |below| {
            settled.is_settled(&root.join(below))
        });
        let mut comparing = copy
            .verify(true)
            .may_lack_xattrs(job.lacks_xattrs())
            .start();
        while let Some(event) = comparing.next_event().await {
            match event {
                TreeEvent::Verified(same) => {
                    verified.entries += 1;
                    verified.bytes += same.bytes;
                    if same.kind == TreeKind::File {
                        job.progress.file_done();
                    }
                    job.progress.enter(&same.path);
                }
                // The copy has told it.
                TreeEvent::Failed(error) if job.has_failed(&error.path) => {}
                TreeEvent::Failed(error) => {
                    job.fail_as(&error.path, error.operation, &error.error);
                }
                _ => {}
            }
        }
    }
    verified.took = begun.elapsed();
    verified
}
