//! An incremental scan, as a backup does it: walks a tree, compares it with a saved index, and reads what has changed
//! and nothing else.
//!
//! ```sh
//! cargo run --example incremental
//! cargo run --example incremental -- DIRECTORY INDEX
//! ```
//!
//! Files that are as they were are neither opened nor asked for extended attributes. What was not seen is not taken for
//! gone: its old records stay. Exit code 1 says that something was not seen, or changed meanwhile.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tidegate::fs::{
    self, AtomicOptions, ByteBudget, Expected, FileKind, Follow, Statx, WalkDir, WalkEntry,
    WalkError, WalkWatch, Xattrs,
};
use tidegate::{Error, Handle};
use tokio::task::JoinSet;

/// Bytes of files in memory at a time; a larger file is alone.
const BYTES_IN_FLIGHT: u64 = 64 << 20;

/// Files that are read at a time.
const READS_AT_A_TIME: usize = 32;

/// A file with more extended attributes than this is left to the next scan.
const XATTR_BYTES_MAX: usize = 256 << 10;

/// What the index has of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Record {
    /// Device, inode, size, and the times of content and attributes. Any change shows in one of them.
    state: [i64; 7],
    /// Stands for whatever a backup makes of content and extended attributes.
    digest: u64,
}

type Index = HashMap<PathBuf, Record>;

fn state_of(stat: &Statx) -> [i64; 7] {
    [
        stat.dev() as i64,
        stat.ino() as i64,
        stat.size() as i64,
        stat.mtime(),
        stat.mtime_nsec(),
        stat.ctime(),
        stat.ctime_nsec(),
    ]
}

/// Records end in a zero byte, since names may have any other.
async fn load(path: &Path) -> io::Result<Index> {
    let bytes = match fs::read(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Index::new()),
        read => read?,
    };
    let record = |bytes: &[u8]| {
        let mut parts = bytes.splitn(9, |&byte| byte == b' ');
        let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<i64>().ok();
        let mut state = [0; 7];
        for place in &mut state {
            *place = number()?;
        }
        let digest = number()? as u64;
        let path = OsStr::from_bytes(parts.next()?).into();
        Some((path, Record { state, digest }))
    };
    let records = bytes
        .split(|&byte| byte == 0)
        .filter(|record| !record.is_empty());
    let index: Option<Index> = records.map(record).collect();
    index.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "this is no index"))
}

/// The old index or the new one, whatever happens.
async fn save(path: &Path, index: Index) -> io::Result<()> {
    let mut bytes = Vec::new();
    for (path, record) in index {
        for number in record.state.iter().chain([&(record.digest as i64)]) {
            bytes.extend_from_slice(format!("{number} ").as_bytes());
        }
        bytes.extend_from_slice(&path.into_os_string().into_vec());
        bytes.push(0);
    }
    // It names files that others may not see.
    let options = AtomicOptions::new().mode(0o600);
    fs::write_atomic(path, bytes, options).await
}

/// Content and extended attributes of a file that is to be read, if it is the file that the walk saw, and stays so.
async fn read(entry: &WalkEntry, expected: Expected, budget: &ByteBudget) -> io::Result<u64> {
    let path = entry.path();
    let _held = budget.acquire(expected.size()).await?;
    let content = fs::read_unchanged(&path, &expected).await?;
    let xattrs = match fs::read_xattrs(&path, Follow::No, XATTR_BYTES_MAX).await {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Vec::new(),
        xattrs => match xattrs? {
            Xattrs::Read(xattrs) => xattrs,
            // Not read is not none.
            _ => return Err(io::ErrorKind::FileTooLarge.into()),
        },
    };
    let mut digest = DefaultHasher::new();
    digest.write(&content);
    for (name, value) in xattrs {
        digest.write(name.as_bytes());
        digest.write(&value);
    }
    Ok(digest.finish())
}

/// A scan that goes on.
struct Scan {
    before: Index,
    after: Index,
    budget: ByteBudget,
    reads: JoinSet<(WalkEntry, io::Result<u64>)>,
    unchanged: u64,
    read: u64,
    /// What was not seen, or not read.
    missed: u64,
}

