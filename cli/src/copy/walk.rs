//! Walks a tree with bounded concurrency and memory: workers take entries off one stack.
//!
//! What is held at a time: at most [`QUEUE_MAX`] entries that are not directories, the names of the
//! subdirectories next to the paths in work, and one record per directory that is not finished.

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

/// Entries that wait at a time; a worker that lists a directory does further ones itself.
const QUEUE_MAX: usize = 4096;

/// One entry of the tree.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) parent: Option<Arc<Directory>>,
    pub(super) source: PathBuf,
    pub(super) destination: PathBuf,
}

/// A directory that is left when all of its entries are done.
#[derive(Debug)]
pub(super) struct Directory {
    source: PathBuf,
    destination: PathBuf,
    parent: Option<Arc<Directory>>,
    pending: AtomicUsize,
}

impl Drop for Directory {
    /// Drops the chain of parents in a loop: a tree may be deeper than the stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(parent) = next {
            next = Arc::into_inner(parent).and_then(|mut parent| parent.parent.take());
        }
    }
}

/// What is done to the entries of a tree.
pub(super) trait Pass: Send + Sync + 'static {
    /// Whether an entry is not even looked at.
    fn skips(&self, _: &Task) -> bool {
        false
    }
    /// Begins a directory; `false` where it is not to be gone into.
    fn enter(&self, task: &Task, found: &Metadata) -> impl Future<Output = bool> + Send;
    /// Handles anything else.
    fn visit(&self, task: &Task, found: &Metadata) -> impl Future<Output = ()> + Send;
    /// An entry that could not be looked at, or a directory that could not be listed.
    fn failed(&self, task: &Task, operation: &'static str, error: &io::Error);
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
pub(super) struct Walk<P> {
    job: Arc<Job>,
    scope: Arc<Scope>,
    pass: P,
    stack: Mutex<Vec<Task>>,
    /// One permit per task on the stack; closed at the end.
    ready: Semaphore,
    /// Tasks that are not done, whether they wait, are in work or are deferred.
    outstanding: AtomicUsize,
}

impl<P: Pass> Walk<P> {
    pub(super) fn new(job: Arc<Job>, scope: Arc<Scope>, pass: P) -> Arc<Walk<P>> {
        Arc::new(Walk {
            job,
            scope,
            pass,
            stack: Mutex::default(),
            ready: Semaphore::new(0),
            outstanding: AtomicUsize::new(0),
        })
    }

    pub(super) fn pass(&self) -> &P {
        &self.pass
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
        if self.scope.excludes(&task.source) || self.pass.skips(&task) {
            return self.done(task).await;
        }
        let found = match limits::patiently(|| fs::symlink_metadata(&task.source)).await {
            Ok(found) => found,
            Err(error) => {
                self.pass.failed(&task, "metadata", &error);
                return self.done(task).await;
            }
        };
        if found.is_dir() {
            if self.pass.enter(&task, &found).await {
                self.list(&task, self.scope.is_left(&found)).await;
            }
            return self.done(task).await;
        }
        self.pass.visit(&task, &found).await;
        self.done(task).await;
    }

    /// A step within a step: should the entry have become a directory meanwhile, it would contain itself.
    fn boxed_step(&self, task: Task) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.step(task))
    }

    /// Puts the entries of a directory on the stack.
    async fn list(&self, task: &Task, is_left_out: bool) {
        let directory = Arc::new(Directory {
            source: task.source.clone(),
            destination: task.destination.clone(),
            parent: task.parent.clone(),
            pending: AtomicUsize::new(1),
        });
        if let Some(parent) = &task.parent {
            parent.pending.fetch_add(1, Ordering::Relaxed);
        }
        if is_left_out {
            // It is made, and stays empty.
        } else if let Err(error) = self.entries(&directory).await {
            self.pass.failed(task, "read_dir", &error);
        }
        self.leave(Some(directory)).await;
    }

    async fn entries(&self, directory: &Arc<Directory>) -> io::Result<()> {
        let mut entries = limits::patiently(|| fs::read_dir(&directory.source)).await?;
        while let Some(entry) = entries.next_entry().await? {
            if self.job.stopped() {
                break;
            }
            let name = entry.file_name();
            let child = Task {
                parent: Some(Arc::clone(directory)),
                source: directory.source.join(&name),
                destination: directory.destination.join(&name),
            };
            directory.pending.fetch_add(1, Ordering::Relaxed);
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

    async fn done(&self, task: Task) {
        self.leave(task.parent).await;
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ready.close();
        }
    }

    /// Takes one entry off a directory, and leaves those that have no more, from the inside out.
    async fn leave(&self, mut next: Option<Arc<Directory>>) {
        while let Some(directory) = next {
            if directory.pending.fetch_sub(1, Ordering::AcqRel) != 1 || self.job.stopped() {
                return;
            }
            next = directory.parent.clone();
        }
    }
}

async fn is_file(entry: &fs::DirEntry) -> bool {
    entry.file_type().await.is_ok_and(|kind| !kind.is_dir())
}
