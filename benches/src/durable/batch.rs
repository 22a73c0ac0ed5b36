//! Many files that come from a socket.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use tidegate::buf::BufPool;
use tidegate::fs::{AtomicOptions, CommitBatch};
use tokio::io::AsyncReadExt;
use tokio::runtime::Runtime;

use super::runtime;
use crate::contest::contest;

const FILES: usize = 10_000;
const BUFFER_BYTES: usize = 64 << 10;

/// From 0 to 64 KiB, 313 MB in all.
fn length(number: usize) -> usize {
    (number * 7919) % 62_600
}

/// Whoever connects gets the files, one behind the other.
fn serve(files: usize) -> io::Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || -> io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let bytes = vec![7; BUFFER_BYTES];
        for number in 0..files {
            stream.write_all(&bytes[..length(number)])?;
        }
        Ok(())
    });
    Ok(address)
}

fn by_std(files: usize, folder: &Path, sync: bool) -> io::Result<u64> {
    let mut stream = TcpStream::connect(serve(files)?)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    for number in 0..files {
        let content = &mut buffer[..length(number)];
        stream.read_exact(content)?;
        let (temp, path) = (
            folder.join(format!("{number}.tmp")),
            folder.join(number.to_string()),
        );
        let mut file = std::fs::File::create(if sync { &temp } else { &path })?;
        file.write_all(content)?;
        if sync {
            file.sync_all()?;
            std::fs::rename(&temp, &path)?;
            std::fs::File::open(folder)?.sync_all()?;
        }
    }
    Ok(files as u64)
}

fn by_batch(files: usize, folder: &Path, sync: bool, runtime: &Runtime) -> io::Result<u64> {
    runtime.block_on(async {
        let mut stream = tokio::net::TcpStream::connect(serve(files)?).await?;
        let pool = BufPool::builder().count(64).size(BUFFER_BYTES).build()?;
        let batch = CommitBatch::new(AtomicOptions::new().sync(sync));
        let mut acknowledgements = tokio::task::JoinSet::new();
        for number in 0..files {
            let mut file = batch.begin(folder.join(number.to_string())).await?;
            let mut left = length(number);
            while left > 0 {
                let mut buffer = pool.get();
                let count = left.min(BUFFER_BYTES);
                buffer.resize(count, 0);
                stream.read_exact(&mut buffer).await?;
                file.write(buffer).await?;
                left -= count;
            }
            acknowledgements.spawn(batch.commit(file).await?);
            while let Some(done) = acknowledgements.try_join_next() {
                done??;
            }
        }
        while let Some(done) = acknowledgements.join_next().await {
            done??;
        }
        let tally = batch.finish().await?;
        assert_eq!(tally.committed, files as u64);
        Ok(files as u64)
    })
}

pub(super) fn run(folder: &Path, rounds: usize) -> io::Result<()> {
    let runtime = runtime()?;
    for (sync, files) in [(false, FILES), (true, FILES / 10)] {
        let state = if sync { "synced" } else { "not synced" };
        let title = format!("{files} files from a socket, {state}");
        let mut turns = 0;
        let current = std::cell::RefCell::new(PathBuf::new());
        let mut prepare = || {
            turns += 1;
            let folder = folder.join(format!("batch-{sync}-{turns}"));
            std::fs::create_dir(&folder)?;
            *current.borrow_mut() = folder;
            Ok(())
        };
        contest(
            &title,
            rounds,
            &mut prepare,
            &mut [
                (
                    "std, one after the other",
                    Box::new(|| by_std(files, &current.borrow(), sync)),
                ),
                (
                    "CommitBatch, 32 in flight",
                    Box::new(|| by_batch(files, &current.borrow(), sync, &runtime)),
                ),
            ],
        )?;
    }
    Ok(())
}
