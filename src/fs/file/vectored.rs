//! Reads and writes of several owned buffers, at offsets.

use std::io;

use super::File;
use crate::buf::{BufError, IoBuf, IoBufMut};
use crate::op::{rw, vectored};
use crate::opcode::Kind;

impl File {
    /// Reads once into the buffers, one after the other, each from its start, at an offset in bytes. Returns
    /// how many bytes came; none mean the end of the file. A read that falls short fills the first
    /// buffers and leaves the last ones as they were. Of more than 1 024 buffers, or of over 2 147 479 552
    /// bytes, it reads into the first. A pipe or a socket ignores the offset and gives what comes.
    ///
    /// # Cancel safety
    ///
    /// No effect; the buffers are freed once the kernel is done with them.
    ///
    /// # Errors
    ///
    /// Those of `preadv(2)`; `InvalidInput` for an offset over `i64::MAX`. The error gives the buffers back.
    ///
    /// # Backend
    ///
    /// READV (Linux 5.1); else `preadv(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("f");
    /// # tidegate::fs::write(&path, b"headbody").await?;
    /// let file = tidegate::fs::File::open(&path).await?;
    /// let (count, bufs) = file.readv_at(vec![vec![0; 4], vec![0; 9]], 0).await?;
    /// assert_eq!((count, &bufs[0][..], &bufs[1][..4]), (8, &b"head"[..], &b"body"[..]));
    /// # Ok(()) }
    /// ```
    #[doc(alias = "preadv")]
    pub fn readv_at<B: IoBufMut>(
        &self,
        bufs: Vec<B>,
        offset: u64,
    ) -> impl Future<Output = Result<(usize, Vec<B>), BufError<Vec<B>>>> + Send + use<B> {
        vectored::read(self.shared.clone(), bufs, offset)
    }

    /// Writes once from the initialised bytes of the buffers, one after the other, at an offset in bytes.
    /// Returns how many were written, which may be fewer: of more than 1 024 buffers, or of over
    /// 2 147 479 552 bytes, it writes the first. A file that was opened for appending ignores the offset, and
    /// so does a pipe or a socket.
    ///
    /// # Cancel safety
    ///
    /// May take partial effect.
    ///
    /// # Errors
    ///
    /// Those of `pwritev(2)`; `InvalidInput` for an offset over `i64::MAX`. The error gives the buffers back.
    ///
    /// # Backend
    ///
    /// WRITEV (Linux 5.1); `pwritev(2)` on a blocking thread without it, or where that is sooner.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// let (count, _) = file.writev_at(vec!["head", "body"], 0).await?;
    /// assert_eq!(count, 8);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "pwritev")]
    pub fn writev_at<B: IoBuf>(
        &self,
        bufs: Vec<B>,
        offset: u64,
    ) -> impl Future<Output = Result<(usize, Vec<B>), BufError<Vec<B>>>> + Send + use<B> {
        vectored::write(self.shared.clone(), bufs, 0, offset)
    }

    /// Writes all of the buffers' initialised bytes, one buffer after the other, at an offset in bytes.
    /// There may be any number of buffers.
    ///
    /// # Cancel safety
    ///
    /// May take partial effect.
    ///
    /// # Errors
    ///
    /// As for [`writev_at`](File::writev_at); `WriteZero` if the file takes no more.
    ///
    /// # Backend
    ///
    /// As for [`writev_at`](File::writev_at), as often as it takes.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// file.writev_all_at(vec!["line\n"; 5000], 0).await?;
    /// assert_eq!(file.metadata().await?.len(), 25_000);
    /// # Ok(()) }
    /// ```
    pub fn writev_all_at<B: IoBuf>(
        &self,
        bufs: Vec<B>,
        offset: u64,
    ) -> impl Future<Output = Result<Vec<B>, BufError<Vec<B>>>> + Send + use<B> {
        let file = self.shared.clone();
        async move {
            let sum = |sum: usize, buf: &B| sum.saturating_add(buf.bytes_init());
            let total = bufs.iter().fold(0, sum);
            let (mut bufs, mut done) = (bufs, 0);
            while done < total {
                let at = offset.saturating_add(done as u64);
                let step = vectored::write(file.clone(), bufs, done, at).await;
                let count;
                (count, bufs) =
                    rw::progress(&file, step, Kind::WriteVectored, io::ErrorKind::WriteZero)?;
                done += count;
            }
            Ok(bufs)
        }
    }
}
