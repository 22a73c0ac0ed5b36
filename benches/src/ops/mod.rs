//! The operations, once per engine.

mod blocking;
mod hop;
mod monoio;
mod ring_buf;
mod tidegate;
mod tokio_fs;
mod tokio_uring;

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ::tidegate::buf::AlignedBuf;

pub(crate) use self::blocking::Blocking;
pub(crate) use self::hop::Hop;
pub(crate) use self::monoio::Monoio;
pub(crate) use self::tidegate::Tidegate;
pub(crate) use self::tokio_fs::TokioFs;
pub(crate) use self::tokio_uring::TokioUring;

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

    fn write_at(
        file: &Self::File,
        buf: Self::Buf,
        offset: u64,
    ) -> impl Future<Output = io::Result<(usize, Self::Buf)>>;

    fn sync(file: &Self::File) -> impl Future<Output = io::Result<()>>;

    fn close(file: Self::File) -> impl Future<Output = io::Result<()>>;

    /// The length of a file, by its path.
    fn metadata(path: &Path) -> impl Future<Output = io::Result<u64>>;

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

    fn open_stream(path: &Path) -> impl Future<Output = io::Result<Self::Stream>>;

    fn read_stream(
        stream: &mut Self::Stream,
        into: &mut [u8],
    ) -> impl Future<Output = io::Result<usize>>;
}

/// An aligned buffer that is in use as a whole.
fn aligned(len: usize) -> AlignedBuf {
    AlignedBuf::zeroed(len, ALIGN)
}

/// Opens a file in the blocking way.
fn open_std(path: &Path, mode: Mode) -> io::Result<File> {
    let mut options = File::options();
    match mode {
        Mode::Create => options.write(true).create_new(true),
        Mode::Direct => options
            .read(true)
            .custom_flags(nix::fcntl::OFlag::O_DIRECT.bits()),
        Mode::Read => options.read(true),
        Mode::Write => options.write(true),
    };
    options.open(path)
}

/// The error of peers whose files cannot be read as a stream.
fn no_stream() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the engine has no streams")
}
