//! Many ranges of a file in one call, with a bounded number of reads in flight.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::around::{around, read_on};
use super::file::SharedFile;
use super::many::try_in_order;
use super::open::invalid;
use super::rw;
use crate::buf::{IoBuf, bounce};
use crate::limits;
use crate::opcode::Kind;

/// Reads each range, as far as the file goes; results are in the order of the ranges.
pub(crate) async fn read_ranges(
    file: Arc<SharedFile>,
    ranges: Vec<Range<u64>>,
) -> io::Result<Vec<Bytes>> {
    let named = |error| file.tell(Kind::Read, error);
    let backwards = |range: &Range<u64>| range.start > range.end;
    let beyond = |range: &Range<u64>| i64::try_from(range.end).is_err();
    if ranges.iter().any(|range| backwards(range) || beyond(range)) {
        return Err(named(invalid(
            "a range ends before it begins, or past the longest file",
        )));
    }
    let unit = file.unit();
    let spans = match unit {
        Some(unit) => join(ranges.iter().map(|range| around(unit, range)).collect()),
        None => join(ranges.clone()),
    };
    let mut reads = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let parts = split(span, unit).map_err(named)?;
        reads.extend(parts.into_iter().map(|(offset, buf)| (index, offset, buf)));
    }
    // Another starts as soon as one is over, so that the disk always has something to do.
    let reads = reads
        .into_iter()
        .map(|(span, offset, buf)| read_one(file.clone(), span, offset, buf));
    let mut read: Vec<Vec<BytesMut>> = spans.iter().map(|_| Vec::new()).collect();
    for (span, buf) in try_in_order(limits::RANGES_IN_FLIGHT, reads).await? {
        read[span].push(buf);
    }
    let joined: Vec<Bytes> = read.into_iter().map(assemble).collect();
    Ok(cut(&ranges, &spans, &joined))
}

/// Reads until the buffer is full or the file ends, without asking for the end of what was full.
async fn read_one(
    file: Arc<SharedFile>,
    span: usize,
    offset: u64,
    buf: BytesMut,
) -> io::Result<(usize, BytesMut)> {
    let first = rw::read_at(file.clone(), buf.slice(..), offset).await;
    let buf = read_on(&file, first, offset).await?;
    Ok((span, buf))
}

/// Puts ranges that are close together into spans, each read as one, sorted by offset.
fn join(mut sorted: Vec<Range<u64>>) -> Vec<Range<u64>> {
    sorted.retain(|range| !range.is_empty());
    sorted.sort_unstable_by_key(|range| (range.start, range.end));
    let mut spans: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        if let Some(last) = spans.last_mut() {
            let inside = range.end <= last.end;
            let near = range.start <= last.end.saturating_add(limits::RANGES_GAP_BYTES);
            let short = range.end - last.start <= limits::RANGES_JOINED_BYTES;
            if inside || near && short {
                last.end = last.end.max(range.end);
                continue;
            }
        }
        spans.push(range);
    }
    spans
}

/// The reads of a span: parts of one buffer, so that they can go on at the same time. Of a file that is read by whole
/// blocks, each is some of those, and the buffer is aligned.
fn split(span: &Range<u64>, unit: Option<u64>) -> io::Result<Vec<(u64, BytesMut)>> {
    let length = usize::try_from(span.end - span.start).map_err(|_| io::ErrorKind::OutOfMemory)?;
    if length > limits::RANGES_READ_BYTES {
        // Lengths come out of files: one that is wrong should not end the process.
        Vec::<u8>::new().try_reserve_exact(length)?;
    }
    let (mut rest, each) = match unit.and_then(|unit| usize::try_from(unit).ok()) {
        Some(unit) => {
            let each = limits::RANGES_READ_BYTES - limits::RANGES_READ_BYTES % unit;
            (bounce::aligned(length), each.max(unit))
        }
        None => (BytesMut::with_capacity(length), limits::RANGES_READ_BYTES),
    };
    let mut parts = Vec::with_capacity(length.div_ceil(each));
    let (mut offset, mut left) = (span.start, length);
    while left > each {
        let behind = rest.split_off(each);
        parts.push((offset, std::mem::replace(&mut rest, behind)));
        offset += each as u64;
        left -= each;
    }
    parts.push((offset, rest));
    Ok(parts)
}

/// The parts of a span, in their order, as one again, up to the end of the file. Nothing is copied.
fn assemble(parts: Vec<BytesMut>) -> Bytes {
    let mut whole = BytesMut::new();
    for part in parts {
        let is_short = part.len() < part.capacity();
        whole.unsplit(part);
        if is_short {
            break;
        }
    }
    whole.freeze()
}

