//! A stream of a file as the body of an HTTP message.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};

use super::FileStream;
use crate::opcode::Kind;

/// The length is exact where [`bytes_left`](FileStream::bytes_left) knows it: for a closed range within
/// the file. A file that shrinks is then an error, `UnexpectedEof`, because the length was announced.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("f");
/// # tidegate::fs::write(&path, "one two three").await?;
/// use http_body::Body;
/// let file = tidegate::fs::File::open(&path).await?;
/// let length = file.metadata().await?.len();
/// let body = file.stream(..length);
/// # if cfg!(target_os = "linux") {
/// assert_eq!(body.size_hint().exact(), Some(13));
/// # }
/// # Ok(()) }
/// ```
impl Body for FileStream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let promised = self.bytes_left();
        let next = ready!(self.as_mut().poll_next(cx));
        if next.is_none() && promised.is_some_and(|left| left > 0) {
            let error = io::ErrorKind::UnexpectedEof.into();
            return Poll::Ready(Some(Err(self.file.tell(Kind::Read, error))));
        }
        Poll::Ready(next.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        futures_core::FusedStream::is_terminated(self)
    }

    fn size_hint(&self) -> SizeHint {
        match self.bytes_left() {
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::new(),
        }
    }
}
