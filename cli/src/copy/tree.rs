//! The copy itself: what the library tells of it, as the command tells it.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidegate::fs::{CopyTree, Preserve, Reflink, TreeCopied, TreeEvent, TreeKind};

use super::job::Job;
use super::options::{Durability, When};
use super::plan::Plan;
use crate::explain::line;
use crate::say;

/// Copies all there is. `tells` prints what would be copied, where nothing is.
pub(super) async fn copy(job: &Job, plan: &Plan, jobs: Option<u16>, tells: bool) {
    let copy = configured(job, plan, jobs, |_| false);
    let copy = selected(copy, job).resume(job.options.resume);
    let mut copying = copy.dry_run(job.options.dry_run).start();
    job.keep_leftovers(copying.leftovers());
    while let Some(event) = copying.next_event().await {
        match event {
            TreeEvent::Copied(copied) => note(job, copied),
            TreeEvent::Failed(error) => job.fail_as(&error.path, error.operation, &error.error),
            TreeEvent::Kept(source) => job.skip(&source),
            TreeEvent::Planned(source) if tells => tell(plan, &source),
            _ => {}
        }
    }
    job.progress.counted();
}

/// The copy, or a look at it, as the options have it. `is_settled` is asked in addition to what is excluded.
pub(super) fn configured(
    job: &Job,
    plan: &Plan,
    jobs: Option<u16>,
    is_settled: impl Fn(&Path) -> bool + Send + Sync + 'static,
) -> CopyTree {
    let options = &job.options;
    let reflink = match options.reflink {
        When::Auto => Reflink::Auto,
        When::Always => Reflink::Always,
        When::Never => Reflink::Never,
    };
    let preserve = Preserve {
        owner: job.root,
        times: true,
        xattrs: options.xattrs != When::Never,
    };
    let copy = CopyTree::new(&plan.source, &plan.destination)
        .preserve(preserve)
        .reflink(reflink)
        .keep_holes(options.sparse != When::Never)
        .one_file_system(options.one_file_system)
        .drop_cache(options.no_cache)
        .progress(Arc::clone(&job.progress.bytes))
        .stop(job.stop_flag());
    let copy = match jobs.and_then(|jobs| NonZeroUsize::new(jobs.into())) {
        Some(jobs) => copy.threads(jobs),
        None => copy,
    };
    let copy = match options.sparse {
        When::Always => copy.zeros_to_holes(),
        _ => copy,
    };
    let copy = match options.durability {
        Durability::None => copy,
        Durability::Data => copy.sync_content(),
        Durability::Full => copy.sync_all(),
    };
    let exclusions = options.exclude.clone();
    copy.exclude(move |below| exclusions.iter().any(|one| one.matches(below)) || is_settled(below))
}

/// What stays as it is.
fn selected(copy: CopyTree, job: &Job) -> CopyTree {
    match (job.options.no_clobber, job.options.update) {
        (true, _) => copy.keep_existing(),
        (false, true) => copy.keep_newer(),
        (false, false) => copy,
    }
}

fn note(job: &Job, copied: TreeCopied) {
    let tally = &job.tally;
    let counter = match copied.kind {
        TreeKind::Directory => &tally.directories,
        TreeKind::Fifo => &tally.fifos,
        TreeKind::HardLink => &tally.hard_links,
        TreeKind::Symlink => &tally.symlinks,
        _ => &tally.files,
    };
    counter.fetch_add(1, Ordering::Relaxed);
    if copied.kind == TreeKind::File {
        tally.bytes.fetch_add(copied.bytes, Ordering::Relaxed);
        tally
            .data_bytes
            .fetch_add(copied.data_bytes, Ordering::Relaxed);
        tally
            .reused_bytes
            .fetch_add(copied.reused_bytes, Ordering::Relaxed);
        job.progress.file_done();
        job.progress.found(copied.bytes);
    }
    job.progress.enter(&copied.path);
    job.not_carried(&copied.path, copied.warnings);
}

/// Says what would be made.
fn tell(plan: &Plan, source: &Path) {
    let made = match source.strip_prefix(&plan.source) {
        Ok(below) if below.as_os_str().is_empty() => plan.destination.clone(),
        Ok(below) => plan.destination.join(below),
        Err(_) => source.to_path_buf(),
    };
    say::out(&format!("{}\n", line(&made)));
}
