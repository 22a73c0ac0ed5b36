//! Work on a filesystem that answers: it has to go on whatever else hangs.

use std::io;
use std::path::PathBuf;

use tempfile::TempDir;
use tidegate::buf::AlignedBuf;
use tidegate::fs::{self, File, OpenOptions};
use tidegate_rig::files::{fill, first_difference};
use tokio::task::JoinSet;

use crate::stage::{Done, ensure};

/// Files that are open before: the kernel puts writes in one queue by inode, 64 queues in all, and these
/// are enough to meet each.
const OPEN_FILES: usize = 192;
const ROUNDS: usize = 12;
const FILE_BYTES: usize = 16 << 10;

/// A directory that answers.
pub(crate) struct Healthy {
    dir: TempDir,
    open: Vec<File>,
}

impl Healthy {
    pub(crate) fn new() -> io::Result<Healthy> {
        let dir = tempfile::tempdir()?;
        Ok(Healthy {
            dir,
            open: Vec::new(),
        })
    }

    fn path(&self, name: impl AsRef<str>) -> PathBuf {
        self.dir.path().join(name.as_ref())
    }

    /// Opens the files; needs the runtime.
    pub(crate) async fn prepare(&mut self) -> Done {
        for index in 0..OPEN_FILES {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create(true);
            let opened = options.open(self.path(format!("open-{index}"))).await;
            self.open.push(opened.map_err(said("open"))?);
        }
        Ok(())
    }

    /// All of it, to its end.
    pub(crate) async fn work(&mut self) -> Done {
        self.write_all_open().await?;
        for round in 0..ROUNDS {
            self.round(round).await?;
        }
        Ok(())
    }

    /// A write to each of the open files, in turn and then all at the same time.
    async fn write_all_open(&mut self) -> Done {
        for file in &self.open {
            file.write_all_at("in turn", 0)
                .await
                .map_err(|error| error.error.to_string())?;
        }
        let mut writes = JoinSet::new();
        for file in self.open.drain(..) {
            writes.spawn(async move {
                file.write_all_at("together", 4096)
                    .await
                    .map_err(|error| error.error.to_string())?;
                file.close().await.map_err(said("close"))
            });
        }
        while let Some(done) = writes.join_next().await {
            done.map_err(|error| error.to_string())??;
        }
        Ok(())
    }

    /// Everything that a service does with a file.
    async fn round(&self, round: usize) -> Done {
        let (path, moved) = (
            self.path(format!("new-{round}")),
            self.path(format!("moved-{round}")),
        );
        let mut bytes = vec![0; FILE_BYTES];
        fill(0, &mut bytes);
        let file = File::create_new(&path).await.map_err(said("create"))?;
        file.write_all_at(bytes, 0)
            .await
            .map_err(|error| format!("write: {}", error.error))?;
        file.sync_all().await.map_err(said("sync_all"))?;
        file.close().await.map_err(said("close"))?;
        let length = fs::metadata(&path).await.map_err(said("metadata"))?.len();
        ensure(length == FILE_BYTES as u64, "wrong length")?;
        let file = File::open(&path).await.map_err(said("open"))?;
        let read = file.read_exact_at(vec![0; FILE_BYTES], 0).await;
        let bytes = read.map_err(|error| format!("read: {}", error.error))?;
        ensure(first_difference(0, &bytes).is_none(), "wrong bytes")?;
        let mut direct = OpenOptions::new();
        let direct = direct
            .read(true)
            .direct(true)
            .open(&path)
            .await
            .map_err(said("direct"))?;
        let read = direct.read_at(AlignedBuf::zeroed(4096, 4096), 4096).await;
        let (count, bytes) = read.map_err(|error| format!("direct read: {}", error.error))?;
        ensure(
            count == 4096 && first_difference(4096, &bytes).is_none(),
            "wrong direct bytes",
        )?;
        fs::rename(&path, &moved).await.map_err(said("rename"))?;
        let bytes = fs::read(&moved).await.map_err(said("read"))?;
        ensure(
            first_difference(0, &bytes).is_none(),
            "wrong bytes of the whole",
        )?;
        fs::remove_file(&moved).await.map_err(said("remove"))?;
        ensure(
            !fs::try_exists(&moved).await.map_err(said("exists"))?,
            "still there",
        )
    }
}

/// Names the step that failed.
pub(crate) fn said(what: &'static str) -> impl Fn(io::Error) -> String {
    move |error| format!("healthy {what}: {error}")
}
