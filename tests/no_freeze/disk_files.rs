//! What lies on a held disk, and what has to lie there afterwards.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tidegate_rig::files::{self, Fragmented};
use tidegate_rig::{FsKind, HeldDisk, HoldGuard, Request};

use crate::stage::{Done, ensure};

/// Files of each kind.
pub(crate) const SEVERAL: usize = 5;
pub(crate) const PLAIN_BYTES: u64 = 1 << 20;
/// Enough that where they lie does not fit into an inode, on any of the filesystems.
const EXTENTS: u64 = 600;
const FEW_EXTENTS: u64 = 80;
const DISK_BYTES: u64 = 512 << 20;
/// Longer than any run; the rig's own limit is for tests that died.
const HOLD_MAX: Duration = Duration::from_secs(60);
/// How long a closed file may keep its filesystem mounted: the kernel closes some a moment later.
const UNMOUNT_MAX: Duration = Duration::from_secs(5);

/// What the tests write differs from what is there.
pub(crate) const WRITTEN: &[u8] = b"written while the disk was dead";

pub(crate) fn disk(kind: FsKind) -> io::Result<HeldDisk> {
    HeldDisk::options(kind, DISK_BYTES)
        .with_max_hold(HOLD_MAX)
        .create()
}

pub(crate) fn hold(disk: &HeldDisk) -> io::Result<HoldGuard> {
    disk.hold(&[Request::Read, Request::Write, Request::Fsync])
}

/// Mounts it again, which needs every file on it closed.
pub(crate) fn remount(disk: &HeldDisk) -> io::Result<()> {
    let end = Instant::now() + UNMOUNT_MAX;
    loop {
        match disk.remount() {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

/// The files of one disk.
#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) root: PathBuf,
    pub(crate) cold: Fragmented,
    pub(crate) removed: Fragmented,
    pub(crate) unlinked: Fragmented,
    pub(crate) direct: PathBuf,
}

impl Files {
    /// Makes them and drops them from memory.
    pub(crate) fn make(disk: &HeldDisk) -> io::Result<Files> {
        let root = disk.path().to_owned();
        let fragmented = |name: &str| files::fragmented(&root.join(name), EXTENTS, 4096);
        let made = Files {
            cold: fragmented("cold")?,
            removed: fragmented("removed")?,
            unlinked: fragmented("unlinked")?,
            direct: root.join("direct"),
            root: root.clone(),
        };
        blocks(&made.direct, PLAIN_BYTES / 4096, 4096)?;
        for index in 0..SEVERAL {
            for (dir, count, step) in [
                ("cold-dir", 2, 4096),
                ("warm-dir", 2, 4096),
                ("direct-dir", 8, 4096),
                ("write-dir", FEW_EXTENTS, 8192),
                ("sync-dir", FEW_EXTENTS, 8192),
            ] {
                fs::create_dir_all(root.join(dir))?;
                blocks(&made.path(dir, index), count, step)?;
            }
            fs::create_dir_all(made.path("list-dir", index))?;
        }
        disk.remount()?;
        made.warm()?;
        Ok(made)
    }

    /// Has the kernel look up what is called warm, and nothing else.
    fn warm(&self) -> io::Result<()> {
        (0..SEVERAL).try_for_each(|index| fs::metadata(self.path("warm-dir", index)).map(drop))
    }

    pub(crate) fn path(&self, dir: &str, index: usize) -> PathBuf {
        self.root.join(dir).join(index.to_string())
    }

    pub(crate) fn new_file(&self) -> PathBuf {
        self.root.join("new-file")
    }

    pub(crate) fn new_dir(&self) -> PathBuf {
        self.root.join("new-dir")
    }

    /// Whether everything that was done has come to the disk itself.
    pub(crate) fn check(&self, disk: &HeldDisk) -> Done {
        let said = |error: io::Error| format!("checking: {error}");
        remount(disk).map_err(said)?;
        for index in 0..SEVERAL {
            for (dir, at) in [("write-dir", 100), ("sync-dir", 100), ("direct-dir", 4096)] {
                let bytes = read_at(&self.path(dir, index), at, WRITTEN.len()).map_err(said)?;
                ensure(
                    bytes == WRITTEN,
                    format!("{dir} {index}: the write is not there"),
                )?;
                let rest = read_at(&self.path(dir, index), 0, 100).map_err(said)?;
                let intact = files::first_difference(0, &rest).is_none();
                ensure(intact, format!("{dir} {index}: the rest has changed"))?;
            }
        }
        ensure(
            fs::read(self.new_file()).map_err(said)? == WRITTEN,
            "the new file",
        )?;
        ensure(self.new_dir().is_dir(), "the new directory")?;
        for gone in [&self.removed, &self.unlinked] {
            let name = gone.path().display();
            ensure(!gone.path().exists(), format!("{name} is still there"))?;
        }
        let all = fs::read(self.cold.path()).map_err(said)?;
        ensure(
            self.cold.first_difference(0, &all).is_none(),
            "the cold file has changed",
        )
    }
}

/// Blocks with the bytes of the pattern, `step` bytes apart. The remount that comes brings them to the disk.
fn blocks(path: &Path, count: u64, step: u64) -> io::Result<()> {
    let file = fs::File::create(path)?;
    let mut block = [0; 4096];
    (0..count).map(|index| index * step).try_for_each(|offset| {
        files::fill(offset, &mut block);
        file.write_all_at(&block, offset)
    })
}

fn read_at(path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    fs::File::open(path)?.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}
