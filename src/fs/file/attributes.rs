//! Attributes of an open file.

use std::fs::Permissions;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use super::File;
use crate::fs::Metadata;
use crate::op::{blocking, hop, meta};
use crate::opcode::Kind;

impl File {
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
}
