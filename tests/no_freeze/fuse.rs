//! A FUSE server that does not answer.

use std::io::SeekFrom;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Duration;

use tidegate::fs::{self, File};
use tidegate_rig::files::{self, first_difference};
use tidegate_rig::{Request, StalledFuse};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::healthy::Healthy;
use crate::stage::{self, Done, Ops, Outcome, Play, Way, ensure, judge};

const HOLD: Duration = Duration::from_millis(300);
const FILES: usize = 12;
const BYTES: u64 = 8192;

pub(crate) fn run(way: Way) -> Outcome {
    for (request, stuck) in [
        (Request::Getattr, &["metadata", "seek to the end"][..]),
        (Request::Lookup, &["metadata", "open"]),
        (Request::Open, &["open"]),
        (Request::Read, &["read"]),
        (Request::Flush, &["close"]),
    ] {
        let tree = StalledFuse::options()
            .with_max_hold(Duration::from_secs(60))
            .create()?;
        for index in 0..FILES {
            files::create(&tree.backing_path().join(format!("slow-{index}")), BYTES)?;
        }
        let play = Held {
            root: tree.path().to_owned(),
            healthy: Healthy::new()?,
            reads: Vec::new(),
            closes: Vec::new(),
            drops: Vec::new(),
            seeks: Vec::new(),
            shared: Vec::new(),
            stuck,
        };
        let report = stage::run(way, play, HOLD, || tree.hold(&[request], "/slow"))?;
        let held = tree.status()?.held;
        ensure(
            held == 0,
            format!("{held} requests are left with the server"),
        )?;
        judge(&format!("held {request:?}"), way, &report)?;
    }
    Ok(())
}

struct Held {
    root: PathBuf,
    healthy: Healthy,
    reads: Vec<File>,
    closes: Vec<File>,
    drops: Vec<File>,
    seeks: Vec<File>,
    /// Clones of these.
    shared: Vec<File>,
    stuck: &'static [&'static str],
}

impl Held {
    fn path(&self, index: usize) -> PathBuf {
        self.root.join(format!("slow-{index}"))
    }
}

impl Play for Held {
    async fn prepare(&mut self) -> Done {
        self.healthy.prepare().await?;
        for index in 0..FILES / 2 {
            for _ in 0..3 {
                let file = File::open(self.path(index))
                    .await
                    .map_err(|error| error.to_string())?;
                match index % 3 {
                    0 => self.reads.push(file),
                    1 => self.closes.push(file),
                    _ => self.drops.push(file),
                }
            }
        }
        let mut file = File::open(self.path(0))
            .await
            .map_err(|error| error.to_string())?;
        let read = file.read_exact(&mut [0; 10]).await;
        read.map_err(|error| error.to_string())?;
        let clone = file.try_clone().await;
        self.shared.push(clone.map_err(|error| error.to_string())?);
        self.seeks.push(file);
        Ok(())
    }

    async fn start(&mut self, ops: &mut Ops) -> Done {
        self.drops.clear();
        for file in std::mem::take(&mut self.reads) {
            ops.start("read", async move {
                let bytes = file.read_exact_at(vec![0; BYTES as usize], 0).await;
                let bytes = bytes.map_err(|error| error.error.to_string())?;
                ensure(first_difference(0, &bytes).is_none(), "wrong bytes")
            });
        }
        for mut file in std::mem::take(&mut self.seeks) {
            ops.start("seek to the end", async move {
                let end = file.seek(SeekFrom::End(0)).await;
                let end = end.map_err(|error| error.to_string())?;
                ensure(end == BYTES, format!("{end} bytes"))
            });
        }
        for file in std::mem::take(&mut self.closes) {
            ops.start("close", async move {
                file.close().await.map_err(|error| error.to_string())
            });
        }
        for index in 0..FILES {
            let path = self.path(index);
            ops.start("metadata", async move {
                let length = fs::metadata(path)
                    .await
                    .map_err(|error| error.to_string())?
                    .len();
                ensure(length == BYTES, format!("{length} bytes"))
            });
            let path = self.path(index);
            ops.start("open", async move {
                let file = File::open(path).await.map_err(|error| error.to_string())?;
                file.close().await.map_err(|error| error.to_string())
            });
        }
        Ok(())
    }

    async fn meanwhile(&mut self) -> Done {
        self.healthy.work().await?;
        // The system is asked for the position by nobody who holds its lock.
        for file in std::mem::take(&mut self.shared) {
            let _handed_over = file.as_raw_fd();
            self.drops.push(file);
        }
        self.healthy.work().await
    }

    fn stuck(&self) -> &'static [&'static str] {
        self.stuck
    }
}
