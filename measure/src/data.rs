//! The files that are worked on.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::ops;
use crate::stop::Stop;

/// How large the data set is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Bytes of each large file.
    pub file_bytes: u64,
    /// How many small files.
    pub small_files: usize,
}

impl Default for Size {
    fn default() -> Size {
        Size {
            file_bytes: 1 << 30,
            small_files: 20_000,
        }
    }
}

impl Size {
    /// How much a sequential writer writes.
    pub fn written_bytes(&self) -> u64 {
        self.file_bytes.min(WRITTEN_BYTES_MAX)
    }

    /// How much space the files take, and the largest that a workload makes beside them: a copy.
    pub fn needed_bytes(&self) -> u64 {
        let small = self.small_files as u64 * (SMALL_BYTES as u64 + INODE_BYTES);
        self.file_bytes.saturating_mul(3).saturating_add(small)
    }
}

/// Enough for the disk to be what counts.
const WRITTEN_BYTES_MAX: u64 = 256 << 20;
const SMALL_BYTES: usize = 4096;
/// What a filesystem keeps of a file besides its content, rounded up.
const INODE_BYTES: u64 = 1024;
const CHUNK_BYTES: usize = 1 << 20;
/// Where the kernel is told to forget what it can read again.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";
/// What is in use for a moment stays.
const FORGET_TRIES_MAX: usize = 5;
/// Of all that is to be forgotten, so many names are asked for.
const NAMES_ASKED: usize = 100;
/// Files of one folder, as a service's object store would have.
const FOLDER_FILES: usize = 1000;

/// The files, in a folder of their own, which whoever made it removes.
#[derive(Debug)]
pub struct Data {
    /// Read while it is in the page cache.
    pub hot: PathBuf,
    /// Read past the page cache, or while it is not in it.
    pub cold: PathBuf,
    /// Small files.
    pub small: Vec<PathBuf>,
    /// How large the files are.
    pub size: Size,
    scratch: PathBuf,
}

impl Data {
    /// Makes the files in an empty folder, and brings all but the cold one into memory.
    ///
    /// # Errors
    ///
    /// Those of making and writing files; `Interrupted` if there is the wish to stop.
    pub fn make(folder: &Path, size: Size, stop: &Stop) -> io::Result<Data> {
        let path = |name: &str| folder.join(name);
        let (hot, cold, scratch) = (path("hot"), path("cold"), path("scratch"));
        let mut random = fastrand::Rng::with_seed(1);
        for file in [&hot, &cold] {
            fill(file, size.file_bytes, &mut random, stop)?;
        }
        let small = small_files(&path("small"), size.small_files, &mut random, stop)?;
        sync_all_of(&hot)?;
        let data = Data {
            hot,
            cold,
            small,
            size,
            scratch,
        };
        data.settle(stop)?;
        Ok(data)
    }

