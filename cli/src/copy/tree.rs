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
use super::walk::{Pass, Task, Visit};

/// Makes the destination's entries.
pub(super) struct Copy {
    job: Arc<Job>,
    links: Links,
    preserve: Preserve,
    source_id: (u64, u64),
}

impl Copy {
    pub(super) fn new(job: Arc<Job>, source_id: (u64, u64)) -> Copy {
        let preserve = Preserve {
            owner: job.root,
            times: true,
            xattrs: true,
        };
        Copy {
            job,
            links: Links::default(),
            preserve,
            source_id,
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
        match fs::copy_metadata(source, destination, self.preserve).await {
            Ok(warnings) => {
                for (operation, error) in warnings {
                    self.job.fail(source, operation, &error);
                }
                self.job.tally.directories.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => self.job.fail(source, "copy_metadata", &error),
        }
    }

    fn failed(&self, task: &Task, operation: &'static str, error: &io::Error) {
        self.job.fail(&task.source, operation, error);
    }
}
