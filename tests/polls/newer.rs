//! Calls that take several steps: their polls, their synchronous methods, and the drop of what they give, begun and
//! half-way.

use std::future::Future;
use std::pin::Pin;

use futures::StreamExt;
use tidegate::buf::{BufGroup, BufPool};
use tidegate::fs::{self, AppendOptions, AtomicOptions, CommitBatch, CopyFile, CopyTree, File};
use tidegate::fs::{Follow, Overlap, Preserve, Reflink, Space, WalkDir, WritebackPolicy};
use tokio::io::AsyncWriteExt;

use crate::calls::{Call, How, answer, dir, kept, path};
use crate::handles::on;
use crate::watch::Doing;

pub(crate) fn all() -> Vec<Call> {
    let mut calls = state();
    calls.extend(walks());
    calls.extend(copies());
    calls.extend(written());
    calls.extend(logs());
    calls.extend(buffers());
    calls
}

/// Polls it once, and drops it.
fn given_up<F: Future + Send + 'static>(future: F) -> Doing
where
    F::Output: Send,
{
    Box::pin(async move {
        let mut future: Pin<Box<F>> = Box::pin(future);
        let is_over = futures::poll!(&mut future).is_ready();
        drop(future);
        kept(is_over)
    })
}

/// What needs no await.
fn state() -> Vec<Call> {
    vec![
        on(
            "synchronous methods of a file",
            How::ReadWrite,
            |mut f, _| {
                Box::pin(async move {
                    use std::os::fd::AsFd;
                    let fd = f.as_fd().try_clone_to_owned();
                    f.set_max_buf_size(f.max_buf_size());
                    f.set_overlap(Overlap::Fail);
                    let seen = (
                        format!("{f:?}"),
                        f.state(),
                        f.acknowledge(),
                        f.cancel_in_flight(),
                    );
                    let f = f.with_writeback(WritebackPolicy::new());
                    kept((fd, seen.0, f.writeback_stats(), f))
                })
            },
        ),
        on(
            "as_fd of a file whose cursor moved",
            How::Read,
            |mut f, _| {
                Box::pin(async move {
                    use std::os::fd::AsFd;
                    use tokio::io::AsyncReadExt;
                    let mut first = [0; 10];
                    let read = f.read(&mut first).await;
                    let flags = nix::fcntl::fcntl(f.as_fd(), nix::fcntl::FcntlArg::F_GETFL);
                    kept((read, flags, f))
                })
            },
        ),
        dir("synchronous methods of a directory", |d, _| {
            Box::pin(async move {
                use std::os::fd::AsFd;
                let flags = nix::fcntl::fcntl(d.as_fd(), nix::fcntl::FcntlArg::F_GETFL);
                kept((flags, format!("{d:?}"), d))
            })
        }),
    ]
}

fn walks() -> Vec<Call> {
    vec![
        path("WalkDir", |s| {
            Box::pin(async move {
                let mut walk = WalkDir::new(&s.dir).metadata(true).walk();
                let (watch, stats) = (walk.watch(), walk.stats());
                while let Some(entry) = walk.next().await {
                    drop(entry);
                }
                drop(watch.now());
                kept((stats, walk))
            })
        }),
        path("drop of a walk", |s| {
            Box::pin(async move {
                let mut walk = WalkDir::new(&s.dir).walk();
                let first = futures::poll!(walk.next()).is_ready();
                drop(walk);
                kept(first)
            })
        }),
        path("drop of a walk with a closure", |s| {
            Box::pin(async move {
                let mut walk =
                    WalkDir::new(&s.dir).map(|entry| entry.path().symlink_metadata().ok());
                let first = futures::poll!(walk.next()).is_ready();
                drop(walk);
                kept(first)
            })
        }),
        dir("Dir::batch", |d, s| {
            Box::pin(async move {
                let options = fs::StatxOptions::new();
                let found = d.metadata_many([s.name, "none"], &options).await;
                kept((found, d.batch().remove_files(["none"]).await, d))
            })
        }),
        path("fs::metadata_many, given up", |s| {
            let paths = vec![s.path(); 100];
            given_up(async move { fs::metadata_many(&paths, &fs::StatxOptions::new()).await })
        }),
        path("fs::batch, open_files, given up", |s| {
            let options = fs::OpenOptions::new().read(true).clone();
            let paths = vec![s.path(); 20];
            given_up(async move { fs::batch().open_files(&paths, &options).await })
        }),
    ]
}

fn copies() -> Vec<Call> {
    vec![
        path("CopyFile", |s| {
            let copy = CopyFile::new(s.path(), s.dir.join("copy")).reflink(Reflink::Never);
            Box::pin(async move { answer(copy.rename_into_place(true).run().await) })
        }),
        path("CopyFile, given up", |s| {
            given_up(CopyFile::new(s.path(), s.dir.join("copy")).run())
        }),
        path("CopyTree", |s| {
            Box::pin(async move {
                let copy = CopyTree::new(s.path(), s.dir.join("tree")).sync_all();
                let mut copying = copy.start();
                let leftovers = copying.leftovers();
                let mut events = Vec::new();
                while let Some(event) = copying.next_event().await {
                    events.push(event);
                }
                drop(copying);
                let bound = std::time::Duration::from_secs(1);
                kept((events, leftovers.remove(bound).await))
            })
        }),
        path("drop of a copy of a tree", |s| {
            Box::pin(async move {
                let mut copying = CopyTree::new(s.path(), s.dir.join("tree")).start();
                let first = futures::poll!(copying.next()).is_ready();
                drop(copying);
                kept(first)
            })
        }),
        path("fs::copy_metadata", |s| {
            let to = s.dir.join("none");
            Box::pin(
                async move { answer(fs::copy_metadata(s.path(), to, Preserve::default()).await) },
            )
        }),
        path("fs::set_xattr", |s| {
            Box::pin(async move {
                answer(fs::set_xattr(s.path(), "user.some", vec![7; 3000], Follow::Links).await)
            })
        }),
    ]
}

