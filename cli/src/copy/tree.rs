//! The pass that copies.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidegate::fs::{self, Preserve};

use super::entry;
use super::job::Job;
use super::links::{Claim, Links};
use super::options::{Durability, When};
use super::walk::{Pass, Task, Visit};
use crate::explain::line;
use crate::say;

/// Makes the destination's entries.
pub(super) struct Copy {
    job: Arc<Job>,
    links: Links,
    preserve: Preserve,
    source_id: (u64, u64),
    tells: bool,
}

impl Copy {
    /// `tells` prints what would be copied, where nothing is.
    pub(super) fn new(job: Arc<Job>, source_id: (u64, u64), tells: bool) -> Copy {
        let preserve = Preserve {
            owner: job.root,
            times: true,
            xattrs: job.options.xattrs != When::Never,
        };
        Copy {
            job,
            links: Links::default(),
            preserve,
            source_id,
            tells,
        }
    }

    /// Makes a directory that its user may write to; it gets the source's mode when it is full.
    async fn make_directory(&self, destination: &Path) -> io::Result<()> {
        let error = match fs::create_dir(destination).await {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => error,
            Err(error) => return Err(error),
        };
        let there = fs::symlink_metadata(destination).await?;
        if !there.is_dir() {
            return Err(error);
        }
        if (there.dev(), there.ino()) == self.source_id {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the destination is SRC itself; choose another DST",
            ));
        }
        if !self.job.root && there.mode() & 0o700 != 0o700 {
            let mode = there.mode() & 0o7777 | 0o700;
            fs::set_permissions(destination, std::fs::Permissions::from_mode(mode)).await?;
        }
        Ok(())
    }

    /// Says what would be made.
    fn tell(&self, task: &Task) {
        if self.tells {
            say::out(&format!("{}\n", line(&task.destination)));
        }
    }

    /// Copies an entry that is no directory, and tells the other names of the same file.
    async fn first(&self, task: &Task, found: &Metadata) -> Visit {
        let id = (found.dev(), found.ino());
        let made = entry::copy(&self.job, self.preserve, task, found).await;
        if found.nlink() < 2 {
            return Visit::Done(Vec::new());
        }
        Visit::Done(self.links.made(id, made.then(|| task.destination.clone())))
    }
}

impl Pass for Copy {
    async fn enter(&self, task: &Task, _: &Metadata) -> bool {
        if self.job.options.dry_run {
            self.tell(task);
            return true;
        }
        match self.make_directory(&task.destination).await {
            Ok(()) => true,
            Err(error) => {
                self.job.fail(&task.source, "create_dir", &error);
                false
            }
        }
    }

    async fn visit(&self, task: &Task, found: &Metadata) -> Visit {
        self.job.progress.enter(&task.source);
        if entry::stays(&self.job.options, task, found).await {
            self.job.skip(&task.source);
            return Visit::Done(Vec::new());
        }
        if self.job.options.dry_run {
            self.tell(task);
            return Visit::Done(Vec::new());
        }
        if found.nlink() < 2 {
            return self.first(task, found).await;
        }
        match self
            .links
            .claim((found.dev(), found.ino()), found.nlink(), task)
        {
            Claim::First => self.first(task, found).await,
            Claim::Waits => Visit::Deferred,
            Claim::Link(made) => {
                // Too many links, or another filesystem below the destination: a file of its own is whole too.
                if entry::hard_link(&self.job, &made, &task.destination)
                    .await
                    .is_ok()
                {
                    self.job.tally.hard_links.fetch_add(1, Ordering::Relaxed);
                } else {
                    entry::copy(&self.job, self.preserve, task, found).await;
                }
                Visit::Done(Vec::new())
            }
        }
    }

    async fn leave(&self, source: &Path, destination: &Path) {
        if self.job.options.dry_run {
            return;
        }
        match fs::copy_metadata(source, destination, self.preserve).await {
            Ok(warnings) => {
                self.job.not_carried(source, warnings);
                self.job.tally.directories.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => self.job.fail(source, "copy_metadata", &error),
        }
        if self.job.options.durability == Durability::Full {
            self.job.sync_directory(destination).await;
        }
    }

    fn failed(&self, task: &Task, operation: &'static str, error: &io::Error) {
        self.job.fail(&task.source, operation, error);
    }
}
