//! Plain system calls on the thread that polls.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use tidegate::buf::AlignedBuf;
use tokio::task::coop::consume_budget;

use super::{Mode, Ops, aligned, list, open_std};

/// System calls that may sleep. `IN_TASK`: it runs in a task of tokio, and spends the budget of the task
/// as an operation that is ready at once does; without, the other tasks would never run.
pub(crate) struct Blocking<const IN_TASK: bool>;

impl<const IN_TASK: bool> Blocking<IN_TASK> {
    async fn spend() {
        if IN_TASK {
            consume_budget().await;
        }
    }
}

impl<const IN_TASK: bool> Ops for Blocking<IN_TASK> {
    type File = Arc<File>;
    type Buf = AlignedBuf;
    type Stream = File;

    fn buf(len: usize) -> AlignedBuf {
        aligned(len)
    }

    async fn open(path: &Path, mode: Mode) -> io::Result<Arc<File>> {
        open_std(path, mode).map(Arc::new)
    }

    async fn read_at(
        file: &Arc<File>,
        mut buf: AlignedBuf,
        offset: u64,
    ) -> io::Result<(usize, AlignedBuf)> {
        let count = file.read_at(&mut buf, offset)?;
        Self::spend().await;
        Ok((count, buf))
    }

    async fn read_ranges(
        file: &Arc<File>,
        mut buf: AlignedBuf,
        ranges: &[Range<u64>],
    ) -> io::Result<(usize, AlignedBuf)> {
        let mut count = 0;
        for range in ranges {
            let length = (range.end - range.start) as usize;
            count += file.read_at(&mut buf[..length], range.start)?;
            Self::spend().await;
        }
        Ok((count, buf))
    }

    async fn write_at(
        file: &Arc<File>,
        buf: AlignedBuf,
        offset: u64,
    ) -> io::Result<(usize, AlignedBuf)> {
        let count = file.write_at(&buf, offset)?;
        Self::spend().await;
        Ok((count, buf))
    }

    async fn sync(file: &Arc<File>) -> io::Result<()> {
        file.sync_data()
    }

    async fn close(file: Arc<File>) -> io::Result<()> {
        drop(file);
        Ok(())
    }

    async fn metadata(path: &Path) -> io::Result<u64> {
        let len = std::fs::metadata(path)?.len();
        Self::spend().await;
        Ok(len)
    }

    async fn read(path: &Path) -> io::Result<usize> {
        let bytes = std::fs::read(path)?;
        Self::spend().await;
        Ok(bytes.len())
    }

    async fn copy(from: &Path, to: &Path) -> io::Result<u64> {
        std::fs::copy(from, to)
    }

    async fn list(path: &Path) -> io::Result<usize> {
        list(path)
    }

    async fn open_stream(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    async fn read_stream(stream: &mut File, into: &mut [u8]) -> io::Result<usize> {
        let count = stream.read(into)?;
        Self::spend().await;
        Ok(count)
    }
}
