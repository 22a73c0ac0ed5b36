//! Whole small files, each on the disk before the next of its task.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate::fs::{AtomicOptions, write_atomic};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;

use super::runtime;
use crate::contest::contest;

const FILES: usize = 1000;
const FILE_BYTES: usize = 4096;
const TASKS: usize = 32;

#[derive(Clone, Copy, Debug)]
enum Way {
    /// The steps of `write_atomic`, one call after the other.
    Tokio,
    Tidegate,
}

async fn by_tokio(path: &Path, replaces: bool) -> io::Result<()> {
    let temp = path.with_extension("tmp");
    let mut file = tokio::fs::File::create_new(&temp).await?;
    file.write_all(&[7; FILE_BYTES]).await?;
    file.flush().await?;
    if replaces {
        if let Ok(before) = tokio::fs::metadata(path).await {
            file.set_permissions(before.permissions()).await?;
        }
    }
    file.sync_all().await?;
    tokio::fs::rename(&temp, path).await?;
    let parent = path.parent().unwrap_or(path);
    tokio::fs::File::open(parent).await?.sync_all().await
}

async fn write(way: Way, path: PathBuf, replaces: bool) -> io::Result<()> {
    match way {
        Way::Tokio => by_tokio(&path, replaces).await,
        Way::Tidegate => write_atomic(&path, vec![7; FILE_BYTES], AtomicOptions::new()).await,
    }
}

fn turn(way: Way, runtime: &Runtime, folder: &Path, replaces: bool) -> io::Result<u64> {
    runtime.block_on(async {
        let next = Arc::new(AtomicUsize::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..TASKS {
            let (next, folder) = (next.clone(), folder.to_path_buf());
            tasks.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= FILES {
                        return Ok::<_, io::Error>(());
                    }
                    write(way, folder.join(number.to_string()), replaces).await?;
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(FILES as u64)
    })
}

pub(super) fn run(folder: &Path, rounds: usize) -> io::Result<()> {
    let folder = folder.join("atomic");
    std::fs::create_dir(&folder)?;
    let (tokio, tidegate) = (runtime()?, runtime()?);
    for replaces in [false, true] {
        let title = match replaces {
            true => "replaced",
            false => "new",
        };
        let title = format!("{FILES} files of {FILE_BYTES} bytes, {title}, {TASKS} tasks");
        let mut turns = 0;
        // Where many files were removed, making some takes longer for a while.
        let current = std::cell::RefCell::new(folder.join("0"));
        let mut prepare = || {
            turns += usize::from(!replaces || turns == 0);
            let folder = folder.join(format!("{replaces}-{turns}"));
            std::fs::create_dir_all(&folder)?;
            *current.borrow_mut() = folder;
            Ok(())
        };
        contest(
            &title,
            rounds,
            &mut prepare,
            &mut [
                (
                    "tokio::fs, the same steps",
                    Box::new(|| turn(Way::Tokio, &tokio, &current.borrow(), replaces)),
                ),
                (
                    "fs::write_atomic",
                    Box::new(|| turn(Way::Tidegate, &tidegate, &current.borrow(), replaces)),
                ),
            ],
        )?;
    }
    Ok(())
}
