//! Files with known bytes: what a test reads can be checked at any offset.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Context, invalid};

/// The byte that the files of this module have at `offset`. Never 0, which is what holes read as.
///
/// ```
/// use tidegate_rig::files::pattern;
/// assert_ne!(pattern(4096), 0);
/// assert_eq!(pattern(4096), pattern(4096));
/// ```
pub fn pattern(offset: u64) -> u8 {
    // Fibonacci hashing: neighbours differ, and so do the same places in different blocks.
    (offset.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8 | 1
}

/// Fills `buf` with what [`pattern`] has from `offset` on.
pub fn fill(offset: u64, buf: &mut [u8]) {
    for (at, byte) in (offset..).zip(buf) {
        *byte = pattern(at);
    }
}

/// The offset of the first byte that is not what [`pattern`] says; `None` when all are right.
pub fn first_difference(offset: u64, bytes: &[u8]) -> Option<u64> {
    (offset..)
        .zip(bytes)
        .find(|(at, byte)| pattern(*at) != **byte)
        .map(|(at, _)| at)
}

/// Creates a file of `len_bytes` with the bytes of [`pattern`], and writes it back to the disk.
///
/// # Errors
/// Those of creating, writing and syncing.
pub fn create(path: &Path, len_bytes: u64) -> io::Result<()> {
    const CHUNK_BYTES: u64 = 1 << 20;
    let file = File::create(path).context(format_args!("create {}", path.display()))?;
    let mut buf = vec![0; CHUNK_BYTES as usize];
    for offset in (0..len_bytes).step_by(CHUNK_BYTES as usize) {
        let chunk = &mut buf[..CHUNK_BYTES.min(len_bytes - offset) as usize];
        fill(offset, chunk);
        file.write_all_at(chunk, offset)
            .context(format_args!("write {}", path.display()))?;
    }
    file.sync_all()
        .context(format_args!("sync {}", path.display()))
}

/// A file of many extents, each one block long and followed by a hole of the same length.
#[derive(Clone, Debug)]
pub struct Fragmented {
    path: PathBuf,
    extents: u64,
    block_bytes: u64,
}

/// Creates a [`Fragmented`] file: `extents` blocks of `block_bytes`, written back to the disk.
///
/// With some thousand extents, where they lie is kept in blocks apart from the inode. After
/// [`HeldDisk::remount`](crate::HeldDisk::remount) these are cold, and looking up one sleeps on the disk.
///
/// # Errors
/// `InvalidInput` when `block_bytes` is no multiple of 4096; those of creating, writing and syncing.
pub fn fragmented(path: &Path, extents: u64, block_bytes: u64) -> io::Result<Fragmented> {
    if block_bytes == 0 || block_bytes % 4096 != 0 {
        return Err(invalid(
            "the block of a fragmented file has to be a multiple of 4096 bytes",
        ));
    }
    let made = Fragmented {
        path: path.to_owned(),
        extents,
        block_bytes,
    };
    let file = File::create(path).context(format_args!("create {}", path.display()))?;
    let mut block = vec![0; block_bytes as usize];
    for extent in 0..extents {
        fill(made.offset_of(extent), &mut block);
        file.write_all_at(&block, made.offset_of(extent))
            .context(format_args!("write {}", path.display()))?;
    }
    file.set_len(made.len_bytes())?;
    file.sync_all()
        .context(format_args!("sync {}", path.display()))?;
    Ok(made)
}

impl Fragmented {
    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The length of the file, with the hole at its end.
    pub fn len_bytes(&self) -> u64 {
        self.extents * 2 * self.block_bytes
    }

    /// The number of written blocks.
    pub fn extents(&self) -> u64 {
        self.extents
    }

    /// The length of one written block.
    pub fn block_bytes(&self) -> u64 {
        self.block_bytes
    }

    /// Where the written block number `extent` begins.
    pub fn offset_of(&self, extent: u64) -> u64 {
        extent * 2 * self.block_bytes
    }

    /// The byte at `offset`: that of [`pattern`] in a written block, 0 in a hole.
    pub fn byte_at(&self, offset: u64) -> u8 {
        if offset / self.block_bytes % 2 == 0 {
            pattern(offset)
        } else {
            0
        }
    }

    /// The offset of the first byte that is not right; `None` when all are.
    pub fn first_difference(&self, offset: u64, bytes: &[u8]) -> Option<u64> {
        (offset..)
            .zip(bytes)
            .find(|(at, byte)| self.byte_at(*at) != **byte)
            .map(|(at, _)| at)
    }
}

/// What a direct read is aligned to: enough for every block size of the filesystems here.
const DIRECT_ALIGN: usize = 4096;

/// Reads `len_bytes` at `offset` with `O_DIRECT`, past the page cache. Both have to be multiples of 4096.
///
/// # Errors
/// Those of opening and reading; `UnexpectedEof` when the file is shorter.
pub fn read_direct(path: &Path, offset: u64, len_bytes: usize) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(path);
    let file = file.context(format_args!("open {} with O_DIRECT", path.display()))?;
    let mut memory = vec![0_u8; len_bytes + DIRECT_ALIGN];
    let skip = memory.as_ptr().align_offset(DIRECT_ALIGN);
    file.read_exact_at(&mut memory[skip..skip + len_bytes], offset)?;
    memory.drain(..skip);
    memory.truncate(len_bytes);
    Ok(memory)
}

/// Drops the cached data of a file that has been written back, and keeps its metadata. `HeldDisk::remount` drops both.
///
/// # Errors
/// Those of opening, syncing and `posix_fadvise`.
pub fn drop_cached(path: &Path) -> io::Result<()> {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    let file = File::open(path).context(format_args!("open {}", path.display()))?;
    file.sync_all()?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).context("posix_fadvise")
}
