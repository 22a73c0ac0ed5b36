//! How long a current-thread runtime cannot tick while a disk does not answer, by library.
//!
//! ```sh
//! cargo run --release -p tidegate-rig --example freeze_compare
//! ```
//!
//! Needs root, FUSE and loop devices. For each filesystem and library: reads with cold extents, cold opens,
//! `sync_all`, and the last close of an unlinked file of many extents are started from one thread, the disk
//! is dead for 4 s, and a task on the same thread ticks every 5 ms. That of tidegate is checked by
//! `cargo test --test no_freeze`.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    linux::main()
}

#[cfg(target_os = "linux")]
#[path = "../../tests/no_freeze/ticker.rs"]
mod ticker;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs as std_fs;
    use std::io::{self, SeekFrom};
    use std::path::PathBuf;
    use std::sync::mpsc::{SyncSender, sync_channel};
    use std::time::Duration;

    use tidegate_rig::files::{self, Fragmented, first_difference};
    use tidegate_rig::{FsKind, HeldDisk, Request, Requirements};
    use tokio::sync::oneshot;
    use tokio::task::{JoinSet, LocalSet};

    use crate::ticker::{Gaps, Ticker};

    const HOLD: Duration = Duration::from_secs(4);
    const SETTLE_MAX: Duration = Duration::from_secs(60);
    const DISK_BYTES: u64 = 512 << 20;
    const EXTENTS: u64 = 1200;
    const SEVERAL: usize = 5;
    const READ_BYTES: usize = 4096;

    #[derive(Clone, Copy)]
    enum Engine {
        Tidegate,
        TokioFs,
        TokioUring,
    }

    impl Engine {
        const ALL: [Engine; 3] = [Engine::Tidegate, Engine::TokioFs, Engine::TokioUring];

        fn name(self) -> &'static str {
            match self {
                Engine::Tidegate => "tidegate",
                Engine::TokioFs => "tokio::fs",
                Engine::TokioUring => "tokio-uring",
            }
        }

        /// Runs the operations on a runtime of this thread.
        fn run(self, files: &Files, cue: Cue) -> io::Result<Gaps> {
            if let Engine::TokioUring = self {
                return tokio_uring::start(with_tokio_uring(files, cue));
            }
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build()?;
            match self {
                Engine::Tidegate => runtime.block_on(with_tidegate(files, cue)),
                _ => runtime.block_on(with_tokio_fs(files, cue)),
            }
        }
    }

    /// When the disk is dead.
    struct Cue {
        ready: SyncSender<()>,
        held: oneshot::Receiver<()>,
    }

    impl Cue {
        /// Says that everything is open, waits for the disk to die, and starts to tick.
        async fn begin(self) -> Ticker {
            let _ = self.ready.send(());
            let _ = self.held.await;
            let ticker = Ticker::start();
            tokio::task::yield_now().await;
            ticker
        }
    }

    #[derive(Clone)]
    struct Files {
        cold: Fragmented,
        unlinked: Fragmented,
        opened: Vec<PathBuf>,
        synced: Vec<PathBuf>,
    }

    impl Files {
        fn make(disk: &HeldDisk) -> io::Result<Files> {
            let root = disk.path();
            let mut made = Files {
                cold: files::fragmented(&root.join("cold"), EXTENTS, READ_BYTES as u64)?,
                unlinked: files::fragmented(&root.join("unlinked"), EXTENTS, READ_BYTES as u64)?,
                opened: Vec::new(),
                synced: Vec::new(),
            };
            for (dir, paths) in [("opened", &mut made.opened), ("synced", &mut made.synced)] {
                std_fs::create_dir(root.join(dir))?;
                for index in 0..SEVERAL {
                    paths.push(root.join(dir).join(index.to_string()));
                    files::create(&paths[index], READ_BYTES as u64)?;
                }
            }
            disk.remount()?;
            Ok(made)
        }

        fn offsets(&self) -> impl Iterator<Item = u64> + '_ {
            let extents = (0..self.cold.extents()).step_by(50);
            extents.map(|extent| self.cold.offset_of(extent))
        }
    }

    fn check(offset: u64, bytes: &[u8]) -> io::Result<()> {
        match first_difference(offset, bytes) {
            None if bytes.len() == READ_BYTES => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "wrong bytes")),
        }
    }

    async fn with_tidegate(files: &Files, cue: Cue) -> io::Result<Gaps> {
        use tidegate::fs::{self, File, OpenOptions};
        let cold = File::open(files.cold.path()).await?;
        let unlinked = File::open(files.unlinked.path()).await?;
        fs::remove_file(files.unlinked.path()).await?;
        let mut ops = JoinSet::new();
        let mut synced = Vec::new();
        for path in &files.synced {
            let file = OpenOptions::new().write(true).open(path).await?;
            file.write_all_at("dirty", 0).await?;
            synced.push(file);
        }
        let ticker = cue.begin().await;
        drop(unlinked);
        for path in files.opened.clone() {
            ops.spawn(async move {
                let file = File::open(path).await?;
                check(0, &file.read_exact_at(vec![0; READ_BYTES], 0).await?)
            });
        }
        for file in synced {
            ops.spawn(async move { file.sync_all().await });
        }
        for offset in files.offsets() {
            let read = cold.read_exact_at(vec![0; READ_BYTES], offset);
            ops.spawn(async move { check(offset, &read.await?) });
        }
        while let Some(done) = ops.join_next().await {
            done??;
        }
        Ok(ticker.stop())
    }

    async fn with_tokio_fs(files: &Files, cue: Cue) -> io::Result<Gaps> {
        use tokio::fs::{self, File, OpenOptions};
        use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
        let unlinked = File::open(files.unlinked.path()).await?;
        fs::remove_file(files.unlinked.path()).await?;
        let (mut synced, mut reads, mut ops) = (Vec::new(), Vec::new(), JoinSet::new());
        for path in &files.synced {
            let mut file = OpenOptions::new().write(true).open(path).await?;
            file.write_all(b"dirty").await?;
            file.flush().await?;
            synced.push(file);
        }
        for offset in files.offsets() {
            reads.push((offset, File::open(files.cold.path()).await?));
        }
        let ticker = cue.begin().await;
        drop(unlinked);
        for path in files.opened.clone() {
            ops.spawn(async move {
                let mut bytes = vec![0; READ_BYTES];
                File::open(path).await?.read_exact(&mut bytes).await?;
                check(0, &bytes)
            });
        }
        for file in synced {
            ops.spawn(async move { file.sync_all().await });
        }
        for (offset, mut file) in reads {
            ops.spawn(async move {
                let mut bytes = vec![0; READ_BYTES];
                file.seek(SeekFrom::Start(offset)).await?;
                file.read_exact(&mut bytes).await?;
                check(offset, &bytes)
            });
        }
        while let Some(done) = ops.join_next().await {
            done??;
        }
        Ok(ticker.stop())
    }

    async fn with_tokio_uring(files: &Files, cue: Cue) -> io::Result<Gaps> {
        use tokio_uring::fs::{self, File, OpenOptions};
        let cold = std::rc::Rc::new(File::open(files.cold.path()).await?);
        let unlinked = File::open(files.unlinked.path()).await?;
        fs::remove_file(files.unlinked.path()).await?;
        let mut synced = Vec::new();
        for path in &files.synced {
            let file = OpenOptions::new().write(true).open(path).await?;
            let (written, _) = file.write_at("dirty".as_bytes(), 0).submit().await;
            written?;
            synced.push(file);
        }
        let (local, mut ops) = (LocalSet::new(), JoinSet::new());
        let ticker = cue.begin().await;
        drop(unlinked);
        for path in files.opened.clone() {
            let op = async move {
                let file = File::open(path).await?;
                let (count, bytes) = file.read_at(vec![0; READ_BYTES], 0).await;
                check(0, &bytes[..count?])
            };
            ops.spawn_local_on(op, &local);
        }
        for file in synced {
            ops.spawn_local_on(async move { file.sync_all().await }, &local);
        }
        for offset in files.offsets() {
            let cold = cold.clone();
            let op = async move {
                let (count, bytes) = cold.read_at(vec![0; READ_BYTES], offset).await;
                check(offset, &bytes[..count?])
            };
            ops.spawn_local_on(op, &local);
        }
        let all = async {
            while let Some(done) = ops.join_next().await {
                done??;
            }
            io::Result::Ok(())
        };
        local.run_until(all).await?;
        Ok(ticker.stop())
    }

    /// One engine on one filesystem. The release comes from this thread, whatever became of the engine's.
    fn measure(engine: Engine, kind: FsKind) -> io::Result<Gaps> {
        let options = HeldDisk::options(kind, DISK_BYTES);
        let disk = options.with_max_hold(HOLD * 4).create()?;
        let files = Files::make(&disk)?;
        let (ready, is_ready) = sync_channel(1);
        let (tell, hear) = sync_channel(1);
        let (held, is_held) = oneshot::channel();
        let body = move || {
            let cue = Cue {
                ready,
                held: is_held,
            };
            let _ = tell.send(engine.run(&files, cue));
        };
        let thread = std::thread::Builder::new()
            .name("runtime".into())
            .spawn(body)?;
        let lost = |_| io::Error::new(io::ErrorKind::TimedOut, "the runtime's thread says nothing");
        is_ready.recv_timeout(SETTLE_MAX).map_err(lost)?;
        let hold = disk.hold(&[Request::Read, Request::Write, Request::Fsync])?;
        let _ = held.send(());
        std::thread::sleep(HOLD);
        hold.release()?;
        let gaps = hear.recv_timeout(SETTLE_MAX).map_err(lost)??;
        let _ = thread.join();
        Ok(gaps)
    }

    pub(crate) fn main() -> io::Result<()> {
        tidegate_rig::init();
        println!("Largest gap between two ticks, in ms; and less the time of waiting for a CPU.");
        println!("library      disk       gap      less    ticks");
        for kind in FsKind::ALL {
            if let [lack, ..] = Requirements::disk(kind).missing().as_slice() {
                println!("skip: {}: {lack}", kind.name());
                continue;
            }
            for engine in Engine::ALL {
                let gaps = measure(engine, kind)?;
                let ms = |gap: Duration| gap.as_secs_f64() * 1e3;
                let (gap, less) = (ms(gaps.longest), ms(gaps.longest_asleep));
                let (name, disk, ticks) = (engine.name(), kind.name(), gaps.ticks);
                println!("{name:<12} {disk:<6} {gap:>7.1} {less:>9.1} {ticks:>8}");
            }
        }
        Ok(())
    }
}
