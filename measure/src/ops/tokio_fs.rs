//! `tokio::fs`.

use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use tidegate::buf::AlignedBuf;
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::Mutex;

use super::{Mode, Ops, aligned, open_std};

/// tokio's own files. They have no positional reads: each is a seek, unless the cursor is already there,
/// and a read.
pub(crate) struct TokioFs;

/// A file, and where its cursor is.
pub(crate) struct Cursor {
    file: File,
    position: u64,
}

impl Cursor {
    async fn seek(&mut self, offset: u64) -> io::Result<()> {
        if self.position != offset {
            self.position = self.file.seek(SeekFrom::Start(offset)).await?;
        }
        Ok(())
    }
}

impl Ops for TokioFs {
    type File = Arc<Mutex<Cursor>>;
    type Buf = AlignedBuf;
    type Stream = File;

    const SHARES_FILE: bool = false;

    fn buf(len: usize) -> AlignedBuf {
        aligned(len)
    }

    async fn open(path: &Path, mode: Mode) -> io::Result<Arc<Mutex<Cursor>>> {
        let file = match mode {
            Mode::Create => File::create_new(path).await?,
            Mode::Read => File::open(path).await?,
            Mode::Direct | Mode::Write => File::from_std(open_std(path, mode)?),
        };
        Ok(Arc::new(Mutex::new(Cursor { file, position: 0 })))
    }

    async fn read_at(
        file: &Arc<Mutex<Cursor>>,
        mut buf: AlignedBuf,
        offset: u64,
    ) -> io::Result<(usize, AlignedBuf)> {
        let mut cursor = file.lock().await;
        cursor.seek(offset).await?;
        let count = cursor.file.read(&mut buf).await?;
        cursor.position += count as u64;
        Ok((count, buf))
    }

    async fn read_ranges(
        file: &Arc<Mutex<Cursor>>,
        mut buf: AlignedBuf,
        ranges: &[Range<u64>],
    ) -> io::Result<(usize, AlignedBuf)> {
        let (mut cursor, mut total) = (file.lock().await, 0);
        for range in ranges {
            let length = (range.end - range.start) as usize;
            cursor.seek(range.start).await?;
            let count = cursor.file.read_exact(&mut buf[..length]).await?;
            cursor.position += count as u64;
            total += count;
        }
        Ok((total, buf))
    }

    async fn write_at(
        file: &Arc<Mutex<Cursor>>,
        buf: AlignedBuf,
        offset: u64,
    ) -> io::Result<(usize, AlignedBuf)> {
        let mut cursor = file.lock().await;
        cursor.seek(offset).await?;
        let count = cursor.file.write(&buf).await?;
        cursor.file.flush().await?;
        cursor.position += count as u64;
        Ok((count, buf))
    }

    async fn sync(file: &Arc<Mutex<Cursor>>) -> io::Result<()> {
        file.lock().await.file.sync_data().await
    }

    async fn close(file: Arc<Mutex<Cursor>>) -> io::Result<()> {
        drop(file);
        Ok(())
    }

    async fn metadata(path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path).await?.len())
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
