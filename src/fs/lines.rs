//! The lines of a file.

use std::io;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};

use super::File;
use crate::limits;

/// Opens a file and gives its lines one by one, without their ends.
///
/// # Cancel safety
///
/// Resource reclaimed, see [`OpenOptions::open`](super::OpenOptions::open). Dropping the future of
/// [`Lines::next_line`] loses nothing.
///
/// # Errors
///
/// Those of `open(2)`; [`Lines::next_line`] has those of `read(2)`, and `InvalidData` if a line is not
/// UTF-8.
///
/// # Backend
///
/// That of [`File::open`], then a read of up to 64 KiB at a time.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// let mut lines = tidegate::fs::lines("/etc/passwd").await?;
/// let mut users = 0;
/// while let Some(line) = lines.next_line().await? {
///     users += usize::from(line.contains(':'));
/// }
/// assert!(users > 0);
/// # Ok(()) }
/// ```
pub async fn lines(path: impl AsRef<Path>) -> io::Result<Lines<BufReader<File>>> {
    let file = File::open(path).await?;
    Ok(BufReader::with_capacity(limits::LINES_BUFFER_BYTES, file).lines())
}
