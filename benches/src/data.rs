//! The files that are worked on.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use tempfile::TempDir;

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

const SMALL_BYTES: usize = 4096;
const CHUNK_BYTES: usize = 1 << 20;
/// Files of one folder, as a service's object store would have.
const FOLDER_FILES: usize = 1000;

/// A folder with the files, removed when this is dropped.
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
    _folder: TempDir,
}

impl Data {
    /// Makes the files in a new folder within `dir`, and brings all but the cold one into memory.
    ///
    /// # Errors
    ///
    /// Those of making and writing files.
    pub fn make(dir: &Path, size: Size) -> io::Result<Data> {
        fs::create_dir_all(dir)?;
        let folder = TempDir::with_prefix_in("tidegate-bench-", dir)?;
        let path = |name: &str| folder.path().join(name);
        let (hot, cold, scratch) = (path("hot"), path("cold"), path("scratch"));
        let mut random = fastrand::Rng::with_seed(1);
        for file in [&hot, &cold] {
            fill(file, size.file_bytes, &mut random)?;
        }
        let small = small_files(&path("small"), size.small_files, &mut random)?;
        nix::unistd::syncfs(File::open(&hot)?)?;
        let data = Data {
            hot,
            cold,
            small,
            size,
            scratch,
            _folder: folder,
        };
        data.settle()?;
        Ok(data)
    }

    /// Reads everything once, as whoever used the files before would have: then no access time update
    /// is due, which a filesystem mounted with `relatime` would write at the first read of each file.
    fn settle(&self) -> io::Result<()> {
        for path in self.small.iter().chain([&self.hot, &self.cold]) {
            io::copy(&mut File::open(path)?, &mut io::sink())?;
        }
        nix::unistd::syncfs(File::open(&self.hot)?)?;
        self.forget_cold()
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
    /// Those of `open(2)` and `posix_fadvise(2)`.
    pub fn forget_cold(&self) -> io::Result<()> {
        let file = File::open(&self.cold)?;
        Ok(posix_fadvise(
            &file,
            0,
            0,
            PosixFadviseAdvice::POSIX_FADV_DONTNEED,
        )?)
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

fn fill(path: &Path, bytes: u64, random: &mut fastrand::Rng) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    random.fill(&mut chunk);
    let mut left = bytes;
    while left > 0 {
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
) -> io::Result<Vec<PathBuf>> {
    let mut content = vec![0; SMALL_BYTES];
    let mut paths = Vec::with_capacity(count);
    for index in 0..count {
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
