//! Extended attributes of an open file.

use std::ffi::{OsStr, OsString};
use std::io;

use super::File;
use crate::fs::Xattrs;

impl File {
    /// Reads the value of an extended attribute; `None` if the file has no such attribute.
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

    /// All extended attributes, names and values, if they are together no more than `budget_bytes`: see
    /// [`read_xattrs`](crate::fs::read_xattrs).
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// Those of `flistxattr(2)` and `fgetxattr(2)`.
    ///
    /// # Backend
    ///
    /// `flistxattr(2)`, and `fgetxattr(2)` for each, in one hop to a blocking thread; the kernel has no opcode for the
    /// list.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{File, Xattrs};
    /// let read = File::open("file").await?.read_xattrs(64 << 10).await?;
    /// assert_ne!(read, Xattrs::Read(Vec::new()), "it has some");
    /// # Ok(()) }
    /// ```
    #[doc(alias = "flistxattr")]
    pub async fn read_xattrs(&self, budget_bytes: usize) -> io::Result<Xattrs> {
        let read = self.shared.clone().read_xattrs(budget_bytes).await?;
        Ok(Xattrs::of(read))
    }

    /// Lists the names of all extended attributes.
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
