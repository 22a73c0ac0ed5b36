//! Copies one entry that is no directory. What exists at the destination is replaced in one step.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate::fs::{self, CopyFile, Follow, Preserve};

use super::job::{Job, Tally};
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
        ("symlink", symlink(preserve, task).await)
    } else if is_fifo(found) {
        counted = |tally| &tally.fifos;
        ("make_fifo", fifo(preserve, task).await)
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
            for (operation, error) in warnings {
                job.fail(&task.source, operation, &error);
            }
            counted(&job.tally).fetch_add(1, Ordering::Relaxed);
            true
        }
        Err(error) => {
            job.fail(&task.source, operation, &error);
            false
        }
    }
}

/// Gives the file at `made` a further name, which may exist.
pub(super) async fn hard_link(made: &Path, name: &Path) -> io::Result<()> {
    replace(name, |name| {
        let made = made.to_path_buf();
        async move { fs::hard_link(made, name).await }
    })
    .await
}

type Warnings = Vec<(&'static str, io::Error)>;

async fn file(job: &Job, preserve: Preserve, task: &Task) -> io::Result<Warnings> {
    let copied = CopyFile::new(&task.source, &task.destination)
        .follow(Follow::No)
        .preserve(preserve)
        .rename_into_place(true)
        .progress(Arc::clone(&job.progress.bytes))
        .stop(job.stop_flag())
        .run()
        .await?;
    job.tally.bytes.fetch_add(copied.bytes, Ordering::Relaxed);
    job.tally
        .data_bytes
        .fetch_add(copied.data_bytes, Ordering::Relaxed);
    job.progress.file_done();
    Ok(copied.warnings)
}

async fn symlink(preserve: Preserve, task: &Task) -> io::Result<Warnings> {
    let target = fs::read_link(&task.source).await?;
    replace(&task.destination, |name| {
        let target = target.clone();
        async move { fs::symlink(target, name).await }
    })
    .await?;
    fs::copy_metadata(&task.source, &task.destination, preserve).await
}

async fn fifo(preserve: Preserve, task: &Task) -> io::Result<Warnings> {
    replace(&task.destination, |name| async move {
        fs::make_fifo(name, 0o600).await
    })
    .await?;
    fs::copy_metadata(&task.source, &task.destination, preserve).await
}

/// Makes something at `name`, under a temporary name first where that is taken.
async fn replace<M, F>(name: &Path, make: M) -> io::Result<()>
where
    M: Fn(PathBuf) -> F,
    F: Future<Output = io::Result<()>>,
{
    static NEXT: AtomicU64 = AtomicU64::new(0);
    match make(name.to_path_buf()).await {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other,
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let temp = name.with_file_name(format!(".tidegate-{:x}-{number:x}.tmp", std::process::id()));
    make(temp.clone()).await?;
    let renamed = fs::rename(&temp, name).await;
    // A rename onto another name of the same file does nothing and succeeds: the temporary name stays.
    match fs::remove_file(&temp).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => renamed.and(Err(error)),
        _ => renamed,
    }
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
    } else {
        "a file of unknown type"
    }
}
