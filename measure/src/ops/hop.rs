//! One `spawn_blocking` per operation.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use tidegate::buf::AlignedBuf;
use tokio::task::spawn_blocking;

use super::{Mode, Ops, aligned, list, open_std};

/// Each operation is one closure for tokio's blocking pool.
pub(crate) struct Hop;

async fn hop<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await?
}

impl Ops for Hop {
    type File = Arc<File>;
    type Buf = AlignedBuf;
    type Stream = (Arc<File>, Vec<u8>);

    fn buf(len: usize) -> AlignedBuf {
        aligned(len)
    }

    async fn open(path: &Path, mode: Mode) -> io::Result<Arc<File>> {
        let path = path.to_path_buf();
        hop(move || open_std(&path, mode).map(Arc::new)).await
    }

    async fn read_at(
        file: &Arc<File>,
        mut buf: AlignedBuf,
        offset: u64,
    ) -> io::Result<(usize, AlignedBuf)> {
        let file = file.clone();
        hop(move || file.read_at(&mut buf, offset).map(|count| (count, buf))).await
    }

    /// A hop per range.
    async fn read_ranges(
        file: &Arc<File>,
        mut buf: AlignedBuf,
        ranges: &[Range<u64>],
    ) -> io::Result<(usize, AlignedBuf)> {
        let mut total = 0;
        for range in ranges {
            let (file, start) = (file.clone(), range.start);
            let length = (range.end - range.start) as usize;
            let count;
            (count, buf) = hop(move || {
                let count = file.read_at(&mut buf[..length], start)?;
                Ok((count, buf))
            })
            .await?;
            total += count;
        }
        Ok((total, buf))
    }

    async fn write_at(
        file: &Arc<File>,
        buf: AlignedBuf,
        offset: u64,
    ) -> io::Result<(usize, AlignedBuf)> {
        let file = file.clone();
        hop(move || file.write_at(&buf, offset).map(|count| (count, buf))).await
    }

    async fn sync(file: &Arc<File>) -> io::Result<()> {
        let file = file.clone();
        hop(move || file.sync_data()).await
    }

    async fn close(file: Arc<File>) -> io::Result<()> {
        hop(move || {
            drop(file);
            Ok(())
        })
        .await
    }

    async fn metadata(path: &Path) -> io::Result<u64> {
        let path = path.to_path_buf();
        hop(move || std::fs::metadata(path).map(|metadata| metadata.len())).await
    }

    async fn read(path: &Path) -> io::Result<usize> {
        let path = path.to_path_buf();
        hop(move || std::fs::read(path))
            .await
            .map(|bytes| bytes.len())
    }

    /// All steps in one closure: who writes the closure can do that.
    async fn create(path: &Path, buf: AlignedBuf) -> io::Result<AlignedBuf> {
        let path = path.to_path_buf();
        hop(move || {
            let file = open_std(&path, Mode::Create)?;
            file.write_at(&buf, 0)?;
            file.sync_data()?;
            Ok(buf)
        })
        .await
    }

    async fn copy(from: &Path, to: &Path) -> io::Result<u64> {
        let (from, to) = (from.to_path_buf(), to.to_path_buf());
        hop(move || std::fs::copy(from, to)).await
    }

    /// All of it in one closure: who writes the closure can do that.
    async fn list(path: &Path) -> io::Result<usize> {
        let path = path.to_path_buf();
        hop(move || list(&path)).await
    }

    async fn open_stream(path: &Path) -> io::Result<(Arc<File>, Vec<u8>)> {
        let file = Self::open(path, Mode::Read).await?;
        Ok((file, Vec::new()))
    }

    async fn read_stream(stream: &mut (Arc<File>, Vec<u8>), into: &mut [u8]) -> io::Result<usize> {
        let (file, mut buf) = (stream.0.clone(), std::mem::take(&mut stream.1));
        buf.resize(into.len(), 0);
        let (count, buf) = hop(move || (&*file).read(&mut buf).map(|count| (count, buf))).await?;
        into[..count].copy_from_slice(&buf[..count]);
        stream.1 = buf;
        Ok(count)
    }
}
