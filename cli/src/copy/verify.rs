//! The pass that reads source and destination back and compares them.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate::fs::{self, File, Follow};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::granularity;
use super::job::Job;
use super::options::When;
use super::walk::Task;

/// Files up to this size are read in one piece.
const WHOLE_BYTES_MAX: u64 = 256 << 10;
/// Larger ones are read in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// What was compared and found the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verified {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) took: Duration,
}

/// Compares the destination's entries with the source's.
pub(super) struct Verify {
    job: Arc<Job>,
    entries: AtomicU64,
    bytes: AtomicU64,
    /// The destination's inode for each of the source's with several names.
    twins: Mutex<HashMap<(u64, u64), (u64, u64)>>,
}

impl Verify {
    pub(super) fn new(job: Arc<Job>) -> Verify {
        Verify {
            job,
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            twins: Mutex::default(),
        }
    }

    pub(super) fn verified(&self, took: Duration) -> Verified {
        Verified {
            entries: self.entries.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            took,
        }
    }

    /// Whether an entry is not even looked at: what hangs would hang again, and is reported already.
    pub(super) fn skips(&self, task: &Task) -> bool {
        self.job.has_failed(&task.source) || self.job.has_skipped(&task.source)
    }

    /// Compares all but a directory's entries; reports what differs. Whether nothing does.
    pub(super) async fn check(&self, task: &Task, found: &Metadata) -> bool {
        if !found.is_dir() {
            self.job.progress.enter(&task.source);
        }
        match self.compare(task, found).await {
            Ok(None) => {
                self.entries.fetch_add(1, Ordering::Relaxed);
                return true;
            }
            Ok(Some(difference)) if self.job.stopped() => drop(difference),
            Ok(Some(difference)) => self.job.fail_with(&task.source, "verify", difference),
            Err(error) => self.job.fail(&task.source, "verify", &error),
        }
        false
    }

    /// The first difference between source and destination.
    async fn compare(&self, task: &Task, found: &Metadata) -> io::Result<Option<String>> {
        let made = fs::symlink_metadata(&task.destination).await?;
        if let Some(difference) = differing_attributes(found, &made, self.job.root) {
            return Ok(Some(format!(
                "{} differs from its copy: {difference}",
                found_kind(found)
            )));
        }
        if found.nlink() > 1 && !found.is_dir() && !self.is_twin(found, &made) {
            return Ok(Some(
                "two names of one file are two files in the copy".into(),
            ));
        }
        if found.is_symlink() {
            if fs::read_link(&task.source).await? != fs::read_link(&task.destination).await? {
                return Ok(Some("the link points elsewhere in the copy".into()));
            }
        } else if found.is_file() {
            if self.hash(&task.source, found.len()).await?
                != self.hash(&task.destination, made.len()).await?
            {
                return Ok(Some(
                    "the content differs from its copy; do not trust it, and check memory and disk"
                        .into(),
                ));
            }
            self.bytes.fetch_add(found.len(), Ordering::Relaxed);
            self.job
                .progress
                .bytes
                .fetch_add(found.len(), Ordering::Relaxed);
            self.job.progress.file_done();
        }
        if self.job.options.xattrs == When::Never {
            return Ok(None);
        }
        let mut expected = xattrs(&task.source).await?;
        let there = xattrs(&task.destination).await?;
        if self.job.lacks_xattrs() {
            // That was said when they were set.
            expected.retain(|name, _| there.contains_key(name));
        }
        if expected != there {
            return Ok(Some("the extended attributes differ in the copy".into()));
        }
        Ok(None)
    }

    /// Whether all names of one source file are names of one file in the copy.
    fn is_twin(&self, found: &Metadata, made: &Metadata) -> bool {
        let twin = (made.dev(), made.ino());
        let mut twins = self.twins.lock().unwrap_or_else(PoisonError::into_inner);
        *twins.entry((found.dev(), found.ino())).or_insert(twin) == twin
    }

    async fn hash(&self, path: &Path, len: u64) -> io::Result<u128> {
        if len <= WHOLE_BYTES_MAX {
            return Ok(xxh3_128(&fs::read(path).await?));
        }
        let file = File::open(path).await?;
        let mut hasher = Xxh3::new();
        let mut at = 0;
        let mut buffer = Vec::with_capacity(PIECE_BYTES);
        loop {
            if self.job.stopped() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let (read, piece) = file.read_at(buffer, at).await?;
            if read == 0 {
                return Ok(hasher.digest128());
            }
            hasher.update(&piece[..read]);
            at += read as u64;
            buffer = piece;
            buffer.clear();
        }
    }
}

/// What `stat` says that is not the same of both.
fn differing_attributes(found: &Metadata, made: &Metadata, root: bool) -> Option<String> {
    const KIND: u32 = 0o170_000;
    if found.mode() & KIND != made.mode() & KIND {
        return Some("it is of another kind".into());
    }
    // procfs says that its files are empty.
    if found.is_file() && found.len() != made.len() && found.len() != 0 {
        return Some(format!("{} bytes, {} in the copy", found.len(), made.len()));
    }
    if !found.is_symlink() && found.mode() != made.mode() {
        return Some(format!(
            "mode {:o}, {:o} in the copy",
            found.mode() & 0o7777,
            made.mode() & 0o7777
        ));
    }
    let at = |of: &Metadata| (of.mtime(), of.mtime_nsec());
    if !granularity::is_kept(at(found), at(made)) {
        return Some("the modification time".into());
    }
    if root && (found.uid(), found.gid()) != (made.uid(), made.gid()) {
        return Some(format!(
            "owner {}:{}, {}:{} in the copy",
            found.uid(),
            found.gid(),
            made.uid(),
            made.gid()
        ));
    }
    None
}

fn found_kind(found: &Metadata) -> &'static str {
    let kind = found.file_type();
    if kind.is_dir() {
        "the directory"
    } else if kind.is_symlink() {
        "the link"
    } else if kind.is_fifo() {
        "the FIFO"
    } else {
        "the file"
    }
}

/// All extended attributes that a copy carries over.
async fn xattrs(path: &Path) -> io::Result<BTreeMap<OsString, Vec<u8>>> {
    let names = match fs::list_xattrs(path, Follow::No).await {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(BTreeMap::new()),
        other => other?,
    };
    let mut all = BTreeMap::new();
    for name in names {
        if name == "security.selinux" {
            continue;
        }
        if let Some(value) = fs::get_xattr(path, &name, Follow::No).await? {
            all.insert(name, value);
        }
    }
    Ok(all)
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
