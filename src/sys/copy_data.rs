//! Moving the bytes of one file into another: in the kernel where it can, through a buffer where it cannot.
#![allow(
    clippy::disallowed_methods,
    reason = "this is where blocking calls live"
)]

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::unistd::Whence;

use super::copy::Reflink;
use super::share::share;
use super::steps::{Steps, Stride};
use crate::base::clock::coarse_ms;
use crate::base::errno::retry;
use crate::limits::{COPY_BUFFER_BYTES, COPY_SMALL_BYTES, MADE_UP_BYTES};

/// How a copy is stopped and watched.
pub(crate) struct Flow<'a> {
    /// Whether anybody waits for the copy.
    pub(crate) steps: &'a Steps,
    /// Set when somebody wants it to end.
    pub(crate) stop: Option<&'a AtomicBool>,
    /// Grows by the bytes moved.
    pub(crate) progress: Option<&'a AtomicU64>,
    /// When the last step began, in coarse milliseconds, for whoever looks from outside.
    pub(crate) pulse: Option<&'a AtomicU64>,
}

impl Flow<'_> {
    pub(crate) fn check(&self) -> io::Result<()> {
        if let Some(pulse) = self.pulse {
            pulse.store(coarse_ms(), Ordering::Relaxed);
        }
        if !self.steps.go_on() || self.is_stopped() {
            return Err(io::Error::new(
                io::ErrorKind::Interrupted,
                "the copy was stopped",
            ));
        }
        Ok(())
    }

    /// Whether somebody has asked for its end who waits for it.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    pub(super) fn moved(&self, bytes: u64) {
        if let Some(progress) = self.progress {
            progress.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

/// Which of the two files an error is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Source,
    Destination,
}

impl Side {
    pub(crate) fn pick(self, from: &Path, to: &Path) -> PathBuf {
        match self {
            Side::Source => from.to_path_buf(),
            Side::Destination => to.to_path_buf(),
        }
    }
}

pub(super) type Sided<T> = Result<T, (Side, io::Error)>;

pub(super) fn source_error(error: io::Error) -> (Side, io::Error) {
    (Side::Source, error)
}

pub(super) fn destination_error(error: io::Error) -> (Side, io::Error) {
    (Side::Destination, error)
}

/// Where holes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holes {
    /// Nowhere.
    None,
    /// Where the source has them.
    Source,
    /// Of all blocks of zeros.
    Zeros,
}

/// Which ways there are to move the data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ways {
    pub(crate) holes: Holes,
    pub(crate) reflink: Reflink,
    /// Whether the destination is a file, and not something that only looks like one.
    pub(crate) onto_file: bool,
}

impl Ways {
    /// Whether the kernel may do it, which may share blocks and does not look for zeros.
    fn in_kernel(self) -> bool {
        self.reflink != Reflink::Never && self.holes != Holes::Zeros
    }

    /// Whether the source has holes that are to be made.
    pub(super) fn follows_holes(self, source: &Metadata) -> bool {
        let has_holes = source.blocks().saturating_mul(512) < source.len();
        self.holes == Holes::Source && has_holes && self.onto_file
    }
}

/// A hole is made of zeros of this length at this alignment: blocks of most filesystems.
const ZEROS_BYTES: usize = 4096;

/// What was moved.
pub(crate) struct Moved {
    pub(crate) bytes: u64,
    pub(crate) data_bytes: u64,
}

