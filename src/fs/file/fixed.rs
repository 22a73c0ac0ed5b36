//! Reads and writes that always go to the kernel's queues, with registered memory where the buffer has such.

use super::File;
use crate::buf::{BufError, IoBuf, IoBufMut};
use crate::op::{rw, vectored};

impl File {
    /// Reads once into the buffer, as [`read_at`](File::read_at), but never answers at the poll: for direct I/O, for
    /// which there is no page cache to ask, and for measuring. With a [`FixedBuf`](crate::buf::FixedBuf), or a slice
    /// of one, the kernel uses the pool's registered memory; so it does for `read_at` where the answer is not in
    /// memory.
    ///
    /// # Cancel safety
    ///
    /// No effect; the buffer goes back to its pool once the kernel is done with it.
    ///
    /// # Errors
    ///
    /// As for [`read_at`](File::read_at).
    ///
    /// # Backend
    ///
    /// READ_FIXED (Linux 5.1, with the table of registered memory that there is since 5.19); READ for any other
    /// buffer; else `pread(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("f");
    /// # tidegate::fs::write(&path, "content").await?;
    /// let pool = tidegate::buf::BufPool::builder().build()?;
    /// let file = tidegate::fs::File::open(&path).await?;
    /// let (count, buf) = file.read_fixed_at(pool.get(), 3).await?;
    /// assert_eq!((count, &buf[..]), (4, &b"tent"[..]));
    /// # Ok(()) }
    /// ```
    #[doc(alias = "pread")]
    pub fn read_fixed_at<B: IoBufMut>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = Result<(usize, B), BufError<B>>> + Send + use<B> {
        rw::read_at_kernel(self.shared.clone(), buf, offset)
    }

    /// Writes once from the buffer's initialised bytes: another name of [`write_at`](File::write_at), which uses
    /// registered memory where the buffer has such.
    ///
    /// # Cancel safety
    ///
    /// May take partial effect.
    ///
    /// # Errors
    ///
    /// As for [`write_at`](File::write_at).
    ///
    /// # Backend
    ///
    /// WRITE_FIXED (Linux 5.1, with the table of registered memory that there is since 5.19); WRITE for any other
    /// buffer; else `pwrite(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let mut buf = tidegate::buf::BufPool::builder().build()?.get();
    /// buf.extend_from_slice(b"content");
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// let (count, _) = file.write_fixed_at(buf, 0).await?;
    /// assert_eq!(count, 7);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "pwrite")]
    pub fn write_fixed_at<B: IoBuf>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = Result<(usize, B), BufError<B>>> + Send + use<B> {
        rw::write_at(self.shared.clone(), buf, offset)
    }

    /// Reads once into the buffers, one after the other: another name of [`readv_at`](File::readv_at), which uses
    /// registered memory where all buffers are of one pool. A pool that has grown has several pieces of memory, of
    /// which one read can use one.
    ///
    /// # Cancel safety
    ///
    /// No effect; the buffers go back to their pool once the kernel is done with them.
    ///
    /// # Errors
    ///
    /// As for [`readv_at`](File::readv_at).
    ///
    /// # Backend
    ///
    /// READV_FIXED (Linux 6.15); READV for other buffers, and on earlier kernels; else `preadv(2)` on a
    /// blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("f");
    /// # tidegate::fs::write(&path, vec![7; 100_000]).await?;
    /// let pool = tidegate::buf::BufPool::builder().count(2).size(64 << 10).build()?;
    /// let file = tidegate::fs::File::open(&path).await?;
    /// let bufs = vec![pool.get(), pool.get()];
    /// let (count, bufs) = file.read_vectored_fixed_at(bufs, 0).await?;
    /// assert_eq!((count, bufs[0].len(), bufs[1].len()), (100_000, 65_536, 34_464));
    /// # Ok(()) }
    /// ```
    #[doc(alias = "preadv")]
    pub fn read_vectored_fixed_at<B: IoBufMut>(
        &self,
        bufs: Vec<B>,
        offset: u64,
    ) -> impl Future<Output = Result<(usize, Vec<B>), BufError<Vec<B>>>> + Send + use<B> {
        vectored::read(self.shared.clone(), bufs, offset)
    }

    /// Writes once from the initialised bytes of the buffers, one after the other: another name of
    /// [`writev_at`](File::writev_at), which uses registered memory where all buffers are of one pool.
    ///
    /// # Cancel safety
    ///
    /// May take partial effect.
    ///
    /// # Errors
    ///
    /// As for [`writev_at`](File::writev_at).
    ///
    /// # Backend
    ///
    /// WRITEV_FIXED (Linux 6.15); WRITEV for other buffers, and on earlier kernels; else `pwritev(2)` on a
    /// blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let pool = tidegate::buf::BufPool::builder().build()?;
    /// let mut bufs = vec![pool.get(), pool.get()];
    /// bufs[0].extend_from_slice(b"head");
    /// bufs[1].extend_from_slice(b"body");
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// let (count, _) = file.write_vectored_fixed_at(bufs, 0).await?;
    /// assert_eq!(count, 8);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "pwritev")]
    pub fn write_vectored_fixed_at<B: IoBuf>(
        &self,
        bufs: Vec<B>,
        offset: u64,
    ) -> impl Future<Output = Result<(usize, Vec<B>), BufError<Vec<B>>>> + Send + use<B> {
        vectored::write(self.shared.clone(), bufs, 0, offset)
    }
}
