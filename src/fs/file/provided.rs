//! Reads into buffers that the kernel picks.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::{FusedStream, Stream};

use super::File;
use crate::buf::{BufGroup, ProvidedBuf};
use crate::op::provided::{self, Reading};

/// What a file gives, buffer by buffer: [`File::read_provided_stream`] makes one.
///
/// It ends at the end of the file. It is over after an error, unless that is of a limit which came before anything
/// was read. It holds the file open; dropping it cancels what is on its way.
///
/// # Examples
///
/// See [`File::read_provided_stream`].
#[must_use = "nothing is read until the stream is polled"]
pub struct ProvidedStream {
    reading: Reading,
}

impl File {
    /// Reads once at an offset in bytes, into a buffer of the group that the kernel picks. No bytes mean the end
    /// of the file. A pipe, a socket or a terminal ignores the offset and gives what comes.
    ///
    /// Meant for reads that wait: those of pipes and terminals hold no buffer until there is something to read.
    /// What is in the page cache is had for less by [`read_at`](File::read_at).
    ///
    /// # Cancel safety
    ///
    /// No effect on files; what a pipe or a terminal has given already is lost. The buffer is given back.
    ///
    /// # Errors
    ///
    /// Those of `pread(2)`; `InvalidInput` for an offset over `i64::MAX`, and for an
    /// [incremental](crate::buf::BufGroupBuilder::incremental) group. That no buffer is left is none: the read goes into
    /// memory of its own then. An ENOBUFS of the file's own, as of a netlink socket that was overrun, looks the same,
    /// and is told only if that second read gives it, too.
    ///
    /// # Backend
    ///
    /// READ with a provided buffer (Linux 5.19), always through the ring of a lane; READ with memory of its own where
    /// the ring has no buffer left or knows no groups; else `pread(2)` or `read(2)` on a blocking thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::buf::BufGroup;
    /// let group = BufGroup::default();
    /// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
    /// let file = tidegate::fs::File::from_std(std::os::fd::OwnedFd::from(reader).into());
    /// std::io::Write::write_all(&mut writer, b"hello")?;
    /// assert_eq!(&file.read_provided_at(&group, 0).await?[..], b"hello");
    /// # Ok(()) }
    /// ```
    #[doc(alias = "IOSQE_BUFFER_SELECT")]
    pub fn read_provided_at(
        &self,
        group: &BufGroup,
        offset: u64,
    ) -> impl Future<Output = io::Result<ProvidedBuf>> + Send + use<> {
        provided::read_at(self.shared.clone(), group.clone(), offset)
    }

    /// What the file gives, in buffers of the group: of pipes, sockets and terminals what comes, of other files all
    /// from the beginning.
    ///
    /// For pipes, sockets and terminals of which there are many, or which wait for long: no memory is held for a read that
    /// waits. A regular file is read for less by [`File::stream`].
    ///
    /// What a pipe, a socket or a terminal has to give is read as soon as it is there, until no buffer is left: the
    /// stream holds what its consumer has not taken. If all buffers are held elsewhere, each read takes memory of
    /// its own.
    ///
    /// # Cancel safety
    ///
    /// Of the stream's `next`: no effect, nothing is lost. A stream that is dropped loses what it has read and
    /// not handed out.
    ///
    /// # Errors
    ///
    /// Each item is one: as for [`read_provided_at`](File::read_provided_at). An
    /// [incremental](crate::buf::BufGroupBuilder::incremental) group is refused for files with positions only.
    ///
    /// # Backend
    ///
    /// READ_MULTISHOT (Linux 6.7) for what the kernel can try to read without waiting, such as sockets and the
    /// pipes of child processes; else reads as by
    /// [`read_provided_at`](File::read_provided_at), one after the other.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use futures::TryStreamExt;
    /// use std::{io::Write, os::fd::OwnedFd, os::unix::net::UnixStream};
    /// use tidegate::{buf::BufGroup, fs::File};
    /// let (reader, mut writer) = UnixStream::pair()?;
    /// let file = File::from_std(OwnedFd::from(reader).into());
    /// let group = BufGroup::builder().count(4).size(4096).build()?;
    /// let mut stream = file.read_provided_stream(&group);
    /// writer.write_all(b"hello")?;
    /// assert_eq!(&stream.try_next().await?.unwrap()[..], b"hello");
    /// drop(writer);
    /// assert!(stream.try_next().await?.is_none());
    /// # Ok(()) }
    /// ```
    #[doc(alias = "IORING_OP_READ_MULTISHOT")]
    pub fn read_provided_stream(&self, group: &BufGroup) -> ProvidedStream {
        ProvidedStream {
            reading: Reading::new(self.shared.clone(), group.clone()),
        }
    }
}

impl Stream for ProvidedStream {
    type Item = io::Result<ProvidedBuf>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().reading.poll(cx)
    }
}

impl FusedStream for ProvidedStream {
    fn is_terminated(&self) -> bool {
        self.reading.is_done()
    }
}

impl fmt::Debug for ProvidedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvidedStream").finish_non_exhaustive()
    }
}
