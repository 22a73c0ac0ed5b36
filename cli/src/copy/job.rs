//! What the passes of one copy share: the wish to stop, the tally, the errors, the progress bar.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use tidegate::Error;
use tidegate::fs::{TreeLeftovers, Warning};

use super::options::{Options, When};
use super::progress::Progress;
use crate::explain::{cause, line, shortage};
use crate::say;

/// How long a removal at the end may take: a destination that hangs does not hold up the end.
const REMOVAL_BOUND: Duration = Duration::from_secs(2);

/// Errors that the report lists; further ones are counted and shown, but not kept.
const ERRORS_KEPT_MAX: usize = 10_000;

/// Warnings that are shown; further ones are counted.
const WARNINGS_TOLD_MAX: u64 = 20;

/// What a target says of an attribute that it has no place or no room for.
const CANNOT_HOLD: [i32; 4] = [
    Errno::EOPNOTSUPP as i32,
    Errno::E2BIG as i32,
    Errno::ENOSPC as i32,
    Errno::ERANGE as i32,
];

/// One copy.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) progress: Progress,
    pub(super) tally: Tally,
    /// What unfinished files leave.
    leftovers: Mutex<Option<TreeLeftovers>>,
    /// Whether owners are carried over: that takes root.
    pub(super) root: bool,
    pub(super) options: Options,
    /// Sources that were left alone because of what is at their destination.
    skipped: Mutex<HashSet<PathBuf>>,
    /// Whether there was an attribute that the target cannot hold.
    lacks_xattrs: AtomicBool,
    stop: Arc<AtomicBool>,
    errors: Mutex<Errors>,
}

/// What has been made so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) files: AtomicU64,
    pub(super) directories: AtomicU64,
    pub(super) symlinks: AtomicU64,
    pub(super) hard_links: AtomicU64,
    pub(super) fifos: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) data_bytes: AtomicU64,
    /// Of that, what was not written again.
    pub(super) reused_bytes: AtomicU64,
    /// What was left alone because of what is at the destination.
    pub(super) skipped: AtomicU64,
    /// Attributes that the target cannot hold.
    pub(super) warnings: AtomicU64,
}

/// What went wrong.
#[derive(Debug, Default)]
pub(super) struct Errors {
    pub(super) total: u64,
    /// Of them, what was given up because it took too long.
    pub(super) timed_out: u64,
    pub(super) kept: Vec<Failure>,
    paths: HashSet<PathBuf>,
    /// Of them, what was given up.
    hanging: HashSet<PathBuf>,
}

/// One thing that went wrong.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) path: PathBuf,
    pub(super) operation: &'static str,
    pub(super) error: String,
    pub(super) errno: Option<i32>,
    pub(super) timed_out: bool,
}

