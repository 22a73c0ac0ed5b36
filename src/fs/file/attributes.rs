//! Attributes of an open file.

use std::fs::{Metadata, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use super::File;
use crate::fs::{FileTimes, Statx};
use crate::op::{blocking, hop, meta};
use crate::opcode::Kind;

impl File {
    /// Reads the attributes of the file, as std has them.
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
    /// At the poll on a local filesystem; else `fstat(2)` on a blocking thread. [`statx`](File::statx)
    /// goes through the ring there.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let file = tidegate::fs::File::open("/etc/passwd").await?;
    /// assert!(file.metadata().await?.is_file());
    /// # Ok(()) }
    /// ```
    #[doc(alias = "fstat")]
    pub async fn metadata(&self) -> io::Result<Metadata> {
        meta::metadata_of_file(&self.shared).await
    }

    /// All attributes that the kernel has, also those that std's type lacks; see
    /// [`StatxOptions`](crate::fs::StatxOptions) for fewer of them.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// Those of `statx(2)`.
    ///
    /// # Backend
    ///
    /// At the poll on a local filesystem; else STATX (Linux 5.6); else `statx(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let file = tidegate::fs::File::open("/etc/passwd").await?;
    /// assert_eq!(file.statx().await?.kind(), tidegate::fs::FileKind::File);
    /// # Ok(()) }
    /// ```
    pub async fn statx(&self) -> io::Result<Statx> {
        crate::fs::StatxOptions::new().file(self).await
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

    /// Sets the times that are set in `times`, after what the cursor has on its way.
    ///
    /// # Cancel safety
    ///
    /// May take effect.
    ///
    /// # Errors
    ///
    /// Those of `futimens(2)`.
    ///
    /// # Backend
    ///
    /// `futimens(2)` on a blocking thread; the kernel has no opcode for it.
    ///
    /// # Examples
    ///
    /// See [`FileTimes`].
    #[doc(alias = "futimens")]
    pub async fn set_times(&self, times: FileTimes) -> io::Result<()> {
        // A write that is on its way would set them again.
        self.cursor.lock().await.idle().await;
        let shared = self.shared.clone();
        let work = move |_: &_| blocking::set_times_of(shared.as_fd(), times.into_std());
        hop::hop_on_file(&self.shared, Kind::SetTimes, work).await
    }

    /// Sets the time of the last change of content. Short for [`set_times`](File::set_times), also for
    /// cancel safety, errors and backend.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// let file = tidegate::fs::File::create(dir.path().join("f")).await?;
    /// file.set_modified(std::time::SystemTime::UNIX_EPOCH).await?;
    /// # Ok(()) }
    /// ```
    pub async fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time)).await
    }
}