/// Copies all of `source` into `to`, which is empty, or ends at `start` and is right so far. Fewer bytes than
/// `before.len()` mean that the source ended early. Data is counted from there on.
pub(crate) fn copy(
    source: &File,
    before: &Metadata,
    (to, start): (&File, u64),
    ways: Ways,
    flow: &Flow<'_>,
) -> Sided<Moved> {
    let len = before.len();
    if ways.reflink == Reflink::Always && len > 0 {
        share(source, to).map_err(destination_error)?;
        flow.moved(len);
        return Ok(Moved {
            bytes: len,
            data_bytes: len,
        });
    }
    if ways.holes == Holes::Zeros && ways.onto_file {
        return copy_without_zeros(source, to, flow);
    }
    if !ways.follows_holes(before) {
        let data_bytes = copy_range(source, to, start..len, true, ways, flow)?;
        return Ok(Moved {
            bytes: start + data_bytes,
            data_bytes,
        });
    }
    let mut data_bytes = 0;
    let mut at = start;
    while let Some(data) = next_data(source, at, len).map_err(source_error)? {
        let last = data.end == len;
        let bytes = copy_range(source, to, data.clone(), false, ways, flow)?;
        data_bytes += bytes;
        at = data.start + bytes;
        if at < data.end {
            return Ok(Moved {
                bytes: at,
                data_bytes,
            });
        }
        if last {
            break;
        }
        flow.check().map_err(source_error)?;
    }
    if at < len {
        retry(|| to.set_len(len)).map_err(destination_error)?;
    }
    // What it has grown by meanwhile, or has beyond its size.
    let beyond = copy_range(source, to, len..len, true, ways, flow)?;
    Ok(Moved {
        bytes: len + beyond,
        data_bytes: data_bytes + beyond,
    })
}

