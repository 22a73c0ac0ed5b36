//! Files of std, descriptors, and clones.

use std::fs::File as StdFile;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::File;
use crate::op::file::SharedFile;
use crate::op::position::Position;

impl File {
    /// A file that std opened. Its cursor starts where that of std's file is.
    ///
    /// The position is that of the open file, which others may have too: a clone of std's file, or a child
    /// process. So reading, writing and seeking costs what it costs with tokio. Reads at offsets tell the kernel
    /// to start no readahead for the open file.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let file = tidegate::fs::File::from_std(std::fs::File::open("/etc/passwd")?);
    /// assert!(file.metadata().await?.is_file());
    /// # Ok(()) }
    /// ```
    pub fn from_std(std: StdFile) -> File {
        File::from(OwnedFd::from(std))
    }

    /// std's file, once what is on its way is over, with its cursor where the next byte would be read.
    ///
    /// An error of a write that was not flushed is lost: call
    /// [`flush`](tokio::io::AsyncWriteExt::flush) first.
    ///
    /// # Panics
    ///
    /// If positional operations on the file are not over, so that they still need the descriptor, and the
    /// process has no other descriptor left.
    ///
    /// # Cancel safety
    ///
    /// The file is closed if the future is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let file = tidegate::fs::File::open("/etc/passwd").await?;
    /// let std: std::fs::File = file.into_std().await;
    /// # Ok(()) }
    /// ```
    pub async fn into_std(mut self) -> StdFile {
        let cursor = self.cursor.get_mut();
        cursor.idle().await;
        // If that fails, the position is as the kernel has it.
        let _ = cursor.give_all_back(&self.shared).await;
        self.shared.given_back().await;
        if self.shared.is_locked_for_seeks() {
            self.position.hand_over_later(&self.shared).await;
        }
        self.release()
    }

    /// std's file, or this one back if an operation of the cursor is on its way or still to be done: where the
    /// position is the kernel's, what was read and not handed out takes one to give back.
    ///
    /// # Errors
    ///
    /// The file itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let file = tidegate::fs::File::open("/etc/passwd").await?;
    /// let std = file.try_into_std().expect("nothing is on its way");
    /// # Ok(()) }
    /// ```
    #[allow(
        clippy::result_large_err,
        reason = "tokio's signature: the error is the file"
    )]
    pub fn try_into_std(mut self) -> Result<StdFile, File> {
        let cursor = self.cursor.get_mut();
        let is_ready = cursor.is_idle() && !cursor.owes_kernel();
        let is_ready = is_ready && Arc::strong_count(&self.shared) == 1;
        if is_ready && self.shared.is_given_back() {
            Ok(self.release())
        } else {
            Err(self)
        }
    }

    pub(super) fn release(mut self) -> StdFile {
        self.cursor.get_mut().give_back();
        self.hand_over();
        let fd = self.shared.release();
        StdFile::from(fd.expect("a descriptor to hand out while operations hold this one"))
    }

    /// One more descriptor of the same open file, once what is on its way is over. Both have one cursor:
    /// reading, writing and seeking with one moves the other, and two that read or write at the same time
    /// get bytes of their own.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// Those of `fcntl(2)` with F_DUPFD_CLOEXEC: the process has no descriptor left.
    ///
    /// # Backend
    ///
    /// `fcntl(2)` at the poll, which does not touch storage.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tokio::io::AsyncReadExt;
    /// let mut file = tidegate::fs::File::open("/etc/passwd").await?;
    /// let mut clone = file.try_clone().await?;
    /// let (mut first, mut second) = ([0; 4], [0; 1]);
    /// file.read_exact(&mut first).await?;
    /// clone.read_exact(&mut second).await?;
    /// assert_eq!((&first, &second), (b"root", b":"));
    /// # Ok(()) }
    /// ```
    #[doc(alias = "dup")]
    pub async fn try_clone(&self) -> io::Result<File> {
        let mut cursor = self.cursor.lock().await;
        cursor.idle().await;
        let shared = self.shared.duplicate()?;
        let mut clone = File::from_parts(shared, self.position.clone());
        clone.max_buf_bytes = self.max_buf_bytes;
        Ok(clone)
    }

    /// The most bytes that one read or write of the cursor moves; 2 MiB unless set.
    ///
    /// See [`set_max_buf_size`](File::set_max_buf_size).
    pub fn max_buf_size(&self) -> usize {
        self.max_buf_bytes
    }

    /// Sets how many bytes one read or write of the cursor moves at most. Positional operations have no
    /// such bound.
    ///
    /// # Panics
    ///
    /// If it is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let mut file = tidegate::fs::File::open("/etc/passwd").await?;
    /// file.set_max_buf_size(8 * 1024 * 1024);
    /// assert_eq!(file.max_buf_size(), 8 * 1024 * 1024);
    /// # Ok(()) }
    /// ```
    pub fn set_max_buf_size(&mut self, max_buf_size: usize) {
        assert!(max_buf_size > 0, "`max_buf_size` must be greater than 0");
        self.max_buf_bytes = max_buf_size;
    }
}

impl From<StdFile> for File {
    fn from(std: StdFile) -> File {
        File::from_std(std)
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File::from_parts(SharedFile::adopt(fd), Position::of_kernel())
    }
}
