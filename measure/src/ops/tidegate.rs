//! This crate's library, through its public API.

use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use tidegate::buf::AlignedBuf;
use tidegate::fs::{self, File, OpenOptions};
use tokio::io::AsyncReadExt;

use super::{Mode, Ops, aligned};

/// The library; its handle is made with the runtime.
pub(crate) struct Tidegate;

impl Ops for Tidegate {
    type File = Arc<File>;
    type Buf = AlignedBuf;
    type Stream = File;

    fn buf(len: usize) -> AlignedBuf {
        aligned(len)
    }

    async fn open(path: &Path, mode: Mode) -> io::Result<Arc<File>> {
        let mut options = OpenOptions::new();
        match mode {
            Mode::Create => options.write(true).create_new(true),
            Mode::Direct => options.read(true).direct(true),
            Mode::Read => options.read(true),
            Mode::Write => options.write(true),
        };
        options.open(path).await.map(Arc::new)
    }

    async fn read_at(
        file: &Arc<File>,
        buf: AlignedBuf,
        offset: u64,
    ) -> io::Result<(usize, AlignedBuf)> {
        Ok(file.read_at(buf, offset).await?)
    }

    async fn read_ranges(
        file: &Arc<File>,
        buf: AlignedBuf,
        ranges: &[Range<u64>],
    ) -> io::Result<(usize, AlignedBuf)> {
        let read = file.read_ranges(ranges).await?;
        Ok((read.iter().map(bytes::Bytes::len).sum(), buf))
    }

    async fn write_at(
        file: &Arc<File>,
        buf: AlignedBuf,
        offset: u64,
    ) -> io::Result<(usize, AlignedBuf)> {
        Ok(file.write_at(buf, offset).await?)
    }

    async fn sync(file: &Arc<File>) -> io::Result<()> {
        file.sync_data().await
    }

    async fn close(file: Arc<File>) -> io::Result<()> {
        match Arc::into_inner(file) {
            Some(file) => file.close().await,
            None => Ok(()),
        }
    }

    async fn metadata(path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path).await?.len())
    }

    async fn statx(path: &Path) -> io::Result<u64> {
        Ok(fs::statx(path).await?.size())
    }

    async fn read(path: &Path) -> io::Result<usize> {
        Ok(fs::read(path).await?.len())
    }

    async fn copy(from: &Path, to: &Path) -> io::Result<u64> {
        fs::copy(from, to).await
    }

    async fn list(path: &Path) -> io::Result<usize> {
        let (mut entries, mut count) = (fs::read_dir(path).await?, 0);
        while let Some(entry) = entries.next_entry().await? {
            count += usize::from(entry.metadata().await?.is_file());
        }
        Ok(count)
    }

    async fn open_stream(path: &Path) -> io::Result<File> {
        File::open(path).await
    }

    async fn read_stream(stream: &mut File, into: &mut [u8]) -> io::Result<usize> {
        stream.read(into).await
    }
}
