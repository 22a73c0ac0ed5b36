//! What reached a disk, in order, and the disks that a loss of power in the middle of it can leave behind.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use tempfile::TempDir;

use crate::disk::FsKind;
use crate::error::Context;
use crate::mounts::{run, unmount_or_detach};

/// The disk as it was before anything was recorded.
pub(crate) const BASE_NAME: &str = "base";
/// What was recorded.
pub(crate) const LOG_NAME: &str = "log";
/// The head of a record: where, how much, and whether it is a flush.
const HEAD_BYTES: usize = 16;

/// Writes down what a server does to its disk, each thing before it is answered.
pub(crate) struct Recorder(Mutex<File>);

impl Recorder {
    pub(crate) fn create(dir: &Path) -> io::Result<Recorder> {
        let log = File::create(dir.join(LOG_NAME)).context("create the disk's log")?;
        Ok(Recorder(Mutex::new(log)))
    }

    pub(crate) fn note_write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(offset, data, 0)
    }

    pub(crate) fn note_flush(&self) -> io::Result<()> {
        self.note(0, &[], 1)
    }

    fn note(&self, offset: u64, data: &[u8], is_flush: u32) -> io::Result<()> {
        let mut record = Vec::with_capacity(HEAD_BYTES + data.len());
        record.extend(offset.to_le_bytes());
        record.extend((data.len() as u32).to_le_bytes());
        record.extend(is_flush.to_le_bytes());
        record.extend(data);
        let mut log = self.0.lock().unwrap_or_else(|lock| lock.into_inner());
        log.write_all(&record)
    }
}

#[derive(Debug)]
struct Record {
    offset: u64,
    data: Vec<u8>,
    is_flush: bool,
    /// Where it ends in the log.
    end: u64,
}

/// What reached a disk, from [`HeldDisk::into_story`](crate::HeldDisk::into_story).
#[derive(Debug)]
pub struct Story {
    dir: TempDir,
    kind: FsKind,
    mount_options: String,
    records: Vec<Record>,
}

impl Story {
    /// Takes over what is in the folder of a server.
    pub(crate) fn take(backing: &Path, kind: FsKind, mount_options: &str) -> io::Result<Story> {
        let dir = tempfile::Builder::new()
            .prefix("tidegate-story.")
            .tempdir()
            .context("make a folder for a story")?;
        let mut log = Vec::new();
        File::open(backing.join(LOG_NAME))
            .and_then(|mut file| file.read_to_end(&mut log))
            .context("read the disk's log")?;
        copy(&backing.join(BASE_NAME), &dir.path().join(BASE_NAME))?;
        fs::create_dir(dir.path().join("mnt"))?;
        Ok(Story {
            dir,
            kind,
            mount_options: mount_options.to_owned(),
            records: parse(&log),
        })
    }

    /// How many writes and flushes there were.
    pub fn steps(&self) -> usize {
        self.records.len()
    }

    /// How many of the steps were over at a moment of [`HeldDisk::moment`](crate::HeldDisk::moment).
    pub fn steps_at(&self, moment: u64) -> usize {
        self.records.partition_point(|record| record.end <= moment)
    }

    /// The disk as it can be after so many steps: with all writes up to the last flush, and those of the later ones
    /// that `keeps` picks.
    ///
    /// # Errors
    /// Those of making it; that of its mount, where what is left cannot be mounted.
    pub fn cut(&self, steps: usize, mut keeps: impl FnMut() -> bool) -> io::Result<CutDisk> {
        let (image, mount_dir) = (self.dir.path().join("cut"), self.dir.path().join("mnt"));
        copy(&self.dir.path().join(BASE_NAME), &image)?;
        let file = OpenOptions::new().write(true).open(&image)?;
        let records = &self.records[..steps];
        let flushed = records.iter().rposition(|record| record.is_flush);
        for (number, record) in records.iter().enumerate() {
            if flushed.is_some_and(|flushed| number < flushed) || keeps() {
                file.write_all_at(&record.data, record.offset)?;
            }
        }
        drop(file);
        let mut mount = Command::new("mount");
        mount.args(["-t", self.kind.name(), "-o", "loop"]);
        if !self.mount_options.is_empty() {
            mount.args(["-o", &self.mount_options]);
        }
        run(mount.arg(&image).arg(&mount_dir))?;
        Ok(CutDisk { mount_dir })
    }
}

/// A disk after a loss of power, mounted until this is dropped.
#[derive(Debug)]
pub struct CutDisk {
    mount_dir: PathBuf,
}

impl CutDisk {
    /// The root of the mounted filesystem.
    pub fn path(&self) -> &Path {
        &self.mount_dir
    }
}

impl Drop for CutDisk {
    fn drop(&mut self) {
        unmount_or_detach(&self.mount_dir);
    }
}

/// Copies a disk's file, with its holes.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    run(Command::new("cp").arg("--sparse=always").arg(from).arg(to))
}

fn parse(mut log: &[u8]) -> Vec<Record> {
    let (mut records, whole) = (Vec::new(), log.len());
    while log.len() >= HEAD_BYTES {
        let (head, rest) = log.split_at(HEAD_BYTES);
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (length, is_flush) = (number(8) as usize, number(12) == 1);
        // The last one may still be on its way.
        let Some(data) = rest.get(..length) else {
            break;
        };
        log = &rest[length..];
        records.push(Record {
            offset: u64::from(number(0)) | u64::from(number(4)) << 32,
            data: data.to_vec(),
            is_flush,
            end: (whole - log.len()) as u64,
        });
    }
    records
}
