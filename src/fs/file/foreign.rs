//! Standard streams of children, and tokio's files.

use std::process::Stdio;

use super::File;

/// What a child reads or writes, from where the file's cursor is. What a write has accepted is still written,
/// and its error is logged, since the file is gone: [`flush`](tokio::io::AsyncWriteExt::flush) first to have it
/// done, and to be told. Where others share the position, a read that took in more than it handed out is not
/// undone: [`File::into_std`] waits for either.
///
/// # Panics
///
/// As [`File::into_std`], which waits for what is on its way.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("log");
/// use tokio::io::AsyncWriteExt;
/// let mut log = tidegate::fs::File::create(&path).await?;
/// log.write_all(b"it says: ").await?;
/// log.flush().await?;
/// let mut child = std::process::Command::new("echo").arg("hello").stdout(log).spawn()?;
/// # child.wait()?;
/// # assert_eq!(std::fs::read(&path)?, b"it says: hello\n");
/// # Ok(()) }
/// ```
impl From<File> for Stdio {
    fn from(file: File) -> Stdio {
        Stdio::from(file.release())
    }
}

/// Conversions for APIs that name tokio's type.
#[cfg(feature = "tokio-fs")]
impl File {
    /// A file that tokio opened, once what is on its way in it is over. Its cursor starts where that one is.
    ///
    /// An error of a write that was not flushed is lost: call
    /// [`flush`](tokio::io::AsyncWriteExt::flush) first.
    ///
    /// # Cancel safety
    ///
    /// The file is closed if the future is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let theirs = tokio::fs::File::open("/etc/passwd").await?;
    /// let file = tidegate::fs::File::from_tokio(theirs).await;
    /// assert!(file.metadata().await?.is_file());
    /// # Ok(()) }
    /// ```
    pub async fn from_tokio(file: tokio::fs::File) -> File {
        File::from_std(file.into_std().await)
    }

    /// A file of tokio's, once what is on its way is over, with its cursor where this one's is.
    ///
    /// An error of a write that was not flushed is lost: call
    /// [`flush`](tokio::io::AsyncWriteExt::flush) first.
    ///
    /// # Panics
    ///
    /// As [`into_std`](File::into_std).
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
    /// let theirs: tokio::fs::File = file.into_tokio().await;
    /// # Ok(()) }
    /// ```
    pub async fn into_tokio(self) -> tokio::fs::File {
        tokio::fs::File::from_std(self.into_std().await)
    }
}

/// See [`File::from_tokio`], which waits for what is on its way; here the file comes back.
#[cfg(feature = "tokio-fs")]
impl TryFrom<tokio::fs::File> for File {
    type Error = tokio::fs::File;

    fn try_from(file: tokio::fs::File) -> Result<File, tokio::fs::File> {
        file.try_into_std().map(File::from_std)
    }
}

/// See [`File::into_tokio`], which waits for what is on its way; here the file comes back.
#[cfg(feature = "tokio-fs")]
impl TryFrom<File> for tokio::fs::File {
    type Error = File;

    fn try_from(file: File) -> Result<tokio::fs::File, File> {
        file.try_into_std().map(tokio::fs::File::from_std)
    }
}
