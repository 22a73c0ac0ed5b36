//! Small files by a chain of entries, by entries of their own, by one hop, and as others read them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use tidegate::fs::{self, File};
use tidegate::{Handle, Route};
use tidegate_benches::usage::Usage;
use tokio::runtime::{Builder, Runtime};

use super::median;

#[derive(clap::Args)]
pub(super) struct Options {
    /// How many files there are.
    #[arg(long, default_value_t = 20_000)]
    files: usize,
    /// The size of each, in bytes.
    #[arg(long, default_value_t = 4096)]
    bytes: usize,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Where the files are made: on the filesystem in question.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Engine {
    /// As users get it: at the poll what is in memory, else one hop.
    Auto,
    /// Opened into a slot, read and closed by linked entries.
    Chain,
    /// Open, statx, read, read and close, one after the other.
    Entries,
    /// On a blocking thread of ours.
    Hop,
    /// On the calling thread.
    Std,
    Tokio,
}

const ENGINES: [Engine; 6] = [
    Engine::Auto,
    Engine::Chain,
    Engine::Entries,
    Engine::Hop,
    Engine::Std,
    Engine::Tokio,
];

impl Engine {
    fn route(self) -> Option<Route> {
        match self {
            Engine::Auto => Some(Route::Auto),
            Engine::Chain | Engine::Entries => Some(Route::Ring),
            Engine::Hop => Some(Route::Pool),
            Engine::Std | Engine::Tokio => None,
        }
    }

    /// Its runtime, where it can work here.
    fn runtime(self) -> io::Result<Option<Runtime>> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let Some(route) = self.route() else {
            return Ok(Some(runtime));
        };
        let installed = runtime.block_on(async { Handle::builder().route(route).install() });
        Ok(installed.is_ok().then_some(runtime))
    }

    async fn read(self, path: &Path) -> io::Result<usize> {
        match self {
            Engine::Auto | Engine::Chain | Engine::Hop => Ok(fs::read(path).await?.len()),
            Engine::Entries => entries(path).await,
            Engine::Std => Ok(std::fs::read(path)?.len()),
            Engine::Tokio => Ok(tokio::fs::read(path).await?.len()),
        }
    }
}

async fn entries(path: &Path) -> io::Result<usize> {
    let file = File::open(path).await?;
    let size = file.metadata().await?.len() as usize;
    let mut bytes = Vec::with_capacity(size + 1);
    let mut total = 0;
    loop {
        let (count, back) = file.read_at(bytes, total as u64).await?;
        total += count;
        bytes = back;
        if count == 0 {
            break;
        }
    }
    file.close().await?;
    Ok(total)
}

pub(super) fn run(options: &Options) -> io::Result<()> {
    let folder = tempfile::TempDir::new_in(&options.folder)?;
    let paths = make(folder.path(), options)?;
    let mut engines = Vec::new();
    for engine in ENGINES {
        if let Some(runtime) = engine.runtime()? {
            engines.push((engine, runtime));
        }
    }
    println!(
        "{} files of {} bytes; wall and CPU time per file",
        paths.len(),
        options.bytes
    );
    let mut random = fastrand::Rng::with_seed(1);
    for (cold, tasks) in [(false, 1), (false, 64), (true, 1), (true, 64)] {
        let mut times = vec![(Vec::new(), Vec::new()); engines.len()];
        let mut order: Vec<usize> = (0..engines.len()).collect();
        for _ in 0..options.rounds {
            random.shuffle(&mut order);
            for &index in &order {
                let (engine, runtime) = &engines[index];
                prepare(&paths, cold)?;
                let used = Usage::now();
                let wall = turn(*engine, runtime, &paths, tasks, options.bytes)?;
                times[index].0.push(wall);
                times[index].1.push(Usage::now().since(used).cpu);
            }
        }
        let state = if cold { "cold" } else { "hot" };
        for ((engine, _), (walls, cpus)) in engines.iter().zip(&mut times) {
            let per_file = |time: Duration| time.as_secs_f64() * 1e6 / paths.len() as f64;
            let (wall, cpu) = (per_file(median(walls)), per_file(median(cpus)));
            let name = format!("{engine:?}");
            println!("{state:>4}, {tasks:>2} tasks, {name:<8} {wall:8.2} µs, CPU {cpu:8.2} µs");
        }
    }
    Ok(())
}

fn make(folder: &Path, options: &Options) -> io::Result<Arc<Vec<PathBuf>>> {
    let content = vec![7; options.bytes];
    let mut paths = Vec::new();
    for number in 0..options.files {
        let dir = folder.join((number / 1000).to_string());
        if number % 1000 == 0 {
            std::fs::create_dir(&dir)?;
        }
        let path = dir.join(number.to_string());
        std::fs::write(&path, &content)?;
        paths.push(path);
    }
    let dir = std::fs::File::open(folder)?;
    nix::unistd::syncfs(&dir)?;
    Ok(Arc::new(paths))
}

/// Puts all files into memory, or what is in them out of it. Their names stay there.
fn prepare(paths: &[PathBuf], cold: bool) -> io::Result<()> {
    for path in paths {
        if cold {
            let file = std::fs::File::open(path)?;
            posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        } else {
            std::fs::read(path)?;
        }
    }
    Ok(())
}

fn turn(
    engine: Engine,
    runtime: &Runtime,
    paths: &Arc<Vec<PathBuf>>,
    tasks: usize,
    bytes: usize,
) -> io::Result<Duration> {
    // In one thread there is nothing to be had from tasks.
    let tasks = if engine == Engine::Std { 1 } else { tasks };
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..tasks)
            .map(|_| {
                let (paths, next) = (paths.clone(), next.clone());
                tokio::spawn(async move {
                    while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let count = engine.read(path).await?;
                        if count != bytes {
                            return Err(io::ErrorKind::InvalidData.into());
                        }
                    }
                    Ok::<_, io::Error>(())
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok::<_, io::Error>(())
    })?;
    Ok(began.elapsed())
}