impl Scan {
    async fn see(&mut self, entry: WalkEntry) {
        let Some(stat) = entry.metadata().filter(|_| entry.kind() == FileKind::File) else {
            return;
        };
        let (path, state) = (entry.path(), state_of(stat));
        match self.before.get(&path) {
            Some(record) if record.state == state => {
                self.unchanged += 1;
                self.after.insert(path, *record);
            }
            _ => {
                if self.reads.len() >= READS_AT_A_TIME {
                    self.hear().await;
                }
                let (expected, budget) = (Expected::from(stat), self.budget.clone());
                self.reads.spawn(async move {
                    let digest = read(&entry, expected, &budget).await;
                    (entry, digest)
                });
            }
        }
    }

    /// Takes what one of the reads has come to; whether there was any.
    async fn hear(&mut self) -> bool {
        let Some(ended) = self.reads.join_next().await else {
            return false;
        };
        let (entry, digest) = ended.expect("reads do not panic");
        let (path, state) = (entry.path(), entry.metadata().map(state_of));
        match (digest, state) {
            (Ok(digest), Some(state)) => {
                self.read += 1;
                self.after.insert(path, Record { state, digest });
            }
            (Err(error), _) => {
                let drifted = matches!(
                    Error::from_io(&error),
                    Some(Error::ChangedDuringRead { .. })
                );
                let why = if drifted {
                    "left to the next scan"
                } else {
                    "not read"
                };
                eprintln!("{why}: {}: {error}", path.display());
                self.missed += 1;
                self.keep(&path);
            }
            (Ok(_), None) => unreachable!("the walk asked for attributes"),
        }
        true
    }

    /// An error of the walk: of one file or directory, or of all.
    fn lose(&mut self, error: WalkError) -> io::Result<()> {
        if !error.is_soft() {
            return Err(error.into());
        }
        eprintln!("not seen: {error}");
        // One that vanished since it was listed is gone.
        if error.kind() != io::ErrorKind::NotFound {
            self.missed += 1;
            self.keep(error.path());
        }
        Ok(())
    }

    /// Keeps what the index has of a file, or of all that is below a directory and was not seen.
    fn keep(&mut self, path: &Path) {
        for (at, record) in self.before.iter().filter(|(at, _)| at.starts_with(path)) {
            self.after.entry(at.clone()).or_insert(*record);
        }
    }
}

/// Shows what is in work, four times a second, also while the walk or a read is stuck in it.
async fn show(watch: WalkWatch) {
    let Ok(handle) = Handle::current() else {
        return;
    };
    let mut beats = handle.heartbeat();
    while beats.changed().await.is_ok() {
        let entries = watch.stats().entries;
        let rate = entries as f64 / watch.age().as_secs_f64().max(0.001);
        let oldest = beats.borrow_and_update().oldest.clone();
        if let Some((path, age)) = oldest.and_then(|op| Some((op.path?, op.age))) {
            let path = path.display();
            eprintln!("{entries} entries, {rate:.0}/s; at {path} for {age:.1?}");
        }
    }
}

async fn scan(root: &Path, index: &Path) -> io::Result<ExitCode> {
    let mut scan = Scan {
        before: load(index).await?,
        after: Index::new(),
        budget: ByteBudget::new(BYTES_IN_FLIGHT),
        reads: JoinSet::new(),
        unchanged: 0,
        read: 0,
        missed: 0,
    };
    let walk = WalkDir::new(root).metadata(true).same_file_system(true);
    let mut walk = walk.walk();
    let shown = tokio::spawn(show(walk.watch()));
    while let Some(entry) = walk.next_entry().await {
        match entry {
            Ok(entry) => scan.see(entry).await,
            Err(error) => scan.lose(error)?,
        }
    }
    while scan.hear().await {}
    shown.abort();
    let gone = scan
        .before
        .keys()
        .filter(|path| !scan.after.contains_key(*path))
        .count();
    println!(
        "{} unchanged, {} read, {} gone, {} missed; at most {} bytes in flight",
        scan.unchanged,
        scan.read,
        gone,
        scan.missed,
        scan.budget.peak(),
    );
    if scan.read > 0 || gone > 0 {
        save(index, scan.after).await?;
    }
    Ok(ExitCode::from(u8::from(scan.missed > 0)))
}

#[tokio::main]
async fn main() -> io::Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    if let (Some(root), Some(index)) = (arguments.next(), arguments.next()) {
        return scan(&root, &index).await;
    }
    let dir = tempfile::tempdir()?;
    let (root, index) = (env!("CARGO_MANIFEST_DIR"), dir.path().join("index"));
    let root = Path::new(root).join("src");
    scan(&root, &index).await?;
    scan(&root, &index).await
}
