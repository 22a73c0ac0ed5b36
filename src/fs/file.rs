//! An open file.

use std::fmt;
use std::fs::Permissions;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::AsyncWrite;

use super::cursor::Cursor;
use super::{Metadata, OpenOptions};
use crate::buf::{BufError, IoBuf, IoBufMut, Slice};
use crate::error::Error;
use crate::op::file::SharedFile;
use crate::op::{blocking, hop, meta, rw};
use crate::opcode::Kind;

/// An open file.
///
/// It is both: positional operations with owned buffers, which work on a shared reference and at the
/// same time, and tokio's [`AsyncRead`](tokio::io::AsyncRead), [`AsyncWrite`](tokio::io::AsyncWrite)
/// and [`AsyncSeek`](tokio::io::AsyncSeek) with a cursor of their own.
///
/// Dropping it closes it in the background; [`close`](File::close) tells how that went.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::File;
/// let file = File::open("/etc/passwd").await?;
/// let (count, buf) = file.read_at(Vec::with_capacity(64), 0).await?;
/// assert_eq!(count, buf.len());
/// # Ok(()) }
/// ```
pub struct File {
    pub(super) shared: Arc<SharedFile>,
    pub(super) cursor: Cursor,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("fd", &self.as_raw_fd())
            .finish_non_exhaustive()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.shared.as_fd().as_raw_fd()
    }
}

impl File {
    pub(super) fn from_shared(shared: Arc<SharedFile>) -> File {
        File {
            shared,
            cursor: Cursor::default(),
        }
    }

