//! Every operation on a disk that does not answer, at the same time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use tidegate::buf::AlignedBuf;
use tidegate::fs::{self, Advice, Dir, File, OpenOptions, Resolve, Writeback};
use tidegate_rig::files::first_difference;
use tidegate_rig::{FsKind, HeldDisk};

use crate::disk_files::{self, Files, PLAIN_BYTES, SEVERAL, WRITTEN};
use crate::healthy::Healthy;
use crate::stage::{self, Done, Ops, Outcome, Play, Way, ensure, judge};

const HOLD_SHORT: Duration = Duration::from_millis(300);

pub(crate) fn run(kind: FsKind, way: Way) -> Outcome {
    let disk = disk_files::disk(kind)?;
    let files = Files::make(&disk)?;
    let play = Operations {
        files: files.clone(),
        healthy: Healthy::new()?,
        open: Open::default(),
    };
    let report = stage::run(way, play, way.hold(), || disk_files::hold(&disk))?;
    files.check(&disk)?;
    judge(&format!("operations on {}", kind.name()), way, &report)
}

/// Opened before the disk dies.
#[derive(Default)]
struct Open {
    cold: Option<File>,
    beyond: Option<(File, Dir)>,
    direct: Option<File>,
    unlinked: Option<File>,
    read_only: Vec<File>,
    writes: Vec<File>,
    direct_writes: Vec<File>,
    syncs: Vec<File>,
}

struct Operations {
    files: Files,
    healthy: Healthy,
    open: Open,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

async fn open_rw(path: PathBuf, direct: bool) -> Result<File, String> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .direct(direct)
        .open(path)
        .await
        .map_err(text)
}

impl Play for Operations {
    async fn prepare(&mut self) -> Done {
        self.healthy.prepare().await?;
        let (files, open) = (&self.files, &mut self.open);
        open.cold = Some(File::open(files.cold.path()).await.map_err(text)?);
        open.beyond = Some((
            File::open(files.cold.path()).await.map_err(text)?,
            Dir::open(&files.root).await.map_err(text)?,
        ));
        let mut direct = OpenOptions::new();
        let direct = direct.read(true).direct(true).open(&files.direct).await;
        open.direct = Some(direct.map_err(text)?);
        open.unlinked = Some(File::open(files.unlinked.path()).await.map_err(text)?);
        fs::remove_file(files.unlinked.path()).await.map_err(text)?;
        for index in 0..SEVERAL {
            let warm = File::open(files.path("warm-dir", index)).await;
            open.read_only.push(warm.map_err(text)?);
            open.writes
                .push(open_rw(files.path("write-dir", index), false).await?);
            open.direct_writes
                .push(open_rw(files.path("direct-dir", index), true).await?);
            let sync = open_rw(files.path("sync-dir", index), false).await?;
            sync.write_all_at(WRITTEN, 100)
                .await
                .map_err(|error| text(error.error))?;
            open.syncs.push(sync);
        }
        Ok(())
    }

    async fn start(&mut self, ops: &mut Ops) -> Done {
        let open = std::mem::take(&mut self.open);
        // The last closes, on this very thread.
        drop(open.unlinked);
        drop(open.read_only);
        self.start_names(ops);
        start_writes(ops, open.writes, open.direct_writes, open.syncs);
        self.start_reads(ops, open.cold, open.direct);
        if let Some((file, dir)) = open.beyond {
            start_beyond(ops, &self.files, file, dir);
        }
        Ok(())
    }

    async fn meanwhile(&mut self) -> Done {
        self.healthy.work().await
    }

    fn stuck(&self) -> &'static [&'static str] {
        &[
            "cold read",
            "cold stream",
            "cold vectored read",
            "cold ranges",
            "direct read",
            "sync_all",
            "direct write",
        ]
    }
}

