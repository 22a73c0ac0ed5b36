//! Files that come whole or in parts and stay in the page cache, of every size.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tidegate::fs::{self, File};
use tokio::runtime::Runtime;

use super::runtime;
use crate::contest::contest;

/// What comes at a time. A thread writes as fast in parts of this size as in any; a hop is worth larger ones.
const PART: usize = 1 << 20;
const HOP_PART: usize = 4 << 20;
const TASKS: usize = 32;
const SIZES: [usize; 11] = [
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
    16 << 20,
    64 << 20,
    256 << 20,
    1 << 30,
];

#[derive(Clone, Copy)]
struct Load {
    files: usize,
    bytes: usize,
}

impl Load {
    fn of(bytes: usize) -> Load {
        let files = ((128 << 20) / bytes).clamp(1, 2000);
        Load { files, bytes }
    }
}

/// One thread, one file after the other.
fn by_std(load: Load, folder: &Path) -> io::Result<u64> {
    let part = vec![7; load.bytes.min(PART)];
    for number in 0..load.files {
        let mut file = std::fs::File::create(folder.join(number.to_string()))?;
        for _ in 0..load.bytes / part.len() {
            file.write_all(&part)?;
        }
    }
    Ok(load.files as u64)
}

async fn write(path: PathBuf, bytes: usize, part: Bytes) -> io::Result<()> {
    if bytes == part.len() {
        return fs::write(path, part).await;
    }
    let file = File::create(path).await?;
    for at in (0..bytes).step_by(part.len()) {
        file.write_all_at(part.clone(), at as u64).await?;
    }
    file.close().await
}

fn by_tasks(load: Load, folder: &Path, runtime: &Runtime) -> io::Result<u64> {
    let part = Bytes::from(vec![7; load.bytes.min(HOP_PART)]);
    runtime.block_on(async {
        let next = Arc::new(AtomicUsize::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..TASKS.min(load.files) {
            let (next, folder, part) = (next.clone(), folder.to_path_buf(), part.clone());
            tasks.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= load.files {
                        return Ok::<_, io::Error>(());
                    }
                    write(folder.join(number.to_string()), load.bytes, part.clone()).await?;
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(load.files as u64)
    })
}

pub(super) fn run(folder: &Path, rounds: usize) -> io::Result<()> {
    let runtime = runtime()?;
    let all = folder.join("ingest");
    for bytes in SIZES {
        let load = Load::of(bytes);
        let current = std::cell::RefCell::new(all.join("0"));
        let mut turns = 0;
        let mut prepare = || {
            turns += 1;
            let mut current = current.borrow_mut();
            // What is not written yet need not be. Where many files were removed, making some takes longer for a while.
            if load.files < 200 {
                let _ = std::fs::remove_dir_all(&*current);
            }
            *current = all.join(turns.to_string());
            std::fs::create_dir_all(&*current)
        };
        let title = format!("{} files of {} KiB, not synced", load.files, bytes >> 10);
        contest(
            &title,
            rounds,
            &mut prepare,
            &mut [
                (
                    "std, one after the other",
                    Box::new(|| by_std(load, &current.borrow())),
                ),
                (
                    "tidegate, 32 at a time",
                    Box::new(|| by_tasks(load, &current.borrow(), &runtime)),
                ),
            ],
        )?;
        let _ = std::fs::remove_dir_all(&all);
    }
    Ok(())
}