    /// Opens a file for reading.
    ///
    /// # Cancel safety
    ///
    /// Resource reclaimed, see [`OpenOptions::open`], also for errors and backend.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Opens a file for writing, empty, and makes it if it is not there.
    ///
    /// # Cancel safety
    ///
    /// Resource reclaimed, see [`OpenOptions::open`], also for errors and backend.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .await
    }

    /// Makes a file for reading and writing, and fails if it is there.
    ///
    /// # Cancel safety
    ///
    /// Resource reclaimed, see [`OpenOptions::open`], also for errors and backend.
    pub async fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .await
    }

    /// Options, all off.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// The attributes.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)`.
    ///
    /// # Backend
    ///
    /// At the poll on a local filesystem; else STATX (Linux 5.6); else on a blocking thread.
    #[doc(alias = "fstat")]
    pub async fn metadata(&self) -> io::Result<Metadata> {
        meta::of_file(&self.shared).await.map(Metadata::from)
    }

    /// Reads once into the buffer, from its start, at an offset in bytes. Returns how many bytes came;
    /// none mean the end of the file. A buffer of over 2 147 479 552 bytes is read into only so far.
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
                    rw::uninterrupted(step).map_err(|error| error.map(Slice::into_inner))?;
                buf = part.into_inner();
                match count {
                    Some(0) => {
                        return Err(BufError::new(
                            Error::io(Kind::Read, None, io::ErrorKind::UnexpectedEof.into()),
                            buf,
                        ));
                    }
                    None => {}
                    Some(count) => done += count,
                }
            }
            Ok(buf)
        }
    }

    /// Writes once from the buffer's initialised bytes, at an offset in bytes. Returns how many were
    /// written, which may be fewer. A file that was opened for appending ignores the offset.
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
    /// WRITE (Linux 5.6); else `pwrite(2)` on a blocking thread.
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
                    rw::uninterrupted(step).map_err(|error| error.map(Slice::into_inner))?;
                buf = part.into_inner();
                match count {
                    Some(0) => {
                        return Err(BufError::new(
                            Error::io(Kind::Write, None, io::ErrorKind::WriteZero.into()),
                            buf,
                        ));
                    }
                    None => {}
                    Some(count) => done += count,
                }
            }
            Ok(buf)
        }
    }

    /// Waits until content and attributes are on the device. Writes that are not over when this is
    /// called are not waited for, except those of this file's own cursor: call `flush` first.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `fsync(2)`. The kernel reports a failed writeback once: after an error, what was
    /// written since the last success may be lost, and calling again proves nothing.
    ///
    /// # Backend
    ///
    /// FSYNC (Linux 5.1); else `fsync(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// file.write_all_at("kept", 0).await?;
    /// file.sync_all().await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "fsync")]
    pub fn sync_all(&self) -> impl Future<Output = io::Result<()>> + Send + use<> {
        self.shared.clone().sync(false)
    }

    /// Waits until the content is on the device, and those attributes that are needed to read it.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// As for [`sync_all`](File::sync_all).
    ///
    /// # Backend
    ///
    /// FSYNC (Linux 5.1); else `fdatasync(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// See [`sync_all`](File::sync_all).
    #[doc(alias = "fdatasync")]
    pub fn sync_data(&self) -> impl Future<Output = io::Result<()>> + Send + use<> {
        self.shared.clone().sync(true)
    }

    /// Sets the length in bytes: cuts the file off, or lengthens it with a hole.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `ftruncate(2)`.
    ///
    /// # Backend
    ///
    /// FTRUNCATE (Linux 6.9); else `ftruncate(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// file.set_len(1 << 30).await?;
    /// assert_eq!(file.metadata().await?.len(), 1 << 30);
    /// # Ok(()) }
    /// ```
    #[doc(alias = "ftruncate")]
    pub async fn set_len(&self, len: u64) -> io::Result<()> {
        if i64::try_from(len).is_err() {
            return Err(Error::io(
                Kind::SetLen,
                None,
                io::ErrorKind::InvalidInput.into(),
            ));
        }
        self.shared.clone().set_len(len).await
    }

    /// Reserves space for `len` bytes at `offset`, so that writing there cannot run out of it. The
    /// length of the file grows if the range ends beyond it.
    ///
    /// # Cancel safety
    ///
    /// May take partial effect.
    ///
    /// # Errors
    ///
    /// Those of `fallocate(2)`, among them `StorageFull` and `Unsupported`.
    ///
    /// # Backend
    ///
    /// FALLOCATE (Linux 5.6); else `fallocate(2)` on a blocking thread, and outside of Linux only the
    /// length is set.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// if let Err(error) = file.allocate(0, 1 << 20).await {
    ///     assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    /// }
    /// # Ok(()) }
    /// ```
    #[doc(alias = "fallocate")]
    pub async fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.shared.clone().allocate(offset, len, false).await
    }

    /// Changes the permissions.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `fchmod(2)`.
    ///
    /// # Backend
    ///
    /// `fchmod(2)` on a blocking thread; the kernel has no opcode for it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use std::os::unix::fs::PermissionsExt;
    /// # let dir = tempfile::tempdir()?;
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// file.set_permissions(std::fs::Permissions::from_mode(0o600)).await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "fchmod")]
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        let shared = self.shared.clone();
        let work = move |_: &_| blocking::set_mode_of(shared.as_fd(), permissions.mode());
        hop::hop_on_file(&self.shared, Kind::SetPermissions, work).await
    }

    /// Waits for what the cursor has not written yet, closes the file, and says how that went.
    ///
    /// # Cancel safety
    ///
    /// May take effect; the file is closed all the same.
    ///
    /// # Errors
    ///
    /// Those of writing and of `close(2)`: some filesystems report there what they could not write.
    /// Positional operations that are not over keep the file open, and the close then tells nothing.
    ///
    /// # Backend
    ///
    /// CLOSE (Linux 5.6); else `close(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// tidegate::fs::File::open("/etc/passwd").await?.close().await?;
    /// # Ok(()) }
    /// ```
    pub async fn close(mut self) -> io::Result<()> {
        let flushed = poll_fn(|cx| Pin::new(&mut self).poll_flush(cx)).await;
        let File { shared, cursor } = self;
        drop(cursor);
        let closed = shared.close().await;
        flushed.and(closed)
    }
}
