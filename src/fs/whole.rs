//! Whole files, without buffers.

use std::io;
use std::path::Path;

use super::File;
use super::file::places::write_whole;
use super::open_options::OpenOptions;
use crate::buf::Contents;
use crate::driver;
use crate::error::Error;
use crate::op::whole;
use crate::opcode::Kind;
use crate::settings::Route;

/// Reads the whole content of a file.
///
/// Files that report no size, as in procfs, are read to their end.
///
/// # Cancel safety
///
/// No effect.
///
/// # Errors
///
/// Those of `open(2)` and `read(2)`; `OutOfMemory` if the content does not fit into memory.
///
/// # Backend
///
/// At the poll where a file of up to 256 KiB is in memory on a local filesystem. Else open, read and close in
/// one hop; or as linked entries, OPENAT, FADVISE, READ, READ and CLOSE, through a slot of the ring's own table of files
/// (Linux 6.8): where several files are read already and this one is known to have up to 64 KiB, and for a
/// handle pinned to the ring. What turns out larger there is read as OPENAT, STATX, READ and CLOSE (Linux 5.6), and
/// what is a stream by a descriptor that FIXED_FD_INSTALL makes.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// assert!(!tidegate::fs::read("/etc/passwd").await?.is_empty());
/// # Ok(()) }
/// ```
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref().to_path_buf();
    whole::read(&path).await
}

/// Reads the whole content of a file as text.
///
/// # Cancel safety
///
/// No effect.
///
/// # Errors
///
/// As for [`read`]; `InvalidData` if the content is not UTF-8.
///
/// # Backend
///
/// As for [`read`].
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// assert!(tidegate::fs::read_to_string("/etc/passwd").await?.contains("root"));
/// # Ok(()) }
/// ```
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref().to_path_buf();
    let bytes = whole::read(&path).await?;
    String::from_utf8(bytes).map_err(|_| {
        let text = "stream did not contain valid UTF-8";
        let error = io::Error::new(io::ErrorKind::InvalidData, text);
        driver::tell(Kind::ReadFile, Some(&path), error)
    })
}

/// Makes or replaces a file with this content. It is not synced: see [`File::sync_all`](super::File::sync_all).
///
/// Content that owns its bytes (`Vec<u8>`, `Box<[u8]>`, `String`, `Bytes`, `BytesMut`) is taken as it is. Any other is copied at
/// the first poll, as with tokio: if it is a mapping of a file, that may read the disk there.
///
/// # Cancel safety
///
/// May take partial effect.
///
/// # Errors
///
/// Those of `open(2)`, `write(2)` and `close(2)`: some filesystems report at the close what they could not write.
///
/// # Backend
///
/// Open, write and close in one hop, or as OPENAT, WRITE and CLOSE (Linux 5.6) for a handle pinned to
/// the ring.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// tidegate::fs::write(dir.path().join("greeting"), "hello").await?;
/// # Ok(()) }
/// ```
pub async fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    let contents = Contents::of(contents);
    let named = |error| Error::on_path(error, &path);
    let (file, contents) = if driver::current()?.route() == Route::Ring {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true);
        (options.open(&path).await?, contents)
    } else {
        match whole::write(&path, contents).await? {
            None => return Ok(()),
            Some((file, contents)) => (File::from_shared(file), contents),
        }
    };
    write_whole(file, contents).await.map_err(named)
}
