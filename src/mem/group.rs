//! Groups of buffers from which the kernel picks one for each read.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;
use crate::limits;

/// Buffers from which the kernel picks one when a read has something to put into it.
///
/// Reads that wait, of pipes or terminals for example, hold no memory meanwhile: many of them share a few
/// buffers. What was read comes as a [`ProvidedBuf`](super::ProvidedBuf), which gives its buffer back when it is
/// dropped. A read that finds none left, or no ring, reads into memory of its own.
///
/// A group is a cheap handle. Each ring of the driver that reads with it takes memory for
/// [`buffer_count`](BufGroup::buffer_count) buffers the first time, which becomes real page by page, and lets go
/// of it once the last handle, and the last buffer, was dropped.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::buf::BufGroup;
/// use tidegate::fs::File;
/// use std::{io::Write, os::fd::OwnedFd, os::unix::net::UnixStream};
/// let group = BufGroup::builder().count(16).size(4096).build()?;
/// let (reader, mut writer) = UnixStream::pair()?;
/// let file = File::from_std(OwnedFd::from(reader).into());
/// writer.write_all(b"hello")?;
/// assert_eq!(&file.read_provided_at(&group, 0).await?[..], b"hello");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct BufGroup {
    group: Arc<Group>,
}

/// What the handles of a group share. While it lives, rings keep what they have registered for it.
#[derive(Debug)]
pub(crate) struct Group {
    /// Tells it from all others, so that a ring finds its own buffers of it.
    pub(crate) number: u64,
    pub(crate) count: u16,
    pub(crate) size: u32,
    pub(crate) incremental: bool,
}

impl BufGroup {
    /// A group that is set up otherwise than by default.
    ///
    /// See [`BufGroup`].
    pub fn builder() -> BufGroupBuilder {
        BufGroupBuilder::default()
    }

    /// How many buffers there are for each ring.
    ///
    /// See [`BufGroupBuilder`].
    pub fn buffer_count(&self) -> u32 {
        self.group.count.into()
    }

    /// The length of each buffer, in bytes: the most that one read gives.
    ///
    /// See [`BufGroupBuilder`].
    pub fn buffer_size(&self) -> usize {
        self.group.size as usize
    }

    /// Whether one read after the other goes into the same buffer until it is full.
    ///
    /// See [`BufGroupBuilder`].
    pub fn is_incremental(&self) -> bool {
        self.group.incremental
    }

    pub(crate) fn inner(&self) -> &Arc<Group> {
        &self.group
    }
}

impl Default for BufGroup {
    /// 64 buffers of 64 KiB.
    fn default() -> BufGroup {
        let group = BufGroupBuilder::default().checked();
        BufGroup {
            group: Arc::new(group.expect("the defaults are within their bounds")),
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Group {
    fn drop(&mut self) {
        crate::base::released::note();
    }
}

/// How a [`BufGroup`] is to be.
///
/// # Examples
///
/// ```
/// use tidegate::buf::BufGroup;
/// let group = BufGroup::builder().count(8).size(16 << 10).build().unwrap();
/// assert_eq!((group.buffer_count(), group.buffer_size()), (8, 16 << 10));
/// assert!(!group.is_incremental());
///
/// let error = BufGroup::builder().count(100).build().unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct BufGroupBuilder {
    count: usize,
    size: usize,
    incremental: bool,
}

impl Default for BufGroupBuilder {
    fn default() -> BufGroupBuilder {
        BufGroupBuilder {
            count: limits::GROUP_BUFFERS,
            size: limits::GROUP_BUFFER_BYTES,
            incremental: false,
        }
    }
}

impl BufGroupBuilder {
    /// How many buffers each ring has: a power of two up to 32768; 64 by default.
    ///
    /// See [`BufGroupBuilder`].
    pub fn count(mut self, buffers: usize) -> BufGroupBuilder {
        self.count = buffers;
        self
    }

    /// The length of each buffer, in bytes; 64 KiB by default. For files that are opened for direct I/O it must
    /// be a multiple of what they ask for.
    ///
    /// See [`BufGroupBuilder`].
    pub fn size(mut self, bytes: usize) -> BufGroupBuilder {
        self.size = bytes;
        self
    }

    /// Whether one read after the other goes into the same buffer until it is full, so that many short reads
    /// share one (Linux 6.12; before, plain memory is used instead). Only for
    /// [`File::read_provided_stream`](crate::fs::File::read_provided_stream) on pipes, sockets and terminals. A
    /// buffer is free again once all that was read into it is dropped.
    ///
    /// See [`BufGroupBuilder`].
    pub fn incremental(mut self, incremental: bool) -> BufGroupBuilder {
        self.incremental = incremental;
        self
    }

    /// Makes the group. Takes no memory yet.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`](crate::Error::OutOfRange), of kind `InvalidInput`, for a setting that is out of its
    /// bounds; the text says what it may be.
    ///
    /// # Examples
    ///
    /// See [`BufGroupBuilder`].
    pub fn build(self) -> io::Result<BufGroup> {
        let group = Arc::new(self.checked()?);
        Ok(BufGroup { group })
    }

    fn checked(&self) -> Result<Group, Error> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let wrong = |name, value: usize, expected| {
            Err(Error::OutOfRange {
                name,
                value: value as u64,
                expected,
            })
        };
        let count = u16::try_from(self.count).unwrap_or(0);
        if !count.is_power_of_two() || count > limits::GROUP_BUFFERS_MAX {
            return wrong("count", self.count, "a power of two up to 32768");
        }
        if self.size == 0 || self.size > limits::RW_BYTES_MAX {
            return wrong("size", self.size, "1 up to 2147479552 bytes");
        }
        if self.size as u64 * u64::from(count) > limits::GROUP_BYTES_MAX {
            return wrong("size", self.size, "less, as all buffers have over 64 GiB");
        }
        Ok(Group {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            count,
            size: self.size as u32,
            incremental: self.incremental,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(count: usize, size: usize) -> Result<(u32, usize), String> {
        let group = BufGroup::builder().count(count).size(size).build();
        let group = group.map_err(|error| {
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            error.to_string()
        })?;
        Ok((group.buffer_count(), group.buffer_size()))
    }

    /// Requirement R42.
    #[test]
    fn settings_are_checked_at_their_ends() {
        for count in [1, 2, 64, 16_384, 32_768] {
            assert_eq!(built(count, 1), Ok((count as u32, 1)));
        }
        for count in [0, 3, 100, 32_767, 32_769, 65_535, 65_536, usize::MAX] {
            let text = built(count, 1).unwrap_err();
            let expected = format!("count is {count}: set it to a power of two up to 32768");
            assert_eq!(text, expected);
        }
        assert_eq!(
            built(1, limits::RW_BYTES_MAX),
            Ok((1, limits::RW_BYTES_MAX))
        );
        for (count, size) in [
            (1, 0),
            (1, limits::RW_BYTES_MAX + 1),
            (1, usize::MAX),
            (32_768, limits::RW_BYTES_MAX),
        ] {
            assert!(built(count, size).unwrap_err().starts_with("size is"));
        }
        let default = BufGroup::default();
        assert_eq!(
            (default.buffer_count(), default.buffer_size()),
            (64, 65_536)
        );
    }
}
