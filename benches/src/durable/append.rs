//! A log: records that are on the disk before the next of their task.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{FallocateFlags, fallocate};
use tidegate::fs::{AppendOptions, Space};
use tokio::runtime::Runtime;

use super::runtime;
use crate::contest::contest;

const RECORD_BYTES: usize = 256;

#[derive(Clone, Copy, Debug)]
struct Load {
    writers: u64,
    records: u64,
    preallocated: bool,
}

impl Load {
    fn each(self) -> u64 {
        self.records / self.writers
    }

    fn bytes(self) -> u64 {
        self.records * RECORD_BYTES as u64
    }
}

/// Each thread writes its records to places of their own, and syncs.
fn by_threads(load: Load, path: &Path) -> io::Result<u64> {
    let file = File::create(path)?;
    if load.preallocated {
        let bytes = load.bytes() as i64;
        fallocate(file.as_fd(), FallocateFlags::empty(), 0, bytes)?;
        file.sync_all()?;
    }
    let next = AtomicU64::new(0);
    let write = || -> io::Result<()> {
        for _ in 0..load.each() {
            let offset = next.fetch_add(RECORD_BYTES as u64, Ordering::Relaxed);
            file.write_all_at(&[7; RECORD_BYTES], offset)?;
            file.sync_data()?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..load.writers).map(|_| scope.spawn(write)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or(Ok(())))
    })?;
    Ok(load.records)
}

fn by_tasks(load: Load, path: &Path, runtime: &Runtime) -> io::Result<u64> {
    runtime.block_on(async {
        let mut options = AppendOptions::new();
        if load.preallocated {
            options = options.preallocate(load.bytes(), Space::ReserveExtend);
        }
        let log = Arc::new(options.open(path).await?);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..load.writers {
            let log = log.clone();
            tasks.spawn(async move {
                for _ in 0..load.each() {
                    log.append_sync([7; RECORD_BYTES].to_vec()).await?;
                }
                Ok::<_, io::Error>(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(load.records)
    })
}

pub(super) fn run(folder: &Path, rounds: usize) -> io::Result<()> {
    let runtime = runtime()?;
    for (writers, records) in [(64, 32_000), (1, 2000)] {
        for preallocated in [false, true] {
            let load = Load {
                writers,
                records,
                preallocated,
            };
            let state = if preallocated {
                "preallocated"
            } else {
                "growing"
            };
            let title = format!("records of {RECORD_BYTES} bytes, {state}, {writers} writers");
            let (threads, tasks) = (folder.join("threads"), folder.join("tasks"));
            contest(
                &title,
                rounds,
                &mut || Ok(()),
                &mut [
                    (
                        "threads, pwrite + fdatasync",
                        Box::new(|| by_threads(load, &threads)),
                    ),
                    (
                        "tasks, AppendWriter",
                        Box::new(|| {
                            let _ = std::fs::remove_file(&tasks);
                            by_tasks(load, &tasks, &runtime)
                        }),
                    ),
                ],
            )?;
        }
    }
    Ok(())
}
