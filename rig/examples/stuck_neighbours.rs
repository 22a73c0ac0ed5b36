//! What healthy filesystems lose while 200 operations are stuck on a FUSE mount that does not answer.
//!
//! ```sh
//! cargo run --release -p tidegate-rig --example stuck_neighbours
//! ```
//!
//! Needs root and FUSE, and loop devices for the filesystem that is written to. Rounds with and without the
//! stuck operations take turns, on the same handle; of each sort of work the medians are printed, and their
//! ratio. With a number as its argument it takes so many pairs of rounds instead of 9.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::future::Future;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::pin::Pin;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use tidegate::fs::{self, File, OpenOptions};
    use tidegate_rig::{FsKind, HeldDisk, HoldGuard, Request, Requirements, StalledFuse, files};
    use tokio::task::{JoinHandle, JoinSet};

    const STUCK: usize = 200;
    const PAIRS: usize = 9;
    const ROUND: Duration = Duration::from_millis(400);
    const AT_ONCE: usize = 8;
    const DISK_BYTES: u64 = 512 << 20;
    const FILE_BYTES: u64 = 16 << 20;
    const BLOCK_BYTES: usize = 4096;
    /// Longer than a round; what is stuck waits for no limit of its own.
    const HOLD_MAX: Duration = Duration::from_secs(60);

    type Step = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    /// A sort of work: what one of its steps does.
    struct Work {
        name: &'static str,
        step: fn(Arc<Place>, usize) -> Step,
    }

    const WORK: [Work; 6] = [
        Work {
            name: "read, in memory",
            step: |place, index| Box::pin(read(place, index)),
        },
        Work {
            name: "read, direct",
            step: |place, index| Box::pin(read_direct(place, index)),
        },
        Work {
            name: "statx of a path",
            step: |place, index| Box::pin(stat(place, index)),
        },
        Work {
            name: "statx of a new name",
            step: |place, index| Box::pin(stat_absent(place, index)),
        },
        Work {
            name: "write, buffered",
            step: |place, index| Box::pin(write(place, index)),
        },
        Work {
            name: "write and fsync",
            step: |place, index| Box::pin(sync(place, index)),
        },
    ];

    /// Files on a filesystem that answers.
    struct Place {
        path: PathBuf,
        read: File,
        direct: File,
        written: Vec<File>,
    }

    impl Place {
        async fn make(dir: &Path) -> io::Result<Place> {
            let path = dir.join("file");
            files::create(&path, FILE_BYTES)?;
            let mut written = Vec::new();
            for index in 0..AT_ONCE {
                written.push(File::create(dir.join(format!("written-{index}"))).await?);
            }
            let mut options = OpenOptions::new();
            Ok(Place {
                read: File::open(&path).await?,
                direct: options.read(true).direct(true).open(&path).await?,
                path,
                written,
            })
        }
    }

    fn offset(index: usize) -> u64 {
        let blocks = FILE_BYTES / BLOCK_BYTES as u64;
        (index as u64).wrapping_mul(0x9E37_79B9) % blocks * BLOCK_BYTES as u64
    }

    async fn read(place: Arc<Place>, index: usize) -> io::Result<()> {
        let read = place
            .read
            .read_exact_at(vec![0; BLOCK_BYTES], offset(index));
        check(offset(index), &read.await?)
    }

    async fn read_direct(place: Arc<Place>, index: usize) -> io::Result<()> {
        let buf = tidegate::buf::AlignedBuf::zeroed(BLOCK_BYTES, BLOCK_BYTES);
        let (count, buf) = place.direct.read_at(buf, offset(index)).await?;
        check(offset(index), &buf[..count])
    }

    fn check(offset: u64, bytes: &[u8]) -> io::Result<()> {
        match files::first_difference(offset, bytes) {
            None if bytes.len() == BLOCK_BYTES => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "wrong bytes")),
        }
    }

    async fn stat(place: Arc<Place>, _: usize) -> io::Result<()> {
        fs::statx(&place.path).await.map(drop)
    }

    async fn stat_absent(place: Arc<Place>, index: usize) -> io::Result<()> {
        // A name that the kernel has not looked up before, so that no poll can answer.
        let path = place.path.with_file_name(format!("absent-{index}"));
        match fs::statx(path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map(drop),
        }
    }

    async fn write(place: Arc<Place>, index: usize) -> io::Result<()> {
        let file = &place.written[index % AT_ONCE];
        let written = file.write_all_at(vec![1; BLOCK_BYTES], offset(index)).await;
        Ok(written.map(drop)?)
    }

    async fn sync(place: Arc<Place>, index: usize) -> io::Result<()> {
        write(place.clone(), index).await?;
        place.written[index % AT_ONCE].sync_data().await
    }

    /// Steps a second, with so many at a time; `from` numbers them, so that no two rounds do the same.
    async fn round(work: &Work, place: &Arc<Place>, from: &mut usize) -> io::Result<f64> {
        let (mut steps, mut done) = (JoinSet::new(), 0u32);
        let began = Instant::now();
        let mut start = |steps: &mut JoinSet<_>| {
            *from += 1;
            steps.spawn((work.step)(place.clone(), *from));
        };
        (0..AT_ONCE).for_each(|_| start(&mut steps));
        while let Some(step) = steps.join_next().await {
            step??;
            done += 1;
            if began.elapsed() < ROUND {
                start(&mut steps);
            }
        }
        Ok(f64::from(done) / began.elapsed().as_secs_f64())
    }

    /// Operations of each sort that hang.
    struct Stuck {
        guard: HoldGuard,
        ops: Vec<JoinHandle<()>>,
    }

    impl Stuck {
        async fn start(tree: &StalledFuse, open: &[Arc<File>]) -> io::Result<Stuck> {
            let held = [Request::Getattr, Request::Read, Request::Open];
            let guard = tree.hold(&held, "/slow")?;
            let path = |index: usize| tree.path().join(format!("slow-{index}"));
            let mut ops = Vec::new();
            for index in 0..STUCK {
                let (file, path) = (open[index % open.len()].clone(), path(index));
                // What comes of them is of no interest, but only that they are there.
                ops.push(tokio::spawn(async move {
                    match index % 3 {
                        0 => drop(fs::statx(path).await),
                        1 => drop(File::open(path).await),
                        _ => drop(file.read_at(vec![0; 10], 0).await),
                    }
                }));
            }
            // Some wait in queues of ours, where nothing more can be had of a mount that is stuck.
            while tree.status()?.held < STUCK as u64 / 4 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(Stuck { guard, ops })
        }

        async fn end(self) -> io::Result<()> {
            self.guard.release()?;
            for op in self.ops {
                op.await?;
            }
            Ok(())
        }
    }

    fn median(mut figures: Vec<f64>) -> f64 {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    }

    async fn measure(disk: &HeldDisk, tree: &StalledFuse, pairs: usize) -> io::Result<()> {
        let place = Arc::new(Place::make(disk.path()).await?);
        let mut open = Vec::new();
        for index in 0..STUCK {
            let path = tree.path().join(format!("slow-{index}"));
            open.push(Arc::new(File::open(path).await?));
        }
        let mut from = 0;
        for work in &WORK {
            // Nobody is to pay for what comes only once.
            round(work, &place, &mut from).await?;
            let (mut alone, mut beside) = (Vec::new(), Vec::new());
            for _ in 0..pairs {
                alone.push(round(work, &place, &mut from).await?);
                let stuck = Stuck::start(tree, &open).await?;
                let figure = round(work, &place, &mut from).await;
                let held = tree.status()?.held;
                stuck.end().await?;
                beside.push(figure?);
                assert!(held > 0, "nothing was stuck meanwhile");
            }
            let (alone, beside) = (median(alone), median(beside));
            let ratio = beside / alone;
            println!(
                "{:<20} {alone:>12.0} {beside:>12.0} {ratio:>8.2}",
                work.name
            );
        }
        Ok(())
    }

    pub(crate) fn main() -> io::Result<()> {
        tidegate_rig::init();
        if let [lack, ..] = Requirements::disk(FsKind::Ext4).missing().as_slice() {
            println!("skip: {lack}");
            return Ok(());
        }
        let pairs = std::env::args().nth(1).and_then(|arg| arg.parse().ok());
        let disk = HeldDisk::new(FsKind::Ext4, DISK_BYTES)?;
        let tree = StalledFuse::options()
            .with_entry_timeout(HOLD_MAX)
            .with_max_hold(HOLD_MAX)
            .create()?;
        for index in 0..STUCK {
            let path = tree.backing_path().join(format!("slow-{index}"));
            files::create(&path, BLOCK_BYTES as u64)?;
        }
        println!("Steps a second on ext4, {AT_ONCE} at a time: medians of rounds that take turns.");
        println!("work                        alone  beside {STUCK}    ratio");
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build()?;
        runtime.block_on(measure(&disk, &tree, pairs.unwrap_or(PAIRS).max(1)))
    }
}
