//! The operations, once per engine.

mod blocking;
mod hop;
mod tidegate;
mod tokio_fs;

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::Path;

use ::tidegate::buf::AlignedBuf;

pub(crate) use self::blocking::Blocking;
pub(crate) use self::hop::Hop;
pub(crate) use self::tidegate::Tidegate;
pub(crate) use self::tokio_fs::TokioFs;

/// What O_DIRECT asks for on the disks of today.
const ALIGN: usize = 4096;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Create,
    Direct,
    Read,
    Write,
}

/// What an engine can do. Futures need not be `Send`: whoever spawns them sees whether they are.
pub(crate) trait Ops: 'static {
    /// An open file, which the tasks of one thread, or of one runtime, share.
    type File: Clone + 'static;
    type Buf: 'static;
    /// A file that is read in order.
    type Stream: 'static;

    /// Whether tasks may use one open file at the same time.
    const SHARES_FILE: bool = true;

    fn buf(len: usize) -> Self::Buf;

    fn open(path: &Path, mode: Mode) -> impl Future<Output = io::Result<Self::File>>;

    fn read_at(
        file: &Self::File,
        buf: Self::Buf,
        offset: u64,
    ) -> impl Future<Output = io::Result<(usize, Self::Buf)>>;

    /// Reads the ranges, with a buffer that is as long as the longest, and returns how many bytes came.
    fn read_ranges(
        _file: &Self::File,
        _buf: Self::Buf,
        _ranges: &[Range<u64>],
    ) -> impl Future<Output = io::Result<(usize, Self::Buf)>> {
        unsupported()
    }

    fn write_at(
        file: &Self::File,
        buf: Self::Buf,
        offset: u64,
    ) -> impl Future<Output = io::Result<(usize, Self::Buf)>>;

    fn sync(file: &Self::File) -> impl Future<Output = io::Result<()>>;

    fn close(file: Self::File) -> impl Future<Output = io::Result<()>>;

    /// The length of a file, by its path.
    fn metadata(path: &Path) -> impl Future<Output = io::Result<u64>>;

    /// The same by `statx(2)`, where that is another operation.
    fn statx(path: &Path) -> impl Future<Output = io::Result<u64>> {
        Self::metadata(path)
    }

    /// Reads a whole file, and returns how many bytes came.
    fn read(path: &Path) -> impl Future<Output = io::Result<usize>>;

    /// Makes a file with this content, synced and closed.
    fn create(path: &Path, buf: Self::Buf) -> impl Future<Output = io::Result<Self::Buf>> {
        async {
            let file = Self::open(path, Mode::Create).await?;
            let (_, buf) = Self::write_at(&file, buf, 0).await?;
            Self::sync(&file).await?;
            Self::close(file).await?;
            Ok(buf)
        }
    }

    /// Makes a file with the content of another, and returns how many bytes that is.
    fn copy(_from: &Path, _to: &Path) -> impl Future<Output = io::Result<u64>> {
        unsupported()
    }

    /// Lists a folder, asks each entry for its attributes, and returns how many there are.
    fn list(_path: &Path) -> impl Future<Output = io::Result<usize>> {
        unsupported()
    }

    fn open_stream(_path: &Path) -> impl Future<Output = io::Result<Self::Stream>> {
        unsupported()
    }

    fn read_stream(
        _stream: &mut Self::Stream,
        _into: &mut [u8],
    ) -> impl Future<Output = io::Result<usize>> {
        unsupported()
    }
}

/// What an engine answers to what it has no way for.
async fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

/// An aligned buffer that is in use as a whole.
pub(crate) fn aligned(len: usize) -> AlignedBuf {
    AlignedBuf::zeroed(len, ALIGN)
}

/// Lists a folder with each entry's attributes in the blocking way.
pub(crate) fn list(path: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(path)? {
        count += usize::from(entry?.metadata()?.is_file());
    }
    Ok(count)
}

/// Opens a file in the blocking way.
pub(crate) fn open_std(path: &Path, mode: Mode) -> io::Result<File> {
    let mut options = File::options();
    match mode {
        Mode::Create => options.write(true).create_new(true),
        Mode::Direct => past_the_cache(options.read(true))?,
        Mode::Read => options.read(true),
        Mode::Write => options.write(true),
    };
    options.open(path)
}

#[cfg(target_os = "linux")]
fn past_the_cache(options: &mut OpenOptions) -> io::Result<&mut OpenOptions> {
    use std::os::unix::fs::OpenOptionsExt;
    Ok(options.custom_flags(nix::fcntl::OFlag::O_DIRECT.bits()))
}

#[cfg(not(target_os = "linux"))]
fn past_the_cache(_: &mut OpenOptions) -> io::Result<&mut OpenOptions> {
    Err(io::ErrorKind::Unsupported.into())
}