/// Each range out of the span that has it.
fn cut(ranges: &[Range<u64>], spans: &[Range<u64>], joined: &[Bytes]) -> Vec<Bytes> {
    let one = |range: &Range<u64>| {
        if range.is_empty() {
            return Bytes::new();
        }
        // Of the spans that start before it, the last has it: what was joined to an earlier one started
        // before this one did.
        let index = spans.partition_point(|span| span.start <= range.start) - 1;
        let (span, bytes) = (&spans[index], &joined[index]);
        let clamp = |at: u64| ((at - span.start) as usize).min(bytes.len());
        bytes.slice(clamp(range.start)..clamp(range.end))
    };
    ranges.iter().map(one).collect()
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "one range is a case too")]
mod tests {
    use super::*;

    const GAP: u64 = limits::RANGES_GAP_BYTES;
    const JOINED: u64 = limits::RANGES_JOINED_BYTES;

    #[test]
    fn ranges_are_joined_over_small_gaps_only() {
        assert_eq!(join(vec![]), []);
        assert_eq!(join(vec![5..5, 9..9]), []);
        assert_eq!(join(vec![7..9, 0..3, 2..5]), [0..9]);
        assert_eq!(join(vec![0..10, 10 + GAP..20 + GAP]), [0..20 + GAP]);
        let apart = [0..10, 11 + GAP..20 + GAP];
        assert_eq!(join(apart.to_vec()), apart);
        // Each is long already: joining them would only keep memory.
        let long = [0..JOINED, JOINED..2 * JOINED];
        assert_eq!(join(long.to_vec()), long);
        assert_eq!(join(vec![0..3 * JOINED, 5..9]), [0..3 * JOINED]);
        let last = i64::MAX as u64;
        assert_eq!(join(vec![last - 1..last, 0..1]), [0..1, last - 1..last]);
    }

    /// Every range is cut from a span that has all of it, whatever overlaps.
    #[test]
    fn each_range_comes_from_a_span_that_has_it() {
        let wanted = [
            0..3 * JOINED,
            10..20,
            2 * JOINED..4 * JOINED,
            3 * JOINED + 5..3 * JOINED + 9,
            4 * JOINED - 1..4 * JOINED + 1,
        ];
        let spans = join(wanted.to_vec());
        let content = |at: u64| (at % 251) as u8;
        let joined: Vec<Bytes> = spans
            .iter()
            .map(|span| span.clone().map(content).collect())
            .collect();
        for (range, bytes) in wanted.iter().zip(cut(&wanted, &spans, &joined)) {
            assert_eq!(bytes.len() as u64, range.end - range.start);
            assert!(
                bytes
                    .iter()
                    .zip(range.clone())
                    .all(|(&b, at)| b == content(at))
            );
        }
    }

    fn bufs(parts: Vec<(u64, BytesMut)>) -> Vec<BytesMut> {
        parts.into_iter().map(|(_, buf)| buf).collect()
    }

    /// What was read in parts is one buffer again, and ends where the first part fell short.
    #[test]
    fn parts_become_one_without_a_copy() {
        let length = 2 * limits::RANGES_READ_BYTES as u64 + 5;
        let mut parts = split(&(7..7 + length), None).unwrap();
        let offsets: Vec<u64> = parts.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, [7, 7 + (1 << 20), 7 + (2 << 20)]);
        let start = parts[0].1.as_ptr();
        for (_, part) in &mut parts {
            part.resize(part.capacity(), 1);
        }
        let whole = assemble(bufs(parts));
        assert_eq!((whole.len() as u64, whole.as_ptr()), (length, start));

        // By whole blocks, also where a part of the usual size is none.
        for unit in [4096, 12 << 10, 4 << 20] {
            let span = 0..unit.max(1 << 20) * 3;
            let mut parts = split(&span, Some(unit)).unwrap();
            for (offset, part) in &mut parts {
                assert_eq!((*offset % unit, part.as_ptr().addr() % 4096), (0, 0));
                assert_eq!(part.capacity() as u64 % unit, 0);
                part.resize(part.capacity(), 1);
            }
            assert_eq!(assemble(bufs(parts)).len() as u64, span.end);
        }

        let mut parts = split(&(0..length), None).unwrap();
        parts[0].1.resize(limits::RANGES_READ_BYTES, 1);
        parts[1].1.resize(9, 1);
        assert_eq!(assemble(bufs(parts)).len(), limits::RANGES_READ_BYTES + 9);
    }
}
