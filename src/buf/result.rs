//! The error of an operation that took a buffer.

use std::fmt;
use std::io;

use crate::error::Error;

/// Why an operation failed, and the buffer it had taken.
///
/// Converts into [`io::Error`], so `?` works; the buffer is dropped then.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// let write_only = tidegate::fs::File::create(dir.path().join("f")).await?;
/// let error = write_only.read_at(vec![7; 3], 0).await.unwrap_err();
/// assert!(!error.is_detached());
/// let (error, buf) = error.into_parts();
/// assert_eq!(error.raw_os_error(), Some(9));
/// assert_eq!(buf, Some(vec![7; 3]));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct BufError<B> {
    /// What went wrong.
    pub error: io::Error,
    buf: Option<B>,
}

impl<B> BufError<B> {
    pub(crate) fn new(error: io::Error, buf: B) -> BufError<B> {
        BufError {
            error,
            buf: Some(buf),
        }
    }

    pub(crate) fn detached(error: io::Error) -> BufError<B> {
        BufError { error, buf: None }
    }

    /// Whether the kernel may still use the buffer, so that it cannot be handed back.
    ///
    /// See [`BufError`].
    pub fn is_detached(&self) -> bool {
        self.buf.is_none()
    }

    /// The error, and the buffer unless it is detached.
    ///
    /// See [`BufError`].
    pub fn into_parts(self) -> (io::Error, Option<B>) {
        (self.error, self.buf)
    }

    pub(crate) fn told(self, tell: impl FnOnce(io::Error) -> io::Error) -> BufError<B> {
        BufError {
            error: tell(self.error),
            buf: self.buf,
        }
    }

    pub(crate) fn map<C>(self, f: impl FnOnce(B) -> C) -> BufError<C> {
        BufError {
            error: self.error,
            buf: self.buf.map(f),
        }
    }
}

impl<B> fmt::Display for BufError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<B: fmt::Debug> std::error::Error for BufError<B> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// For limits on operations with buffers: see [`OpExt`](crate::OpExt).
impl<B> From<Error> for BufError<B> {
    fn from(error: Error) -> BufError<B> {
        BufError::detached(error.into())
    }
}

impl<B> From<BufError<B>> for io::Error {
    fn from(error: BufError<B>) -> io::Error {
        error.error
    }
}