impl Operations {
    fn start_reads(&self, ops: &mut Ops, cold: Option<File>, direct: Option<File>) {
        if let Some(file) = cold {
            let file = std::sync::Arc::new(file);
            for extent in (0..self.files.cold.extents()).step_by(25) {
                let (made, file) = (self.files.cold.clone(), file.clone());
                ops.start("cold read", async move {
                    let offset = made.offset_of(extent);
                    let bytes = file.read_exact_at(vec![0; 8192], offset).await;
                    let bytes = bytes.map_err(|error| text(error.error))?;
                    ensure(
                        made.first_difference(offset, &bytes).is_none(),
                        "wrong bytes",
                    )
                });
            }
            for extent in (12..self.files.cold.extents()).step_by(50) {
                let made = self.files.cold.clone();
                let offset = made.offset_of(extent);
                let stream = file.stream(offset..offset + 8192).chunk_bytes(4096);
                ops.start("cold stream", async move {
                    let chunks: Vec<_> = stream.try_collect().await.map_err(text)?;
                    let bytes = chunks.concat();
                    let same = made.first_difference(offset, &bytes).is_none();
                    ensure(same && bytes.len() == 8192, "wrong bytes")
                });
            }
        }
        if let Some(file) = direct {
            let file = std::sync::Arc::new(file);
            for offset in (0..PLAIN_BYTES).step_by(64 << 10) {
                let file = file.clone();
                ops.start("direct read", async move {
                    let read = file.read_at(AlignedBuf::zeroed(4096, 4096), offset).await;
                    let (count, bytes) = read.map_err(|error| text(error.error))?;
                    ensure(count == 4096, format!("{count} bytes"))?;
                    ensure(first_difference(offset, &bytes).is_none(), "wrong bytes")
                });
            }
        }
    }

    fn start_names(&self, ops: &mut Ops) {
        for index in 0..SEVERAL {
            for (dir, names) in [
                ("cold-dir", ["cold metadata", "cold open", "cold whole"]),
                ("warm-dir", ["warm metadata", "warm open", "warm whole"]),
            ] {
                let path = self.files.path(dir, index);
                ops.start(names[0], metadata(path.clone(), 8192));
                ops.start(names[1], open_and_read(path.clone()));
                ops.start(names[2], whole(path));
            }
        }
        let files = self.files.clone();
        ops.start("remove_file", async move {
            fs::remove_file(files.removed.path()).await.map_err(text)
        });
        let path = self.files.new_file();
        ops.start("write of a whole file", async move {
            fs::write(path, WRITTEN).await.map_err(text)
        });
        let path = self.files.new_dir();
        ops.start("create_dir", async move {
            fs::create_dir(path).await.map_err(text)
        });
        let path = self.files.root.join("list-dir");
        ops.start("read_dir", async move {
            let mut names = Vec::new();
            let mut list = fs::read_dir(path).await.map_err(text)?;
            while let Some(entry) = list.next_entry().await.map_err(text)? {
                names.push(entry.file_name());
            }
            ensure(names.len() == SEVERAL, format!("{names:?}"))
        });
    }
}

/// What tokio does not have, each on parts of the file that nothing else reads.
fn start_beyond(ops: &mut Ops, files: &Files, file: File, dir: Dir) {
    let file = Arc::new(file);
    for extent in (5..files.cold.extents()).step_by(50) {
        let (made, file) = (files.cold.clone(), file.clone());
        let offset = made.offset_of(extent);
        let is_whole = move |bytes: &[u8]| made.first_difference(offset, bytes).is_none();
        let same = (file.clone(), is_whole.clone());
        ops.start("cold vectored read", async move {
            let read = file.readv_at(vec![vec![0; 4096]; 2], offset).await;
            let (count, bufs) = read.map_err(|error| text(error.error))?;
            ensure(is_whole(&bufs.concat()[..count]), "wrong bytes")
        });
        let (file, is_whole) = same;
        let same = file.clone();
        ops.start("cold ranges", async move {
            let ranges = [offset..offset + 100, offset + 4096..offset + 8192];
            let read = file.read_ranges(&ranges).await.map_err(text)?;
            ensure(read[1].len() == 4096 && is_whole(&read[0]), "wrong bytes")
        });
        ops.start("advice", async move {
            for advice in [Advice::Sequential, Advice::DontNeed, Advice::WillNeed] {
                let given = same.advise(offset, 8192, advice).await;
                given.map_err(text)?;
            }
            Ok(())
        });
    }
    ops.start("open within", async move {
        let (mut reading, within) = (OpenOptions::new(), Resolve::new().beneath());
        for index in 0..SEVERAL {
            let path = format!("cold-dir/{index}");
            let opened = dir.open_file_within(path, reading.read(true), within).await;
            opened.map_err(text)?;
        }
        dir.sync().await.map_err(text)
    });
}

async fn metadata(path: PathBuf, bytes: u64) -> Done {
    let length = fs::metadata(path).await.map_err(text)?.len();
    ensure(length == bytes, format!("{length} bytes"))
}

async fn open_and_read(path: PathBuf) -> Done {
    let file = File::open(path).await.map_err(text)?;
    let bytes = file.read_exact_at(vec![0; 8192], 0).await;
    let bytes = bytes.map_err(|error| text(error.error))?;
    ensure(first_difference(0, &bytes).is_none(), "wrong bytes")
}

