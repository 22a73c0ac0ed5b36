//! Other crates take the files and listings of this one as they take tokio's (V12).

mod common;

use std::io::{Read, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{on_each_route, on_every_backend};
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt, TryStreamExt};
use tidegate::fs::{self, Dir, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio_util::codec::{FramedRead, FramedWrite, LinesCodec};
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};
use tokio_util::io::{ReaderStream, SyncIoBridge};

/// Longer than any buffer here, and no two blocks of it are the same.
fn text() -> Vec<u8> {
    let lines = (0..20_000).map(|n| format!("line {n}\n"));
    lines.collect::<String>().into_bytes()
}

async fn with_text(dir: &Path) -> File {
    std::fs::write(dir.join("text"), text()).unwrap();
    let options = File::options().read(true).write(true).clone();
    options.open(dir.join("text")).await.unwrap()
}

#[test]
fn a_file_is_a_stream_and_an_http_body() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let file = with_text(dir.path()).await;
        let parts: Vec<bytes::Bytes> = ReaderStream::new(file).try_collect().await.unwrap();
        assert!(parts.concat() == text());
        let file = with_text(dir.path()).await;
        let body = axum::body::Body::from_stream(ReaderStream::with_capacity(file, 64 * 1024));
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        assert!(bytes == text());
        let file = with_text(dir.path()).await;
        let body = axum::body::Body::from_stream(file.stream(..));
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        assert!(bytes == text());
    });
}

#[test]
fn frames_are_read_and_written() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let file = with_text(dir.path()).await;
        let lines: Vec<String> = FramedRead::new(file, LinesCodec::new())
            .try_collect()
            .await
            .unwrap();
        assert_eq!(lines.len(), 20_000);
        let file = File::create(dir.path().join("copy")).await.unwrap();
        let mut sink = FramedWrite::new(file, LinesCodec::new());
        let mut source = futures::stream::iter(lines.into_iter().map(Ok));
        futures::SinkExt::send_all(&mut sink, &mut source)
            .await
            .unwrap();
        futures::SinkExt::<String>::close(&mut sink).await.unwrap();
        assert!(std::fs::read(dir.path().join("copy")).unwrap() == text());
    });
}

#[test]
fn the_traits_of_futures_are_there_through_compat() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let mut file = with_text(dir.path()).await.compat();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).await.unwrap();
        assert!(bytes == text());
        futures::AsyncSeekExt::seek(&mut file, SeekFrom::Start(5))
            .await
            .unwrap();
        file.read_exact(&mut bytes[..1]).await.unwrap();
        assert_eq!(bytes[0], b'0');
        let copy = File::create(dir.path().join("copy")).await.unwrap();
        let mut copy = copy.compat_write();
        copy.write_all(&text()).await.unwrap();
        copy.close().await.unwrap();
        assert!(std::fs::read(dir.path().join("copy")).unwrap() == text());
    });
}

#[test]
fn a_blocking_task_reads_and_writes_through_a_bridge() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let file = with_text(dir.path()).await;
        let copy = File::create(dir.path().join("copy")).await.unwrap();
        let (mut from, mut to) = (SyncIoBridge::new(file), SyncIoBridge::new(copy));
        let copied = tokio::task::spawn_blocking(move || {
            let mut first = [0; 4];
            from.read_exact(&mut first).unwrap();
            to.write_all(&first).unwrap();
            let count = std::io::copy(&mut from, &mut to).unwrap();
            to.flush().unwrap();
            to.shutdown().unwrap();
            count
        });
        assert_eq!(copied.await.unwrap() as usize, text().len() - 4);
        assert!(std::fs::read(dir.path().join("copy")).unwrap() == text());
    });
}

