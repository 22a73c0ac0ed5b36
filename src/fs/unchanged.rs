//! Reading a file only as it was seen before.

use std::io;
use std::path::Path;

use super::{Dir, Statx};
use crate::op::at::At;
use crate::op::unchanged::{self, Seen};

/// What a file was when it was looked at: its device and inode, its size, and when content and attributes were changed
/// last.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::{Error, fs::{self, Expected}};
/// # let temporary = tempfile::tempdir()?;
/// # let path = temporary.path().join("file");
/// fs::write(&path, "first").await?;
/// let expected = Expected::from(&fs::metadata(&path).await?);
/// assert_eq!(fs::read_unchanged(&path, &expected).await?, b"first");
/// fs::write(&path, "other text").await?;
/// let error = fs::read_unchanged(&path, &expected).await.unwrap_err();
/// assert!(matches!(Error::from_io(&error), Some(Error::ChangedDuringRead { .. })));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected(pub(super) Seen);

impl Expected {
    /// How many bytes the file had.
    ///
    /// See [`Expected`].
    pub fn size(&self) -> u64 {
        self.0.size
    }
}

/// Whether the file's content is elsewhere makes no difference: fetching it is no change.
///
/// # Examples
///
/// See [`Expected`].
impl From<&Statx> for Expected {
    fn from(statx: &Statx) -> Expected {
        Expected(Seen::from(statx.stat()))
    }
}

/// The same from std's attributes.
///
/// # Examples
///
/// See [`Expected`].
impl From<&std::fs::Metadata> for Expected {
    fn from(metadata: &std::fs::Metadata) -> Expected {
        Expected(Seen::from(metadata.clone()))
    }
}

/// The whole content of a file, if it is the file that was seen and did not change since, nor while it was read. It is
/// compared before it is opened, when it is open, and when it is read; no more is read than was expected, and a byte.
///
/// A store through a memory mapping of a page that was dirty already changes no time, and is not noticed; nor is, before
/// Linux 6.13, a second change within the same tick of the kernel's clock (4 ms) that leaves the size.
///
/// # Cancel safety
///
/// No effect.
///
/// # Errors
///
/// [`Error::ChangedDuringRead`](crate::Error::ChangedDuringRead) says what has changed, and nothing of the content is
/// handed out; else those of [`read`](super::read()), and `OutOfMemory` for a file that is larger than memory can be.
///
/// # Backend
///
/// At the poll for a small file on a local filesystem of which the kernel has everything in memory. Else `statx(2)`,
/// `open(2)`, `read(2)` and `close(2)` in one hop to a blocking thread; each as an operation of its own on a handle that is
/// pinned to the ring. Of many files, [`Batch::read_unchanged`](super::Batch::read_unchanged) takes a fraction of the
/// processor time.
///
/// # Examples
///
/// See [`Expected`].
pub async fn read_unchanged(path: impl AsRef<Path>, expected: &Expected) -> io::Result<Vec<u8>> {
    unchanged::read(path.as_ref().into(), expected.0).await
}

impl Dir {
    /// The whole content of a file in this directory, if it is the file that was seen and did not change since: see
    /// [`read_unchanged`].
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// As for [`read_unchanged`].
    ///
    /// # Backend
    ///
    /// As for [`read_unchanged`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::fs::{Dir, Expected};
    /// let etc = Dir::open("/etc").await?;
    /// let expected = Expected::from(&etc.statx("passwd").await?);
    /// let bytes = etc.read_unchanged("passwd", &expected).await?;
    /// assert_eq!(bytes.len() as u64, expected.size());
    /// # Ok(()) }
    /// ```
    pub async fn read_unchanged(
        &self,
        path: impl AsRef<Path>,
        expected: &Expected,
    ) -> io::Result<Vec<u8>> {
        unchanged::read(At::dir(self.shared(), path.as_ref()), expected.0).await
    }
}