async fn whole(path: PathBuf) -> Done {
    let bytes = fs::read(path).await.map_err(text)?;
    ensure(bytes.len() == 8192, format!("{} bytes", bytes.len()))?;
    ensure(first_difference(0, &bytes).is_none(), "wrong bytes")
}

fn start_writes(ops: &mut Ops, buffered: Vec<File>, direct: Vec<File>, syncs: Vec<File>) {
    for file in buffered {
        ops.start("buffered write", async move {
            // Into the middle of a block that is not in memory; then the file is dropped here, unsynced.
            let written = file.write_all_at(WRITTEN, 100).await;
            written.map(drop).map_err(|error| text(error.error))
        });
    }
    for file in direct {
        ops.start("direct write", async move {
            let mut buf = AlignedBuf::zeroed(4096, 4096);
            buf[..WRITTEN.len()].copy_from_slice(WRITTEN);
            let written = file.write_at(buf, 4096).await;
            let (count, _) = written.map_err(|error| text(error.error))?;
            ensure(count == 4096, format!("{count} bytes"))
        });
    }
    for file in syncs {
        ops.start("sync_all", async move {
            let written = file.sync_range(0, 0, Writeback::Complete).await;
            written.map_err(text)?;
            file.sync_all().await.map_err(text)
        });
    }
}

/// Writes alone, so few that everything else may still be submitted as ever: what kernel workers queue
/// behind them by inode has to be found and freed.
pub(crate) fn few_writes(kind: FsKind, way: Way) -> Outcome {
    let disk = disk_files::disk(kind)?;
    let files = Files::make(&disk)?;
    let play = FewWrites {
        files,
        healthy: Healthy::new()?,
        writes: Vec::new(),
    };
    let report = stage::run(way, play, HOLD_SHORT, || disk_files::hold(&disk))?;
    disk_files::remount(&disk)?;
    judge(&format!("a few writes on {}", kind.name()), way, &report)
}

struct FewWrites {
    files: Files,
    healthy: Healthy,
    writes: Vec<File>,
}

impl Play for FewWrites {
    async fn prepare(&mut self) -> Done {
        self.healthy.prepare().await?;
        for index in 0..SEVERAL {
            self.writes
                .push(open_rw(self.files.path("write-dir", index), false).await?);
        }
        Ok(())
    }

    async fn start(&mut self, ops: &mut Ops) -> Done {
        start_writes(
            ops,
            std::mem::take(&mut self.writes),
            Vec::new(),
            Vec::new(),
        );
        Ok(())
    }

    async fn meanwhile(&mut self) -> Done {
        self.healthy.work().await
    }

    fn stuck(&self) -> &'static [&'static str] {
        &["buffered write"]
    }
}

/// The very first operations on a mount, which is dead already: nothing is known of it.
pub(crate) fn never_seen(way: Way) -> Outcome {
    let disk = disk_files::disk(FsKind::Ext4)?;
    let files = Files::make(&disk)?;
    // As well as the healthy one, which nobody has used either.
    let fresh = disk_files::disk(FsKind::Ext4)?;
    let play = NeverSeen {
        files,
        fresh: fresh.path().to_owned(),
    };
    let report = stage::run(way, play, HOLD_SHORT, || disk_files::hold(&disk))?;
    remount_both(&disk, &fresh)?;
    judge("a mount never seen", way, &report)
}

fn remount_both(one: &HeldDisk, other: &HeldDisk) -> std::io::Result<()> {
    disk_files::remount(one)?;
    disk_files::remount(other)
}

struct NeverSeen {
    files: Files,
    fresh: PathBuf,
}

impl Play for NeverSeen {
    async fn prepare(&mut self) -> Done {
        Ok(())
    }

    async fn start(&mut self, ops: &mut Ops) -> Done {
        for _ in 0..40 {
            for index in 0..SEVERAL {
                let path = self.files.path("cold-dir", index);
                ops.start("cold open", open_and_read(path.clone()));
                ops.start("cold metadata", metadata(path.clone(), 8192));
                ops.start("cold whole", whole(path));
            }
        }
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn meanwhile(&mut self) -> Done {
        let path = self.fresh.join("file");
        fs::write(&path, WRITTEN).await.map_err(text)?;
        ensure(
            fs::read(&path).await.map_err(text)? == WRITTEN,
            "wrong bytes",
        )?;
        fs::remove_file(&path).await.map_err(text)
    }

    fn stuck(&self) -> &'static [&'static str] {
        &["cold open", "cold metadata", "cold whole"]
    }
}
