//! Walks a tree that was copied, to verify it, with bounded concurrency and memory: workers take entries off one stack.
//!
//! What is held at a time: at most [`QUEUE_MAX`] entries that are not directories, and the names of the
//! subdirectories next to the paths in work.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tidegate::fs;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::job::Job;
use super::limits;
use super::options::{Exclusion, Options};
use super::verify::Verify;

/// Entries that wait at a time; a worker that lists a directory does further ones itself.
const QUEUE_MAX: usize = 4096;

/// One entry of the tree.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) source: PathBuf,
    pub(super) destination: PathBuf,
}

/// Which entries of a tree are walked.
pub(super) struct Scope {
    exclusions: Vec<Exclusion>,
    root: PathBuf,
    /// The only device, if there is to be one.
    device: Option<u64>,
}

impl Scope {
    pub(super) fn new(options: &Options, root: &std::path::Path, device: u64) -> Scope {
        Scope {
            exclusions: options.exclude.clone(),
            root: root.to_path_buf(),
            device: options.one_file_system.then_some(device),
        }
    }

    fn excludes(&self, path: &std::path::Path) -> bool {
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        self.exclusions
            .iter()
            .any(|exclusion| exclusion.matches(below))
    }

    /// Whether this directory is another filesystem's.
    fn is_left(&self, found: &Metadata) -> bool {
        self.device.is_some_and(|device| device != found.dev())
    }
}

/// One walk.
pub(super) struct Walk {
    job: Arc<Job>,
    scope: Scope,
    verify: Verify,
    stack: Mutex<Vec<Task>>,
    /// One permit per task on the stack; closed at the end.
    ready: Semaphore,
    /// Tasks that are not done, whether they wait or are in work.
    outstanding: AtomicUsize,
}

impl Walk {
    pub(super) fn new(job: Arc<Job>, scope: Scope, verify: Verify) -> Arc<Walk> {
        Arc::new(Walk {
            job,
            scope,
            verify,
            stack: Mutex::default(),
            ready: Semaphore::new(0),
            outstanding: AtomicUsize::new(0),
        })
    }

    pub(super) fn verify(&self) -> &Verify {
        &self.verify
    }

    /// Walks the tree at `root` with `jobs` entries in work at a time; ends early where the job is stopped.
    pub(super) async fn run(self: &Arc<Self>, root: Task, jobs: u16) {
        self.outstanding.store(1, Ordering::Relaxed);
        self.push(vec![root]);
        let mut workers = JoinSet::new();
        for _ in 0..jobs {
            let walk = Arc::clone(self);
            workers.spawn(async move { walk.work().await });
        }
        while let Some(ended) = workers.join_next().await {
            if let Err(error) = ended {
                self.ready.close();
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    async fn work(&self) {
        while let Ok(permit) = self.ready.acquire().await {
            permit.forget();
            if self.job.stopped() {
                self.ready.close();
                return;
            }
            let task = self
                .stack
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            if let Some(task) = task {
                self.step(task).await;
            }
        }
    }

    fn push(&self, mut tasks: Vec<Task>) {
        let count = tasks.len();
        self.stack
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(&mut tasks);
        self.ready.add_permits(count);
    }

    fn is_full(&self) -> bool {
        self.stack
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
            >= QUEUE_MAX
    }

    async fn step(&self, task: Task) {
        if !self.scope.excludes(&task.source) && !self.verify.skips(&task) {
            self.look_at(&task).await;
        }
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ready.close();
        }
    }

    async fn look_at(&self, task: &Task) {
        let found = match limits::patiently(|| fs::symlink_metadata(&task.source)).await {
            Ok(found) => found,
            Err(error) => return self.job.fail(&task.source, "metadata", &error),
        };
        let is_same = self.verify.check(task, &found).await;
        // One of another filesystem was made, and stays empty.
        if !found.is_dir() || !is_same || self.scope.is_left(&found) {
            return;
        }
        if let Err(error) = self.entries(task).await {
            self.job.fail(&task.source, "read_dir", &error);
        }
    }

    /// A step within a step: should the entry have become a directory meanwhile, it would contain itself.
    fn boxed_step(&self, task: Task) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.step(task))
    }

    /// Puts the entries of a directory on the stack.
    async fn entries(&self, directory: &Task) -> io::Result<()> {
        let mut entries = limits::patiently(|| fs::read_dir(&directory.source)).await?;
        while let Some(entry) = entries.next_entry().await? {
            if self.job.stopped() {
                break;
            }
            let name = entry.file_name();
            let child = Task {
                source: directory.source.join(&name),
                destination: directory.destination.join(&name),
            };
            self.outstanding.fetch_add(1, Ordering::Relaxed);
            // Its kind is asked for only where it matters: one that is stuck would hold up the listing.
            if self.is_full() && is_file(&entry).await {
                self.boxed_step(child).await;
            } else {
                self.push(vec![child]);
            }
        }
        Ok(())
    }
}

async fn is_file(entry: &fs::DirEntry) -> bool {
    entry.file_type().await.is_ok_and(|kind| !kind.is_dir())
}