#[test]
fn what_takes_descriptors_takes_files() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let file = with_text(dir.path()).await;
        // SAFETY: nobody else has the file, and it is not cut while it is mapped.
        let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
        assert!(map[..] == text());
        assert_eq!(
            rustix::fs::fstat(&file).unwrap().st_size as usize,
            map.len()
        );
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockShared).unwrap();
        rustix::fs::flock(&file, rustix::fs::FlockOperation::Unlock).unwrap();
        let other = File::open(dir.path().join("text")).await.unwrap();
        let (mut lock, mut of_other) = (fd_lock::RwLock::new(file), fd_lock::RwLock::new(other));
        {
            let mut locked = lock.try_write().unwrap();
            assert!(of_other.try_write().is_err());
            locked.read_exact(&mut [0; 8]).await.unwrap();
        }
        assert!(of_other.try_write().is_ok());
        let dir = Dir::open(dir.path()).await.unwrap();
        assert!(rustix::fs::statat(&dir, "text", rustix::fs::AtFlags::empty()).is_ok());
    });
}

#[test]
fn listings_are_streams() {
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        // More than one call of the kernel gives.
        let mut names: Vec<String> = (0..400).map(|n| format!("{n:0200}")).collect();
        for name in &names {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let entries = fs::read_dir(dir.path()).await.unwrap();
        let mut found: Vec<_> = entries
            .map_ok(|entry| entry.file_name().into_string().unwrap())
            .try_collect()
            .await
            .unwrap();
        found.sort();
        names.sort();
        assert_eq!(found, names);
        let entries = Dir::open(dir.path()).await.unwrap().read_dir().await;
        let mut entries = entries.unwrap();
        let mut count = 0;
        while let Some(entry) = entries.next().await {
            count += usize::from(entry.unwrap().ino() > 0);
        }
        assert_eq!(count, 400);
        assert!(entries.next().await.is_none(), "the end stays the end");
    });
}

/// The position goes with the file, as through `into_std`, and what was accepted stands where it belongs.
#[test]
fn a_child_goes_on_where_the_file_is() {
    on_each_route(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = File::create(&path).await.unwrap();
        file.write_all(b"header, ").await.unwrap();
        file.flush().await.unwrap();
        let status = Command::new("echo")
            .args(["-n", "child"])
            .stdout(file)
            .status();
        assert!(status.unwrap().success());
        assert_eq!(std::fs::read(&path).unwrap(), b"header, child");
        let mut file = File::open(&path).await.unwrap();
        file.seek(SeekFrom::Start(8)).await.unwrap();
        file.read_exact(&mut [0; 2]).await.unwrap();
        let child = Command::new("cat")
            .stdin(file)
            .stdout(Stdio::piped())
            .spawn();
        let output = child.unwrap().wait_with_output().unwrap();
        assert_eq!(output.stdout, b"ild");
    });
}

/// One hop each way for APIs that name tokio's type.
#[test]
fn files_go_to_tokio_and_come_back() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let mut file = with_text(dir.path()).await;
        file.read_exact(&mut [0; 5]).await.unwrap();
        let mut theirs = file.into_tokio().await;
        let mut two = [0; 2];
        theirs.read_exact(&mut two).await.unwrap();
        assert_eq!(two, *b"0\n");
        let mut file = File::from_tokio(theirs).await;
        let mut rest = Vec::new();
        file.read_to_end(&mut rest).await.unwrap();
        assert!(rest == text()[7..]);
        file.flush().await.unwrap();
        let theirs = tokio::fs::File::try_from(file).expect("nothing is on its way");
        let file = File::try_from(theirs).expect("nothing is on its way");
        assert_eq!(file.metadata().await.unwrap().len() as usize, text().len());
    });
}

#[test]
fn directories_go_to_descriptors_and_come_back() {
    on_every_backend(|_| async {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "text").unwrap();
        let of_std = std::fs::File::open(dir.path()).unwrap();
        let opened = Dir::from(OwnedFd::from(of_std));
        assert_eq!(
            opened.statx("file").await.unwrap().kind(),
            fs::FileKind::File
        );
        let mut entries = opened.read_dir().await.unwrap();
        let entry = entries.next_entry().await.unwrap().unwrap();
        assert_eq!(entry.file_name(), "file");
        // The listing still holds the directory, so that this is a duplicate.
        let fd = OwnedFd::from(opened);
        assert!(entries.next_entry().await.unwrap().is_none());
        let again = Dir::from(fd.as_fd().try_clone_to_owned().unwrap());
        again.sync().await.unwrap();
        let file = std::fs::File::open(dir.path().join("file")).unwrap();
        let error = Dir::from(OwnedFd::from(file)).statx("x").await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotADirectory);
    });
}