fn written() -> Vec<Call> {
    vec![
        path("fs::write_atomic", |s| {
            let whole = fs::write_atomic(s.path(), vec![7; 8192], AtomicOptions::new());
            Box::pin(async move { answer(whole.await) })
        }),
        path("fs::write_atomic, given up", |s| {
            given_up(fs::write_atomic(
                s.path(),
                vec![7; 8192],
                AtomicOptions::new(),
            ))
        }),
        path("AtomicFile, dropped after writes", |s| {
            Box::pin(async move {
                let mut file = AtomicOptions::new().begin(s.path());
                let small = file.write(vec![7; 100]).await;
                let large = futures::poll!(Box::pin(file.write(vec![7; 600_000]))).is_ready();
                drop(file);
                kept((small, large))
            })
        }),
        path("AtomicFile, commit given up", |s| {
            Box::pin(async move {
                let mut file = AtomicOptions::new().begin(s.path());
                let small = file.write(vec![7; 100]).await;
                let begun = futures::poll!(Box::pin(file.commit())).is_ready();
                kept((small, begun))
            })
        }),
        path("CommitBatch", |s| {
            Box::pin(async move {
                let batch = CommitBatch::with_in_flight(AtomicOptions::new(), 4);
                let mut told = Vec::new();
                for number in 0..3 {
                    let mut file = batch.begin(s.dir.join(format!("commit-{number}"))).await?;
                    file.write(vec![7; 100]).await?;
                    told.push(batch.commit(file).await?);
                }
                let first = told.pop();
                drop(first);
                kept((futures::future::join_all(told).await, batch.finish().await))
            })
        }),
        on("drop of a bounded file", How::ReadWrite, |f, _| {
            Box::pin(async move {
                let policy = WritebackPolicy::new().chunk_bytes(4096);
                let mut f = f.with_writeback(policy);
                let written = f.write(&[7; 8192]).await;
                let stats = f.writeback_stats();
                drop(f);
                kept((written, stats))
            })
        }),
        path("an unnamed file, linked", |s| {
            Box::pin(async move {
                let mut options = fs::OpenOptions::new();
                let file = options.write(true).unnamed(true).open(&s.dir).await?;
                kept((file.link(s.dir.join("linked")).await, file))
            })
        }),
    ]
}

fn logs() -> Vec<Call> {
    vec![
        path("AppendWriter", |s| {
            Box::pin(async move {
                let options = AppendOptions::new().preallocate(1 << 20, Space::Reserve);
                let log = options.open(s.path()).await?;
                let appended = log.append("record").await;
                let seen = (log.end(), log.synced(), log.state(), log.acknowledge());
                let synced = log.append_sync("record").await;
                kept((appended, seen.0, synced, log.close().await))
            })
        }),
        path("AppendWriter, dropped with records under way", |s| {
            Box::pin(async move {
                let log = AppendOptions::new().open(s.path()).await?;
                let first = futures::poll!(Box::pin(log.append("record"))).is_ready();
                let second = futures::poll!(Box::pin(log.append_sync("record"))).is_ready();
                drop(log);
                kept((first, second))
            })
        }),
        path("AppendWriter::open, given up", |s| {
            given_up(async move { AppendOptions::new().open(s.path()).await })
        }),
    ]
}

fn buffers() -> Vec<Call> {
    vec![
        on("File::read_fixed_at", How::Read, |f, s| {
            Box::pin(async move {
                let pool = BufPool::builder().build()?;
                kept((f.read_fixed_at(pool.get(), s.offset).await, pool, f))
            })
        }),
        on("drop of a pool with a read under way", How::Read, |f, s| {
            Box::pin(async move {
                let pool = BufPool::builder().build()?;
                let mut read = Box::pin(f.read_fixed_at(pool.get(), s.offset));
                let begun = futures::poll!(&mut read).is_ready();
                drop((pool, read));
                kept((begun, f))
            })
        }),
        on("File::read_provided_at", How::Read, |f, s| {
            Box::pin(async move {
                let group = BufGroup::builder().build()?;
                kept((f.read_provided_at(&group, s.offset).await, group, f))
            })
        }),
        on(
            "drop of a group with a read under way",
            How::Read,
            |f: File, s| {
                Box::pin(async move {
                    let group = BufGroup::builder().build()?;
                    let mut read = Box::pin(f.read_provided_at(&group, s.offset));
                    let begun = futures::poll!(&mut read).is_ready();
                    drop((group, read));
                    kept((begun, f))
                })
            },
        ),
    ]
}
