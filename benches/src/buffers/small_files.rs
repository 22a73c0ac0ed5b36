//! Many small files, each read as a whole.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate::fs::{self, File};
use tidegate::{Handle, Route};
use tokio::runtime::Runtime;

use super::runtime;
use crate::contest::contest;
use tidegate_measure::data::{forget, sync_all_of};

const FILES: usize = 20_000;
const FILE_BYTES: usize = 4096;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Engine {
    /// As users get it: at the poll what is in memory, else what measures best.
    Auto,
    /// Opened into a slot, read and closed by linked entries.
    Chain,
    /// Open, statx, read, read and close, one after the other.
    Entries,
    /// On a blocking thread of ours.
    Hop,
    /// On the calling thread, without tasks.
    Std,
    Tokio,
}

const ENGINES: [(Engine, &str); 6] = [
    (Engine::Tokio, "tokio::fs::read"),
    (Engine::Auto, "fs::read"),
    (Engine::Chain, "one chain"),
    (Engine::Entries, "open, statx, read, read, close"),
    (Engine::Hop, "one hop"),
    (Engine::Std, "std, one thread"),
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
        (bytes, total) = (back, total + count);
        if count == 0 {
            file.close().await?;
            return Ok(total);
        }
    }
}

pub(super) fn run(folder: &Path, rounds: usize) -> io::Result<()> {
    let paths = make(folder)?;
    let mut engines = Vec::new();
    for (engine, name) in ENGINES {
        let runtime = runtime()?;
        if let Some(route) = engine.route() {
            let installed = runtime.block_on(async { Handle::builder().route(route).install() });
            if let Err(error) = installed {
                println!("{name} is left out: {error}");
                continue;
            }
        }
        engines.push((engine, name, runtime));
    }
    let hot = [1, 64].map(|tasks| (false, tasks));
    let cold = [1, 4, 8, 16, 32, 64].map(|tasks| (true, tasks));
    for (cold, tasks) in hot.into_iter().chain(cold) {
        let mut contenders = Vec::new();
        for (engine, name, runtime) in &engines {
            let paths = &paths;
            let turn: Box<dyn FnMut() -> _> =
                Box::new(move || turn(*engine, runtime, paths, tasks));
            contenders.push((*name, turn));
        }
        let state = if cold { "cold" } else { "hot" };
        let title = format!("{FILES} files of {FILE_BYTES} bytes, {state}, {tasks} tasks");
        contest(
            &title,
            rounds,
            &mut || prepare(&paths, cold),
            &mut contenders,
        )?;
    }
    Ok(())
}

fn make(folder: &Path) -> io::Result<Arc<Vec<PathBuf>>> {
    let content = vec![7; FILE_BYTES];
    let mut paths = Vec::new();
    for number in 0..FILES {
        let dir = folder.join((number / 1000).to_string());
        if number % 1000 == 0 {
            std::fs::create_dir(&dir)?;
        }
        let path = dir.join(number.to_string());
        std::fs::write(&path, &content)?;
        paths.push(path);
    }
    sync_all_of(folder)?;
    Ok(Arc::new(paths))
}

/// Puts all files into memory, or what is in them out of it. Their names stay there.
fn prepare(paths: &[PathBuf], cold: bool) -> io::Result<()> {
    for path in paths {
        if cold {
            forget(&std::fs::File::open(path)?)?;
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
) -> io::Result<u64> {
    // In one thread there is nothing to be had from tasks.
    let tasks = if engine == Engine::Std { 1 } else { tasks };
    let next = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        let tasks: Vec<_> = (0..tasks)
            .map(|_| {
                let (paths, next) = (paths.clone(), next.clone());
                tokio::spawn(async move {
                    while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let count = engine.read(path).await?;
                        assert_eq!(count, FILE_BYTES);
                    }
                    Ok::<_, io::Error>(())
                })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok(FILES as u64)
    })
}
