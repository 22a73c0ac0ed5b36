//! More reads than a disk's queue takes, so that even starting one sleeps.

use std::fs as std_fs;
use std::sync::{Arc, Mutex};

use tidegate::fs::{File, OpenOptions};
use tidegate::{Route, Way as Took, opcode::Kind};
use tidegate_rig::files::{self, Fragmented, first_difference};
use tidegate_rig::{FsKind, HeldDisk};

use crate::disk_files;
use crate::healthy::Healthy;
use crate::stage::{self, Done, Ops, Outcome, Play, Way, ensure, judge, lock};

/// Of each sort.
const READS: usize = 1000;
const STRIDE_BYTES: u64 = 32 << 10;
/// Reads that are started before others get their turn; a service does not start all at once either.
const AT_ONCE: usize = 50;
/// Reads of one that is cached, until one is answered at the poll.
const TRIES: usize = 10_000;

pub(crate) fn run(kind: FsKind, way: Way) -> Outcome {
    let disk = disk_files::disk(kind)?;
    let read = Read::default();
    let play = Flood {
        files: Flooded::make(&disk)?,
        healthy: Healthy::new()?,
        open: None,
        read: read.clone(),
        is_auto: way.route == Route::Auto,
    };
    let report = stage::run(way, play, way.hold(), || disk_files::hold(&disk))?;
    disk_files::remount(&disk)?;
    let read = lock(&read);
    let wrong = read
        .iter()
        .find(|(offset, bytes)| first_difference(*offset, bytes).is_some());
    ensure(wrong.is_none() && read.len() == 3 * READS, "wrong bytes")?;
    // How many, the disk's state decides: nothing is answered at the poll once it is known to be stuck.
    let hits = report.stats.count(Kind::Read, Took::AtPoll);
    println!("    {hits} reads answered at the poll");
    judge(&format!("a flood on {}", kind.name()), way, &report)
}

/// The files of a flood.
struct Flooded {
    warm: std::path::PathBuf,
    cold: Fragmented,
    cached: std::path::PathBuf,
}

impl Flooded {
    fn make(disk: &HeldDisk) -> std::io::Result<Flooded> {
        let root = disk.path();
        let cold = files::fragmented(&root.join("cold"), READS as u64, 4096)?;
        let (warm, cached) = (root.join("warm"), root.join("cached"));
        files::create(&warm, READS as u64 * STRIDE_BYTES)?;
        files::create(&cached, 1 << 20)?;
        disk.remount()?;
        // Reading the last block brings in where all of them lie.
        files::read_direct(&warm, (READS as u64 - 1) * STRIDE_BYTES, 4096)?;
        std_fs::read(&cached)?;
        Ok(Flooded { warm, cold, cached })
    }
}

struct Flood {
    files: Flooded,
    healthy: Healthy,
    open: Option<[Arc<File>; 3]>,
    read: Read,
    is_auto: bool,
}

/// What was read, and where; checked later, so that the runtime does not stop for the checking of
/// thousands that come at once.
type Read = Arc<Mutex<Vec<(u64, Vec<u8>)>>>;

async fn read(file: Arc<File>, offset: u64, into: Read) -> Done {
    let bytes = file.read_exact_at(vec![0; 4096], offset).await;
    let bytes = bytes.map_err(|error| error.error.to_string())?;
    lock(&into).push((offset, bytes));
    Ok(())
}

/// Reads until one is answered at the poll: what has to be known of the mount for that is learned beside.
async fn answered_at_the_poll(cached: &File) -> Done {
    let driver = tidegate::Handle::current().map_err(|error| error.to_string())?;
    for _ in 0..TRIES {
        let read = cached.read_at(vec![0; 4096], 0).await;
        read.map_err(|error| error.error.to_string())?;
        if driver.stats().count(Kind::Read, Took::AtPoll) > 0 {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
    Err("no cached read is answered at the poll".into())
}

impl Play for Flood {
    async fn prepare(&mut self) -> Done {
        self.healthy.prepare().await?;
        let mut open = Vec::new();
        for path in [&self.files.warm, self.files.cold.path(), &self.files.cached] {
            let file = OpenOptions::new()
                .read(true)
                .no_atime(true)
                .open(path)
                .await;
            open.push(Arc::new(file.map_err(|error| error.to_string())?));
        }
        if self.is_auto {
            answered_at_the_poll(&open[2]).await?;
        }
        self.open = open.try_into().ok();
        Ok(())
    }

    async fn start(&mut self, ops: &mut Ops) -> Done {
        let [warm, cold, cached] = self.open.take().ok_or("not prepared")?;
        let into = &self.read;
        for index in 0..READS {
            ops.start(
                "warm read",
                read(warm.clone(), index as u64 * STRIDE_BYTES, into.clone()),
            );
            ops.start(
                "cold read",
                read(
                    cold.clone(),
                    self.files.cold.offset_of(index as u64),
                    into.clone(),
                ),
            );
            ops.start(
                "cached read",
                read(cached.clone(), index as u64 % 256 * 4096, into.clone()),
            );
            if index % AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    async fn meanwhile(&mut self) -> Done {
        self.healthy.work().await
    }

    fn stuck(&self) -> &'static [&'static str] {
        &["warm read", "cold read"]
    }
}
