//! Reads and writes with owned buffers, at offsets.

use std::io;

use super::File;
use crate::buf::{BufError, IoBuf, IoBufMut, Slice};
use crate::op::rw;
use crate::opcode::Kind;

impl File {
    /// Reads once into the buffer, from its start, at an offset in bytes. Returns how many bytes came;
    /// none mean the end of the file. A buffer of over 2 147 479 552 bytes is read into only so far. A pipe
    /// or a socket ignores the offset and gives what comes.
    ///
    /// # Cancel safety
    ///
    /// No effect; the buffer is freed once the kernel is done with it.
    ///
    /// # Errors
    ///
    /// Those of `pread(2)`; `InvalidInput` for an offset over `i64::MAX`. The error gives the buffer back.
    ///
    /// # Backend
    ///
    /// At the poll where the range is in the page cache of a local filesystem; else READ (Linux 5.6);
    /// else `pread(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// See [`File`].
    #[doc(alias = "pread")]
    pub fn read_at<B: IoBufMut>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = Result<(usize, B), BufError<B>>> + Send + use<B> {
        rw::read_at(self.shared.clone(), buf, offset)
    }

    /// Reads until the buffer is full, at an offset in bytes.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// As for [`read_at`](File::read_at); `UnexpectedEof` if the file ends before, then the buffer
    /// that the error gives back has the bytes that there were.
    ///
    /// # Backend
    ///
    /// As for [`read_at`](File::read_at), as often as it takes.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let file = tidegate::fs::File::open("/etc/passwd").await?;
    /// let buf = file.read_exact_at(vec![0; 4], 0).await?;
    /// # assert_eq!(buf.len(), 4);
    /// # Ok(()) }
    /// ```
    pub fn read_exact_at<B: IoBufMut>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = Result<B, BufError<B>>> + Send + use<B> {
        let file = self.shared.clone();
        async move {
            let total = buf.bytes_total();
            let (mut buf, mut done) = (buf, 0);
            while done < total {
                let at = offset.saturating_add(done as u64);
                let step = rw::read_at(file.clone(), buf.slice(done..total), at).await;
                let (count, part) =
                    rw::progress(&file, step, Kind::Read, io::ErrorKind::UnexpectedEof)
                        .map_err(|error| error.map(Slice::into_inner))?;
                buf = part.into_inner();
                done += count;
            }
            Ok(buf)
        }
    }

    /// Writes once from the buffer's initialised bytes, at an offset in bytes. Returns how many were
    /// written, which may be fewer. A file that was opened for appending ignores the offset, and so does a
    /// pipe or a socket.
    ///
    /// # Cancel safety
    ///
    /// May take partial effect.
    ///
    /// # Errors
    ///
    /// Those of `pwrite(2)`; `InvalidInput` for an offset over `i64::MAX`. The error gives the buffer back.
    ///
    /// # Backend
    ///
    /// WRITE (Linux 5.6); `pwrite(2)` on a blocking thread without it, or where that is sooner.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// let (count, _) = file.write_at("hello", 0).await?;
    /// assert_eq!(count, 5);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "pwrite")]
    pub fn write_at<B: IoBuf>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = Result<(usize, B), BufError<B>>> + Send + use<B> {
        rw::write_at(self.shared.clone(), buf, offset)
    }

    /// Writes all of the buffer's initialised bytes, at an offset in bytes.
    ///
    /// # Cancel safety
    ///
    /// May take partial effect.
    ///
    /// # Errors
    ///
    /// As for [`write_at`](File::write_at); `WriteZero` if the file takes no more.
    ///
    /// # Backend
    ///
    /// As for [`write_at`](File::write_at), as often as it takes.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// let buf = file.write_all_at(vec![7; 1 << 20], 0).await?;
    /// # assert_eq!(buf.len(), 1 << 20);
    /// # Ok(()) }
    /// ```
    pub fn write_all_at<B: IoBuf>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = Result<B, BufError<B>>> + Send + use<B> {
        let file = self.shared.clone();
        async move {
            let total = buf.bytes_init();
            let (mut buf, mut done) = (buf, 0);
            while done < total {
                let at = offset.saturating_add(done as u64);
                let step = rw::write_at(file.clone(), buf.slice(done..total), at).await;
                let (count, part) =
                    rw::progress(&file, step, Kind::Write, io::ErrorKind::WriteZero)
                        .map_err(|error| error.map(Slice::into_inner))?;
                buf = part.into_inner();
                done += count;
            }
            Ok(buf)
        }
    }
}
