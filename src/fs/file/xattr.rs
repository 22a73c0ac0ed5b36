//! Extended attributes of an open file.

use std::ffi::{OsStr, OsString};
use std::io;

use super::File;

impl File {
    /// The value of an extended attribute, or `None` if the file has no such attribute.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// Those of `fgetxattr(2)`; `Unsupported` where the filesystem has no extended attributes.
    ///
    /// # Backend
    ///
    /// FGETXATTR (Linux 5.19); else `fgetxattr(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// match file.get_xattr("user.note").await {
    ///     Ok(value) => assert_eq!(value, None),
    ///     Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
    /// }
    /// # Ok(()) }
    /// ```
    #[doc(alias = "fgetxattr")]
    pub async fn get_xattr(&self, name: impl AsRef<OsStr>) -> io::Result<Option<Vec<u8>>> {
        let name = name.as_ref().to_os_string();
        self.shared.clone().get_xattr(&name).await
    }

    /// Sets an extended attribute, new or not.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `fsetxattr(2)`.
    ///
    /// # Backend
    ///
    /// FSETXATTR (Linux 5.19); else `fsetxattr(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let file = tidegate::fs::File::open("file").await?;
    /// file.set_xattr("user.note", "mine").await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "fsetxattr")]
    pub async fn set_xattr(
        &self,
        name: impl AsRef<OsStr>,
        value: impl AsRef<[u8]>,
    ) -> io::Result<()> {
        let (name, value) = (name.as_ref().to_os_string(), value.as_ref().to_vec());
        self.shared.clone().set_xattr(&name, value).await
    }

    /// Removes an extended attribute.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `fremovexattr(2)`.
    ///
    /// # Backend
    ///
    /// `fremovexattr(2)` on a blocking thread; the kernel has no opcode for it.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let file = tidegate::fs::File::open("file").await?;
    /// file.remove_xattr("user.note").await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "fremovexattr")]
    pub async fn remove_xattr(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        let name = name.as_ref().to_os_string();
        self.shared.clone().remove_xattr(&name).await
    }

    /// The names of all extended attributes.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// Those of `flistxattr(2)`.
    ///
    /// # Backend
    ///
    /// `flistxattr(2)` on a blocking thread; the kernel has no opcode for it.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let names = tidegate::fs::File::open("file").await?.list_xattrs().await?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "flistxattr")]
    pub fn list_xattrs(&self) -> impl Future<Output = io::Result<Vec<OsString>>> + Send + use<> {
        self.shared.clone().list_xattrs()
    }
}