/// The next range with data at or after `at`; the whole rest where the filesystem cannot say.
pub(super) fn next_data(source: &File, at: u64, len: u64) -> io::Result<Option<Range<u64>>> {
    if at >= len {
        return Ok(None);
    }
    let seek = |to: u64, whence| loop {
        match nix::unistd::lseek(source, to as libc::off_t, whence) {
            Err(nix::Error::EINTR) => {}
            sought => return sought.map(|offset| (offset as u64).min(len)),
        }
    };
    let start = match seek(at, Whence::SeekData) {
        Ok(start) => start,
        Err(nix::Error::ENXIO) => return Ok(None),
        Err(nix::Error::EINVAL | nix::Error::EOPNOTSUPP | nix::Error::ENOTTY) => {
            return Ok(Some(at..len));
        }
        Err(error) => return Err(error.into()),
    };
    let end = match seek(start, Whence::SeekHole) {
        Ok(end) => end,
        Err(nix::Error::ENXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok((start < end).then_some(start..end))
}

/// Copies one range, and what lies beyond it if `to_end`; returns the bytes moved, fewer where the source ended.
fn copy_range(
    source: &File,
    to: &File,
    range: Range<u64>,
    to_end: bool,
    ways: Ways,
    flow: &Flow<'_>,
) -> Sided<u64> {
    let mut at = range.start;
    if ways.in_kernel() && range.end - range.start > COPY_SMALL_BYTES {
        at = kernel_copy(source, to, range.clone(), flow)?;
        if at == range.end && !to_end {
            return Ok(at - range.start);
        }
    }
    // The kernel's copy may stop early for reasons of its own: only a read that yields nothing is the end.
    at = buffered_copy(source, to, at..range.end, (to_end, ways.onto_file), flow)?;
    Ok(at - range.start)
}

/// Reads to the end, and writes what is not zero.
fn copy_without_zeros(source: &File, to: &File, flow: &Flow<'_>) -> Sided<Moved> {
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    let (mut at, mut data_bytes) = (0, 0);
    loop {
        flow.check().map_err(source_error)?;
        let read = retry(|| source.read_at(&mut buffer, at)).map_err(source_error)?;
        if read == 0 {
            break;
        }
        let mut offset = at;
        for block in buffer[..read].chunks(ZEROS_BYTES) {
            if block.iter().any(|&byte| byte != 0) {
                to.write_all_at(block, offset).map_err(destination_error)?;
                data_bytes += block.len() as u64;
            }
            offset += block.len() as u64;
        }
        at = offset;
        flow.moved(read as u64);
    }
    retry(|| to.set_len(at)).map_err(destination_error)?;
    Ok(Moved {
        bytes: at,
        data_bytes,
    })
}

/// Forgets the pages of a file that are not to be written.
pub(crate) fn drop_cache(file: &File) {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    {
        use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
        // Advice: whether it is followed is the kernel's affair.
        let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let _ = file;
}

/// Whether a read there yields nothing.
fn is_at_end(source: &File, at: u64) -> io::Result<bool> {
    Ok(retry(|| source.read_at(&mut [0], at))? == 0)
}

/// Reads and writes until the end of the range, or until a read yields nothing; returns where it stopped.
fn buffered_copy(
    source: &File,
    to: &File,
    range: Range<u64>,
    (to_end, mut seekable): (bool, bool),
    flow: &Flow<'_>,
) -> Sided<u64> {
    if to_end && range.start > 0 && is_at_end(source, range.start).map_err(source_error)? {
        return Ok(range.start);
    }
    // One byte more than expected, so that a single short read shows the end of a small file. What is made up as
    // it is read may give all at the beginning or never, and its size says nothing.
    let expect = (range.end - range.start).saturating_add(1);
    let least = if range.end == 0 { MADE_UP_BYTES } else { 1 };
    let expect = (expect as usize).clamp(least, COPY_BUFFER_BYTES);
    let mut buffer = vec![0; expect];
    let mut stride = Stride::new(COPY_BUFFER_BYTES as u64);
    let mut at = range.start;
    loop {
        flow.check().map_err(source_error)?;
        let most = stride.next().min(buffer.len() as u64);
        let want = if to_end {
            most as usize
        } else {
            (range.end - at).min(most) as usize
        };
        if want == 0 {
            return Ok(at);
        }
        let read = retry(|| source.read_at(&mut buffer[..want], at)).map_err(source_error)?;
        if read == 0 {
            return Ok(at);
        }
        write_part(to, &buffer[..read], at, &mut seekable).map_err(destination_error)?;
        at += read as u64;
        flow.moved(read as u64);
        if read < want && at == range.end {
            return Ok(at);
        }
        if at > range.end && buffer.len() < COPY_BUFFER_BYTES {
            // It is longer than it said: go on in growing steps.
            buffer.resize((buffer.len() * 4).clamp(4096, COPY_BUFFER_BYTES), 0);
        }
    }
}

/// Writes all of a part, and learns whether the file takes writes at a position: some of procfs do not, and say they are
/// files.
fn write_part(mut to: &File, part: &[u8], at: u64, seekable: &mut bool) -> io::Result<()> {
    if *seekable {
        match to.write_all_at(part, at) {
            Err(error) if at == 0 && error.raw_os_error() == Some(crate::base::errno::ESPIPE) => {}
            written => return written,
        }
        *seekable = false;
    }
    io::Write::write_all(&mut to, part)
}

/// `copy_file_range(2)` until the end of the range, or until the kernel does no more of it; returns where it stopped.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn kernel_copy(source: &File, to: &File, range: Range<u64>, flow: &Flow<'_>) -> Sided<u64> {
    use nix::Error;
    let mut at = range.start;
    let mut stride = Stride::new(crate::limits::COPY_CHUNK_BYTES);
    while at < range.end {
        flow.check().map_err(source_error)?;
        let chunk = (range.end - at).min(stride.next()) as usize;
        let (mut from_at, mut to_at) = (at as i64, at as i64);
        match nix::fcntl::copy_file_range(source, Some(&mut from_at), to, Some(&mut to_at), chunk) {
            Ok(0) => break,
            Ok(bytes) => {
                at += bytes as u64;
                flow.moved(bytes as u64);
            }
            Err(Error::EINTR) => {}
            Err(error @ (Error::ENOSPC | Error::EDQUOT | Error::EFBIG)) => {
                return Err(destination_error(error.into()));
            }
            // Other filesystems, seccomp, swap files, servers and special files refuse with whatever they like:
            // reading and writing says what is wrong, if anything.
            Err(_) => break,
        }
    }
    Ok(at)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn kernel_copy(_: &File, _: &File, range: Range<u64>, _: &Flow<'_>) -> Sided<u64> {
    Ok(range.start)
}

/// Whether the file is one that the kernel makes up as it is read, whose size means nothing.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_pseudo(file: &File) -> bool {
    // procfs, sysfs, cgroup, cgroup2, debugfs, tracefs, securityfs; not every libc has names for them.
    const MAGICS: [u32; 7] = [
        0x9fa0,
        0x6265_6572,
        0x0027_e0eb,
        0x6367_7270,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
    ];
    nix::sys::statfs::fstatfs(file)
        .is_ok_and(|stats| MAGICS.contains(&(stats.filesystem_type().0 as u32)))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn is_pseudo(_: &File) -> bool {
    false
}
