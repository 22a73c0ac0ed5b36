//! Extended attributes.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use super::metadata::Follow;
use crate::driver;
use crate::op::hop::hop;
use crate::op::{c_path, names, xattr};
use crate::opcode::Kind;

/// The value of an extended attribute, or `None` if the file has no such attribute.
///
/// # Cancel safety
///
/// No effect.
///
/// # Errors
///
/// Those of `getxattr(2)`; `Unsupported` where the filesystem has no extended attributes.
///
/// # Backend
///
/// GETXATTR (Linux 5.19), which follows links; else `getxattr(2)` or `lgetxattr(2)` on a blocking thread.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::{self, Follow};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("f");
/// # fs::write(&path, b"").await?;
/// match fs::get_xattr(&path, "user.note", Follow::Links).await {
///     Ok(value) => assert_eq!(value, None),
///     Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
/// }
/// # Ok(()) }
/// ```
#[doc(alias = "getxattr")]
pub async fn get_xattr(
    path: impl AsRef<Path>,
    name: impl AsRef<OsStr>,
    follow: Follow,
) -> io::Result<Option<Vec<u8>>> {
    let (path, name) = (path.as_ref().to_path_buf(), name.as_ref().to_os_string());
    xattr::get(&path, &name, follow == Follow::Links).await
}

/// Sets an extended attribute, new or not.
///
/// # Cancel safety
///
/// May take effect.
///
/// # Errors
///
/// Those of `setxattr(2)`.
///
/// # Backend
///
/// SETXATTR (Linux 5.19), which follows links; else `setxattr(2)` or `lsetxattr(2)` on a blocking thread.
///
/// # Examples
///
/// ```no_run
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::{self, Follow};
/// fs::set_xattr("file", "user.note", b"mine", Follow::Links).await?;
/// # Ok(()) }
/// ```
#[doc(alias = "setxattr")]
pub async fn set_xattr(
    path: impl AsRef<Path>,
    name: impl AsRef<OsStr>,
    value: impl AsRef<[u8]>,
    follow: Follow,
) -> io::Result<()> {
    let (path, name) = (path.as_ref().to_path_buf(), name.as_ref().to_os_string());
    let value = value.as_ref().to_vec();
    names::set_xattr(&path, Path::new(&name), value, follow == Follow::Links).await
}

/// Removes an extended attribute.
///
/// # Cancel safety
///
/// May take effect.
///
/// # Errors
///
/// Those of `removexattr(2)`.
///
/// # Backend
///
/// `removexattr(2)` on a blocking thread; the kernel has no opcode for it.
///
/// # Examples
///
/// ```no_run
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::{self, Follow};
/// fs::remove_xattr("file", "user.note", Follow::Links).await?;
/// # Ok(()) }
/// ```
#[doc(alias = "removexattr")]
pub async fn remove_xattr(
    path: impl AsRef<Path>,
    name: impl AsRef<OsStr>,
    follow: Follow,
) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    let named = |error| driver::tell(Kind::RemoveXattr, Some(&path), error);
    let (c_file, c_name) = (
        c_path(&path).map_err(named)?,
        c_path(Path::new(name.as_ref())).map_err(named)?,
    );
    hop(Kind::RemoveXattr, &path, move |_| {
        xattr::remove(&c_file, &c_name, follow == Follow::Links)
    })
    .await
}

/// The names of all extended attributes that the caller may see.
///
/// # Cancel safety
///
/// No effect.
///
/// # Errors
///
/// Those of `listxattr(2)`.
///
/// # Backend
///
/// `listxattr(2)` on a blocking thread; the kernel has no opcode for it.
///
/// # Examples
///
/// ```no_run
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::{self, Follow};
/// let names = fs::list_xattrs("file", Follow::No).await?;
/// # Ok(()) }
/// ```
#[doc(alias = "listxattr")]
pub async fn list_xattrs(path: impl AsRef<Path>, follow: Follow) -> io::Result<Vec<OsString>> {
    let path = path.as_ref().to_path_buf();
    let c_file =
        c_path(&path).map_err(|error| driver::tell(Kind::ListXattrs, Some(&path), error))?;
    hop(Kind::ListXattrs, &path, move |_| {
        xattr::list(&c_file, follow == Follow::Links)
    })
    .await
}

/// All extended attributes of a file, or why they are not known: that it has none is something else.
///
/// See [`read_xattrs`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Xattrs {
    /// They were not read.
    NotRead(NotRead),
    /// Names and values; a file that has none has an empty list.
    Read(Vec<(OsString, Vec<u8>)>),
}

/// Why extended attributes were not read.
///
/// See [`read_xattrs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotRead {
    /// The file's content is elsewhere ([`Statx::is_dataless`](super::Statx::is_dataless)), and its attributes may be,
    /// too.
    Dataless,
    /// They are more than the budget.
    OverBudget,
}

/// All extended attributes of a file that the caller may see, names and values, if they are together no more than
/// `budget_bytes`. They are read only where this is called: attributes of other kinds come without them.
///
/// # Cancel safety
///
/// No effect.
///
/// # Errors
///
/// Those of `listxattr(2)` and `getxattr(2)`; `Unsupported` where the filesystem has no extended attributes.
///
/// # Backend
///
/// `listxattr(2)`, and `getxattr(2)` for each, in one hop to a blocking thread; the kernel has no opcode for the list.
///
/// # Examples
///
/// ```no_run
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::{self, Follow, NotRead, Xattrs};
/// match fs::read_xattrs("file", Follow::No, 64 << 10).await? {
///     Xattrs::Read(pairs) => println!("{} attributes", pairs.len()),
///     Xattrs::NotRead(NotRead::Dataless) => println!("in the cloud"),
///     Xattrs::NotRead(why) => println!("left out: {why:?}"),
///     _ => {}
/// }
/// # Ok(()) }
/// ```
#[doc(alias = "listxattr")]
#[doc(alias = "getxattr")]
pub async fn read_xattrs(
    path: impl AsRef<Path>,
    follow: Follow,
    budget_bytes: usize,
) -> io::Result<Xattrs> {
    let path = path.as_ref().to_path_buf();
    let read = xattr::read_all(&path, follow == Follow::Links, budget_bytes).await?;
    Ok(Xattrs::of(read))
}

impl Xattrs {
    pub(super) fn of(read: xattr::All) -> Xattrs {
        match read {
            xattr::All::Dataless => Xattrs::NotRead(NotRead::Dataless),
            xattr::All::OverBudget => Xattrs::NotRead(NotRead::OverBudget),
            xattr::All::Read(pairs) => Xattrs::Read(pairs),
        }
    }
}