    /// The same files, where what was below one folder is seen below another.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if they are not below it.
    pub fn moved(self, from: &Path, to: &Path) -> io::Result<Data> {
        let moved = |path: PathBuf| match path.strip_prefix(from) {
            Ok(rest) => Ok(to.join(rest)),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidInput, error)),
        };
        Ok(Data {
            hot: moved(self.hot)?,
            cold: moved(self.cold)?,
            small: self
                .small
                .into_iter()
                .map(moved)
                .collect::<io::Result<_>>()?,
            size: self.size,
            scratch: moved(self.scratch)?,
        })
    }

    /// Reads everything once, as whoever used the files before would have: then no access time update
    /// is due, which a filesystem mounted with `relatime` would write at the first read of each file.
    fn settle(&self, stop: &Stop) -> io::Result<()> {
        for path in self.small.iter().chain([&self.hot, &self.cold]) {
            stop.check()?;
            io::copy(&mut File::open(path)?, &mut io::sink())?;
        }
        sync_all_of(&self.hot)?;
        match self.forget_cold() {
            Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads once past the page cache, to see whether that can be done here.
    ///
    /// # Errors
    ///
    /// Those of `open(2)` with O_DIRECT and of `pread(2)`; `Unsupported` where there is no O_DIRECT.
    pub fn try_direct(&self) -> io::Result<()> {
        let file = ops::open_std(&self.cold, ops::Mode::Direct)?;
        file.read_exact_at(&mut ops::aligned(SMALL_BYTES), 0)
    }

    /// Reads the cold file once in the ordinary way, and drops it from the page cache. The memory that
    /// becomes free is what the next reader's pages are made of: so each finds it as an ordinary reader
    /// has left it, and not scattered as the engine before did, which costs up to three times the CPU.
    ///
    /// # Errors
    ///
    /// As for [`forget_cold`](Data::forget_cold).
    pub fn renew_cold(&self) -> io::Result<()> {
        io::copy(&mut File::open(&self.cold)?, &mut io::sink())?;
        self.forget_cold()
    }

    /// Drops the cold file, and only it, from the page cache.
    ///
    /// # Errors
    ///
    /// Those of `open(2)` and `posix_fadvise(2)`; `Unsupported` where the system has no such call.
    pub fn forget_cold(&self) -> io::Result<()> {
        forget(&File::open(&self.cold)?)
    }

    /// Puts all that can be put out of the kernel's memory out of it: pages, inodes and names, of every filesystem, as
    /// there is no such call for one that is in use.
    ///
    /// # Errors
    ///
    /// Those of `syncfs(2)`, and of writing to `/proc/sys/vm/drop_caches`, which takes root.
    pub fn forget_all(&self) -> io::Result<()> {
        let mut known = 0;
        for _ in 0..FORGET_TRIES_MAX {
            sync_all_of(&self.hot)?;
            fs::write(DROP_CACHES, "3")?;
            known = self.known_names();
            if known == 0 {
                return Ok(());
            }
        }
        let text = format!("{known} of {NAMES_ASKED} names are still in the kernel's memory");
        Err(io::Error::new(io::ErrorKind::ResourceBusy, text))
    }

    /// How many of some small files' names the kernel has in memory, which brings none into it.
    #[cfg(target_os = "linux")]
    fn known_names(&self) -> usize {
        /// `nix` has no name for it.
        const RESOLVE_CACHED: nix::libc::c_ulonglong = 0x20;
        use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
        let how = OpenHow::new()
            .flags(OFlag::O_PATH)
            .resolve(ResolveFlag::from_bits_retain(RESOLVE_CACHED));
        let step = self.small.len().div_ceil(NAMES_ASKED);
        let asked = self.small.iter().step_by(step.max(1));
        asked
            .filter(|path| openat2(AT_FDCWD, path.as_path(), how).is_ok())
            .count()
    }

    #[cfg(not(target_os = "linux"))]
    fn known_names(&self) -> usize {
        0
    }

    /// Whether [`forget_all`](Data::forget_all) can be done here.
    pub fn can_forget_all() -> bool {
        File::options().write(true).open(DROP_CACHES).is_ok()
    }

    /// The folders that the small files are in.
    pub fn folders(&self) -> Vec<&Path> {
        let mut folders: Vec<_> = self.small.iter().filter_map(|path| path.parent()).collect();
        folders.dedup();
        folders
    }

    /// Waits until what a workload wrote is on the disk, and removes the files that it made, so that the
    /// next one does not pay for it.
    ///
    /// # Errors
    ///
    /// Those of removing a folder, and of `fsync(2)`.
    pub fn settle_writes(&self) -> io::Result<()> {
        self.clear_scratch()?;
        File::open(&self.hot)?.sync_all()
    }

    /// An empty folder for files that a workload makes.
    ///
    /// # Errors
    ///
    /// Those of making a folder.
    pub fn scratch(&self) -> io::Result<&Path> {
        self.clear_scratch()?;
        fs::create_dir(&self.scratch)?;
        Ok(&self.scratch)
    }

    fn clear_scratch(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Puts what is in memory of a file out of it.
#[cfg(any(target_os = "freebsd", target_os = "linux"))]
pub fn forget(file: &File) -> io::Result<()> {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
    Ok(posix_fadvise(file, 0, 0, advice)?)
}

/// This system has no call for it.
#[cfg(not(any(target_os = "freebsd", target_os = "linux")))]
pub fn forget(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Waits until all that was written to the filesystem of a file is on the disk.
#[cfg(target_os = "linux")]
pub fn sync_all_of(path: &Path) -> io::Result<()> {
    Ok(nix::unistd::syncfs(File::open(path)?)?)
}

/// Starts writing out all that was written anywhere, and waits for one file.
#[cfg(not(target_os = "linux"))]
pub fn sync_all_of(path: &Path) -> io::Result<()> {
    nix::unistd::sync();
    File::open(path)?.sync_all()
}

fn fill(path: &Path, bytes: u64, random: &mut fastrand::Rng, stop: &Stop) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    random.fill(&mut chunk);
    let mut left = bytes;
    while left > 0 {
        stop.check()?;
        // A mark per chunk, so that a disk that compares blocks sees no two alike.
        chunk
            .chunks_mut(SMALL_BYTES)
            .for_each(|page| page[..8].copy_from_slice(&random.u64(..).to_ne_bytes()));
        let part = left.min(CHUNK_BYTES as u64);
        file.write_all(&chunk[..part as usize])?;
        left -= part;
    }
    file.sync_all()
}

fn small_files(
    folder: &Path,
    count: usize,
    random: &mut fastrand::Rng,
    stop: &Stop,
) -> io::Result<Vec<PathBuf>> {
    let mut content = vec![0; SMALL_BYTES];
    let mut paths = Vec::with_capacity(count);
    for index in 0..count {
        stop.check()?;
        let within = folder.join(format!("{:03}", index / FOLDER_FILES));
        if index % FOLDER_FILES == 0 {
            fs::create_dir_all(&within)?;
        }
        random.fill(&mut content);
        let path = within.join(format!("{index:06}"));
        fs::write(&path, &content)?;
        paths.push(path);
    }
    Ok(paths)
}
