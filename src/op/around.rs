//! Reads past the page cache at any place: of the whole blocks around it, into aligned memory.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;

use super::file::SharedFile;
use super::rw;
use crate::base::errno;
use crate::buf::{BufError, IoBuf, Slice, bounce};
use crate::error::raw_os_error;
use crate::limits;

pub(super) type Part = Result<(usize, Slice<BytesMut>), BufError<Slice<BytesMut>>>;

/// The blocks around a range, as far as a file can go.
pub(super) fn around(unit: u64, range: &Range<u64>) -> Range<u64> {
    if range.is_empty() {
        return range.clone();
    }
    let end = range.end.checked_next_multiple_of(unit);
    let last = i64::MAX.unsigned_abs();
    range.start - range.start % unit..end.map_or(last, |end| end.min(last))
}

/// Reads a range of a file that is read by whole blocks, as far as the file goes; begun when this returns.
pub(crate) fn read_around(
    file: Arc<SharedFile>,
    unit: u64,
    range: Range<u64>,
) -> impl Future<Output = io::Result<BytesMut>> + Send + Sync + 'static {
    let blocks = around(unit, &range);
    let buf = bounce::aligned((blocks.end - blocks.start) as usize);
    let first = rw::read_through(file.clone(), buf.slice(..), Some(blocks.start).into());
    async move {
        let mut buf = read_on(&file, first.await, blocks.start).await?;
        let at = |offset: u64| (offset - blocks.start) as usize;
        buf.truncate(at(range.end));
        let before = at(range.start).min(buf.len());
        Ok(buf.split_off(before))
    }
}

/// Takes a read at this offset, and reads on until the buffer is full or the file ends.
pub(super) async fn read_on(
    file: &Arc<SharedFile>,
    first: Part,
    offset: u64,
) -> io::Result<BytesMut> {
    let (mut result, mut done) = (first, 0);
    loop {
        let at = offset + done as u64;
        let (count, part) = match rw::uninterrupted(result) {
            Err(error) if is_behind_the_last_block(file, at, &error.error) => {
                return match error.into_parts() {
                    (_, Some(part)) => Ok(part.into_inner()),
                    (error, None) => Err(error),
                };
            }
            result => result?,
        };
        let buf = part.into_inner();
        done += count.unwrap_or(0);
        let total = buf.capacity();
        if done >= total || count == Some(0) || is_at_the_end(file, offset + done as u64) {
            return Ok(buf);
        }
        let rest = buf.slice(done..total);
        result = rw::read_at(file.clone(), rest, offset + done as u64).await;
    }
}

/// Whether nothing more can come, of a file that is not asked for the end of what is in no block of its own. Of others
/// the next read tells.
fn is_at_the_end(file: &SharedFile, at: u64) -> bool {
    file.unit().is_some() && file.size_at_poll().is_some_and(|size| size <= at)
}

/// Whether this is how the system refuses to read on behind a read that came short within a block: where only whole
/// blocks are read, that was the end. Who answers short elsewhere, as a server may, reads from any place.
fn is_behind_the_last_block(file: &SharedFile, at: u64, error: &io::Error) -> bool {
    let is_within = |unit| at % unit != 0;
    file.unit().is_some_and(is_within) && raw_os_error(error) == Some(errno::EINVAL)
}

impl SharedFile {
    /// In what it is read at least, and at multiples of which, if it is read past the page cache: what the filesystem
    /// says, or a page, which is enough for what does not say.
    pub(crate) fn unit(&self) -> Option<u64> {
        let unit = || limits::DIRECT_UNIT_BYTES.max(self.told_direct_align());
        (self.is_direct() && self.is_seekable()).then(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_whole_and_have_all_of_the_range() {
        assert_eq!(around(4096, &(0..0)), 0..0);
        assert_eq!(around(4096, &(5..5)), 5..5);
        assert_eq!(around(4096, &(0..1)), 0..4096);
        assert_eq!(around(4096, &(4095..4097)), 0..8192);
        assert_eq!(around(4096, &(4096..8192)), 4096..8192);
        assert_eq!(around(12 << 10, &(13 << 10..14 << 10)), 12 << 10..24 << 10);
        let last = i64::MAX as u64;
        assert_eq!(around(4096, &(last - 1..last)), last - 4095..last);
    }
}
