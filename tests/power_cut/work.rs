//! What is written while the power may go.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use futures::future::try_join_all;
use tidegate::fs::{AppendWriter, AtomicOptions, CommitBatch, write_atomic};

use crate::common;
use crate::promises::{Promises, What, content, record};

const TASKS: u64 = 8;
/// Longer than the kernel lets what is dirty lie, as a share of a workload: some of it gets to the disk by itself.
const PAUSE: Duration = Duration::from_millis(5);

/// How it is written, and what is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Append,
    AppendNoSync,
    Atomic,
    AtomicNoDirSync,
    AtomicNoFileSync,
    Batch,
    BatchNoSync,
    NewFolders,
}

impl Mode {
    pub(crate) const ALL: [Mode; 8] = [
        Mode::Append,
        Mode::AppendNoSync,
        Mode::Atomic,
        Mode::AtomicNoDirSync,
        Mode::AtomicNoFileSync,
        Mode::Batch,
        Mode::BatchNoSync,
        Mode::NewFolders,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Append => "records_are_there",
            Mode::AppendNoSync => "records_without_a_sync_are_not",
            Mode::Atomic => "replaced_files_are_there",
            Mode::AtomicNoDirSync => "names_without_a_sync_are_not",
            Mode::AtomicNoFileSync => "content_without_a_sync_is_not",
            Mode::Batch => "files_of_a_batch_are_there",
            Mode::BatchNoSync => "files_of_a_batch_without_a_sync_are_not",
            Mode::NewFolders => "files_in_new_folders_are_there",
        }
    }

    /// Whether it must fail.
    pub(crate) fn is_control(self) -> bool {
        use Mode::{Append, Atomic, Batch, NewFolders};
        !matches!(self, Append | Atomic | Batch | NewFolders)
    }
}

/// The steps of `write_atomic`, less one of the syncs.
fn without(mode: Mode, path: &Path, version: u64) -> io::Result<()> {
    let temp = path.with_extension("tmp");
    let mut file = std::fs::File::create(&temp)?;
    file.write_all(&content(version))?;
    if mode != Mode::AtomicNoFileSync {
        file.sync_all()?;
    }
    std::fs::rename(&temp, path)?;
    if mode != Mode::AtomicNoDirSync {
        std::fs::File::open(path.parent().unwrap_or(path))?.sync_all()?;
    }
    Ok(())
}

async fn atomic(mode: Mode, root: &Path, count: u64, promises: &Promises<'_>) -> io::Result<()> {
    // Another's sync would make up for the one that is left out.
    let tasks = if mode == Mode::Atomic { TASKS } else { 1 };
    let task = |task| async move {
        for turn in 1..=count / tasks {
            // One name that is replaced, and one that is new.
            for name in [format!("f{task}"), format!("n{task}-{turn}")] {
                let path = root.join(&name);
                match mode {
                    Mode::Atomic => {
                        write_atomic(&path, content(turn), AtomicOptions::new()).await?;
                    }
                    _ => without(mode, &path, turn)?,
                }
                let version = turn;
                promises.add(What::Version { name, version })?;
                if mode != Mode::Atomic {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        Ok::<_, io::Error>(())
    };
    try_join_all((0..tasks).map(task)).await.map(drop)
}

async fn batch(mode: Mode, root: &Path, count: u64, promises: &Promises<'_>) -> io::Result<()> {
    let batch = CommitBatch::new(AtomicOptions::new().sync(mode == Mode::Batch));
    let mut acknowledgements = Vec::new();
    for version in 1..=count {
        let name = format!("b{version}");
        let mut file = batch.begin(root.join(&name)).await?;
        let content = content(version);
        let (front, back) = content.split_at(content.len() / 2);
        file.write(front.to_vec()).await?;
        file.write(back.to_vec()).await?;
        let committed = batch.commit(file).await?;
        acknowledgements.push(async move {
            committed.await?;
            promises.add(What::Version { name, version })
        });
        if acknowledgements.len() == 24 {
            try_join_all(std::mem::take(&mut acknowledgements)).await?;
        }
    }
    try_join_all(acknowledgements).await?;
    if mode != Mode::Batch {
        // Something else is synced later, so that there are steps behind the promises.
        std::fs::File::create(root.join("other"))?.sync_all()?;
    }
    Ok(())
}

async fn append(mode: Mode, root: &Path, count: u64, promises: &Promises<'_>) -> io::Result<()> {
    let log = &AppendWriter::open(root.join("log")).await?;
    let task = |task| async move {
        for turn in 0..count / TASKS {
            let offset = match mode {
                Mode::Append => log.append_sync(record(task, turn)).await?,
                _ => log.append(record(task, turn)).await?,
            };
            promises.add(What::Record { offset, task, turn })?;
        }
        Ok::<_, io::Error>(())
    };
    try_join_all((0..TASKS).map(task)).await?;
    if mode != Mode::Append {
        std::fs::File::create(root.join("other"))?.sync_all()?;
    }
    Ok(())
}

/// Each in a folder that was made just now, and that nobody has synced.
async fn new_folders(root: &Path, count: u64, promises: &Promises<'_>) -> io::Result<()> {
    let batch = &CommitBatch::new(AtomicOptions::new());
    let task = |task| async move {
        for version in 1..=count / TASKS {
            let folder = format!("d{task}-{version}/{task}");
            tidegate::fs::create_dir_all(root.join(&folder)).await?;
            let name = format!("{folder}/file");
            let (path, content) = (root.join(&name), content(version));
            match version % 3 {
                0 => {
                    let mut file = batch.begin(path).await?;
                    file.write(content).await?;
                    batch.commit(file).await?.await?;
                }
                1 => write_atomic(path, content, AtomicOptions::new().create_new(true)).await?,
                _ => AppendWriter::open(path)
                    .await?
                    .append_sync(content)
                    .await
                    .map(drop)?,
            }
            promises.add(What::Version { name, version })?;
        }
        Ok::<_, io::Error>(())
    };
    try_join_all((0..TASKS).map(task)).await.map(drop)
}

pub(crate) fn work(mode: Mode, root: &Path, promises: &Promises<'_>, count: u64) -> io::Result<()> {
    common::runtime(true).block_on(async {
        match mode {
            Mode::Append | Mode::AppendNoSync => append(mode, root, count, promises).await,
            Mode::NewFolders => new_folders(root, count, promises).await,
            Mode::Batch | Mode::BatchNoSync => batch(mode, root, count, promises).await,
            _ => atomic(mode, root, count, promises).await,
        }
    })
}
