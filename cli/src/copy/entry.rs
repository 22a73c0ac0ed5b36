//! Copies one entry that is no directory. What exists at the destination is replaced in one step.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate::fs::{self, CopyFile, Follow, Preserve, Reflink};

use super::granularity;
use super::job::{Job, Tally};
use super::limits;
use super::options::{Durability, Options, When};
use super::temporaries::Temporaries;
use super::walk::Task;

/// Copies the entry and reports what goes wrong; says whether the destination has it.
pub(super) async fn copy(job: &Job, preserve: Preserve, task: &Task, found: &Metadata) -> bool {
    let kind = found.file_type();
    let counted: fn(&Tally) -> &AtomicU64;
    let (operation, made) = if kind.is_file() {
        counted = |tally| &tally.files;
        ("copy", file(job, preserve, task).await)
    } else if kind.is_symlink() {
        counted = |tally| &tally.symlinks;
        ("symlink", symlink(job, preserve, task).await)
    } else if is_fifo(found) {
        counted = |tally| &tally.fifos;
        ("make_fifo", fifo(job, preserve, task).await)
    } else {
        job.fail_with(
            &task.source,
            "copy",
            format!("skipped: {} cannot be copied", unsupported(found)),
        );
        return false;
    };
    match made {
        Ok(warnings) => {
            job.not_carried(&task.source, warnings);
            counted(&job.tally).fetch_add(1, Ordering::Relaxed);
            true
        }
        // Somebody was faster.
        Err(error) if job.options.no_clobber && error.kind() == io::ErrorKind::AlreadyExists => {
            job.skip(&task.source);
            false
        }
        Err(error) => {
            job.fail(&task.source, operation, &error);
            false
        }
    }
}

/// Whether what is at the destination is to stay as it is.
pub(super) async fn stays(options: &Options, task: &Task, found: &Metadata) -> bool {
    if !options.no_clobber && !options.update {
        return false;
    }
    let Ok(there) = fs::symlink_metadata(&task.destination).await else {
        return false;
    };
    let at = |of: &Metadata| (of.mtime(), of.mtime_nsec());
    options.no_clobber || granularity::is_as_new(at(found), at(&there))
}

/// Gives the file at `made` a further name, which may exist.
pub(super) async fn hard_link(job: &Job, made: &Path, name: &Path) -> io::Result<()> {
    replace(job, name, |name| {
        let made = made.to_path_buf();
        async move { fs::hard_link(made, name).await }
    })
    .await
}

type Warnings = Vec<(&'static str, io::Error)>;

async fn file(job: &Job, preserve: Preserve, task: &Task) -> io::Result<Warnings> {
    let temporary = job.temporaries.beside(&task.destination);
    let copy = || configured(job, preserve, task, &temporary).run();
    let copied = limits::patiently(copy).await;
    match &copied {
        Ok(_) => job.temporaries.gone(&temporary),
        // Of a copy that hangs it is removed at the end: to remove a file that is being written to waits for the
        // write, and everything else in its directory for the removal.
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
        // It is gone already, as a rule. Where it cannot be removed, the end tries again and names it.
        Err(_) => {
            if Temporaries::remove(&temporary).await.is_ok() {
                job.temporaries.gone(&temporary);
            }
        }
    }
    let copied = copied?;
    job.tally.bytes.fetch_add(copied.bytes, Ordering::Relaxed);
    job.tally
        .data_bytes
        .fetch_add(copied.data_bytes, Ordering::Relaxed);
    job.progress.file_done();
    Ok(copied.warnings)
}

/// The copy of a file, as the options have it.
fn configured(job: &Job, preserve: Preserve, task: &Task, temporary: &Path) -> CopyFile {
    let options = &job.options;
    let reflink = match options.reflink {
        When::Auto => Reflink::Auto,
        When::Always => Reflink::Always,
        When::Never => Reflink::Never,
    };
    let copy = CopyFile::new(&task.source, &task.destination)
        .follow(Follow::No)
        .preserve(preserve)
        .create_new(options.no_clobber)
        .rename_into_place(true)
        .temporary(temporary)
        .reflink(reflink)
        .keep_holes(options.sparse != When::Never)
        .drop_cache(options.no_cache)
        .progress(Arc::clone(&job.progress.bytes))
        .stop(job.stop_flag());
    let copy = match options.sparse {
        When::Always => copy.zeros_to_holes(),
        _ => copy,
    };
    match options.durability {
        Durability::None => copy,
        Durability::Data | Durability::Full => copy.sync_content(),
    }
}

async fn symlink(job: &Job, preserve: Preserve, task: &Task) -> io::Result<Warnings> {
    let target = fs::read_link(&task.source).await?;
    replace(job, &task.destination, |name| {
        let target = target.clone();
        async move { fs::symlink(target, name).await }
    })
    .await?;
    fs::copy_metadata(&task.source, &task.destination, preserve).await
}

async fn fifo(job: &Job, preserve: Preserve, task: &Task) -> io::Result<Warnings> {
    replace(job, &task.destination, |name| async move {
        fs::make_fifo(name, 0o600).await
    })
    .await?;
    fs::copy_metadata(&task.source, &task.destination, preserve).await
}

/// Makes something at `name`, under a temporary name first where that is taken.
async fn replace<M, F>(job: &Job, name: &Path, make: M) -> io::Result<()>
where
    M: Fn(PathBuf) -> F,
    F: Future<Output = io::Result<()>>,
{
    match make(name.to_path_buf()).await {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !job.options.no_clobber => {}
        other => return other,
    }
    let there = fs::symlink_metadata(name).await?;
    if !there.is_file() && !there.is_symlink() && !there.is_dir() {
        let what = unsupported(&there);
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("the destination is {what} and is not replaced; remove it first"),
        ));
    }
    let temporary = job.temporaries.beside(name);
    let replaced = async {
        make(temporary.clone()).await?;
        fs::rename(&temporary, name).await
    };
    let replaced = replaced.await;
    if is_timed_out(&replaced) {
        return replaced;
    }
    // A rename onto another name of the same file does nothing and succeeds: the temporary name stays.
    let removed = Temporaries::remove(&temporary).await;
    if removed.is_ok() {
        job.temporaries.gone(&temporary);
    }
    replaced.and(removed)
}

/// Whether it may take effect later.
fn is_timed_out<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::TimedOut)
}

fn is_fifo(found: &Metadata) -> bool {
    found.file_type().is_fifo()
}

fn unsupported(found: &Metadata) -> &'static str {
    let kind = found.file_type();
    if kind.is_socket() {
        "a socket, which belongs to the program that listens on it,"
    } else if kind.is_block_device() {
        "a block device"
    } else if kind.is_char_device() {
        "a character device"
    } else if kind.is_fifo() {
        "a FIFO"
    } else {
        "a file of unknown type"
    }
}