impl Job {
    pub(super) fn new(progress: Progress, options: Options) -> Job {
        Job {
            progress,
            options,
            skipped: Mutex::default(),
            lacks_xattrs: AtomicBool::new(false),
            tally: Tally::default(),
            leftovers: Mutex::default(),
            root: nix::unistd::geteuid().is_root(),
            stop: Arc::default(),
            errors: Mutex::default(),
        }
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The flag itself, for operations that look at it as they go.
    pub(super) fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    pub(super) fn errors(&self) -> MutexGuard<'_, Errors> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something about this path has failed already.
    pub(super) fn has_failed(&self, path: &Path) -> bool {
        let errors = self.errors();
        errors.total > 0 && errors.paths.contains(path)
    }

    /// Leaves a source alone.
    pub(super) fn skip(&self, source: &Path) {
        self.tally.skipped.fetch_add(1, Ordering::Relaxed);
        let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped.insert(source.to_path_buf());
    }

    /// Whether a source hangs, or was left alone: it is not looked at again to verify it.
    pub(super) fn is_settled(&self, source: &Path) -> bool {
        self.hangs(source) || self.has_skipped(source)
    }

    fn hangs(&self, path: &Path) -> bool {
        let errors = self.errors();
        errors.timed_out > 0 && errors.hanging.contains(path)
    }

    fn has_skipped(&self, source: &Path) -> bool {
        let skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped.contains(source)
    }

    pub(super) fn lacks_xattrs(&self) -> bool {
        self.lacks_xattrs.load(Ordering::Relaxed)
    }

    /// What of an entry's metadata could not be carried over: failures, but for attributes that the target cannot hold.
    pub(super) fn not_carried(&self, path: &Path, warnings: Vec<Warning>) {
        for (operation, error) in warnings {
            let errno = tidegate::raw_os_error(&error);
            let cannot_hold =
                operation == "set_xattr" && errno.is_some_and(|errno| CANNOT_HOLD.contains(&errno));
            if !cannot_hold || self.options.xattrs == When::Always {
                self.fail(path, operation, &error);
                continue;
            }
            self.lacks_xattrs.store(true, Ordering::Relaxed);
            let told = self.tally.warnings.fetch_add(1, Ordering::Relaxed);
            if told < WARNINGS_TOLD_MAX {
                say::err(&format!(
                    "tidegate: warning: {operation} {}: {}; the target cannot hold this attribute",
                    line(path),
                    cause(&error)
                ));
            }
        }
    }

    pub(super) fn keep_leftovers(&self, leftovers: TreeLeftovers) {
        let mut kept = self
            .leftovers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *kept = Some(leftovers);
    }

    /// Removes what unfinished files leave, and returns what could not be removed.
    pub(super) async fn remove_leftovers(&self) -> Vec<PathBuf> {
        let leftovers = {
            let kept = self
                .leftovers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            kept.clone()
        };
        match leftovers {
            Some(leftovers) => leftovers.remove(REMOVAL_BOUND).await,
            None => Vec::new(),
        }
    }

    /// Shows and keeps the failure of an operation; what fails because the copy is being stopped is no failure.
    pub(super) fn fail(&self, path: &Path, operation: &'static str, error: &io::Error) {
        if self.stopped() {
            return;
        }
        let typed = Error::from_io(error);
        let operation = typed
            .and_then(Error::operation)
            .map_or(operation, |kind| kind.name());
        self.fail_as(path, operation, error);
    }

    /// The same, with a name of its own for what was done.
    pub(super) fn fail_as(&self, path: &Path, operation: &'static str, error: &io::Error) {
        if self.stopped() {
            return;
        }
        let typed = Error::from_io(error);
        let errno = tidegate::raw_os_error(error);
        let timed_out = matches!(typed, Some(Error::TimedOut { .. }));
        let text = match shortage(error).or_else(|| advice(error.kind(), errno)) {
            Some(advice) => format!("{}; {advice}", cause(error)),
            None => cause(error),
        };
        self.record(Failure {
            path: path.to_path_buf(),
            operation,
            error: text,
            errno,
            timed_out,
        });
    }

    fn record(&self, failure: Failure) {
        say::err(&format!(
            "tidegate: {} {}: {}",
            failure.operation,
            line(&failure.path),
            failure.error
        ));
        let mut errors = self.errors();
        errors.total += 1;
        errors.timed_out += u64::from(failure.timed_out);
        if errors.kept.len() < ERRORS_KEPT_MAX {
            errors.paths.insert(failure.path.clone());
            if failure.timed_out {
                errors.hanging.insert(failure.path.clone());
            }
            errors.kept.push(failure);
        }
    }
}

fn advice(kind: io::ErrorKind, errno: Option<i32>) -> Option<&'static str> {
    // The kind of this one is newer than the oldest Rust that this builds with.
    if errno == Some(Errno::ENAMETOOLONG as i32) {
        return Some("the name or path is too long here; shorten it");
    }
    Some(match kind {
        io::ErrorKind::PermissionDenied => "run as a user who may, or change the permissions",
        io::ErrorKind::NotFound => "it vanished in the middle; copy again if it should be there",
        io::ErrorKind::FileTooLarge => {
            "the filesystem, or a limit on the length of files (ulimit -f), takes no more: raise it or choose another destination"
        }
        io::ErrorKind::StorageFull => "free space at the destination and copy again",
        io::ErrorKind::QuotaExceeded => "free space within the quota and copy again",
        io::ErrorKind::ReadOnlyFilesystem => "the destination is mounted read-only",
        io::ErrorKind::IsADirectory => "a directory is in the way; remove it and copy again",
        io::ErrorKind::ResourceBusy if errno.is_some() => {
            "something is mounted there or uses it; choose another destination"
        }
        io::ErrorKind::TimedOut => {
            "left out; copy again when it answers, or give it more time (--timeout)"
        }
        io::ErrorKind::Unsupported => "the destination's filesystem cannot keep this",
        _ => return None,
    })
}
